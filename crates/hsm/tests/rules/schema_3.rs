//! A store that schema 3 wrote, where credentials wrap the slot key: login by login it is turned over to role key pairs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use slotfs_hsm::{Access, Hsm, Rekey};
use slotfs_object::partition::Role;
use slotfs_object::secret::SecretBytes;
use slotfs_seal::credential::Secret;

use crate::fixture::{errno, handle};
use crate::secrets::{SLOT, put_back};

/// Passwords of a store that schema 3 wrote.
struct Earlier {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    hsm: Arc<Hsm>,
}

impl Earlier {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        fs::copy(formats().join("store.db"), &path).unwrap();
        let hsm = Hsm::open(&path, Access::ReadWrite).unwrap();
        Self {
            _folder: folder,
            path,
            hsm,
        }
    }

    fn secret(role: Role) -> Secret {
        let text = fs::read_to_string(formats().join(format!("pw-0-{role}"))).unwrap();
        SecretBytes::from(text.trim_end().as_bytes()).into()
    }

    fn login(&self, role: Role) {
        self.hsm
            .partition(SLOT)
            .login(role, &Self::secret(role))
            .unwrap();
    }

    /// What the old password of co says in the store of now, in a copy called `name`, with the credentials of `old`.
    fn with_old_password(&self, old: &Path, name: &str) -> String {
        let path = self.path.with_file_name(name);
        self.hsm.backup(&path, true, &|| false).unwrap();
        put_back(&path, old, &["credentials"]);
        Connection::open(&path)
            .unwrap()
            .execute_batch("DELETE FROM pairs")
            .unwrap();
        let hsm = Hsm::open(&path, Access::ReadOnly).unwrap();
        let refused = hsm.partition(SLOT).login(Role::Co, &Self::secret(Role::Co));
        refused.unwrap_err().to_string()
    }

    fn pairs(&self) -> i64 {
        let store = Connection::open(&self.path).unwrap();
        let text = "SELECT count(*) FROM pairs WHERE slot = 0";
        store.query_row(text, [], |row| row.get(0)).unwrap()
    }
}

fn formats() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats/v3")
}

/// Each login turns its own credential into a pair. A secret that was changed before waits, and the last login gives the slot
/// another key.
#[test]
fn a_store_of_schema_3_is_turned_over_login_by_login() {
    let it = Earlier::new();
    let slot = it.hsm.partition(SLOT);
    let old = it.path.with_file_name("old.db");
    it.hsm.backup(&old, true, &|| false).unwrap();
    assert_eq!(it.pairs(), 0);
    it.login(Role::Co);
    assert_eq!(it.pairs(), 1);
    it.login(Role::Co);
    assert_eq!(it.pairs(), 1);
    let object = slot.object(handle(1)).unwrap();

    let new: Secret = SecretBytes::from(b"another horse".as_slice()).into();
    let changed = slot
        .change_secret(
            Role::Co,
            &Earlier::secret(Role::Co),
            &new,
            Rekey::quiet(false),
        )
        .unwrap();
    assert_eq!(changed.waiting, [Role::Po, Role::Cu]);
    assert!(slot.login(Role::Co, &Earlier::secret(Role::Co)).is_err());
    it.login(Role::Po);
    // The old slot key, from the old copy with the old password, still opens the header: this is what the warning is about.
    assert!(
        it.with_old_password(&old, "one.db")
            .contains("is not the current one")
    );
    it.login(Role::Cu);
    assert_eq!(it.pairs(), 3);
    assert!(
        it.with_old_password(&old, "two.db")
            .contains("header does not open")
    );
    slot.login(Role::Co, &new).unwrap();
    assert_eq!(slot.object(handle(1)).unwrap(), object);
    // From now on a change waits for nobody.
    let changed = slot
        .change_secret(
            Role::Co,
            &new,
            &Earlier::secret(Role::Co),
            Rekey::quiet(false),
        )
        .unwrap();
    assert_eq!(changed.waiting, []);
    it.login(Role::Cu);
    it.login(Role::Po);
    let mut found = Vec::new();
    it.login(Role::Co);
    it.hsm
        .check(&[SLOT], &mut |it| found.push(it.to_string()))
        .unwrap();
    assert_eq!(found, Vec::<String>::new());
}

/// A read-only store is read as it is, by any role, and not migrated.
#[test]
fn a_store_of_schema_3_that_cannot_be_written_is_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::copy(formats().join("store.db"), &path).unwrap();
    let before = fs::read(&path).unwrap();
    let hsm = Hsm::open(&path, Access::ReadOnly).unwrap();
    for role in Role::ALL {
        hsm.partition(SLOT)
            .login(role, &Earlier::secret(role))
            .unwrap();
    }
    hsm.partition(SLOT).object(handle(1)).unwrap();
    drop(hsm);
    assert!(fs::read(&path).unwrap() == before);
}

/// po resets co: neither needs a pair from before, since both secrets are at hand.
#[test]
fn a_reset_of_the_last_role_without_a_pair_waits_for_nobody() {
    let it = Earlier::new();
    it.login(Role::Cu);
    let new: Secret = SecretBytes::from(b"another horse".as_slice()).into();
    let po = Earlier::secret(Role::Po);
    let slot = it.hsm.partition(SLOT);
    let reset = slot
        .reset_secret(Role::Co, &new, &po, Rekey::quiet(false))
        .unwrap();
    assert_eq!(reset.waiting, []);
    slot.login(Role::Co, &new).unwrap();
    it.login(Role::Cu);
    it.login(Role::Po);
}

/// While the slot keeps its key, because a role has no pair yet, a changed secret ends the sessions of its role elsewhere too.
#[test]
fn a_changed_secret_ends_sessions_elsewhere_while_it_waits() {
    let it = Earlier::new();
    it.login(Role::Co);
    let elsewhere = Hsm::open(&it.path, Access::ReadWrite).unwrap();
    let there = elsewhere.partition(SLOT);
    there.login(Role::Co, &Earlier::secret(Role::Co)).unwrap();
    let new: Secret = SecretBytes::from(b"another horse".as_slice()).into();
    let changed = it
        .hsm
        .partition(SLOT)
        .change_secret(
            Role::Co,
            &Earlier::secret(Role::Co),
            &new,
            Rekey::quiet(false),
        )
        .unwrap();
    assert_eq!(changed.waiting, [Role::Po, Role::Cu]);
    elsewhere.refresh().unwrap();
    assert_eq!(errno(there.session()), libc::ENOKEY);
    assert_eq!(it.hsm.partition(SLOT).session().unwrap().role(), Role::Co);
}

/// Secrets that were changed under schema 3 kept the slot key: once every role has a pair, the slot gets another one, without
/// a changed secret.
#[test]
fn a_store_of_schema_3_gets_another_slot_key() {
    let it = Earlier::new();
    let old = it.path.with_file_name("old.db");
    it.hsm.backup(&old, true, &|| false).unwrap();
    for role in Role::ALL {
        it.login(role);
    }
    let refused = it.with_old_password(&old, "probe.db");
    assert!(refused.contains("header does not open"), "{refused}");
}
