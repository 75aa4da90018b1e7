//! P is canonical: one object, one encoding, and nothing else decodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{MAX_PAYLOAD_BYTES, PayloadFault, decode, encode};
use crate::pkcs11::{self, is_secret};
use crate::revision::{MOST_REVISIONS, Revision};
use crate::secret::SecretBytes;
use crate::{Attribute, Date, Object, Ouid};

/// Integers around every border of the variable-length form.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300u64,
        65530..65540u64,
        (1 << 32) - 3..(1 << 32) + 3u64,
        any::<u64>()
    ]
}

fn small_numbers() -> impl Strategy<Value = u32> {
    prop_oneof![0..300u32, 65530..65540u32, any::<u32>()]
}

fn dates() -> impl Strategy<Value = Date> {
    (0..=9999u16, 1..=12u8, 1..=31u8).prop_map(|(year, month, day)| Date { year, month, day })
}

/// Values in the clear; [`objects`] makes secret what must be.
fn values() -> impl Strategy<Value = Attribute> {
    prop_oneof![
        any::<bool>().prop_map(Attribute::Bool),
        numbers().prop_map(Attribute::Number),
        vec(any::<u8>(), 0..300).prop_map(Attribute::Bytes),
        any::<String>().prop_map(Attribute::Text),
        dates().prop_map(Attribute::Date),
    ]
}

fn revisions() -> impl Strategy<Value = Revision> {
    let changed = (1..=MOST_REVISIONS, numbers()).prop_map(|(number, changed_secs)| Revision {
        number,
        changed_secs: changed_secs.max(1),
    });
    prop_oneof![Just(Revision::FIRST), changed]
}

/// Any object that a slot may hold.
fn objects() -> impl Strategy<Value = Object> {
    let class = prop_oneof![0..6u32, small_numbers()];
    // Both the numbers that may be secret and any others.
    let attribute = prop_oneof![
        Just(pkcs11::CKA_VALUE),
        Just(pkcs11::CKA_MODIFIABLE),
        pkcs11::CKA_PRIVATE_EXPONENT..=pkcs11::CKA_COEFFICIENT,
        small_numbers()
    ];
    (
        any::<[u8; 16]>(),
        (numbers(), revisions()),
        class,
        proptest::option::of(small_numbers()),
        btree_map(attribute, values(), 0..12),
    )
        .prop_map(
            |(ouid, (created_secs, revision), class, key_type, mut attributes)| {
                attributes.remove(&pkcs11::CKA_CLASS);
                attributes.remove(&pkcs11::CKA_KEY_TYPE);
                for (&number, value) in &mut attributes {
                    if is_secret(class, number) {
                        let bytes = format!("{value:?}").into_bytes();
                        *value = Attribute::Secret(SecretBytes::new(bytes));
                    }
                }
                Object {
                    ouid: Ouid(ouid),
                    created_secs,
                    revision,
                    class,
                    key_type,
                    attributes,
                }
            },
        )
}

/// Bytes that are near a payload: mostly the small numbers that lengths, tags and options are.
fn near_payloads() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0..8u8, 1 => 248..=255u8, 1 => any::<u8>()];
    (1..=2u8, vec(any::<u8>(), 16), vec(byte, 0..200)).prop_map(|(version, ouid, body)| {
        let mut payload = vec![version];
        payload.extend(ouid);
        payload.extend(body);
        payload
    })
}

/// Whatever decodes is what encoding gives, so no two payloads are one object.
fn decodes_only_canonically(payload: &[u8]) {
    if let Ok(object) = decode(payload) {
        assert!(object.is_well_formed());
        assert_eq!(encode(&object).unwrap().bytes(), payload);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_object_survives_its_encoding(object in objects()) {
        let payload = encode(&object).unwrap();
        prop_assert_eq!(decode(payload.bytes()), Ok(object));
    }

    #[test]
    fn another_object_is_another_payload(one in objects(), other in objects()) {
        prop_assume!(one != other);
        prop_assert_ne!(encode(&one).unwrap(), encode(&other).unwrap());
    }

    #[test]
    fn arbitrary_bytes_decode_canonically_or_not_at_all(payload in vec(any::<u8>(), 0..300)) {
        decodes_only_canonically(&payload);
        decodes_only_canonically(&[vec![1], payload.clone()].concat());
        decodes_only_canonically(&[vec![2], payload].concat());
    }

    #[test]
    fn bytes_near_a_payload_decode_canonically_or_not_at_all(payload in near_payloads()) {
        decodes_only_canonically(&payload);
    }

    #[test]
    fn altered_payloads_decode_canonically_or_not_at_all(
        object in objects(),
        edits in vec((any::<Index>(), any::<u8>()), 1..4),
        cut: Index,
        more in vec(any::<u8>(), 1..20),
    ) {
        let payload = encode(&object).unwrap().bytes().to_vec();
        let mut altered = payload.clone();
        for (at, byte) in edits {
            altered[at.index(payload.len())] = byte;
        }
        decodes_only_canonically(&altered);
        let cut = &payload[..cut.index(payload.len())];
        prop_assert_eq!(decode(cut), Err(PayloadFault::Malformed));
        prop_assert_eq!(decode(&[payload, more].concat()), Err(PayloadFault::Malformed));
    }

    /// A length is believed only as far as there are bytes: this would abort the process otherwise.
    #[test]
    fn no_length_is_believed(object in objects(), at: Index, length in numbers()) {
        let payload = encode(&object).unwrap().bytes().to_vec();
        let at = at.index(payload.len());
        let mut lying = payload[..at].to_vec();
        lying.push(253);
        lying.extend(length.to_le_bytes());
        lying.extend(&payload[at..]);
        decodes_only_canonically(&lying);
    }
}

/// A data object whose one attribute has `size` bytes.
fn object_of(size: usize) -> Object {
    let value = Attribute::Secret(SecretBytes::new(vec![7; size]));
    Object {
        ouid: Ouid([9; 16]),
        created_secs: 0,
        revision: Revision::FIRST,
        class: pkcs11::CKO_DATA,
        key_type: None,
        attributes: [(pkcs11::CKA_VALUE, value)].into(),
    }
}

#[test]
fn the_largest_payload_round_trips_and_no_larger() {
    // version 1, OUID 16, time 1, class 1, no key type 1, count 1, number 1, tag 1, length 3
    let most = MAX_PAYLOAD_BYTES - 26;
    let payload = encode(&object_of(most)).unwrap();
    assert_eq!(payload.bytes().len(), MAX_PAYLOAD_BYTES);
    assert_eq!(decode(payload.bytes()), Ok(object_of(most)));
    assert!(encode(&object_of(most + 1)).is_none());

    // One byte more, as encoding would have written it.
    let mut larger = payload.bytes().to_vec();
    larger.push(7);
    larger[23..26].copy_from_slice(&[251, 0xe7, 0xff]);
    assert_eq!(decode(&larger), Err(PayloadFault::Malformed));
}

/// As many attributes as fit: bincode's limit counts memory, and must not refuse a good payload.
#[test]
fn a_payload_full_of_small_attributes_round_trips() {
    let mut object = object_of(0);
    object.class = pkcs11::CKO_PUBLIC_KEY;
    object.attributes.clear();
    for number in 0x1000..0x1000 + 12_000 {
        object.attributes.insert(number, Attribute::Number(1));
    }
    let payload = encode(&object).unwrap();
    assert!(payload.bytes().len() > MAX_PAYLOAD_BYTES * 9 / 10);
    assert_eq!(decode(payload.bytes()), Ok(object));
}

#[test]
fn an_object_that_is_not_well_formed_is_not_encoded() {
    let mut object = object_of(1);
    object
        .attributes
        .insert(pkcs11::CKA_CLASS, Attribute::Number(0));
    assert!(encode(&object).is_none());

    let mut object = object_of(1);
    object
        .attributes
        .insert(pkcs11::CKA_VALUE, Attribute::Bytes(vec![7]));
    assert!(encode(&object).is_none());
}

#[test]
fn the_version_is_read_before_the_body() {
    assert_eq!(decode(&[]), Err(PayloadFault::Malformed));
    assert_eq!(decode(&[2]), Err(PayloadFault::Malformed));
    assert_eq!(decode(&[3]), Err(PayloadFault::Version(3)));
    // Larger than any payload of this version, but this version's limits are not that one's.
    assert_eq!(
        decode(&vec![3; MAX_PAYLOAD_BYTES + 1]),
        Err(PayloadFault::Version(3))
    );
}

/// Each object has one encoding: version 1 wherever it says all.
#[test]
fn a_version_that_says_more_than_needed_is_not_canonical() {
    let mut born = object_of(1);
    born.set(pkcs11::CKA_MODIFIABLE, Attribute::Bool(true));
    let first = encode(&born).unwrap().bytes().to_vec();
    assert_eq!((first[0], first.last()), (1, Some(&0)));
    // Version 1 that says true, as no slotfs ever wrote.
    let mut says_true = first.clone();
    *says_true.last_mut().unwrap() = 1;
    assert_eq!(decode(&says_true), Err(PayloadFault::NotCanonical));
    // Version 2 at revision 0, with what version 1 could have said.
    let second = |modifiable: u8, revision: &[u8], changed: u8| {
        let mut payload = first.clone();
        payload[0] = 2;
        *payload.last_mut().unwrap() = modifiable;
        let at = 1 + 16 + 1 + 1 + 1;
        payload.splice(at..at, revision.iter().copied().chain([changed]));
        decode(&payload)
    };
    assert_eq!(second(1, &[0], 0), Err(PayloadFault::NotCanonical));
    let on_purpose = second(0, &[0], 0).unwrap();
    assert!(!on_purpose.is_modifiable());
    assert_eq!(on_purpose.revision, Revision::FIRST);
    for modifiable in [0, 1] {
        let changed = second(modifiable, &[1], 9).unwrap();
        assert_eq!(changed.is_modifiable(), modifiable == 1);
    }
    // A time and a revision come together.
    assert_eq!(second(0, &[0], 9), Err(PayloadFault::Malformed));
    assert_eq!(second(0, &[1], 0), Err(PayloadFault::Malformed));
    let number = |number: u32| [vec![252], number.to_le_bytes().to_vec()].concat();
    assert!(second(1, &number(MOST_REVISIONS), 9).is_ok());
    let above = MOST_REVISIONS + 1;
    assert_eq!(
        second(1, &number(above), 9),
        Err(PayloadFault::Revision(above))
    );
    let mut object = object_of(1);
    object.revision = Revision {
        number: above,
        changed_secs: 1,
    };
    assert!(encode(&object).is_none());
}
