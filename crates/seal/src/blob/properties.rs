//! What docs/format.md, "The sealed blob" says that the format gives, each on random keys and payloads.
//!
//! An attacker here is whoever lacks a domain: they may know every blob, and, as holder of another
//! domain of the same blob, K and P as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::derive::{self, PayloadKeys};
use super::{
    COMMITMENT_BYTES, Fault, HEADER_BYTES, Header, Kind, Root, STANZA_BYTES, TAG_BYTES, open, seal,
};
use slotfs_object::secret::Key;

mod attacker;
mod one;
use attacker::{Parts, assemble};

/// A domain key by number: different numbers, different keys.
fn key(number: u64) -> Key {
    Key::make(|key| key[..8].copy_from_slice(&number.to_le_bytes()))
}

fn domain(number: u64) -> Root {
    Root::of_domain(&key(number))
}

/// The root of a key as `kind` uses it.
fn root(kind: Kind, number: u64) -> Root {
    match kind {
        Kind::ObjectUnderSmk => Root::of_smk(&key(number)),
        Kind::Object | Kind::Smk => domain(number),
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Object),
        Just(Kind::ObjectUnderSmk),
        Just(Kind::Smk)
    ]
}

/// A kind and as many different key numbers as it may have stanzas.
fn sets() -> impl Strategy<Value = (Kind, Vec<u64>)> {
    kinds().prop_flat_map(|kind| {
        let most = if kind == Kind::ObjectUnderSmk { 1 } else { 3 };
        let numbers = proptest::collection::hash_set(any::<u64>(), 1..=most);
        (Just(kind), numbers.prop_map(Vec::from_iter))
    })
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..200)
}

fn roots(kind: Kind, numbers: &[u64]) -> Vec<Root> {
    numbers.iter().map(|&number| root(kind, number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn same_bytes_for_the_same_set_in_any_order((kind, numbers) in sets(), payload in payloads(), turn: Index) {
        let blob = seal(kind, &roots(kind, &numbers), &payload).unwrap();
        let mut other = numbers.clone();
        other.rotate_left(turn.index(numbers.len()));
        prop_assert_eq!(&seal(kind, &roots(kind, &other), &payload).unwrap(), &blob);
        other.reverse();
        prop_assert_eq!(&seal(kind, &roots(kind, &other), &payload).unwrap(), &blob);
    }

    #[test]
    fn opens_under_each_of_its_keys_and_no_other((kind, numbers) in sets(), payload in payloads(), other: u64) {
        let all = roots(kind, &numbers);
        let blob = seal(kind, &all, &payload).unwrap();
        for one in &all {
            let opened = open(kind, std::slice::from_ref(one), &blob).unwrap();
            prop_assert_eq!(opened.bytes(), &payload);
            // Wherever it stands among keys that do not open it.
            let slot = [root(kind, other), one.clone()];
            let opened = open(kind, &slot, &blob).unwrap();
            prop_assert_eq!(opened.bytes(), &payload);
        }
        let opened = open(kind, &all, &blob).unwrap();
        prop_assert_eq!(opened.bytes(), &payload);

        prop_assume!(!numbers.contains(&other));
        let none = [root(kind, other)];
        prop_assert_eq!(open(kind, &none, &blob).err(), Some(Fault::NoDomain));
        prop_assert_eq!(open(kind, &[], &blob).err(), Some(Fault::NoDomain));
    }

    #[test]
    fn a_key_used_as_domain_and_as_smk_opens_neither_as_the_other(number: u64, payload in payloads()) {
        let (as_domain, as_smk) = (Root::of_domain(&key(number)), Root::of_smk(&key(number)));
        for (kind, right, wrong) in [
            (Kind::Object, &as_domain, &as_smk),
            (Kind::ObjectUnderSmk, &as_smk, &as_domain),
            (Kind::Smk, &as_domain, &as_smk),
        ] {
            let blob = seal(kind, std::slice::from_ref(right), &payload).unwrap();
            let refused = open(kind, std::slice::from_ref(wrong), &blob).err();
            prop_assert_eq!(refused, Some(Fault::NoDomain));
        }
    }

    #[test]
    fn a_kind_opens_as_itself_alone((kind, numbers) in sets(), other in kinds(), payload in payloads()) {
        prop_assume!(kind != other);
        let mut blob = seal(kind, &roots(kind, &numbers), &payload).unwrap();
        let both = [roots(kind, &numbers), roots(other, &numbers)].concat();
        prop_assert_eq!(open(other, &both, &blob).err(), Some(Fault::WrongKind(kind)));
        blob[8] = other as u8;
        prop_assert!(open(other, &both, &blob).is_err());
    }

    #[test]
    fn an_altered_blob_is_refused(
        (kind, numbers) in sets(),
        payload in payloads(),
        edits in vec((any::<Index>(), 1..=255u8), 1..8),
    ) {
        let all = roots(kind, &numbers);
        let blob = seal(kind, &all, &payload).unwrap();
        let mut altered = blob.clone();
        for (at, mask) in edits {
            altered[at.index(blob.len())] ^= mask;
        }
        prop_assume!(altered != blob);
        prop_assert!(open(kind, &all, &altered).is_err());
    }

    #[test]
    fn a_blob_of_another_length_is_refused(
        (kind, numbers) in sets(),
        payload in payloads(),
        cut: Index,
        more in vec(any::<u8>(), 1..100),
    ) {
        let all = roots(kind, &numbers);
        let blob = seal(kind, &all, &payload).unwrap();
        let short = &blob[..cut.index(blob.len())];
        let cut_short = matches!(open(kind, &all, short), Err(Fault::CutShort { .. }));
        prop_assert!(cut_short);
        let long = [blob, more].concat();
        prop_assert_eq!(open(kind, &all, &long).err(), Some(Fault::TooLong));
    }

    /// Pieces of valid blobs of the same domains, put together at stanza boundaries.
    #[test]
    fn stanzas_dropped_added_or_spliced_are_refused(
        first in payloads(),
        second in payloads(),
        chosen in vec(0..8usize, 1..=3),
        garbage in any::<[u8; 32]>(),
    ) {
        prop_assume!(first != second);
        let all = [domain(1), domain(2), domain(3)];
        let target = seal(Kind::Object, &all, &first).unwrap();
        let target = Parts::of(&target);
        let other = seal(Kind::Object, &all, &second).unwrap();
        let sibling = seal(Kind::Object, &all[..2], &first).unwrap();
        let mut pool: Vec<Vec<u8>> = target.stanzas.clone();
        pool.extend(Parts::of(&other).stanzas);
        pool.extend(Parts::of(&sibling).stanzas.into_iter().take(1));
        pool.push([garbage, garbage].concat());
        let mut stanzas: Vec<Vec<u8>> = chosen.iter().map(|&at| pool[at].clone()).collect();
        let spliced = target.with_stanzas(&stanzas);
        if stanzas != target.stanzas {
            prop_assert!(open(Kind::Object, &all, &spliced).is_err());
        }
        // Put in order, so that it is not the order that is refused.
        stanzas.sort();
        stanzas.dedup();
        prop_assume!(stanzas != target.stanzas);
        let spliced = target.with_stanzas(&stanzas);
        prop_assert!(open(Kind::Object, &all, &spliced).is_err());
        for one in all {
            prop_assert!(open(Kind::Object, &[one], &spliced).is_err());
        }
    }

    /// K and P are known, tag and commitment right; D1's stanza is as it was, or carries the attacker's
    /// key under D1's own salt, whose pad K gives away.
    #[test]
    fn a_member_of_one_domain_cannot_speak_to_another(
        payload in payloads(),
        mut forged in payloads(),
        new_key in any::<[u8; 32]>(),
        mut kind in prop_oneof![Just(Kind::Object), Just(Kind::Smk)],
        mut stanza_count in 1..=3usize,
        same_header: bool,
    ) {
        if same_header {
            (kind, stanza_count) = (Kind::Object, 2);
            forged.resize(payload.len(), 0);
        }
        prop_assume!(payload != forged);
        let (d1, d2) = (domain(1), domain(2));
        let blob = seal(Kind::Object, &[d1.clone(), d2.clone()], &payload).unwrap();
        let parts = Parts::of(&blob);
        // The attacker opens the stanza of their own and so finds K; D1's is the one that is left.
        let mut known = None;
        let mut left = Vec::new();
        for stanza in &parts.stanzas {
            let (salt, wrapped) = stanza.split_at(32);
            let key = d2.unwrap(salt, wrapped.try_into().unwrap());
            if PayloadKeys::of(&key).commitment() == parts.commitment {
                known = Some(key);
            } else {
                left.push(stanza.clone());
            }
        }
        let (key, d1_stanza) = (known.unwrap(), left.pop().unwrap());
        let new_key = Key::from_slice(&new_key).unwrap();
        let rewrapped: Vec<u8> = d1_stanza
            .iter()
            .enumerate()
            .map(|(at, byte)| match at.checked_sub(32) {
                Some(at) => byte ^ key.bytes()[at] ^ new_key.bytes()[at],
                None => *byte,
            })
            .collect();

        let head = Header::new(kind, stanza_count, forged.len()).unwrap().to_bytes();
        for (k, stanza, names_d1) in [
            (&key, &d1_stanza, true),
            (&new_key, &rewrapped, true),
            (&new_key, &d1_stanza, false),
        ] {
            let mut stanzas = vec![stanza.clone()];
            for own in [domain(2), domain(9)].iter().take(stanza_count - 1) {
                let salt = own.stanza_salt(&head, k, &forged);
                stanzas.push([salt.as_slice(), own.wrap(&salt, k).bytes()].concat());
            }
            stanzas.sort();
            let made = assemble(&head, &stanzas, k, &forged);
            let why = if names_d1 { Fault::Altered } else { Fault::NoDomain };
            prop_assert_eq!(open(kind, &[domain(1)], &made).err(), Some(why));
            // A slot of both domains checks both salts. Where D1's stanza opens nothing, the blob is
            // one that the attacker may make: theirs alone.
            if names_d1 {
                let refused = open(kind, &[domain(1), domain(2)], &made).err();
                prop_assert_eq!(refused, Some(Fault::Altered));
            }
        }
    }

    /// Bytes of the right form that nobody sealed, and bytes of no form.
    #[test]
    fn arbitrary_bytes_never_open(
        (kind, numbers) in sets(),
        n in 0..6u8,
        length in 0..200u32,
        rest in vec(any::<u8>(), 0..700),
    ) {
        let all = roots(kind, &numbers);
        prop_assert!(open(kind, &all, &rest).is_err());
        let mut blob = b"SLOTFSB\x01".to_vec();
        blob.extend([kind as u8, n, 0, 0]);
        blob.extend(length.to_le_bytes());
        blob.extend(rest);
        prop_assert!(open(kind, &all, &blob).is_err());
        if let Ok(header) = Header::parse(&blob) {
            blob.resize(header.blob_bytes(), 0);
            prop_assert!(open(kind, &all, &blob).is_err());
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written((kind, numbers) in sets(), length in 1..=65536usize) {
        let header = Header::new(kind, numbers.len(), length).unwrap();
        let bytes = header.to_bytes();
        prop_assert_eq!(Header::parse(&bytes), Ok(header));
    }

    #[test]
    fn a_header_that_parses_is_the_only_one_of_its_meaning(head in vec(0..5u8, 9)) {
        let mut bytes = b"SLOTFSB".to_vec();
        bytes.extend(head);
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert_eq!(header.to_bytes().to_vec(), bytes);
        }
    }
}

/// Every bit of one blob of each shape, with the slot holding all of its keys and each alone.
#[test]
fn every_single_bit_is_refused() {
    let shapes: [(Kind, &[u64]); 4] = [
        (Kind::Object, &[1]),
        (Kind::Object, &[1, 2, 3]),
        (Kind::ObjectUnderSmk, &[1]),
        (Kind::Smk, &[1, 2]),
    ];
    for (kind, numbers) in shapes {
        let all = roots(kind, numbers);
        let blob = seal(kind, &all, b"an object").unwrap();
        for bit in 0..blob.len() * 8 {
            let mut altered = blob.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            // Also as whatever kind it claims to be now.
            let claimed = Header::parse(&altered).map_or(kind, Header::kind);
            for as_kind in [kind, claimed] {
                assert!(
                    open(as_kind, &all, &altered).is_err(),
                    "{kind}: bit {bit} of {}",
                    blob.len()
                );
                for one in &all {
                    assert!(open(as_kind, std::slice::from_ref(one), &altered).is_err());
                }
            }
        }
    }
}

/// No key or nonce twice: whatever is different gives another K, and with it all that K expands to.
#[test]
fn no_two_blobs_share_a_key_or_a_nonce() {
    let payloads: [&[u8]; 4] = [b"a", b"b", b"ab", b"a\0"];
    let sets: [&[u64]; 7] = [&[1], &[2], &[1, 2], &[2, 3], &[1, 3], &[3], &[1, 2, 3]];
    let (mut keys, mut nonces, mut salts) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut count = (0, 0);
    for kind in [Kind::Object, Kind::Smk, Kind::ObjectUnderSmk] {
        for numbers in sets {
            for payload in payloads {
                let Ok(header) = Header::new(kind, numbers.len(), payload.len()) else {
                    continue;
                };
                let (head, all) = (header.to_bytes(), roots(kind, numbers));
                let key = derive::object_key(&all, &head, payload);
                keys.insert(*PayloadKeys::of(&key).key());
                nonces.insert(PayloadKeys::of(&key).nonce());
                salts.extend(
                    all.iter()
                        .map(|root| root.stanza_salt(&head, &key, payload)),
                );
                count = (count.0 + 1, count.1 + all.len());
            }
        }
    }
    assert_eq!(
        (keys.len(), nonces.len(), salts.len()),
        (count.0, count.0, count.1)
    );
}

#[test]
fn only_possible_sets_are_sealed() {
    let payload = b"p".as_slice();
    let domains: Vec<Root> = (1..=4).map(domain).collect();
    let refused = |kind, roots: &[Root], payload: &[u8]| seal(kind, roots, payload).err();
    assert_eq!(refused(Kind::Object, &[], payload), Some(Fault::Stanzas));
    assert_eq!(
        refused(Kind::Object, &domains, payload),
        Some(Fault::Stanzas)
    );
    assert_eq!(refused(Kind::Smk, &domains, payload), Some(Fault::Stanzas));
    assert_eq!(
        refused(Kind::ObjectUnderSmk, &domains[..2], payload),
        Some(Fault::Stanzas)
    );
    assert_eq!(
        refused(Kind::Object, &domains[..1], b""),
        Some(Fault::PayloadLength)
    );
    let large = vec![0; slotfs_object::codec::MAX_PAYLOAD_BYTES + 1];
    assert_eq!(
        refused(Kind::Object, &domains[..1], &large),
        Some(Fault::PayloadLength)
    );
    let twice = [domain(1), domain(2), domain(1)];
    assert_eq!(
        refused(Kind::Object, &twice, payload),
        Some(Fault::StanzaOrder)
    );
}

/// The sizes that docs/format.md, "The sealed blob" states.
#[test]
fn a_blob_has_the_stated_size() {
    for (n, size) in [(1, 1), (2, 100), (3, 65536)] {
        let all: Vec<Root> = (1..=n).map(domain).collect();
        let blob = seal(Kind::Object, &all, &vec![7; size]).unwrap();
        assert_eq!(blob.len(), 16 + 64 * all.len() + 32 + size + 16);
        assert_eq!(
            blob.len(),
            HEADER_BYTES + all.len() * STANZA_BYTES + COMMITMENT_BYTES + size + TAG_BYTES
        );
    }
}
