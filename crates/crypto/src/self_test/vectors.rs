//! The known answers, made with another library (OpenSSL by way of Python's cryptography), and their inputs.

/// Bytes of lower-case hexadecimal digits.
const fn hex<const N: usize>(text: &str) -> [u8; N] {
    const fn digit(it: u8) -> u8 {
        if it.is_ascii_digit() {
            it - b'0'
        } else {
            it - b'a' + 10
        }
    }
    let (text, mut out, mut at) = (text.as_bytes(), [0; N], 0);
    while at < N {
        out[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    out
}

/// The message.
pub(super) const MESSAGE: &[u8] = b"abc";
/// Additional authenticated data.
pub(super) const AAD: &[u8] = b"aad";
/// The key, secret, scalar or seed.
pub(super) const KEY: [u8; 32] =
    hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
/// A block, IV or salt.
pub(super) const BLOCK: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f");
/// A nonce.
pub(super) const NONCE: [u8; 12] = hex("000102030405060708090a0b");
/// SHA-1 of `MESSAGE`
pub(super) const SHA1: [u8; 20] = hex("a9993e364706816aba3e25717850c26c9cd0d89d");
/// SHA-256 of `MESSAGE`
pub(super) const SHA256: [u8; 32] = hex("\
    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// SHA-512 of `MESSAGE`
pub(super) const SHA512: [u8; 64] = hex("\
    ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3\
    feebbd454d4423643ce80e2a9ac94fa54ca49f");
/// SHA3-256 of `MESSAGE`
pub(super) const SHA3_256: [u8; 32] = hex("\
    3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
/// HMAC-SHA-256 of `MESSAGE` under `KEY`
pub(super) const HMAC_SHA256: [u8; 32] = hex("\
    f0133729c4163dede81e21cd47839256da58171238c8a0d874397c73b14e1e47");
/// HMAC-SHA3-256 of `MESSAGE` under `KEY`
pub(super) const HMAC_SHA3_256: [u8; 32] = hex("\
    632f618ac17ba24355d9ee1fd187cf75bb5b68e6948804bf6674bf5ee7f1c345");
/// AES-CMAC of `MESSAGE` under `KEY`
pub(super) const CMAC: [u8; 16] = hex("3ade00807383ab0869d9a73c486a5315");
/// AES-ECB of `BLOCK` under `KEY`
pub(super) const ECB: [u8; 16] = hex("5a6e045708fb7196f02e553d02c3a692");
/// AES-CBC of `MESSAGE` with padding under `KEY`, the IV `BLOCK`
pub(super) const CBC_PAD: [u8; 16] = hex("e98b50daffee0c8e527bba7859e83713");
/// AES-CTR of `MESSAGE` under `KEY`, the first block `BLOCK`
pub(super) const CTR: [u8; 3] = hex("3b0c67");
/// AES-GCM of `MESSAGE` under `KEY`, the IV `NONCE`, `AAD`, and its tag
pub(super) const GCM: [u8; 19] = hex("2660b597205c56f7adc36fbdbbd46fd4afaea8");
/// AES-CCM of `MESSAGE` under `KEY`, the nonce `NONCE`, `AAD`, and its MAC
pub(super) const CCM: [u8; 19] = hex("ebb7dbf858d72ff70fbc2b1f85b9c0ed4a9937");
/// KW of `BLOCK` under `KEY`
pub(super) const KW: [u8; 24] = hex("8cc4bfeca8a9f2f38c8b28392f1e8f4b3e5a5fd2f20bd688");
/// KWP of `MESSAGE` under `KEY`
pub(super) const KWP: [u8; 16] = hex("085c8a5aeb8872b60539c4314c7cdafc");
/// HKDF-SHA-256 of `KEY`, salt `BLOCK`, info `MESSAGE`
pub(super) const HKDF: [u8; 42] = hex("\
    3801e54458ae7df370b70a345bee79652edc3208ab84b1ff3979eb6de18c972f14866cc44b03488d16b7");
/// PBKDF2-HMAC-SHA-256 of `MESSAGE`, salt `BLOCK`, 2 iterations
pub(super) const PBKDF2: [u8; 40] = hex("\
    45fdebee787faba1d38d13f315ca7910ae6d23cde39264b27b9688d849ec803e129e73e4fd9fd07c");
/// X9.63 with SHA-256 of `KEY`, info `MESSAGE`
pub(super) const X963: [u8; 40] = hex("\
    5c2d5635520ee5a8786fcd924084f77f911eb54c8ff644caf57b45f2f3aa039bca1efd949dfa3205");
/// SP 800-56A with SHA-256 of `KEY`, info `MESSAGE`
pub(super) const CONCAT: [u8; 40] = hex("\
    4289406d454958cbdc907545b943ea48b73259b37b48c31eb3a12dce3358bbb9262d427052a9d011");
/// The public point of the scalar `KEY` on this curve
pub(super) const P256_POINT: [u8; 65] = hex("\
    047a593180860c4037c83c12749845c8ee1424dd297fadcb895e358255d2c7d2b2a8ca25580f2626fe579062ff\
    1b99ff91c24a0da06fb32b5be20148c9249f5650");
/// A signature of `SHA256` by the scalar `KEY`
pub(super) const P256_SIGNATURE: [u8; 64] = hex("\
    f98596e5dab26316321c43276c75391c48f97474ff2df6b0683f1b8d3ca619205720e18e10f0858133b29af8fd\
    b314c202b4833cb54fe62b1654fcd7f19114a8");
/// What the scalar `KEY` shares with its own point
pub(super) const P256_SHARED: [u8; 32] = hex("\
    cac733f71fce750193ac9e67e1a06d88a5802df27d0f469421471838cc6b66a7");
/// The public point of the scalar `KEY` on this curve
pub(super) const P384_POINT: [u8; 97] = hex("\
    04d70d061923248743547ddddf15bb1792c8b52354b206ef537610c946617a9e2bfba99ea40d32288ce8448172\
    3ea9d29f321c44e4bd5a2d59e9ddccf1239e7b575efb6567e5c8b848af1d0d1837d98979e40f45a7235f3ed8c0\
    144d5afb55c703");
/// A signature of `SHA256` by the scalar `KEY`
pub(super) const P384_SIGNATURE: [u8; 96] = hex("\
    17cbc89b4f83c843aa0dd6d6aa01d12a21eadc995c921e8778e940f6c1df83176ea10f590ad1126a92c1195d99\
    dc2ced5b5240a074a4d0caf5a8f022e86b9ef141de0e0a759dd62b9261847b81409bbe3439c34a034c90d295ff\
    573efe02c1ea");
/// What the scalar `KEY` shares with its own point
pub(super) const P384_SHARED: [u8; 48] = hex("\
    640760e319189a2aba539330fa9554cc8496cb788694a9c2c4b620d5a1452f44a18fedb0245ca3b461930d2ebb\
    33714b");
/// The public point of the scalar `KEY` on this curve
pub(super) const P521_POINT: [u8; 133] = hex("\
    0400df3ec97448b70a1e6c7e14d18fe2e265888f0ae704e922961520b610a7248c709ba3410eca5a2d62946151\
    b360f47f0a1dfc98632ce27f8c1d9ce1c04d47c38de300a1d1cf55787695c49950e441f48eadf76c6948b9b7c3\
    5c5d80fceaa046ef286370404602bfee96bcfa16984c8dc0e8f67584e3b957b529c73914ce6142ea8018d7");
/// A signature of `SHA256` by the scalar `KEY`
pub(super) const P521_SIGNATURE: [u8; 132] = hex("\
    00654934f9d53ce473f310f4e3a1546452b79dc6d23a33967ca16dfa608787d876064e18b48f4929aa4e602162\
    79cf40effcd5478580a1877457fb3977cfa49d7aef0197e6ecc7e08095b973b1512a8ca3a6eede006dde2ef51e\
    db474bac76fae25c8d16230c0b2e12fd76ec96347e3d900986f9fee54bbeb8e235837ce9f4ac20cedebd");
/// What the scalar `KEY` shares with its own point
pub(super) const P521_SHARED: [u8; 66] = hex("\
    00a7a0ab5d6b68d830d2e52aa5ec162afb4913cd5764226d4d9388487e602d04853b947e4cce0ae2eb6dc3b9aa\
    a3dcbf01cea5a91700b5154e878d5d6ffdf233185d");
/// The public point of the scalar `KEY` on this curve
pub(super) const SECP256K1_POINT: [u8; 65] = hex("\
    046d6caac248af96f6afa7f904f550253a0f3ef3f5aa2fe6838a95b216691468e2487e6222a6664e079c8edf75\
    18defd562dbeda1e7593dfd7f0be285880a24dab");
/// A signature of `SHA256` by the scalar `KEY`
pub(super) const SECP256K1_SIGNATURE: [u8; 64] = hex("\
    100f63bf674982283713c5c309dcd5b97fea7e5f4b1bb53b7631cb0d928fa4051c1dcfd34ec8029c709341b367\
    b0bf6e798121ce31e49b721f7bdbc44eb2bc67");
/// What the scalar `KEY` shares with its own point
pub(super) const SECP256K1_SHARED: [u8; 32] = hex("\
    d863a22414a937c81f0ead6750e33cb880b676bd5cb3b9a46b0ca69390c86fe3");
/// The public key of the seed `KEY`
pub(super) const ED25519_PUBLIC: [u8; 32] = hex("\
    03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
/// The signature of `MESSAGE` by the seed `KEY`
pub(super) const ED25519_SIGNATURE: [u8; 64] = hex("\
    cc46d62d3754f41754b27b6ea2cb2c272bafa7a5a1f6062bd060f414e50caaeac2da66ad39cef4424a90236ea9\
    07b7d8057e3443dc5abfc9986967ee7213a407");
/// The public key of the private key `KEY`
pub(super) const X25519_PUBLIC: [u8; 32] = hex("\
    8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f");
/// What the private key `KEY` shares with its own public key
pub(super) const X25519_SHARED: [u8; 32] = hex("\
    df6baf6f6a43b9744fc5ef9dea1122782f9f696dc4a0d15c03c1787ee6d15e64");
/// SHA-256 of the public key of the seed `KEY`, `KEY` of ML-KEM-768
pub(super) const ML_KEM_768_PUBLIC: [u8; 32] = hex("\
    0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9");
/// What that key takes out of a ciphertext of zeros
pub(super) const ML_KEM_768_SECRET: [u8; 32] = hex("\
    6b246eb18b553ab4cc4a57044d8d1534a885d1d34214c987789619cb73e6129a");
/// SHA-256 of the public key of the seed `KEY` of ML-DSA-65
pub(super) const ML_DSA_65_PUBLIC: [u8; 32] = hex("\
    d666806e11cee19a7c989f7445f90dd419cf4d2d51db8c0fdb4c0f0a542238c9");
/// Modulus of a key made for this test alone
pub(super) const RSA_N: [u8; 256] = hex("\
    b102536d677115185fa491ebc8f3bf33d02d95fd0a7e567265338f9e83e303c656b292ae9d2f6f84ece194174d\
    72828620b88a005ead84ed71b76c5f996c23477d8247abfb9780473510c151f7473967485bcf2406f69fe54241\
    37fc684c9066b22747639965a021b54c4c0a3e2c8f44fe36ab598b0b8a1551e7f35c4e5488f0840213f344efdc\
    9d7736b0c21189c9f3161d543b79d574d0068fb15017dfaed94598d69999811efc3cb475b75ffd5caad6b767bc\
    aedc1806cdc3379e0cdd403b89f7d2889e7a84609ee7d3486da4cf2573e2c1e511405e7bac4cfb59694d223b43\
    7767b7a6344a1208bf6c71c8604cd74fe071848a26ebb17a51f12c60f19679");
/// Private exponent of a key made for this test alone
pub(super) const RSA_D: [u8; 256] = hex("\
    1e7e15d49c33fb0c1497d34a60b6faaa68939dc9b637ced90c8d7e1172cb55f062298782bc91ba1e963702eda3\
    ba14f999a3e8a4092b4fa19ecc18077cf4c7bc0e4735e50ee589a3daa49d04eb79f1cdd4c57a10cd0149c8b2e9\
    ecc4d6cbcfb95d39ce7ebe23675b3f31da4c8e6adb3069b18dc1926625bea7fa32ee65110378d00cb11591f49e\
    b5168310f76f0be6c02be67d26e76c30611338b23e658cb2511153211916c7a6754fd6eda4b5249d11ecad4b4c\
    a5bc14185099439a418e03b3c0e646eef2e9da41361b2aff6e4a0492176a5a9214d8fb335263dbbd37af9d401e\
    fa43571eaa61eecf81bcd648866459cd6d5a27c66de0ddcbe30f8d4c482dbd");
/// First prime of a key made for this test alone
pub(super) const RSA_P: [u8; 128] = hex("\
    d9a37cc684ddf48d16e3675fcafc1a25e91b7cf55efd724002eae1ab33cff335fa9b3e58d067e7ee53fa9e3da8\
    6fedbf34f49866e29fe7bb62b970c805bc395b8c2cd87912126a6f2ebd7d5ac498b53c65dbcfde9e738d8aec35\
    62ade56a00d5d0dd2b290518d8ebf48e61bea49cf7c411da297ddcbf8b2cb75c4413d8d04965");
/// Second prime of a key made for this test alone
pub(super) const RSA_Q: [u8; 128] = hex("\
    d03582ccf7e47ec86a9dd240b8a8f562933dce0f07bb618f9c05b154a2c6d9fa2e97403bc11df2e6042863f828\
    faa396c4e5b3c7b7e9ad35d7fdeb267a0abf8261139ab608f4bb0728a08a543ccd33e64ccf9cabafaa493b7f75\
    19ec858d5113cf98da10399801dbe7399f50688729032ba199bd637050d71a0676894890d185");
/// d mod p - 1 of a key made for this test alone
pub(super) const RSA_DP: [u8; 128] = hex("\
    253f258b9411a858bd220dff06ee3e4b5ea9a5a918a8a774ed0ae5b43719cfb5dd3dd45dbecd0994702ae40a09\
    599e86aab9719baa0d53cb6e09ee934ce7f9a901446b87ccdff9f72d38a0cb77f9ea8a7ba432df169f100a4682\
    9c70c6626de229ecb00645290b76d653c7c6a8c57461c9ec5c4d7e0a09f78d29ed3cb84e6d41");
/// d mod q - 1 of a key made for this test alone
pub(super) const RSA_DQ: [u8; 128] = hex("\
    1f114d022e9f1eb7e308c79db6b027655d1924cd23573778894c64287fdd721b1da69e040c8dde77a9f928e997\
    9bc69b31a820ca554bfdf781d236ab581c9074f0ed4ef188a693ddbe972dece1e1b0b3d5944909693ddc8d8f38\
    36f50efc8633918f7a425f85aa095918450867807b832898856b3812434dc5695f789ea6554d");
/// The inverse of q mod p of a key made for this test alone
pub(super) const RSA_QINV: [u8; 128] = hex("\
    652d0ad19b9dc29b91818615a9224efcaed11aa5477ca2856a644d2b9991ab98b08c5c59a95d3460d48f402cc4\
    46720a05280a3213b960bee06aa9762652e92205f0ea8072acaf46b70ff237f8bb1e5cbe786e9d641e3b4866d7\
    a696cc49be0ced5b611b624491d929a4c3cdd044fc1c36208a4dc3c46c92d7de32b68b5e4cde");
/// SHA-256 of the signature of `MESSAGE` by that key with PKCS#1 v1.5 and SHA-256
pub(super) const RSA_PKCS1: [u8; 32] = hex("\
    3fdfd72ea99aadca1f60098a97ff7b4dc9a996a1d7e302443ed8362a4fae0851");
