//! Stores that somebody changed by hand, and files that are no store.

use rusqlite::Connection;
use slotfs_hsm::{Access, Error, Hsm, Policies, Policy, SlotError, StoreError};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, assert_slot_error, domain, handle};

#[test]
fn a_field_in_clear_that_was_changed_is_noticed_at_login() {
    let header = "slot 0: its header does not open";
    let domain = "slot 0: one of its domains does not open";
    for (change, says) in [
        ("UPDATE slots SET label = 'other'", header),
        ("UPDATE slots SET serial = serial + 1", "slot 0"),
        ("UPDATE slots SET capacity_objects = 1000000", header),
        ("UPDATE slots SET policies = '0:1,4:1,20:1000'", header),
        ("UPDATE slots SET uid = 1000", header),
        ("UPDATE slots SET generation = generation + 1", header),
        ("UPDATE slots SET retention_secs = 0", header),
        ("UPDATE domains SET label = 'other'", domain),
        ("UPDATE domains SET kind = 3 - kind", domain),
        (
            "DELETE FROM domains",
            "a domain that its header names is missing",
        ),
        ("UPDATE domains SET kind = 9", "its kind 9 is not known"),
        ("UPDATE domains SET sealed = 'text'", "its sealed"),
    ] {
        assert_closed(&Fixture::quick(1).tamper(change), change, says);
    }
    // Key shares have a table of their own, which names the credential.
    let moved = "UPDATE credentials SET id = id + 1 WHERE role = 2";
    let shares = "the credential of co has no key shares";
    assert_closed(&Fixture::quick(1).tamper(moved), moved, shares);
    let fixture = Fixture::new(&[Policies::default()]).tamper(moved);
    assert_closed(&fixture, moved, "the credential of co was changed or moved");
}

/// Asserts that co cannot log in to slot 0, and why.
#[track_caller]
fn assert_closed(fixture: &Fixture, change: &str, says: &str) {
    let error = fixture.login(0, Role::Co).unwrap_err();
    assert!(error.is_slot_damaged(), "{change}: {error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with("store damaged: slot 0: "),
        "{change}: {text}"
    );
    assert!(text.contains(says), "{change}: {text}");
    assert!(fixture.slot(0).session().is_err(), "{change}");
}

/// Rows that a login does not need are damaged for nobody else.
#[test]
fn a_row_that_the_header_does_not_name_closes_nothing() {
    let copy = "INSERT INTO domains (id, slot, kind, label, sealed) SELECT id + 1, slot, 9, 'another', sealed FROM domains;";
    for (change, inspected) in [
        (copy, "its kind 9 is not known"),
        (
            "INSERT INTO domains SELECT id + 1, slot, kind, NULL, sealed FROM domains;",
            "its label",
        ),
        (
            "INSERT INTO smks SELECT id + 1, slot, 'text' FROM domains;",
            "a storage master key",
        ),
        (
            "INSERT INTO credentials SELECT id + 1, slot, 9, memory_kib, passes, lanes, salt, commitment, wrapped,
                failures FROM credentials WHERE role = 2;",
            "its role is 9",
        ),
    ] {
        let fixture = Fixture::quick(1).tamper(change);
        for role in [Role::Po, Role::Co] {
            fixture.login(0, role).unwrap();
            assert_eq!(fixture.slot(0).session().unwrap().role(), role);
            fixture.slot(0).logout();
        }
        let found = fixture.slot(0).inspect().unwrap_err();
        assert!(found.is_slot_damaged(), "{change}: {found:?}");
        assert!(found.to_string().contains(inspected), "{change}: {found}");
    }
    // The next change does not bring the row back.
    let fixture = Fixture::quick(1).tamper(copy);
    fixture.login(0, Role::Po).unwrap();
    let slot = fixture.slot(0);
    slot.change_domain("primary", Some("first"), false).unwrap();
    slot.inspect().unwrap();
    assert_eq!(slot.domain_labels().unwrap(), ["first"]);
}

#[test]
fn a_damaged_credential_keeps_out_its_own_role_alone() {
    let fixture = Fixture::quick(1);
    fixture.login(0, Role::Po).unwrap();
    let (secret, _) = Fixture::secret(fixture.slot(0).row().unwrap().serial);
    fixture.slot(0).init_role(Role::Cu, &secret).unwrap();
    let fixture = fixture.tamper("UPDATE credentials SET failures = -1 WHERE role = 3");
    fixture.login(0, Role::Co).unwrap();
    fixture.slot(0).logout();
    let refused = fixture.slot(0).login(Role::Cu, &secret).unwrap_err();
    assert!(refused.is_slot_damaged(), "{refused:?}");
    assert!(
        refused.to_string().contains("slot 0: a credential (row "),
        "{refused}"
    );
    assert!(refused.to_string().contains("failures is -1"), "{refused}");
}

#[test]
fn a_damaged_row_fails_alone_and_is_named() {
    let fixture = Fixture::quick(1);
    for _ in 0..3 {
        fixture.add_key(SlotId(0));
    }
    let fixture = fixture.tamper(
        "UPDATE objects SET sealed = (SELECT sealed FROM objects WHERE handle = 1) WHERE handle = 2",
    );
    fixture.login(0, Role::Co).unwrap();
    assert!(fixture.seal(SlotId(0), handle(1)).is_ok());
    assert!(fixture.seal(SlotId(0), handle(3)).is_ok());
    let damaged = fixture.seal(SlotId(0), handle(2)).unwrap_err();
    assert_eq!(damaged.outcome().errno, libc::EIO);
    assert!(damaged.to_string().contains("slot 0, object 2"));

    // Under another handle, identity or slot a row does not open either.
    for change in [
        "UPDATE objects SET handle = 9 WHERE handle = 3",
        "UPDATE objects SET ouid = zeroblob(16) WHERE handle = 3",
        "UPDATE objects SET payload_bytes = 50 WHERE handle = 3",
        "UPDATE objects SET created_secs = 0 WHERE handle = 3",
    ] {
        let fixture = Fixture::quick(1);
        for _ in 0..3 {
            fixture.add_key(SlotId(0));
        }
        let fixture = fixture.tamper(change);
        fixture.login(0, Role::Co).unwrap();
        let object = fixture.hsm.partition(SlotId(0)).list(2, 1).unwrap()[0]
            .clone()
            .unwrap();
        let damaged = fixture.hsm.seal(object.id).unwrap_err();
        assert!(damaged.is_unreadable(), "{change}");
    }
}

#[test]
fn a_listing_that_is_not_whole_is_an_error() {
    let fixture = Fixture::quick(1);
    for _ in 0..3 {
        fixture.add_key(SlotId(0));
    }
    fixture.hsm.partition(SlotId(0)).check_listing().unwrap();
    // As when the index by handle lost an entry.
    let fixture = fixture.tamper("UPDATE usage SET objects = 4");
    fixture.login(0, Role::Co).unwrap();
    let damaged = fixture
        .hsm
        .partition(SlotId(0))
        .check_listing()
        .unwrap_err();
    assert_eq!(damaged.outcome().errno, libc::EIO);
    let contents = fixture.hsm.partition(SlotId(0)).contents(|_| {});
    assert_slot_error!(contents, SlotError::Miscounted(_));
}

#[test]
fn stores_that_are_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Hsm::open(&folder.path().join(name), Access::ReadWrite).err();
    let refused = |name: &str| matches!(open(name), Some(Error::Store(StoreError::Store { path, .. })) if path.ends_with(name));

    assert!(refused("missing.db"));
    std::fs::write(
        folder.path().join("text.db"),
        "not a database, but long enough to be read as one".repeat(99),
    )
    .unwrap();
    assert!(refused("text.db"));
    let other = Connection::open(folder.path().join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(refused("other.db"));
    std::fs::create_dir(folder.path().join("folder.db")).unwrap();
    assert!(refused("folder.db"));
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    assert!(refused("empty.db"));
    assert_eq!(std::fs::read(folder.path().join("empty.db")).unwrap(), b"");

    let fixture = Fixture::quick(1);
    let path = fixture.path();
    let _folder = fixture.tamper_only("PRAGMA user_version = 5");
    let error = Hsm::open(&path, Access::ReadWrite).err().unwrap();
    assert!(error.to_string().contains("schema version 5"), "{error}");
}

/// A domain that was deleted, a policy that was tightened: their old rows put
/// back open nothing.
#[test]
fn what_a_header_no_longer_names_is_not_used() {
    let copy = |table: &str| format!("CREATE TABLE old AS SELECT * FROM {table};");
    let fixture = Fixture::quick(1);
    fixture.login(0, Role::Po).unwrap();
    fixture
        .hsm
        .partition(SlotId(0))
        .add_domain(&domain(), "second", false)
        .unwrap();
    let fixture = fixture.tamper(&copy("domains"));
    fixture.login(0, Role::Po).unwrap();
    fixture
        .hsm
        .partition(SlotId(0))
        .delete_domain("second")
        .unwrap();
    let fixture = fixture.tamper("INSERT OR IGNORE INTO domains SELECT * FROM old;");
    fixture.login(0, Role::Po).unwrap();
    let session = fixture.hsm.partition(SlotId(0)).session().unwrap();
    assert_eq!(session.domains().len(), 1);
    // Nor does the row come back with the next change.
    fixture
        .hsm
        .partition(SlotId(0))
        .change_domain("primary", Some("first"), false)
        .unwrap();
    let labels = fixture.hsm.partition(SlotId(0)).domain_labels().unwrap();
    assert_eq!(labels, ["first"]);

    let fixture = Fixture::quick(1).tamper(&copy("slots"));
    fixture.login(0, Role::Po).unwrap();
    let policy = Policy::PrivateKeyCloning;
    fixture
        .hsm
        .partition(SlotId(0))
        .change_policies(&[(policy, 0)])
        .unwrap();
    let fixture = fixture.tamper(
        "UPDATE slots SET policies = (SELECT policies FROM old WHERE old.slot = slots.slot);",
    );
    let refused = fixture.login(0, Role::Po).unwrap_err();
    assert!(refused.is_slot_damaged(), "{refused}");
    assert!(
        refused.to_string().contains("header does not open"),
        "{refused}"
    );
}
