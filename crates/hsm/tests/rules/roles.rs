//! What each role may do, and how a role gets another secret.

use slotfs_hsm::{Arrived, Error, Policy, Rekey, Settings, SlotError, Source, Wish, wait};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, assert_slot_error, errno, handle, key, password};

/// A row that does not open could never again after a reset: it stays undone unless that is what is wanted.
#[test]
fn a_damaged_row_survives_a_reset_as_damaged() {
    let fixture = Fixture::quick(1);
    let slot = SlotId(0);
    let (bad, good) = (fixture.add_key(slot), fixture.add_key(slot));
    let fixture = fixture.tamper(&format!(
        "UPDATE objects SET sealed = zeroblob(length(sealed)) WHERE handle = {bad}"
    ));
    let (new, _) = Fixture::secret(fixture.slot(0).row().unwrap().serial);
    let reset = |force| {
        let po = fixture.secret_of(0);
        fixture
            .slot(0)
            .reset_secret(Role::Co, &new, po, Rekey::quiet(force))
    };
    let refused = reset(false).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("1 of its objects cannot be opened"),
        "{refused}"
    );
    fixture.login(0, Role::Co).unwrap();
    assert_eq!(reset(true).unwrap().damaged, 1);
    fixture.slot(0).login(Role::Co, &new).unwrap();
    assert!(fixture.seal(slot, good).is_ok());
    assert_eq!(errno(fixture.seal(slot, bad)), libc::EIO);
}

#[test]
fn cu_reads_and_never_writes() {
    let fixture = Fixture::quick(2);
    let object = key();
    let there = fixture.add(0, &object).unwrap().handle;
    let removed = fixture.add_key(SlotId(0));
    fixture.remove(0, removed).unwrap();
    fixture
        .slot(0)
        .init_role(Role::Cu, fixture.secret_of(0))
        .unwrap();
    fixture.login(0, Role::Po).unwrap();
    fixture
        .slot(0)
        .change_policies(&[(Policy::CryptoUserCloning, 1)])
        .unwrap();
    fixture.login(0, Role::Cu).unwrap();

    assert_eq!(fixture.slot(0).object(there).unwrap(), object);
    let blob = fixture.seal(SlotId(0), there).unwrap();
    fixture.import(SlotId(1), &blob).unwrap();

    assert_eq!(errno(fixture.slot(0).may_write()), libc::EROFS);
    assert_eq!(errno(fixture.add(0, &key())), libc::EROFS);
    assert_eq!(errno(fixture.import(SlotId(0), &blob)), libc::EROFS);
    assert_eq!(errno(fixture.remove(0, there)), libc::EROFS);
    assert_eq!(errno(fixture.renumber(0, there, handle(9))), libc::EROFS);
    assert_eq!(errno(fixture.slot(0).clear()), libc::EROFS);
    let trashed = fixture
        .slot(0)
        .list_trash(slotfs_object::RowId(0), 1)
        .unwrap()[0]
        .clone()
        .unwrap();
    let restored = wait(|done| fixture.hsm.restore(&trashed, None, done));
    assert_eq!(errno(restored), libc::EROFS);
    let destroyed = wait(|done| fixture.hsm.destroy_trashed(&trashed, done));
    assert_eq!(errno(destroyed), libc::EROFS);
    let from = Source {
        slot: SlotId(0),
        handle: there,
    };
    let moved: Result<Arrived, Error> =
        wait(|done| fixture.hsm.move_object(from, SlotId(1), Wish::Any, done));
    assert_eq!(errno(moved), libc::EROFS);
    assert_slot_error!(fixture.slot(0).new_smk(), SlotError::RoleNeeded { .. });
}

#[test]
fn po_reads_no_object() {
    let fixture = Fixture::quick(2);
    let there = fixture.add_key(SlotId(0));
    fixture.login(0, Role::Po).unwrap();
    let slot = fixture.slot(0);
    assert_eq!(errno(slot.object(there)), libc::EACCES);
    assert_slot_error!(fixture.seal(SlotId(0), there), SlotError::RoleNeeded { .. });
    assert_eq!(errno(slot.contents(|_| {})), libc::EACCES);
    assert_eq!(errno(fixture.add(0, &key())), libc::EACCES);
    assert_eq!(errno(fixture.remove(0, there)), libc::EACCES);
    let cloned = slot.clone_list(SlotId(1), &slotfs_hsm::Selection::All, || false, |_| {});
    assert_eq!(errno(cloned), libc::EACCES);
}

#[test]
fn the_partition_itself_belongs_to_po() {
    let fixture = Fixture::quick(1);
    let slot = fixture.slot(0);
    fixture.add_key(SlotId(0));
    let settings = Settings {
        retention_secs: Some(5),
        ..Settings::default()
    };
    assert_slot_error!(slot.set(settings), SlotError::RoleNeeded { .. });
    assert_slot_error!(slot.delete(), SlotError::RoleNeeded { .. });
    assert_slot_error!(slot.upgrade(), SlotError::RoleNeeded { .. });
    fixture.login(0, Role::Po).unwrap();
    let row = slot.set(settings).unwrap();
    assert_eq!((row.retention_secs, row.uid), (5, None));
    assert_eq!(slot.delete().unwrap(), 1);
    assert!(slot.row().unwrap_err().is_no_such_slot());
    assert_eq!(errno(slot.session()), libc::ENOKEY);
}

#[test]
fn a_role_is_made_once_and_by_its_makers() {
    let fixture = Fixture::quick(1);
    let (slot, secret) = (fixture.slot(0), fixture.secret_of(0));
    // co is logged in, and there is a co already.
    assert_slot_error!(
        slot.init_role(Role::Co, secret),
        SlotError::RoleNeeded { .. }
    );
    assert_eq!(errno(slot.login(Role::Cu, secret)), libc::EKEYREJECTED);
    slot.init_role(Role::Cu, secret).unwrap();
    assert_slot_error!(slot.init_role(Role::Cu, secret), SlotError::RoleExists(_));
    fixture.login(0, Role::Po).unwrap();
    assert_slot_error!(slot.init_role(Role::Co, secret), SlotError::RoleExists(_));
    assert_slot_error!(
        slot.init_role(Role::Cu, &password()),
        SlotError::OtherAuthentication(_)
    );

    // Nobody resets po; a reset of co takes nothing from cu.
    let serial = slot.row().unwrap().serial;
    let (new, _) = Fixture::secret(serial);
    assert_slot_error!(
        slot.reset_secret(Role::Po, &new, secret, Rekey::quiet(false)),
        SlotError::Malformed(_)
    );
    let reset = slot
        .reset_secret(Role::Co, &new, secret, Rekey::quiet(false))
        .unwrap();
    assert_eq!((reset.roles, reset.waiting), (vec![Role::Co], vec![]));
    slot.login(Role::Cu, secret).unwrap();
    assert!(slot.login(Role::Co, secret).is_err());
    slot.login(Role::Co, &new).unwrap();
    let roles = slot.roles().unwrap();
    let initialized: Vec<_> = roles.iter().map(|it| (it.role, it.initialized)).collect();
    assert_eq!(
        initialized,
        [(Role::Po, true), (Role::Co, true), (Role::Cu, true)]
    );
}

/// The slot gets another key: the old shares open nothing.
#[test]
fn shares_that_are_issued_again_replace_the_old_ones_of_every_role() {
    let fixture = Fixture::quick(1);
    let (slot, object) = (fixture.slot(0), key());
    let there = fixture.add(0, &object).unwrap().handle;
    let old = fixture.secret_of(0);
    let (new, _) = Fixture::secret(slot.row().unwrap().serial);
    let reissued = slot
        .change_secret(Role::Co, old, &new, Rekey::quiet(false))
        .unwrap();
    assert_eq!(
        (reissued.roles, reissued.waiting, reissued.damaged),
        (vec![Role::Po, Role::Co], vec![], 0)
    );
    for role in [Role::Po, Role::Co] {
        assert!(slot.login(role, old).is_err());
        slot.login(role, &new).unwrap();
    }
    assert_eq!(slot.object(there).unwrap(), object);
}
