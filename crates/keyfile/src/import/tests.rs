//! Real files, which `tests/keys/make.py` makes with openssl and other tools.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bad;
mod encrypted;
mod several;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::*;
use slotfs_object::codec;
use slotfs_object::pkcs11::*;
use slotfs_object::{Attribute, show};

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/keys")
}

/// The key files of a directory, by name.
fn files(directory: &Path) -> BTreeMap<String, SecretBytes> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let content = fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, SecretBytes::new(content))
        })
        .filter(|(name, _)| name != "make.py" && name != "expected")
        .collect()
}

fn naming() -> Naming {
    Naming {
        label: "imported".to_owned(),
        id: vec![1, 2],
    }
}

/// Imports a file that holds one object.
fn import(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let mut objects = super::import(file, raw, naming, None)?.objects;
    assert_eq!(objects.len(), 1);
    Ok(objects.remove(0))
}

fn import_one(name: &str) -> Result<Object, ImportError> {
    let content = fs::read(keys().join(name)).unwrap();
    import(&SecretBytes::new(content), None, &naming())
}

/// The value in the notation of `expected`, which openssl wrote.
fn as_expected(number: u32, value: &Attribute) -> String {
    match value {
        Attribute::Bytes(bytes) => HEXLOWER.encode(bytes),
        Attribute::Secret(secret) => HEXLOWER.encode(secret.bytes()),
        Attribute::Number(_) if number == CKA_CERTIFICATE_TYPE => "CKC_X_509".to_owned(),
        Attribute::Number(number) => number.to_string(),
        Attribute::Date(date) => date.to_string(),
        Attribute::Bool(_) | Attribute::Text(_) => unreachable!(),
    }
}

#[test]
fn every_good_file_becomes_an_object_that_can_be_stored() {
    let files = files(&keys());
    assert!(files.len() > 60);
    for (name, content) in &files {
        let object = match import(content, None, &naming()) {
            Ok(object) => object,
            Err(error) => panic!("{name}: {error}"),
        };
        assert!(object.is_well_formed(), "{name}");
        let payload = codec::encode(&object).unwrap();
        assert_eq!(codec::decode(payload.bytes()), Ok(object.clone()), "{name}");
        assert_eq!(object.label(), "imported");
        let class = match name {
            _ if name.contains("certificate") => CKO_CERTIFICATE,
            _ if name.contains(".pub.") => CKO_PUBLIC_KEY,
            _ => CKO_PRIVATE_KEY,
        };
        assert_eq!(object.class, class, "{name}");
        let key_type = match name.split(['-', '.']).next() {
            Some("rsa") => Some(CKK_RSA),
            Some("ec") => Some(CKK_EC),
            Some("ed25519") => Some(CKK_EC_EDWARDS),
            Some("x25519") => Some(CKK_EC_MONTGOMERY),
            _ => None,
        };
        assert_eq!(object.key_type, key_type, "{name}");
        let id = Attribute::Bytes(vec![1, 2]);
        assert_eq!(object.attributes.get(&CKA_ID), Some(&id), "{name}");
    }
}

#[test]
fn attributes_are_what_openssl_reads() {
    let expected = fs::read_to_string(keys().join("expected")).unwrap();
    let mut objects = BTreeMap::new();
    for line in expected.lines() {
        let [file, attribute, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let object = objects
            .entry(file)
            .or_insert_with(|| import_one(file).unwrap());
        let (number, found) = object
            .attributes
            .iter()
            .find(|(number, _)| attribute_name(**number) == attribute)
            .unwrap_or_else(|| panic!("{file} has no {attribute}"));
        assert_eq!(as_expected(*number, found), value, "{file} {attribute}");
    }
    assert!(objects.len() > 40);
}

#[test]
fn one_key_in_every_form_is_one_object() {
    for (one, others) in [
        (
            "rsa-2048.pem",
            &[
                "rsa-2048.der",
                "rsa-2048.traditional.pem",
                "rsa-2048.traditional.der",
                "rsa-2048.one-line.pem",
                "rsa-2048.text-below.pem",
                "rsa-2048.blank-in-front.pem",
                "rsa-2048.blanks-behind.pem",
                "rsa-2048.blanks-below.pem",
                "rsa-2048.blanks-for-lines.pem",
                "rsa-2048.blanks-that-do-not-break.pem",
                "rsa-2048.zeros-behind.pem",
                "rsa-2048.byte-order-mark.pem",
                "rsa-2048.utf-16-big.pem",
                "rsa-2048.utf-16-little.pem",
                "rsa-2048.carriage-return.pem",
                "rsa-2048.headers.pem",
                "rsa-2048.indented.pem",
                "rsa-2048.lines-between.pem",
                "rsa-2048.uneven-lines.pem",
                "rsa-2048.openssh.pem",
                "rsa-2048-of-indefinite-length.der",
                "rsa-2048-of-indefinite-length.pem",
                "rsa-2048-zero-in-front.der",
            ][..],
        ),
        (
            "ec-p521.pem",
            &[
                "ec-p521.traditional.pem",
                "ec-p521.traditional.der",
                "ec-p521.openssh.pem",
            ],
        ),
        (
            "ec-p256.pem",
            &[
                "ec-p256.parameters-above.pem",
                "ec-p256-compressed-point.pem",
                "ec-p256-of-indefinite-length.der",
                "ec-p256-three-zeros-too-many.der",
                "ec-p256-zero-too-many.der",
                "ec-p256.openssh.pem",
            ],
        ),
        ("ec-p384.pem", &["ec-p384.openssh.pem"]),
        (
            "rsa-2048.pub.pem",
            &[
                "rsa-2048.pkcs1.pub.pem",
                "rsa-2048.pkcs1.pub.der",
                "rsa-2048-without-parameters.pub.der",
                "rsa-2048.openssh.pub.txt",
            ],
        ),
        (
            "ec-p256.pub.pem",
            &[
                "ec-p256-hybrid-point.pub.pem",
                "ec-p256-of-long-lengths.pub.der",
                "ec-p256.openssh.pub.txt",
            ],
        ),
        ("ec-p384.pub.pem", &["ec-p384.openssh.pub.txt"]),
        ("ec-p521.pub.pem", &["ec-p521.openssh.pub.txt"]),
        (
            "ed25519.pem",
            &["ed25519.der", "ed25519.crlf.pem", "ed25519.text-above.pem"],
        ),
        (
            "certificate-v1.pem",
            &[
                "certificate-with-text.pem",
                "certificate-v1.byte-order-mark.pem",
                "certificate-v1.pkcs7.pem",
                "certificate-v1-of-indefinite-length.der",
            ],
        ),
    ] {
        for other in others {
            let name = other;
            let (one, other) = (import_one(one).unwrap(), import_one(other).unwrap());
            assert_eq!(one.attributes, other.attributes, "{name}");
            assert_ne!(one.ouid, other.ouid);
        }
    }
}

/// ssh-keygen can make such a key and cannot convert it.
#[test]
fn the_halves_of_an_ed25519_key_of_openssh_belong_together() {
    let private = import_one("ed25519-of-openssh.pem").unwrap();
    let public = import_one("ed25519-of-openssh.pub.txt").unwrap();
    let info = |object: &Object| object.attributes[&CKA_PUBLIC_KEY_INFO].clone();
    assert_eq!(info(&private), info(&public));
}

#[test]
fn usage_is_what_the_key_type_can_do() {
    for (name, on, off) in [
        (
            "rsa-2048.pem",
            &[
                CKA_SIGN,
                CKA_DECRYPT,
                CKA_UNWRAP,
                CKA_SENSITIVE,
                CKA_PRIVATE,
            ][..],
            &[
                CKA_DERIVE,
                CKA_EXTRACTABLE,
                CKA_LOCAL,
                CKA_NEVER_EXTRACTABLE,
            ][..],
        ),
        (
            "rsa-2048.pub.pem",
            &[CKA_VERIFY, CKA_ENCRYPT, CKA_WRAP],
            &[CKA_DERIVE, CKA_PRIVATE, CKA_LOCAL],
        ),
        ("ec-p256.pem", &[CKA_SIGN, CKA_DERIVE], &[CKA_DECRYPT]),
        ("ed25519.pem", &[CKA_SIGN], &[CKA_DERIVE, CKA_DECRYPT]),
        ("x25519.pem", &[CKA_DERIVE], &[CKA_SIGN]),
        ("x25519.pub.pem", &[CKA_TOKEN], &[CKA_VERIFY, CKA_ENCRYPT]),
        (
            "certificate-v1.pem",
            &[CKA_TOKEN, CKA_MODIFIABLE],
            &[CKA_PRIVATE, CKA_TRUSTED],
        ),
    ] {
        let object = import_one(name).unwrap();
        for (numbers, value) in [(on, true), (off, false)] {
            for number in numbers {
                let found = object.attributes.get(number);
                let name = format!("{name} {}", attribute_name(*number));
                assert_eq!(found, Some(&Attribute::Bool(value)), "{name}");
            }
        }
    }
}

#[test]
fn raw_values_are_the_bytes_of_the_file() {
    let of = |bytes: usize, raw| import(&SecretBytes::new(vec![7; bytes]), Some(raw), &naming());
    for bytes in [16, 24, 32] {
        let key = of(bytes, RawType::Aes).unwrap();
        assert_eq!((key.class, key.key_type), (CKO_SECRET_KEY, Some(CKK_AES)));
        let value = Attribute::Secret(SecretBytes::new(vec![7; bytes]));
        assert_eq!(key.attributes.get(&CKA_VALUE), Some(&value));
    }
    let refused = of(33, RawType::Aes).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "an AES key has 16, 24 or 32 bytes, not 33"
    );
    let generic = of(1, RawType::Generic).unwrap();
    assert_eq!(generic.key_type, Some(CKK_GENERIC_SECRET));
    let plain = Naming {
        label: "notes".to_owned(),
        id: Vec::new(),
    };
    // With `RawType::Data`, a key file is data too.
    let file = SecretBytes::new(fs::read(keys().join("ec-p256.pem")).unwrap());
    let data = import(&file, Some(RawType::Data), &plain).unwrap();
    assert_eq!(data.attributes[&CKA_VALUE], Attribute::Secret(file));
    assert!(of(1, RawType::Data).is_err());
}

#[test]
fn files_without_bytes_or_with_too_many() {
    for raw in [
        None,
        Some(RawType::Aes),
        Some(RawType::Generic),
        Some(RawType::Data),
    ] {
        let empty = import(&SecretBytes::new(vec![]), raw, &Naming::default());
        assert!(matches!(empty, Err(ImportError::EmptyFile)));
        let large = SecretBytes::new(vec![0x30; MAX_FILE_BYTES + 1]);
        let large = import(&large, raw, &Naming::default());
        assert!(matches!(large, Err(ImportError::FileTooLarge(_))));
    }
    let large = SecretBytes::new(vec![0; codec::MAX_PAYLOAD_BYTES]);
    let large = import(&large, Some(RawType::Data), &Naming::default());
    assert!(matches!(
        large,
        Err(ImportError::New(new::NewError::TooLarge))
    ));
}

/// All files that are small enough to be changed byte by byte.
fn small_files() -> Vec<(String, SecretBytes)> {
    let (good, bad) = (files(&keys()), files(&keys().join("bad")));
    good.into_iter()
        .chain(bad)
        // OpenSSH's public keys end in a comment, which may change.
        .filter(|(name, content)| content.bytes().len() < 700 && !name.ends_with(".pub.txt"))
        .collect()
}

/// The bytes of a file that cannot be cut off: of PEM, all up to the dashes of END.
fn needed(file: &[u8]) -> usize {
    let dashes = file.windows(5).rposition(|window| window == b"-----");
    dashes.map_or(file.len(), |start| start + 5)
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for (name, content) in small_files() {
        let needed = needed(content.bytes());
        for keep in 1..needed.min(content.bytes().len()) {
            let cut = content.bytes()[..keep].to_vec();
            match import(&SecretBytes::new(cut), None, &naming()) {
                Ok(_) => panic!("{name} of {keep} bytes"),
                Err(error) => says_nothing_of(content.bytes(), &error),
            }
        }
    }
}

#[test]
fn a_byte_more_is_refused() {
    for (name, content) in small_files() {
        let more = [&content.bytes()[..needed(content.bytes())], b"x"].concat();
        match import(&SecretBytes::new(more), None, &naming()) {
            Ok(_) => panic!("{name}"),
            Err(error) => says_nothing_of(content.bytes(), &error),
        }
    }
}

#[test]
fn no_changed_byte_panics_or_leaks() {
    for (name, content) in small_files() {
        for index in 0..content.bytes().len() {
            for change in [0x01, 0x80] {
                let mut changed = content.clone();
                changed.bytes_mut()[index] ^= change;
                match import(&changed, None, &naming()) {
                    Ok(object) => assert!(codec::encode(&object).is_some(), "{name} {index}"),
                    Err(error) => says_nothing_of(changed.bytes(), &error),
                }
            }
        }
    }
}

#[test]
fn no_error_holds_bytes_of_the_file() {
    for (_, content) in files(&keys().join("bad")) {
        for raw in [None, Some(RawType::Aes)] {
            if let Err(error) = import(&content, raw, &naming()) {
                says_nothing_of(content.bytes(), &error);
            }
        }
    }
}

#[test]
fn nothing_shown_holds_a_secret() {
    let mut secrets = 0;
    for (name, content) in files(&keys()) {
        let object = import(&content, None, &naming()).unwrap();
        let shown = format!(
            "{:?}\n{}\n{object:?}",
            show::attributes(&object),
            show::json(&object)
        );
        let windows: BTreeSet<_> = shown.as_bytes().windows(16).collect();
        for value in object.attributes.values() {
            let Attribute::Secret(secret) = value else {
                continue;
            };
            secrets += 1;
            // Runs of zeros, from artificial keys, occur in other places by chance.
            for run in secret
                .bytes()
                .windows(8)
                .filter(|run| run.iter().any(|b| *b != 0))
            {
                let hex = HEXLOWER.encode(run);
                assert!(!windows.contains(hex.as_bytes()), "{name}");
                assert!(!shown.contains(&format!("{run:?}")[1..23]), "{name}");
            }
        }
    }
    assert!(secrets > 50);
}

/// Message, debug text and hint of an error hold no four bytes of the file in hexadecimal, and no twelve characters of
/// its base64.
fn says_nothing_of(file: &[u8], error: &ImportError) {
    // As hexadecimal, the limit in this message gives four bytes that many files hold.
    if matches!(error, ImportError::Work(..)) {
        return;
    }
    let said = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
    let has = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    for run in said.as_bytes().windows(8) {
        let Ok(bytes) = HEXLOWER.decode(run) else {
            continue;
        };
        assert!(!has(&bytes), "{said}");
    }
    for run in said.as_bytes().windows(12) {
        let is_code = run.iter().all(|byte| byte.is_ascii_alphanumeric());
        assert!(!is_code || !has(run), "{said}");
    }
}
