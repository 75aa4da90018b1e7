//! What may lie where a store should: other files, parts of a store, stores with bits changed.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Numbers, door, doors, mount_and_read, remove, tampered, victim};
use crate::fixture::{names, sh};

/// Nothing that is not a store is opened, followed, waited for or written.
#[test]
fn what_is_no_store_is_refused_by_name() {
    let (store, blobs) = victim(1);
    let mut numbers = Numbers(1);
    let noise: Vec<u8> = (0..100_000).map(|_| numbers.below(256) as u8).collect();
    let whole = fs::read(store.path("store.db")).unwrap();
    fs::write(store.path("noise.db"), &noise).unwrap();
    // SQLite's own first page, and noise after it.
    fs::write(
        store.path("head.db"),
        [&whole[..100], &noise[100..]].concat(),
    )
    .unwrap();
    fs::write(store.path("empty.db"), "").unwrap();
    fs::create_dir(store.path("folder.db")).unwrap();
    sh("mkfifo \"$D/pipe.db\"", &[("D", &store.path(""))]).ok();
    symlink("store.db", store.path("link.db")).unwrap();
    symlink("nowhere", store.path("dangling.db")).unwrap();
    symlink("loop.db", store.path("loop.db")).unwrap();
    symlink("/dev/zero", store.path("zero.db")).unwrap();
    tampered(&store, "foreign.db", "PRAGMA application_id = 1");
    // Beside a store that is whole.
    for companion in ["-wal", "-shm", "-journal"] {
        let name = format!("beside{companion}.db");
        fs::copy(store.path("store.db"), store.path(&name)).unwrap();
        let companion = store.path(format!("{name}{companion}"));
        sh("mkfifo \"$F\"", &[("F", &companion)]).ok();
    }
    let before = names(&store.path(""));
    for (name, words) in [
        ("noise.db", "not a slotfs store"),
        ("head.db", "head.db"),
        ("empty.db", "it is not a slotfs store, or it was emptied"),
        ("folder.db", "it is a folder"),
        ("pipe.db", "it is no regular file"),
        ("link.db", "it is a symbolic link, and none is followed"),
        ("dangling.db", "it is a symbolic link"),
        ("loop.db", "it is a symbolic link"),
        ("zero.db", "it is a symbolic link"),
        ("foreign.db", "not a slotfs store"),
        ("beside-wal.db", "beside-wal.db-wal is no regular file"),
        ("beside-shm.db", "beside-shm.db-shm is no regular file"),
        (
            "beside-journal.db",
            "beside-journal.db-journal is no regular file",
        ),
    ] {
        for line in [
            "slot list",
            "partition contents -slot 0 --password-file 0=pw-0",
            "store check --password-file 0=pw-0",
            "store backup out.db",
        ] {
            let out = door(&store, name, line).fails(4);
            assert!(out.stderr.contains(words), "{name}: {line}: {out:?}");
        }
        let read = mount_and_read(&store, name, &blobs);
        let refused = read.refused.unwrap_or_else(|| panic!("{name}: mounted"));
        assert!(refused.text().contains(words), "{name}: {refused:?}");
        let _ = fs::remove_file(store.path(format!("{name}.log")));
        if name != "empty.db" {
            let line = "partition init -slot 7 -label l -domainkey red.pem --password-file 7=pw-0";
            let out = door(&store, name, line).fails(4);
            assert!(out.stderr.contains(words), "{name}: {line}: {out:?}");
        }
        assert_eq!(names(&store.path("")), before, "{name}: something was made");
    }
    assert!(fs::read(store.path("store.db")).unwrap() == whole);
    assert!(fs::read(store.path("noise.db")).unwrap() == noise);
}

/// Cut short anywhere: damage or no store, never a crash, and what can be read is right.
#[test]
fn a_store_cut_short_gives_no_wrong_blob() {
    let (store, blobs) = victim(10);
    let whole = fs::read(store.path("store.db")).unwrap();
    let mut numbers = Numbers(2);
    let mut lengths: Vec<usize> = (1..whole.len() / 4096).map(|pages| pages * 4096).collect();
    lengths.extend((0..6).map(|_| numbers.below(whole.len())));
    lengths.extend([1, 99, 100, 512, whole.len() - 1]);
    for length in lengths {
        fs::write(store.path("copy.db"), &whole[..length]).unwrap();
        let outs = doors(&store, "copy.db");
        assert_ne!(
            outs[2].code,
            0,
            "{length} of {} bytes: {:?}",
            whole.len(),
            outs[2]
        );
        mount_and_read(&store, "copy.db", &blobs);
        remove(&store, "copy.db");
    }
}

/// Bits changed at random: what is read is right, or is not read. The number of bits that a check without passwords
/// calls damage is no matter: most lie in ciphertext.
fn bits(seed: u64, rounds: usize, flips: usize) {
    let (store, blobs) = victim(20);
    let whole = fs::read(store.path("store.db")).unwrap();
    let mut numbers = Numbers(seed);
    let (mut served, mut harmed) = (0, 0);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        for _ in 0..flips {
            let bit = numbers.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        fs::write(store.path("copy.db"), &bytes).unwrap();
        doors(&store, "copy.db");
        let read = mount_and_read(&store, "copy.db", &blobs);
        served += usize::from(read.refused.is_none());
        harmed += usize::from(read.refused.is_some() || !read.failed.is_empty());
        remove(&store, "copy.db");
    }
    // Or nothing was tried: some rounds must hurt, and some must leave the store of use.
    assert!(served > 0 && harmed > 0, "{served} served, {harmed} harmed");
}

#[test]
fn one_bit_changed_gives_no_wrong_blob() {
    bits(3, 12, 1);
}

#[test]
fn many_bits_changed_give_no_wrong_blob() {
    bits(4, 12, 6);
}

/// The same for many more, without a login: what only reads the schema and the tables.
#[test]
fn bits_changed_crash_no_command() {
    let (store, _) = victim(10);
    let whole = fs::read(store.path("store.db")).unwrap();
    let mut numbers = Numbers(5);
    for round in 0..100 {
        let mut bytes = whole.clone();
        // The first page holds the schema: half of the rounds are for it.
        let within = if round % 2 == 0 { 4096 } else { bytes.len() };
        let bit = numbers.below(within * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(store.path("copy.db"), &bytes).unwrap();
        for line in ["slot list", "store check", "partition showinfo -slot 1"] {
            door(&store, "copy.db", line);
        }
        remove(&store, "copy.db");
    }
}
