//! A store in a cluster, and the hosts that use it. Each host has a folder, a state folder and mounts of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::members::Cluster;
use crate::fixture::{Mount, Store, contents, names, write_dir};

/// What the store is called in its cluster.
pub const NAME: &str = "keys";

/// A deadline that passes soon.
pub const SHORT: &str = "engine-timeout=3";
/// One that no fault of these tests outlasts, so that no tool may fail.
pub const LONG: &str = "engine-timeout=60";

/// How much longer than its deadline anything may take here: two cores, other tests, Argon2.
pub const SLACK: Duration = Duration::from_secs(10);

/// Slots 0, 1 and 2 of domain red, 3 of blue. Slot 0 holds AES keys; the others are empty.
pub struct Site {
    pub cluster: Cluster,
    /// The host that made the store.
    pub first: Store,
}

pub const SLOTS: [(u32, &str); 4] = [(0, "red"), (1, "red"), (2, "red"), (3, "blue")];
pub const ALL: [u32; 4] = [0, 1, 2, 3];

impl Site {
    #[track_caller]
    pub fn new(keys: u32) -> Self {
        Self::over(Cluster::start(), keys)
    }

    #[track_caller]
    pub fn over(cluster: Cluster, keys: u32) -> Self {
        let mut first = Store::of_file();
        first.use_file(cluster.location(NAME, &[]));
        Self::made_by(cluster, first, keys)
    }

    /// Made from a host of the cluster's network.
    #[track_caller]
    pub fn made_on(cluster: Cluster, host: usize, keys: u32, options: &[&str]) -> Self {
        let mut first = Store::of_file();
        first.use_file(cluster.location(NAME, options));
        first.use_prefix(cluster.network().prefix(host));
        Self::made_by(cluster, first, keys)
    }

    #[track_caller]
    fn made_by(cluster: Cluster, first: Store, keys: u32) -> Self {
        for (slot, domain) in SLOTS {
            first.slot(slot, domain);
        }
        if keys > 0 {
            first.aes(0, keys);
        }
        Self { cluster, first }
    }

    /// Another host, which asks the cluster itself.
    pub fn host(&self, options: &[&str]) -> Store {
        self.host_at(self.cluster.location(NAME, options))
    }

    /// Another host that is given this location.
    pub fn host_at(&self, location: String) -> Store {
        let mut host = Store::of_file();
        host.use_file(location);
        let from = self.first.path("");
        for name in names(&from) {
            if from.join(&name).is_file() {
                fs::copy(from.join(&name), host.path(&name)).unwrap();
            }
        }
        host
    }

    /// Another host of the cluster's network.
    pub fn host_on(&self, number: usize, options: &[&str]) -> Store {
        let mut host = self.host(options);
        host.use_prefix(self.cluster.network().prefix(number));
        host
    }

    /// The blobs of slot 0, in a folder of the first host; and what is in them.
    #[track_caller]
    pub fn blobs(&self) -> Blobs {
        let mount = self.first.start(&[0]);
        let blobs = contents(&mount.point.join("0"));
        drop(mount);
        let folder = self.first.path("blobs");
        write_dir(&folder, &blobs);
        Blobs { folder, blobs }
    }

    /// Mounted by a host that nothing happened to. The mount ends before the host's folder goes, in this order of the two.
    #[track_caller]
    pub fn fresh_mount(&self) -> (Store, Mount) {
        let host = self.host(&[]);
        let mount = host.start(&ALL);
        (host, mount)
    }

    /// `store check` finds nothing, with every slot opened.
    #[track_caller]
    pub fn check(&self) {
        let host = self.host(&[]);
        let mut line = "store check".to_owned();
        for slot in ALL {
            line += &format!(" --password-file {slot}=pw-{slot}");
        }
        host.run(&line).ok();
    }
}

/// Objects as files.
pub struct Blobs {
    pub folder: PathBuf,
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl Blobs {
    pub fn names(&self) -> Vec<String> {
        self.blobs.keys().cloned().collect()
    }

    /// A slot's folder holds what was acknowledged, whole, and nothing that is not one of these under its own name.
    #[track_caller]
    pub fn assert_hold(&self, slot: &Path, acknowledged: &[String]) {
        let there = contents(slot);
        for (name, blob) in &there {
            assert_eq!(
                Some(blob),
                self.blobs.get(name),
                "{name} is there and is not what was copied"
            );
        }
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|name| !there.contains_key(*name))
            .collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}

/// Runs and says how long it took.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = act();
    (done, start.elapsed())
}

/// Fails when something took longer than a deadline and what this machine may add to it.
#[track_caller]
pub fn assert_within(taken: Duration, deadline_secs: u64, what: &str) {
    let most = Duration::from_secs(deadline_secs) + SLACK;
    assert!(
        taken < most,
        "{what} took {taken:?} with a deadline of {deadline_secs} s"
    );
}
