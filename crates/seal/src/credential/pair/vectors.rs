//! Vectors of role key pairs: the known answers of X-Wing, and the second implementation's (tests/vectors/README.md).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::convert::Infallible;

use chacha20::rand_core::{TryCryptoRng, TryRng, utils};
use data_encoding::HEXLOWER;
use serde_json::Value;
use slotfs_object::partition::Role;
use slotfs_object::sealed::{PartId, SealedRow};

use super::*;

fn load(file: &str, list: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file[list].as_array().unwrap().clone()
}

fn hex(vector: &Value, field: &str) -> Vec<u8> {
    HEXLOWER
        .decode(vector[field].as_str().unwrap().as_bytes())
        .unwrap()
}

fn key(vector: &Value, field: &str) -> Key {
    Key::from_slice(&hex(vector, field)).unwrap()
}

/// Gives these bytes, and then no more.
struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        dest.copy_from_slice(&self.0[..dest.len()]);
        self.0.drain(..dest.len());
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

#[test]
fn x_wing_gives_the_known_answers() {
    let tests = load("published/x_wing.json", "tests");
    assert_eq!(tests.len(), 3);
    for test in &tests {
        let secret = PairSecret {
            seed: key(test, "seed"),
            authentication: Key::random().unwrap(),
        };
        assert_eq!(secret.public_key(), hex(test, "pk"));
        let public_key = EncapsulationKey::try_from(hex(test, "pk").as_slice()).unwrap();
        let (encapsulation, shared) =
            public_key.encapsulate_with_rng(&mut Fixed(hex(test, "eseed")));
        assert_eq!(encapsulation.as_slice(), hex(test, "ct"));
        assert_eq!(shared.as_slice(), hex(test, "ss"));
        let opened = secret.key().decapsulate_slice(&hex(test, "ct")).unwrap();
        assert_eq!(opened.as_slice(), hex(test, "ss"));
    }
}

#[test]
fn golden_pairs() {
    let vectors = load("pair.json", "vectors");
    assert_eq!(vectors.len(), 7);
    for vector in &vectors {
        let name = &vector["name"];
        let number = |field: &str| vector[field].as_u64().unwrap();
        let roles = [Role::Po, Role::Co, Role::Cu];
        let role = roles.into_iter().find(|it| *it as u64 == number("role"));
        let place = Place {
            slot: SlotId(number("slot").try_into().unwrap()),
            binding: Binding {
                serial: number("serial"),
                role: role.unwrap(),
                id: PartId(number("credential").try_into().unwrap()),
            },
            generation: number("generation"),
        };
        let secret = PairSecret {
            seed: key(vector, "seed"),
            authentication: key(vector, "authentication"),
        };
        let pair = Pair {
            generation: place.generation,
            public_key: hex(vector, "public_key"),
            encapsulation: hex(vector, "encapsulation"),
            wrapped: hex(vector, "wrapped"),
            authentication: SealedRow::stored(Vec::new()),
        };
        match secret.decapsulate(&pair, place) {
            Some(opened) => {
                assert!(vector["refused"].is_null(), "{name}");
                assert!(*opened.key() == key(vector, "slot_key"), "{name}");
            }
            None => assert_eq!(vector["refused"], true, "{name}"),
        }
    }
}
