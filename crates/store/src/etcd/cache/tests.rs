use std::sync::Arc;
use std::time::Instant;

use super::*;

const SLOT: SlotId = SlotId(3);
const WRITES: Writes = Writes {
    serial: 1,
    generation: 1,
    epoch: 1,
    sealing: 1,
    objects: 1,
    bytes: 0,
    trash: 0,
    highest: 1,
    lock: None,
};

fn key(last: u8) -> Key {
    let mut key = b"i/".to_vec();
    key.extend([last; 16]);
    key
}

fn some(byte: u8) -> Value {
    Some(Arc::from([byte].as_slice()))
}

/// A slot at revision 10 with the identity 1, all of whose identities are known.
fn cache() -> Cache {
    let mut cache = Cache::default();
    cache.learn_writes(SLOT, 10, Ok(WRITES));
    let there = key(1);
    cache.learn_identities(SLOT, 10, b"i/".to_vec(), [there.as_slice()].into_iter());
    cache
}

fn commit(cache: &mut Cache, from_to: (i64, i64), changes: &[(Key, Value)]) {
    let changes = changes.iter().cloned();
    cache.committed(SLOT, from_to, WRITES, changes);
}

#[test]
fn what_is_not_among_all_identities_is_not_there() {
    let mut cache = cache();
    assert_eq!(cache.value(SLOT, 10, &key(2)), Some(None));
    // It is there, and what it leads to was not read.
    assert_eq!(cache.value(SLOT, 10, &key(1)), None);
    // Of another epoch, or no identity, nothing is known.
    assert_eq!(cache.value(SLOT, 10, b"i2/0123456789abcdef"), None);
    assert_eq!(cache.value(SLOT, 10, b"h/1"), None);
    commit(&mut cache, (10, 11), &[(key(2), some(7)), (key(1), None)]);
    assert_eq!(cache.value(SLOT, 11, &key(2)), Some(some(7)));
    assert_eq!(cache.value(SLOT, 11, &key(1)), Some(None));
    assert_eq!(cache.value(SLOT, 11, &key(3)), Some(None));
    assert_eq!(cache.value(SLOT, 10, &key(3)), None, "at an earlier state");
    // Another host wrote.
    cache.learn_writes(SLOT, 12, Ok(WRITES));
    assert_eq!(cache.value(SLOT, 12, &key(3)), None);
}

#[test]
fn what_is_known_outlives_a_question_that_was_answered_during_a_commit() {
    let mut cache = cache();
    cache.sending(SLOT);
    let all = vec![(SLOT, 11, Ok(WRITES))];
    cache.learn_all(Instant::now(), 11, all);
    assert_eq!(cache.value(SLOT, 11, &key(3)), None, "it may be another's");
    commit(&mut cache, (10, 11), &[(key(2), some(7))]);
    cache.sent(SLOT);
    assert_eq!(cache.value(SLOT, 11, &key(3)), Some(None));
    assert_eq!(cache.value(SLOT, 11, &key(2)), Some(some(7)));
    // It was another's.
    cache.sending(SLOT);
    cache.learn_writes(SLOT, 12, Ok(WRITES));
    cache.sent(SLOT);
    commit(&mut cache, (11, 13), &[]);
    assert_eq!(cache.value(SLOT, 13, &key(3)), None);
    assert_eq!(cache.value(SLOT, 13, &key(2)), None);
}
