//! "ENOSPC, EIO on read and on write, a read-only store: a clear errno for the object, the daemon lives, and recovers
//! when the disk does."

use std::fs;
use std::io;
use std::path::Path;

use super::base::Base;
use super::check::{Blobs, look};
use crate::disk::{Disk, Faults};
use crate::fixture::{Mount, Store, contents, sh, store_excl};

/// A store on a disk, mounted; the disk goes last.
struct Failing {
    mount: Mount,
    store: Store,
    disk: Disk,
    base: Base,
}

fn failing() -> Failing {
    let base = Base::with_keys(4);
    let mut store = base.beside();
    let disk = Disk::mount(&store.path("disk"), &base.image());
    store.use_file("disk/store.db");
    let mount = store.start(&[0, 1]);
    mount.announce("");
    Failing {
        mount,
        store,
        disk,
        base,
    }
}

impl Failing {
    fn file(&self, slot: u32, name: u32) -> std::path::PathBuf {
        self.mount
            .point
            .join(slot.to_string())
            .join(name.to_string())
    }

    /// Writes an object of slot 0 into slot 1 while the disk fails: one of these errnos, and nothing is there of it.
    /// When the disk is well again, the same succeeds without a new mount, and so does everything else.
    fn a_write_fails_and_then_does_not(self, faults: Faults, errnos: &[i32]) {
        let blobs = contents(&self.mount.point.join("0"));
        store_excl(&self.file(1, 1), &blobs["1"]).unwrap();
        self.disk.fail(faults);
        for _ in 0..3 {
            let failed = errno_of(store_excl(&self.file(1, 2), &blobs["2"]));
            assert!(
                errnos.contains(&failed),
                "errno {failed}: {}",
                self.mount.log()
            );
            for tool in [
                r#"cp "$M"/0/3 "$M"/1/"#,
                r#"mv "$M"/0/3 "$M"/1/"#,
                r#"rm "$M"/0/3"#,
            ] {
                let out = sh(tool, &[("M", &self.mount.point)]);
                assert_ne!(out.code, 0, "{tool}: {out:?}");
            }
        }
        assert!(self.disk.refused() > 0, "the fault was never met");
        // What is there is read all the same.
        assert_eq!(contents(&self.mount.point.join("0")), blobs);
        assert!(!self.file(1, 2).exists() && !self.file(1, 3).exists());
        let clones = fs::read_to_string(self.mount.point.join("1/.slotfs/clones")).unwrap();
        assert!(
            clones.contains("on slot 0 was not cloned to slot 1"),
            "{clones}"
        );
        self.disk.fail(Faults::default());
        store_excl(&self.file(1, 2), &blobs["2"]).unwrap();
        sh(
            r#"cp "$M"/0/3 "$M"/1/ && mv "$M"/0/4 "$M"/1/ && rm "$M"/0/5"#,
            &[("M", &self.mount.point)],
        )
        .ok();
        self.ends_with(&blobs, &["1", "2", "3", "4"]);
    }

    /// Nothing acknowledged is lost, by who looks at the disk afterwards too.
    fn ends_with(self, blobs: &std::collections::BTreeMap<String, Vec<u8>>, names: &[&str]) {
        let Self {
            mount,
            store,
            disk,
            base,
        } = self;
        drop(mount);
        let seen = look(&base, &disk.image(), None, &Blobs::new());
        let there: Vec<&String> = seen.one.keys().collect();
        assert_eq!(there, names);
        for name in names {
            assert!(seen.one[*name] == blobs[*name]);
        }
        drop(disk);
        drop(store);
    }
}

fn errno_of(outcome: io::Result<()>) -> i32 {
    outcome
        .expect_err("it succeeded on a failing disk")
        .raw_os_error()
        .unwrap()
}

#[test]
fn a_full_disk() {
    let faults = Faults {
        grow: Some(libc::ENOSPC),
        ..Faults::default()
    };
    failing().a_write_fails_and_then_does_not(faults, &[libc::ENOSPC]);
}

#[test]
fn a_disk_that_cannot_be_written() {
    let faults = Faults {
        write: Some(libc::EIO),
        ..Faults::default()
    };
    failing().a_write_fails_and_then_does_not(faults, &[libc::EIO]);
}

#[test]
fn a_disk_that_cannot_sync() {
    let faults = Faults {
        sync: Some(libc::EIO),
        ..Faults::default()
    };
    failing().a_write_fails_and_then_does_not(faults, &[libc::EIO]);
}

/// As when the kernel makes a filesystem read-only after errors.
#[test]
fn a_disk_that_became_read_only() {
    let faults = Faults {
        write: Some(libc::EROFS),
        ..Faults::default()
    };
    failing().a_write_fails_and_then_does_not(faults, &[libc::EIO, libc::EROFS]);
}

/// "A damaged row is EIO for that object alone": one whose pages cannot be read.
#[test]
fn a_page_that_cannot_be_read() {
    let failing = failing();
    let image = failing.disk.image();
    let large = failing.base.store().path("store.db");
    let sealed: Vec<u8> = rusqlite::Connection::open(&large)
        .unwrap()
        .query_row(
            "SELECT sealed FROM objects ORDER BY length(sealed) DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    // In the middle of its overflow pages, which belong to nobody else.
    let part = &sealed[15_000..15_040];
    let at = image["store.db"]
        .windows(part.len())
        .position(|window| window == part)
        .unwrap();
    failing.disk.fail(Faults {
        read_range: Some((at..at + 1, libc::EIO)),
        ..Faults::default()
    });
    let bad = errno_of(fs::read(failing.file(0, 5)).map(drop));
    assert_eq!(bad, libc::EIO);
    for handle in 1..=4 {
        fs::read(failing.file(0, handle)).unwrap();
    }
    let script = r#"cp "$M"/0/* "$M"/1/"#;
    let out = sh(script, &[("M", &failing.mount.point)]).fails(1);
    assert_eq!(
        out.stderr.lines().count(),
        1,
        "one message, for that object: {out:?}"
    );
    assert!(out.stderr.contains("/0/5") && out.stderr.contains("Input/output error"));
    assert!(failing.disk.refused() > 0);
    failing.disk.fail(Faults::default());
    let blobs = contents(&failing.mount.point.join("0"));
    sh(r#"cp "$M"/0/5 "$M"/1/"#, &[("M", &failing.mount.point)]).ok();
    failing.ends_with(&blobs, &["1", "2", "3", "4", "5"]);
}

/// Nothing can be read at all: whatever is not in memory fails, and no listing looks empty or short.
#[test]
fn a_disk_that_cannot_be_read() {
    let failing = failing();
    failing.disk.fail(Faults {
        read: Some(libc::EIO),
        ..Faults::default()
    });
    let listed = fs::read_dir(failing.mount.point.join("0"))
        .and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    if let Ok(listed) = listed {
        assert_eq!(listed.len(), 5, "whole or not at all");
    }
    // One that is large enough not to be in a cache yet.
    let bad = errno_of(fs::read(failing.file(0, 5)).map(drop));
    assert_eq!(bad, libc::EIO);
    assert!(failing.disk.refused() > 0);
    failing.disk.fail(Faults::default());
    let blobs = contents(&failing.mount.point.join("0"));
    assert_eq!(blobs.len(), 5);
    sh(r#"cp "$M"/0/* "$M"/1/"#, &[("M", &failing.mount.point)]).ok();
    failing.ends_with(&blobs, &["1", "2", "3", "4", "5"]);
}

/// Commands name what failed, end with their exit status for the store, and work when the disk does.
#[test]
fn commands_on_a_full_disk() {
    let failing = failing();
    let blobs = contents(&failing.mount.point.join("0"));
    let clone = "--active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1";
    failing.disk.fail(Faults {
        grow: Some(libc::ENOSPC),
        ..Faults::default()
    });
    let out = failing.store.run(clone).code_is_not(0);
    assert!(
        out.stderr.contains("store disk/store.db: its disk is full"),
        "{out:?}"
    );
    assert!(Path::new(&failing.mount.point.join("0/1")).exists());
    failing.disk.fail(Faults::default());
    failing.store.run(clone).ok();
    failing.ends_with(&blobs, &["1", "2", "3", "4", "5"]);
}
