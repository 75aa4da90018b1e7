//! The store as a whole.

use std::path::Path;

use crate::{CommitStats, Error, Result, StateMark, Store};

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
    /// [`StoreFault::Lost`]
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

    /// The state of the store now. It costs one short read of a file in memory, and no statement.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark_of_state(&self) -> Result<StateMark> {
        each!(self, mark_of_state())
    }
}
