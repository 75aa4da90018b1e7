//! What a write sees of the transaction it is part of.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};

use crate::fault::sql;
use crate::{Result, query};
use slotfs_object::SlotId;

/// Which search for a free handle a run of taken handles belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// Up from the handle that the caller asked for.
    FromWish,
    /// Up from the lowest handle.
    FromLowest,
}

/// For each slot and search, a run of handles that are all taken.
pub(crate) type TakenRuns = HashMap<(SlotId, Pass), RangeInclusive<u32>>;

/// The transaction that a write is part of.
pub(crate) struct Tx<'a> {
    /// The connection, inside a transaction, and inside a savepoint where the transaction has several writes.
    pub(crate) connection: &'a Connection,
    /// The store, for errors.
    pub(crate) path: &'a Path,
    /// Known runs of taken handles.
    pub(crate) taken_runs: &'a mut TakenRuns,
    /// Set by a write that destroys something.
    pub(crate) erases: bool,
    /// Set by a write that changes objects only, and no other row of a slot.
    pub(crate) spares_slots: bool,
}

impl Tx<'_> {
    /// Forgets the runs of taken handles of a slot: one of these handles may be free now.
    pub(crate) fn forget_runs(&mut self, slot: SlotId) {
        for pass in [Pass::FromWish, Pass::FromLowest] {
            self.taken_runs.remove(&(slot, pass));
        }
    }

    /// Runs `work` on the connection.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(self.connection).map_err(sql(self.path))
    }

    /// [`query::row`]
    pub(crate) fn row<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> T,
    ) -> Result<Option<T>> {
        self.with(|connection| query::row(connection, text, params, read))
    }

    /// [`query::rows`]
    pub(crate) fn rows<T, C: FromIterator<T>>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> T,
    ) -> Result<C> {
        self.with(|connection| query::rows(connection, text, params, read))
    }

    /// [`query::value`]
    pub(crate) fn value<T: FromSql>(&self, text: &str, params: impl Params) -> Result<T> {
        self.with(|connection| query::value(connection, text, params))
    }

    /// [`query::execute`]
    pub(crate) fn execute(&self, text: &str, params: impl Params) -> Result<usize> {
        self.with(|connection| query::execute(connection, text, params))
    }
}
