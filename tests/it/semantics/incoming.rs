//! Incoming blobs and their verdict.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};

use crate::fixture::{
    MAX_BLOB_BYTES, Open, assert_errno, close, errno, flipped, flush, open_excl, open_flags,
    open_plain, open_trunc, sh, spoiled, store_excl, three_slots, two_slots, wait_for,
};

/// "An existing object under that name is neither truncated nor touched."
#[test]
fn an_existing_object_is_not_truncated() {
    let hsm = two_slots(2);
    let blob = hsm.blob(0, 1);
    let file = open_trunc(&hsm.file(0, 1)).unwrap();
    assert_eq!(hsm.blob(0, 1), blob);
    assert_eq!(
        fs::metadata(hsm.file(0, 1)).unwrap().len(),
        blob.len() as u64
    );
    file.set_len(0).unwrap();
    assert_eq!(hsm.blob(0, 1), blob);
    file.write_all_at(&blob[..50], 0).unwrap();
    assert_eq!(hsm.blob(0, 1), blob, "the incoming blob is private");
    assert_eq!(
        fs::metadata(hsm.file(0, 1)).unwrap().len(),
        blob.len() as u64
    );
    hsm.mount.announce_rejections();
    let _ = close(file);
    assert_eq!(hsm.blob(0, 1), blob);
    assert_eq!(hsm.list(0), ["1", "2"]);
}

/// "an incoming blob, private to this open file": two writers of one name do not mix.
#[test]
fn incoming_blobs_are_private() {
    let hsm = two_slots(2);
    let (one, two) = (hsm.blob(0, 1), hsm.blob(0, 2));
    let first = open_trunc(&hsm.file(1, 5)).unwrap();
    let second = open_trunc(&hsm.file(1, 5)).unwrap();
    first.write_all_at(&one[..60], 0).unwrap();
    second.write_all_at(&two[..60], 0).unwrap();
    assert!(hsm.list(1).is_empty(), "nothing shows before its verdict");
    first.write_all_at(&one[60..], 60).unwrap();
    second.write_all_at(&two[60..], 60).unwrap();
    close(first).unwrap();
    close(second).unwrap();
    assert_eq!(hsm.blob(1, 5), one, "the first got its handle");
    assert_eq!(hsm.list(1), ["5", "6"]);
    assert_eq!(hsm.blob(1, 6), two, "the second the next free one");
}

/// "`O_TRUNC` and `ftruncate(0)` reset the incoming blob".
#[test]
fn ftruncate_to_zero_resets() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&blob[..70], 0).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(&blob, 0).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
}

/// "verified: the object is durable on disk before the request that brings the verdict is answered, and
/// shows under its handle"; for `O_EXCL` and `O_TRUNC` that is "the write or copy_file_range that completes
/// the blob".
#[test]
fn the_completing_write_brings_the_verdict() {
    let hsm = two_slots(2);
    for (handle, open) in [(1, open_excl as Open), (2, open_trunc)] {
        let blob = hsm.blob(0, handle);
        let file = open(&hsm.file(1, handle)).unwrap();
        let (all_but_one, last) = blob.split_at(blob.len() - 1);
        file.write_all_at(all_but_one, 0).unwrap();
        assert_errno!(fs::metadata(hsm.file(1, handle)), ENOENT);
        file.write_all_at(last, all_but_one.len() as u64).unwrap();
        // Before any flush.
        assert_eq!(hsm.blob(1, handle), blob);
        file.sync_all().unwrap();
        flush(&file).unwrap();
        close(file).unwrap();
        assert_eq!(hsm.blob(1, handle), blob);
    }
}

/// "the daemon knows which write completes it, in whatever order they come".
#[test]
fn pieces_in_any_order() {
    let hsm = three_slots(1);
    let blob = hsm.blob(0, 2);
    let mut pieces: Vec<_> = blob
        .chunks(1777)
        .enumerate()
        .map(|(i, piece)| (i as u64 * 1777, piece))
        .collect();
    pieces.reverse();
    let middle = pieces.len() / 2;
    pieces.swap(0, middle);
    let file = open_excl(&hsm.file(1, 9)).unwrap();
    for (offset, piece) in &pieces {
        assert!(hsm.list(1).is_empty());
        file.write_all_at(piece, *offset).unwrap();
    }
    assert_eq!(hsm.blob(1, 9), blob);
    close(file).unwrap();

    // The same, bad: only the last of them fails.
    hsm.mount.announce_rejections();
    let bad = spoiled(&blob);
    let file = open_excl(&hsm.file(1, 10)).unwrap();
    let (last, first) = pieces.split_last().unwrap();
    for (offset, piece) in first {
        let offset = *offset as usize;
        file.write_all_at(&bad[offset..offset + piece.len()], offset as u64)
            .unwrap();
    }
    let offset = last.0 as usize;
    assert_errno!(
        file.write_all_at(&bad[offset..offset + last.1.len()], last.0),
        EACCES
    );
    assert_errno!(close(file), EACCES);
    assert_eq!(hsm.list(1), ["9"]);
}

/// Pieces that overlap count once, and what was written last is what counts.
#[test]
fn overlapping_pieces() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&[0xaa; 60], 40).unwrap();
    file.write_all_at(&blob[30..100], 30).unwrap();
    file.write_all_at(&blob[50..], 50).unwrap();
    assert!(hsm.list(1).is_empty());
    file.write_all_at(&blob[..30], 0).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
    close(file).unwrap();
}

/// One byte at a time is slow, but no other matter.
#[test]
fn one_byte_at_a_time() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    let mut file = open_excl(&hsm.file(1, 1)).unwrap();
    for byte in &blob {
        file.write_all(std::slice::from_ref(byte)).unwrap();
    }
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
}

/// "Not verified: the error of section 3, the blob discarded, its name gone at once."
#[test]
fn a_rejected_name_is_gone_at_once() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let bad = spoiled(&hsm.blob(0, 1));
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    assert_errno!(file.write_all_at(&bad, 0), EACCES);
    // The file is still open.
    assert!(hsm.list(1).is_empty());
    assert_errno!(fs::metadata(hsm.file(1, 1)), ENOENT);
    // Another writer has the name to itself.
    let good = hsm.blob(0, 1);
    store_excl(&hsm.file(1, 1), &good).unwrap();
    assert_errno!(close(file), EACCES);
    assert_eq!(hsm.blob(1, 1), good);
}

/// "A rejection is sticky: every later write, fsync and close of that open file repeats it, for tools that
/// retry another way".
#[test]
fn a_rejection_is_sticky() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let good = hsm.blob(0, 1);
    let bad = spoiled(&good);
    for open in [open_excl as Open, open_trunc] {
        let file = open(&hsm.file(1, 1)).unwrap();
        assert_errno!(file.write_all_at(&bad, 0), EACCES);
        assert_errno!(file.write_all_at(&bad, 0), EACCES, "the same again");
        assert_errno!(file.write_all_at(&good, 0), EACCES, "a good one");
        assert_errno!(file.write_all_at(b"x", bad.len() as u64), EACCES);
        assert_errno!(file.sync_all(), EACCES);
        assert_errno!(file.sync_data(), EACCES);
        assert_errno!(flush(&file), EACCES);
        assert_errno!(flush(&file), EACCES);
        assert_errno!(close(file), EACCES);
    }
    assert!(hsm.list(1).is_empty());
}

/// "bytes beyond the length the blob states | EACCES. With the completing write: nothing is stored."
#[test]
fn bytes_beyond_the_end_with_the_completing_write() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let mut long = hsm.blob(0, 1);
    let size = long.len() as u64;
    long.push(0);
    assert_errno!(store_excl(&hsm.file(1, 1), &long), EACCES);
    assert!(hsm.list(1).is_empty());
    // Beyond the end first, the rest afterwards.
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    let early = file.write_all_at(b"x", size);
    let rest = file.write_all_at(&long[..long.len() - 1], 0);
    assert_errno!(early.and(rest), EACCES);
    assert_errno!(close(file), EACCES);
    assert!(hsm.list(1).is_empty());
}

/// "After a good verdict: what is stored stays."
#[test]
fn bytes_beyond_the_end_after_a_good_verdict() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&blob, 0).unwrap();
    assert_errno!(file.write_all_at(b"more", blob.len() as u64), EACCES);
    let _ = close(file);
    assert_eq!(hsm.blob(1, 1), blob);
}

/// "fallocate | accepted, without effect".
#[test]
fn fallocate_has_no_effect() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, 4096).unwrap();
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 1 << 20).unwrap();
    file.write_all_at(&blob, 0).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
    let file = open_flags(&hsm.file(1, 1), 0).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, 10_000).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), blob, "an object cannot be extended");
    assert_eq!(
        fs::metadata(hsm.file(1, 1)).unwrap().len(),
        blob.len() as u64
    );
}

/// "FLUSH with nothing written, or of a read-only descriptor | success, no verdict".
#[test]
fn a_flush_with_nothing_written() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    let file = open_trunc(&hsm.file(1, 1)).unwrap();
    flush(&file).unwrap();
    flush(&file).unwrap();
    file.write_all_at(&blob, 0).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
    // Success, but the log says that a name was opened and nothing handed in.
    hsm.mount.announce_rejections();
    close(open_trunc(&hsm.file(1, 2)).unwrap()).unwrap();
    close(open_plain(&hsm.file(1, 3)).unwrap()).unwrap();
    close(fs::File::open(hsm.file(1, 1)).unwrap()).unwrap();
    assert_eq!(hsm.list(1), ["1"], "nothing came of nothing");
}

/// An empty file by `O_EXCL` (cp, install, tar) is refused at close, so that none
/// of them reports success for it; "not sticky", so that shells may close a duplicate first.
#[test]
fn an_empty_file() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    assert_errno!(store_excl(&hsm.file(1, 1), b""), EACCES);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    assert_errno!(flush(&file), EACCES);
    file.write_all_at(&hsm.blob(0, 1), 0).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 1));
    let empty = hsm.store.path("2");
    fs::write(&empty, b"").unwrap();
    // busybox and python open by O_TRUNC alone, as `>` does: they cannot be told. The log is.
    for (tool, can_be_told) in [("cp", true), ("install", true), ("busybox cp", false)] {
        let before = hsm.mount.log().len();
        let out = sh(
            &format!(r#"{tool} "$F" "$D"/"#),
            &[("F", &empty), ("D", &hsm.slot(1))],
        );
        assert!(out.code != 0 || !can_be_told, "{tool}: {out:?}");
        let told = wait_for(|| (hsm.mount.log().len() > before).then_some(()));
        assert!(told.is_some(), "{tool}");
        assert_eq!(hsm.list(1), ["1"]);
    }
}

/// "fsync of bytes that cannot become a blob, or of a complete blob | the verdict", opened without O_TRUNC too.
#[test]
fn a_sync_gives_the_verdict_on_a_bad_blob() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let good = hsm.blob(0, 1);
    let too_long = [good.as_slice(), b"x"].concat();
    for bad in [spoiled(&good), too_long, b"no blob at all".to_vec()] {
        let file = open_plain(&hsm.file(1, 1)).unwrap();
        file.write_all_at(&bad, 0).unwrap();
        assert_errno!(file.sync_all(), EACCES);
        assert_errno!(file.sync_data(), EACCES);
        assert_errno!(close(file), EACCES);
        assert!(hsm.list(1).is_empty());
    }
    let file = open_plain(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&good[..100], 0).unwrap();
    file.sync_all().unwrap();
    file.write_all_at(&good[100..], 100).unwrap();
    file.sync_all().unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), good);
}

/// "FLUSH or last close of an incomplete blob | a blob cut short: EACCES at FLUSH; it may still be completed
/// while the file stays open".
#[test]
fn an_incomplete_blob_may_be_completed() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    for open in [open_excl as Open, open_trunc] {
        let file = open(&hsm.file(1, 1)).unwrap();
        file.write_all_at(&blob[..100], 0).unwrap();
        assert_errno!(flush(&file), EACCES);
        assert!(hsm.list(1).is_empty());
        file.write_all_at(&blob[100..], 100).unwrap();
        flush(&file).unwrap();
        close(file).unwrap();
        assert_eq!(hsm.blob(1, 1), blob);
        fs::remove_file(hsm.file(1, 1)).unwrap();
    }
}

/// "and is gone at the last close".
#[test]
fn an_incomplete_blob_is_gone_at_the_last_close() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    for cut in [
        1,
        6,
        7,
        15,
        16,
        17,
        80,
        111,
        112,
        blob.len() - 16,
        blob.len() - 1,
    ] {
        let file = open_excl(&hsm.file(1, 1)).unwrap();
        file.write_all_at(&blob[..cut], 0).unwrap();
        assert_errno!(close(file), EACCES, "cut to {cut}");
        assert!(hsm.list(1).is_empty(), "cut to {cut}");
        assert_errno!(fs::metadata(hsm.file(1, 1)), ENOENT, "cut to {cut}");
    }
    store_excl(&hsm.file(1, 1), &blob).unwrap();
}

/// "handle name, neither | rsync --inplace, cpio | ftruncate to the length written; else FLUSH".
#[test]
fn without_excl_and_trunc_ftruncate_brings_the_verdict() {
    let hsm = two_slots(1);
    let good = hsm.blob(0, 1);
    let size = good.len() as u64;
    let file = open_plain(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&good, 0).unwrap();
    file.set_len(size).unwrap();
    assert_eq!(hsm.blob(1, 1), good, "before the close");
    close(file).unwrap();
    fs::remove_file(hsm.file(1, 1)).unwrap();

    hsm.mount.announce_rejections();
    let file = open_plain(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&spoiled(&good), 0).unwrap();
    assert_errno!(file.set_len(size), EACCES);
    assert!(hsm.list(1).is_empty());
    let _ = close(file);
    assert!(hsm.list(1).is_empty());
}

/// "else FLUSH".
#[test]
fn without_excl_and_trunc_flush_brings_the_verdict() {
    let hsm = two_slots(1);
    let good = hsm.blob(0, 1);
    let file = open_plain(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&good, 0).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), good);
    fs::remove_file(hsm.file(1, 1)).unwrap();

    hsm.mount.announce_rejections();
    let file = open_plain(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&spoiled(&good), 0).unwrap();
    assert_errno!(flush(&file), EACCES);
    assert_errno!(close(file), EACCES);
    assert!(hsm.list(1).is_empty());
}

/// "staging name | rsync, and whatever else writes beside and renames | rename, and nowhere else".
#[test]
fn a_staging_name_gets_its_verdict_at_rename() {
    let hsm = two_slots(1);
    let good = hsm.blob(0, 1);
    let staging = hsm.file(1, ".1.tmp");
    let file = open_excl(&staging).unwrap();
    file.write_all_at(&good, 0).unwrap();
    file.sync_all().unwrap();
    close(file).unwrap();
    assert_eq!(hsm.list(1), [".1.tmp"]);
    fs::rename(&staging, hsm.file(1, 1)).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
    assert_eq!(hsm.blob(1, 1), good);

    hsm.mount.announce_rejections();
    for bad in [
        spoiled(&good),
        good[..100].to_vec(),
        [&good[..], b"x"].concat(),
        b"foreign".to_vec(),
        Vec::new(),
        vec![7; MAX_BLOB_BYTES + 1],
    ] {
        let file = open_excl(&staging).unwrap();
        file.write_all_at(&bad, 0).unwrap();
        file.sync_all().unwrap();
        close(file).unwrap();
        let error = errno(fs::rename(&staging, hsm.file(1, 2)));
        let expected = if bad.len() > MAX_BLOB_BYTES {
            vec![libc::EACCES, libc::EFBIG]
        } else {
            vec![libc::EACCES]
        };
        assert!(expected.contains(&error), "{} bytes: {error}", bad.len());
        // "A failing rename leaves the staging file for its owner to unlink".
        assert_eq!(hsm.list(1), [".1.tmp", "1"]);
        fs::remove_file(&staging).unwrap();
    }
    assert_eq!(hsm.list(1), ["1"]);
}

/// "past the largest possible blob: EFBIG".
#[test]
fn larger_than_any_blob() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let end = MAX_BLOB_BYTES as u64;
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    assert_errno!(file.write_all_at(b"x", end), EFBIG);
    let _ = close(file);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    assert_errno!(file.set_len(1 << 30), EFBIG);
    let _ = close(file);
    let file = open_excl(&hsm.file(1, 1)).unwrap();
    assert_errno!(file.write_all_at(b"x", 1 << 40), EFBIG);
    let _ = close(file);
    assert!(hsm.list(1).is_empty());
}

/// A 1 GiB file, sparse, by each of the tools: "a clear errno, a log line, and nothing else".
#[test]
fn a_gibibyte() {
    let hsm = two_slots(1);
    hsm.mount.announce("");
    let huge = hsm.store.path("1");
    fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    for tool in [
        r#"cp "$F" "$D"/"#,
        r#"cp --sparse=always "$F" "$D"/"#,
        r#"cp --sparse=never "$F" "$D"/"#,
        r#"cat "$F" > "$D"/1"#,
        r#"dd if="$F" of="$D"/1 bs=1M status=none"#,
        r#"install "$F" "$D"/"#,
        r#"busybox cp "$F" "$D"/"#,
        r#"rsync --inplace "$F" "$D"/"#,
        r#"rsync "$F" "$D"/"#,
    ] {
        let out = sh(tool, &[("F", &huge), ("D", &hsm.slot(1))]);
        assert_ne!(out.code, 0, "{tool}: {out:?}");
        let says =
            out.stderr.contains("File too large") || out.stderr.contains("Permission denied");
        assert!(says, "{tool}: {out:?}");
        assert!(hsm.list(1).is_empty(), "{tool} left {:?}", hsm.list(1));
        assert!(!hsm.mount.log().is_empty());
    }
}

/// Foreign content of any shape is EACCES, whatever way it comes in.
#[test]
fn foreign_files() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let mut magic_only = blob[..16].to_vec();
    magic_only.extend_from_slice(&vec![0; blob.len() - 16]);
    for (name, bytes) in [
        ("text", b"hello".to_vec()),
        ("long text", b"-----BEGIN PRIVATE KEY-----\n".repeat(100)),
        ("zeros", vec![0; blob.len()]),
        ("a header and zeros", magic_only),
        ("one byte", b"S".to_vec()),
        ("two blobs", [&blob[..], &blob[..]].concat()),
        ("a blob after a byte", [b"\0", &blob[..]].concat()),
        ("60 kB", vec![0xff; 60_000]),
    ] {
        assert_errno!(store_excl(&hsm.file(1, 1), &bytes), EACCES, "{name}");
        assert!(hsm.list(1).is_empty(), "{name}");
    }
    hsm.mount.logged("was not cloned");
}

/// "no bit can be changed": one bit flipped, at a sample of positions that meets every field.
#[test]
fn one_bit_flipped_anywhere() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let fields = (0..16).chain([16, 47, 48, 79, 80, 111, 112, 113]);
    let spread = (114..blob.len()).step_by(13);
    let tag = blob.len() - 16..blob.len();
    for byte in fields.chain(spread).chain(tag) {
        for bit in [0, 7] {
            let bad = flipped(&blob, byte * 8 + bit);
            let file = open_excl(&hsm.file(1, 1)).unwrap();
            let written = file.write_all_at(&bad, 0);
            let closed = close(file);
            assert_errno!(written.and(closed), EACCES, "bit {bit} of byte {byte}");
            assert!(hsm.list(1).is_empty(), "bit {bit} of byte {byte}");
        }
    }
    store_excl(&hsm.file(1, 1), &blob).unwrap();
}

/// A blob of a domain that the slot does not have: "EACCES [...] For that object alone."
#[test]
fn another_domain() {
    let hsm = three_slots(2);
    hsm.mount.announce_rejections();
    for handle in 1..=3 {
        assert_errno!(
            store_excl(&hsm.file(2, handle), &hsm.blob(0, handle)),
            EACCES
        );
    }
    assert!(hsm.list(2).is_empty());
    hsm.mount.logged("was not cloned");
}

/// copy_file_range within the mount clones, and names the source in `clones`.
#[test]
fn copy_file_range_clones() {
    let hsm = three_slots(1);
    let source = fs::File::open(hsm.file(0, 2)).unwrap();
    let size = hsm.blob(0, 2).len();
    let target = open_excl(&hsm.file(1, 8)).unwrap();
    let mut done = 0;
    while done < size {
        let n = copy_file_range(&source, None, &target, None, size - done).unwrap();
        assert_ne!(n, 0);
        done += n;
    }
    assert_eq!(hsm.blob(1, 8), hsm.blob(0, 2), "before the close");
    close(target).unwrap();
    assert!(
        hsm.clones(1)
            .contains("Handle 2 on slot 0 is now handle 8 on slot 1"),
        "{}",
        hsm.clones(1)
    );
}

/// "`copy_file_range` answered EPERM, EINVAL, EXDEV, EOPNOTSUPP or ENOSYS makes coreutils retry silently by
/// read and write: never use these for a refusal."
#[test]
fn copy_file_range_refuses_with_eacces() {
    let hsm = three_slots(1);
    hsm.mount.announce_rejections();
    let source = fs::File::open(hsm.file(0, 1)).unwrap();
    let target = open_excl(&hsm.file(2, 1)).unwrap();
    let copied = copy_file_range(&source, None, &target, None, 1 << 20);
    assert_errno!(copied, EACCES);
    // cp would print a second line for each: the close right after it, by the same process, is spared.
    close(target).unwrap();
    assert!(hsm.list(2).is_empty());
    assert!(
        hsm.clones(2)
            .contains("Handle 1 on slot 0 was not cloned to slot 2"),
        "{}",
        hsm.clones(2)
    );
}

/// To the kernel a file that another opened by `O_TRUNC` is empty, and it copies nothing of an empty file: a
/// reader who had it open before must not be given that for its end.
#[test]
fn copy_file_range_of_an_object_that_another_opened_by_o_trunc() {
    let hsm = two_slots(1);
    let source = fs::File::open(hsm.file(0, 1)).unwrap();
    let other = open_trunc(&hsm.file(0, 1)).unwrap();
    let target = open_excl(&hsm.file(1, 1)).unwrap();
    let copied = copy_file_range(&source, None, &target, None, 1 << 20).unwrap();
    // Whatever it copied: nothing is no success.
    let closed = close(target);
    assert!(copied > 0 || closed.is_err(), "an empty copy succeeded");
    hsm.mount.announce_rejections();
    drop(other);
    // As the tools do it: they ask for the size first.
    let other = open_trunc(&hsm.file(0, 1)).unwrap();
    sh(
        r#"cp "$S"/1 "$D"/9 2> /dev/null || true; rm -f "$D"/*; cp "$S"/1 "$D"/9"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    )
    .ok();
    assert_eq!(hsm.blob(1, 9), hsm.blob(0, 1));
    drop(other);
}

/// truncate by path: EPERM (docs/mount.md, "What each request does").
#[test]
fn truncate_by_path() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    for size in [0, 10, 1 << 20] {
        assert_errno!(nix::unistd::truncate(&hsm.file(0, 1), size), EPERM);
    }
    assert_eq!(hsm.blob(0, 1), blob);
}

/// "Truncating" through an open file extends nothing and cuts nothing that is stored.
#[test]
fn ftruncate_of_an_object() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    for size in [0, 10, 1000] {
        let file = open_flags(&hsm.file(0, 1), 0).unwrap();
        let _ = file.set_len(size);
        let _ = close(file);
        assert_eq!(hsm.blob(0, 1), blob, "ftruncate to {size}");
        assert_eq!(
            fs::metadata(hsm.file(0, 1)).unwrap().len(),
            blob.len() as u64
        );
    }
}

/// "too many open incoming blobs or staging files: ENOSPC at create".
#[test]
fn incoming_blobs_are_bounded() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    hsm.mount.announce("too many unfinished files");
    let mut open = Vec::new();
    let refused = (1..900).find_map(|i| match open_trunc(&hsm.file(1, i)) {
        Ok(file) => {
            open.push(file);
            None
        }
        Err(e) => Some(e),
    });
    if let Some(refused) = refused {
        assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC), "{refused}");
    }
    drop(open);
    store_excl(&hsm.file(1, 1), &hsm.blob(0, 1)).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
}
