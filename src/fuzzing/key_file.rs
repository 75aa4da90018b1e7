//! `key_file`: files that somebody was given: keys, certificates and domain keys.

use super::payload;
use crate::codec;
use crate::credential::KeyShare;
use crate::domain::DomainKey;
use crate::keyfile::export::{Exported, export};
use crate::keyfile::import::fuzzing::{import_quickly, store_around};
use crate::keyfile::import::{self, ImportError, RawType};
use crate::object::new::Naming;
use crate::object::pkcs11::{CKA_VALUE, CKO_DATA, CKO_SECRET_KEY};
use crate::object::{Attribute, Object, Ouid};
use crate::secret::SecretBytes;

/// That of tests/keys/encrypted.
const PASSWORD: &[u8] = b"x";
/// How the object identifiers of the ciphers begin, without which nothing inside a store is encrypted: PBES2 and those
/// of PKCS#12.
const CIPHERS: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1],
];

/// The first byte says how the rest is taken: as a file, as the content of a PKCS#12 store, as a raw value, as a
/// domain key or a key share.
pub(super) fn run(data: &[u8]) {
    let Some((how, file)) = data.split_first() else {
        return;
    };
    let password = SecretBytes::from(PASSWORD);
    match how % 4 {
        0 => key_file(file, &password),
        1 => {
            if let Some(store) = store_around(file, &password) {
                let read = import(&store, None, Some(&password));
                let encrypted = CIPHERS
                    .iter()
                    .any(|oid| file.windows(oid.len()).any(|part| part == *oid));
                assert!(
                    !matches!(read, Err(ImportError::Password)) || encrypted,
                    "the MAC is right"
                );
                check(read);
            }
        }
        2 => raw(file),
        _ => {
            domain_key(file);
            key_share(file);
        }
    }
}

fn import(
    file: &[u8],
    raw: Option<RawType>,
    password: Option<&SecretBytes>,
) -> Result<Vec<Object>, ImportError> {
    let naming = Naming {
        label: "fuzz".to_owned(),
        id: Vec::new(),
    };
    import_quickly(&SecretBytes::from(file), raw, &naming, password)
}

fn key_file(file: &[u8], password: &SecretBytes) {
    let with = import(file, None, Some(password));
    let without = import(file, None, None);
    if import::is_encrypted(&SecretBytes::from(file)) {
        assert!(matches!(without, Err(ImportError::Encrypted)));
    } else {
        match (&with, &without) {
            (Ok(with), Ok(without)) => assert_eq!(nameless(with), nameless(without)),
            (with, without) => assert_eq!(with.is_ok(), without.is_ok(), "no password is needed"),
        }
    }
    check(with);
}

/// Without what every new object has of its own.
fn nameless(objects: &[Object]) -> Vec<Object> {
    let mut objects = objects.to_vec();
    for object in &mut objects {
        object.ouid = Ouid([0; 16]);
        object.created_secs = 0;
    }
    objects
}

/// What is imported can be stored, shown and given out again as what it was; what is refused is said in one line.
fn check(outcome: Result<Vec<Object>, ImportError>) {
    let objects = match outcome {
        Ok(objects) => objects,
        Err(why) => {
            let told = format!("{why} {}", why.hint().unwrap_or_default());
            assert!(!told.contains(char::is_control), "{told:?}");
            assert!(told.len() < 1000, "{told:?}");
            return;
        }
    };
    assert!(!objects.is_empty());
    for object in objects {
        let encoded = codec::encode(&object).expect("what is imported can be stored");
        payload::run(encoded.bytes());
        let again = codec::decode(encoded.bytes()).expect("and read back");
        assert_eq!(again, object);
        let der = match export(&object) {
            Ok(Exported::PublicKey(der) | Exported::Certificate(der)) => der,
            Ok(Exported::Data(_)) | Err(_) => {
                assert!([CKO_DATA, CKO_SECRET_KEY].contains(&object.class));
                continue;
            }
        };
        let read = import(&der, None, None).expect("what is exported can be imported");
        let twice = export(&read[0]).expect("and exported");
        let (Exported::PublicKey(twice) | Exported::Certificate(twice)) = twice else {
            panic!("it was public");
        };
        assert_eq!(twice, der);
    }
}

/// A raw value is the file, byte for byte, or refused.
fn raw(file: &[u8]) {
    for raw in [RawType::Aes, RawType::Generic, RawType::Data] {
        let Ok(objects) = import(file, Some(raw), None) else {
            assert!(raw == RawType::Aes || file.is_empty() || file.len() > 65_000);
            continue;
        };
        let Some(Attribute::Secret(value)) = objects[0].attributes.get(&CKA_VALUE) else {
            panic!("no value");
        };
        assert_eq!(value.bytes(), file);
        assert!(raw != RawType::Aes || [16, 24, 32].contains(&file.len()));
        check(Ok(objects));
    }
}

/// A domain key file holds a key, and a file made of that key holds the same one.
/// A share that is read is written as one that reads the same.
fn key_share(file: &[u8]) {
    if let Ok(share) = KeyShare::parse(file) {
        let again = KeyShare::parse(share.to_text().bytes()).expect("it is one");
        assert_eq!(again.hash(), share.hash());
        assert_eq!((again.serial, again.quorum), (share.serial, share.quorum));
    }
}

fn domain_key(file: &[u8]) {
    let Ok(domain) = DomainKey::from_pem(file) else {
        return;
    };
    let ending = pem_rfc7468::LineEnding::LF;
    let key = domain.key();
    let again = pem_rfc7468::encode_string("SLOTFS DOMAIN KEY", ending, key.bytes()).unwrap();
    let again = DomainKey::from_pem(again.as_bytes()).expect("it is the form that is written");
    assert_eq!(again.key().bytes(), key.bytes());
}
