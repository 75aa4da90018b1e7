//! The golden vectors of `tests/vectors`: what another implementation of docs/format.md, "The sealed blob" says.
//!
//! A unit test, because the values between D and the blob are nobody else's business.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::derive::{self, PayloadKeys};
use super::{Header, STANZA_BYTES, open, seal};
use slotfs_object::codec;
use slotfs_object::secret::Key;

mod json;
use json::{hex, kind, load, number, object, refused_files, root, roots, text};

/// Files and vectors under `refused`: one that is lost must not go unnoticed.
const REFUSED: (usize, usize) = (37, 631);

fn hmac(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// A fault's name, without the numbers it carries.
fn name_of(fault: impl std::fmt::Debug) -> String {
    let debug = format!("{fault:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric());
    debug[..end.unwrap_or(debug.len())].to_owned()
}

#[test]
fn every_value_of_section_4() {
    let vectors = load("blob.json");
    assert_eq!(vectors.len(), 9);
    for v in &vectors {
        let name = text(v, "name");
        let (payload, head, blob) = (hex(v, "payload"), hex(v, "h"), hex(v, "blob"));
        let keys = v["keys"].as_array().unwrap();
        let header = Header::new(kind(v), keys.len(), payload.len()).unwrap();
        assert_eq!(header.to_bytes().as_slice(), head, "{name}: H");
        assert_eq!(Header::parse(&blob), Ok(header), "{name}: header");
        assert_eq!(blob.len(), header.blob_bytes(), "{name}: size");

        let all: Vec<_> = keys
            .iter()
            .map(|key| root(text(key, "use"), &hex(key, "d")))
            .collect();
        let k = derive::object_key(&all, &head, &payload);
        assert_eq!(k.bytes().as_slice(), hex(v, "k"), "{name}: K");
        // The HMAC keys stay inside derive: that they make the same MAC says they are the same.
        let hmac_key = hex(v, "hmac_key");
        assert_eq!(hmac(&hmac_key, &[&head, &payload]), k.bytes(), "{name}");

        let mut stanzas = Vec::new();
        for (key, root) in keys.iter().zip(&all) {
            let (salt, wrapped) = (hex(key, "salt"), hex(key, "wrapped"));
            assert_eq!(root.bytes().as_slice(), hex(key, "r"), "{name}: R");
            let fingerprint = hex(key, "fingerprint");
            assert_eq!(root.fingerprint().as_slice(), fingerprint, "{name}");
            let made = root.stanza_salt(&head, &k, &payload);
            assert_eq!(made.as_slice(), salt, "{name}: salt");
            let by_key = hmac(&hex(key, "salt_key"), &[&head, k.bytes(), &payload]);
            assert_eq!(by_key, salt, "{name}: salt key");
            assert_eq!(root.wrap(&salt, &k).bytes().as_slice(), wrapped, "{name}");
            let sized: &[u8; 32] = wrapped.as_slice().try_into().unwrap();
            assert_eq!(root.unwrap(&salt, sized).bytes(), k.bytes(), "{name}");
            let zero = Key::make(|_| ());
            let pad = root.wrap(&salt, &zero);
            assert_eq!(pad.bytes().as_slice(), hex(key, "pad"), "{name}: pad");
            stanzas.push([salt, wrapped].concat());
        }
        stanzas.sort();
        let stanzas = stanzas.concat();
        assert_eq!(stanzas.len(), keys.len() * STANZA_BYTES);

        let derived = PayloadKeys::of(&k);
        assert_eq!(derived.key().as_slice(), hex(v, "key"), "{name}: key");
        assert_eq!(derived.nonce().as_slice(), hex(v, "nonce"), "{name}: nonce");
        assert_eq!(derived.commitment(), hex(v, "commitment"), "{name}");
        let clear = [head.as_slice(), &stanzas, derived.commitment()].concat();
        assert_eq!(blob[..clear.len()], clear, "{name}: before the ciphertext");

        assert_eq!(seal(kind(v), &all, &payload).unwrap(), blob, "{name}: seal");
        for root in &all {
            let opened = open(kind(v), std::slice::from_ref(root), &blob).unwrap();
            assert_eq!(opened.bytes(), payload, "{name}: open with one");
        }
        let opened = open(kind(v), &all, &blob).unwrap();
        assert_eq!(opened.bytes(), payload, "{name}: open with all");
    }
}

#[test]
fn largest_payloads() {
    let vectors = load("largest.json");
    assert_eq!(vectors.len(), 3);
    for v in &vectors {
        let name = text(v, "name");
        let byte = u8::try_from(number(v, "payload_byte")).unwrap();
        let payload = vec![byte; usize::try_from(number(v, "payload_bytes")).unwrap()];
        assert_eq!(payload.len(), codec::MAX_PAYLOAD_BYTES);
        let blob = seal(kind(v), &roots(v), &payload).unwrap();
        assert_eq!(blob.len() as u64, number(v, "blob_bytes"), "{name}");
        assert!(blob.len() <= super::MAX_BLOB_BYTES, "{name}");
        assert_eq!(
            Sha256::digest(&blob).as_slice(),
            hex(v, "blob_sha256"),
            "{name}"
        );
        let opened = open(kind(v), &roots(v), &blob).unwrap();
        assert_eq!(opened.bytes(), payload, "{name}");
    }
}

/// What the format does not promise, kept as it is: a change here is a change of format.
#[test]
fn other_bytes_of_the_same_object_open() {
    let vectors = load("other-bytes-same-object.json");
    assert_eq!(vectors.len(), 2);
    for v in &vectors {
        let opened = open(kind(v), &roots(v), &hex(v, "blob")).unwrap();
        assert_eq!(opened.bytes(), hex(v, "payload"), "{}", text(v, "name"));
    }
}

#[test]
fn payloads() {
    let vectors = load("payload.json");
    assert_eq!(vectors.len(), 60);
    for v in &vectors {
        let name = text(v, "name");
        let (object, payload) = (object(&v["object"]), hex(v, "payload"));
        assert_eq!(codec::encode(&object).unwrap().bytes(), payload, "{name}");
        assert_eq!(codec::decode(&payload).unwrap(), object, "{name}");
    }
}

#[test]
fn refusals() {
    let (mut files, mut count) = (0, 0);
    for file in refused_files() {
        let vectors = load(&file);
        assert!(!vectors.is_empty(), "{file}");
        files += 1;
        count += vectors.len();
        for v in &vectors {
            let name = format!("{file}: {}", text(v, "name"));
            let refused = match open(kind(v), &roots(v), &hex(v, "blob")) {
                Err(fault) => format!("blob {}", name_of(fault)),
                Ok(payload) => {
                    // Sealed as it should be: what is wrong is inside, and nothing else is.
                    assert_eq!(payload.bytes(), hex(v, "payload"), "{name}");
                    match codec::decode(payload.bytes()) {
                        Err(fault) => format!("payload {}", name_of(fault)),
                        Ok(_) => panic!("{name}: accepted"),
                    }
                }
            };
            assert_eq!(refused, text(v, "refused"), "{name}");
        }
    }
    assert_eq!((files, count), REFUSED);
}
