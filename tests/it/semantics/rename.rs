//! rename: staging to handle, renumbering, and `mv` across slots.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::fixture::{assert_errno, errno, spoiled, store_excl, three_slots, two_slots};

fn rename_flags(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, flags).map_err(io::Error::from)
}

/// "rename staging → handle, same slot | [...] To another staging name: just that. To anything else: EINVAL."
#[test]
fn staging_to_staging_and_to_anything_else() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    hsm.mount.announce_names();
    fs::write(hsm.file(1, ".a"), &blob).unwrap();
    fs::rename(hsm.file(1, ".a"), hsm.file(1, ".b")).unwrap();
    assert_eq!(hsm.list(1), [".b"]);
    assert_eq!(fs::read(hsm.file(1, ".b")).unwrap(), blob);
    for name in ["key", "007", "0", "4294967296", "x.tmp", "1 "] {
        assert_errno!(
            fs::rename(hsm.file(1, ".b"), hsm.file(1, name)),
            EINVAL,
            "to {name:?}"
        );
        assert_eq!(hsm.list(1), [".b"]);
    }
    // A staging name is the writer's own: the later one takes its place.
    fs::write(hsm.file(1, ".c"), b"other").unwrap();
    fs::rename(hsm.file(1, ".b"), hsm.file(1, ".c")).unwrap();
    assert_eq!(hsm.list(1), [".c"]);
    assert_eq!(fs::read(hsm.file(1, ".c")).unwrap(), blob);
    fs::rename(hsm.file(1, ".c"), hsm.file(1, 1)).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
}

/// "rename staging → handle, same slot | the verdict; a handle taken by another object is handled as for a
/// write (section Handles), and the name is looked up afresh afterwards".
#[test]
fn staging_to_a_handle_that_another_object_has() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 1));
    let before = hsm.blob(1, 1);
    fs::write(hsm.file(1, ".x"), hsm.blob(0, 2)).unwrap();
    fs::rename(hsm.file(1, ".x"), hsm.file(1, 1)).unwrap();
    assert_eq!(hsm.blob(1, 1), before, "nothing is ever overwritten");
    assert_eq!(
        fs::metadata(hsm.file(1, 1)).unwrap().len(),
        before.len() as u64
    );
    assert_eq!(hsm.list(1), ["1", "2"]);
    assert_eq!(hsm.blob(1, 2), hsm.blob(0, 2));
    assert!(
        hsm.clones(1).contains("handle 2 on slot 1"),
        "{}",
        hsm.clones(1)
    );
}

/// The same object there already, by rename: success, nothing stored, the staging file gone.
#[test]
fn staging_to_the_handle_of_the_same_object() {
    let hsm = two_slots(1);
    hsm.copy((0, 1), (1, 1));
    let inode = fs::metadata(hsm.file(1, 1)).unwrap().ino();
    for to in [1, 30] {
        fs::write(hsm.file(1, ".x"), hsm.blob(0, 1)).unwrap();
        fs::rename(hsm.file(1, ".x"), hsm.file(1, to)).unwrap();
        assert_eq!(hsm.list(1), ["1"]);
        assert_eq!(fs::metadata(hsm.file(1, 1)).unwrap().ino(), inode);
    }
}

/// "EEXIST | [...] the name is taken and the caller said no-replace".
#[test]
fn no_replace() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 1));
    fs::write(hsm.file(1, ".x"), hsm.blob(0, 2)).unwrap();
    let flags = RenameFlags::RENAME_NOREPLACE;
    assert_errno!(
        rename_flags(&hsm.file(1, ".x"), &hsm.file(1, 1), flags),
        EEXIST
    );
    rename_flags(&hsm.file(1, ".x"), &hsm.file(1, 7), flags).unwrap();
    assert_eq!(hsm.list(1), ["1", "7"]);
    assert_errno!(
        rename_flags(&hsm.file(0, 2), &hsm.file(1, 1), flags),
        EEXIST
    );
    assert_errno!(
        rename_flags(&hsm.file(0, 1), &hsm.file(0, 2), flags),
        EEXIST
    );
    assert_eq!(hsm.list(0), ["1", "2"]);
    assert_eq!(hsm.list(1), ["1", "7"]);
}

/// Two objects cannot be exchanged: it fails, and changes nothing.
#[test]
fn exchange_is_refused() {
    let hsm = two_slots(2);
    hsm.mount.announce_names();
    let before = hsm.blobs(0);
    let error = errno(rename_flags(
        &hsm.file(0, 1),
        &hsm.file(0, 2),
        RenameFlags::RENAME_EXCHANGE,
    ));
    assert!([libc::EINVAL, libc::EEXIST, libc::EPERM].contains(&error));
    assert_eq!(hsm.blobs(0), before);
}

/// "rename handle → handle, same slot | renumbers when free, else EEXIST".
#[test]
fn handle_to_handle() {
    let hsm = two_slots(3);
    hsm.mount.announce_names();
    let before = hsm.blobs(0);
    fs::rename(hsm.file(0, 2), hsm.file(0, 500)).unwrap();
    assert_eq!(hsm.list(0), ["1", "3", "500"]);
    assert_eq!(hsm.blob(0, 500), before["2"]);
    assert_errno!(fs::metadata(hsm.file(0, 2)), ENOENT);
    assert_errno!(fs::rename(hsm.file(0, 1), hsm.file(0, 3)), EEXIST);
    assert_errno!(fs::rename(hsm.file(0, 77), hsm.file(0, 78)), ENOENT);
    for name in ["key", "0", "01", "4294967296"] {
        assert_errno!(
            fs::rename(hsm.file(0, 1), hsm.file(0, name)),
            EINVAL,
            "to {name:?}"
        );
    }
    assert_eq!(hsm.blob(0, 1), before["1"]);
    assert_eq!(hsm.blob(0, 3), before["3"]);
    // Onto itself is nothing.
    fs::rename(hsm.file(0, 1), hsm.file(0, 1)).unwrap();
    assert_eq!(hsm.list(0), ["1", "3", "500"]);
    let store = hsm.store;
    drop(hsm.mount);
    let hsm = store.mount(&[0]);
    assert_eq!(hsm.blob(0, 500), before["2"], "the new number is durable");
}

/// "rename across slots (`mv`) | clone and removal of the source in one transaction: both or neither."
#[test]
fn across_slots() {
    let hsm = two_slots(3);
    let before = hsm.blobs(0);
    fs::rename(hsm.file(0, 2), hsm.file(1, 2)).unwrap();
    assert_eq!(hsm.list(0), ["1", "3"]);
    assert_eq!(hsm.list(1), ["2"]);
    assert_eq!(hsm.blob(1, 2), before["2"]);
    fs::rename(hsm.file(0, 3), hsm.file(1, 44)).unwrap();
    assert_eq!(hsm.blob(1, 44), before["3"], "under another number");
    assert_eq!(hsm.list(0), ["1"]);
    let clones = hsm.clones(1);
    assert!(
        clones.contains("Handle 2 on slot 0 is now handle 2 on slot 1"),
        "{clones}"
    );
    assert!(
        clones.contains("Handle 3 on slot 0 is now handle 44 on slot 1"),
        "{clones}"
    );
    // And back.
    fs::rename(hsm.file(1, 2), hsm.file(0, 2)).unwrap();
    assert_eq!(hsm.blob(0, 2), before["2"]);
    assert_eq!(hsm.list(1), ["44"]);
}

/// Into a slot of another domain: EACCES, and nothing changes. "Never EXDEV".
#[test]
fn across_slots_of_different_domains() {
    let hsm = three_slots(2);
    hsm.mount.announce_rejections();
    let before = hsm.blobs(0);
    for name in ["1", "9"] {
        assert_errno!(fs::rename(hsm.file(0, 1), hsm.file(2, name)), EACCES);
    }
    assert_eq!(hsm.blobs(0), before);
    assert!(hsm.list(2).is_empty());
    assert!(
        hsm.clones(2)
            .contains("Handle 1 on slot 0 was not cloned to slot 2"),
        "{}",
        hsm.clones(2)
    );
}

/// "Onto a handle taken by another object: EEXIST, nothing changes."
#[test]
fn across_slots_onto_a_taken_handle() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 1));
    let (zero, one) = (hsm.blobs(0), hsm.blobs(1));
    assert_errno!(fs::rename(hsm.file(0, 2), hsm.file(1, 1)), EEXIST);
    assert_eq!(hsm.blobs(0), zero);
    assert_eq!(hsm.blobs(1), one);
    hsm.mount.announce_rejections();
}

/// "The same object already in the target slot: only the source goes."
#[test]
fn across_slots_where_the_object_is_already() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 1));
    hsm.copy((0, 2), (1, 20));
    let one = hsm.blobs(1);
    fs::rename(hsm.file(0, 1), hsm.file(1, 1)).unwrap();
    assert_eq!(hsm.list(0), ["2"]);
    assert_eq!(hsm.blobs(1), one);
    // Under another handle than the one asked for.
    fs::rename(hsm.file(0, 2), hsm.file(1, 21)).unwrap();
    assert!(hsm.list(0).is_empty());
    assert_eq!(hsm.blobs(1), one);
}

/// An object is not a staging file, and `.slotfs` is not a place for either.
#[test]
fn to_places_that_are_none() {
    let hsm = two_slots(1);
    let before = hsm.blobs(0);
    fs::write(hsm.file(0, ".x"), &before["1"]).unwrap();
    for from in ["1", ".x"] {
        for to in [
            hsm.control(0, "login"),
            hsm.control(0, "9"),
            hsm.mount.point.join("9"),
            hsm.mount.point.join("stats"),
        ] {
            let error = errno(fs::rename(hsm.file(0, from), &to));
            assert_ne!(error, libc::EXDEV, "on which mv would copy");
        }
        assert_ne!(
            errno(fs::rename(hsm.file(0, from), hsm.store.path("out"))),
            0
        );
    }
    assert_eq!(hsm.list(0), [".x", "1"]);
    assert_eq!(hsm.blob(0, 1), before["1"]);
    fs::remove_file(hsm.file(0, ".x")).unwrap();
}

/// Out of the mount `mv` copies and removes: what comes out is the blob, and it can come back.
#[test]
fn out_of_the_mount_and_back() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    let out = hsm.store.path("out");
    assert_errno!(fs::rename(hsm.file(0, 1), &out), EXDEV);
    crate::fixture::sh(r#"mv "$F" "$O""#, &[("F", &hsm.file(0, 1)), ("O", &out)]).ok();
    assert!(hsm.list(0).is_empty());
    assert_eq!(fs::read(&out).unwrap(), blob);
    store_excl(&hsm.file(0, 1), &blob).unwrap();
}

/// A staging *folder*, which `rsync --delay-updates` collects its files in and
/// without which it discards all of them and ends with 0.
#[test]
fn a_staging_folder() {
    let hsm = two_slots(2);
    let folder = hsm.file(1, ".~tmp~");
    fs::create_dir(&folder).unwrap();
    assert_errno!(fs::create_dir(&folder), EEXIST);
    fs::write(folder.join("1"), hsm.blob(0, 1)).unwrap();
    fs::write(folder.join("2"), spoiled(&hsm.blob(0, 2))).unwrap();
    assert_eq!(crate::fixture::names(&folder), ["1", "2"]);
    assert_eq!(hsm.list(1), [".~tmp~"]);
    assert_eq!(fs::read(folder.join("1")).unwrap(), hsm.blob(0, 1));
    assert!(fs::remove_dir(&folder).is_err(), "it is not empty");
    fs::rename(folder.join("1"), hsm.file(1, 1)).unwrap();
    hsm.mount.announce_rejections();
    assert_errno!(fs::rename(folder.join("2"), hsm.file(1, 2)), EACCES);
    let _ = fs::remove_file(folder.join("2"));
    let _ = fs::remove_dir(&folder);
    assert_eq!(hsm.list(1), ["1"]);
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 1));
}

/// A bad blob by staging and rename says why in `clones` and in the log.
#[test]
fn a_refused_rename_is_told() {
    let hsm = two_slots(1);
    fs::write(hsm.file(1, ".x"), spoiled(&hsm.blob(0, 1))).unwrap();
    assert_errno!(fs::rename(hsm.file(1, ".x"), hsm.file(1, 5)), EACCES);
    hsm.mount.logged("was not cloned");
    let clones = hsm.clones(1);
    assert!(
        clones.contains("A blob written as 5 was not cloned to slot 1:"),
        "{clones}"
    );
    fs::remove_file(hsm.file(1, ".x")).unwrap();
}

/// The inode of a staging file is its object's from the first, in each of the folders where there are such files: a
/// name that the kernel remembers stays good.
#[test]
fn a_staging_file_has_the_inode_of_its_object() {
    let hsm = two_slots(3);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let ouid = hsm.control(0, "ouid");
    let identity = |handle: u32| {
        let blob = hsm.blob(0, handle);
        let names = fs::read_dir(&ouid).unwrap().map(|entry| entry.unwrap());
        names
            .filter(|entry| fs::read(entry.path()).unwrap() == blob)
            .map(|entry| entry.file_name())
            .next()
            .unwrap()
    };
    fs::create_dir(hsm.file(1, ".partial")).unwrap();
    let identities = hsm.control(1, "ouid");
    let third = identity(3);
    for (handle, from, to) in [
        (1, hsm.file(1, ".1.Ab12"), hsm.file(1, 1)),
        (2, hsm.file(1, ".partial/2"), hsm.file(1, 2)),
        (3, identities.join(".third"), identities.join(&third)),
    ] {
        fs::write(&from, hsm.blob(0, handle)).unwrap();
        let before = inode(&from);
        let open = fs::File::open(&from).unwrap();
        fs::rename(&from, &to).unwrap();
        assert_eq!(inode(&to), before, "{handle}");
        assert_eq!(open.metadata().unwrap().ino(), before, "{handle}");
        assert_eq!(fs::read(&to).unwrap(), hsm.blob(0, handle));
        assert_errno!(fs::metadata(&from), ENOENT);
    }
    // One that the slot has already: two objects never share an inode.
    let there = inode(&hsm.file(1, 1));
    fs::write(hsm.file(1, ".again"), hsm.blob(0, 1)).unwrap();
    assert_ne!(inode(&hsm.file(1, ".again")), there);
    fs::rename(hsm.file(1, ".again"), hsm.file(1, 1)).unwrap();
    assert_eq!(inode(&hsm.file(1, 1)), there);
    assert_eq!(hsm.list(1), [".partial", "1", "2", "3"]);
}
