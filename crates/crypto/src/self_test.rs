//! Known answers at start-up: one at least of each family, so that a wrong build, a wrong processor or a wrong memory
//! is noticed before a key is used.

mod vectors;

use vectors as known;

use crate::aes::{Cipher, Direction, Mode};
use crate::mac::{Cmac, Hmac};
use crate::pq::{ml_dsa, ml_kem};
use crate::{Curve, Error, Hash, Result, aead, digest, ec, edwards, kdf, montgomery, rsa, wrap};

/// Whether the known answers of one family are given.
type Family = fn() -> Result<bool>;

/// Runs a known answer of each family; a few milliseconds.
///
/// # Errors
/// [`Error::SelfTest`] with the name of the family that failed
pub fn self_test() -> Result<()> {
    let families: [(&'static str, Family); 11] = [
        ("hashes", hashes),
        ("MACs", macs),
        ("AES", aes),
        ("AEAD", aeads),
        ("key wrapping", wrapping),
        ("key derivation", derivation),
        ("elliptic curves", curves),
        ("Ed25519 and X25519", edwards_and_montgomery),
        ("RSA", rsa_operations),
        ("ML-KEM", ml_kem_operations),
        ("ML-DSA", ml_dsa_operations),
    ];
    for (name, family) in families {
        if family() != Ok(true) {
            return Err(Error::SelfTest(name));
        }
    }
    Ok(())
}

fn hashes() -> Result<bool> {
    let message = known::MESSAGE;
    Ok(digest(Hash::Sha1, message)? == known::SHA1
        && digest(Hash::Sha256, message)? == known::SHA256
        && digest(Hash::Sha512, message)? == known::SHA512
        && digest(Hash::Sha3_256, message)? == known::SHA3_256)
}

fn macs() -> Result<bool> {
    let hmac = |hash| {
        let mut hmac = Hmac::new(hash, &known::KEY);
        hmac.update(known::MESSAGE);
        hmac.finish()
    };
    let mut cmac = Cmac::new(&known::KEY)?;
    cmac.update(known::MESSAGE);
    Ok(*hmac(Hash::Sha256)? == known::HMAC_SHA256
        && *hmac(Hash::Sha3_256)? == known::HMAC_SHA3_256
        && *cmac.finish()? == known::CMAC)
}

fn aes() -> Result<bool> {
    let run = |mode: &Mode, direction, data: &[u8]| {
        let mut cipher = Cipher::new(mode.clone(), direction, &known::KEY)?;
        let mut out = cipher.update(data)?;
        out.extend(cipher.finish()?);
        Ok::<_, Error>(out)
    };
    let block = known::BLOCK;
    let counter_bits = 128;
    for (mode, plain, sealed) in [
        (Mode::Ecb, block.as_slice(), known::ECB.as_slice()),
        (Mode::CbcPad { iv: block }, known::MESSAGE, &known::CBC_PAD),
        (
            Mode::Ctr {
                block,
                counter_bits,
            },
            known::MESSAGE,
            &known::CTR,
        ),
    ] {
        if run(&mode, Direction::Encrypt, plain)? != sealed
            || run(&mode, Direction::Decrypt, sealed)? != plain
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn aeads() -> Result<bool> {
    let (key, nonce, aad) = (&known::KEY, &known::NONCE, known::AAD);
    let message = known::MESSAGE;
    let (gcm, gcm_tag) = known::GCM.split_at(message.len());
    let (ccm, ccm_mac) = known::CCM.split_at(message.len());
    let wrong = [0; 16];
    Ok(
        aead::gcm_seal(key, nonce, aad, message, gcm_tag.len())? == known::GCM
            && *aead::gcm_open(key, nonce, aad, gcm, gcm_tag)? == message
            && aead::gcm_open(key, nonce, aad, gcm, &wrong) == Err(Error::DecryptFailed)
            && aead::ccm_seal(key, nonce, aad, message, ccm_mac.len())? == known::CCM
            && *aead::ccm_open(key, nonce, aad, ccm, ccm_mac)? == message
            && aead::ccm_open(key, nonce, aad, ccm, &wrong) == Err(Error::DecryptFailed),
    )
}

fn wrapping() -> Result<bool> {
    let key = &known::KEY;
    Ok(wrap::kw_wrap(key, None, &known::BLOCK)? == known::KW
        && *wrap::kw_unwrap(key, None, &known::KW)? == known::BLOCK
        && wrap::kwp_wrap(key, known::MESSAGE)? == known::KWP
        && *wrap::kwp_unwrap(key, &known::KWP)? == known::MESSAGE
        && wrap::kw_unwrap(key, None, &[0; 24]) == Err(Error::DecryptFailed))
}

fn derivation() -> Result<bool> {
    let (hash, key, message) = (Hash::Sha256, &known::KEY, known::MESSAGE);
    let prk = kdf::hkdf_extract(hash, &known::BLOCK, key)?;
    Ok(
        *kdf::hkdf_expand(hash, &prk, message, known::HKDF.len())? == known::HKDF
            && *kdf::pbkdf2(hash, message, &known::BLOCK, 2, known::PBKDF2.len())? == known::PBKDF2
            && *kdf::x963(hash, key, message, known::X963.len())? == known::X963
            && *kdf::concat_sp800_56a(hash, key, message, known::CONCAT.len())? == known::CONCAT,
    )
}

fn curves() -> Result<bool> {
    let digest = &known::SHA256;
    for (curve, point, signature, shared) in [
        (
            Curve::P256,
            known::P256_POINT.as_slice(),
            known::P256_SIGNATURE.as_slice(),
            known::P256_SHARED.as_slice(),
        ),
        (
            Curve::P384,
            &known::P384_POINT,
            &known::P384_SIGNATURE,
            &known::P384_SHARED,
        ),
        (
            Curve::P521,
            &known::P521_POINT,
            &known::P521_SIGNATURE,
            &known::P521_SHARED,
        ),
        (
            Curve::Secp256k1,
            &known::SECP256K1_POINT,
            &known::SECP256K1_SIGNATURE,
            &known::SECP256K1_SHARED,
        ),
    ] {
        let private = ec::PrivateKey::new(curve, &known::KEY)?;
        let public = ec::PublicKey::new(curve, point)?;
        let good = private.public_point() == point
            && public.verify(digest, signature)
            && !public.verify(&known::SHA3_256, signature)
            && public.verify(digest, &private.sign(digest)?)
            && *private.ecdh(point)? == shared;
        if !good {
            return Ok(false);
        }
    }
    Ok(true)
}

fn edwards_and_montgomery() -> Result<bool> {
    let (pure, message) = (edwards::Variant::Pure, known::MESSAGE);
    let private = edwards::PrivateKey::new(&known::KEY)?;
    let public = edwards::PublicKey::new(&known::ED25519_PUBLIC)?;
    let exchange = montgomery::PrivateKey::new(&known::KEY)?;
    Ok(private.public() == known::ED25519_PUBLIC
        && private.sign(message, pure)? == known::ED25519_SIGNATURE
        && public.verify(message, pure, &known::ED25519_SIGNATURE)
        && !public.verify(known::AAD, pure, &known::ED25519_SIGNATURE)
        && exchange.public() == known::X25519_PUBLIC
        && *exchange.agree(&known::X25519_PUBLIC)? == known::X25519_SHARED)
}

fn rsa_operations() -> Result<bool> {
    let secret = |number: &[u8]| number.to_vec().into();
    let parts = rsa::RsaParts {
        n: known::RSA_N.to_vec(),
        e: vec![1, 0, 1],
        d: secret(&known::RSA_D),
        p: secret(&known::RSA_P),
        q: secret(&known::RSA_Q),
        dp: secret(&known::RSA_DP),
        dq: secret(&known::RSA_DQ),
        qinv: secret(&known::RSA_QINV),
    };
    let private = rsa::PrivateKey::new(&parts)?;
    let public = rsa::PublicKey::new(&parts.n, &parts.e)?;
    let (hash, message) = (Hash::Sha256, known::SHA256);
    let pkcs1 = private.sign_pkcs1_digest(hash, &message)?;
    let pss = private.sign_pss(hash, hash, 32, &message)?;
    let sealed = public.encrypt_pkcs1(&message)?;
    let oaep = public.encrypt_oaep(hash, hash, known::AAD, &message)?;
    Ok(digest(hash, &pkcs1)? == known::RSA_PKCS1
        && public.verify_pkcs1_digest(hash, &message, &pkcs1)
        && !public.verify_pkcs1_digest(hash, &known::SHA3_256, &pkcs1)
        && public.verify_pss(hash, hash, 32, &message, &pss)
        && !public.verify_pss(hash, hash, 32, &known::SHA3_256, &pss)
        && *private.decrypt_pkcs1(&sealed)? == message
        && *private.decrypt_oaep(hash, hash, known::AAD, &oaep)? == message)
}

fn ml_kem_operations() -> Result<bool> {
    let set = ml_kem::ParameterSet::MlKem768;
    let private = ml_kem::PrivateKey::from_seed(set, &[known::KEY, known::KEY].concat())?;
    let public = private.public()?;
    let (ciphertext, secret) = ml_kem::PublicKey::new(set, &public)?.encapsulate()?;
    let zeros = vec![0; set.ciphertext_bytes()];
    Ok(digest(Hash::Sha256, &public)? == known::ML_KEM_768_PUBLIC
        && *private.decapsulate(&zeros)? == known::ML_KEM_768_SECRET
        && private.decapsulate(&ciphertext)? == secret)
}

fn ml_dsa_operations() -> Result<bool> {
    let set = ml_dsa::ParameterSet::MlDsa65;
    let private = ml_dsa::PrivateKey::from_seed(set, &known::KEY)?;
    let public = ml_dsa::PublicKey::new(set, private.public())?;
    let signature = private.sign(known::MESSAGE, &[], ml_dsa::Hedge::Hedged)?;
    Ok(
        digest(Hash::Sha256, private.public())? == known::ML_DSA_65_PUBLIC
            && public.verify(known::MESSAGE, &[], &signature)
            && !public.verify(known::AAD, &[], &signature),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_known_answer_is_given() {
        assert_eq!(super::self_test(), Ok(()));
    }
}
