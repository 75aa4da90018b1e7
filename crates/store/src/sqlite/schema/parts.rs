//! In what way a store's schema differs from the one that slotfs makes.
//!
//! Anyone who can write the file, without any password, can add a trigger that destroys or copies what slotfs writes, or
//! replace a table with a view.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::make_tables_of;
use crate::sqlite::query;

/// Type and name of a part.
type Part = (String, String);
/// Every part of a schema, with its table and the text that made it.
type Parts = BTreeMap<Part, (String, Option<String>)>;

/// Every difference from the schema of the store's version. The texts are compared to the letter: with
/// `ON CONFLICT REPLACE`, a table is as harmful as with a trigger.
pub(crate) fn differences(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let (expected, there) = both(connection, super::user_version(connection)?)?;
    let changed = changed(&expected, &there).map(|what| format!("the {what}"));
    let added = there
        .keys()
        .filter(|part| !expected.contains_key(*part))
        // ANALYZE leaves its own tables, which change nothing that is read.
        .filter(|(_, name)| !name.starts_with("sqlite_stat"))
        .map(no_part);
    Ok(changed.chain(added).collect())
}

/// Why a store of this version must not be written to; `None` when its schema is as slotfs makes it. Other tables are
/// ignored: slotfs neither reads nor writes them.
pub(super) fn foreign(connection: &Connection, version: i32) -> rusqlite::Result<Option<String>> {
    let (expected, there) = both(connection, version)?;
    let ours = |table: &str| {
        expected
            .keys()
            .any(|(kind, name)| kind == "table" && name.eq_ignore_ascii_case(table))
    };
    let added = there.iter().find_map(|(part, (table, _))| {
        let kind = part.0.as_str();
        let acts = matches!(kind, "trigger" | "view") || (kind == "index" && ours(table));
        (acts && !expected.contains_key(part)).then(|| no_part(part))
    });
    // An added part tells more than the part that it displaced.
    let mut changed = changed(&expected, &there).map(|what| format!("its {what}"));
    Ok(added.or_else(|| changed.next()))
}

fn no_part((kind, name): &Part) -> String {
    format!("the {kind} {name} is no part of a store")
}

/// The parts that are missing or changed.
fn changed(expected: &Parts, there: &Parts) -> impl Iterator<Item = String> {
    expected.iter().filter_map(|(part, made)| {
        let (kind, name) = part;
        match there.get(part) {
            None => Some(format!("{kind} {name} is missing")),
            Some(other) if other != made => Some(format!("{kind} {name} was changed")),
            Some(_) => None,
        }
    })
}

/// The parts that a store of this version has, and those of the open store.
fn both(connection: &Connection, version: i32) -> rusqlite::Result<(Parts, Parts)> {
    let expected = Connection::open_in_memory()?;
    make_tables_of(&expected, version)?;
    Ok((parts(&expected)?, parts(connection)?))
}

fn parts(connection: &Connection) -> rusqlite::Result<Parts> {
    let text = "SELECT type, name, tbl_name, sql FROM sqlite_schema";
    query::rows(connection, text, [], |row| {
        Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
    })
    .flatten()
}
