//! The shapes of a query: a row or none, all rows, one value, no rows. Each statement is compiled once and kept by its
//! connection.

use rusqlite::types::FromSql;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

/// The column that version 4 added to objects and trash.
const CHANGED: &str = "changed_secs";

/// A statement, compiled. A store of an earlier version that is open for reading lacks [`CHANGED`]: there, no object was
/// changed. Asking SQLite, and not the version, notices it when another process upgrades the store.
pub(crate) fn prepare<'a>(
    connection: &'a Connection,
    text: &str,
) -> rusqlite::Result<CachedStatement<'a>> {
    let prepared = connection.prepare_cached(text);
    match &prepared {
        Err(error) if text.contains(CHANGED) && error.to_string().contains("no such column") => {
            let none = format!("NULL AS {CHANGED}");
            let text = text.replace("o.changed_secs", CHANGED);
            connection.prepare_cached(&text.replace(CHANGED, &none))
        }
        _ => prepared,
    }
}

/// The first row of a query, if it has any.
pub(crate) fn row<T>(
    connection: &Connection,
    text: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> T,
) -> rusqlite::Result<Option<T>> {
    let mut query = prepare(connection, text)?;
    query.query_row(params, |row| Ok(read(row))).optional()
}

/// Every row of a query.
pub(crate) fn rows<T, C: FromIterator<T>>(
    connection: &Connection,
    text: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> T,
) -> rusqlite::Result<C> {
    let mut query = prepare(connection, text)?;
    query.query_map(params, |row| Ok(read(row)))?.collect()
}

/// The only value of a query that always has one.
pub(crate) fn value<T: FromSql>(
    connection: &Connection,
    text: &str,
    params: impl Params,
) -> rusqlite::Result<T> {
    let mut query = prepare(connection, text)?;
    query.query_row(params, |row| row.get(0))
}

/// Runs a statement without rows; how many rows it changed.
pub(crate) fn execute(
    connection: &Connection,
    text: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    prepare(connection, text)?.execute(params)
}
