//! `.slotfs/trash`: "what was unlinked, until its retention ends (mv back, rm)".

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fixture::{Hsm, assert_errno, names, sh, spoiled, store_excl, two_slots};

fn trash(hsm: &Hsm, slot: u32) -> Vec<String> {
    names(&hsm.control(slot, "trash"))
}

/// "unlink an object | moves it to `.slotfs/trash`, where it can be neither read nor cloned; there `mv` back
/// restores it".
#[test]
fn rm_and_mv_back_with_real_tools() {
    let hsm = two_slots(3);
    let before = hsm.blobs(0);
    let inode = fs::metadata(hsm.file(0, 2)).unwrap().ino();
    let slot = hsm.slot(0);
    let env: &[(&str, &Path)] = &[("S", &slot), ("T", &hsm.slot(1))];
    sh("rm $S/2 $S/3", env).ok();
    assert_eq!(hsm.list(0), ["1"]);
    assert_eq!(trash(&hsm, 0), ["2", "3"]);
    assert_eq!(hsm.status(0, "trash").as_deref(), Some("2"));
    assert_eq!(hsm.status(0, "objects").as_deref(), Some("1"));
    let meta = fs::metadata(hsm.control(0, "trash/2")).unwrap();
    assert_eq!(meta.len(), before["2"].len() as u64);
    assert!(meta.ctime() >= meta.mtime(), "it shows when it came here");
    for line in [
        "cat $S/.slotfs/trash/2",
        "cp $S/.slotfs/trash/2 $T/",
        "mv $S/.slotfs/trash/2 $T/2",
        "mv $S/1 $T/.slotfs/trash/1",
        "ln $S/.slotfs/trash/2 $S/2",
        "cp $S/1 $S/.slotfs/trash/9",
        "mkdir $S/.slotfs/trash/.d",
        "rmdir $S/.slotfs/trash",
    ] {
        let out = sh(line, env).code_is_not(0);
        assert!(
            out.stderr.contains("Operation not permitted"),
            "{line}: {out:#?}"
        );
    }
    assert_eq!(hsm.list(1), [""; 0]);
    assert_eq!(trash(&hsm, 0), ["2", "3"]);
    sh(
        "mv $S/.slotfs/trash/2 $S/2 && mv $S/.slotfs/trash/3 $S/",
        env,
    )
    .ok();
    assert_eq!(hsm.blobs(0), before);
    assert_eq!(fs::metadata(hsm.file(0, 2)).unwrap().ino(), inode);
    assert_eq!(trash(&hsm, 0), [""; 0]);
    assert_eq!(hsm.status(0, "trash").as_deref(), Some("0"));
}

/// "and `rm` destroys it at once"
#[test]
fn rm_in_the_trash_destroys() {
    let hsm = two_slots(2);
    fs::remove_file(hsm.file(0, 1)).unwrap();
    fs::remove_file(hsm.control(0, "trash/1")).unwrap();
    assert_eq!(trash(&hsm, 0), [""; 0]);
    assert_errno!(fs::remove_file(hsm.control(0, "trash/1")), ENOENT);
    assert_eq!(hsm.list(0), ["2"]);
    assert!(
        hsm.mount
            .log()
            .contains("which was in the trash, was destroyed")
    );
}

/// Each handle may be in the trash several times, and the same object but once.
#[test]
fn one_handle_several_times() {
    let hsm = two_slots(3);
    let blobs = hsm.blobs(0);
    for handle in ["1", "2", "3"] {
        store_excl(&hsm.file(1, 7), &blobs[handle]).unwrap();
        fs::remove_file(hsm.file(1, 7)).unwrap();
    }
    assert_eq!(trash(&hsm, 1), ["7", "7.2", "7.3"]);
    // The second one again, and again: what is there already makes place.
    for _ in 0..3 {
        store_excl(&hsm.file(1, 7), &blobs["2"]).unwrap();
        fs::remove_file(hsm.file(1, 7)).unwrap();
    }
    assert_eq!(trash(&hsm, 1), ["7", "7.3", "7.4"]);
    for (name, handle) in [("7", "1"), ("7.4", "2"), ("7.3", "3")] {
        let back = hsm.file(1, handle);
        fs::rename(hsm.control(1, &format!("trash/{name}")), back).unwrap();
    }
    assert_eq!(hsm.blobs(1), blobs);
}

/// Restoring follows the rules of renaming: "renumbers when free, else EEXIST", and the same object that is there
/// already is no second one.
#[test]
fn restoring_to_names_of_every_kind() {
    let hsm = two_slots(3);
    hsm.mount.announce_names();
    let before = hsm.blobs(0);
    fs::remove_file(hsm.file(0, 1)).unwrap();
    let there = hsm.control(0, "trash/1");
    assert_errno!(fs::rename(&there, hsm.file(0, 2)), EEXIST);
    for name in ["new", "007", "x", ".staged", "4294967296"] {
        assert_errno!(fs::rename(&there, hsm.file(0, name)), EINVAL, "{name}");
    }
    assert_errno!(fs::rename(&there, hsm.control(0, "trash/2")), EINVAL);
    assert_eq!(trash(&hsm, 0), ["1"]);
    fs::rename(&there, hsm.file(0, 40)).unwrap();
    assert_eq!(hsm.blob(0, 40), before["1"]);
    // Removed, cloned anew under another handle, then restored: one object, and the trash is empty.
    fs::remove_file(hsm.file(0, 40)).unwrap();
    store_excl(&hsm.file(0, 50), &before["1"]).unwrap();
    fs::rename(hsm.control(0, "trash/40"), hsm.file(0, 40)).unwrap();
    assert_eq!(hsm.list(0), ["2", "3", "50"]);
    assert_eq!(trash(&hsm, 0), [""; 0]);
    // Into the trash by mv: what rm does.
    fs::rename(hsm.file(0, 50), hsm.control(0, "trash/50")).unwrap();
    assert_eq!(
        (hsm.list(0), trash(&hsm, 0)),
        (vec!["2".into(), "3".into()], vec!["50".into()])
    );
    assert_errno!(
        fs::rename(hsm.file(0, 2), hsm.control(0, "trash/9")),
        EINVAL
    );
}

/// "mv, install, tar [...] unlink an existing target first: hence the trash". A blob that then fails costs nothing.
#[test]
fn tools_that_unlink_first_lose_nothing_to_a_bad_blob() {
    for tool in [
        "install $F/1 $S/1",
        "tar -C $F -cf - 1 | tar -C $S -xf -",
        "tar -C $F -cf - 1 | bsdtar -C $S -xf -",
        "cd $F && echo 1 | cpio -o --quiet | (cd $S && cpio -iu --quiet)",
        "mv -f $F/1 $S/1",
        "cp --remove-destination $F/1 $S/1",
        "ln -f $F/1 $S/1 || cp -f --remove-destination $F/1 $S/1",
    ] {
        let hsm = two_slots(1);
        hsm.mount.announce_rejections();
        let blob = hsm.blob(0, 1);
        let folder = hsm.store.path("files");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("1"), spoiled(&blob)).unwrap();
        let (slot, trash_1) = (hsm.slot(0), hsm.control(0, "trash/1"));
        // bsdtar's exit status is its own matter; what counts is the object.
        sh(tool, &[("S", &slot), ("F", &folder)]);
        if !hsm.list(0).contains(&"1".to_owned()) {
            assert_eq!(trash(&hsm, 0), ["1"], "{tool}");
            fs::rename(trash_1, hsm.file(0, 1)).unwrap();
        }
        assert_eq!(hsm.blob(0, 1), blob, "{tool}");
    }
}

/// The trash is there for who is logged in: a password gone from memory hides it like the objects.
#[test]
fn a_locked_slot_shows_no_trash() {
    let hsm = two_slots(1);
    fs::remove_file(hsm.file(0, 1)).unwrap();
    fs::write(hsm.control(0, "logout"), b"x").unwrap();
    assert_errno!(fs::metadata(hsm.control(0, "trash")), ENOKEY);
    assert_errno!(fs::read_dir(hsm.control(0, "ouid")), ENOKEY);
    assert_errno!(fs::remove_file(hsm.control(0, "trash/1")), ENOKEY);
    fs::write(hsm.control(0, "login"), crate::fixture::password(0)).unwrap();
    assert_eq!(trash(&hsm, 0), ["1"]);
}

/// The trash is on disk: it is there after a crash, and for the next mount.
#[test]
fn the_trash_outlives_the_daemon() {
    let store = crate::fixture::Store::empty();
    store.slot(0, "red");
    store.aes(0, 3);
    let mut mount = store.start(&[0]);
    let blob = fs::read(mount.point.join("0/2")).unwrap();
    fs::remove_file(mount.point.join("0/2")).unwrap();
    mount.crash();
    drop(mount);
    let out = store.run_in(0, "object trash");
    assert!(
        out.ok().stdout.contains("secret key"),
        "listed by a command"
    );
    store.run_in(0, "store check").ok();
    let hsm = store.mount(&[0]);
    assert_eq!(trash(&hsm, 0), ["2"]);
    fs::rename(hsm.control(0, "trash/2"), hsm.file(0, 2)).unwrap();
    assert_eq!(hsm.blob(0, 2), blob);
}

/// Many of them, listed page by page and each once.
#[test]
fn a_large_trash_lists_whole() {
    let hsm = two_slots(1500);
    let slot = hsm.slot(0);
    sh("rm $S/*", &[("S", &slot)]).ok();
    assert_eq!(hsm.list(0), [""; 0]);
    let mut expected: Vec<String> = (1..=1500).map(|n| n.to_string()).collect();
    expected.sort();
    assert_eq!(trash(&hsm, 0), expected);
    sh("cd $S && mv .slotfs/trash/* .", &[("S", &slot)]).ok();
    assert_eq!(hsm.list(0), expected);
    sh("rm $S/* && rm $S/.slotfs/trash/*", &[("S", &slot)]).ok();
    assert_eq!(trash(&hsm, 0), [""; 0]);
}

/// "Older than the slot's retention (7 days unless set; 0 destroys immediately) it is destroyed".
#[test]
fn retention_ends_and_none_destroys_at_once() {
    let store = crate::fixture::Store::empty();
    store.slot(0, "red");
    let file = store.password_file(1);
    store
        .run(&format!(
            "partition init -slot 1 -label none -domainkey red.pem -retention 0 --password-file 1={file}"
        ))
        .ok();
    store.aes(0, 3);
    store.aes(1, 2);
    let set = |store: &crate::fixture::Store, words: &str| {
        store.run(&format!(
            "partition set -slot 0 {words} --password-file 0:po=pw-0"
        ))
    };
    let hsm = store.mount(&[0, 1]);
    let ids = objects_in_the_file(&hsm.store.path("store.db"));
    fs::remove_file(hsm.file(1, 1)).unwrap();
    assert_eq!(trash(&hsm, 1), [""; 0], "destroyed at once");
    fs::remove_file(hsm.file(0, 1)).unwrap();
    fs::remove_file(hsm.file(0, 2)).unwrap();
    assert_eq!(trash(&hsm, 0), ["1", "2"]);
    // Shorter: it asks, as what is there would be destroyed sooner than was said.
    let out = set(&hsm.store, "-retention 1s").fails(1);
    assert!(out.stderr.contains("of 2 objects in the trash"), "{out:?}");
    set(&hsm.store, "-retention 30d").ok();
    assert_eq!(trash(&hsm, 0), ["1", "2"]);
    set(&hsm.store, "-retention 1s -force").ok();
    // By this command, or by the daemon; the third by the daemon, as no command comes any more.
    fs::remove_file(hsm.file(0, 3)).unwrap();
    // Hidden from when its time has come, whenever the row goes.
    crate::fixture::wait_for(|| trash(&hsm, 0).is_empty().then_some(())).unwrap();
    let gone = crate::fixture::wait_for(|| {
        (objects_in_the_file(&hsm.store.path("store.db")) == ids - 4).then_some(())
    });
    assert!(gone.is_some(), "the rows are gone from the store");
    assert_eq!(hsm.list(0), [""; 0]);
    assert_eq!(hsm.status(0, "trash").as_deref(), Some("0"));
    hsm.mount.logged("their time in the trash had passed");
    for words in [
        "",
        "-retention 7",
        "-retention x",
        "-uid -1",
        "-uid 4294967295",
    ] {
        set(&hsm.store, words).fails(2);
    }
    let by_co = hsm.store.run_in(1, "partition set -retention 1d");
    by_co.code_is_not(0);
}

/// Rows of objects, in the slots and in the trash.
fn objects_in_the_file(store: &Path) -> i64 {
    let connection = rusqlite::Connection::open(store).unwrap();
    connection
        .query_row(
            "SELECT (SELECT count(*) FROM objects) + (SELECT count(*) FROM trash)",
            [],
            |row| row.get(0),
        )
        .unwrap()
}

/// "destroyed rows overwritten by secure_delete": their sealed bytes are in no file of the live store.
#[test]
fn what_is_destroyed_is_gone_from_the_files() {
    let hsm = two_slots(4);
    let path = hsm.store.path("store.db");
    let sealed = |table: &str, handle: u32| -> Vec<u8> {
        rusqlite::Connection::open(&path)
            .unwrap()
            .query_row(
                &format!("SELECT sealed FROM {table} WHERE slot = 0 AND handle = ?1"),
                [handle],
                |row| row.get(0),
            )
            .unwrap()
    };
    let rows: Vec<Vec<u8>> = (1..=4).map(|handle| sealed("objects", handle)).collect();
    let files = || {
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(fs::read(hsm.store.path("store.db-wal")).unwrap_or_default());
        bytes
    };
    let has = |row: &[u8]| {
        // A part of it: a page may end in the middle.
        let part = &row[8..40];
        files().windows(part.len()).any(|window| window == part)
    };
    assert!(
        rows.iter().all(|row| has(row)),
        "they are found where they are"
    );
    for handle in 1..=3 {
        fs::remove_file(hsm.file(0, handle)).unwrap();
    }
    assert_eq!(sealed("trash", 1), rows[0]);
    assert!(has(&rows[0]));
    fs::remove_file(hsm.control(0, "trash/1")).unwrap();
    assert!(!has(&rows[0]), "destroyed in the trash");
    let out = "object destroy -trash 2 -force";
    hsm.store.run_in(0, out).ok();
    assert!(!has(&rows[1]), "destroyed by a command");
    hsm.store
        .run_in(0, "object delete -handle 4 -destroy -force")
        .ok();
    assert!(!has(&rows[3]), "deleted for good");
    assert!(has(&rows[2]), "the one in the trash is there");
    hsm.mount.announce("still in");
}

/// A changed password makes a new slot key: what is in the trash comes back all the same.
#[test]
fn a_reset_password_takes_the_trash_along() {
    let store = crate::fixture::Store::empty();
    store.slot(0, "red");
    store.aes(0, 2);
    let mount = store.start(&[0]);
    let blob = fs::read(mount.point.join("0/1")).unwrap();
    fs::remove_file(mount.point.join("0/1")).unwrap();
    drop(mount);
    crate::fixture::write_private(&store.path("new"), "a new password\n");
    store
        .run("role resetpw -name co -newpasswordfile new -slot 0 --password-file 0:po=pw-0")
        .ok();
    store
        .run("object restore -trash 1 -slot 0 --password-file 0=new")
        .ok();
    store.run("store check --password-file 0=new").ok();
    fs::copy(store.path("new"), store.path("pw-0")).unwrap();
    let mount = store.start(&[0]);
    assert_eq!(fs::read(mount.point.join("0/1")).unwrap(), blob);
}

/// `store check` looks into the trash, and names what it finds there.
#[test]
fn a_damaged_row_in_the_trash_is_named() {
    let store = crate::fixture::Store::empty();
    store.slot(0, "red");
    store.aes(0, 3);
    store.run_in(0, "object delete -handle 2,3 -force").ok();
    let connection = rusqlite::Connection::open(store.path("store.db")).unwrap();
    connection
        .execute(
            "UPDATE trash SET sealed = zeroblob(length(sealed)) WHERE handle = 2",
            [],
        )
        .unwrap();
    drop(connection);
    let out = store.run_in(0, "store check").fails(4);
    assert!(
        out.text().contains("handle 2") && out.text().contains("in the trash: it does not open"),
        "{out:?}"
    );
    assert!(!out.text().contains("handle 3"));
    // It stays where it is, the other comes back, and it can be destroyed.
    let out = store.run_in(0, "object restore -trash 2,3");
    assert!(
        out.stdout.contains("2 was not restored") && out.stdout.contains("3 is handle 3 again")
    );
    store.run_in(0, "object destroy -trash 2 -force").ok();
    store.run_in(0, "store check").ok();
}
