//! The store as a whole.

use std::path::Path;

use crate::rows::Piece;
use crate::{CommitStats, Error, Result, StateMark, Store, is_in_cluster};

impl Store {
    /// The store's file.
    pub fn path(&self) -> &Path {
        each!(self, path())
    }

    /// When the store was made, seconds since 1970.
    pub fn created_secs(&self) -> u64 {
        each!(self, created_secs())
    }

    /// The version of the store's schema.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn schema_version(&self) -> Result<u32> {
        each!(self, schema_version())
    }

    /// Whether the store is open for reading only.
    pub fn is_read_only(&self) -> bool {
        each!(self, is_read_only())
    }

    /// The same before a read: a check within the last 2 ms counts.
    ///
    /// # Errors
    /// [`Error::Store`] when they are others, or cannot be looked at.
    pub fn check_identity_for_reading(&self) -> Result<()> {
        each!(self, check_identity_for_reading())
    }

    /// Whether an earlier check found the store to be lost. Costs nothing.
    ///
    /// # Errors
    /// [`StoreFault::Lost`](crate::StoreFault::Lost)
    pub fn not_lost(&self) -> Result<()> {
        each!(self, not_lost())
    }

    /// Calls `tell` once, when the store is found to be lost.
    pub fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        each!(self, on_loss(tell))
    }

    /// Counters of the committer.
    pub fn commit_stats(&self) -> CommitStats {
        each!(self, commit_stats())
    }

    /// Calls `take_in` if any process committed a change that may concern the rows of a slot since `take_in` last
    /// succeeded. The check costs a few microseconds.
    ///
    /// # Errors
    /// When the store cannot be read, and those of `take_in`.
    pub fn if_slots_changed<E: From<Error>>(
        &self,
        take_in: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        each!(self, if_slots_changed(take_in))
    }

    /// Copies the store as it is now to `file`, 0600, durably; its size in bytes. `file` must not exist unless
    /// `replace` is set. The backup calls `stop` after every few MiB, and ends when that returns `true`.
    ///
    /// # Errors
    /// [`Error::Target`] and [`Error::TargetExists`] when `file` must not be written, [`Error::File`] when writing it
    /// fails, [`Error::Stopped`] by `stop`, [`Error::Damaged`] when the copy does not pass SQLite's checks. After each of
    /// them, `file` is as it was.
    pub fn backup(&self, file: &Path, replace: bool, stop: &dyn Fn() -> bool) -> Result<u64> {
        each!(self, backup(file, replace, stop))
    }

    /// Copies the store as it is at one time to `to`, rows verbatim: into a cluster, where there must be nothing of that
    /// name, or into a file as [`Self::backup`] does. It is complete, or it is no store. The copy calls `stop` after every
    /// row, and ends when that returns `true`.
    ///
    /// # Errors
    /// As [`Self::backup`]; [`Error::Store`] when something is there already, or the cluster does not answer;
    /// [`Error::Object`] and the like for a row that cannot be read, which a copy would lose.
    pub fn copy_to(&self, to: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
        let fill = |put: &mut dyn FnMut(Piece) -> Result<()>| {
            let mut put = |piece| match stop() {
                true => Err(Error::Stopped(to.to_owned())),
                false => put(piece),
            };
            each!(self, dump(&mut put))
        };
        if !is_in_cluster(to) {
            return match crate::sqlite::load(to, false, fill) {
                // Unlike a backup, it replaces nothing.
                Err(Error::TargetExists(path)) => Err(Error::Target {
                    path,
                    why: "it exists; name another file".into(),
                }),
                loaded => loaded.map(drop),
            };
        }
        #[cfg(feature = "etcd")]
        return crate::etcd::load(to, fill);
        #[cfg(not(feature = "etcd"))]
        Err(crate::without_cluster(to))
    }

    /// The state of the store now. It costs one short read of a file in memory, and no statement.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark_of_state(&self) -> Result<StateMark> {
        each!(self, mark_of_state())
    }
}
