//! The trash: removed objects come back whole, for as long as the slot keeps them.

use slotfs_hsm::{
    Arrived, Became, Error, Removed, Settings, SlotError, SlotFault, TrashFile, TrashName, wait,
};
use slotfs_object::partition::Role;
use slotfs_object::{Handle, SlotId};

use crate::fixture::{Fixture, Slot, assert_slot_error, errno, forged, handle, key};

fn trashed(fixture: &Fixture, handle: Handle) -> Result<TrashFile, Error> {
    let name = TrashName { handle, nth: 1 };
    fixture.slot(0).find_trashed(name)
}

fn restore(fixture: &Fixture, it: &TrashFile, want: Option<Handle>) -> Result<Arrived, Error> {
    wait(|done| fixture.hsm.restore(it, want, done))
}

#[test]
fn what_was_removed_comes_back_as_it_was() {
    let fixture = Fixture::quick(1);
    let object = key();
    let there = fixture.add(0, &object).unwrap().handle;
    assert_eq!(fixture.remove(0, there).unwrap(), Removed::ToTrash);
    assert_eq!(errno(fixture.slot(0).object(there)), libc::ENOENT);
    let it = trashed(&fixture, there).unwrap();
    assert_eq!(fixture.hsm.open_trashed(&it).unwrap(), object);
    // No blob of it is sealed.
    assert!(matches!(fixture.hsm.seal(it.object.id), Err(Error::Gone)));
    let back = restore(&fixture, &it, Some(there)).unwrap();
    let expected = Arrived {
        handle: there,
        became: Became::New,
    };
    assert_eq!(back, expected);
    assert_eq!(fixture.slot(0).object(there).unwrap(), object);
    assert_eq!(fixture.slot(0).trash_count().unwrap(), 0);
    assert!(matches!(restore(&fixture, &it, None), Err(Error::Gone)));
}

#[test]
fn without_retention_and_by_request_objects_are_destroyed_at_once() {
    let none = Slot {
        retention_secs: 0,
        ..Slot::default()
    };
    let fixture = Fixture::of([none, Slot::default()]);
    let there = fixture.add_key(SlotId(0));
    assert_eq!(fixture.remove(0, there).unwrap(), Removed::Destroyed);
    let there = fixture.add_key(SlotId(1));
    let found = fixture.slot(1).find(there).unwrap();
    let destroyed = wait(|done| fixture.hsm.remove_found(&found, true, done)).unwrap();
    assert_eq!(destroyed, Removed::Destroyed);
    for slot in [0, 1] {
        assert!(
            fixture
                .slot(slot)
                .list_trash(slotfs_object::RowId(0), 10)
                .unwrap()
                .is_empty()
        );
        assert_eq!(fixture.slot(slot).trash_count().unwrap(), 0);
    }
    assert_eq!(errno(fixture.remove(0, there)), libc::ENOENT);
}

#[test]
fn a_handle_that_is_anothers_by_now_is_not_taken() {
    let fixture = Fixture::quick(1);
    let (first, other) = (key(), key());
    let there = fixture.add(0, &first).unwrap().handle;
    fixture.remove(0, there).unwrap();
    let other_there = fixture.add(0, &other).unwrap().handle;
    if other_there != there {
        fixture.renumber(0, other_there, there).unwrap();
    }
    let it = trashed(&fixture, there).unwrap();
    let taken = restore(&fixture, &it, Some(there)).unwrap_err();
    assert!(taken.is_handle_taken(), "{taken}");
    let back = restore(&fixture, &it, None).unwrap().handle;
    assert_ne!(back, there);
    assert_eq!(fixture.slot(0).object(back).unwrap(), first);
    assert_eq!(fixture.slot(0).object(there).unwrap(), other);
}

#[test]
fn an_identity_that_is_anothers_by_now_is_a_clash() {
    let fixture = Fixture::quick(1);
    let object = key();
    let there = fixture.add(0, &object).unwrap().handle;
    fixture.remove(0, there).unwrap();
    let it = trashed(&fixture, there).unwrap();
    let other = fixture.add(0, &forged(&object)).unwrap().handle;
    let clash = restore(&fixture, &it, None);
    assert_slot_error!(clash, SlotError::Stored(SlotFault::IdentityClash { .. }));
    assert!(trashed(&fixture, there).is_ok());
    // The same object is there again: the one in the trash just leaves it.
    let found = fixture.slot(0).find(other).unwrap();
    wait(|done| fixture.hsm.remove_found(&found, true, done)).unwrap();
    let again = fixture.add(0, &object).unwrap().handle;
    let back = restore(&fixture, &it, Some(handle(90))).unwrap();
    assert_eq!((back.handle, back.became), (again, Became::Already));
    assert_eq!(fixture.slot(0).trash_count().unwrap(), 0);
}

#[test]
fn objects_of_one_handle_have_names_of_their_own() {
    let fixture = Fixture::quick(1);
    let objects = [key(), key()];
    let wanted = handle(40);
    for object in &objects {
        let there = fixture.add(0, object).unwrap().handle;
        fixture.renumber(0, there, wanted).unwrap();
        fixture.remove(0, wanted).unwrap();
    }
    for (nth, object) in (1..).zip(&objects) {
        let name = TrashName {
            handle: wanted,
            nth,
        };
        let it = fixture.slot(0).find_trashed(name).unwrap();
        assert_eq!(&fixture.hsm.open_trashed(&it).unwrap(), object);
    }
    // Destroyed for good, one at a time.
    let it = trashed(&fixture, wanted).unwrap();
    wait(|done| fixture.hsm.destroy_trashed(&it, done)).unwrap();
    assert!(matches!(fixture.hsm.open_trashed(&it), Err(Error::Gone)));
    assert_eq!(fixture.slot(0).trash_count().unwrap(), 1);
}

#[test]
fn a_shorter_retention_ends_the_time_of_what_is_there() {
    let fixture = Fixture::quick(1);
    let there = fixture.add_key(SlotId(0));
    fixture.remove(0, there).unwrap();
    let it = trashed(&fixture, there).unwrap();
    fixture.hsm.empty_expired_trash().unwrap();
    assert_eq!(fixture.slot(0).trash_count().unwrap(), 1);
    fixture.login(0, Role::Po).unwrap();
    let settings = Settings {
        retention_secs: Some(0),
        ..Settings::default()
    };
    fixture.slot(0).set(settings).unwrap();
    fixture.login(0, Role::Co).unwrap();
    assert_slot_error!(trashed(&fixture, there), SlotError::NotInTrash(_));
    fixture.hsm.empty_expired_trash().unwrap();
    assert_eq!(fixture.slot(0).trash_count().unwrap(), 0);
    assert!(matches!(restore(&fixture, &it, None), Err(Error::Gone)));
}

#[test]
fn a_cleared_slot_has_no_trash_either() {
    let fixture = Fixture::quick(1);
    let removed = fixture.add_key(SlotId(0));
    fixture.remove(0, removed).unwrap();
    fixture.add_key(SlotId(0));
    assert_eq!(fixture.slot(0).clear().unwrap(), 1);
    assert_eq!(fixture.slot(0).usage().unwrap(), (0, 0));
    assert_eq!(fixture.slot(0).trash_count().unwrap(), 0);
}
