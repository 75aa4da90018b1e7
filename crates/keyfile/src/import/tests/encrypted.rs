//! Encrypted files: `tests/keys/encrypted`, all with the password x.

use super::*;
use crate::export::{Exported, export};

fn directory() -> PathBuf {
    keys().join("encrypted")
}

fn open(file: &SecretBytes, password: &str) -> Result<Vec<Object>, ImportError> {
    let password = SecretBytes::from(password.as_bytes());
    super::super::import(file, None, &Naming::default(), Some(&password))
        .map(|imported| imported.objects)
}

fn opened(name: &str) -> Vec<Object> {
    let file = SecretBytes::new(fs::read(directory().join(name)).unwrap());
    match open(&file, "x") {
        Ok(objects) => objects,
        Err(error) => panic!("{name}: {error}"),
    }
}

fn plain(name: &str) -> Object {
    let content = fs::read(keys().join(name)).unwrap();
    import(&SecretBytes::new(content), None, &Naming::default()).unwrap()
}

/// Whether two objects are equal except for the id, which objects of a store get.
fn same(one: &Object, other: &Object) -> bool {
    let without = |object: &Object| {
        let mut attributes = object.attributes.clone();
        attributes.remove(&CKA_ID);
        attributes
    };
    one.class == other.class && without(one) == without(other)
}

fn id(object: &Object) -> &[u8] {
    match &object.attributes[&CKA_ID] {
        Attribute::Bytes(id) => id,
        _ => unreachable!(),
    }
}

#[test]
fn an_encrypted_key_is_the_key() {
    for (name, key) in [
        ("pkcs8-aes256.pem", "ec-p256.pem"),
        ("pkcs8-aes256.der", "ec-p256.pem"),
        ("pkcs8-aes192-sha512.der", "ec-p256.pem"),
        ("pkcs8-aes128-sha1.der", "ec-p256.pem"),
        ("pkcs8-rsa.der", "rsa-2048.pem"),
        ("pkcs8-3des.der", "ec-p256.pem"),
        ("pkcs8-sha1-3des.der", "ec-p256.pem"),
        ("pkcs8-sha1-2des.der", "ec-p256.pem"),
        ("openssh-aes256-ctr.pem", "ec-p256.pem"),
        ("openssh-aes128-cbc.pem", "ec-p256.pem"),
        ("openssh-aes256-gcm.pem", "ec-p256.pem"),
        ("openssh-chacha20-poly1305.pem", "ec-p256.pem"),
        ("openssh-3des-cbc.pem", "ec-p256.pem"),
        ("openssh-rsa.pem", "rsa-2048.pem"),
    ] {
        let objects = opened(name);
        assert_eq!(objects.len(), 1, "{name}");
        assert_eq!(objects[0].attributes, plain(key).attributes, "{name}");
    }
}

#[test]
fn a_store_is_its_key_and_certificates() {
    let (ec, rsa) = ("ec-p256.pem", "rsa-2048.pem");
    let (own, other) = ("certificate-to-2049.pem", "certificate-v1.pem");
    for (name, expected) in [
        ("key-and-certificate.p12", &[ec, own][..]),
        ("key-alone.p12", &[ec]),
        ("certificates.p12", &[own]),
        ("key-and-chain.p12", &[ec, own, other]),
        ("rsa-of-aes128.p12", &[rsa, other]),
        ("sha512-mac.p12", &[ec, own]),
        ("certificates-not-encrypted.p12", &[ec, own]),
        ("key-not-encrypted.p12", &[ec, own]),
        ("3des.p12", &[ec, own]),
        ("two-key-3des.p12", &[ec, own]),
        ("pbmac1-sha256.p12", &[ec, own]),
        ("pbmac1-sha512.p12", &[ec, own]),
        ("ber.p12", &[ec, own]),
        ("long-lengths.p12", &[ec, own]),
        ("certtool.pem", &[ec, own]),
        ("nss.p12", &[ec, own]),
        ("nss-aes256.p12", &[ec, own]),
        ("nss-3des.p12", &[ec, own]),
        ("gnutls.p12", &[ec, own]),
        ("gnutls-3des.p12", &[ec, own]),
        ("gnutls-aes128.p12", &[ec, own]),
    ] {
        let objects = opened(name);
        assert_eq!(objects.len(), expected.len(), "{name}");
        for (object, expected) in objects.iter().zip(expected) {
            assert!(same(object, &plain(expected)), "{name} {expected}");
            assert_eq!(id(object).len(), 20, "{name}");
        }
        if let [key, own, others @ ..] = &objects[..] {
            assert_eq!(id(key), id(own), "{name}");
            for other in others {
                assert_ne!(id(key), id(other), "{name}");
            }
        }
    }
}

/// The empty password as two zero bytes and as no bytes, for the MAC and for each cipher.
#[test]
fn an_empty_password_opens_what_has_one_or_none() {
    let files = files(&directory().join("empty"));
    assert!(files.len() >= 8);
    for (name, content) in files {
        match open(&content, "") {
            Ok(objects) => {
                assert_eq!(objects.len(), 2, "{name}");
                assert!(same(&objects[0], &plain("ec-p256.pem")), "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
        if name.starts_with("openssl") {
            assert!(
                matches!(open(&content, "x"), Err(ImportError::Password)),
                "{name}"
            );
        }
    }
}

#[test]
fn what_is_not_imported_of_a_store_is_named_and_the_rest_is() {
    let secret = "a secret key cannot be imported";
    let dsa = "keys of algorithm DSA are not supported";
    for (name, classes, left_out) in [
        (
            "java-secret-and-ec.p12",
            &[CKO_PRIVATE_KEY, CKO_CERTIFICATE][..],
            &[secret][..],
        ),
        (
            "java-secrets-ec-and-dsa.p12",
            &[CKO_PRIVATE_KEY, CKO_CERTIFICATE, CKO_CERTIFICATE],
            &[secret, dsa, secret],
        ),
    ] {
        let file = SecretBytes::new(fs::read(directory().join("partial").join(name)).unwrap());
        let password = SecretBytes::from(b"xxxxxx".as_slice());
        let imported =
            super::super::import(&file, None, &Naming::default(), Some(&password)).unwrap();
        let found: Vec<_> = imported.objects.iter().map(|object| object.class).collect();
        assert_eq!(found, classes, "{name}");
        let mut whys: Vec<_> = imported
            .left_out
            .iter()
            .map(|it| it.why.to_string())
            .collect();
        let mut expected = left_out.to_vec();
        whys.sort();
        expected.sort_unstable();
        assert_eq!(whys, expected, "{name}");
    }
    let file = fs::read(directory().join("partial/java-secret.p12")).unwrap();
    let refused = open(&SecretBytes::new(file), "xxxxxx").unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("the PKCS#12 store holds nothing that can be imported: entry 1: {secret}")
    );
    assert!(refused.hint().unwrap().contains("-type aes"));
}

#[test]
fn an_id_that_is_given_is_the_keys_and_its_certificates() {
    let file = fs::read(directory().join("key-and-chain.p12")).unwrap();
    let password = SecretBytes::from(b"x".as_slice());
    let file = SecretBytes::new(file);
    let objects = super::super::import(&file, None, &naming(), Some(&password))
        .unwrap()
        .objects;
    let ids: Vec<_> = objects.iter().map(id).collect();
    assert_eq!(ids[..2], [[1, 2], [1, 2]]);
    assert_eq!(ids[2].len(), 20);
    assert!(objects.iter().all(|object| object.label() == "imported"));
}

/// The public half of every private key is the one that openssl wrote.
#[test]
fn public_halves_are_those_of_openssl() {
    let mut seen = 0;
    for (name, content) in files(&keys()) {
        let Some(key) = name.strip_suffix(".pem") else {
            continue;
        };
        let Ok(expected) = fs::read(keys().join(format!("{key}.pub.der"))) else {
            continue;
        };
        let object = import(&content, None, &naming()).unwrap();
        assert_eq!(export(&object), Ok(Exported::PublicKey(expected)), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn what_is_encrypted_is_known_without_a_password() {
    for (name, content) in files(&directory()) {
        assert!(is_encrypted(&content), "{name}");
        let refused = import(&content, None, &naming()).unwrap_err();
        assert!(matches!(refused, ImportError::Encrypted), "{name}");
        assert!(refused.hint().unwrap().contains("-filepasswordfile"));
    }
    for (name, content) in files(&keys()) {
        assert!(!is_encrypted(&content), "{name}");
    }
    assert!(!is_encrypted(&SecretBytes::new(Vec::new())));
}

#[test]
fn bad_files_are_refused_for_what_is_wrong_with_them() {
    let mut listed = BTreeSet::new();
    let files = files(&directory().join("bad"));
    for (says, names) in [
        (
            "the file is protected with scrypt, which is not supported",
            &["pkcs8-scrypt.der"][..],
        ),
        (
            "the file is protected with MD5 and DES (PBES1), which is not supported",
            &["pkcs8-pbe-md5-des.der"],
        ),
        (
            "the file is protected with SHA-1 and DES (PBES1), which is not supported",
            &["pkcs8-pbe-sha1-des.der"],
        ),
        (
            "the file is protected with RC4, which is not supported",
            &["pkcs8-pbe-sha1-rc4-128.der", "rc4.p12"],
        ),
        (
            "the file is protected with RC2, which is not supported",
            &["pkcs8-pbe-sha1-rc2-128.der", "pkcs8-rc2.der", "rc2.p12"],
        ),
        (
            "the file is protected with DES, which is not supported",
            &["pkcs8-des.der"],
        ),
        (
            "the MAC's key length holds an invalid number or date",
            &["pbmac1-short-key.p12"],
        ),
        (
            "the file is protected with Camellia, which is not supported",
            &["pkcs8-camellia.der"],
        ),
        (
            "the file is protected with 40-bit RC2, which is not supported",
            &["legacy.p12"],
        ),
        (
            "a PKCS#12 store without a MAC cannot be imported",
            &["no-mac.p12"],
        ),
        (
            "the password is wrong, or the file is damaged",
            &[
                "pkcs8-ciphertext-empty.der",
                "pkcs8-ciphertext-of-17-bytes.der",
                "pkcs8-ciphertext-of-zeros.der",
                "pkcs8-salt-empty.der",
                "password-empty.p12",
                "byte-first-changed.p12",
                "byte-middle-changed.p12",
            ],
        ),
        (
            "the file needs more than 10000000 rounds of key derivation",
            &[
                "pkcs8-rounds-10000001.der",
                "pkcs8-rounds-2147483648.der",
                "pkcs8-rounds-1099511627776.der",
                "pkcs8-rounds-1208925819614629174706176.der",
                "mac-rounds-1099511627776.p12",
                "rounds-6000000-twice.p12",
                "openssh-rounds-1001.pem",
            ],
        ),
        (
            "the key derivation holds an invalid number or date",
            &["pkcs8-rounds-0.der"],
        ),
    ] {
        for name in names {
            let error = open(&files[*name], "x").unwrap_err();
            assert_eq!(error.to_string(), says, "{name}");
            assert!(error.hint().is_some(), "{name}");
            listed.insert(*name);
        }
    }
    let there: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(there, listed);
    assert_eq!(open(&files["password-empty.p12"], "").unwrap().len(), 2);
}

#[test]
fn another_password_opens_nothing() {
    for (name, content) in files(&directory()) {
        // The key derivation of NSS and GnuTLS files takes a second each time.
        let slow = name.starts_with("nss") || name.starts_with("gnutls");
        for password in &["", "X", "x ", "xx"][..if slow { 1 } else { 4 }] {
            let error = open(&content, password).unwrap_err();
            // Without a MAC, one wrong password in 256 gives right padding and invalid DER.
            let told = matches!(error, ImportError::Password | ImportError::Der { .. });
            assert!(told, "{name} {password:?}: {error}");
        }
        let not_text = SecretBytes::new(vec![0xff]);
        let refused = super::super::import(&content, None, &naming(), Some(&not_text));
        assert!(refused.is_err(), "{name}");
    }
}

#[test]
fn cut_short_or_changed_is_refused() {
    // The key derivation of other programs takes a second each time.
    let quickly = |file: &SecretBytes| {
        let password = SecretBytes::from(b"x".as_slice());
        fuzzing::import_quickly(file, None, &Naming::default(), Some(&password))
    };
    for (name, content) in files(&directory()) {
        if name.ends_with(".pem") {
            continue;
        }
        let size = content.bytes().len();
        for keep in (1..size).step_by(7).chain([size - 1]) {
            let cut = SecretBytes::from(&content.bytes()[..keep]);
            match quickly(&cut) {
                Ok(_) => panic!("{name} of {keep} bytes"),
                Err(error) => says_nothing_of(cut.bytes(), &error),
            }
        }
        let more = [content.bytes(), b"x"].concat();
        assert!(quickly(&SecretBytes::new(more)).is_err(), "{name}");
        for index in (0..size).step_by(5) {
            let mut changed = content.clone();
            changed.bytes_mut()[index] ^= 0x10;
            match quickly(&changed) {
                // The MAC of a store protects every byte except the MAC's own numbers; the salt beside PBMAC1 is unused.
                Ok(_) if name.ends_with(".p12") && !name.starts_with("pbmac1") => {
                    panic!("{name} {index}")
                }
                Ok(objects) => assert!(codec::encode(&objects[0]).is_some()),
                Err(error) => says_nothing_of(changed.bytes(), &error),
            }
        }
    }
}
