//! "Handles": "The name you write to is the handle you ask for."

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::fixture::{
    assert_errno, close, open_trunc, store_excl, store_trunc, three_slots, two_slots,
};

/// "Free: you get it."
#[test]
fn a_free_handle_is_what_you_get() {
    let hsm = two_slots(2);
    for (handle, wish) in [(1, 4711), (2, 3)] {
        store_excl(&hsm.file(1, wish), &hsm.blob(0, handle)).unwrap();
        assert_eq!(hsm.blob(1, wish), hsm.blob(0, handle));
    }
    assert_eq!(hsm.list(1), ["3", "4711"]);
}

/// "Taken by another object: the slot gives the next free one and says so in `clones`; nothing is ever
/// overwritten."
#[test]
fn a_taken_handle_gives_the_next_free_one() {
    let hsm = three_slots(3);
    hsm.copy((0, 1), (1, 1));
    hsm.copy((0, 2), (1, 2));
    let before = hsm.blobs(1);
    store_trunc(&hsm.file(1, 1), &hsm.blob(0, 3)).unwrap();
    assert_eq!(hsm.list(1), ["1", "2", "3"]);
    assert_eq!(hsm.blob(1, 3), hsm.blob(0, 3));
    assert_eq!(hsm.blob(1, 1), before["1"]);
    assert_eq!(hsm.blob(1, 2), before["2"]);
    let clones = hsm.clones(1);
    assert!(
        clones.contains("Handle 3 on slot 0 is now handle 3 on slot 1"),
        "{clones}"
    );
    // The large one too, in more than one write.
    store_trunc(&hsm.file(1, 2), &hsm.blob(0, 4)).unwrap();
    assert_eq!(hsm.list(1), ["1", "2", "3", "4"]);
    assert_eq!(hsm.blob(1, 4), hsm.blob(0, 4));
}

/// The handle that was asked for may be taken while the blob is on its way.
#[test]
fn a_handle_taken_meanwhile() {
    let hsm = two_slots(2);
    let (one, two) = (hsm.blob(0, 1), hsm.blob(0, 2));
    let file = open_trunc(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&one[..100], 0).unwrap();
    store_excl(&hsm.file(1, 1), &two).unwrap();
    file.write_all_at(&one[100..], 100).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.blob(1, 1), two);
    assert_eq!(hsm.blob(1, 2), one);
}

/// "The same OUID already in the slot: with the same content, success and nothing stored".
#[test]
fn the_same_object_is_not_stored_twice() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 1));
    let before = fs::metadata(hsm.file(1, 1)).unwrap();
    for wish in [1, 2, 900] {
        store_trunc(&hsm.file(1, wish), &hsm.blob(0, 1)).unwrap();
        assert_eq!(hsm.list(1), ["1"]);
    }
    assert_eq!(fs::metadata(hsm.file(1, 1)).unwrap().ino(), before.ino());
    // Into its own slot as well.
    store_trunc(&hsm.file(0, 2), &hsm.blob(0, 1)).unwrap();
    assert_eq!(hsm.list(0), ["1", "2"]);
    assert_ne!(hsm.blob(0, 1), hsm.blob(0, 2));
    let clones = hsm.clones(1);
    assert!(
        clones.contains("Handle 1 on slot 0 is already handle 1 on slot 1"),
        "{clones}"
    );
}

/// An `O_EXCL` create of a name that is there is the kernel's EEXIST, as everywhere.
#[test]
fn excl_on_a_taken_name() {
    let hsm = two_slots(2);
    assert_errno!(store_excl(&hsm.file(0, 1), &hsm.blob(0, 2)), EEXIST);
    assert_eq!(hsm.list(0), ["1", "2"]);
}

/// A handle that was freed can be asked for again.
#[test]
fn a_freed_handle_is_free() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 5));
    fs::remove_file(hsm.file(1, 5)).unwrap();
    hsm.copy((0, 2), (1, 5));
    assert_eq!(hsm.blob(1, 5), hsm.blob(0, 2));
}
