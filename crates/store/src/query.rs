//! The shapes of a query: a row or none, all rows, one value, no rows. Each statement is compiled once and kept by its
//! connection.

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Row};

/// The first row of a query, if it has any.
pub(crate) fn row<T>(
    connection: &Connection,
    text: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> T,
) -> rusqlite::Result<Option<T>> {
    let mut query = connection.prepare_cached(text)?;
    query.query_row(params, |row| Ok(read(row))).optional()
}

/// Every row of a query.
pub(crate) fn rows<T, C: FromIterator<T>>(
    connection: &Connection,
    text: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> T,
) -> rusqlite::Result<C> {
    let mut query = connection.prepare_cached(text)?;
    query.query_map(params, |row| Ok(read(row)))?.collect()
}

/// The only value of a query that always has one.
pub(crate) fn value<T: FromSql>(
    connection: &Connection,
    text: &str,
    params: impl Params,
) -> rusqlite::Result<T> {
    let mut query = connection.prepare_cached(text)?;
    query.query_row(params, |row| row.get(0))
}

/// Runs a statement without rows; how many rows it changed.
pub(crate) fn execute(
    connection: &Connection,
    text: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(text)?.execute(params)
}
