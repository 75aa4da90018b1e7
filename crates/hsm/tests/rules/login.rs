//! Logins: passwords, lock-out, credentials that somebody changed, and logins that end.

use slotfs_hsm::{Access, Hsm, Policies, SlotError, SlotFault};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, assert_slot_error, errno, key, password, text};

/// Fewer logins than usual, for each with a password takes a tenth of a second.
const THREE: Policies = Policies {
    private_key_cloning: true,
    private_key_wrapping: false,
    secret_key_cloning: true,
    secret_key_wrapping: false,
    failed_logins: 3,
    crypto_user_cloning: Some(false),
};

#[test]
fn wrong_passwords_lock_the_role_and_a_right_one_before_forgets_them() {
    let fixture = Fixture::new(&[THREE]);
    let wrong = text("wrong horse");
    let slot = SlotId(0);
    for _ in 0..2 {
        let refused = fixture
            .hsm
            .partition(slot)
            .login(Role::Co, &wrong)
            .unwrap_err();
        assert_eq!(refused.outcome().errno, libc::EKEYREJECTED);
    }
    fixture.login(0, Role::Co).unwrap();
    for _ in 0..2 {
        fixture
            .hsm
            .partition(slot)
            .login(Role::Co, &wrong)
            .unwrap_err();
    }
    // Counted in the store: another process counts on.
    let path = fixture.path();
    let again = Hsm::open(&path, Access::ReadWrite).unwrap();
    let locked = again.partition(slot).login(Role::Co, &wrong).unwrap_err();
    assert_eq!(locked.outcome().errno, libc::EKEYREVOKED);
    let locked = again
        .partition(slot)
        .login(Role::Co, &password())
        .unwrap_err();
    assert_eq!(locked.outcome().errno, libc::EKEYREVOKED);
    // The other role is not locked.
    again.partition(slot).login(Role::Po, &password()).unwrap();
}

#[test]
fn a_slot_initialised_elsewhere_is_logged_out_here() {
    let mut fixture = Fixture::quick(1);
    let slot = SlotId(0);
    let added = fixture.add_key(slot);
    let elsewhere = Hsm::open(&fixture.path(), Access::ReadWrite).unwrap();
    let there = elsewhere.partition(slot).row().unwrap();
    let new = fixture.new_partition(slot, false);
    // Only over the partition that was there.
    assert_slot_error!(
        elsewhere.init_partition(new),
        SlotError::Stored(SlotFault::Exists)
    );
    let mut new = fixture.new_partition(slot, false);
    new.replaces = Some(there.serial.into());
    elsewhere.init_partition(new).unwrap();
    // Even before it is noticed, nothing is stored under the old key.
    assert_slot_error!(fixture.add(0, &key()), SlotError::NotLoggedIn);
    let (sender, changed) = std::sync::mpsc::channel();
    fixture
        .hsm
        .on_change(move |slot| sender.send(slot).unwrap());
    fixture.hsm.refresh().unwrap();
    assert_eq!(changed.try_iter().collect::<Vec<_>>(), [slot]);
    assert_slot_error!(fixture.slot(0).find(added), SlotError::NotLoggedIn);
}

#[test]
fn a_damaged_slot_locks_nobody_out_who_has_the_password() {
    const ONE: Policies = Policies {
        failed_logins: 1,
        ..THREE
    };
    for change in [
        "UPDATE slots SET label = 'other'",
        "UPDATE credentials SET wrapped = zeroblob(60)",
    ] {
        let fixture = Fixture::new(&[ONE]).tamper(change);
        for _ in 0..2 {
            let login = fixture.login(0, Role::Co);
            assert!(
                matches!(login, Err(error) if error.is_slot_damaged()),
                "{change}"
            );
        }
        let wrong = text("wrong horse");
        fixture.slot(0).login(Role::Co, &wrong).unwrap_err();
        let login = fixture.login(0, Role::Co);
        assert_slot_error!(login, SlotError::RoleLocked(_));
    }
}

#[test]
fn argon2_costs_outside_the_limits_are_refused() {
    let old = "CREATE TABLE old AS SELECT * FROM credentials";
    let mut fixture = Fixture::new(&[Policies::default()]).tamper(old);
    let put_back = "DELETE FROM credentials; INSERT INTO credentials SELECT * FROM old;";
    fixture = fixture.tamper(put_back);
    fixture.login(0, Role::Co).unwrap();
    for change in [
        "memory_kib = 2147483647",
        "memory_kib = 8",
        "passes = 1000000",
        "lanes = 0",
    ] {
        fixture = fixture.tamper(&format!("{put_back} UPDATE credentials SET {change};"));
        let login = fixture.login(0, Role::Co);
        assert!(
            matches!(login, Err(error) if error.is_slot_damaged()),
            "{change}"
        );
    }
}

#[test]
fn a_credential_of_another_slot_or_role_opens_nothing() {
    let two = [Policies::default(); 2];
    let swap = "CREATE TEMP TABLE c AS SELECT * FROM credentials;
         UPDATE credentials SET (salt, commitment, wrapped) =
            (SELECT salt, commitment, wrapped FROM c WHERE c.slot = 1 AND c.role = credentials.role)
         WHERE slot = 0;";
    let fixture = Fixture::new(&two).tamper(swap);
    let login = fixture.login(0, Role::Co);
    assert!(matches!(login, Err(error) if error.is_slot_damaged()));
    assert!(fixture.login(1, Role::Co).is_ok());
}

#[test]
fn nobody_is_logged_in_after_a_logout() {
    let fixture = Fixture::quick(2);
    let added = fixture.add_key(SlotId(0));
    assert!(fixture.slot(0).logout());
    assert!(!fixture.slot(0).logout());
    assert_eq!(errno(fixture.slot(0).object(added)), libc::ENOKEY);
    assert!(fixture.slot(1).session().is_ok());
    assert!(fixture.hsm.logout_all());
    assert_eq!(errno(fixture.add(1, &key())), libc::ENOKEY);
    // What is in clear can be read all the same.
    assert_eq!(fixture.slot(0).usage().unwrap().0, 1);
}
