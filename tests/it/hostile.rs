//! Stores that an attacker changed who can write the file but has no password. No command and no request may panic, hang
//! or return a wrong blob; the error names what is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use crate::fixture::{
    Out, Store, contents, daemons_of, is_mounted, run, two_slots, unmount, wait_for,
};

mod credentials;
mod files;
mod rows;
mod schema;
mod spread;
// The rules use it too.
#[path = "../../crates/hsm/tests/rules/without_types.rs"]
mod without_types;

/// What each slot of the untouched store holds, by slot and file name.
type Blobs = BTreeMap<(u32, String), Vec<u8>>;

/// A closed store of two slots of one domain, with so many keys each, and all their blobs.
fn victim(keys: u32) -> (Store, Blobs) {
    let hsm = two_slots(keys);
    hsm.store.aes(1, keys);
    let mut blobs = Blobs::new();
    for slot in [0, 1] {
        for (name, blob) in hsm.blobs(slot) {
            blobs.insert((slot, name), blob);
        }
    }
    drop(hsm.mount);
    (hsm.store, blobs)
}

/// The store's file at `name`, as it was, changed by SQL; what the schema forbids included.
fn tampered(store: &Store, name: &str, change: &str) {
    remove(store, name);
    fs::copy(store.path("store.db"), store.path(name)).unwrap();
    Connection::open(store.path(name))
        .unwrap()
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {change}"
        ))
        .unwrap_or_else(|error| panic!("{change}: {error}"));
}

fn remove(store: &Store, name: &str) {
    for suffix in ["", "-wal", "-shm", "-journal", ".log"] {
        let _ = fs::remove_file(store.path(format!("{name}{suffix}")));
    }
}

/// Runs a command on the store at `name`; however it ends, it ends in a way that is documented.
#[track_caller]
fn door(store: &Store, name: &str, line: &str) -> Out {
    let words = ["--store", name];
    let line: Vec<&str> = words.into_iter().chain(line.split_whitespace()).collect();
    let out = run(&mut store.bare(&line));
    assert!((0..=5).contains(&out.code), "{line:?}: {out:?}");
    assert!(!out.text().contains("panicked"), "{line:?}: {out:?}");
    out
}

/// The commands that read most; the output of each.
#[track_caller]
fn doors(store: &Store, name: &str) -> Vec<Out> {
    [
        "slot list",
        "partition contents -slot 0 --password-file 0=pw-0",
        "store check --password-file 0=pw-0 --password-file 1=pw-1",
    ]
    .map(|line| door(store, name, line))
    .into()
}

/// What a mount of a changed store gave.
struct Read {
    /// Why it could not be mounted.
    refused: Option<Out>,
    /// Objects that were read, and were what they should be.
    whole: usize,
    /// Objects that were not read, by slot and name.
    failed: Vec<(u32, String)>,
    log: String,
}

/// Mounts the store at `name`, reads every file there is, and asserts that none is a wrong blob.
#[track_caller]
fn mount_and_read(store: &Store, name: &str, blobs: &Blobs) -> Read {
    let mounted = Mounted {
        point: store.path("mnt"),
    };
    let log = store.path(format!("{name}.log"));
    let _ = fs::remove_file(&log);
    let line = format!(
        "mount mnt --log-file {name}.log --login 0 --login 1 --password-file 0=pw-0 --password-file 1=pw-1"
    );
    let out = door(store, name, &line);
    let mut read = Read {
        refused: (out.code != 0).then_some(out),
        whole: 0,
        failed: Vec::new(),
        log: String::new(),
    };
    if read.refused.is_none() {
        for slot in [0, 1] {
            let folder = mounted.point.join(slot.to_string());
            // A slot that cannot be listed whole is an error, and its objects are still read by their names.
            let listed: Vec<String> = match fs::read_dir(&folder) {
                Ok(entries) => entries
                    .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                    .collect(),
                Err(_) => Vec::new(),
            };
            let known = blobs.keys().filter(|(of, _)| *of == slot);
            let mut all: Vec<String> = known.map(|(_, name)| name.clone()).collect();
            all.extend(listed);
            all.sort();
            all.dedup();
            for file in all {
                match fs::read(folder.join(&file)) {
                    Ok(bytes) => {
                        let right = blobs.get(&(slot, file.clone()));
                        assert!(right == Some(&bytes), "slot {slot}, {file}: a wrong blob");
                        read.whole += 1;
                    }
                    Err(_) => read.failed.push((slot, file)),
                }
            }
        }
        door(store, name, "umount mnt").ok();
    }
    drop(mounted);
    read.log = fs::read_to_string(&log).unwrap_or_default();
    assert!(!read.log.contains("panicked"), "{}", read.log);
    read
}

/// Ends a mount in the background, whatever the test does.
struct Mounted {
    point: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let left = is_mounted(&self.point);
        if left {
            unmount(&self.point, "-uz");
        }
        let ended = wait_for(|| daemons_of(&self.point).is_empty().then_some(()));
        for pid in daemons_of(&self.point) {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        if !std::thread::panicking() {
            assert!(!left, "a mount was left over");
            assert!(ended.is_some(), "a daemon was left over");
        }
    }
}

/// Numbers that are the same in every run (splitmix64), so that what was found can be found again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

/// The checks of these tests themselves: an untouched copy is read whole, through every door.
#[test]
fn an_untouched_copy_is_read_whole() {
    let (store, blobs) = victim(3);
    tampered(&store, "copy.db", "");
    for out in doors(&store, "copy.db") {
        out.ok();
    }
    let read = mount_and_read(&store, "copy.db", &blobs);
    assert_eq!((read.whole, read.failed.len()), (6, 0), "{}", read.log);
    assert_eq!(contents(&store.path("mnt")).len(), 0);
}
