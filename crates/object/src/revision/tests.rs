//! Which description of an object may replace which.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::{decode, encode};
use crate::new::{Naming, SecretKeyType, data, generate_secret_key};
use crate::pkcs11::{CKA_DERIVE, CKA_PRIVATE, CKA_SIGN, CKA_VALUE, CKA_VERIFY};
use crate::secret::SecretBytes;
use crate::{Date, Ouid};

fn key() -> Object {
    generate_secret_key(SecretKeyType::Aes, 128, &Naming::default()).unwrap()
}

fn text(text: &str) -> Option<Attribute> {
    Some(Attribute::Text(text.to_owned()))
}

fn to(value: bool) -> Option<Attribute> {
    Some(Attribute::Bool(value))
}

/// Changes that an AES key takes or refuses.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let date = (1..=9u16, 1..=12u8).prop_map(|(year, month)| Date {
        year,
        month,
        day: 1,
    });
    let change = prop_oneof![
        "[a-c]{0,2}".prop_map(|label| (CKA_LABEL, text(&label))),
        vec(0..3u8, 0..2).prop_map(|id| (CKA_ID, Some(Attribute::Bytes(id)))),
        proptest::option::of(date).prop_map(|it| (CKA_START_DATE, it.map(Attribute::Date))),
        (
            prop_oneof![
                Just(CKA_SIGN),
                Just(CKA_DERIVE),
                Just(CKA_SENSITIVE),
                Just(CKA_EXTRACTABLE),
                Just(CKA_WRAP_WITH_TRUSTED),
                Just(CKA_COPYABLE),
                Just(CKA_PRIVATE),
            ],
            any::<bool>()
        )
            .prop_map(|(number, value)| (number, to(value))),
        Just((CKA_MODIFIABLE, to(false))),
    ];
    vec(change, 1..4)
}

proptest! {
    /// Whatever a slot makes of an object replaces it, also where several revisions lie between, and nothing replaces
    /// what is newer.
    #[test]
    fn each_revision_replaces_all_before_it_and_none_after(
        all in vec((changes(), 0..3_000_000_000u64), 0..6)
    ) {
        let mut line = vec![key()];
        for (changes, now) in all {
            let last = line.last().unwrap();
            if let Ok(Some(next)) = last.revised(&changes, now) {
                prop_assert_eq!(next.revision.number, last.revision.number + 1);
                prop_assert!(next.changed_secs().unwrap() > last.changed_secs().unwrap_or(last.created_secs));
                let payload = encode(&next).unwrap();
                prop_assert_eq!(payload.bytes()[0], 2);
                prop_assert_eq!(decode(payload.bytes()), Ok(next.clone()));
                line.push(next);
            }
        }
        for (older, old) in line.iter().enumerate() {
            for (newer, new) in line.iter().enumerate() {
                let expected = match newer.cmp(&older) {
                    std::cmp::Ordering::Less => Relation::Predecessor,
                    std::cmp::Ordering::Equal => Relation::Same,
                    std::cmp::Ordering::Greater => Relation::Successor,
                };
                prop_assert_eq!(relation(new, old), expected);
            }
        }
    }

    /// Of two descriptions of one revision none wins; a third one of either side does, once it restricts as much.
    #[test]
    fn siblings_never_replace_each_other(one in changes(), other in changes()) {
        let born = key();
        if let (Ok(Some(one)), Ok(Some(other))) = (born.revised(&one, 5), born.revised(&other, 5))
            && one != other
        {
            let Relation::Other(differs) = relation(&one, &other) else {
                panic!("one replaces the other");
            };
            prop_assert!(!differs.names.is_empty());
            prop_assert_eq!(differs.can_be_described, one.is_modifiable() && other.is_modifiable());
            prop_assert_eq!(relation(&other, &one), Relation::Other(differs));
        }
    }
}

#[test]
fn what_goes_one_way_and_what_never_goes() {
    let born = key();
    let refused = |changes: &[Change]| born.revised(changes, 9).unwrap_err().to_string();
    for (changes, says) in [
        (
            (CKA_EXTRACTABLE, to(true)),
            "CKA_EXTRACTABLE can only become false",
        ),
        (
            (CKA_SENSITIVE, to(false)),
            "CKA_SENSITIVE can only become true",
        ),
        ((CKA_SIGN, None), "CKA_SIGN can only become false"),
        (
            (CKA_SIGN, text("no")),
            "the value of CKA_SIGN has the wrong type",
        ),
        (
            (CKA_LABEL, to(true)),
            "the value of CKA_LABEL has the wrong type",
        ),
        ((CKA_PRIVATE, to(false)), "CKA_PRIVATE never changes"),
        ((CKA_VALUE, None), "CKA_VALUE never changes"),
        (
            (CKA_APPLICATION, text("a")),
            "a secret key has no CKA_APPLICATION",
        ),
    ] {
        assert_eq!(refused(&[changes]), says);
    }
    let date = |year| {
        Some(Attribute::Date(Date {
            year,
            month: 1,
            day: 1,
        }))
    };
    let dates = [(CKA_START_DATE, date(2)), (CKA_END_DATE, date(1))];
    assert_eq!(refused(&dates), "CKA_END_DATE is before CKA_START_DATE");
    let long = "x".repeat(codec::MAX_PAYLOAD_BYTES);
    assert!(refused(&[(CKA_LABEL, text(&long))]).starts_with("the object is larger than"));

    // A use that is gone stays gone, and what has one value already is no change.
    let less = born.revised(&[(CKA_SIGN, to(false))], 9).unwrap().unwrap();
    let again = less.revised(&[(CKA_SIGN, to(true))], 9).unwrap_err();
    assert_eq!(again, ReviseError::OneWay("CKA_SIGN".into(), false));
    assert_eq!(less.revised(&[(CKA_SIGN, to(false))], 9), Ok(None));
    assert_eq!(born.revised(&[(CKA_VERIFY, to(true))], 9), Ok(None));

    let mut paper = data(SecretBytes::new(vec![1]), &Naming::default()).unwrap();
    paper.revision = Revision {
        number: MOST_REVISIONS,
        changed_secs: 1,
    };
    let last = paper.revised(&[(CKA_APPLICATION, text("a"))], 9);
    assert_eq!(last, Err(ReviseError::Exhausted));
    let missing = paper.revised(&[(CKA_ID, Some(Attribute::Bytes(vec![])))], 9);
    assert_eq!(missing.unwrap_err().to_string(), "a data has no CKA_ID");
}

fn other(names: &[&str], can_be_described: bool) -> Relation {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Relation::Other(Differences {
        names,
        can_be_described,
    })
}

/// By habit, version 1 stores every object as unmodifiable; one that is really so has no successor.
#[test]
fn an_object_that_is_unmodifiable_on_purpose_stays() {
    let born = key();
    assert!(born.is_modifiable());
    let mut fixed = born.clone();
    fixed.set(CKA_MODIFIABLE, Attribute::Bool(false));
    let (habit, purpose) = (encode(&born).unwrap(), encode(&fixed).unwrap());
    assert_eq!([habit.bytes()[0], purpose.bytes()[0]], [1, 2]);
    for object in [&born, &fixed] {
        let payload = encode(object).unwrap();
        assert_eq!(decode(payload.bytes()).as_ref(), Ok(object));
    }
    let label = [(CKA_LABEL, text("new"))];
    assert_eq!(fixed.revised(&label, 9), Err(ReviseError::Unmodifiable));
    // Nobody else makes one of it either.
    let mut forged = born.revised(&label, 9).unwrap().unwrap();
    assert_eq!(relation(&forged, &born), Relation::Successor);
    assert_eq!(
        relation(&forged, &fixed),
        other(&["CKA_LABEL", "CKA_MODIFIABLE"], false)
    );
    forged.set(CKA_MODIFIABLE, Attribute::Bool(false));
    assert_eq!(relation(&forged, &fixed), other(&["CKA_LABEL"], false));
}

#[test]
fn what_an_object_is_stays_for_ever() {
    let born = key();
    let new = born
        .revised(&[(CKA_LABEL, text("new"))], 9)
        .unwrap()
        .unwrap();
    let forge = |change: fn(&mut Object)| {
        let mut forged = new.clone();
        change(&mut forged);
        match relation(&forged, &born) {
            Relation::Other(differs) => {
                assert!(!differs.can_be_described, "{differs}");
                differs.names
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        forge(|it| it.ouid = Ouid([7; 16])),
        ["the identity", "CKA_LABEL"]
    );
    assert_eq!(forge(|it| it.class = 0), ["the class", "CKA_LABEL"]);
    assert_eq!(
        forge(|it| it.key_type = None),
        ["the key type", "CKA_LABEL"]
    );
    assert_eq!(
        forge(|it| it.created_secs += 1),
        ["the creation time", "CKA_LABEL"]
    );
    let value = |it: &mut Object| it.set(CKA_VALUE, Attribute::Secret(SecretBytes::new(vec![1])));
    assert_eq!(forge(value), ["CKA_LABEL", "CKA_VALUE"]);
    assert_eq!(
        forge(|it| drop(it.attributes.remove(&CKA_SIGN))),
        ["CKA_LABEL", "CKA_SIGN"]
    );
    let mut later = new.clone();
    later.revision.changed_secs += 1;
    assert_eq!(
        relation(&later, &new),
        other(&["the time of the change"], true)
    );
}

/// Whatever a change may change, it changes the mark; nothing else does.
#[test]
fn a_description_is_all_that_may_change() {
    let mut object = Object::new(CKO_DATA, None).unwrap();
    let before = description(&object);
    let label = Attribute::Text("label".into());
    let mut labelled = object.clone();
    labelled.set(CKA_LABEL, label.clone());
    assert_ne!(description(&labelled), before);
    // The same attribute is another by its type and its length.
    let mut applied = object.clone();
    applied.set(CKA_APPLICATION, label);
    assert_ne!(description(&applied), description(&labelled));
    let mut later = object.clone();
    later.revision = Revision {
        number: 1,
        changed_secs: 1,
    };
    assert_ne!(description(&later), before);
    object.set(CKA_VALUE, Attribute::Bytes(vec![1]));
    assert_eq!(description(&object), before);
}
