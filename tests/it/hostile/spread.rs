//! Damage by commands and on mounts: what is damaged is named and fails, and everything else works.

use std::fs;

use super::{door, remove, tampered};
use crate::fixture::{Hsm, Out, Store, assert_errno, names, run, sh, store_trunc};

/// Slots 0 and 1 of one domain with three keys each; slot 2 has another, and one key.
fn victim() -> Store {
    let store = Store::empty();
    for (slot, domain, keys) in [(0, "red", 3), (1, "red", 3), (2, "blue", 1)] {
        store.slot(slot, domain);
        store.aes(slot, keys);
    }
    store
}

/// The store at `copy.db`, changed, mounted, and logged in to these slots.
fn mounted(mut store: Store, change: &str, logins: &[u32]) -> Hsm {
    tampered(&store, "copy.db", change);
    store.use_file("copy.db");
    let mount = store.start(logins);
    mount.announce("store damaged");
    Hsm { mount, store }
}

#[track_caller]
fn says(out: &Out, words: &[&str]) {
    for word in words {
        assert!(out.text().contains(word), "no {word:?}: {out:#?}");
    }
}

/// B1: the slot alone is unusable; listed, named with its column, checked, and destroyed in either way.
#[test]
fn a_damaged_slot_is_alone() {
    let store = victim();
    for (change, column) in [
        (
            "UPDATE slots SET retention_secs = -1 WHERE slot = 2",
            "retention_secs is -1",
        ),
        ("UPDATE slots SET uid = -1 WHERE slot = 2", "uid is -1"),
        (
            "UPDATE slots SET version = 70000 WHERE slot = 2",
            "version is 70000",
        ),
    ] {
        tampered(&store, "copy.db", change);
        let out = door(&store, "copy.db", "slot list").fails(4);
        says(
            &out,
            &[
                "slot0",
                "slot1",
                "(damaged)",
                "slot 2",
                column,
                "partition delete",
            ],
        );
        let out = door(&store, "copy.db", "slot list --json").fails(4).json();
        assert_eq!(out["slots"].as_array().unwrap().len(), 3, "{out:#}");
        assert_eq!(out["slots"][1]["objects"], 3, "{out:#}");
        assert!(
            out["slots"][2]["damage"].as_str().unwrap().contains(column),
            "{out:#}"
        );
        let out = door(&store, "copy.db", "store check -slot 0").fails(4);
        says(&out, &["slot 2: its own row cannot be read", column]);
        for line in [
            "partition showinfo -slot 2",
            "role login -name co -slot 2 --password-file 2=pw-2",
        ] {
            says(&door(&store, "copy.db", line).fails(4), &["slot 2", column]);
        }
        door(
            &store,
            "copy.db",
            "partition contents -slot 1 --password-file 1=pw-1",
        )
        .ok();
    }
    // Out of it, without a login that nobody could make.
    let out = door(
        &store,
        "copy.db",
        "partition delete -slot 2 --password-file 2:po=pw-2",
    );
    assert!(
        out.code != 0 && out.text().contains("would be destroyed"),
        "{out:?}"
    );
    door(&store, "copy.db", "partition delete -slot 2 -force").ok();
    door(&store, "copy.db", "slot list").ok();
    door(&store, "copy.db", "store check --password-file 0=pw-0").ok();
    tampered(
        &store,
        "copy.db",
        "UPDATE slots SET serial = -1 WHERE slot = 2",
    );
    let line =
        "partition init -slot 2 -label anew -domainkey red.pem -force --password-file 2=pw-2";
    door(&store, "copy.db", line).ok();
    says(&door(&store, "copy.db", "slot list").ok(), &["anew"]);
    remove(&store, "copy.db");

    let hsm = mounted(
        store,
        "UPDATE slots SET retention_secs = -1 WHERE slot = 2",
        &[0, 1],
    );
    let root = &hsm.mount.point;
    assert_eq!(names(root), ["0", "1", "2"]);
    sh(
        "ls -l \"$R\" && stat -f \"$R\" && df \"$R\"",
        &[("R", root)],
    )
    .ok();
    assert_errno!(fs::read_dir(hsm.slot(2)), EIO);
    assert_errno!(fs::read(hsm.file(2, 1)), EIO);
    assert_errno!(fs::read(hsm.control(2, "status")), EIO);
    assert_errno!(fs::write(hsm.control(2, "login"), "x"), EIO);
    assert_errno!(nix::sys::statvfs::statvfs(&hsm.slot(2)), EIO);
    hsm.copy((0, 1), (1, 77));
    assert_eq!(hsm.list(1), ["1", "2", "3", "77"]);
    hsm.mount.logged("slot 2: its retention_secs is -1");
    // On a live mount the slot is closed, and it alone.
    change_live(&hsm, "UPDATE slots SET generation = -5 WHERE slot = 1");
    assert_errno!(fs::read_dir(hsm.slot(1)), EIO);
    assert_eq!(hsm.blobs(0).len(), 3);
    hsm.mount.logged("slot 1: logged out");
}

fn change_live(hsm: &Hsm, change: &str) {
    rusqlite::Connection::open(hsm.store.path("copy.db"))
        .unwrap()
        .execute_batch(&format!("PRAGMA ignore_check_constraints = ON; {change}"))
        .unwrap();
}

/// B2: each column of an object's row by commands: the others are listed and cloned, this one has its own line, and can be
/// destroyed.
#[test]
fn a_damaged_object_is_alone_by_commands() {
    let store = victim();
    for (set, named) in [
        ("payload_bytes = -1", true),
        ("ouid = x'07'", true),
        ("handle = 0", false),
    ] {
        let change = format!(
            "DELETE FROM objects WHERE slot = 1; UPDATE objects SET {set} WHERE slot = 0 AND handle = 2"
        );
        let column = set.split(' ').next().unwrap();
        tampered(&store, "copy.db", &change);
        let list = "partition contents -slot 0 --password-file 0=pw-0";
        let out = door(&store, "copy.db", list).fails(4);
        says(
            &out,
            &["damaged", "row 2", column, "object delete -row 2 -slot 0"],
        );
        assert_eq!(
            out.stdout.matches("secret key").count(),
            2,
            "{set}: {out:?}"
        );
        let all = "--active-slot 0 partition clone -objects all -slot 1 -force --password-file 0=pw-0 --password-file 1=pw-1";
        let out = door(&store, "copy.db", all).fails(1);
        says(
            &out,
            &[
                "Handle 1 on slot 0 is now",
                "Handle 3 on slot 0 is now",
                column,
            ],
        );
        assert_eq!(
            out.stdout.matches("was not cloned").count(),
            1,
            "{set}: {out:?}"
        );
        let delete = match named {
            true => "object delete -handle 2 -destroy -force -slot 0 --password-file 0=pw-0",
            false => "object delete -row 2 -force -slot 0 --password-file 0=pw-0",
        };
        let whole = door(
            &store,
            "copy.db",
            "object delete -row 1 -force -slot 0 --password-file 0=pw-0",
        )
        .fails(1);
        says(&whole, &["can be read"]);
        says(&door(&store, "copy.db", delete).ok(), &["was destroyed"]);
        assert_eq!(
            door(&store, "copy.db", list)
                .ok()
                .stdout
                .matches("secret key")
                .count(),
            2
        );
        door(
            &store,
            "copy.db",
            "store check --password-file 0=pw-0 --password-file 1=pw-1",
        )
        .ok();
    }
}

/// B2 on a mount: listed where it has a name, not readable, removed by rm; an error in place of the end where it has none.
#[test]
fn a_damaged_object_is_alone_on_a_mount() {
    let hsm = mounted(
        victim(),
        "UPDATE objects SET payload_bytes = -1 WHERE slot = 0 AND handle = 2;
         UPDATE objects SET handle = 0 WHERE slot = 1 AND handle = 2",
        &[0, 1],
    );
    assert_eq!(hsm.list(0), ["1", "2", "3"]);
    assert_errno!(fs::read(hsm.file(0, 2)), EIO);
    let out = hsm.store.path("out");
    fs::create_dir(&out).unwrap();
    let copied = sh("cp \"$S\"/* \"$O\"/", &[("S", &hsm.slot(0)), ("O", &out)]);
    assert_eq!(
        (copied.code, names(&out)),
        (1, vec!["1".to_owned(), "3".to_owned()])
    );
    let contents = fs::read_to_string(hsm.control(0, "contents")).unwrap();
    assert!(contents.contains("payload_bytes is -1"), "{contents}");
    // Nobody writes over it, and a copy of another goes on.
    let blob = hsm.blob(0, 1);
    assert_errno!(store_trunc(&hsm.file(0, 2), &blob), EIO);
    sh("rm \"$F\"", &[("F", &hsm.file(0, 2))]).ok();
    assert_eq!(hsm.list(0), ["1", "3"]);
    hsm.mount.logged("it was destroyed");
    // All that has a name, and then an error: whoever mirrors the slot deletes nothing.
    let mut listed = Vec::new();
    let mut failed = None;
    for entry in fs::read_dir(hsm.slot(1)).unwrap() {
        match entry {
            Ok(entry) => listed.push(entry.file_name()),
            Err(error) => {
                failed = error.raw_os_error();
                break;
            }
        }
    }
    listed.sort();
    assert_eq!(
        (listed, failed),
        (vec!["1".into(), "3".into()], Some(libc::EIO))
    );
    hsm.copy((0, 1), (1, 9));
    let line = "object delete -row 5 -force -slot 1 --password-file 1=pw-1";
    let out = run(&mut hsm.store.command(&line.split(' ').collect::<Vec<_>>())).ok();
    says(&out, &["The object of row 5 was destroyed"]);
    assert_eq!(hsm.list(1), ["1", "3", "9"]);
}

/// B3: a count that lies low is no "There are no objects"; it is told, and counted anew when that is asked for.
#[test]
fn a_count_that_lies_clones_all_and_fails() {
    let store = victim();
    for count in ["0", "2", "-1"] {
        tampered(
            &store,
            "copy.db",
            &format!(
                "DELETE FROM objects WHERE slot = 1; UPDATE usage SET objects = {count} WHERE slot = 0"
            ),
        );
        let all = "--active-slot 0 partition clone -objects all -slot 1 -force --password-file 0=pw-0 --password-file 1=pw-1";
        let out = door(&store, "copy.db", all).code_is_not(0);
        assert!(
            !out.text().contains("There are no objects"),
            "{count}: {out:?}"
        );
        says(&out, &["slot 0", "count"]);
        assert_eq!(
            out.stdout.matches(" is now handle ").count(),
            3,
            "{count}: {out:?}"
        );
        door(
            &store,
            "copy.db",
            "partition contents -slot 0 --password-file 0=pw-0",
        )
        .fails(4);
        door(&store, "copy.db", "store check -slot 0").fails(4);
        says(
            &door(&store, "copy.db", "store check -repair").ok(),
            &["The store is clean"],
        );
        door(
            &store,
            "copy.db",
            "partition contents -slot 0 --password-file 0=pw-0",
        )
        .ok();
    }
}

/// Key shares, and a slot whose number is none: named, and no other slot is touched.
#[test]
fn damaged_shares_and_numbers_are_alone() {
    let store = victim();
    store
        .run("partition init -slot 3 -label three -domainkey red.pem -quorum 2/3 -shares shares")
        .ok();
    for change in [
        "UPDATE quorums SET m = NULL",
        "UPDATE quorums SET m = 1",
        "UPDATE quorums SET m = 'two'",
        "UPDATE quorums SET n = 99",
        "UPDATE quorums SET n = -1",
        "UPDATE quorums SET share_set = 'x'",
        "UPDATE quorums SET share_set = x'07'",
        "UPDATE quorums SET shares = x'07'",
        "UPDATE quorums SET shares = NULL",
        "DELETE FROM quorums",
        "UPDATE slots SET kind = 1 WHERE slot = 3",
        "UPDATE slots SET kind = 2 WHERE slot = 2; UPDATE slots SET kind = 'k' WHERE slot = 3",
    ] {
        tampered(&store, "copy.db", "");
        super::without_types::without_types(&store.path("copy.db"), change);
        door(
            &store,
            "copy.db",
            "partition contents -slot 1 --password-file 1=pw-1",
        )
        .ok();
        let out = door(&store, "copy.db", "store check -slot 1").fails(4);
        assert!(
            out.stdout.lines().any(|line| line.starts_with("slot 3")),
            "{change}: {out:?}"
        );
        let line =
            "partition init -slot 3 -label anew -domainkey red.pem -force --password-file 3=pw-2";
        door(&store, "copy.db", line).ok();
        if !change.contains("slot = 2") {
            door(&store, "copy.db", "store check").ok();
        }
    }
    for number in [-1_i64, 5_000_000_000] {
        tampered(
            &store,
            "copy.db",
            &format!("UPDATE slots SET slot = {number} WHERE slot = 2"),
        );
        let out = door(&store, "copy.db", "slot list").fails(4);
        says(
            &out,
            &[
                "slot0",
                "slot1",
                "(damaged)",
                &format!("its slot is {number}"),
            ],
        );
        says(
            &door(&store, "copy.db", "store check -slot 0").fails(4),
            &[&format!("its slot is {number}")],
        );
        door(
            &store,
            "copy.db",
            "partition contents -slot 1 --password-file 1=pw-1",
        )
        .ok();
    }
}

/// A slot whose kind and whose credential contradict each other is damaged by name at every login: nobody is sent from
/// passwords to key shares and back.
#[test]
fn a_slot_that_contradicts_itself() {
    let store = victim();
    store
        .run("partition init -slot 3 -label three -domainkey red.pem -quorum 2/3 -shares shares")
        .ok();
    let shares = "--share-file 3=shares/share-1-of-3 --share-file 3=shares/share-2-of-3";
    let all = "INSERT INTO quorums SELECT it.id, it.slot, m, n, share_set, shares \
               FROM quorums, credentials AS it WHERE it.slot = 1 GROUP BY it.id";
    for (change, slot) in [
        ("DELETE FROM quorums", 3),
        ("UPDATE slots SET kind = 1 WHERE slot = 3", 3),
        ("UPDATE slots SET kind = 2 WHERE slot = 1", 1),
        (all, 1),
    ] {
        tampered(&store, "copy.db", change);
        let secrets = match slot {
            3 => ["--password-file 3=pw-2".to_owned(), shares.to_owned()],
            _ => [
                "--password-file 1=pw-1".to_owned(),
                "--share-file 1=shares/share-1-of-3".to_owned(),
            ],
        };
        for secret in secrets {
            for line in [
                "partition contents",
                "role login -name co",
                "object generate -type aes -bits 256 -label x",
            ] {
                let out = door(&store, "copy.db", &format!("{line} -slot {slot} {secret}"));
                says(
                    &out.fails(4),
                    &[&format!("slot {slot}"), "but the credential of co has "],
                );
            }
        }
        door(
            &store,
            "copy.db",
            "partition contents -slot 0 --password-file 0=pw-0",
        )
        .ok();
    }
}

/// A copy is made of a store that holds a damaged value, with a warning, and of none that has a damaged page.
#[test]
fn a_damaged_value_keeps_no_backup_from_being_made() {
    let store = victim();
    tampered(&store, "copy.db", "");
    super::without_types::without_types(
        &store.path("copy.db"),
        "UPDATE objects SET payload_bytes = 'text' WHERE slot = 0 AND handle = 2",
    );
    let out = door(&store, "copy.db", "store backup backup.db").ok();
    says(&out, &["damaged values are in the copy"]);
    door(
        &store,
        "backup.db",
        "partition contents -slot 1 --password-file 1=pw-1",
    )
    .ok();
    let list = "partition contents -slot 0 --password-file 0=pw-0";
    says(
        &door(&store, "backup.db", list).fails(4),
        &["payload_bytes is a text"],
    );
}

/// Rows that are missing or contradict each other: the slot is named without a login, and destroyed without one.
#[test]
fn a_slot_without_its_rows_is_named_and_removed() {
    let store = victim();
    for (change, what) in [
        (
            "DELETE FROM credentials WHERE slot = 2",
            "no credential of po",
        ),
        (
            "DELETE FROM credentials WHERE slot = 2 AND role = 1",
            "no credential of po",
        ),
        ("DELETE FROM domains WHERE slot = 2", "no domain"),
        ("UPDATE slots SET kind = 2 WHERE slot = 2", "a quorum slot"),
        (
            "UPDATE credentials SET memory_kib = -1 WHERE slot = 2 AND role = 2",
            "memory_kib is -1",
        ),
    ] {
        tampered(&store, "copy.db", change);
        let out = door(&store, "copy.db", "slot list").fails(4);
        says(&out, &["slot 2", what, "(damaged)"]);
        assert!(!out.stderr.contains("slot 1"), "{change}: {out:?}");
        door(&store, "copy.db", "partition delete -slot 2 -force").ok();
        door(&store, "copy.db", "slot list").ok();
    }
}

/// Counts of a slot that is not there keep no new one away.
#[test]
fn counts_that_belong_to_nothing_are_no_obstacle() {
    let store = victim();
    tampered(
        &store,
        "copy.db",
        "INSERT INTO usage VALUES (7, 5, 5); INSERT INTO trash_usage (slot, objects) VALUES (7, 5)",
    );
    let init = "partition init -slot 7 -label x -domainkey red.pem --password-file 7=pw-0";
    door(&store, "copy.db", init).ok();
    says(
        &door(&store, "copy.db", "partition showinfo -slot 7").ok(),
        &["0 objects"],
    );
}

/// A count of the trash that lies is told where the trash is listed, and where all of it is destroyed.
#[test]
fn a_trash_count_that_lies_is_told() {
    let store = victim();
    for count in ["5", "-1"] {
        tampered(
            &store,
            "copy.db",
            &format!("UPDATE trash_usage SET objects = {count} WHERE slot = 0"),
        );
        let list = "object trash -slot 0 --password-file 0=pw-0";
        says(
            &door(&store, "copy.db", list).fails(4),
            &["slot 0", "trash"],
        );
        let destroy = "object destroy -trash all -force -slot 0 --password-file 0=pw-0";
        says(
            &door(&store, "copy.db", destroy).fails(4),
            &["slot 0", "trash"],
        );
        door(&store, "copy.db", "store check -repair").code_is_not(1);
        door(&store, "copy.db", list).ok();
        door(&store, "copy.db", destroy).ok();
    }
}
