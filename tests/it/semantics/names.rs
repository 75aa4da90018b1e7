//! "Names in a slot directory", and the requests that slots do not have.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;

use crate::fixture::{
    assert_errno, close, errno, open_excl, open_trunc, run, sh, store_excl, three_slots, two_slots,
};

/// Names that no slot can hold.
const IMPOSSIBLE: &[&str] = &[
    "0",
    "00",
    "01",
    "007",
    "4294967296",
    "18446744073709551617",
    "99999999999999999999999999",
    "1\n",
    "\n",
    "1\n2",
    "12\t",
    "key\u{7f}",
    "key\u{85}",
];

/// Names that are nearly something else, and aliases.
const ALIASES: &[&str] = &[
    "+1", "-1", "1.0", "1e3", "0x10", "1_000", "1 ", " 1", "key", "new1", "NEW", "1~", "1.bak",
    "#1#", "\u{661}", "１", "%31", "clones", "status",
];

/// "a **handle name**: canonical decimal, no sign, no leading zero". "Names of digits only that are no handle (`007`,
/// `4294967296`), control characters and non-UTF-8 stay EINVAL."
#[test]
fn only_canonical_decimal_names() {
    let hsm = two_slots(1);
    hsm.mount.announce_names();
    let digits = "1".repeat(255);
    let blob = hsm.blob(0, 1);
    for name in IMPOSSIBLE.iter().copied().chain([&*digits]) {
        let path = hsm.file(1, name);
        assert_errno!(fs::metadata(&path), ENOENT, "lookup of {name:?}");
        assert_errno!(fs::read(&path), ENOENT, "read of {name:?}");
        assert_errno!(store_excl(&path, &blob), EINVAL, "create of {name:?}");
        assert_errno!(open_trunc(&path), EINVAL, "open of {name:?}");
    }
    assert!(hsm.list(1).is_empty());
    // Any other name is an alias: never another handle's.
    let long = "x".repeat(255);
    for name in ALIASES.iter().copied().chain([&*long]) {
        let path = hsm.file(1, name);
        assert_errno!(fs::metadata(&path), ENOENT, "lookup of {name:?}");
        store_excl(&path, &blob).unwrap();
        assert_eq!(fs::read(&path).unwrap(), blob, "{name:?}");
        assert_eq!(hsm.list(1), ["1"], "{name:?}");
        fs::remove_file(&path).unwrap();
        assert!(hsm.list(1).is_empty(), "{name:?}");
    }
}

/// "a name with newlines or 255 bytes: a clear errno, a log line, and nothing else" (issue 2). FUSE lets
/// longer ones through: they are no names either.
#[test]
fn names_that_are_too_long() {
    let hsm = two_slots(1);
    hsm.mount.announce_names();
    for length in [256, 1024, 1025, 4000] {
        let error = errno(open_excl(&hsm.file(1, "1".repeat(length))));
        assert!(
            [libc::EINVAL, libc::ENAMETOOLONG].contains(&error),
            "{length} bytes: {error}"
        );
    }
    assert_errno!(
        open_excl(&hsm.file(1, "9".repeat(255))),
        EINVAL,
        "255 bytes"
    );
    // A staging name may have all 255.
    let staging = hsm.file(1, format!(".{}", "a".repeat(254)));
    close(open_excl(&staging).unwrap()).unwrap();
    fs::remove_file(&staging).unwrap();
}

/// "handle | u32, 1..=4294967295": both ends can be asked for.
#[test]
fn the_lowest_and_the_highest_handle() {
    let hsm = two_slots(2);
    let blob = hsm.blob(0, 1);
    store_excl(&hsm.file(1, u32::MAX), &blob).unwrap();
    assert_eq!(hsm.list(1), ["4294967295"]);
    assert_eq!(hsm.blob(1, u32::MAX), blob);
    // The next one has no number above it to take.
    let other = hsm.blob(0, 2);
    crate::fixture::store_trunc(&hsm.file(1, u32::MAX), &other).unwrap();
    assert_eq!(hsm.list(1).len(), 2);
    assert_eq!(hsm.blob(1, u32::MAX), blob);
    store_excl(&hsm.file(1, "new"), &blob).unwrap();
    assert_eq!(hsm.list(1).len(), 2, "it was there already");
}

/// "`new`: writable only, means "any free handle"".
#[test]
fn new_means_any_free_handle() {
    let hsm = two_slots(2);
    for handle in [1, 2] {
        let out = sh(
            r#"cat "$F" > "$D/new""#,
            &[("F", &hsm.file(0, handle)), ("D", &hsm.slot(1))],
        );
        out.ok();
    }
    assert_eq!(hsm.list(1).len(), 2);
    assert!(!hsm.list(1).contains(&"new".to_owned()));
    let mut arrived: Vec<_> = hsm.blobs(1).into_values().collect();
    let mut sent: Vec<_> = hsm.blobs(0).into_values().collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
    assert!(fs::read(hsm.file(1, "new")).is_err(), "writable only");
    // cp to `new` as well.
    sh(
        r#"cp "$F" "$D/new""#,
        &[("F", &hsm.file(0, 1)), ("D", &hsm.slot(1))],
    )
    .ok();
    assert_eq!(hsm.list(1).len(), 2, "the same object is not stored twice");
}

/// "staging name: starts with `.` and is not `.slotfs`. [...] Held in memory, readable back, listed".
#[test]
fn staging_names_are_listed_and_read_back() {
    let hsm = two_slots(1);
    let path = hsm.file(1, ".1.Xy7");
    fs::write(&path, b"not a blob at all").unwrap();
    assert_eq!(hsm.list(1), [".1.Xy7"]);
    assert_eq!(fs::read(&path).unwrap(), b"not a blob at all");
    assert_eq!(fs::metadata(&path).unwrap().len(), 17);
    assert!(hsm.list(0).iter().all(|name| !name.starts_with('.')));
    fs::remove_file(&path).unwrap();
    assert!(hsm.list(1).is_empty());
    assert_errno!(fs::read(&path), ENOENT);
}

/// "bounded in number and age".
#[test]
fn staging_names_are_bounded() {
    let hsm = two_slots(1);
    hsm.mount.announce("too many unfinished files");
    let refused = (0..200_000).find_map(|i| {
        let created = open_excl(&hsm.file(1, format!(".{i}")));
        created.err()
    });
    let refused = refused.expect("200000 staging names were taken");
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC), "{refused}");
    // The slot is not hurt by it.
    store_excl(&hsm.file(1, 1), &hsm.blob(0, 1)).unwrap();
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 1));
}

/// "hidden: answers lookup, is never listed": "so no glob, rsync or `cp -r dir/.` ever meets it".
#[test]
fn slotfs_is_never_listed() {
    let hsm = two_slots(2);
    assert_eq!(crate::fixture::names(&hsm.mount.point), ["0", "1"]);
    let out = sh(r#"ls -A "$M""#, &[("M", &hsm.mount.point)]).ok();
    assert_eq!(out.stdout, "0\n1\n");
    let out = sh(r#"ls -A "$S""#, &[("S", &hsm.slot(0))]).ok();
    assert_eq!(out.stdout, "1\n2\n");
    let out = sh(r#"find "$M""#, &[("M", &hsm.mount.point)]).ok();
    assert!(!out.stdout.contains(".slotfs"), "{out:?}");
    let copy = hsm.store.path("copy");
    sh(
        r#"mkdir "$C" && cp -r "$M"/. "$C" && tar -C "$M" -cf - . | tar -tf - | grep -c slotfs; rsync -a "$M"/ "$C"/"#,
        &[("M", &hsm.mount.point), ("C", &copy)],
    )
    .ok();
    assert_eq!(crate::fixture::names(&copy), ["0", "1"]);
    assert_eq!(crate::fixture::names(&copy.join("0")), ["1", "2"]);
    // And yet they are there.
    assert!(hsm.mount.point.join(".slotfs").is_dir());
    assert!(hsm.slot(0).join(".slotfs").is_dir());
}

/// "mkdir, rmdir, link, symlink, mknod | EPERM".
#[test]
fn what_slots_do_not_have() {
    let hsm = two_slots(2);
    let before = hsm.blobs(0);
    let free = hsm.file(0, 99);
    assert_errno!(fs::create_dir(&free), EPERM);
    assert_errno!(fs::create_dir(hsm.file(0, "sub")), EPERM);
    assert_errno!(fs::create_dir(hsm.mount.point.join("7")), EPERM);
    assert_errno!(fs::remove_dir(hsm.slot(0)), EPERM);
    assert_errno!(fs::remove_dir(hsm.slot(1)), EPERM);
    assert_errno!(fs::hard_link(hsm.file(0, 1), &free), EPERM);
    assert_errno!(fs::hard_link(hsm.file(0, 1), hsm.file(1, 1)), EPERM);
    assert_errno!(std::os::unix::fs::symlink("1", &free), EPERM);
    assert_errno!(mkfifo(&free, Mode::S_IRWXU), EPERM);
    assert_errno!(mknod(&free, SFlag::S_IFCHR, Mode::S_IRWXU, 0), EPERM);
    assert_eq!(hsm.blobs(0), before);
    assert!(hsm.list(1).is_empty());
    assert_eq!(crate::fixture::names(&hsm.mount.point), ["0", "1"]);
    let metadata = fs::metadata(hsm.file(0, 1)).unwrap();
    assert_eq!(metadata.nlink(), 1);
    assert!(!metadata.file_type().is_fifo());
}

/// The root holds slots and nothing else.
#[test]
fn nothing_is_created_beside_the_slots() {
    let hsm = two_slots(1);
    for name in ["1234", "file", ".x", "new"] {
        let path = hsm.mount.point.join(name);
        let error = errno(open_excl(&path));
        assert!(
            [libc::EPERM, libc::EINVAL, libc::EACCES].contains(&error),
            "{name}: {error}"
        );
        assert!(!path.exists());
    }
    let root = hsm.mount.point.join("0");
    let error = errno(fs::rename(&root, hsm.mount.point.join("9")));
    assert!([libc::EPERM, libc::EINVAL].contains(&error), "{error}");
}

/// "chmod, chown, utimens | accepted by the owner, without effect: an object's mode, owner and time belong
/// to its slot".
#[test]
fn mode_owner_and_time_belong_to_the_slot() {
    let hsm = two_slots(1);
    // touch opens for writing.
    hsm.mount.announce_rejections();
    for path in [hsm.file(0, 1), hsm.slot(0)] {
        let before = fs::metadata(&path).unwrap();
        let out = sh(
            r#"chmod 0777 "$F" && chown 1234:1234 "$F" && touch -d 2001-02-03 "$F" && touch "$F""#,
            &[("F", &path)],
        );
        out.ok();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_eq!(
            (after.mtime(), after.mtime_nsec()),
            (before.mtime(), before.mtime_nsec())
        );
    }
}

/// "Modes 0700/0600, owner the mounting user".
#[test]
fn modes_and_owner() {
    let hsm = two_slots(1);
    let me = nix::unistd::getuid().as_raw();
    let look = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.uid(), me, "{}", path.display());
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(look(&hsm.mount.point), 0o700);
    assert_eq!(look(&hsm.slot(0)), 0o700);
    // Nothing can be made in it.
    assert_eq!(look(&hsm.slot(0).join(".slotfs")), 0o700);
    assert_eq!(look(&hsm.file(0, 1)), 0o600);
}

/// "xattrs | none (ENOSYS, which also saves a request per write)".
#[test]
fn no_xattrs() {
    let hsm = two_slots(1);
    let file = hsm.file(0, 1);
    let out = run(Command::new("getfattr").args(["-d", "-m", "-"]).arg(&file));
    assert_eq!(out.stdout, "", "{out:?}");
    let out = run(Command::new("setfattr")
        .args(["-n", "user.a", "-v", "b"])
        .arg(&file));
    assert_ne!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("not supported"), "{out:?}");
    assert_eq!(hsm.blob(0, 1).len() as u64, file.metadata().unwrap().len());
}

/// "statfs | the slots' capacity: bytes and objects".
#[test]
fn statfs_tells_the_capacity() {
    let hsm = three_slots(2);
    let all = nix::sys::statvfs::statvfs(&hsm.mount.point).unwrap();
    assert!(all.blocks() > 0 && all.files() > 0 && all.name_max() >= 255);
    assert!(all.blocks_free() <= all.blocks());
    assert!(all.files_free() < all.files(), "objects are there");
    let before = nix::sys::statvfs::statvfs(&hsm.slot(1)).unwrap();
    hsm.copy((0, 1), (1, 1));
    let after = nix::sys::statvfs::statvfs(&hsm.slot(1)).unwrap();
    assert_eq!(after.files(), before.files());
    assert_eq!(after.files_free() + 1, before.files_free());
    sh(r#"df "$M" && df -i "$M""#, &[("M", &hsm.mount.point)]).ok();
}
