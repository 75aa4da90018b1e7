use super::*;
use crate::fs::staging::Folder;
use crate::object::{Ouid, RowId};

const HERE: Place = Place {
    slot: SlotId(1),
    folder: Folder::Slot,
};

fn object(id: i64, handle: u32) -> ObjectFile {
    ObjectFile {
        id: RowId(id),
        slot: HERE.slot,
        handle: Handle::new(handle).unwrap(),
        ouid: Ouid([7; 16]),
        size: 300,
        payload_bytes: 32,
        created_secs: 0,
        changed_secs: None,
    }
}

fn open(aliases: &Aliases, name: &str, file: u64) -> AliasId {
    let alias = (HERE, OsStr::new(name), Wish::Any);
    aliases.open(alias, FileHandle(file), false).unwrap()
}

fn is_there(aliases: &Aliases, name: &str) -> bool {
    aliases.find(HERE, OsStr::new(name)).is_some()
}

/// Opened, stored and closed.
fn stored(aliases: &Aliases, name: &str, it: &ObjectFile) -> AliasId {
    let id = open(aliases, name, 1);
    aliases.leads_to(id, it, true);
    aliases.closed(id, FileHandle(1), false);
    id
}

#[test]
fn an_alias_of_nothing_goes_with_its_last_writer() {
    let aliases = Aliases::default();
    let id = open(&aliases, "a", 1);
    assert_eq!(open(&aliases, "a", 2), id);
    aliases.closed(id, FileHandle(1), false);
    assert!(is_there(&aliases, "a"));
    aliases.closed(id, FileHandle(2), false);
    assert!(!is_there(&aliases, "a"));
    aliases.leads_to(id, &object(1, 1), true);
    assert!(!is_there(&aliases, "a"), "a verdict brings no name back");
    assert!(aliases.target(id).is_none());
}

#[test]
fn an_object_is_owned_until_something_else_names_it() {
    let aliases = Aliases::default();
    let one = object(1, 5);
    let id = stored(&aliases, "a", &one);
    assert!(aliases.owns(id, &one));
    let other = open(&aliases, "b", 2);
    aliases.named(one.slot, one.handle);
    aliases.leads_to(other, &one, false);
    assert!(!aliases.owns(id, &one) && !aliases.owns(other, &one));
    // A second object under the same alias: the first is nobody's, and stays.
    let two = object(2, 6);
    aliases.leads_to(other, &two, true);
    assert!(aliases.owns(other, &two) && !aliases.owns(other, &one));
    // Another process gave it another handle.
    assert!(!aliases.owns(other, &object(2, 9)));
    aliases.end(other);
    assert!(!aliases.owns(other, &two));
    assert_eq!(
        aliases.target(other),
        Some((one.slot, RowId(2))),
        "for descriptors"
    );
}

#[test]
fn aliases_end_with_their_object() {
    let aliases = Aliases::default();
    let it = object(1, 5);
    let closed = stored(&aliases, "a", &it);
    let written = stored(&aliases, "b", &it);
    open(&aliases, "b", 9);
    aliases.left(it.id);
    assert!(!is_there(&aliases, "a"));
    assert!(is_there(&aliases, "b"), "it is being written to");
    assert!(!aliases.owns(closed, &it) && !aliases.owns(written, &it));
    aliases.closed(written, FileHandle(9), false);
    assert!(!is_there(&aliases, "b"));
    let id = stored(&aliases, "a", &it);
    aliases.clear(HERE.slot);
    assert!(!is_there(&aliases, "a") && aliases.target(id).is_none());
    let table = lock(&aliases.0);
    assert!(table.rows.is_empty() && table.owners.is_empty() && table.places.is_empty());
    assert_eq!(table.of_slot.get(&HERE.slot), Some(&0));
}

#[test]
fn an_alias_ends_when_nobody_uses_it_for_an_hour() {
    let aliases = Aliases::default();
    stored(&aliases, "closed", &object(1, 1));
    open(&aliases, "open", 7);
    let mut table = lock(&aliases.0);
    let later = |secs| Instant::now() + LONGEST_IDLE + Duration::from_secs(secs);
    assert!(table.find(HERE, OsStr::new("open"), later(60)).is_some());
    let almost = Instant::now() + LONGEST_IDLE.saturating_sub(Duration::from_secs(60));
    assert!(table.find(HERE, OsStr::new("closed"), almost).is_some());
    assert!(table.find(HERE, OsStr::new("closed"), later(0)).is_some());
    let idle = later(0) + LONGEST_IDLE + Duration::from_secs(60);
    assert!(table.find(HERE, OsStr::new("closed"), idle).is_none());
}

#[test]
fn a_full_table_forgets_the_oldest_that_is_closed() {
    let aliases = Aliases::default();
    open(&aliases, "open", 1);
    for n in 1..MOST_OF_A_SLOT {
        stored(&aliases, &n.to_string(), &object(n as i64, n as u32));
    }
    stored(&aliases, "one more", &object(20_000, 20_000));
    assert!(!is_there(&aliases, "1") && is_there(&aliases, "2"));
    assert!(is_there(&aliases, "open"));
    // What another slot has is its own.
    let slot = SlotId(2);
    let there = (Place { slot, ..HERE }, OsStr::new("x"), Wish::Any);
    aliases.open(there, FileHandle(1), false).unwrap();
    assert!(is_there(&aliases, "2"));
    let full = Aliases::default();
    for n in 0..MOST_OF_A_SLOT {
        open(&full, &n.to_string(), n as u64);
    }
    let more = full.open(
        (HERE, OsStr::new("x"), Wish::Any),
        FileHandle(1 << 40),
        false,
    );
    assert!(matches!(more, Err(crate::error::Error::Incoming { .. })));
}

#[test]
fn a_placeholder_stays_until_it_is_opened_again() {
    let aliases = Aliases::default();
    let make = |file| {
        aliases
            .open((HERE, OsStr::new("a"), Wish::Any), FileHandle(file), true)
            .unwrap()
    };
    let id = make(1);
    aliases.closed(id, FileHandle(1), true);
    assert!(is_there(&aliases, "a"));
    open(&aliases, "a", 2);
    aliases.closed(id, FileHandle(2), true);
    assert!(!is_there(&aliases, "a"));
    // One that something was written to is no placeholder.
    let id = make(3);
    aliases.closed(id, FileHandle(3), false);
    assert!(!is_there(&aliases, "a"));
}
