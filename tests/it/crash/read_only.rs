//! "Read-only: a WAL store on a read-only filesystem opens with `immutable=1` only if its `-wal` is absent or empty (with
//! one left over it silently shows an old state); else it is [...] refused by name."

use super::base::Base;
use crate::disk::{Cut, Disk, Survives, When};
use crate::fixture::{contents, names};

/// Everything is read, and nothing at all is made or changed: no lock file, no log.
#[test]
fn a_store_on_a_read_only_filesystem() {
    let base = Base::with_keys(3);
    let mut store = base.beside();
    let image = base.image();
    let disk = Disk::mount_read_only(&store.path("disk"), &image);
    store.use_file("disk/store.db");
    let listed = store.run_in(0, "partition contents --json").ok().json();
    assert_eq!(listed["objects"].as_array().unwrap().len(), 4);
    store.run_in(0, "object trash").ok();
    let out = store
        .run_in(0, "object generate -type aes -label x")
        .fails(4);
    assert!(out.stderr.contains("cannot be written"), "{out:?}");
    let out = store.run("mount mnt --foreground").fails(4);
    assert!(out.stderr.contains("-o ro"), "{out:?}");
    let mount = store.start_at("mnt", &[0], &["-o", "ro"]);
    let objects = contents(&mount.point.join("0"));
    assert_eq!(objects.len(), 4);
    assert_eq!(contents(&mount.point.join("0/.slotfs/ouid")).len(), 4);
    for made in [
        std::fs::remove_file(mount.point.join("0/1")),
        std::fs::write(mount.point.join("0/9"), &objects["1"]),
        std::fs::rename(mount.point.join("0/1"), mount.point.join("0/8")),
    ] {
        assert_eq!(made.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
    drop(mount);
    assert_eq!(names(&disk.point), ["store.db"]);
    assert!(disk.image() == image, "nothing was written");
    store
        .run("store check --password-file 0=pw-0 --password-file 1=pw-1")
        .ok();
}

/// No acknowledged row is missed: what a killed daemon left in its log is not passed over.
#[test]
fn a_log_left_over_on_a_read_only_filesystem_is_refused_by_name() {
    let base = Base::with_keys(2);
    let mut store = base.beside();
    let disk = Disk::mount(&store.path("disk"), &base.image());
    store.use_file("disk/store.db");
    let mut mount = store.start(&[0, 1]);
    mount.announce("");
    disk.count_from_here();
    disk.set_victim(mount.pid());
    std::fs::copy(mount.point.join("0/1"), mount.point.join("1/1")).unwrap();
    // Killed at the next thing that it writes, with the first in the log.
    disk.cut_at(Cut {
        step: disk.steps().len(),
        when: When::Before,
        keep: vec![Survives::Everything],
    });
    let _ = std::fs::copy(mount.point.join("0/2"), mount.point.join("1/2"));
    mount.crash();
    drop(mount);
    let (_, mut image) = disk.images().unwrap().remove(0);
    drop(disk);
    image.remove("store.db-shm");
    assert!(!image["store.db-wal"].is_empty(), "there is a log to miss");
    let disk = Disk::mount_read_only(&store.path("disk"), &image);
    for line in [
        "slot list",
        "partition contents -slot 1 --password-file 1=pw-1",
        "mount mnt --foreground -o ro",
        "store check",
    ] {
        let out = store.run(line).fails(4);
        assert!(
            out.stderr.contains("store.db-wal") && out.stderr.contains("copy both"),
            "{line}: {out:?}"
        );
    }
    assert!(disk.image() == image);
    drop(disk);
    // Copied to where it can be written, as the message says, all of it is there.
    for (name, bytes) in &image {
        std::fs::write(store.path(name), bytes).unwrap();
    }
    store.use_file("store.db");
    let listed = store.run_in(1, "partition contents --json").ok().json();
    assert_eq!(listed["objects"].as_array().unwrap().len(), 1);
}
