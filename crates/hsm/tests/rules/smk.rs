//! V0 and V1 slots: which blobs open where, and the ring of storage master keys.

use slotfs_hsm::{Error, SlotError, SmkFault, code};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_seal::blob::Fault;

use crate::fixture::{Fixture, Slot, assert_slot_error};

/// V0, V1, V1.
fn fixture() -> Fixture {
    Fixture::of([false, true, true].map(|v1| Slot {
        v1,
        ..Slot::default()
    }))
}

#[track_caller]
fn assert_fault<T>(outcome: Result<T, Error>, fault: SmkFault) {
    let error = outcome.err().unwrap();
    let is = matches!(error.slot_error(), Some(SlotError::Smk(why)) if *why == fault);
    assert!(is, "{error}");
}

#[test]
fn the_versions_decide_what_opens_where() {
    let fixture = fixture();
    fixture.clone_key(0, 1).unwrap();
    let to_v0 = fixture.clone_key(1, 0);
    assert_slot_error!(to_v0, SlotError::Unverified(Fault::NotForV0(_)));
    let without_key = fixture.clone_key(1, 2).unwrap_err();
    assert_eq!(without_key.outcome().code, code::SMK_ID_NOT_FOUND);
    assert_eq!(without_key.outcome().errno, libc::EACCES);

    let smk = fixture.slot(1).seal_smk().unwrap();
    assert!(!fixture.slot(2).has_smk_of(SlotId(1)).unwrap());
    assert!(fixture.slot(2).import_smk(&smk).unwrap());
    assert!(fixture.slot(2).has_smk_of(SlotId(1)).unwrap());
    assert!(!fixture.slot(2).import_smk(&smk).unwrap());
    fixture.clone_key(1, 2).unwrap();
    // It is the active one there too.
    fixture.clone_key(2, 1).unwrap();

    assert_fault(fixture.slot(0).import_smk(&smk), SmkFault::None);
    assert_fault(fixture.slot(0).seal_smk(), SmkFault::None);
    assert_fault(fixture.slot(0).new_smk(), SmkFault::None);
    // A storage master key is no object.
    let object = fixture.import(SlotId(1), &smk);
    assert_slot_error!(object, SlotError::Unverified(Fault::WrongKind(_)));
}

#[test]
fn an_earlier_key_opens_what_it_sealed_until_it_is_deleted() {
    let fixture = fixture();
    let slot = fixture.slot(1);
    let fingerprints = || -> Vec<_> {
        let session = slot.session().unwrap();
        session.smks().iter().map(|smk| smk.fingerprint()).collect()
    };
    let old = fixture.add_key(SlotId(1));
    let blob = fixture.seal(SlotId(1), old).unwrap();
    let first = fingerprints()[0];
    slot.new_smk().unwrap();
    assert_eq!(fingerprints().len(), 2);
    assert_eq!(fingerprints()[1], first);
    assert!(fixture.import(SlotId(1), &blob).unwrap().already);

    assert_fault(slot.delete_smk(fingerprints()[0]), SmkFault::Active);
    assert_fault(slot.delete_smk([0; 8]), SmkFault::NoSuchKey);
    slot.delete_smk(first).unwrap();
    let refused = fixture.import(SlotId(1), &blob);
    assert_slot_error!(refused, SlotError::Unverified(Fault::NoSmk));
    // The object itself is as it was.
    assert!(slot.object(old).is_ok());
    for _ in 1..16 {
        slot.new_smk().unwrap();
    }
    assert_fault(slot.new_smk(), SmkFault::Full);
}

#[test]
fn a_slot_is_upgraded_once_and_keeps_its_objects() {
    let fixture = fixture();
    let slot = fixture.slot(0);
    let there = fixture.add_key(SlotId(0));
    let blob = fixture.seal(SlotId(0), there).unwrap();
    fixture.login(0, Role::Po).unwrap();
    slot.upgrade().unwrap();
    assert_fault(slot.upgrade(), SmkFault::V1Already);
    fixture.login(0, Role::Co).unwrap();
    assert!(slot.object(there).is_ok());
    assert_ne!(fixture.seal(SlotId(0), there).unwrap().len(), 0);
    // What it sealed as V0 still opens.
    assert!(fixture.import(SlotId(0), &blob).unwrap().already);
}
