//! Another size for an object, which none gets: "a non-zero ftruncate with nothing written (tools set the size first)
//! is success, then EPERM at FLUSH and fsync"; and where the verdict comes after ftruncate(0).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FallocateFlags, fallocate};

use crate::fixture::{
    Hsm, assert_errno, close, flush, open_excl, open_flags, open_plain, open_trunc, sh, spoiled,
    store_excl, two_slots,
};

/// What the slots hold has not changed.
#[track_caller]
fn unchanged(hsm: &Hsm, blobs: &[Vec<u8>], what: &str) {
    for (handle, blob) in (1..).zip(blobs) {
        assert!(hsm.blob(0, handle) == *blob, "{what}: handle {handle}");
    }
    assert_eq!(hsm.list(0).len(), blobs.len(), "{what}");
    assert!(hsm.list(1).is_empty(), "{what}");
}

/// By real tools, to a handle that an object has and to one that none has.
#[test]
fn tools_that_set_a_size_are_told_that_none_was_set() {
    let hsm = two_slots(3);
    hsm.mount.announce("");
    let blobs: Vec<_> = (1..=3).map(|handle| hsm.blob(0, handle)).collect();
    for (tool, told) in [
        ("truncate -s 10 $F", true),
        ("truncate -s 0 $F", true),
        ("truncate -s 1000 $F", true),
        ("truncate -s +1 $F", true),
        ("busybox truncate -s 10 $F", true),
        (
            "python3 -c 'import os, sys; os.truncate(sys.argv[1], 10)' $F",
            true,
        ),
        (
            "python3 -c 'import os, sys; os.truncate(sys.argv[1], 0)' $F",
            true,
        ),
        (
            "python3 -c 'import sys; f = open(sys.argv[1], \"r+b\"); f.truncate(10); f.close()' $F",
            true,
        ),
        (
            "python3 -c 'import sys; f = open(sys.argv[1], \"r+b\"); f.truncate(0); f.close()' $F",
            true,
        ),
        ("dd if=/dev/null of=$F bs=1 seek=10 status=none", true),
        (
            "dd if=/dev/zero of=$F bs=1 count=1 seek=10 conv=notrunc status=none",
            true,
        ),
        ("echo x >> $F", true),
        ("fallocate -p -o 0 -l 4096 $F", true),
        ("fallocate -z -o 0 -l 4096 $F", true),
        // As always by a shell: it opens, and closes a duplicate before anything is written.
        (": > $F", false),
        ("cat /dev/null > $F", false),
    ] {
        let path = hsm.file(0, 1);
        let out = sh(tool, &[("F", &path)]);
        assert_eq!(out.code != 0, told, "{tool}: {out:?}");
        unchanged(&hsm, &blobs, tool);
        // To its own size: nothing is to be done.
        let own = format!("truncate -s {} $F", blobs[0].len());
        sh(&own, &[("F", &path)]).ok();
    }
    for tool in ["truncate -s 10 $F", "truncate -s 0 $F"] {
        let out = sh(tool, &[("F", &hsm.file(1, 7))]).code_is_not(0);
        assert!(out.stderr.contains("not permitted"), "{tool}: {out:?}");
    }
    unchanged(&hsm, &blobs, "a handle that is free");
}

/// Each request by itself.
#[test]
fn a_size_and_nothing_written() {
    let hsm = two_slots(1);
    hsm.mount.announce("");
    let blobs = [hsm.blob(0, 1)];
    let size = blobs[0].len() as u64;
    let path = hsm.file(0, 1);
    for open in [open_plain, open_trunc] {
        for asked in [1, 10, size - 1, size + 1, 60_000] {
            let file = open(&path).unwrap();
            file.set_len(asked).unwrap();
            assert_errno!(file.sync_all(), EPERM, "fsync after {asked}");
            assert_errno!(file.sync_data(), EPERM, "fdatasync after {asked}");
            assert_errno!(flush(&file), EPERM, "{asked}");
            assert_errno!(close(file), EPERM, "{asked}");
        }
        // What tells of no other size is no error, and none remains.
        let file = open(&path).unwrap();
        file.set_len(10).unwrap();
        file.set_len(size).unwrap();
        file.sync_all().unwrap();
        close(file).unwrap();
    }
    let before = hsm.clones(0);
    let file = open_flags(&path, libc::O_APPEND).unwrap();
    file.set_len(size).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.clones(0), before, "that is no verdict");
    // By path, too.
    nix::unistd::truncate(&path, size as i64).unwrap();
    assert_errno!(nix::unistd::truncate(&path, 10), EPERM);
    // The identity of the object is no other thing.
    let name = fs::read_dir(hsm.control(0, "ouid")).unwrap().next();
    let identity = name.unwrap().unwrap().path();
    let file = open_plain(&identity).unwrap();
    file.set_len(size).unwrap();
    close(file).unwrap();
    let file = open_plain(&identity).unwrap();
    file.set_len(10).unwrap();
    assert_errno!(close(file), EPERM);
    // By O_EXCL, it is an object that did not come.
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    file.set_len(10).unwrap();
    assert_errno!(close(file), EACCES);
    unchanged(&hsm, &blobs, "all of them");

    // A size that is set first is no harm to what is written then, nor after a part of it.
    for open in [open_plain, open_trunc, open_excl] {
        let file = open(&hsm.file(1, 1)).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(&blobs[0][..100], 0).unwrap();
        file.set_len(50).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(&blobs[0][50..], 50).unwrap();
        close(file).unwrap();
        assert_eq!(hsm.blob(1, 1), blobs[0]);
        fs::remove_file(hsm.file(1, 1)).unwrap();
    }
    // Cut, or lengthened, after a part: cut short.
    for asked in [20, size, 60_000] {
        let file = open_plain(&hsm.file(1, 1)).unwrap();
        file.write_all_at(&blobs[0][..100], 0).unwrap();
        let _ = file.set_len(asked);
        assert_errno!(close(file), EACCES, "{asked}");
    }
    unchanged(&hsm, &blobs, "cut short");
}

/// A6: a tool that opens without O_TRUNC, calls ftruncate(0), writes, and ignores what the last ftruncate and the close
/// say, as one dd does.
#[test]
fn after_ftruncate_to_nothing_the_write_brings_the_verdict() {
    const DD: &str = r#"
import os, sys
data = open(sys.argv[1], "rb").read()
fd = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
os.ftruncate(fd, 0)
for at in range(0, len(data), 100):
    os.write(fd, data[at:at + 100])
try:
    os.ftruncate(fd, len(data))
    os.close(fd)
except OSError:
    pass
"#;
    let hsm = two_slots(2);
    hsm.mount.announce_rejections();
    let good = hsm.store.path("good");
    let bad = hsm.store.path("bad");
    fs::write(&good, hsm.blob(0, 1)).unwrap();
    fs::write(&bad, spoiled(&hsm.blob(0, 1))).unwrap();
    let dd = |from, to: &_| {
        let script = r#"python3 -c "$DD" "$F" "$T""#;
        sh(script, &[("DD", DD.as_ref()), ("F", from), ("T", to)])
    };
    store_excl(&hsm.file(1, 2), &hsm.blob(0, 2)).unwrap();
    for handle in [1, 2] {
        let out = dd(&bad, &hsm.file(1, handle)).code_is_not(0);
        assert!(out.stderr.contains("Permission denied"), "{out:?}");
        assert_eq!(hsm.list(1), ["2"]);
    }
    dd(&good, &hsm.file(1, 1)).ok();
    assert_eq!(hsm.blobs(1), hsm.blobs(0));

    // After a good verdict, and after a part.
    let file = open_plain(&hsm.file(1, 5)).unwrap();
    file.write_all_at(&hsm.blob(0, 1), 0).unwrap();
    file.set_len(0).unwrap();
    let bad = spoiled(&hsm.blob(0, 1));
    assert_errno!(file.write_all_at(&bad, 0), EACCES);
    assert_errno!(close(file), EACCES);
    assert_eq!(hsm.blobs(1), hsm.blobs(0));
}

/// "rsync --inplace must still go on to the next file": with what is unchanged, empty, a part of what is there, or bad.
#[test]
fn rsync_in_place_goes_on() {
    let hsm = two_slots(4);
    hsm.mount.announce("");
    let blobs = hsm.blobs(0);
    // The source: 1 as it is, 2 cut to what a delta finds at its place, 3 empty, 4 bad, 5 new and good.
    let large = hsm.store.data(0, 50_000);
    assert_eq!(large, 5);
    let big = hsm.blob(0, 5);
    for options in [
        "",
        "--fsync",
        "-S",
        "--preallocate",
        "-c",
        "--append-verify",
    ] {
        let from = hsm.store.path("from");
        let _ = fs::remove_dir_all(&from);
        fs::create_dir(&from).unwrap();
        for handle in 1..=3 {
            hsm.copy((0, handle), (1, handle));
        }
        hsm.copy((0, 5), (1, 4));
        let before = hsm.blobs(1);
        fs::write(from.join("1"), &blobs["1"]).unwrap();
        fs::write(from.join("2"), b"").unwrap();
        fs::write(from.join("3"), spoiled(&blobs["3"])).unwrap();
        fs::write(from.join("4"), &big[..30_000]).unwrap();
        fs::write(from.join("5"), &blobs["4"]).unwrap();
        let script = format!(r#"rsync -a --inplace --no-whole-file -I {options} "$F"/ "$D"/"#);
        let out = sh(&script, &[("F", &from), ("D", &hsm.slot(1))]);
        // With -S it cuts each file twice, and takes an error of the first time for the end of its run; with
        // --append-verify it skips what is no longer than the target.
        if options != "-S" {
            let code = if options == "--append-verify" { 0 } else { 23 };
            assert_eq!(out.code, code, "{options}: {out:?}");
            assert_eq!(hsm.blob(1, 5), blobs["4"], "{options}: {out:?}");
        }
        for (name, blob) in &before {
            let there = fs::read(hsm.file(1, name)).unwrap();
            assert!(there == *blob, "{options}: {name}");
        }
        // What is the same alone: nothing fails, nothing changes, no verdict.
        let clones = hsm.clones(1);
        let script = format!(r#"rsync -a --inplace --no-whole-file -I {options} "$F"/1 "$D"/"#);
        sh(&script, &[("F", &from), ("D", &hsm.slot(1))]).ok();
        assert_eq!(hsm.clones(1), clones, "{options}");
        for name in hsm.list(1) {
            fs::remove_file(hsm.file(1, name)).unwrap();
        }
    }
}

/// Holes are not made: what would need zeros in the place of bytes is refused, so that the tool writes them.
#[test]
fn no_hole_is_punched_into_what_was_written() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    for name in [".staged", "1"] {
        let file = open_excl(&hsm.file(1, name)).unwrap();
        file.write_all_at(&blob[..200], 0).unwrap();
        for flags in [punch, FallocateFlags::FALLOC_FL_ZERO_RANGE] {
            assert_errno!(fallocate(&file, flags, 0, 100), EOPNOTSUPP, "{name}");
        }
        fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 1 << 20).unwrap();
        file.write_all_at(&blob[200..], 200).unwrap();
        close(file).unwrap();
        let read = fs::read(hsm.file(1, name)).unwrap();
        assert!(read == blob, "{name}");
    }
    let file = File::options().write(true).open(hsm.file(1, 1)).unwrap();
    assert_errno!(fallocate(&file, punch, 0, 100), EOPNOTSUPP);
    close(file).unwrap();
}
