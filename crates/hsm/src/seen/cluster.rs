//! Notices that the cluster of a store went back, or that another one is in its place.
//!
//! A location, as it is spelled, is remembered with the id of the cluster that answered there. Everything else is
//! remembered under that id and the store's name: members that are added or called otherwise change nothing of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::marks::Mark;
use super::{Seen, iso_8601, mark_of, nanos_now};
use crate::shared::Shared;
use crate::{Result, SlotId, StoreFault};
use slotfs_store::SlotVersion;

/// Where the mark of a cluster is among those of slots. A store in a cluster has no slot of this number.
const CLUSTER: SlotId = SlotId(u32::MAX);
/// How often a process that goes on writes down how far the cluster has got.
const REMEMBER: Duration = Duration::from_secs(60);

impl Shared {
    /// The files in `folder` of what was seen of the store, and of its cluster's location.
    pub(super) fn remember_at(&self, folder: &std::result::Result<PathBuf, String>) {
        let of = |store: &Path| Ok(Folder::of_store(folder.clone()?, store));
        let path = self.store.path();
        let store = match self.store.cluster() {
            None => path.to_owned(),
            Some((id, _)) => self.named_by(id),
        };
        // Set once, by the one who opened the store.
        let _ = self.seen.folder.set(of(&store));
        if store != path {
            let _ = self.located.folder.set(of(path));
        }
    }

    /// What stands for the store's path when it is in the cluster with this id.
    fn named_by(&self, id: u64) -> PathBuf {
        let name = self.store.path().file_name().unwrap_or_default();
        PathBuf::from(format!("etcd:{id:x}/{}", name.to_string_lossy()))
    }

    /// Refuses a cluster that is another one than was seen here, or that went back to an earlier revision, and else
    /// remembers it. A store in a file passes.
    ///
    /// # Errors
    /// [`StoreFault::WentBack`]
    pub fn check_cluster(&self) -> Result<()> {
        let now = match self.cluster_mark() {
            Some(now) => now,
            // It may have gone back since this process first saw it.
            None => match self.store.ask_cluster()? {
                None => return Ok(()),
                Some(now) => mark_of_cluster(now),
            },
        };
        let mut met = self.meets_cluster(now);
        // Another process may have seen and remembered more since this one last asked.
        if met.is_err()
            && let Some(now) = self.store.ask_cluster()?
        {
            met = self.meets_cluster(mark_of_cluster(now));
        }
        met.map_err(|what| StoreFault::WentBack(what).at(self.store.path()))?;
        self.seen.cluster.store(true, Ordering::Release);
        Ok(())
    }

    fn meets_cluster(&self, now: SlotVersion) -> std::result::Result<(), String> {
        let located = SlotVersion {
            generation: 0,
            ..now
        };
        self.located.meets(located).map_err(|before| {
            format!(
                "another cluster is there than was seen on {}: {:x} in the place of {:x}",
                iso_8601(before.seen_secs),
                now.serial,
                before.serial
            )
        })?;
        self.seen.meets(now).map_err(|before| {
            format!(
                "its cluster went back to an older state, of revision {} after {}, which was seen on {}",
                now.generation,
                before.generation,
                iso_8601(before.seen_secs)
            )
        })
    }

    /// Writes down how far the cluster has got since the login: what this process committed is never to be undone.
    pub(crate) fn remember_cluster(&self) {
        if let Some(now) = self.cluster_mark()
            && self.seen.cluster.load(Ordering::Acquire)
        {
            self.seen.raise(now);
        }
    }

    /// The same, at most once a minute.
    pub(crate) fn remember_cluster_now_and_then(&self) {
        {
            let mut last = self.seen.remembered();
            if last.is_some_and(|last: Instant| last.elapsed() < REMEMBER) {
                return;
            }
            *last = Some(Instant::now());
        }
        self.remember_cluster();
    }

    /// The cluster as it is counts from now on.
    pub(super) fn accept_cluster(&self) {
        let Some(now) = self.cluster_mark() else {
            return;
        };
        self.take_over_marks(now.serial);
        self.seen.accept_cluster(now);
        self.located.accept_cluster(SlotVersion {
            generation: 0,
            ..now
        });
    }

    /// Keeps what was seen of the slots in the cluster that was at this location before the one with this `id`: the
    /// snapshot that it was made from may be older, and a slot is accepted by its own name.
    fn take_over_marks(&self, id: u64) {
        let before = self.located.until_now();
        let Some(before) = before.last(CLUSTER).filter(|before| before.serial != id) else {
            return;
        };
        let Some(Ok(folder)) = self.seen.folder.get() else {
            return;
        };
        if let Some(marks) = folder
            .beside(&self.named_by(before.serial))
            .read_if_possible()
        {
            let marks = marks.without(CLUSTER);
            self.seen.update(|mine| mine.merge(&marks));
        }
    }

    fn cluster_mark(&self) -> Option<SlotVersion> {
        self.store.cluster().map(mark_of_cluster)
    }
}

/// The cluster's id in the place of a serial, and its revision in that of a generation.
fn mark_of_cluster((id, revision): (u64, i64)) -> SlotVersion {
    SlotVersion {
        slot: CLUSTER,
        serial: id,
        generation: revision.unsigned_abs(),
    }
}

impl Seen {
    /// Remembers the cluster, unless another one or a later state was seen before, which is then given back.
    fn meets(&self, now: SlotVersion) -> std::result::Result<(), Mark> {
        let before = self.update(|marks| {
            let before = marks.last(CLUSTER).copied();
            let fits =
                before.is_none_or(|it| it.serial == now.serial && it.generation <= now.generation);
            if fits {
                marks.put(mark_of(now, marks));
            }
            before.filter(|_| !fits)
        });
        before.map_or(Ok(()), Err)
    }

    fn accept_cluster(&self, now: SlotVersion) {
        let accepted_nanos = nanos_now();
        self.update(|marks| {
            marks.put(Mark {
                accepted_nanos,
                ..mark_of(now, marks)
            });
        });
    }
}
