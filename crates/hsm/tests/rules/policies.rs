//! Policies: what leaves a slot and what comes in, and what a change of policies destroys.

use slotfs_hsm::{
    Arrived, Error, Policies, Policy, PolicyFault, Selection, SlotError, Source, Wish, wait,
};
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::{CKA_PRIVATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_SECRET_KEY};
use slotfs_object::{Attribute, Handle, Ouid, SlotId};

use crate::fixture::{Fixture, Slot, assert_slot_error, errno, handle, key};

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

/// A crypto user uses private and secret objects and does not take them out, by no way; public ones it does.
#[test]
fn a_crypto_user_takes_no_private_object_out() {
    let fixture = Fixture::of([false, true, false].map(|v1| Slot {
        v1,
        ..Slot::default()
    }));
    for slot in [0, 1] {
        fixture.login(slot, Role::Po).unwrap();
        let it = fixture.slot(slot);
        it.init_role(Role::Cu, fixture.secret_of(slot)).unwrap();
        fixture.login(slot, Role::Co).unwrap();
    }
    let mut public = key();
    public.class = CKO_DATA;
    public.key_type = None;
    let mut private = public.clone();
    private.ouid = Ouid::random().unwrap();
    public.set(CKA_PRIVATE, Attribute::Bool(false));
    private.set(CKA_PRIVATE, Attribute::Bool(true));
    for slot in [0, 1] {
        let it = fixture.slot(slot);
        let secret = fixture.add_key(SlotId(slot));
        let [private, public] = [&private, &public].map(|it| fixture.add(slot, it).unwrap().handle);
        // What co read is not kept for cu.
        let id = it.find(secret).unwrap().id;
        let (_, blob) = fixture.hsm.seal(id).unwrap();
        fixture.login(slot, Role::Cu).unwrap();
        assert!(fixture.hsm.gives(id, &blob).unwrap().is_none());
        for kept in [secret, private] {
            // It sees and uses them.
            it.object(kept).unwrap();
            let refused = fixture.seal(SlotId(slot), kept);
            assert_eq!(errno(refused), libc::EPERM);
            let refused = it.object_to_export(kept);
            assert_slot_error!(refused, SlotError::NotForUsers(_));
        }
        fixture.seal(SlotId(slot), public).unwrap();
        it.object_to_export(public).unwrap();
        let mut said = Vec::new();
        let target = if slot == 1 { SlotId(1) } else { SlotId(2) };
        let cloneable = it.check_cloneable(target, &Selection::All, |handle, error| {
            said.push((handle, error.outcome().errno));
        });
        assert_eq!(cloneable.unwrap(), (1, 2));
        assert_eq!(said, [(secret, libc::EPERM), (private, libc::EPERM)]);
    }
    let mut cloned = Vec::new();
    let each = |some: &[(Handle, Result<Arrived, Error>)]| {
        cloned.extend(some.iter().map(|(handle, it)| (handle.get(), it.is_ok())));
    };
    let all = Selection::All;
    fixture
        .slot(0)
        .clone_list(SlotId(2), &all, || false, each)
        .unwrap();
    assert_eq!(cloned, [(1, false), (2, false), (3, true)]);
    let refused = fixture.slot(1).seal_smk();
    assert_slot_error!(refused, SlotError::NotForUsers(_));

    // po allows it, and takes it back.
    let slot = fixture.slot(0);
    for (value, may) in [(1, true), (0, false)] {
        fixture.login(0, Role::Po).unwrap();
        slot.change_policies(&[(Policy::CryptoUserCloning, value)])
            .unwrap();
        fixture.login(0, Role::Cu).unwrap();
        assert_eq!(fixture.seal(SlotId(0), handle(1)).is_ok(), may);
    }
}

/// Where the policy is absent, as in partitions that were made before it, it reads as on; po turns it off.
#[test]
fn a_partition_from_before_policy_1000_allows_it() {
    let policies = Policies {
        crypto_user_cloning: None,
        ..Policies::default()
    };
    let fixture = Fixture::of([Slot {
        policies,
        ..Slot::default()
    }]);
    let key = fixture.add_key(SlotId(0));
    fixture.login(0, Role::Po).unwrap();
    let slot = fixture.slot(0);
    slot.init_role(Role::Cu, fixture.secret_of(0)).unwrap();
    fixture.login(0, Role::Cu).unwrap();
    fixture.seal(SlotId(0), key).unwrap();
    fixture.login(0, Role::Po).unwrap();
    slot.change_policies(&[(Policy::FailedLogins, 5)])
        .unwrap_err();
    slot.change_policies(&[(Policy::CryptoUserCloning, 0)])
        .unwrap();
    fixture.login(0, Role::Cu).unwrap();
    assert_eq!(errno(fixture.seal(SlotId(0), key)), libc::EPERM);
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
        (Policy::SecretKeyWrapping, 2, PolicyFault::NotASwitch),
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
}

/// As with cloning: keys that were promised not to leave wrapped do not.
#[test]
fn wrapping_that_is_allowed_destroys_every_object() {
    let fixture = Fixture::quick(1);
    let slot = fixture.slot(0);
    fixture.add_key(SlotId(0));
    fixture.login(0, Role::Po).unwrap();
    let wrapping = [
        (Policy::PrivateKeyCloning, 0),
        (Policy::PrivateKeyWrapping, 1),
        (Policy::SecretKeyWrapping, 1),
    ];
    assert_eq!(slot.change_policies(&wrapping).unwrap(), 1);
    let policies = slot.row().unwrap().policies;
    assert!(policies.allow_wrapping(CKO_PRIVATE_KEY) && policies.allow_wrapping(CKO_SECRET_KEY));
    assert!(!policies.allow_wrapping(CKO_DATA));
    assert_slot_error!(
        slot.change_policies(&[(Policy::PrivateKeyCloning, 1)]),
        SlotError::Policy {
            policy: 0,
            why: PolicyFault::Dependency
        }
    );
    // Off again, the slot is stored as it was before there was wrapping.
    let off = wrapping.map(|(policy, _)| (policy, 0));
    slot.change_policies(&off).unwrap();
    let stored = slot.row().unwrap().policies.to_stored();
    assert_eq!(stored, "0:0,4:1,20:10,1000:0");
}
