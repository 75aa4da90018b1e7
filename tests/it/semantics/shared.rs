//! One store, several processes; and mount options.

use std::fs;

use crate::fixture::{
    Store, assert_errno, contents, names, sh, store_excl, store_trunc, two_slots, wait_for,
};

/// "what another process did to the store (SQLite's `data_version`) is seen by the next request".
#[test]
fn two_mounts_of_one_store() {
    let hsm = two_slots(2);
    let other = hsm.store.start_at("mnt2", &[0, 1], &[]);
    let there = |slot: u32| other.point.join(slot.to_string());
    assert_eq!(contents(&there(0)), hsm.blobs(0));
    store_excl(&there(1).join("1"), &hsm.blob(0, 1)).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 1));
    fs::remove_file(hsm.file(1, 1)).unwrap();
    assert!(names(&there(1)).is_empty());
    // Entries are cached for 1 s at most.
    let gone = wait_for(|| (!there(1).join("1").exists()).then_some(()));
    assert!(gone.is_some());
    // A handle of this mount's last look at it, taken by the other's writer.
    store_excl(&there(1).join("1"), &hsm.blob(0, 2)).unwrap();
    store_trunc(&hsm.file(1, 1), &hsm.blob(0, 1)).unwrap();
    assert_eq!(hsm.list(1), ["1", "2"]);
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 2));
    assert_eq!(contents(&there(1)), hsm.blobs(1));
    sh(
        r#"rsync -a "$A"/ "$B"/ && diff -r "$A" "$B""#,
        &[("A", &hsm.slot(1)), ("B", &there(1))],
    )
    .ok();
    assert_eq!(hsm.list(1), ["1", "2"]);
}

/// The same for a command beside the mount.
#[test]
fn a_command_beside_the_mount() {
    let hsm = two_slots(1);
    assert_eq!(hsm.list(0), ["1"]);
    let made = hsm.store.aes(0, 3);
    let mut expected = vec!["1".to_owned()];
    expected.extend(made.iter().map(u32::to_string));
    assert_eq!(hsm.list(0), expected);
    for handle in made {
        hsm.copy((0, handle), (1, handle));
    }
    let out = hsm.store.run_in(1, "partition contents").ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    assert_eq!(hsm.list(1).len(), 3);
}

/// "a slot re-initialised elsewhere is logged out".
#[test]
fn a_slot_initialised_anew_elsewhere() {
    let hsm = two_slots(2);
    hsm.mount.announce("");
    hsm.copy((0, 1), (1, 1));
    crate::fixture::write_private(&hsm.store.path("pw-1"), "another password\n");
    hsm.store
        .run("partition init -slot 1 -label again -domainkey red.pem -force --password-file 1=pw-1")
        .ok();
    assert_errno!(fs::read_dir(hsm.slot(1)), ENOKEY);
    assert_errno!(fs::read(hsm.file(1, 1)), ENOKEY);
    assert_errno!(store_excl(&hsm.file(1, 2), &hsm.blob(0, 1)), ENOKEY);
    assert_eq!(hsm.status(1, "label").as_deref(), Some("again"));
    sh(
        r#"cat "$P" > "$D/.slotfs/login""#,
        &[("P", &hsm.store.path("pw-1")), ("D", &hsm.slot(1))],
    )
    .ok();
    assert!(hsm.list(1).is_empty());
    hsm.copy((0, 1), (1, 1));
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 1));
}

/// A slot made by a command shows in a mount that is already there.
#[test]
fn a_new_slot_shows_in_the_mount() {
    let hsm = two_slots(1);
    hsm.mount.announce("");
    hsm.store.slot(5, "red");
    let shown = wait_for(|| (names(&hsm.mount.point) == ["0", "1", "5"]).then_some(()));
    assert!(shown.is_some());
    sh(
        r#"cat "$P" > "$D/.slotfs/login" && cp "$S"/* "$D"/"#,
        &[
            ("P", &hsm.store.path("pw-5")),
            ("S", &hsm.slot(0)),
            ("D", &hsm.slot(5)),
        ],
    )
    .ok();
    assert_eq!(hsm.blobs(5), hsm.blobs(0));
}

/// "EROFS | the mount [...] is read-only".
#[test]
fn a_read_only_mount() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 2);
    let mount = store.start_at("ro", &[0, 1], &["-o", "ro"]);
    let slot = mount.point.join("0");
    let blob = fs::read(slot.join("1")).unwrap();
    assert_errno!(store_excl(&mount.point.join("1/1"), &blob), EROFS);
    assert_errno!(fs::remove_file(slot.join("1")), EROFS);
    assert_errno!(fs::rename(slot.join("1"), slot.join("9")), EROFS);
    assert_eq!(names(&slot), ["1", "2"]);
}

/// "`-o allow_other,uid=,gid=,umask=`".
#[test]
fn mount_options() {
    use std::os::unix::fs::MetadataExt;
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    let mount = store.start_at(
        "opts",
        &[0],
        &["-o", "allow_other,uid=1234,gid=2345,umask=027"],
    );
    let metadata = fs::metadata(mount.point.join("0/1")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 2345));
    // umask takes bits away from 0666 and 0777, as for other filesystems.
    assert_eq!(metadata.mode() & 0o777, 0o640);
    let metadata = fs::metadata(mount.point.join("0")).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o750);
}

/// Writers side by side: every object arrives once.
#[test]
fn writers_side_by_side() {
    let hsm = two_slots(12);
    let blobs = hsm.blobs(0);
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (hsm, blobs) = (&hsm, &blobs);
            let slot = hsm.slot(1);
            scope.spawn(move || {
                let rotated = blobs.iter().cycle().skip(start * 3).take(blobs.len());
                for (name, blob) in rotated {
                    store_trunc(&slot.join(name), blob).unwrap();
                }
            });
        }
    });
    let mut arrived: Vec<_> = hsm.blobs(1).into_values().collect();
    let mut sent: Vec<_> = blobs.into_values().collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
}

/// A name that this mount remembers must not come to mean another slot when another process moves its object.
#[test]
fn a_remembered_name_of_an_object_moved_elsewhere() {
    let hsm = two_slots(2);
    let other = hsm.store.start_at("mnt2", &[0, 1], &[]);
    let there = |slot: u32, handle: u32| other.point.join(format!("{slot}/{handle}"));
    let (first, second) = (hsm.blob(0, 1), hsm.blob(0, 2));
    fs::metadata(hsm.file(0, 1)).unwrap();
    fs::rename(there(0, 1), there(1, 66)).unwrap();
    store_trunc(&hsm.file(0, 1), &first).unwrap();
    assert_eq!(hsm.list(0), ["1", "2"]);
    assert_eq!(hsm.list(1), ["66"]);

    fs::metadata(hsm.file(0, 2)).unwrap();
    fs::rename(there(0, 2), there(1, 67)).unwrap();
    assert_errno!(fs::read(hsm.file(0, 2)), ENOENT);
    assert_eq!(fs::read(hsm.file(1, 67)).unwrap(), second);
}

/// "clone and removal of the source in one transaction": two daemons that move, or remove, the same object at
/// once do it once.
#[test]
fn one_object_moved_and_removed_by_two_daemons() {
    let hsm = two_slots(1);
    hsm.mount.announce("");
    let other = hsm.store.start_at("mnt2", &[0, 1], &[]);
    other.announce("");
    for round in 1..=60 {
        let handle = hsm.store.aes(0, 1)[0];
        let from = |point: &std::path::Path| point.join(format!("0/{handle}"));
        // A handle freed in slot 0 comes again; in slot 1 it is taken then.
        let target = 1000 + round;
        let to = |point: &std::path::Path| point.join(format!("1/{target}"));
        let removes = round % 3 == 0;
        let (here, there) = (hsm.mount.point.clone(), other.point.clone());
        let barrier = std::sync::Barrier::new(2);
        let (moved, second) = std::thread::scope(|scope| {
            let moved = scope.spawn(|| {
                barrier.wait();
                fs::rename(from(&here), to(&here))
            });
            barrier.wait();
            let second = match removes {
                true => fs::remove_file(from(&there)),
                false => fs::rename(from(&there), to(&there)),
            };
            (moved.join().unwrap(), second)
        });
        let arrived = hsm.list(1).contains(&target.to_string());
        let stayed = hsm.list(0).contains(&handle.to_string());
        let wanted = moved.is_ok() || !removes && second.is_ok();
        assert_eq!(arrived, wanted, "round {round}: {moved:?} {second:?}");
        assert!(!(arrived && stayed), "round {round}");
        assert!(
            moved.is_ok() || second.is_ok(),
            "round {round}: {moved:?} {second:?}"
        );
        assert!(
            !(moved.is_ok() && second.is_ok()),
            "round {round}: both had it"
        );
    }
}
