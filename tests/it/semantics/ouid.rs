//! `.slotfs/ouid/` "is the same slot by identity: each object under its OUID in hex, readable and writable by the same
//! rules (a blob written under another object's OUID is EACCES)."

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::fixture::{
    Hsm, Open, assert_errno, contents, names, open_excl, open_plain, open_trunc, sh, spoiled,
    store_excl, two_slots,
};

fn by_ouid(hsm: &Hsm, slot: u32) -> BTreeMap<String, Vec<u8>> {
    contents(&hsm.control(slot, "ouid"))
}

fn ouid(hsm: &Hsm, slot: u32, name: &str) -> PathBuf {
    hsm.control(slot, "ouid").join(name)
}

/// The same bytes under both names, and names that are 32 hexadecimal digits.
#[test]
fn the_same_objects_under_names_that_never_change() {
    let hsm = two_slots(4);
    let objects = by_ouid(&hsm, 0);
    let mut blobs: Vec<_> = hsm.blobs(0).into_values().collect();
    let mut again: Vec<_> = objects.values().cloned().collect();
    blobs.sort();
    again.sort();
    assert_eq!(blobs, again);
    let contents = fs::read_to_string(hsm.control(0, "contents")).unwrap();
    for name in objects.keys() {
        assert!(name.len() == 32 && contents.contains(name.as_str()));
    }
    fs::rename(hsm.file(0, 1), hsm.file(0, 99)).unwrap();
    assert_eq!(by_ouid(&hsm, 0), objects);
    assert_errno!(fs::metadata(ouid(&hsm, 0, "1")), ENOENT);
    let upper = objects.keys().next().unwrap().to_uppercase();
    if upper.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        assert_errno!(fs::metadata(ouid(&hsm, 0, &upper)), ENOENT);
    }
}

/// Written under its own name it is taken, under any other it is EACCES, however it is written.
#[test]
fn a_blob_under_another_identity_is_refused() {
    let hsm = two_slots(2);
    hsm.mount.announce_rejections();
    hsm.mount.announce_names();
    let objects = by_ouid(&hsm, 0);
    let (one, other) = (
        objects.keys().next().unwrap().as_str(),
        objects.keys().nth(1).unwrap().as_str(),
    );
    let blob = &objects[one];
    for open in [open_excl as Open, open_trunc, open_plain] {
        let write = || {
            use std::os::unix::fs::FileExt;
            let file = open(&ouid(&hsm, 1, other))?;
            file.write_all_at(blob, 0)?;
            crate::fixture::close(file)
        };
        assert_errno!(write(), EACCES);
        assert_eq!(names(&hsm.control(1, "ouid")), [""; 0]);
    }
    fs::write(ouid(&hsm, 1, ".staged"), blob).unwrap();
    assert_errno!(
        fs::rename(ouid(&hsm, 1, ".staged"), ouid(&hsm, 1, other)),
        EACCES
    );
    assert_errno!(store_excl(&ouid(&hsm, 1, one), &spoiled(blob)), EACCES);
    for name in [
        "1",
        "new",
        "x",
        &one[1..],
        &one.to_uppercase()
            .replace(|c: char| c.is_ascii_digit(), "A"),
    ] {
        assert_errno!(open_excl(&ouid(&hsm, 1, name)), EINVAL, "{name}");
    }
    fs::rename(ouid(&hsm, 1, ".staged"), ouid(&hsm, 1, one)).unwrap();
    store_excl(&ouid(&hsm, 1, other), &objects[other]).unwrap();
    // Again: the same object is there already, and nothing is stored.
    fs::write(ouid(&hsm, 1, other), &objects[other]).unwrap();
    assert_eq!(by_ouid(&hsm, 1), objects);
    assert!(hsm.clones(1).contains("not"), "{}", hsm.clones(1));
}

/// cp, mv and rm by identity: a handle of its own at the target, as for any clone.
#[test]
fn cp_mv_and_rm_by_identity() {
    let hsm = two_slots(3);
    let objects = by_ouid(&hsm, 0);
    let (from, to) = (hsm.control(0, "ouid"), hsm.control(1, "ouid"));
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    sh("cp $A/* $B/", &[("A", &from), ("B", &to)]).ok();
    assert_eq!(by_ouid(&hsm, 1), objects);
    assert_eq!(hsm.blobs(1), hsm.blobs(0), "a free handle is kept");
    sh("rm $B/*", &[("B", &to)]).ok();
    assert_eq!(hsm.list(1), [""; 0]);
    assert_eq!(
        crate::fixture::names(&hsm.control(1, "trash")),
        ["1", "2", "3"]
    );
    sh("mv $A/* $B/", &[("A", &from), ("B", &to)]).ok();
    assert_eq!(by_ouid(&hsm, 1), objects);
    assert_eq!(hsm.list(0), [""; 0]);
    // The wrong name: nothing moves.
    hsm.mount.announce_rejections();
    let wrong = fs::rename(to.join(names[0]), from.join(names[1]));
    assert_errno!(wrong, EACCES);
    assert_errno!(fs::rename(to.join(names[0]), to.join(names[1])), EACCES);
    fs::rename(to.join(names[0]), from.join(names[0])).unwrap();
    assert_eq!(hsm.list(0).len(), 1);
    // Back from the trash by identity.
    fs::remove_file(from.join(names[0])).unwrap();
    let trashed = hsm
        .control(0, "trash")
        .join(&crate::fixture::names(&hsm.control(0, "trash"))[0]);
    assert_errno!(fs::rename(&trashed, from.join(names[1])), EACCES);
    fs::rename(&trashed, from.join(names[0])).unwrap();
    assert_eq!(fs::read(from.join(names[0])).unwrap(), objects[names[0]]);
}

/// "so `rsync -a --delete 0/.slotfs/ouid/ 1/.slotfs/ouid/` [...] exact even where handles differ".
#[test]
fn rsync_with_delete_is_exact_where_handles_differ() {
    let hsm = two_slots(5);
    // Other objects under the same handles, and the same object under another.
    let out = hsm
        .store
        .run_in(1, "object generate -type aes -label other -count 2");
    out.ok();
    store_excl(&hsm.file(1, 40), &hsm.blob(0, 1)).unwrap();
    let (a, b) = (hsm.control(0, "ouid"), hsm.control(1, "ouid"));
    let env: &[(&str, &std::path::Path)] = &[("A", &a), ("B", &b)];
    for how in ["", "--delay-updates", "--inplace", "-c"] {
        sh(&format!("rsync -a --delete {how} $A/ $B/"), env).ok();
        assert_eq!(by_ouid(&hsm, 1), by_ouid(&hsm, 0), "{how}");
        let again = sh(&format!("rsync -ai --delete {how} $A/ $B/"), env).ok();
        assert_eq!(again.stdout, "", "{how}: the second run changes nothing");
        let first = hsm.list(1)[0].clone();
        fs::remove_file(hsm.file(1, first)).unwrap();
    }
    // What --delete took is in the trash.
    assert!(names(&hsm.control(1, "trash")).len() >= 2);
}

/// "and two-way synchronisers": unison moves what either lacks, then finds nothing to do.
#[test]
fn unison_twice_changes_nothing_the_second_time() {
    let hsm = two_slots(4);
    hsm.store
        .run_in(1, "object generate -type aes -label other -count 3")
        .ok();
    store_excl(&hsm.file(1, 40), &hsm.blob(0, 2)).unwrap();
    let (a, b) = (hsm.control(0, "ouid"), hsm.control(1, "ouid"));
    let home = hsm.store.path("unison");
    fs::create_dir(&home).unwrap();
    let env: &[(&str, &std::path::Path)] = &[("A", &a), ("B", &b), ("UNISON", &home)];
    let unison =
        "unison $A $B -batch -auto -ui text -perms 0 -dontchmod -times=false -fastcheck false";
    sh(unison, env).ok();
    let all = by_ouid(&hsm, 0);
    assert_eq!(all.len(), 7);
    assert_eq!(by_ouid(&hsm, 1), all);
    let again = sh(unison, env).ok();
    assert!(again.text().contains("Nothing to do"), "{again:#?}");
    // A removal travels, and lands in the trash of the other.
    let gone = all.keys().next().unwrap();
    fs::remove_file(ouid(&hsm, 0, gone)).unwrap();
    sh(unison, env).ok();
    assert_eq!(by_ouid(&hsm, 1), by_ouid(&hsm, 0));
    assert_eq!(by_ouid(&hsm, 1).len(), 6);
    assert_eq!(names(&hsm.control(1, "trash")).len(), 1);
    assert!(sh(unison, env).ok().text().contains("Nothing to do"));
}
