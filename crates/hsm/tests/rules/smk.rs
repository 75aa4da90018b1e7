//! V0 and V1 slots: which blobs open where, and the ring of storage master keys.

use slotfs_hsm::{Access, Became, Error, Hsm, Received, Rekey, SlotError, SmkFault, code};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_seal::blob::{self, Fault, Kind, Root};

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
    let target = fixture.slot(2);
    let own = fingerprints(&fixture, 2)[0];
    assert_eq!(target.import_smk(&smk, false).unwrap(), Received::Added);
    assert_eq!(target.import_smk(&smk, false).unwrap(), Received::Known);
    fixture.clone_key(1, 2).unwrap();
    // It joins behind: what the slot seals stays under its own.
    let received = fingerprints(&fixture, 1)[0];
    assert_eq!(fingerprints(&fixture, 2), [own, received]);
    let refused = fixture.clone_key(2, 1);
    assert_slot_error!(refused, SlotError::Unverified(Fault::NoSmk));
    assert!(target.activate_smk(received).unwrap());
    assert!(!target.activate_smk(received).unwrap());
    assert_eq!(fingerprints(&fixture, 2), [received, own]);
    fixture.clone_key(2, 1).unwrap();
    assert_fault(target.activate_smk([0; 8]), SmkFault::NoSuchKey);
    assert_fault(fixture.slot(0).activate_smk(own), SmkFault::None);

    assert_fault(fixture.slot(0).import_smk(&smk, false), SmkFault::None);
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
    let fingerprints = || fingerprints(&fixture, 1);
    let old = fixture.add_key(SlotId(1));
    let blob = fixture.seal(SlotId(1), old).unwrap();
    let first = fingerprints()[0];
    slot.new_smk().unwrap();
    assert_eq!(fingerprints().len(), 2);
    assert_eq!(fingerprints()[1], first);
    let again = fixture.import(SlotId(1), &blob).unwrap();
    assert_eq!(again.became, Became::Already);

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

/// Whoever kept a storage master key that was deleted cannot put it back by a copy; only a command that says so can. 32 equal
/// bytes are never taken.
#[test]
fn a_deleted_key_stays_away_until_it_is_wanted() {
    let fixture = fixture();
    let (source, target) = (fixture.slot(1), fixture.slot(2));
    let smk = source.seal_smk().unwrap();
    let of_source = fingerprints(&fixture, 1)[0];
    target.import_smk(&smk, false).unwrap();
    target.delete_smk(of_source).unwrap();
    assert_fault(target.import_smk(&smk, false), SmkFault::Deleted);
    let errno = target.import_smk(&smk, false).unwrap_err().outcome().errno;
    assert_eq!(errno, libc::EACCES);
    // Another change, another secret and another process remember it.
    target.new_smk().unwrap();
    let (old, (new, _)) = (
        fixture.secret_of(2).clone(),
        Fixture::secret(target.row().unwrap().serial),
    );
    target
        .change_secret(Role::Co, &old, &new, Rekey::quiet(false))
        .unwrap();
    assert_fault(target.import_smk(&smk, false), SmkFault::Deleted);
    let again = Hsm::open(&fixture.path(), Access::ReadWrite).unwrap();
    again.partition(SlotId(2)).login(Role::Co, &new).unwrap();
    let refused = again.partition(SlotId(2)).import_smk(&smk, false);
    assert_fault(refused, SmkFault::Deleted);
    target.login(Role::Co, &new).unwrap();
    assert_eq!(target.import_smk(&smk, true).unwrap(), Received::Added);
    // It was wanted, so it is deleted no longer.
    assert_eq!(target.import_smk(&smk, false).unwrap(), Received::Known);
    target.delete_smk(of_source).unwrap();
    assert_fault(target.import_smk(&smk, false), SmkFault::Deleted);
    // The last 64 are remembered.
    for _ in 0..64 {
        let active = fingerprints(&fixture, 2)[0];
        target.new_smk().unwrap();
        target.delete_smk(active).unwrap();
    }
    assert_eq!(target.import_smk(&smk, false).unwrap(), Received::Added);

    let session = source.session().unwrap();
    let root = Root::of_domain(session.domains()[0].key.key());
    for byte in [0, 0xff] {
        let payload = [&[1][..], &[byte; 32]].concat();
        let blob = blob::seal(Kind::Smk, std::slice::from_ref(&root), &payload).unwrap();
        for again in [false, true] {
            assert_fault(target.import_smk(&blob, again), SmkFault::Constant);
        }
    }
}

fn fingerprints(fixture: &Fixture, slot: u32) -> Vec<[u8; 8]> {
    let session = fixture.slot(slot).session().unwrap();
    session.smks().iter().map(|smk| smk.fingerprint()).collect()
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
    let again = fixture.import(SlotId(0), &blob).unwrap();
    assert_eq!(again.became, Became::Already);
}
