//! What C_InitToken and C_InitPIN of PKCS#11 need of a slot.

use slotfs_hsm::{Rekey, SlotError, wait};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, Slot, assert_slot_error, key, password, text};

#[test]
fn a_new_token_has_po_alone() {
    let mut it = Fixture::quick(0);
    let new = it.new_partition(SlotId(0), true);
    it.hsm.init_partition_of_po(new).unwrap();
    let slot = it.hsm.partition(SlotId(0));
    let there: Vec<Role> = slot
        .roles()
        .unwrap()
        .into_iter()
        .filter(|it| it.initialized)
        .map(|it| it.role)
        .collect();
    assert_eq!(there, [Role::Po]);
    let secret = it.secret_of(0);
    assert_slot_error!(
        slot.login(Role::Co, secret),
        SlotError::RoleMissing(Role::Co)
    );
    slot.login(Role::Po, secret).unwrap();
    slot.init_role(Role::Co, &text("a password of co")).unwrap();
    slot.logout();
    slot.login(Role::Co, &text("a password of co")).unwrap();
}

#[test]
fn a_token_that_is_initialized_again_keeps_its_domains() {
    let it = Fixture::of([Slot {
        password: true,
        ..Slot::default()
    }]);
    let slot = it.slot(0);
    slot.init_role(Role::Cu, &text("a password of cu")).unwrap();
    wait(|done| slot.add(&key(), done)).unwrap();
    let blob_before = {
        let file = slot.list(0, 1).unwrap().remove(0).unwrap();
        it.hsm.seal(file.id).unwrap().1
    };
    wait(|done| slot.add(&key(), done)).unwrap();
    let before = slot.row().unwrap();
    let domains = |session: &slotfs_hsm::Session| -> Vec<[u8; 8]> {
        session
            .domains()
            .iter()
            .map(|it| it.fingerprint())
            .collect()
    };
    let domains_before = domains(&slot.session().unwrap());

    // Nothing happens without po's secret, and a label that is none is refused first.
    assert_slot_error!(
        slot.init_again("again", &text("not the one")),
        SlotError::PasswordWrong { left: _, role: _ }
    );
    assert_slot_error!(slot.init_again("", &password()), SlotError::Malformed(_));
    assert_eq!(slot.list(0, 10).unwrap().len(), 2);

    slot.init_again("again", it.secret_of(0)).unwrap();
    let after = slot.row().unwrap();
    assert_eq!(
        (after.serial, after.policies, after.label.as_str()),
        (before.serial, before.policies, "again")
    );
    // co is out, here too, and nothing of co's or cu's opens the slot.
    for role in [Role::Co, Role::Cu] {
        assert_slot_error!(slot.login(role, it.secret_of(0)), SlotError::RoleMissing(_));
    }
    slot.logout();
    slot.login(Role::Po, it.secret_of(0)).unwrap();
    slot.init_role(Role::Co, &text("another of co")).unwrap();
    slot.logout();
    slot.login(Role::Co, &text("another of co")).unwrap();
    assert_eq!(domains(&slot.session().unwrap()), domains_before);
    assert!(slot.list(0, 10).unwrap().is_empty());
    assert!(
        slot.list_trash(slotfs_object::RowId::BELOW_ALL, 10)
            .unwrap()
            .is_empty()
    );
    // A blob from before can be read.
    it.import(SlotId(0), blob_before.bytes()).unwrap();
}

#[test]
fn po_who_is_logged_in_gives_co_another_password() {
    let it = Fixture::of([Slot {
        password: true,
        ..Slot::default()
    }]);
    let slot = it.slot(0);
    wait(|done| slot.add(&key(), done)).unwrap();
    let reset = |role| slot.reset_secret_as_po(role, &text("a new password"), Rekey::quiet(false));
    assert_slot_error!(reset(Role::Co), SlotError::RoleNeeded { .. });
    slot.logout();
    assert_slot_error!(reset(Role::Co), SlotError::NotLoggedIn);
    slot.login(Role::Po, it.secret_of(0)).unwrap();
    assert_slot_error!(reset(Role::Po), SlotError::Malformed(_));
    assert_slot_error!(reset(Role::Cu), SlotError::RoleMissing(Role::Cu));
    let reissued = reset(Role::Co).unwrap();
    assert_eq!((reissued.roles, reissued.waiting), (vec![Role::Co], vec![]));
    // po stays logged in, and its own secret is as it was.
    assert_eq!(slot.role(), Some(Role::Po));
    slot.logout();
    assert_slot_error!(
        slot.login(Role::Co, it.secret_of(0)),
        SlotError::PasswordWrong { .. }
    );
    slot.login(Role::Po, it.secret_of(0)).unwrap();
    slot.logout();
    slot.login(Role::Co, &text("a new password")).unwrap();
    assert_eq!(slot.list(0, 10).unwrap().len(), 1);
}
