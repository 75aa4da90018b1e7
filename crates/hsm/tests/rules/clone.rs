//! Cloning: one blob, a move, and the identities of objects.

use slotfs_hsm::{Arrived, Became, Error, Selection, SlotError, SlotFault, Source, Wish, wait};
use slotfs_object::partition::Role;
use slotfs_object::{Ouid, SlotId};
use slotfs_seal::blob::Fault;

use crate::fixture::{Fixture, Slot, assert_slot_error, domain, errno, forged, handle, key};

#[test]
fn a_full_slot_takes_no_more_and_loses_nothing() {
    let fixture = Fixture::quick(1);
    for _ in 0..100 {
        fixture.add_key(SlotId(0));
    }
    let object = key();
    let full: Result<Arrived, Error> =
        wait(|done| fixture.hsm.partition(SlotId(0)).add(&object, done));
    assert!(matches!(
        full,
        Err(Error::Slot {
            why: SlotError::Stored(SlotFault::Full),
            ..
        })
    ));
    assert_eq!(fixture.hsm.partition(SlotId(0)).usage().unwrap().0, 100);
}

/// "exists with other content": another object claims an identity that the target holds.
#[test]
fn a_list_meets_an_object_that_claims_anothers_identity() {
    let fixture = Fixture::quick(2);
    let (from, to) = (SlotId(0), SlotId(1));
    let object = key();
    let other = forged(&object);
    let add = |slot, object| -> Arrived {
        wait(|done| fixture.hsm.partition(slot).add(object, done)).unwrap()
    };
    let clash = add(from, &object).handle;
    let there = add(to, &other).handle;
    let good = fixture.add_key(from);

    let mut existing = Vec::new();
    fixture
        .hsm
        .partition(from)
        .check_existing(to, &Selection::All, |handle, outcome| {
            existing.push((handle, outcome.is_ok()));
        })
        .unwrap();
    assert_eq!(existing, [(clash, false)]);
    let mut outcomes = Vec::new();
    let list = Selection::These(vec![good, clash]);
    fixture
        .hsm
        .partition(from)
        .clone_list(
            to,
            &list,
            || false,
            |some| {
                outcomes.extend(some.iter().map(|(handle, outcome)| {
                    (
                        *handle,
                        outcome
                            .as_ref()
                            .map_err(|error| error.outcome().errno)
                            .copied(),
                    )
                }));
            },
        )
        .unwrap();
    let stored = Arrived {
        handle: good,
        became: Became::New,
    };
    assert_eq!(outcomes, [(good, Ok(stored)), (clash, Err(libc::EEXIST))]);
    assert_eq!(fixture.hsm.partition(to).usage().unwrap().0, 2);
    assert!(fixture.hsm.partition(to).find(there).is_ok());
}

/// Whoever holds the domain's key can seal anything under any identity: a source is named only where its content is the
/// same, and two objects of one identity are told of, with the one that was here first.
#[test]
fn an_object_with_anothers_identity_is_not_said_to_come_from_it() {
    let fixture = Fixture::quick(3);
    let slots = [SlotId(0), SlotId(1), SlotId(2)];
    let object = key();
    let mut forged = forged(&object);
    // Whoever forges an object writes its date as well.
    forged.created_secs = 1;
    let add = |slot, object| -> Arrived {
        wait(|done| fixture.hsm.partition(slot).add(object, done)).unwrap()
    };
    let (genuine, there) = (add(slots[0], &object).handle, add(slots[1], &forged).handle);
    let of = |slot, handle| fixture.hsm.partition(slot).find(handle).unwrap();
    let first = of(slots[0], genuine).id;
    let blob = fixture.seal(slots[1], there).unwrap();
    let clones = || fixture.hsm.journal().text(Some(slots[2]));

    // It is in slot 1 too: that is where it came from, and not slot 0.
    let arrived = fixture.import(slots[2], &blob).unwrap();
    let text = clones();
    let told = format!(
        "Handle {there} on slot 1 is now handle {} on slot 2\n",
        arrived.handle
    );
    assert!(text.contains(&told), "{text}");
    assert!(!text.contains("slot 0 is now"), "{text}");
    let told = format!("handle {genuine} on slot 0 was here first, by its row {first} before ");
    assert!(text.contains(&told), "{text}");

    // It came from nowhere that is known.
    for (slot, handle) in [(slots[1], there), (slots[2], arrived.handle)] {
        let found = of(slot, handle);
        wait(|done| fixture.hsm.remove_found(&found, true, done)).unwrap();
    }
    let before = clones().len();
    fixture.import(slots[2], &blob).unwrap();
    let text = clones().split_off(before);
    assert!(
        text.starts_with(&format!("Object {}", object.ouid)),
        "{text}"
    );
    assert!(text.contains("was here first"), "{text}");

    // The genuine one is what it says.
    let blob = fixture.seal(slots[0], genuine).unwrap();
    fixture.import(slots[1], &blob).unwrap();
    let text = fixture.hsm.journal().text(Some(slots[1]));
    let told = format!("Handle {genuine} on slot 0 is now handle ");
    assert!(text.contains(&told), "{text}");
    // And the forged one is in slot 2, beside it.
    assert!(text.contains("with other content"), "{text}");
}

#[test]
fn a_second_clone_finds_the_first() {
    let fixture = Fixture::quick(2);
    let blob = fixture.seal(SlotId(0), fixture.add_key(SlotId(0))).unwrap();
    let first = fixture.import(SlotId(1), &blob).unwrap();
    assert_eq!(first.became, Became::New);
    let again = fixture.import_as(SlotId(1), Wish::Handle(handle(50)), &blob);
    let there = Arrived {
        became: Became::Already,
        ..first
    };
    assert_eq!(again.unwrap(), there);
    assert_eq!(fixture.slot(1).usage().unwrap().0, 1);
}

#[test]
fn another_domain_verifies_nothing() {
    let other = Slot {
        domain: Some(domain()),
        ..Slot::default()
    };
    let fixture = Fixture::of([Slot::default(), other]);
    let refused = fixture.clone_key(0, 1);
    assert_eq!(errno(refused), libc::EACCES);
    let refused = fixture.clone_key(1, 0);
    assert_slot_error!(refused, SlotError::Unverified(Fault::NoDomain));
    assert_eq!(fixture.slot(1).usage().unwrap().0, 1);
}

#[test]
fn an_object_of_another_identity_or_content_is_refused() {
    let fixture = Fixture::quick(2);
    let object = key();
    let from = fixture.add(0, &object).unwrap().handle;
    let blob = fixture.seal(SlotId(0), from).unwrap();
    // Written under the name of another object.
    let named = Wish::Identity(Ouid([7; 16]));
    let refused = fixture.import_as(SlotId(1), named, &blob);
    assert_slot_error!(refused, SlotError::OtherIdentity { .. });
    // The slot holds other content under that identity.
    let there = fixture.add(1, &forged(&object)).unwrap().handle;
    let refused = fixture.import(SlotId(1), &blob);
    assert_slot_error!(refused, SlotError::Stored(SlotFault::IdentityClash { .. }));
    assert_eq!(errno(fixture.import(SlotId(1), &blob)), libc::EEXIST);
    assert_eq!(fixture.slot(1).usage().unwrap().0, 1);
    // Without that object it comes in under its own name.
    fixture.remove(1, there).unwrap();
    let named = Wish::Identity(object.ouid);
    let arrived = fixture.import_as(SlotId(1), named, &blob).unwrap();
    assert_eq!(arrived.handle, from);
    assert_eq!(fixture.slot(1).object(from).unwrap(), object);
}

#[test]
fn a_move_takes_a_free_handle_or_nothing() {
    let fixture = Fixture::quick(2);
    let (object, other) = (key(), fixture.add_key(SlotId(1)));
    let from = Source {
        slot: SlotId(0),
        handle: fixture.add(0, &object).unwrap().handle,
    };
    let moved = |wish| -> Result<Arrived, Error> {
        wait(|done| fixture.hsm.move_object(from, SlotId(1), wish, done))
    };
    let taken = moved(Wish::Handle(other)).unwrap_err();
    assert!(taken.is_handle_taken(), "{taken}");
    assert_eq!(fixture.slot(0).object(from.handle).unwrap(), object);
    let arrived = moved(Wish::Handle(handle(77))).unwrap();
    assert_eq!(arrived.handle, handle(77));
    assert_eq!(fixture.slot(1).object(handle(77)).unwrap(), object);
    let gone = moved(Wish::Any).unwrap_err();
    assert!(gone.is_no_such_object(), "{gone}");
}

/// A file that was opened before the partition was made anew is for the one before.
#[test]
fn an_import_for_a_partition_that_was_replaced_is_for_nobody() {
    let mut fixture = Fixture::quick(2);
    let blob = fixture.seal(SlotId(0), fixture.add_key(SlotId(0))).unwrap();
    let before = fixture.slot(1).id().unwrap();
    fixture.hsm.check_partition(before).unwrap();
    let mut new = fixture.new_partition(SlotId(1), false);
    new.replaces = Some(before.serial.into());
    fixture.hsm.init_partition(new).unwrap();
    // Whoever is logged in there now, and if it is nobody.
    for role in [None, Some(Role::Co), Some(Role::Po)] {
        fixture.slot(1).logout();
        if let Some(role) = role {
            fixture.login(1, role).unwrap();
        }
        let late: Result<Arrived, Error> = wait(|done| {
            let named = (Wish::Any, "new".to_owned());
            fixture
                .hsm
                .import(before, None, named, blob.clone(), None, done);
        });
        assert!(matches!(late, Err(Error::Gone)), "{role:?}: {late:?}");
    }
    let checked = fixture.hsm.check_partition_as_known(before);
    assert!(matches!(checked, Err(Error::Gone)), "{checked:?}");
    assert_eq!(fixture.slot(1).usage().unwrap().0, 0);
}

#[test]
fn blobs_that_are_cut_short_or_changed_are_not_accepted() {
    let fixture = Fixture::quick(2);
    let blob = fixture.seal(SlotId(0), fixture.add_key(SlotId(0))).unwrap();
    for cut in [0, 3, 40, blob.len() - 1] {
        assert_slot_error!(
            fixture.import(SlotId(1), &blob[..cut]),
            SlotError::Unverified(_)
        );
    }
    for at in [0, 20, blob.len() / 2, blob.len() - 1] {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert_slot_error!(
            fixture.import(SlotId(1), &changed),
            SlotError::Unverified(_)
        );
    }
    assert_eq!(fixture.slot(1).usage().unwrap().0, 0);
}
