//! `store check` and `store backup`.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use super::{FAILED, LOGIN, STORE, USAGE};
use crate::fixture::{Hsm, Out, Store, contents, names, run, sh};

const PAGE_BYTES: usize = 4096;
/// What a daemon says while a backup or a check reads what was destroyed meanwhile.
const STILL_IN_LOG: &str = "destroyed objects are still in";

/// Slots 0 and 1 of one domain, with so many keys each.
fn two_slots(keys: [u32; 2]) -> Store {
    let store = Store::empty();
    for (slot, count) in (0..).zip(keys) {
        store.slot(slot, "red");
        if count > 0 {
            store.aes(slot, count);
        }
    }
    store
}

/// `store check` of the store at `name`, logged in to both slots.
fn check(store: &Store, name: &str, more: &[&str]) -> Out {
    let words = [
        "--store",
        name,
        "store",
        "check",
        "--password-file",
        "0=pw-0",
        "--password-file",
        "1=pw-1",
    ];
    run(store.bare(&words).args(more))
}

/// A copy of the closed store, changed by hand.
fn tampered(store: &Store, name: &str, change: &str) {
    fs::copy(store.path("store.db"), store.path(name)).unwrap();
    Connection::open(store.path(name))
        .unwrap()
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {change}"
        ))
        .unwrap();
}

/// Overwrites the header of the page that holds the byte at `at`.
fn spoil_page(path: &Path, at: usize) {
    let mut file = File::options().write(true).open(path).unwrap();
    let start = at / PAGE_BYTES * PAGE_BYTES;
    file.seek(SeekFrom::Start(start.try_into().unwrap()))
        .unwrap();
    file.write_all(&[0xff; 12]).unwrap();
}

/// Where the first page of a table or index starts.
fn root_page(path: &Path, name: &str) -> usize {
    let page: i64 = Connection::open(path)
        .unwrap()
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .unwrap();
    (usize::try_from(page).unwrap() - 1) * PAGE_BYTES
}

fn findings(document: &Value, slot: usize) -> &Vec<Value> {
    document["slots"][slot]["findings"].as_array().unwrap()
}

/// No half-made copy is left beside the backup.
#[track_caller]
fn no_leftovers(store: &Store) {
    let left: Vec<String> = names(&store.path(""))
        .into_iter()
        .filter(|name| name.contains("slotfs-backup") || name.starts_with("backup.db-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// To the letter: what is checked, what is not, and that nothing is wrong.
#[test]
fn a_clean_store() {
    let store = two_slots([3, 1]);
    let out = store.run("store check --password-file 0=pw-0").ok();
    assert_eq!(
        out.stdout,
        "slot 0: 3 rows read, 3 opened, 0 findings\n\
         slot 1: not logged in, its 1 row was read but not opened, 0 findings\n\
         The store is clean.\n\
         \n\
         Command Result : No Error\n"
    );
    assert_eq!(out.stderr, "");
    let out = store
        .run("store check --json --password-file 0=pw-0")
        .ok()
        .json();
    assert_eq!(
        out,
        serde_json::json!({
            "slots": [
                { "slot": 0, "objects": 3, "opened": 3, "findings": [] },
                { "slot": 1, "objects": 1, "opened": null, "findings": [] },
            ],
            "store": [],
            "clean": true,
            "error": null,
        })
    );
    // A slot by its number, and nobody to ask: read, not opened.
    let out = store.run_without_terminal("store check -slot 1").ok();
    assert!(
        out.stdout.starts_with("slot 1: not logged in, its 1 row "),
        "{out:?}"
    );
    let out = store.run_in(1, "store check").ok();
    assert!(
        out.stdout.starts_with("slot 1: 1 row read, 1 opened"),
        "{out:?}"
    );
    let out = store
        .run_without_terminal("store check -slot 1 -slot 1")
        .ok();
    assert_eq!(out.stdout.matches("slot 1:").count(), 1, "{out:?}");
    store.run("store check -slot 7").fails(FAILED);
    crate::fixture::write_private(&store.path("wrong"), "not the password\n");
    let out = store
        .run("store check --password-file 1=wrong")
        .fails(LOGIN);
    assert!(!out.stdout.contains("clean"), "{out:?}");
    let none = Store::empty();
    none.run("store check").fails(STORE);
    for verb in ["check", "backup"] {
        let out = store.run(&format!("store {verb} --help")).ok();
        assert!(
            out.stdout.contains(&format!("slotfs store {verb} ")),
            "{out:?}"
        );
    }
}

/// Every kind of change by hand is found, named by slot and handle, and keeps nothing else from being checked.
#[test]
fn what_was_changed_by_hand_is_named() {
    let store = two_slots([4, 2]);
    // What is changed; slot and handle of what must be found; words of it; how many objects of slot 0 still open.
    let flip = "UPDATE objects SET sealed = CAST(substr(sealed, 1, 40) || x'00' || substr(sealed, 42) AS BLOB)
                WHERE slot = 0 AND handle = 2";
    let swap = "CREATE TEMP TABLE o AS SELECT * FROM objects;
                UPDATE objects SET sealed = (SELECT sealed FROM o WHERE o.slot = 0
                AND o.handle = 5 - objects.handle) WHERE slot = 0 AND handle IN (2, 3)";
    let put_back = "INSERT INTO domains (id, slot, kind, label, sealed)
                    SELECT id / 2, slot, kind, 'old', sealed FROM domains WHERE slot = 0";
    for (change, slot, handle, words, opened) in [
        (flip, 0, Some(2), "it does not open", Some(3)),
        (swap, 0, Some(3), "it does not open", Some(2)),
        (
            "UPDATE objects SET sealed = substr(sealed, 1, 50) WHERE slot = 0 AND handle = 4",
            0,
            Some(4),
            "has 50 bytes",
            Some(3),
        ),
        (
            "UPDATE objects SET sealed = x'' WHERE slot = 0 AND handle = 4",
            0,
            Some(4),
            "has 0 bytes",
            Some(3),
        ),
        (
            "UPDATE objects SET handle = 9 WHERE slot = 0 AND handle = 4",
            0,
            Some(9),
            "it does not open",
            Some(3),
        ),
        (
            "UPDATE objects SET handle = 0 WHERE slot = 0 AND handle = 4",
            0,
            Some(0),
            "0 is no handle",
            Some(3),
        ),
        (
            "UPDATE objects SET ouid = zeroblob(16) WHERE slot = 0 AND handle = 1",
            0,
            Some(1),
            "it does not open",
            Some(3),
        ),
        (
            "UPDATE objects SET ouid = x'00' WHERE slot = 0 AND handle = 1",
            0,
            Some(1),
            "identity has 1 bytes",
            Some(3),
        ),
        (
            "UPDATE objects SET created_secs = 0 WHERE slot = 0 AND handle = 1",
            0,
            Some(1),
            "it does not open",
            Some(3),
        ),
        (
            "UPDATE objects SET stored_secs = -1 WHERE slot = 0 AND handle = 1",
            0,
            Some(1),
            "before 1970",
            Some(4),
        ),
        (
            "UPDATE objects SET payload_bytes = 1 WHERE slot = 0 AND handle = 1",
            0,
            Some(1),
            "payload of 1",
            Some(3),
        ),
        (
            "UPDATE usage SET objects = 5 WHERE slot = 0",
            0,
            None,
            "it counts 5 objects",
            Some(4),
        ),
        (
            "UPDATE usage SET bytes = bytes - 1 WHERE slot = 0",
            0,
            None,
            "it counts 4 objects",
            Some(4),
        ),
        (
            "DELETE FROM usage WHERE slot = 0",
            0,
            None,
            "is missing",
            Some(4),
        ),
        (
            "DROP TRIGGER object_removed; DELETE FROM objects WHERE slot = 0 AND handle = 1",
            0,
            None,
            "but has 3",
            Some(3),
        ),
        (put_back, 0, None, "does not name this domain", Some(4)),
        (
            "UPDATE domains SET kind = 7 WHERE slot = 0",
            0,
            None,
            "kind 7",
            None,
        ),
        (
            "DELETE FROM domains WHERE slot = 0",
            0,
            None,
            "it has 0 domains",
            None,
        ),
        (
            "UPDATE domains SET sealed = x'00' WHERE slot = 0",
            0,
            None,
            "sealed key of 1 bytes",
            None,
        ),
        (
            "DELETE FROM credentials WHERE slot = 0 AND role = 1",
            0,
            None,
            "a credential that its header names is missing",
            Some(4),
        ),
        (
            "UPDATE credentials SET memory_kib = 8 WHERE slot = 0",
            0,
            None,
            "8 KiB",
            None,
        ),
        (
            "UPDATE credentials SET salt = x'00' WHERE slot = 0 AND role = 1",
            0,
            None,
            "salt of 1 bytes",
            Some(4),
        ),
        (
            "UPDATE credentials SET commitment = x'00' WHERE slot = 0 AND role = 1",
            0,
            None,
            "commitment of 1 bytes",
            Some(4),
        ),
        (
            "UPDATE credentials SET wrapped = x'00' WHERE slot = 0 AND role = 1",
            0,
            None,
            "wrapped key of 1 bytes",
            Some(4),
        ),
        (
            "UPDATE credentials SET failures = -1 WHERE slot = 0 AND role = 1",
            0,
            None,
            "nobody can log in to it",
            None,
        ),
        (
            "UPDATE slots SET policies = '0:1' WHERE slot = 0",
            0,
            None,
            "policies are not readable",
            None,
        ),
        (
            "UPDATE slots SET label = 'other' WHERE slot = 0",
            0,
            None,
            "its header does not open",
            None,
        ),
        (
            "UPDATE slots SET label = '' WHERE slot = 0",
            0,
            None,
            "its label",
            None,
        ),
        (
            "UPDATE slots SET header = x'00' WHERE slot = 0",
            0,
            None,
            "too short",
            None,
        ),
        (
            "UPDATE slots SET kind = 300 WHERE slot = 0",
            0,
            None,
            "its own row cannot be read",
            None,
        ),
        (
            "UPDATE slots SET version = 9 WHERE slot = 0",
            0,
            None,
            "version 9",
            None,
        ),
    ] {
        tampered(&store, "changed.db", change);
        let out = check(&store, "changed.db", &["--json"]).fails(STORE);
        let document = out.json();
        assert_eq!(document["clean"], false, "{change}");
        let found = findings(&document, slot).iter().any(|it| {
            it["handle"].as_i64() == handle && it["what"].as_str().unwrap().contains(words)
        });
        assert!(found, "{change}: {document:#}");
        assert_eq!(
            document["slots"][slot]["opened"].as_u64(),
            opened,
            "{change}: {document:#}"
        );
        // The other slot is as it was.
        assert!(findings(&document, 1).is_empty(), "{change}: {document:#}");
        assert_eq!(document["slots"][1]["opened"], 2, "{change}");
        assert!(out.stderr.contains("changed.db has "), "{out:?}");

        let out = check(&store, "changed.db", &[]).fails(STORE);
        let start = match handle {
            Some(handle) => format!("slot {slot}, handle {handle} (row "),
            None => format!("slot {slot}"),
        };
        assert!(
            out.stdout
                .lines()
                .any(|line| line.starts_with(&start) && line.contains(words)),
            "{change}: {out:?}"
        );
        assert!(
            out.stdout
                .ends_with("\nCommand Result : 0x30 (CKR_DEVICE_ERROR)\n"),
            "{change}: {out:?}"
        );
        assert!(!out.stdout.contains("clean"), "{change}: {out:?}");
        // Nothing is repaired, and nobody is locked out by looking.
        assert!(!out.text().contains("locked"), "{change}: {out:?}");
        remove(&store, "changed.db");
    }
    // Without its password a slot's ciphertext says nothing, and the check says that it was not looked into.
    tampered(&store, "changed.db", flip);
    let out = run(&mut store.bare(&["--store", "changed.db", "store", "check"])).ok();
    assert_eq!(
        out.stdout.matches("were read but not opened").count(),
        2,
        "{out:?}"
    );
}

/// What is wrong with the store and with no slot.
#[test]
fn what_belongs_to_nothing_is_named() {
    let store = two_slots([2, 2]);
    for (change, words) in [
        (
            "UPDATE objects SET slot = 9 WHERE slot = 0 AND handle = 1",
            "object 1 of slot 9",
        ),
        (
            "INSERT INTO usage (slot) VALUES (9)",
            "row 9 of usage belongs to no row of slots",
        ),
        (
            "DROP TRIGGER object_added",
            "the trigger object_added is missing",
        ),
        (
            "CREATE TRIGGER more AFTER INSERT ON objects BEGIN DELETE FROM objects; END",
            "the trigger more is no part of a store",
        ),
        (
            "DROP TRIGGER object_added; CREATE TRIGGER object_added AFTER INSERT ON objects BEGIN SELECT 1; END",
            "the trigger object_added was changed",
        ),
        (
            "CREATE TABLE more (x)",
            "the table more is no part of a store",
        ),
    ] {
        tampered(&store, "changed.db", change);
        let document = check(&store, "changed.db", &["--json"]).fails(STORE).json();
        let found = document["store"].as_array().unwrap();
        assert!(
            found
                .iter()
                .any(|it| it["what"].as_str().unwrap().contains(words)),
            "{change}: {document:#}"
        );
        assert_eq!(document["slots"][1]["opened"], 2, "{change}");
        let out = check(&store, "changed.db", &[]).fails(STORE);
        assert!(out.stdout.contains(words), "{change}: {out:?}");
        remove(&store, "changed.db");
    }
}

fn remove(store: &Store, name: &str) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(store.path(format!("{name}{suffix}")));
    }
}

/// A page of the table that cannot be read: the objects on it are named from an index, all others are opened.
#[test]
fn a_damaged_page_of_the_table_hides_nothing_else() {
    let store = two_slots([200, 30]);
    let sealed: Vec<u8> = Connection::open(store.path("store.db"))
        .unwrap()
        .query_row(
            "SELECT sealed FROM objects WHERE slot = 0 AND handle = 100",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let bytes = fs::read(store.path("store.db")).unwrap();
    let at = bytes
        .windows(sealed.len())
        .position(|part| part == sealed)
        .unwrap();
    spoil_page(&store.path("store.db"), at);
    let document = check(&store, "store.db", &["--json"]).fails(STORE).json();
    let lost = findings(&document, 0);
    assert!(lost.iter().any(|it| it["handle"] == 100), "{document:#}");
    assert!(
        lost.iter()
            .all(|it| it["what"].as_str().unwrap().contains("cannot be read")),
        "{document:#}"
    );
    let opened = document["slots"][0]["opened"].as_u64().unwrap();
    assert!((2..60).contains(&lost.len()), "{document:#}");
    assert_eq!(opened + lost.len() as u64, 200, "{document:#}");
    assert_eq!(document["slots"][1]["opened"], 30);
    assert!(findings(&document, 1).is_empty(), "{document:#}");
    // And no backup is made of it.
    let out = store.run("store backup backup.db").fails(STORE);
    assert!(out.stderr.contains("store check"), "{out:?}");
    assert!(!store.path("backup.db").exists());
    no_leftovers(&store);
}

/// A damaged index: its objects still open, and are named, since nobody can list or find them.
#[test]
fn a_damaged_page_of_an_index_is_named_with_its_objects() {
    for index in ["sqlite_autoindex_objects_1", "sqlite_autoindex_objects_2"] {
        let store = two_slots([5, 3]);
        let at = root_page(&store.path("store.db"), index);
        spoil_page(&store.path("store.db"), at);
        let document = check(&store, "store.db", &["--json"]).fails(STORE).json();
        for (slot, count) in [(0, 5), (1, 3)] {
            assert_eq!(document["slots"][slot]["opened"], count, "{document:#}");
            for handle in 1..=count {
                assert!(
                    findings(&document, slot)
                        .iter()
                        .any(|it| it["handle"] == handle
                            && it["what"].as_str().unwrap().contains("index")),
                    "{document:#}"
                );
            }
        }
        assert!(!document["store"].as_array().unwrap().is_empty());
    }
}

/// An entry that an index lost, which `integrity_check` alone would call a row number.
#[test]
fn an_object_that_its_index_lost_is_named() {
    let store = two_slots([3, 1]);
    let path = store.path("store.db");
    let bytes = fs::read(&path).unwrap();
    let at = root_page(&path, "sqlite_autoindex_objects_1") + 4;
    // The number of cells, bytes 3 and 4 of a leaf's header: one less hides the last entry, slot 1's object.
    assert_eq!(bytes[at], 4, "four objects on one leaf");
    let mut file = File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at.try_into().unwrap())).unwrap();
    file.write_all(&[3]).unwrap();
    drop(file);
    let out = check(&store, "store.db", &[]).fails(STORE);
    assert!(
        out.stdout
            .contains("slot 1, handle 1 (row 4): it cannot be found by its handle"),
        "{out:?}"
    );
    assert!(
        out.stdout
            .contains("slot 1: 0 objects can be listed by handle, but it has 1"),
        "{out:?}"
    );
    assert!(
        out.stdout
            .contains("slot 0: 3 rows read, 3 opened, 0 findings")
    );
}

/// A file that lost its end is damaged, not a crash and not clean.
#[test]
fn a_file_cut_short() {
    let store = two_slots([100, 10]);
    let bytes = fs::read(store.path("store.db")).unwrap();
    for length in [
        bytes.len() - 1,
        bytes.len() - PAGE_BYTES,
        bytes.len() / 2,
        PAGE_BYTES,
        100,
        0,
    ] {
        fs::write(store.path("cut.db"), &bytes[..length]).unwrap();
        let out = check(&store, "cut.db", &[]).fails(STORE);
        assert!(out.stderr.contains("cut.db"), "{length}: {out:?}");
        assert!(!out.text().contains("panicked"), "{length}: {out:?}");
        assert!(
            out.stdout
                .ends_with("Command Result : 0x30 (CKR_DEVICE_ERROR)\n"),
            "{length}: {out:?}"
        );
        remove(&store, "cut.db");
    }
}

/// A loop in the background that stops when its file is made.
struct Loop {
    child: std::process::Child,
    stop: PathBuf,
}

impl Loop {
    fn start(store: &Store, body: &str, env: &[(&str, &Path)]) -> Self {
        let stop = store.path("stop");
        let script =
            format!("n=0; while [ ! -e \"$STOP\" ]; do {body} n=$((n+1)); done; [ $n -gt 0 ]");
        let child = std::process::Command::new("sh")
            .args(["-c", &script])
            .env("STOP", &stop)
            .env("XDG_STATE_HOME", store.path(crate::fixture::STATE))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child, stop }
    }

    /// Whether every round went well.
    fn end(mut self) {
        fs::write(&self.stop, "").unwrap();
        assert!(self.child.wait().unwrap().success());
        fs::remove_file(&self.stop).unwrap();
    }
}

/// Copies of slot 0's objects come and go in slot 1.
fn come_and_go(hsm: &Hsm) -> Loop {
    hsm.mount.announce(STILL_IN_LOG);
    Loop::start(
        &hsm.store,
        r#"cp "$S"/* "$D"/ || exit 1; rm "$D"/* || exit 1;"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    )
}

/// What others do meanwhile is no damage.
#[test]
fn a_store_in_use_is_clean() {
    let store = Store::empty();
    for slot in 0..3 {
        store.slot(slot, "red");
    }
    store.aes(0, 300);
    store.aes(2, 20);
    store.domain("more");
    let hsm = store.mount(&[0, 1]);
    let busy = come_and_go(&hsm);
    for _ in 0..12 {
        let out = check(&hsm.store, "store.db", &[]).ok();
        assert!(
            out.stdout
                .contains("slot 0: 300 rows read, 300 opened, 0 findings\n"),
            "{out:?}"
        );
        assert!(out.stdout.contains("The store is clean."), "{out:?}");
    }
    busy.end();
    // A slot whose header, domains, credentials and keys change.
    let change = Loop::start(
        &hsm.store,
        r#""$X" --store "$B" partition domainadd -slot 2 -domainkey "$K" -domainlabel more --password-file 2:po="$P" || exit 1;
           "$X" --store "$B" partition domaindelete -slot 2 -domainlabel more -force --password-file 2:po="$P" || exit 1;
           "$X" --store "$B" role resetpw -name co -slot 2 -newpasswordfile "$P" --password-file 2:po="$P" || exit 1;"#,
        &[
            ("X", env!("CARGO_BIN_EXE_slotfs").as_ref()),
            ("B", &hsm.store.path("store.db")),
            ("K", &hsm.store.path("more.pem")),
            ("P", &hsm.store.path("pw-2")),
        ],
    );
    for _ in 0..12 {
        check(&hsm.store, "store.db", &["--password-file", "2=pw-2"]).ok();
    }
    change.end();
    // A slot that is made anew, with all that was in it gone.
    let again = Loop::start(
        &hsm.store,
        r#""$X" --store "$B" partition init -force -slot 2 -label again -domainkey "$K" --password-file 2="$P" || exit 1;
           "$X" --store "$B" object generate -slot 2 -type aes -label k -count 20 --password-file 2="$P" || exit 1;"#,
        &[
            ("X", env!("CARGO_BIN_EXE_slotfs").as_ref()),
            ("B", &hsm.store.path("store.db")),
            ("K", &hsm.store.path("red.pem")),
            ("P", &hsm.store.path("pw-2")),
        ],
    );
    for _ in 0..12 {
        check(&hsm.store, "store.db", &[]).ok();
    }
    again.end();
}

/// "while mounted and being written": the copy is a store by itself, whole, and restores.
#[test]
fn a_backup_of_a_store_in_use_restores() {
    let store = two_slots([300, 0]);
    store.data(0, 50_000);
    let before = store.run_in(0, "partition contents --json").ok().json();
    let hsm = store.mount(&[0, 1]);
    let busy = come_and_go(&hsm);
    for _ in 0..5 {
        let out = hsm.store.run("store backup backup.db -force").ok();
        let bytes = fs::metadata(hsm.store.path("backup.db")).unwrap().len();
        let said = format!("Store store.db was copied to backup.db, {bytes} bytes.\n");
        assert!(out.stdout.starts_with(&said), "{out:?}");
        no_leftovers(&hsm.store);
        check(&hsm.store, "backup.db", &[]).ok();
        no_leftovers(&hsm.store);
    }
    busy.end();
    let metadata = fs::metadata(hsm.store.path("backup.db")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.nlink(), 1);

    // As it would be read from a disk that cannot be written to: by itself, without a log.
    let uri = format!("file:{}?immutable=1", hsm.store.path("backup.db").display());
    let kept: u32 = Connection::open(&uri)
        .unwrap()
        .query_row("SELECT count(*) FROM objects WHERE slot = 0", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(kept, 301);

    // Restored as the documentation says: beside the mount of the original, compared byte by byte.
    let original = contents(&hsm.slot(0));
    let restored = Store::empty();
    for file in ["pw-0", "pw-1"] {
        fs::copy(hsm.store.path(file), restored.path(file)).unwrap();
    }
    restored.slot(0, "other");
    restored.password_file(0);
    remove(&restored, "store.db");
    fs::copy(hsm.store.path("backup.db"), restored.path("store.db")).unwrap();
    let after = restored.run_in(0, "partition contents --json").ok().json();
    assert_eq!(after, before);
    let restored = restored.mount(&[0, 1]);
    sh(
        r#"diff -r "$A" "$B""#,
        &[("A", &hsm.slot(0)), ("B", &restored.slot(0))],
    )
    .ok();
    assert_eq!(restored.blobs(0), original);
    // It is a store like any other: it takes what its domain sealed.
    restored.mount.announce(STILL_IN_LOG);
    sh(
        r#"rm -f "$D"/* && cp "$S"/* "$D"/ && diff -r "$S" "$D""#,
        &[("S", &hsm.slot(0)), ("D", &restored.slot(1))],
    )
    .ok();
}

/// FILE must not exist, unless it is to be replaced; never is the store itself written over.
#[test]
fn what_a_backup_does_not_write_over() {
    let store = two_slots([2, 1]);
    let original = fs::read(store.path("store.db")).unwrap();
    fs::write(store.path("there"), "content").unwrap();
    let out = store.run("store backup there").fails(FAILED);
    assert!(out.stderr.contains("-force"), "{out:?}");
    assert_eq!(fs::read(store.path("there")).unwrap(), b"content");

    fs::hard_link(store.path("store.db"), store.path("hard")).unwrap();
    std::os::unix::fs::symlink("store.db", store.path("soft")).unwrap();
    std::os::unix::fs::symlink("there", store.path("link")).unwrap();
    fs::write(store.path("used-wal"), "").unwrap();
    for file in [
        "store.db",
        "./mnt/../store.db",
        "store.db-wal",
        "store.db-shm",
        "store.db-journal",
        "hard",
        "soft",
        "link",
        "mnt",
        "/dev/null",
        "used",
        "..",
    ] {
        for force in ["", "-force"] {
            let out = store.run(&format!("store backup {file} {force}"));
            out.fails(USAGE);
        }
    }
    store.run("store backup missing/backup.db").fails(FAILED);
    store.run("store backup").fails(USAGE);
    assert_eq!(fs::read(store.path("store.db")).unwrap(), original);
    assert_eq!(fs::read(store.path("there")).unwrap(), b"content");
    assert!(store.path("soft").is_symlink());
    assert!(!store.path("used").exists());
    no_leftovers(&store);

    fs::set_permissions(store.path("there"), fs::Permissions::from_mode(0o644)).unwrap();
    let out = store.run("store backup there -force --json").ok().json();
    let metadata = fs::metadata(store.path("there")).unwrap();
    assert_eq!(out["bytes"], metadata.len());
    assert_eq!(out["file"], "there");
    assert_eq!(out["store"], "store.db");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    check(&store, "there", &[]).ok();
}

/// A disk that is full, by a limit on file sizes: nothing is left, what was there stays.
#[test]
fn a_backup_that_fails_leaves_nothing() {
    let store = two_slots([400, 0]);
    assert!(fs::metadata(store.path("store.db")).unwrap().len() > 110_000);
    fs::write(store.path("backup.db"), "earlier").unwrap();
    let out = sh(
        r#"cd "$D" && trap '' XFSZ && ulimit -f 200 && "$X" --store store.db store backup backup.db -force"#,
        &[
            ("D", &store.path("")),
            ("X", env!("CARGO_BIN_EXE_slotfs").as_ref()),
        ],
    )
    .fails(FAILED);
    assert!(out.stderr.contains("backup.db"), "{out:?}");
    assert_eq!(fs::read(store.path("backup.db")).unwrap(), b"earlier");
    no_leftovers(&store);
}

/// Ctrl-C at any moment: the file is whole, or not there, and nothing else is.
#[test]
fn a_backup_that_is_interrupted_leaves_nothing() {
    let store = two_slots([400, 0]);
    let mut stopped = 0;
    for delay in (0..24).map(|step| Duration::from_micros(step * 700)) {
        let child = store
            .bare(&["--store", "store.db", "store", "backup", "backup.db"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(delay);
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        // One that ended already takes no signal.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let status = child.wait_with_output().unwrap().status;
        no_leftovers(&store);
        if status.success() {
            check(&store, "backup.db", &[]).ok();
            fs::remove_file(store.path("backup.db")).unwrap();
        } else {
            assert!(!store.path("backup.db").exists(), "{status}");
            stopped += 1;
        }
    }
    assert!(stopped > 0);
}
