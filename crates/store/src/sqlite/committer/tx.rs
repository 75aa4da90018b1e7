//! What a write sees of the transaction it is part of.

use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};

use crate::rules::TakenRuns;
use crate::sqlite::fault::sql;
use crate::sqlite::{Result, query};

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
