//! Names that nobody sends by accident, at every request that takes one: what "Names in a slot directory" says of each,
//! and that nothing is changed by them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::fixture::{
    Hsm, assert_errno, close, errno, open_excl, open_plain, open_trunc, store_excl, two_slots,
};

/// Digits that are no handle, control characters, bytes that are no text: all of them may come from a program.
fn impossible() -> Vec<OsString> {
    let mut names: Vec<Vec<u8>> = [
        // Nearly handles.
        "0",
        "00",
        "000000000001",
        "4294967296",
        "04294967295",
        "18446744073709551616",
        "18446744073709551617",
        // Control characters of all kinds, alone and beside what would be a handle or an alias.
        "\t",
        "\r",
        "\n",
        "\u{b}",
        "\u{7f}",
        "\u{80}",
        "\u{9b}2J",
        "1\r",
        "1\r\n",
        "\n1",
        "1.\n",
        "1~\n",
        "1.part\u{85}",
        "new\n",
        "a\u{1b}[2Jb",
        "x\n9999-01-01T00:00:00Z ERROR forged] a line",
    ]
    .into_iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    // Not UTF-8: alone, over-long, a surrogate, cut short, after a handle.
    for bytes in [
        &b"\xff"[..],
        b"\xfe\xff",
        b"\xc0\xaf",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"1\xff",
        b"\x801",
        b"1.\xff",
        b"1~\xff",
    ] {
        names.push(bytes.to_vec());
    }
    // Every byte that is no character by itself.
    names.extend((1..32).chain(127..=255).map(|byte| vec![byte]));
    names.push((1..=255).filter(|byte| *byte != b'/').collect());
    names.push(vec![b'9'; 255]);
    names.push(vec![0xff; 255]);
    names.into_iter().map(OsString::from_vec).collect()
}

/// Aliases that look like something else.
fn aliases() -> Vec<OsString> {
    let mut names: Vec<Vec<u8>> = [
        // Nearly handles.
        "+0",
        "-0",
        "+1",
        "-1",
        "--1",
        "1+",
        "1-",
        "0b1",
        "0o7",
        "1,2",
        "1;2",
        "1:2",
        "1..2",
        "1 2",
        "0.part",
        "0~",
        "007.part",
        "1~~",
        // Space of all kinds.
        " ",
        "  ",
        "\u{a0}1",
        "1\u{200b}",
        "\u{feff}1",
        "\u{2028}",
        // Digits of others.
        "\u{661}\u{662}",
        "\u{ff11}",
        "\u{9e7}",
        "\u{1d7cf}",
        "\u{2460}",
        "\u{b2}",
        // Nearly `new` and `.slotfs`.
        "New",
        "nEW",
        "new ",
        " new",
        "new~",
        "new.part",
        "newnew",
        "ne\u{301}w",
        "slotfs",
        "~.slotfs",
        // What shells, terminals and logs take for something else.
        "*",
        "?",
        "~",
        "-rf",
        "$(id)",
        "`id`",
        "'",
        "\"",
        "\\",
        "\\n",
        "%00",
        "%2e%2e",
        "\u{202e}1",
        "1.\u{202e}gpj",
    ]
    .into_iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push([b"1.".to_vec(), b"x".repeat(253)].concat());
    names.push(b"x".repeat(255));
    // Every character of one byte, but for those that a path cannot hold and the digits.
    names.extend(
        (32..127)
            .filter(|byte: &u8| !b"./".contains(byte) && !byte.is_ascii_digit())
            .map(|byte| vec![byte]),
    );
    names.into_iter().map(OsString::from_vec).collect()
}

/// Staging names that look like something else.
fn staging() -> Vec<OsString> {
    let mut names: Vec<Vec<u8>> = [
        "...",
        "....",
        ".1",
        ".0",
        ".new",
        ".Slotfs",
        ".SLOTFS",
        ".slotfs ",
        ".slotfs2",
        ".slotf",
        "..slotfs",
        ".slotfs\n",
        ".slotfs~",
        ". ",
        ".\n",
        ".\u{1b}[2J",
        ".-rf",
        ".*",
        ".\u{202e}",
    ]
    .into_iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b".\xff\xfe".to_vec());
    names.push([b".".to_vec(), b"x".repeat(254)].concat());
    names.push([b".".to_vec(), b"\xff".repeat(254)].concat());
    names.push(b".".repeat(255));
    names.into_iter().map(OsString::from_vec).collect()
}

/// Everything that a name could have changed.
#[derive(PartialEq, Debug)]
struct Seen {
    root: Vec<OsString>,
    control: Vec<Vec<OsString>>,
    objects: BTreeMap<String, Vec<u8>>,
    target: Vec<OsString>,
    clones: String,
}

fn list(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names
}

fn look(hsm: &Hsm) -> Seen {
    Seen {
        root: list(&hsm.mount.point),
        control: vec![
            list(&hsm.mount.point.join(".slotfs")),
            list(&hsm.slot(0).join(".slotfs")),
            list(&hsm.slot(0).join(".slotfs/objects")),
        ],
        objects: hsm.blobs(0),
        target: list(&hsm.slot(1)),
        clones: hsm.clones(0) + &hsm.clones(1),
    }
}

/// The log holds no line and no control character that a name brought in.
#[track_caller]
fn assert_log_is_not_forged(hsm: &Hsm) {
    let log = hsm.mount.log();
    assert!(!log.lines().any(|line| line.starts_with("9999-")), "{log}");
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!log.contains(control), "{log:?}");
}

/// "Names of digits only that are no handle (`007`, `4294967296`), control characters and non-UTF-8 stay EINVAL": lookup
/// says ENOENT, create says EINVAL; rename "To anything else: EINVAL"; "mkdir, [...] EPERM".
#[test]
fn names_of_nothing_in_a_slot() {
    let hsm = two_slots(2);
    hsm.mount.announce_names();
    let blob = hsm.blob(0, 1);
    let staged = hsm.file(1, ".staged");
    fs::write(&staged, &blob).unwrap();
    let before = look(&hsm);
    let names = impossible();
    assert!(names.len() > 180, "{}", names.len());
    for name in &names {
        let path = hsm.slot(1).join(name);
        let shown = path.display();
        assert_errno!(fs::symlink_metadata(&path), ENOENT, "lookup of {shown:?}");
        assert_errno!(fs::File::open(&path), ENOENT, "open of {shown:?}");
        assert_errno!(open_excl(&path), EINVAL, "create of {shown:?}");
        assert_errno!(open_trunc(&path), EINVAL, "open with O_TRUNC of {shown:?}");
        assert_errno!(open_plain(&path), EINVAL, "open with O_CREAT of {shown:?}");
        assert_errno!(fs::create_dir(&path), EPERM, "mkdir of {shown:?}");
        assert_errno!(fs::remove_file(&path), ENOENT, "unlink of {shown:?}");
        assert_errno!(fs::remove_dir(&path), ENOENT, "rmdir of {shown:?}");
        assert_errno!(
            fs::rename(&path, hsm.file(1, 5)),
            ENOENT,
            "rename of {shown:?}"
        );
        for from in [&staged, &hsm.file(0, 1)] {
            assert_errno!(fs::rename(from, &path), EINVAL, "rename to {shown:?}");
        }
        let same_slot = hsm.slot(0).join(name);
        assert_errno!(
            fs::rename(hsm.file(0, 1), &same_slot),
            EINVAL,
            "rename to {shown:?}"
        );
    }
    assert_eq!(look(&hsm), before);
    assert_eq!(
        fs::read(&staged).unwrap(),
        blob,
        "a failing rename leaves the staging file"
    );
    assert_log_is_not_forged(&hsm);
}

/// Whatever an alias looks like: it leads to what was written to it, or is not there, and no line is forged by it.
#[test]
fn aliases_that_look_like_something_else() {
    let hsm = two_slots(2);
    hsm.mount.announce_names();
    hsm.mount.announce_rejections();
    let (blob, other) = (hsm.blob(0, 1), hsm.blob(0, 2));
    store_excl(&hsm.file(1, 1), &other).unwrap();
    let staged = hsm.file(1, ".staged");
    fs::write(&staged, &blob).unwrap();
    let before = look(&hsm);
    for name in aliases() {
        let path = hsm.slot(1).join(&name);
        let shown = path.display();
        assert_errno!(fs::symlink_metadata(&path), ENOENT, "lookup of {shown:?}");
        assert_errno!(fs::File::open(&path), ENOENT, "open of {shown:?}");
        assert_errno!(fs::create_dir(&path), EPERM, "mkdir of {shown:?}");
        assert_errno!(fs::remove_file(&path), ENOENT, "unlink of {shown:?}");
        assert_errno!(fs::rename(&path, hsm.file(1, 5)), ENOENT, "{shown:?}");
        for from in [&staged, &hsm.file(1, 1), &hsm.file(0, 1)] {
            assert_errno!(fs::rename(from, &path), EINVAL, "rename to {shown:?}");
        }
        assert_errno!(store_excl(&path, b"not a blob at all"), EACCES, "{shown:?}");
        assert_errno!(fs::symlink_metadata(&path), ENOENT, "refused: {shown:?}");
        store_excl(&path, &blob).unwrap();
        assert!(path.symlink_metadata().unwrap().is_file(), "{shown:?}");
        assert_eq!(fs::read(&path).unwrap(), blob, "{shown:?}");
        assert_eq!(list(&hsm.slot(1)).len(), 3, "{shown:?} is not listed");
        assert_errno!(fs::rename(&staged, &path), EINVAL, "rename to {shown:?}");
        fs::rename(&path, hsm.file(1, 5)).unwrap();
        assert_errno!(fs::symlink_metadata(&path), ENOENT, "renamed: {shown:?}");
        assert_eq!(hsm.blob(1, 5), blob);
        fs::remove_file(hsm.file(1, 5)).unwrap();
    }
    let after = look(&hsm);
    assert_eq!(after.objects, before.objects);
    assert_eq!(
        (after.root, after.control, after.target),
        (before.root, before.control, before.target)
    );
    assert!(!after.clones.contains(|c: char| c.is_control() && c != '\n'));
    assert_log_is_not_forged(&hsm);
}

/// FUSE lets names of up to 1024 bytes through; the kernel may refuse longer ones itself.
#[test]
fn names_of_256_bytes_and_more_in_a_slot() {
    let hsm = two_slots(1);
    hsm.mount.announce_names();
    let staged = hsm.file(1, ".staged");
    fs::write(&staged, b"x").unwrap();
    let before = look(&hsm);
    for length in [256, 257, 1024, 1025, 4095] {
        for first in [b'1', b'.', b'n', 0xff] {
            let mut name = vec![first; length];
            name[1] = b'2';
            let path = hsm.slot(1).join(OsStr::from_bytes(&name));
            let what = format!("{length} bytes from {:?}", char::from(first));
            let expect = |error: i32, errno: i32| {
                if length <= 1024 || error != libc::ENAMETOOLONG {
                    assert_eq!(error, errno, "{what}");
                }
            };
            expect(errno(fs::symlink_metadata(&path)), libc::ENOENT);
            expect(errno(open_excl(&path)), libc::EINVAL);
            expect(errno(fs::create_dir(&path)), libc::EPERM);
            expect(errno(fs::remove_file(&path)), libc::ENOENT);
            expect(errno(fs::rename(&staged, &path)), libc::EINVAL);
            expect(errno(fs::rename(hsm.file(0, 1), &path)), libc::EINVAL);
        }
    }
    assert_eq!(look(&hsm), before);
}

/// "a staging name: starts with `.` and is not `.slotfs`": all bytes else, all 255 of them, and nothing in a name
/// makes it something else.
#[test]
fn staging_names_that_look_like_something_else() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    for name in staging() {
        let path = hsm.slot(1).join(&name);
        let shown = path.display();
        assert_errno!(fs::symlink_metadata(&path), ENOENT, "before: {shown:?}");
        store_excl(&path, &blob).unwrap();
        assert_eq!(list(&hsm.slot(1)), std::slice::from_ref(&name));
        assert_eq!(fs::read(&path).unwrap(), blob, "{shown:?}");
        assert!(path.symlink_metadata().unwrap().is_file(), "{shown:?}");
        assert_errno!(open_excl(&path), EEXIST, "{shown:?}");
        fs::rename(&path, hsm.file(1, 7)).unwrap();
        assert_eq!(hsm.list(1), ["7"], "{shown:?}");
        assert_eq!(hsm.blob(1, 7), blob);
        fs::remove_file(hsm.file(1, 7)).unwrap();
        // A folder of that name holds names of any kind, of 255 bytes at most.
        fs::create_dir(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        assert!(list(&hsm.slot(1)).is_empty(), "{shown:?}");
    }
    assert!(hsm.slot(1).join(".slotfs").is_dir());
    assert_log_is_not_forged(&hsm);
}

/// Inside a staging folder too, no name is longer than others can hold.
#[test]
fn names_in_a_staging_folder() {
    let hsm = two_slots(1);
    hsm.mount.announce_names();
    let folder = hsm.file(1, ".partial");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("a");
    fs::write(&file, b"x").unwrap();
    for length in [256, 1024] {
        let long = folder.join("l".repeat(length));
        assert_errno!(open_excl(&long), EINVAL, "create of {length} bytes");
        assert_errno!(fs::rename(&file, &long), EINVAL, "rename to {length} bytes");
    }
    let most = folder.join(OsStr::from_bytes(&[0xff; 255]));
    fs::rename(&file, &most).unwrap();
    assert_eq!(list(&folder), [OsString::from_vec(vec![0xff; 255])]);
    // What is named like a handle or like the hidden tree is a staging file here all the same.
    for name in ["1", "new", ".slotfs"] {
        let path = folder.join(name);
        fs::rename(&most, &path).unwrap();
        assert!(path.symlink_metadata().unwrap().is_file(), "{name}");
        fs::rename(&path, &most).unwrap();
        assert_errno!(fs::create_dir(&path), EPERM, "mkdir of {name}");
    }
    fs::remove_file(&most).unwrap();
    fs::remove_dir(&folder).unwrap();
    assert!(hsm.list(1).is_empty());
}

/// "`new`: writable only": no other request knows it.
#[test]
fn new_is_no_name_but_for_writing() {
    let hsm = two_slots(1);
    hsm.mount.announce_names();
    let staged = hsm.file(1, ".staged");
    fs::write(&staged, hsm.blob(0, 1)).unwrap();
    let before = look(&hsm);
    let new = hsm.file(1, "new");
    assert_errno!(fs::symlink_metadata(&new), ENOENT);
    assert_errno!(fs::File::open(&new), ENOENT);
    assert_errno!(fs::remove_file(&new), ENOENT);
    assert_errno!(fs::create_dir(&new), EPERM);
    assert_errno!(fs::rename(&new, hsm.file(1, 5)), ENOENT);
    assert_errno!(fs::rename(&staged, &new), EINVAL);
    assert_errno!(fs::rename(hsm.file(0, 1), &new), EINVAL);
    // Opened and closed with nothing written.
    close(open_trunc(&new).unwrap()).unwrap();
    assert_errno!(fs::symlink_metadata(&new), ENOENT);
    assert_eq!(look(&hsm), before);
}

/// The hidden tree cannot be made, replaced, moved or removed.
#[test]
fn the_hidden_tree_stays() {
    let hsm = two_slots(1);
    let staged = hsm.file(1, ".staged");
    fs::write(&staged, hsm.blob(0, 1)).unwrap();
    let before = look(&hsm);
    for hidden in [hsm.slot(1).join(".slotfs"), hsm.mount.point.join(".slotfs")] {
        assert_errno!(open_excl(&hidden), EEXIST);
        assert_errno!(open_trunc(&hidden), EISDIR);
        assert_errno!(fs::create_dir(&hidden), EEXIST);
        assert_errno!(fs::remove_dir(&hidden), EPERM);
        assert_errno!(fs::remove_file(&hidden), EISDIR);
        assert_errno!(fs::rename(&hidden, hsm.file(1, ".other")), EPERM);
        for from in [&staged, &hsm.file(0, 1)] {
            assert_errno!(fs::rename(from, &hidden), EISDIR);
        }
    }
    for file in ["status", "contents", "login", "logout", "clones", "objects"] {
        let path = hsm.control(1, file);
        assert_errno!(fs::rename(&path, hsm.file(1, ".other")), EPERM, "{file}");
        let removed = if path.is_dir() {
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        };
        assert_errno!(removed, EPERM, "{file}");
    }
    assert_eq!(look(&hsm), before);
}

/// The root and the control folders hold what they hold: no name can be made there, and none but theirs is found.
#[test]
fn names_of_nothing_beside_the_slots_and_in_control_folders() {
    let hsm = two_slots(1);
    let staged = hsm.file(1, ".staged");
    fs::write(&staged, hsm.blob(0, 1)).unwrap();
    let before = look(&hsm);
    let folders: [PathBuf; 4] = [
        hsm.mount.point.clone(),
        hsm.mount.point.join(".slotfs"),
        hsm.slot(1).join(".slotfs"),
        hsm.slot(1).join(".slotfs/objects"),
    ];
    let mut names = staging();
    // Of what is a slot's number, a handle or `login` nearly, and of all else some.
    names.extend(impossible().into_iter().step_by(3));
    names.extend(
        [
            "00",
            "01",
            "+1",
            "-0",
            "1 ",
            "4294967296",
            "\u{661}",
            "new",
            "2",
            "Status",
            "status ",
            "login2",
            "contents\n",
        ]
        .map(OsString::from),
    );
    for folder in folders {
        for name in &names {
            // Slots are there, by their one name.
            if folder == hsm.mount.point && name == "0" {
                continue;
            }
            let path = folder.join(name);
            let shown = path.display();
            assert_errno!(fs::symlink_metadata(&path), ENOENT, "lookup of {shown:?}");
            assert_errno!(open_excl(&path), EPERM, "create of {shown:?}");
            assert_errno!(open_trunc(&path), EPERM, "open of {shown:?}");
            assert_errno!(fs::create_dir(&path), EPERM, "mkdir of {shown:?}");
            assert_errno!(fs::remove_file(&path), ENOENT, "unlink of {shown:?}");
            for from in [&staged, &hsm.file(0, 1)] {
                assert_errno!(fs::rename(from, &path), EPERM, "rename to {shown:?}");
            }
        }
    }
    assert_eq!(look(&hsm), before);
    assert_log_is_not_forged(&hsm);
}
