//! The table of docs/kinds.md, each of its cells tried by `cp` and by `partition clone`.

use std::fs;
use std::path::Path;

use super::{FAILED, aes, init, login, mount, run_in};
use crate::fixture::{Store, sh};

const KINDS: [&str; 4] = ["password V0", "quorum V0", "password V1", "quorum V1"];

/// What the page says: a row of outcomes for each kind of source.
fn table() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kinds.md");
    let page = fs::read_to_string(page).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| from "));
    let heading = cells(lines.next().unwrap());
    assert_eq!(heading[1..], KINDS.map(|kind| format!("to {kind}")));
    let rows: Vec<Vec<String>> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert_eq!(rows.len(), KINDS.len());
    for (row, kind) in rows.iter().zip(KINDS) {
        assert_eq!(row[0], kind);
    }
    rows.into_iter().map(|row| row[1..].to_vec()).collect()
}

/// Slots 0 to 3 of each kind, and 10 to 13 likewise; four keys in each of the first.
fn store() -> Store {
    let store = Store::empty();
    for first in [0, 10] {
        for (nth, kind) in (0..).zip(KINDS) {
            let quorum = kind.starts_with("quorum").then_some("2/3");
            init(&store, first + nth, quorum, kind.ends_with("V1").into());
        }
    }
    for slot in 0..4 {
        aes(&store, slot, 4);
    }
    store
}

/// The table's cells: source, target, handle of the key to clone, and what the table says.
fn cells() -> Vec<(u32, u32, u32, String)> {
    let mut cells = Vec::new();
    for (from, row) in (0..).zip(table()) {
        for (to, outcome) in (0..).zip(row) {
            cells.push((from, 10 + to, to + 1, outcome));
        }
    }
    cells
}

#[test]
fn each_cell_by_cp() {
    let store = store();
    let mount = mount(&store, &[0, 1, 2, 3, 10, 11, 12, 13]);
    let copy = |from: String, to: String| {
        let (from, to) = (mount.point.join(from), mount.point.join(to));
        sh(r#"cp "$S" "$D""#, &[("S", &from), ("D", &to)])
    };
    for (from, to, handle, outcome) in cells() {
        let clone = || copy(format!("{from}/{handle}"), format!("{to}/new"));
        let refused = || {
            let out = clone().fails(1);
            assert!(out.stderr.contains("Permission denied"), "{out:?}");
            assert_eq!(out.stderr.lines().count(), 1, "{out:?}");
        };
        match outcome.as_str() {
            "cloned" => drop(clone().ok()),
            "refused" => refused(),
            "with the SMK" => {
                refused();
                let smk = |slot| format!("{slot}/.slotfs/smk");
                copy(smk(from), smk(to)).ok();
                clone().ok();
            }
            other => panic!("the table says {other:?}"),
        }
    }
}

#[test]
fn each_cell_by_partition_clone() {
    let store = store();
    for (from, to, handle, outcome) in cells() {
        let logins = format!("{} {}", login(&store, from), login(&store, to));
        let clone = || {
            store.run(&format!(
                "--active-slot {from} partition clone -objects {handle} -slot {to} -force {logins}"
            ))
        };
        match outcome.as_str() {
            "cloned" => drop(clone().ok()),
            "refused" => {
                // Before anything is moved, and object by object.
                let out = clone().fails(FAILED);
                let line = format!("Handle {handle} on slot {from} cannot be cloned: it is V1");
                assert!(out.stdout.contains(&line), "{out:?}");
                assert!(!out.stdout.contains("Logging in"), "{out:?}");
                assert!(out.stdout.contains("CKR_CLONE_NOT_ATTEMPTED"), "{out:?}");
            }
            "with the SMK" => {
                let out = clone().fails(FAILED);
                assert!(
                    out.stdout
                        .contains("no storage master key of this slot opens it"),
                    "{out:?}"
                );
                let line = format!("--active-slot {from} partition smkclone -slot {to} {logins}");
                store.run_without_terminal(&line).ok();
                clone().ok();
            }
            other => panic!("the table says {other:?}"),
        }
    }
    for slot in 10..14 {
        let out = run_in(&store, slot, "partition contents --json")
            .ok()
            .json();
        let there = out["objects"].as_array().unwrap().len();
        let row: Vec<_> = cells().into_iter().filter(|cell| cell.1 == slot).collect();
        let expected = row.iter().filter(|cell| cell.3 != "refused").count();
        assert_eq!(there, expected, "slot {slot}");
    }
}

/// A class that policy keeps in, or keeps out, at slots of every kind: on the mount and by command.
#[test]
fn policy_at_either_end_of_every_kind() {
    let store = store();
    let off = |slot: u32| {
        let login = login(&store, slot).replace(&format!("{slot}="), &format!("{slot}:po="));
        store
            .run(&format!(
                "partition changepolicy -policy 4 -value 0 -slot {slot} {login}"
            ))
            .ok();
    };
    // Sources 0 and 3 keep their keys in; targets 11 and 12 keep them out.
    for slot in [0, 3, 11, 12] {
        off(slot);
    }
    for (from, to, words) in [
        (0, 10, "policy forbids cloning a secret key"),
        (3, 13, "policy forbids cloning a secret key"),
        (1, 11, "policy forbids taking in a secret key"),
        (1, 12, "policy forbids taking in a secret key"),
    ] {
        let logins = format!("{} {}", login(&store, from), login(&store, to));
        let out = store
            .run(&format!(
                "--active-slot {from} partition clone -objects all -slot {to} -force {logins}"
            ))
            .fails(FAILED);
        for handle in 1..=4 {
            let line = format!("Handle {handle} on slot {from} cannot be cloned: {words}");
            assert!(out.stdout.contains(&line), "{out:?}");
        }
        assert!(!out.stdout.contains("Logging in"), "{out:?}");
    }
    let mount = mount(&store, &[0, 1, 3, 10, 11, 12, 13]);
    mount.announce("policy forbids");
    for (from, to, words) in [
        (0, 10, "Operation not permitted"),
        (3, 13, "Operation not permitted"),
        (1, 11, "Permission denied"),
        (1, 12, "Permission denied"),
    ] {
        let env = [
            ("S", mount.point.join(format!("{from}/1"))),
            ("D", mount.point.join(format!("{to}/new"))),
        ];
        let env: Vec<(&str, &Path)> = env.iter().map(|(k, v)| (*k, v.as_path())).collect();
        let out = sh(r#"cp "$S" "$D""#, &env).fails(1);
        assert!(out.stderr.contains(words), "{out:?}");
    }
}
