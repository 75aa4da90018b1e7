//! Files under a password: `tests/keys/encrypted`, all under the password x.

use super::*;
use crate::object::export::{Exported, export};

fn directory() -> PathBuf {
    keys().join("encrypted")
}

fn open(file: &SecretBytes, password: &str) -> Result<Vec<Object>, ImportError> {
    let password = SecretBytes::from(password.as_bytes());
    super::super::import(file, None, &Naming::default(), Some(&password))
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

/// Without the id, which a store's objects get.
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

#[test]
fn an_id_that_is_given_is_the_keys_and_its_certificates() {
    let file = fs::read(directory().join("key-and-chain.p12")).unwrap();
    let password = SecretBytes::from(b"x".as_slice());
    let file = SecretBytes::new(file);
    let objects = super::super::import(&file, None, &naming(), Some(&password)).unwrap();
    let ids: Vec<_> = objects.iter().map(id).collect();
    assert_eq!(ids[..2], [[1, 2], [1, 2]]);
    assert_eq!(ids[2].len(), 20);
    assert!(objects.iter().all(|object| object.label() == "imported"));
}

/// Every private key's public half is what openssl made of it.
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
            "the file is protected by 3DES, which is not read",
            &["pkcs8-3des.der", "pkcs8-pbes1.der", "3des.p12"][..],
        ),
        (
            "the file is protected by scrypt, which is not read",
            &["pkcs8-scrypt.der"],
        ),
        (
            "the file is protected by RC2 of 40 bits, which is not read",
            &["legacy.p12"],
        ),
        (
            "the file is a PKCS#12 store without a MAC, which is not imported",
            &["no-mac.p12"],
        ),
        (
            "the password does not open the file: it is another one, or the file is damaged",
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
            "the file asks for more than 10000000 rounds of key derivation",
            &[
                "pkcs8-rounds-10000001.der",
                "pkcs8-rounds-2147483648.der",
                "pkcs8-rounds-1099511627776.der",
                "pkcs8-rounds-1208925819614629174706176.der",
                "mac-rounds-1099511627776.p12",
                "rounds-6000000-twice.p12",
            ],
        ),
        (
            "the key derivation holds a number or date that cannot be there",
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
        for password in ["", "X", "x ", "xx"] {
            let error = open(&content, password).unwrap_err();
            // Without a MAC, one wrong password in 256 looks like a key that is none.
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
    for (name, content) in files(&directory()) {
        if name.ends_with(".pem") {
            continue;
        }
        let size = content.bytes().len();
        for keep in (1..size).step_by(7).chain([size - 1]) {
            let cut = SecretBytes::from(&content.bytes()[..keep]);
            match open(&cut, "x") {
                Ok(_) => panic!("{name} of {keep} bytes"),
                Err(error) => says_nothing_of(cut.bytes(), &error),
            }
        }
        let more = [content.bytes(), b"x"].concat();
        assert!(open(&SecretBytes::new(more), "x").is_err(), "{name}");
        for index in (0..size).step_by(5) {
            let mut changed = content.clone();
            changed.bytes_mut()[index] ^= 0x10;
            match open(&changed, "x") {
                // A store's MAC leaves no byte of it unprotected but its own numbers.
                Ok(_) if name.ends_with(".p12") => panic!("{name} {index}"),
                Ok(objects) => assert!(codec::encode(&objects[0]).is_some()),
                Err(error) => says_nothing_of(changed.bytes(), &error),
            }
        }
    }
}
