//! Schemas that somebody added to, and values of types that the schema forbids.

use std::fs;

use super::without_types::without_types;
use super::{door, doors, mount_and_read, remove, tampered, victim};

/// What would run at our own writes, or stand in a table's place: nothing is written, by no door, and each names it.
/// Only a check opens such a store, and only to read.
#[test]
fn what_would_run_when_we_write_is_refused() {
    let (store, blobs) = victim(2);
    let rename = |view: &str| {
        format!(
            "ALTER TABLE objects RENAME TO hidden; CREATE {view} objects AS SELECT * FROM hidden"
        )
    };
    for (change, words) in [
        (
            "CREATE TRIGGER more AFTER INSERT ON objects BEGIN DELETE FROM objects; END".to_owned(),
            "the trigger more is no part of a store",
        ),
        // A login counts, and that alone would destroy everything.
        (
            "CREATE TRIGGER more AFTER UPDATE ON credentials BEGIN DELETE FROM objects; END".into(),
            "the trigger more is no part of a store",
        ),
        (
            "CREATE TRIGGER more BEFORE DELETE ON objects BEGIN SELECT raise(IGNORE); END".into(),
            "the trigger more is no part of a store",
        ),
        (
            "DROP TRIGGER object_added; CREATE TRIGGER object_added AFTER INSERT ON objects
             BEGIN DELETE FROM objects WHERE id < new.id; END"
                .into(),
            "its trigger object_added was changed",
        ),
        ("DROP TRIGGER object_removed".into(), "its trigger object_removed is missing"),
        (rename("VIEW"), "objects is no part of a store"),
        ("CREATE VIEW more AS SELECT * FROM objects".into(), "the view more is no part of a store"),
        (rename("TABLE"), "objects_1 is missing"),
        ("CREATE UNIQUE INDEX more ON objects (payload_bytes, id)".into(), "the index more is no part of a store"),
        (
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE (slot, handle)', 'UNIQUE (slot, handle) ON CONFLICT REPLACE')
             WHERE name = 'objects'"
                .into(),
            "its table objects was changed",
        ),
        (
            "DROP TABLE usage; CREATE VIRTUAL TABLE usage USING fts5 (slot, objects, bytes)".into(),
            "its table usage was changed",
        ),
    ] {
        tampered(&store, "copy.db", &change);
        let before = fs::read(store.path("copy.db")).unwrap();
        for line in [
            "slot list",
            "partition contents -slot 0 --password-file 0=pw-0",
            "object generate -type aes -label k -slot 0 --password-file 0=pw-0",
            "role login -name co -slot 0 --password-file 0=pw-0",
            "partition init -slot 5 -label l -domainkey red.pem --password-file 5=pw-0",
        ] {
            let out = door(&store, "copy.db", line).fails(4);
            assert!(out.stderr.contains(words), "{change}: {line}: {out:?}");
        }
        let read = mount_and_read(&store, "copy.db", &blobs);
        let refused = read.refused.unwrap_or_else(|| panic!("{change}: mounted"));
        assert!(refused.text().contains(words), "{change}: {refused:?}");
        door(&store, "copy.db", "store check --password-file 0=pw-0").fails(4);
        assert!(fs::read(store.path("copy.db")).unwrap() == before, "{change}: something was written");
        let log = fs::metadata(store.path("copy.db-wal"));
        assert!(log.is_ok_and(|it| it.len() == 0) || !store.path("copy.db-wal").exists(), "{change}");
        remove(&store, "copy.db");
    }
    // A table of another name does nothing, and ANALYZE's own neither.
    tampered(&store, "copy.db", "CREATE TABLE more (x); ANALYZE");
    let read = mount_and_read(&store, "copy.db", &blobs);
    assert_eq!(read.whole, 4, "{:?}", read.refused);
}

/// STRICT keeps a value's type, unless the schema is edited for a moment: wrong types and absurd numbers are damage,
/// named, and never a panic.
#[test]
fn values_of_a_wrong_type_are_damage() {
    let (store, blobs) = victim(2);
    for (table, set) in [
        ("objects", "sealed = 'text'"),
        ("objects", "sealed = 12"),
        ("objects", "sealed = NULL"),
        ("objects", "ouid = 'sixteen letters!'"),
        ("objects", "handle = 1.5 + handle"),
        ("objects", "handle = 'one' || handle"),
        ("objects", "handle = -handle"),
        ("objects", "handle = handle + 4294967296"),
        ("objects", "payload_bytes = -1"),
        ("objects", "payload_bytes = 9223372036854775807"),
        ("objects", "created_secs = -9223372036854775808"),
        ("objects", "created_secs = 9223372036854775807"),
        ("objects", "created_secs = 'now'"),
        ("objects", "changed_secs = 'now'"),
        ("objects", "changed_secs = -1"),
        ("slots", "header = 'text'"),
        ("slots", "header = NULL"),
        ("slots", "label = x'ff00fe'"),
        ("slots", "label = CAST(x'ff00fe' AS TEXT)"),
        ("slots", "serial = -1"),
        ("slots", "serial = 'x'"),
        ("slots", "generation = -1"),
        ("slots", "generation = 9223372036854775807"),
        ("slots", "capacity_objects = -9223372036854775808"),
        ("slots", "capacity_bytes = 9223372036854775807"),
        ("slots", "retention_secs = 9223372036854775807"),
        ("slots", "created_secs = 9223372036854775807"),
        ("slots", "uid = -1"),
        ("slots", "gid = 'root'"),
        ("slots", "policies = 7"),
        ("domains", "sealed = 'text'"),
        ("domains", "label = x'00'"),
        ("domains", "kind = 'k'"),
        ("credentials", "salt = 'text'"),
        ("credentials", "wrapped = 1"),
        ("credentials", "failures = 'none'"),
        ("usage", "objects = 'many'"),
        ("usage", "bytes = -9223372036854775808"),
        ("store", "created_secs = 'then'"),
    ] {
        let place = match table {
            "store" => "",
            "objects" => "WHERE slot = 0 AND handle = 1",
            "credentials" => "WHERE slot = 0 AND role = 2",
            _ => "WHERE slot = 0",
        };
        let change = format!("UPDATE {table} SET {set} {place}");
        tampered(&store, "copy.db", "");
        without_types(&store.path("copy.db"), &change);
        // The check calls it damage; the others end in whatever way is documented.
        let check = doors(&store, "copy.db").pop().unwrap();
        assert_eq!(check.code, 4, "{change}: {check:?}");
        if table == "objects" {
            mount_and_read(&store, "copy.db", &blobs);
        }
        remove(&store, "copy.db");
    }
}
