//! The domains of a slot: added, deleted, relabelled, put first.

use slotfs_hsm::{DomainFault, Error, SlotError};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, Slot, assert_slot_error, domain, errno};

#[track_caller]
fn assert_fault(outcome: Result<(), Error>, fault: DomainFault) {
    let error = outcome.unwrap_err();
    let why = match error.slot_error() {
        Some(SlotError::Domain { why, .. }) => *why,
        _ => panic!("{error}"),
    };
    assert_eq!(why, fault);
}

#[test]
fn a_common_domain_is_enough_and_a_deleted_one_opens_nothing() {
    let second = domain();
    let other = Slot {
        domain: Some(second.clone()),
        ..Slot::default()
    };
    let fixture = Fixture::of([Slot::default(), other]);
    let slot = fixture.slot(0);
    let blob = fixture.seal(SlotId(1), fixture.add_key(SlotId(1))).unwrap();
    assert_eq!(errno(fixture.import(SlotId(0), &blob)), libc::EACCES);

    // Domains are po's.
    let refused = slot.add_domain(&second, "second", false);
    assert_slot_error!(refused, SlotError::RoleNeeded { .. });
    fixture.login(0, Role::Po).unwrap();
    slot.add_domain(&second, "second", false).unwrap();
    fixture.login(0, Role::Co).unwrap();
    fixture.import(SlotId(0), &blob).unwrap();
    fixture.clone_key(0, 1).unwrap();

    fixture.login(0, Role::Po).unwrap();
    slot.delete_domain("second").unwrap();
    fixture.login(0, Role::Co).unwrap();
    assert_eq!(errno(fixture.clone_key(1, 0)), libc::EACCES);
    assert_eq!(errno(fixture.clone_key(0, 1)), libc::EACCES);
}

#[test]
fn labels_and_domains_are_there_once_and_at_most_three() {
    let fixture = Fixture::quick(1);
    let slot = fixture.slot(0);
    fixture.login(0, Role::Po).unwrap();
    assert_fault(slot.delete_domain("primary"), DomainFault::Last);
    assert_fault(slot.delete_domain("second"), DomainFault::NoSuchLabel);
    assert_fault(slot.add_domain(&domain(), "", false), DomainFault::BadLabel);
    let taken = slot.add_domain(&domain(), "primary", false);
    assert_fault(taken, DomainFault::LabelTaken);

    let second = domain();
    slot.add_domain(&second, "second", false).unwrap();
    let again = slot.add_domain(&second, "again", false);
    assert_fault(again, DomainFault::Duplicate);
    assert_fault(slot.delete_domain("primary"), DomainFault::Primary);
    slot.add_domain(&domain(), "first", true).unwrap();
    assert_eq!(
        slot.domain_labels().unwrap(),
        ["first", "primary", "second"]
    );
    let full = slot.add_domain(&domain(), "fourth", false);
    assert_fault(full, DomainFault::Full);

    let taken = slot.change_domain("second", Some("first"), true);
    assert_fault(taken, DomainFault::LabelTaken);
    slot.change_domain("second", Some("main"), true).unwrap();
    assert_eq!(slot.domain_labels().unwrap(), ["main", "first", "primary"]);
    slot.delete_domain("first").unwrap();
    // Whoever is not logged in sees labels in their own order.
    slot.logout();
    assert_eq!(slot.domain_labels().unwrap(), ["main", "primary"]);
}
