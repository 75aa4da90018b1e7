//! What reading gives.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::fixture::{assert_errno, open_trunc, sh, store_excl, three_slots, two_slots};

/// "Same object, same set of domains: the same bytes, at every slot, every time."
#[test]
fn the_same_bytes_everywhere_every_time() {
    let hsm = three_slots(3);
    let first = hsm.blobs(0);
    for handle in 1..=4 {
        hsm.copy((0, handle), (1, handle));
    }
    assert_eq!(hsm.blobs(0), first);
    assert_eq!(hsm.blobs(1), first);
    let store = hsm.store;
    drop(hsm.mount);
    let hsm = store.mount(&[0, 1]);
    assert_eq!(hsm.blobs(0), first, "after a remount");
    assert_eq!(hsm.blobs(1), first, "after a remount");
}

/// The other way round: no two objects have the same blob, and another domain gives another blob.
#[test]
fn other_objects_have_other_bytes() {
    let hsm = three_slots(4);
    let zero: BTreeSet<_> = hsm.blobs(0).into_values().collect();
    assert_eq!(zero.len(), 5);
}

/// "`st_size` exact, `st_blocks` never 0"; "mode 0600"; "size = its blob's exact size".
#[test]
fn size_and_blocks() {
    let hsm = three_slots(3);
    for (name, bytes) in hsm.blobs(0) {
        let metadata = fs::metadata(hsm.file(0, &name)).unwrap();
        assert_eq!(metadata.len(), bytes.len() as u64);
        assert!(metadata.blocks() > 0);
        assert_eq!(&bytes[..7], b"SLOTFSB");
        let payload = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
        assert_eq!(
            bytes.len(),
            16 + 64 + 32 + payload as usize + 16,
            "docs/format.md"
        );
    }
    assert!(hsm.blob(0, 4).len() > 50_000);
}

/// "mtime = the object's own time": a clone has it too, to the nanosecond.
#[test]
fn mtime_is_the_objects_own() {
    let hsm = two_slots(1);
    hsm.copy((0, 1), (1, 1));
    let here = fs::metadata(hsm.file(0, 1)).unwrap();
    let there = fs::metadata(hsm.file(1, 1)).unwrap();
    assert!(here.mtime() > 1_700_000_000);
    assert_eq!(
        (here.mtime(), here.mtime_nsec()),
        (there.mtime(), there.mtime_nsec())
    );
}

/// "Inode numbers come from the object's row id, so none is ever reused while the store lives."
#[test]
fn no_inode_is_reused() {
    let hsm = two_slots(3);
    let mut seen = BTreeSet::new();
    for handle in 1..=3 {
        assert!(seen.insert(fs::metadata(hsm.file(0, handle)).unwrap().ino()));
    }
    for _ in 0..4 {
        hsm.copy((0, 1), (1, 1));
        let inode = fs::metadata(hsm.file(1, 1)).unwrap().ino();
        assert!(seen.insert(inode), "inode {inode} came back");
        fs::remove_file(hsm.file(1, 1)).unwrap();
    }
    let store = hsm.store;
    drop(hsm.mount);
    let hsm = store.mount(&[0, 1]);
    hsm.copy((0, 1), (1, 1));
    let inode = fs::metadata(hsm.file(1, 1)).unwrap().ino();
    assert!(
        seen.insert(inode),
        "inode {inode} came back after a remount"
    );
}

/// readdir tells the same inodes as getattr.
#[test]
fn listed_inodes_are_the_real_ones() {
    use std::os::unix::fs::DirEntryExt;
    let hsm = two_slots(3);
    for entry in fs::read_dir(hsm.slot(0)).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.ino(), entry.metadata().unwrap().ino());
        assert!(entry.file_type().unwrap().is_file());
    }
}

/// "sealed once at open and served from that until release": also when the object is destroyed meanwhile.
#[test]
fn an_open_file_is_served_to_its_end() {
    let hsm = three_slots(1);
    let blob = hsm.blob(0, 2);
    let mut file = File::open(hsm.file(0, 2)).unwrap();
    let mut half = vec![0; 1000];
    file.read_exact(&mut half).unwrap();
    fs::remove_file(hsm.file(0, 2)).unwrap();
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert_eq!([half, rest].concat(), blob);
}

/// What is read of an open file is one blob, whatever is opened, or changes, meanwhile: the kernel keeps pages of it for
/// all who read it.
#[test]
fn an_open_file_is_one_blob_though_the_domains_change() {
    let hsm = three_slots(1);
    let before = hsm.blob(0, 2);
    let mut first = File::open(hsm.file(0, 2)).unwrap();
    let mut half = vec![0; 20_000];
    first.read_exact(&mut half).unwrap();
    hsm.store.domain("new");
    let add = "--password-file 0:po=pw-0 --active-slot 0 partition domainadd -domainkey new.pem -domainlabel new";
    hsm.store.run_without_terminal(add).ok();
    // Another blob, for who opens it now: of another length, and from its first byte to its last.
    let after = hsm.blob(0, 2);
    assert!(after.len() > before.len());
    let second = File::open(hsm.file(0, 2)).unwrap();
    let mut page = vec![0; 100];
    second.read_exact_at(&mut page, 30_000).unwrap();
    assert_eq!(page, after[30_000..30_100]);
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    assert!([half, rest].concat() == before, "parts of two blobs");
    first.read_exact_at(&mut page, 100).unwrap();
    assert_eq!(page, before[100..200]);
    drop((first, second));
    assert!(hsm.blob(0, 2) == after);
    let file = hsm.file(1, 2);
    store_excl(&file, &before).unwrap();
    fs::remove_file(&file).unwrap();
    store_excl(&file, &after).unwrap();
}

/// Any part can be read, and nothing after the end.
#[test]
fn reads_at_any_offset() {
    let hsm = three_slots(1);
    let blob = hsm.blob(0, 2);
    let file = File::open(hsm.file(0, 2)).unwrap();
    for (offset, size) in [(0, 1), (1, 15), (4095, 2), (8192, 4096), (49_999, 100)] {
        let mut part = vec![0; size];
        file.read_exact_at(&mut part, offset as u64).unwrap();
        assert_eq!(part, blob[offset..offset + size]);
    }
    let mut one = [0];
    assert_eq!(file.read_at(&mut one, blob.len() as u64).unwrap(), 0);
    assert_eq!(file.read_at(&mut one, 1 << 40).unwrap(), 0);
}

/// "unlink an object | moves it to `.slotfs/trash`": gone from the slot. What else, is in trash.rs.
#[test]
fn unlink_removes() {
    let hsm = two_slots(3);
    let blob = hsm.blob(0, 2);
    sh(r#"rm "$F""#, &[("F", &hsm.file(0, 2))]).ok();
    assert_eq!(hsm.list(0), ["1", "3"]);
    assert_errno!(fs::read(hsm.file(0, 2)), ENOENT);
    assert_errno!(fs::remove_file(hsm.file(0, 2)), ENOENT);
    // Its blob, kept elsewhere, brings it back.
    store_excl(&hsm.file(0, 2), &blob).unwrap();
    assert_eq!(hsm.blob(0, 2), blob);
    let store = hsm.store;
    fs::remove_file(hsm.mount.point.join("0/1")).unwrap();
    drop(hsm.mount);
    let hsm = store.mount(&[0]);
    assert_eq!(hsm.list(0), ["2", "3"], "gone for the next mount too");
}

/// A slot with more entries than one readdir answer holds is listed whole.
#[test]
fn a_long_listing_is_complete() {
    let hsm = two_slots(1);
    let mut expected: Vec<String> = (1..=400).map(|i| format!(".staging-name-{i:04}")).collect();
    for name in &expected {
        fs::write(hsm.file(0, name), b"").unwrap();
    }
    expected.push("1".to_owned());
    assert_eq!(hsm.list(0), expected);
}

/// "An existing object under that name is neither truncated nor touched": nor does the kernel take it for
/// empty, in any process, while another has it open with O_TRUNC.
#[test]
fn a_copy_while_another_writes_over_the_name_is_whole() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    let source = std::fs::File::open(hsm.file(0, 1)).unwrap();
    let over = open_trunc(&hsm.file(0, 1)).unwrap();
    let copy = hsm.store.path("copy");
    let mut target = std::fs::File::create(&copy).unwrap();
    let mut offset = 0;
    let sent = nix::sys::sendfile::sendfile(&target, &source, Some(&mut offset), 1 << 16).unwrap();
    assert_eq!(sent, blob.len());
    assert_eq!(std::fs::read(&copy).unwrap(), blob);
    drop(over);
    // std's copy, with no fallback left but what the kernel says.
    std::io::copy(
        &mut std::fs::File::open(hsm.file(0, 1)).unwrap(),
        &mut target,
    )
    .unwrap();
    assert_eq!(std::fs::read(&copy).unwrap().len(), 2 * blob.len());
}
