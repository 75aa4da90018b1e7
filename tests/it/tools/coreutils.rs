//! GNU cp, mv and install, and busybox's.

use std::fs;

use super::{script, tools};
use crate::fixture::{sh, two_slots};

tools! {
    cp: script(r#"cp "$S"/* "$D"/"#).exits(1);
    cp_a: script(r#"cp -a "$S"/* "$D"/"#).exits(1);
    cp_a_dot: script(r#"cp -a "$S"/. "$D""#).exits(1);
    cp_r_dot: script(r#"cp -r "$S"/. "$D""#).exits(1);
    cp_p: script(r#"cp -p "$S"/* "$D"/"#).exits(1);
    cp_n: script(r#"cp -n "$S"/* "$D"/"#).exits(1);
    cp_f: script(r#"cp -f "$S"/* "$D"/"#).exits(1);
    cp_u: script(r#"cp -u "$S"/* "$D"/"#).exits(1);
    cp_sparse_always: script(r#"cp --sparse=always "$S"/* "$D"/"#).exits(1);
    cp_sparse_never: script(r#"cp --sparse=never "$S"/* "$D"/"#).exits(1);
    cp_reflink_auto: script(r#"cp --reflink=auto "$S"/* "$D"/"#).exits(1);
    cp_reflink_never: script(r#"cp --reflink=never "$S"/* "$D"/"#).exits(1);
    cp_remove_destination: script(r#"cp --remove-destination "$S"/* "$D"/"#).exits(1);
    cp_preserve_all: script(r#"cp --preserve=all "$S"/* "$D"/"#).exits(1);
    mv: script(r#"mv "$S"/* "$D"/"#).takes().exits(1);
    mv_n: script(r#"mv -n "$S"/* "$D"/"#).takes().exits(1);
    mv_f: script(r#"mv -f "$S"/* "$D"/"#).takes().exits(1);
    install: script(r#"install "$S"/* "$D"/"#).exits(1);
    install_mode_owner: script(r#"install -m 640 -o 0 -g 0 "$S"/* "$D"/"#).exits(1);
    install_compare: script(r#"install -C "$S"/* "$D"/"#).exits(1);
    install_preserve: script(r#"install -p "$S"/* "$D"/"#).exits(1);
    busybox_cp: script(r#"busybox cp "$S"/* "$D"/"#);
    busybox_cp_a: script(r#"busybox cp -a "$S"/. "$D""#);
    busybox_cp_f: script(r#"busybox cp -f "$S"/* "$D"/"#);
    busybox_mv: script(r#"busybox mv "$S"/* "$D"/"#).takes();
    find_exec_cp: script(r#"find "$S" -type f -exec cp -t "$D" {} +"#);
    xargs_cp: script(r#"find "$S" -type f -print0 | xargs -0 -n1 -I{} cp {} "$D"/"#);
}

/// FICLONE is not something FUSE has: the tool says so, and nothing is left of its attempt.
#[test]
fn cp_reflink_always() {
    let hsm = two_slots(3);
    let out = sh(
        r#"cp --reflink=always "$S"/* "$D"/"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    );
    assert_eq!(out.code, 1, "{out:?}");
    assert_eq!(
        out.stderr.matches("failed to clone").count(),
        3,
        "one message per object: {out:?}"
    );
    assert!(hsm.list(1).is_empty());
    assert_eq!(hsm.list(0).len(), 3);
    hsm.mount.announce_rejections();
}

/// Within a slot, `mv` renumbers.
#[test]
fn mv_within_a_slot() {
    let hsm = two_slots(3);
    let blob = hsm.blob(0, 2);
    sh(r#"mv "$S"/2 "$S"/77"#, &[("S", &hsm.slot(0))]).ok();
    assert_eq!(hsm.list(0), ["1", "3", "77"]);
    assert_eq!(hsm.blob(0, 77), blob);
}

/// Onto a handle taken by another object `mv` fails, within a slot and across slots, and changes nothing.
#[test]
fn mv_onto_a_taken_handle() {
    let hsm = two_slots(3);
    hsm.copy((0, 1), (1, 1));
    let (zero, one) = (hsm.blobs(0), hsm.blobs(1));
    for script in [
        r#"mv "$S"/2 "$S"/3"#,
        r#"mv -f "$S"/2 "$S"/3"#,
        r#"mv "$S"/2 "$D"/1"#,
        r#"mv -f "$S"/2 "$D"/1"#,
        r#"busybox mv "$S"/2 "$D"/1"#,
    ] {
        let out = sh(script, &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))]);
        assert_ne!(out.code, 0, "{script}: {out:?}");
        assert!(out.stderr.contains("File exists"), "{script}: {out:?}");
        assert_eq!(hsm.blobs(0), zero, "{script} changed slot 0");
        assert_eq!(hsm.blobs(1), one, "{script} changed slot 1");
    }
    hsm.mount.announce_rejections();
}

/// `mv -n` leaves what is taken alone.
#[test]
fn mv_no_clobber_onto_a_taken_handle() {
    let hsm = two_slots(3);
    hsm.copy((0, 1), (1, 1));
    let (zero, one) = (hsm.blobs(0), hsm.blobs(1));
    for script in [r#"mv -n "$S"/2 "$S"/3"#, r#"mv -n "$S"/2 "$D"/1"#] {
        sh(script, &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))]);
        assert_eq!(hsm.blobs(0), zero, "{script} changed slot 0");
        assert_eq!(hsm.blobs(1), one, "{script} changed slot 1");
    }
    hsm.mount.announce_rejections();
}

/// The same object already in the target slot: only the source goes.
#[test]
fn mv_of_what_is_there_already() {
    let hsm = two_slots(3);
    hsm.copy((0, 1), (1, 1));
    sh(
        r#"mv "$S"/1 "$D"/1"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    )
    .ok();
    assert_eq!(hsm.list(0), ["2", "3"]);
    assert_eq!(hsm.list(1), ["1"]);
}

/// A blob under a handle that another object holds gets the next free one; cp ends well, and a backup
/// of both slots still holds every object.
#[test]
fn cp_onto_a_taken_handle() {
    let hsm = two_slots(3);
    hsm.copy((0, 1), (1, 2));
    let one = hsm.blob(1, 2);
    sh(
        r#"cp "$S"/2 "$D"/"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    )
    .ok();
    assert_eq!(hsm.blob(1, 2), one, "what was there stays");
    assert_eq!(hsm.list(1), ["2", "3"]);
    assert_eq!(hsm.blob(1, 3), hsm.blob(0, 2));
    let clones = hsm.clones(1);
    assert!(
        clones.contains("Handle 2 on slot 0 is now handle 3 on slot 1"),
        "{clones}"
    );
}

/// A backup in an ordinary directory, the slot emptied, the backup put back.
#[test]
fn backup_and_restore() {
    let hsm = two_slots(5);
    let before = hsm.blobs(0);
    let backup = hsm.store.path("backup");
    fs::create_dir(&backup).unwrap();
    let env = [("S", hsm.slot(0)), ("B", backup.clone())];
    let env = env.each_ref().map(|(name, path)| (*name, path.as_path()));
    sh(r#"cp -a "$S"/. "$B""#, &env).ok();
    assert_eq!(crate::fixture::contents(&backup), before);
    sh(r#"rm "$S"/*"#, &env).ok();
    assert!(hsm.list(0).is_empty());
    sh(r#"cp -a "$B"/. "$S""#, &env).ok();
    assert_eq!(hsm.blobs(0), before);
}
