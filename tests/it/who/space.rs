//! statfs tells how full a slot is "only to who may enter the slot": by its folder, what is in it, its control files,
//! and descriptors that somebody else handed over.

use std::fs;

use crate::fixture::{Mount, sh};

use super::{as_nobody, open_folder, three_owners};

/// What `stat -f` says of `path` to nobody.
#[track_caller]
fn seen_by_nobody(mount: &Mount, folder: &std::path::Path, path: &str) -> String {
    let script = format!(r#"stat -f -c "%b %a %c %d" {path}"#);
    as_nobody(mount, folder, &script).ok().stdout
}

#[test]
fn how_full_a_slot_is_concerns_those_who_may_enter_it() {
    let store = three_owners();
    let folder = open_folder();
    let point = folder.path().join("mnt");
    let mount = store.start_at(point.to_str().unwrap(), &[0, 1, 2], &["-o", "allow_other"]);
    mount.announce("");
    let by_root = |path: &str| {
        sh(
            &format!(r#"stat -f -c "%b %a %c %d" {path}"#),
            &[("M", &mount.point)],
        )
        .ok()
        .stdout
    };
    let by_nobody = |path: &str| seen_by_nobody(&mount, folder.path(), path);
    let own = by_root("$M/1");
    // Their own, by whatever leads to it; and nothing else is in the figures of the root.
    for path in [
        "$M/1",
        "$M/1/1",
        "$M/1/.slotfs",
        "$M/1/.slotfs/status",
        "$M",
    ] {
        assert_eq!(by_nobody(path), own, "{path}");
    }
    for path in ["$M/0", "$M/2", "$M/.slotfs"] {
        assert_eq!(by_nobody(path), own, "{path}");
    }
    // Handed over by somebody who may: a folder, an object, a file that is being written, a control file.
    let handed_over = |open: &str| {
        let script = format!(
            r#"exec 3{open}; exec setpriv --reuid 65534 --regid 65534 --clear-groups stat -f -c "%b %a %c %d" /dev/fd/3"#
        );
        sh(&script, &[("M", &mount.point)]).ok().stdout
    };
    let files = [
        "<$M/0",
        "<$M/0/1",
        ">$M/0/9",
        ">$M/0/.staged",
        "<$M/0/.slotfs/status",
    ];
    let before = files.map(handed_over);
    for (file, seen) in files.iter().zip(&before) {
        assert_eq!(*seen, own, "{file}");
    }
    // So nobody can tell that others store and remove; the owners can.
    let all = by_root("$M");
    let zero = by_root("$M/0");
    fs::remove_file(mount.point.join("0/1")).unwrap();
    fs::remove_file(mount.point.join("0/.slotfs/trash/1")).unwrap();
    assert_ne!(by_root("$M"), all);
    assert_ne!(by_root("$M/0"), zero);
    for path in ["$M", "$M/0", "$M/2"] {
        assert_eq!(by_nobody(path), own, "{path}");
    }
    fs::remove_file(mount.point.join("1/1")).unwrap();
    fs::remove_file(mount.point.join("1/.slotfs/trash/1")).unwrap();
    assert_ne!(by_nobody("$M"), own);
    drop(mount);

    // With a umask that lets the group in, a slot of their group is theirs too, also by a supplementary group.
    let mount = store.start_at(
        point.to_str().unwrap(),
        &[0, 1, 2],
        &["-o", "allow_other,umask=007"],
    );
    let by_root = |path: &str| {
        let script = format!(r#"stat -f -c "%b %a %c %d" {path}"#);
        sh(&script, &[("M", &mount.point)]).ok().stdout
    };
    let two = by_root("$M/2");
    assert_eq!(seen_by_nobody(&mount, folder.path(), "$M/2"), two);
    for (groups, may) in [("--groups 65534", true), ("--groups 7", false)] {
        let script =
            format!(r#"setpriv --reuid 1234 --regid 1234 {groups} stat -f -c "%b %a %c %d" $M/2"#);
        let seen = sh(&script, &[("M", &mount.point)]).ok().stdout;
        assert_eq!(seen == two, may, "{groups}: {seen}");
        assert_eq!(seen == "0 0 0 0\n", !may, "{groups}: {seen}");
    }
}
