//! A partition that was deleted or made anew is gone for good: open files, incoming blobs and staging files belong to it
//! and not to whatever is at its slot afterwards.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::fixture::{
    Hsm, Store, assert_errno, close, errno, flush, open_excl, open_plain, open_trunc, password,
    store_excl, three_slots, wait_for,
};

const INIT: &str = "partition init -slot 1 -label anew -domainkey red.pem";

/// How the partition at slot 1 ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    MadeAnew,
    Deleted,
    /// And no other is made.
    DeletedForGood,
}

fn log_in(hsm: &Hsm, slot: u32) {
    fs::write(hsm.control(slot, "login"), password(slot)).unwrap();
}

/// Ends the partition at slot 1, in another process, and makes a new one there.
fn end(hsm: &Hsm, how: End) {
    if how != End::MadeAnew {
        hsm.store
            .run("partition delete -slot 1 -force --password-file 1:po=pw-1")
            .ok();
    }
    if how == End::DeletedForGood {
        return;
    }
    hsm.store
        .run(&format!("{INIT} -force --password-file 1=pw-1"))
        .ok();
}

/// A read of all that there is, as `cat` does it.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a descriptor answers once its partition is gone: never a byte of it.
#[track_caller]
fn is_stale(file: &File, what: &str) {
    for (how, answer) in [
        ("read", read_all(file)),
        ("part", {
            let mut start = [0; 16];
            file.read_exact_at(&mut start, 0).map(|()| start.to_vec())
        }),
    ] {
        let stale = [libc::ESTALE, libc::EIO].contains(&errno(answer));
        assert!(stale, "{what}: {how}");
    }
}

/// Files of slot 1 opened for reading: an object, the same by identity, its attributes, a table, and a staging file.
fn open_all(hsm: &Hsm) -> Vec<(String, File)> {
    let identity = fs::read_dir(hsm.control(1, "ouid"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    [
        hsm.file(1, 1),
        hsm.file(1, ".staged"),
        identity.path(),
        hsm.control(1, "objects/1"),
        hsm.control(1, "contents"),
    ]
    .iter()
    .map(|path| {
        let name = path.display().to_string();
        let file = File::open(path).unwrap_or_else(|why| panic!("{name}: {why}"));
        (name, file)
    })
    .collect()
}

/// A10, and its siblings.
#[test]
fn nothing_that_was_open_shows_what_was_there() {
    for how in [End::MadeAnew, End::Deleted] {
        let hsm = three_slots(1);
        hsm.mount.announce("");
        hsm.copy((0, 1), (1, 1));
        let blob = hsm.blob(1, 1);
        store_excl(&hsm.file(1, ".staged"), &blob).unwrap();
        let read = open_all(&hsm);
        // Some in the page cache, some not.
        assert_eq!(read_all(&read[0].1).unwrap(), blob);
        assert_eq!(read_all(&read[1].1).unwrap(), blob);
        // Writes in progress: nothing, a part, all of it without a verdict; staged ones too.
        let half = open_excl(&hsm.file(1, 5)).unwrap();
        half.write_all_at(&blob[..100], 0).unwrap();
        let whole = open_plain(&hsm.file(1, 6)).unwrap();
        whole.write_all_at(&blob, 0).unwrap();
        let nothing = open_trunc(&hsm.file(1, 7)).unwrap();
        let over = open_trunc(&hsm.file(1, 1)).unwrap();
        over.write_all_at(&blob[..100], 0).unwrap();
        let staged = open_excl(&hsm.file(1, ".half")).unwrap();
        staged.write_all_at(&blob[..100], 0).unwrap();
        let removed = open_excl(&hsm.file(1, ".removed")).unwrap();
        removed.write_all_at(&blob, 0).unwrap();
        fs::remove_file(hsm.file(1, ".removed")).unwrap();
        // What is of another slot's partition is none of this.
        let other = File::open(hsm.file(0, 2)).unwrap();
        let other_write = open_excl(&hsm.file(2, 1)).unwrap();

        end(&hsm, how);
        for (name, file) in &read {
            is_stale(file, &format!("{how:?}, before the login: {name}"));
        }
        log_in(&hsm, 1);
        for (name, file) in &read {
            is_stale(file, &format!("{how:?}: {name}"));
        }
        for (name, file) in &read[..3] {
            assert_errno!(file.metadata(), ESTALE, "{name}");
        }
        // A copy within the mount, too.
        let target = open_excl(&hsm.file(0, 9)).unwrap();
        for (name, file) in &read[..2] {
            let copied = nix::fcntl::copy_file_range(file, None, &target, None, 1 << 16);
            assert_errno!(copied, ESTALE, "{name}");
        }
        let _ = close(target);
        assert_errno!(half.write_all_at(&blob[100..], 100), ESTALE);
        assert_errno!(over.write_all_at(&blob[100..], 100), ESTALE);
        assert_errno!(nothing.write_all_at(&blob, 0), ESTALE);
        assert_errno!(whole.set_len(blob.len() as u64), ESTALE);
        assert_errno!(flush(&whole), ESTALE);
        assert_errno!(whole.sync_all(), ESTALE);
        assert_errno!(staged.write_all_at(&blob[100..], 100), ESTALE);
        assert_errno!(staged.set_len(0), ESTALE);
        assert_errno!(removed.write_all_at(&blob, 0), ESTALE);
        for file in [half, over, nothing, whole, staged, removed] {
            assert_errno!(close(file), ESTALE);
        }
        // No name is left over, and nothing has landed.
        assert!(hsm.list(1).is_empty(), "{:?}", hsm.list(1));
        for name in [".staged", ".half", "1"] {
            assert_errno!(fs::metadata(hsm.file(1, name)), ENOENT);
            let renamed = fs::rename(hsm.file(1, name), hsm.file(1, 8));
            assert_errno!(renamed, ENOENT, "{name}");
        }
        let trash = fs::read_dir(hsm.control(1, "trash")).unwrap();
        assert_eq!(trash.count(), 0);
        // The new partition is as good as any, and the others are what they were.
        store_excl(&hsm.file(1, 1), &blob).unwrap();
        assert_eq!(hsm.blob(1, 1), blob);
        is_stale(&read[0].1, "with the same object there again");
        assert_eq!(read_all(&other).unwrap(), hsm.blob(0, 2));
        assert_errno!(other_write.write_all_at(&blob, 0), EACCES);
        drop(other_write);
    }
}

/// The same when nobody was logged in at the time: then the mount has nothing that it could notice.
#[test]
fn what_was_open_before_a_logout_is_gone_too() {
    let hsm = three_slots(1);
    hsm.mount.announce("");
    hsm.copy((0, 1), (1, 1));
    let blob = hsm.blob(1, 1);
    store_excl(&hsm.file(1, ".staged"), &blob).unwrap();
    let read = open_all(&hsm);
    assert_eq!(read_all(&read[0].1).unwrap(), blob);
    let write = open_excl(&hsm.file(1, 5)).unwrap();
    write.write_all_at(&blob[..100], 0).unwrap();
    fs::write(hsm.control(1, "logout"), "x").unwrap();
    // As ever after a logout and a login of the same partition.
    log_in(&hsm, 1);
    assert_eq!(read_all(&read[0].1).unwrap(), blob);
    fs::write(hsm.control(1, "logout"), "x").unwrap();
    end(&hsm, End::Deleted);
    log_in(&hsm, 1);
    // The kernel remembers attributes for a second at most.
    let stale = wait_for(|| read_all(&read[0].1).is_err().then_some(()));
    assert!(stale.is_some());
    for (name, file) in &read {
        is_stale(file, name);
    }
    assert_errno!(write.write_all_at(&blob[100..], 100), ESTALE);
    assert_errno!(close(write), ESTALE);
    assert!(hsm.list(1).is_empty());
}

/// The same when a writer is the first to ask anything of the mount since.
#[test]
fn a_writer_alone_hears_of_it() {
    for (how, cases) in [
        (
            End::MadeAnew,
            &[
                "whole", "half", "nothing", "again", "staged", "synced", "cut",
            ][..],
        ),
        (End::Deleted, &["whole", "half"]),
        (End::DeletedForGood, &["whole", "half", "staged"]),
    ] {
        for &case in cases {
            let hsm = three_slots(1);
            hsm.mount.announce("");
            hsm.copy((0, 1), (1, 1));
            let blob = hsm.blob(1, 1);
            let name = if case == "staged" { ".staged" } else { "5" };
            let file = open_excl(&hsm.file(1, name)).unwrap();
            let parts = if case == "again" { blob.len() } else { 100 };
            if case != "nothing" {
                file.write_all_at(&blob[..parts], 0).unwrap();
            }
            end(&hsm, how);
            if case == "whole" {
                assert_errno!(file.write_all_at(&blob[100..], 100), ESTALE, "{how:?}");
            }
            if case == "synced" {
                assert_errno!(file.sync_all(), ESTALE, "{how:?}");
            }
            if case == "cut" {
                let _ = file.set_len(blob.len() as u64);
            }
            if case == "again" {
                // It was stored, and went with its partition.
                let _ = file.write_all_at(&blob, 0);
                drop(file);
            } else {
                assert_errno!(close(file), ESTALE, "{how:?}: {case}");
            }
            if how != End::DeletedForGood {
                log_in(&hsm, 1);
                assert!(hsm.list(1).is_empty(), "{how:?}: {case}: {:?}", hsm.list(1));
            }
        }
    }
}

/// An object that is destroyed in a partition that stays is another matter: who has it open reads to its end.
#[test]
fn an_open_object_outlives_its_removal() {
    let store = Store::empty();
    store.slot(0, "red");
    store.data(0, 50_000);
    let hsm = store.mount(&[0]);
    hsm.mount.announce("");
    let blob = hsm.blob(0, 1);
    let path: &Path = &hsm.file(0, 1);
    let file = File::open(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::remove_file(hsm.control(0, "trash/1")).unwrap();
    assert_eq!(read_all(&file).unwrap(), blob);
}
