//! Policies: what leaves a slot and what comes in, and what a change of policies destroys.

use slotfs_hsm::{Arrived, Error, Policies, Policy, PolicyFault, SlotError, Source, Wish, wait};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, Slot, assert_slot_error, errno, handle};

#[test]
fn policy_4_off_keeps_secret_keys_in_at_open_and_out_at_the_verdict() {
    let closed = Policies {
        secret_key_cloning: false,
        ..Policies::default()
    };
    let slot = Slot {
        policies: closed,
        ..Slot::default()
    };
    let fixture = Fixture::of([Slot::default(), slot]);
    let open = fixture.add_key(SlotId(0));
    let blob = fixture.seal(SlotId(0), open).unwrap();
    let refused = fixture.import(SlotId(1), &blob).unwrap_err();
    assert!(matches!(
        refused,
        Error::Slot {
            why: SlotError::PolicyRefuses(_),
            ..
        }
    ));
    assert_eq!(refused.outcome().errno, libc::EACCES);

    let kept = fixture.add_key(SlotId(1));
    let forbidden = fixture.seal(SlotId(1), kept).unwrap_err();
    assert!(matches!(
        forbidden,
        Error::Slot {
            why: SlotError::PolicyForbids(_),
            ..
        }
    ));
    assert_eq!(forbidden.outcome().errno, libc::EPERM);
    let from = Source {
        slot: SlotId(1),
        handle: kept,
    };
    let moved: Result<Arrived, Error> = wait(|done| {
        fixture
            .hsm
            .move_object(from, SlotId(0), Wish::Handle(handle(77)), done);
    });
    assert!(matches!(
        moved,
        Err(Error::Slot {
            why: SlotError::PolicyForbids(_),
            ..
        })
    ));
    assert!(fixture.hsm.partition(SlotId(1)).find(kept).is_ok());
}

/// Keys that were promised never to leave do not: allowing it destroys them, those in the trash as well.
#[test]
fn cloning_that_is_allowed_again_destroys_every_object() {
    let fixture = Fixture::quick(1);
    let slot = fixture.slot(0);
    let (kept, removed) = (fixture.add_key(SlotId(0)), fixture.add_key(SlotId(0)));
    fixture.remove(0, removed).unwrap();
    let set = |value| slot.change_policies(&[(Policy::SecretKeyCloning, value)]);
    assert_slot_error!(set(0), SlotError::RoleNeeded { .. });
    fixture.login(0, Role::Po).unwrap();
    assert_eq!(set(0).unwrap(), 0);
    assert_eq!(set(0).unwrap(), 0);
    assert_eq!(
        (slot.usage().unwrap().0, slot.trash_count().unwrap()),
        (1, 1)
    );
    fixture.login(0, Role::Co).unwrap();
    assert_slot_error!(fixture.seal(SlotId(0), kept), SlotError::PolicyForbids(_));
    fixture.login(0, Role::Po).unwrap();
    assert_eq!(set(1).unwrap(), 1);
    assert_eq!(
        (slot.usage().unwrap().0, slot.trash_count().unwrap()),
        (0, 0)
    );
}

#[test]
fn policies_are_set_together_or_not_at_all() {
    let fixture = Fixture::quick(1);
    let slot = fixture.slot(0);
    fixture.login(0, Role::Po).unwrap();
    let off = (Policy::PrivateKeyCloning, 0);
    for (policy, value, why) in [
        (Policy::SecretKeyCloning, 2, PolicyFault::NotASwitch),
        (Policy::SecretKeyWrapping, 1, PolicyFault::Incapable),
        // Failed logins are counted where there are passwords.
        (Policy::FailedLogins, 3, PolicyFault::Incapable),
    ] {
        let error = slot.change_policies(&[off, (policy, value)]).unwrap_err();
        let told =
            matches!(error.slot_error(), Some(SlotError::Policy { why: it, .. }) if *it == why);
        assert!(told, "{error}");
    }
    let both = slot.change_policies(&[(Policy::PrivateKeyWrapping, 1)]);
    assert_slot_error!(
        both,
        SlotError::Policy {
            policy: 1,
            why: PolicyFault::Dependency
        }
    );
    assert_eq!(slot.row().unwrap().policies, Policies::default());
    slot.change_policies(&[off]).unwrap();
    assert!(!slot.row().unwrap().policies.private_key_cloning);
    assert_eq!(
        errno(slot.change_policies(&[(Policy::SecretKeyWrapping, 1)])),
        libc::EPERM
    );
}
