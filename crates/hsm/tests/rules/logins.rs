//! Many logins at once, and keys in use (docs/architecture.md, "The token server").

use std::sync::Arc;
use std::time::Duration;

use slotfs_hsm::{Access, Hsm, Login, Logins, Rekey, SlotError, wait};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::CKA_VALUE;
use slotfs_object::usable::Usage;
use slotfs_seal::credential::Secret;

use crate::fixture::{Fixture, Slot, assert_slot_error, handle, key, password, text};

const SLOT: SlotId = SlotId(0);
/// A mechanism: any.
const ANY: u64 = 1;

/// A slot of passwords where nobody is logged in, with a cu.
fn slot() -> (Fixture, Arc<Logins>) {
    let it = Fixture::of([Slot {
        password: true,
        ..Slot::default()
    }]);
    let slot = it.slot(0);
    slot.init_role(Role::Cu, &text("a password of cu")).unwrap();
    slot.logout();
    let logins = Logins::new(&it.hsm);
    (it, logins)
}

fn co(logins: &Arc<Logins>) -> Login {
    logins.login(SLOT, Role::Co, &password()).unwrap()
}

fn failures(it: &Fixture, role: Role) -> u32 {
    let roles = it.slot(0).roles().unwrap();
    roles.iter().find(|it| it.role == role).unwrap().failures
}

#[test]
fn roles_do_not_exclude_each_other() {
    let (it, logins) = slot();
    let (one, other) = (co(&logins), co(&logins));
    let cu = logins
        .login(SLOT, Role::Cu, &text("a password of cu"))
        .unwrap();
    let po = logins.login(SLOT, Role::Po, &password()).unwrap();
    // Nobody is logged in to the mount.
    assert_eq!(it.slot(0).role(), None);
    let arrived = wait(|done| one.partition().add(&key(), done)).unwrap();
    assert!(cu.partition().find(arrived.handle).is_ok());
    assert_slot_error!(
        po.partition().key(arrived.handle),
        SlotError::RoleNeeded { .. }
    );
    assert_slot_error!(cu.partition().may_write(), SlotError::ReadOnly(_));
    drop(one);
    assert!(other.is_alive() && cu.is_alive() && po.is_alive());
    drop(other);
    assert!(cu.is_alive());
    assert_eq!(cu.hsm().partition(SLOT).role(), Some(Role::Cu));
    drop((cu, po));
    assert!(logins.reader(SLOT).is_none());
}

#[test]
fn a_wrong_password_counts_while_the_slot_is_open() {
    let (it, logins) = slot();
    let first = co(&logins);
    let wrong = logins.login(SLOT, Role::Co, &text("a wrong password"));
    assert_slot_error!(wrong, SlotError::PasswordWrong { left: 9, .. });
    assert_eq!(failures(&it, Role::Co), 1);
    assert!(first.is_alive());
    // The next right one clears the count, as any login does.
    drop(co(&logins));
    assert_eq!(failures(&it, Role::Co), 0);
    for _ in 0..10 {
        let wrong = logins.login(SLOT, Role::Co, &text("a wrong password"));
        assert!(wrong.is_err());
    }
    let locked = logins.login(SLOT, Role::Co, &password());
    assert_slot_error!(locked, SlotError::RoleLocked(Role::Co));
    assert!(first.is_alive());
}

/// The attempt of a full login is counted before Argon2id and cleared after it: two commits, once for all of them.
#[test]
fn many_logins_at_once_are_one_full_login() {
    let (it, logins) = slot();
    let before = it.hsm.commit_stats().commits;
    let all: Vec<Login> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(|| co(&logins))).collect();
        let joined = threads.into_iter().map(|it| it.join().unwrap());
        joined.collect()
    });
    assert_eq!(it.hsm.commit_stats().commits - before, 2);
    assert!(all.iter().all(Login::is_alive));
}

#[test]
fn a_read_only_store_counts_in_memory() {
    let (it, _) = slot();
    let hsm = Hsm::open(&it.path(), Access::ReadOnly).unwrap();
    let logins = Logins::new(&hsm);
    let first = co(&logins);
    for _ in 0..10 {
        let wrong = logins.login(SLOT, Role::Co, &text("a wrong password"));
        assert_slot_error!(wrong, SlotError::PasswordWrong { .. });
    }
    let locked = logins.login(SLOT, Role::Co, &password());
    assert_slot_error!(locked, SlotError::RoleLocked(Role::Co));
    assert!(first.is_alive());
    assert_eq!(failures(&it, Role::Co), 0);
}

#[test]
fn a_changed_secret_ends_the_logins_of_its_role() {
    let (it, logins) = slot();
    let first = co(&logins);
    let cu = logins
        .login(SLOT, Role::Cu, &text("a password of cu"))
        .unwrap();
    // By the mount, which is another view in this process.
    let changed = it.slot(0).change_secret(
        Role::Co,
        &password(),
        &text("another password"),
        Rekey::quiet(false),
    );
    changed.unwrap();
    it.hsm.refresh().unwrap();
    assert!(!first.is_alive() && cu.is_alive());
    let old = logins.login(SLOT, Role::Co, &password());
    assert_slot_error!(old, SlotError::PasswordWrong { .. });
    let new = logins
        .login(SLOT, Role::Co, &text("another password"))
        .unwrap();
    // The one from before does not come back with it, nor takes it away.
    assert!(!first.is_alive() && new.is_alive());
    drop(first);
    assert!(new.is_alive());
}

#[test]
fn a_slot_lingers_and_still_asks_for_the_password() {
    let (it, logins) = slot();
    logins.set_linger(Duration::from_secs(3600));
    drop(co(&logins));
    assert!(logins.reader(SLOT).is_some());
    logins.house_keeping();
    assert!(logins.reader(SLOT).is_some());
    let wrong = logins.login(SLOT, Role::Co, &text("a wrong password"));
    assert_slot_error!(wrong, SlotError::PasswordWrong { .. });
    logins.set_linger(Duration::from_millis(1));
    drop(co(&logins));
    std::thread::sleep(Duration::from_millis(5));
    logins.house_keeping();
    assert!(logins.reader(SLOT).is_none());
    drop(it);
}

#[test]
fn shares_open_a_quorum_slot_for_others() {
    let it = Fixture::quick(1);
    it.slot(0).logout();
    let logins = Logins::new(&it.hsm);
    assert_slot_error!(logins.join(SLOT, Role::Co), SlotError::NotLoggedIn);
    let mut opened = None;
    for share in it.shares.iter().take(2) {
        let (_, login) = logins.present(SLOT, Role::Co, &share.to_text()).unwrap();
        opened = login;
    }
    let opened = opened.unwrap();
    let joined = logins.join(SLOT, Role::Co).unwrap();
    assert_slot_error!(logins.join(SLOT, Role::Po), SlotError::NotLoggedIn);
    drop(opened);
    assert!(joined.is_alive());
    drop(joined);
    assert_slot_error!(logins.join(SLOT, Role::Co), SlotError::NotLoggedIn);
    let (other, logins) = slot();
    let _co = co(&logins);
    assert_slot_error!(
        logins.join(SLOT, Role::Co),
        SlotError::OtherAuthentication(_)
    );
    drop(other);
}

#[test]
fn a_key_is_used_as_its_attributes_say() {
    let it = Fixture::quick(1);
    let slot = it.slot(0);
    let object = key();
    let value = object.secret(CKA_VALUE).unwrap().clone();
    let stored = wait(|done| slot.add(&object, done)).unwrap().handle;
    let used = slot.with_key(stored, Usage::Encrypt, ANY, |key| {
        key.secret(CKA_VALUE) == Some(value.bytes())
    });
    assert!(used.unwrap());
    assert_slot_error!(
        slot.with_key(stored, Usage::Derive, ANY, |_| ()),
        SlotError::NotUsable { .. }
    );
    assert_slot_error!(
        slot.with_key(handle(77), Usage::Encrypt, ANY, |_| ()),
        SlotError::NoSuchObject(_)
    );
    // Kept while nothing changes, opened anew when its description did.
    let kept = slot.key(stored).unwrap();
    assert!(Arc::ptr_eq(&kept, &slot.key(stored).unwrap()));
    wait(|done| slot.add(&key(), done)).unwrap();
    assert!(Arc::ptr_eq(&kept, &slot.key(stored).unwrap()));
    let never = (slotfs_object::pkcs11::CKA_ENCRYPT, false);
    let never = (never.0, Some(slotfs_object::Attribute::Bool(never.1)));
    slot.set_attributes(stored, &[never]).unwrap();
    assert_slot_error!(
        slot.with_key(stored, Usage::Encrypt, ANY, |_| ()),
        SlotError::NotUsable { .. }
    );
    // Another object under the same handle is another key.
    it.remove(0, stored).unwrap();
    assert_slot_error!(slot.key(stored), SlotError::NoSuchObject(_));
    slot.logout();
    assert_slot_error!(slot.key(stored), SlotError::NotLoggedIn);
}

#[test]
fn what_another_process_destroyed_is_no_key_any_more() {
    let it = Fixture::quick(1);
    let slot = it.slot(0);
    let stored = it.add_key(SLOT);
    slot.key(stored).unwrap();
    let other = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    let theirs = other.partition(SLOT);
    let secret: &Secret = it.secret_of(0);
    theirs.login(Role::Co, secret).unwrap();
    wait(|done| theirs.remove(stored, done)).unwrap();
    assert_slot_error!(slot.key(stored), SlotError::NoSuchObject(_));
}

#[test]
fn keys_that_left_are_wiped_without_a_use() {
    let it = Fixture::quick(1);
    let (slot, logins) = (it.slot(0), Logins::new(&it.hsm));
    let [removed, stays, theirs] = [0; 3].map(|_| it.add_key(SLOT));
    let held = |handle| Arc::downgrade(&slot.key(handle).unwrap());
    let [removed_key, stays_key, their_key] = [removed, stays, theirs].map(held);
    it.remove(0, removed).unwrap();
    assert!(removed_key.upgrade().is_none());
    let other = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    let there = other.partition(SLOT);
    there.login(Role::Co, it.secret_of(0)).unwrap();
    wait(|done| there.remove(theirs, done)).unwrap();
    logins.house_keeping();
    assert!(their_key.upgrade().is_none());
    assert!(stays_key.upgrade().is_some());
    slot.clear().unwrap();
    assert!(stays_key.upgrade().is_none());
}

/// The session of a role whose secret was changed elsewhere ends, and its keys with it, though their rows are as they were.
#[test]
fn a_secret_that_is_changed_elsewhere_ends_the_use_of_keys() {
    let (it, logins) = slot();
    let login = co(&logins);
    let stored = wait(|done| login.partition().add(&key(), done))
        .unwrap()
        .handle;
    login.partition().key(stored).unwrap();
    let other = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    let changed = other.partition(SLOT).change_secret(
        Role::Co,
        &password(),
        &text("another password"),
        Rekey::quiet(false),
    );
    changed.unwrap();
    std::thread::sleep(slotfs_store::FRESH_FOR);
    assert_slot_error!(login.partition().key(stored), SlotError::NotLoggedIn);
    assert!(!login.is_alive());
}

#[test]
fn kept_keys_are_bounded() {
    let it = Fixture::of([Slot {
        capacity: 2_000,
        ..Slot::default()
    }]);
    let slot = it.slot(0);
    let keys: Vec<_> = (0..1_100).map(|_| key()).collect();
    let stored = wait(|done| slot.add_all(&keys, done)).unwrap();
    let first = slot.key(stored[0].handle).unwrap();
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_some());
    for it in &stored[1..] {
        slot.key(it.handle).unwrap();
    }
    assert!(weak.upgrade().is_none());
    let last = Arc::downgrade(&slot.key(stored[1_099].handle).unwrap());
    slot.logout();
    assert!(last.upgrade().is_none());
}
