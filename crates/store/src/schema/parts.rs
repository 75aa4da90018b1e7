//! What a store's schema must not hold before anything is written to it. Whoever can write the file, without any
//! password, can add a trigger that destroys or copies what we write, or put a view in the place of a table.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// Type and name of a part, with its table and the text that made it.
type Parts = BTreeMap<(String, String), (String, Option<String>)>;

/// Why a store whose schema should be what `make` makes must not be written to; `None` when it is that. A table
/// of a name that is not ours is left alone: nothing of ours reads or writes it.
pub fn foreign(
    connection: &Connection,
    make: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<Option<String>> {
    let expected = Connection::open_in_memory()?;
    make(&expected)?;
    let (expected, there) = (parts(&expected)?, parts(connection)?);
    let changed = expected.iter().find_map(|(part, made)| {
        let (kind, name) = part;
        match there.get(part) {
            None => Some(format!("its {kind} {name} is missing")),
            // To the letter: ON CONFLICT REPLACE in a table is as good as a trigger.
            Some(other) if other != made => Some(format!("its {kind} {name} was changed")),
            Some(_) => None,
        }
    });
    let ours = |table: &str| {
        expected
            .keys()
            .any(|(kind, name)| kind == "table" && name.eq_ignore_ascii_case(table))
    };
    let added = there.iter().find_map(|(part, (table, _))| {
        let (kind, name) = part;
        let acts = matches!(kind.as_str(), "trigger" | "view") || (kind == "index" && ours(table));
        (acts && !expected.contains_key(part))
            .then(|| format!("the {kind} {name} is no part of a store"))
    });
    // What was added tells more than what it displaced.
    Ok(added.or(changed))
}

fn parts(connection: &Connection) -> rusqlite::Result<Parts> {
    connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?
        .query_map([], |row| {
            Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
        })?
        .collect()
}
