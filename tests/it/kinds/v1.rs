//! V1 slots: objects outside under the storage master key, which clones under the domain.

use std::fs;
use std::path::PathBuf;

use super::{FAILED, USAGE, aes, init, login, mount, run_in};
use crate::fixture::{
    Mount, Out, Store, assert_errno, contents, flipped, names, sh, store_trunc, wait_for, write_dir,
};

/// Two password slots of V1, with four keys in the first.
fn two() -> Store {
    let store = Store::empty();
    for slot in [0, 1] {
        init(&store, slot, None, 1);
    }
    aes(&store, 0, 4);
    store
}

fn smk(mount: &Mount, slot: u32) -> PathBuf {
    mount.point.join(format!("{slot}/.slotfs/smk"))
}

fn copy(from: PathBuf, to: PathBuf) -> Out {
    sh(r#"cp "$S" "$D""#, &[("S", &from), ("D", &to)])
}

/// Fingerprints of the storage master keys, the active one first.
fn ring(store: &Store, slot: u32) -> Vec<String> {
    let out = run_in(store, slot, "partition smklist --json").ok().json();
    let smks = out["smks"].as_array().unwrap();
    let active: Vec<bool> = smks
        .iter()
        .map(|it| it["active"].as_bool().unwrap())
        .collect();
    assert!(
        active
            .iter()
            .enumerate()
            .all(|(at, active)| *active == (at == 0))
    );
    smks.iter()
        .map(|it| it["fingerprint"].as_str().unwrap().to_owned())
        .collect()
}

/// They are kept anywhere in any number, and come back by cp as the objects they were.
#[test]
fn objects_are_kept_outside_and_brought_back() {
    let store = two();
    let mount = mount(&store, &[0, 1]);
    let slot = mount.point.join("0");
    let outside = contents(&slot);
    write_dir(&store.path("outside"), &outside);
    sh(r#"rm "$S"/* && rm "$S"/.slotfs/trash/*"#, &[("S", &slot)]).ok();
    assert!(names(&slot).is_empty());
    for name in ["3", "1", "3"] {
        copy(store.path("outside").join(name), slot.clone()).ok();
    }
    assert_eq!(names(&slot), ["1", "3"]);
    assert!(fs::read(slot.join("3")).unwrap() == outside["3"]);
    // One that was never in another slot that has no such key.
    let out = copy(store.path("outside/2"), mount.point.join("1")).fails(1);
    assert!(out.stderr.contains("Permission denied"), "{out:?}");
    let clones = fs::read_to_string(mount.point.join("1/.slotfs/clones")).unwrap();
    assert!(
        clones.contains("no storage master key of this slot opens it"),
        "{clones}"
    );
    // rsync and tar carry them as well as cp.
    let out = sh(
        r#"rsync -a "$O"/ "$S"/ && diff -r "$O" "$S" && (cd "$S" && tar -cf - *) | tar -tf - | wc -l"#,
        &[("O", &store.path("outside")), ("S", &slot)],
    )
    .ok();
    assert_eq!(out.stdout.trim(), "4");
}

#[test]
fn a_received_smk_joins_behind() {
    let store = two();
    aes(&store, 1, 1);
    let (first, second) = (ring(&store, 0), ring(&store, 1));
    let mounted = mount(&store, &[0, 1]);
    write_dir(&store.path("early"), &contents(&mounted.point.join("1")));
    assert_eq!(fs::metadata(smk(&mounted, 0)).unwrap().len(), 161);
    // Read twice, it is the same.
    assert_eq!(
        fs::read(smk(&mounted, 0)).unwrap(),
        fs::read(smk(&mounted, 0)).unwrap()
    );
    copy(smk(&mounted, 0), smk(&mounted, 1)).ok();
    // What the slot gives stays under its own: whoever holds a domain cannot choose the key.
    assert!(
        fs::read(mounted.point.join("1/1")).unwrap() == fs::read(store.path("early/1")).unwrap()
    );
    let clones = fs::read_to_string(mounted.point.join("1/.slotfs/clones")).unwrap();
    assert!(
        clones.contains("A storage master key was added to slot 1"),
        "{clones}"
    );
    sh(
        r#"cp "$S"/2 "$D"/"#,
        &[
            ("S", &mounted.point.join("0")),
            ("D", &mounted.point.join("1")),
        ],
    )
    .ok();
    sh(
        r#"rsync -a "$S"/.slotfs/ouid/ "$D"/.slotfs/ouid/"#,
        &[
            ("S", &mounted.point.join("0")),
            ("D", &mounted.point.join("1")),
        ],
    )
    .ok();
    assert_eq!(names(&mounted.point.join("1")).len(), 5);
    // What it sealed before, under its own.
    fs::remove_file(mounted.point.join("1/1")).unwrap();
    copy(store.path("early/1"), mounted.point.join("1")).ok();
    assert!(mounted.point.join("1/1").exists());
    // Once more changes nothing.
    copy(smk(&mounted, 0), smk(&mounted, 1)).ok();
    // To an ordinary folder and back, in one write.
    sh(
        r#"cat "$S" > "$B" && cat "$B" > "$D""#,
        &[
            ("S", &smk(&mounted, 1)),
            ("B", &store.path("backup")),
            ("D", &smk(&mounted, 0)),
        ],
    )
    .ok();
    drop(mounted);
    assert_eq!(ring(&store, 1), [second[0].as_str(), first[0].as_str()]);
    assert_eq!(ring(&store, 0), [first[0].as_str(), second[0].as_str()]);
    // A command puts it in front; the kernel's copy of the blobs is not what is read then.
    let mounted = mount(&store, &[0, 1]);
    let before = fs::read(mounted.point.join("1/2")).unwrap();
    let activate = format!("partition smkactivate -smk {}", first[0]);
    let out = run_in(&store, 1, &activate).ok();
    assert!(out.stdout.contains("from now on"), "{out:?}");
    let out = run_in(&store, 1, &activate).ok();
    assert!(out.stdout.contains("already the active one"), "{out:?}");
    wait_for(|| (fs::read(mounted.point.join("1/2")).unwrap() != before).then_some(())).unwrap();
    drop(mounted);
    assert_eq!(ring(&store, 1), [first[0].as_str(), second[0].as_str()]);
    let out = run_in(&store, 1, "partition smkactivate -smk 0123456789abcdef").fails(FAILED);
    assert!(out.stderr.contains("smklist"), "{out:?}");
    run_in(&store, 1, "store check").ok();
}

/// What was deleted does not come back by a copy, only by a command that says so.
#[test]
fn a_deleted_smk_does_not_come_back_by_a_copy() {
    let store = two();
    let first = ring(&store, 0);
    let mounted = mount(&store, &[0, 1]);
    copy(smk(&mounted, 0), smk(&mounted, 1)).ok();
    let delete = format!("partition smkdelete -force -smk {}", first[0]);
    run_in(&store, 1, &delete).ok();
    let out = copy(smk(&mounted, 0), smk(&mounted, 1)).fails(1);
    assert!(out.stderr.contains("Permission denied"), "{out:?}");
    mounted.logged("that storage master key was deleted from it");
    let logins = format!("{} {}", login(&store, 0), login(&store, 1));
    let clone = format!("--active-slot 0 partition smkclone -slot 1 {logins}");
    let out = store.run(&clone).fails(FAILED);
    assert!(out.stderr.contains("smkclone -force"), "{out:?}");
    assert_eq!(ring(&store, 1).len(), 1);
    store.run(&format!("{clone} -force")).ok();
    assert_eq!(ring(&store, 1)[1], first[0]);
}

/// mv is a clone and a removal: both, or neither.
#[test]
fn mv_between_versions() {
    let store = two();
    init(&store, 2, None, 0);
    aes(&store, 2, 1);
    let mount = mount(&store, &[0, 1, 2]);
    let mv = |from: &str, to: &str| {
        sh(
            r#"mv "$S" "$D""#,
            &[("S", &mount.point.join(from)), ("D", &mount.point.join(to))],
        )
    };
    mv("0/1", "2/9").fails(1);
    mv("0/1", "1/9").fails(1);
    assert_eq!(names(&mount.point.join("0")), ["1", "2", "3", "4"]);
    mv("2/1", "0/9").ok();
    assert!(names(&mount.point.join("2")).is_empty());
    copy(smk(&mount, 0), smk(&mount, 1)).ok();
    mv("0/1", "1/9").ok();
    assert_eq!(names(&mount.point.join("0")), ["2", "3", "4", "9"]);
}

#[test]
fn a_bad_smk_changes_nothing() {
    let store = two();
    init(&store, 2, None, 0);
    store.slot(3, "blue");
    store
        .run("partition upgrade -slot 3 -force --password-file 3:po=pw-3")
        .ok();
    let before = ring(&store, 1);
    let mount = mount(&store, &[0, 1, 2, 3]);
    mount.announce("was not taken");
    let good = fs::read(smk(&mount, 0)).unwrap();
    let object = fs::read(mount.point.join("0/1")).unwrap();
    for bit in 0..good.len() * 8 {
        assert_errno!(
            store_trunc(&smk(&mount, 1), &flipped(&good, bit)),
            EACCES,
            "bit {bit}"
        );
    }
    for length in [1, 15, 16, 100, good.len() - 1] {
        assert_errno!(
            store_trunc(&smk(&mount, 1), &good[..length]),
            EACCES,
            "{length} bytes"
        );
    }
    let longer = [good.as_slice(), b"x"].concat();
    let foreign = fs::read(smk(&mount, 3)).unwrap();
    for bad in [&longer, &foreign, &object, &vec![7; 4096]] {
        assert_errno!(store_trunc(&smk(&mount, 1), bad), EACCES);
    }
    // An SMK is no object, and a V0 slot has no place for one.
    assert_errno!(store_trunc(&mount.point.join("1/77"), &good), EACCES);
    assert_errno!(fs::metadata(smk(&mount, 2)), ENOENT);
    assert_errno!(store_trunc(&smk(&mount, 2), &good), EPERM);
    assert_errno!(fs::remove_file(smk(&mount, 1)), EPERM);
    fs::write(mount.point.join("1/.slotfs/logout"), "x").unwrap();
    assert_errno!(store_trunc(&smk(&mount, 1), &good), ENOKEY);
    drop(mount);
    assert_eq!(ring(&store, 1), before);
}

#[test]
fn a_crypto_user_neither_gives_nor_takes_it() {
    let store = two();
    crate::fixture::write_private(&store.path("cu"), "a crypto user\n");
    run_in(&store, 0, "role init -name cu -newpasswordfile cu").ok();
    let mount = store.start_at(
        "mnt",
        &[1],
        &[
            "--login",
            "0:cu",
            "--password-file",
            &format!("0:cu={}", store.path("cu").display()),
        ],
    );
    mount.announce("a crypto user reads and never writes");
    mount.announce("a crypto user may use its storage master key");
    let own = fs::read(smk(&mount, 1)).unwrap();
    assert_errno!(store_trunc(&smk(&mount, 0), &own), EROFS);
    let out = copy(smk(&mount, 0), smk(&mount, 1)).fails(1);
    assert!(out.stderr.contains("Operation not permitted"), "{out:?}");
    // Unless po lets it.
    let po = "--password-file 0:po=pw-0";
    store
        .run_without_terminal(&format!(
            "partition changepolicy -policy 1000 -value 1 -slot 0 {po}"
        ))
        .ok();
    copy(smk(&mount, 0), smk(&mount, 1)).ok();
}

#[test]
fn a_ring_of_sixteen_and_one_that_is_retired() {
    let store = two();
    let first = ring(&store, 0);
    let mounted = mount(&store, &[0]);
    write_dir(&store.path("old"), &contents(&mounted.point.join("0")));
    drop(mounted);
    for _ in 1..16 {
        run_in(&store, 0, "partition smknew -force").ok();
    }
    let all = ring(&store, 0);
    assert_eq!(all.len(), 16);
    assert_eq!(all.last(), first.last());
    let out = run_in(&store, 0, "partition smknew -force").fails(FAILED);
    assert!(out.stderr.contains("16 storage master keys"), "{out:?}");
    let mounted = mount(&store, &[0, 1]);
    mounted.announce("16 storage master keys");
    assert_errno!(fs::copy(smk(&mounted, 1), smk(&mounted, 0)), ENOSPC);
    // The oldest of them all still opens.
    fs::remove_file(mounted.point.join("0/1")).unwrap();
    copy(store.path("old/1"), mounted.point.join("0")).ok();
    drop(mounted);
    let delete = |smk: &str| run_in(&store, 0, &format!("partition smkdelete -force -smk {smk}"));
    let out = delete(&all[0]).fails(FAILED);
    assert!(out.stderr.contains("the active one"), "{out:?}");
    let out = delete("0123456789abcdef").fails(FAILED);
    assert!(
        out.stdout.contains("0x80000099 (CKR_SMK_ID_NOT_FOUND)"),
        "{out:?}"
    );
    run_in(&store, 0, &format!("partition smkdelete -smk {}", first[0])).fails(FAILED);
    delete(&first[0]).ok();
    assert_eq!(ring(&store, 0), all[..15]);
    let mounted = mount(&store, &[0]);
    fs::remove_file(mounted.point.join("0/1")).unwrap();
    copy(store.path("old/1"), mounted.point.join("0")).fails(1);
    drop(mounted);
    run_in(&store, 0, "store check").ok();
}

/// In place, seen by a mount at once, and what was backed up before still comes in.
#[test]
fn a_v0_slot_becomes_v1_and_never_v0_again() {
    let store = Store::empty();
    init(&store, 0, None, 0);
    aes(&store, 0, 3);
    let mount = mount(&store, &[0]);
    let slot = mount.point.join("0");
    let before = contents(&slot);
    write_dir(&store.path("before"), &before);
    let upgrade = "partition upgrade -slot 0 --password-file 0:po=pw-0";
    let out = store.run_without_terminal(upgrade).fails(FAILED);
    assert!(
        out.stderr
            .contains("would become V1, which cannot be undone"),
        "{out:?}"
    );
    assert!(contents(&slot) == before);
    run_in(&store, 0, "partition upgrade -force").fails(USAGE);
    store.run(&format!("{upgrade} -force")).ok();
    let after = contents(&slot);
    assert_eq!(names(&slot), ["1", "2", "3"]);
    assert!(before.iter().all(|(name, bytes)| after[name] != *bytes));
    fs::remove_file(slot.join("2")).unwrap();
    sh(
        r#"cp "$B"/* "$S"/"#,
        &[("B", &store.path("before")), ("S", &slot)],
    )
    .ok();
    assert!(contents(&slot) == after);
    let info = store.run("partition showinfo -slot 0").ok();
    assert!(info.stdout.contains("V1"), "{info:?}");
    let out = store.run(&format!("{upgrade} -force")).fails(FAILED);
    assert!(out.stderr.contains("it is V1 already"), "{out:?}");
    run_in(&store, 0, "store check").ok();
}

/// A key of its own survives a reset, which seals everything anew, and a backup of the store.
#[test]
fn the_ring_outlives_a_new_slot_key() {
    let store = two();
    run_in(&store, 0, "partition smknew -force").ok();
    let before = ring(&store, 0);
    let mounted = mount(&store, &[0]);
    let blobs = contents(&mounted.point.join("0"));
    drop(mounted);
    crate::fixture::write_private(&store.path("pw-0"), "another horse\n");
    fs::write(store.path("po"), "correct horse 0\n").unwrap();
    store
        .run("role resetpw -name co -slot 0 -newpasswordfile pw-0 --password-file 0:po=po")
        .ok();
    assert_eq!(ring(&store, 0), before);
    let mounted = mount(&store, &[0]);
    assert!(contents(&mounted.point.join("0")) == blobs);
    drop(mounted);
    // Its rows, changed or moved, close the slot by name.
    for (change, words) in [
        (
            "UPDATE smks SET sealed = zeroblob(length(sealed)) WHERE slot = 0",
            "one of its storage master keys does not open",
        ),
        (
            "DELETE FROM smks WHERE slot = 0",
            "a storage master key that its header names is missing",
        ),
    ] {
        rusqlite::Connection::open(store.path("store.db"))
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let out = run_in(&store, 0, "partition contents").fails(4);
        assert!(out.stderr.contains(words), "{out:?}");
        run_in(&store, 1, "partition contents").ok();
    }
}

/// rsync takes a file of the same size and time for the same: the time stands for the key.
#[test]
fn rsync_carries_an_smk() {
    let store = two();
    let expected = ring(&store, 0);
    let mounted = mount(&store, &[0, 1]);
    let rsync = |options: &str| {
        let script = format!(r#"rsync {options} "$S" "$D""#);
        sh(
            &script,
            &[("S", &smk(&mounted, 0)), ("D", &smk(&mounted, 1))],
        )
    };
    // It cannot write beside it and rename, and says so.
    rsync("-a").fails(23);
    // The target shows its own active key, so rsync writes each time; the second time changes nothing.
    let own = fs::read(smk(&mounted, 1)).unwrap();
    for _ in 0..2 {
        rsync("-a --inplace").ok();
    }
    assert!(fs::read(smk(&mounted, 1)).unwrap() == own);
    drop(mounted);
    assert_eq!(ring(&store, 1).len(), 2);
    assert_eq!(ring(&store, 1)[1], expected[0]);
}
