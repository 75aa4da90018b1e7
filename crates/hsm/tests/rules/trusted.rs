//! Keys that po trusts (docs/format.md, "Sealed rows").

use slotfs_hsm::{Rekey, SlotError, wait};
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::CKA_TRUSTED;
use slotfs_object::{Attribute, Handle, SlotId};

use crate::fixture::{Fixture, Slot, assert_slot_error, handle, key, password, text};

fn is_trusted(it: &Fixture, slot: u32, key: Handle) -> bool {
    it.login(slot, Role::Co).unwrap();
    it.slot(slot).is_trusted(key).unwrap()
}

fn set(it: &Fixture, key: Handle, trusted: bool) {
    it.login(0, Role::Po).unwrap();
    it.slot(0).set_trusted(key, trusted).unwrap();
}

#[test]
fn po_alone_makes_a_key_trusted() {
    let it = Fixture::quick(2);
    let slot = it.slot(0);
    let mut claims = key();
    claims.set(CKA_TRUSTED, Attribute::Bool(true));
    let claims = it.add(0, &claims).unwrap().handle;
    let stored = it.add_key(SlotId(0));
    // What the payload says does not count.
    assert!(!is_trusted(&it, 0, claims) && !is_trusted(&it, 0, stored));
    assert_slot_error!(slot.set_trusted(stored, true), SlotError::RoleNeeded { .. });
    set(&it, stored, true);
    // po reads nothing all the same.
    assert_slot_error!(slot.object(stored), SlotError::RoleNeeded { .. });
    assert!(is_trusted(&it, 0, stored) && !is_trusted(&it, 0, claims));
    // A renumbered key is the same key; a clone in another slot is another slot's.
    wait(|done| slot.renumber(stored, handle(77), done)).unwrap();
    assert!(is_trusted(&it, 0, handle(77)));
    let blob = it.seal(SlotId(0), handle(77)).unwrap();
    it.login(1, Role::Co).unwrap();
    let there = it.import(SlotId(1), &blob).unwrap().handle;
    assert!(!is_trusted(&it, 1, there));
    set(&it, handle(77), false);
    assert!(!is_trusted(&it, 0, handle(77)));
}

#[test]
fn another_slot_key_keeps_trusted_keys() {
    let it = Fixture::of([Slot {
        password: true,
        ..Slot::default()
    }]);
    let stored = it.add_key(SlotId(0));
    set(&it, stored, true);
    it.login(0, Role::Co).unwrap();
    let slot = it.slot(0);
    slot.change_secret(
        Role::Co,
        &password(),
        &text("another one"),
        Rekey::quiet(false),
    )
    .unwrap();
    assert!(slot.is_trusted(stored).unwrap());
}

/// Keys that are gone make room for others.
#[test]
fn as_many_keys_are_trusted_as_there_is_room_for() {
    let it = Fixture::quick(1);
    let all: Vec<Handle> = (0..65).map(|_| it.add_key(SlotId(0))).collect();
    let slot = it.slot(0);
    it.login(0, Role::Po).unwrap();
    for key in &all[..64] {
        slot.set_trusted(*key, true).unwrap();
    }
    assert_slot_error!(
        slot.set_trusted(all[64], true),
        SlotError::TooManyTrusted(_)
    );
    it.login(0, Role::Co).unwrap();
    // One that is in the trash may come back.
    it.remove(0, all[0]).unwrap();
    it.login(0, Role::Po).unwrap();
    assert_slot_error!(
        slot.set_trusted(all[64], true),
        SlotError::TooManyTrusted(_)
    );
    it.login(0, Role::Co).unwrap();
    let found = slot.find(all[1]).unwrap();
    wait(|done| it.hsm.remove_found(&found, true, done)).unwrap();
    set(&it, all[64], true);
    assert!(is_trusted(&it, 0, all[64]) && is_trusted(&it, 0, all[2]));
}
