//! Values of wrong types in a store, as a changed file may have them. Also a module of the program's tests.

use std::path::Path;

use rusqlite::Connection;

/// Runs `change` while the tables are neither STRICT nor NOT NULL, and puts their text back.
pub fn without_types(path: &Path, change: &str) {
    let schema = |sql: &str| {
        Connection::open(path)
            .unwrap()
            .execute_batch(&format!(
                "PRAGMA synchronous = OFF; PRAGMA writable_schema = ON; {sql}; PRAGMA writable_schema = RESET"
            ))
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    schema(
        "CREATE TABLE kept AS SELECT name, sql FROM sqlite_schema WHERE type = 'table';
         UPDATE sqlite_schema SET sql = replace(replace(sql, ' STRICT', ''), 'NOT NULL', '')
         WHERE type = 'table' AND name NOT IN ('kept', 'sqlite_sequence')",
    );
    Connection::open(path)
        .unwrap()
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON; {change}"
        ))
        .unwrap_or_else(|error| panic!("{change}: {error}"));
    schema(
        "UPDATE sqlite_schema SET sql = (SELECT k.sql FROM kept k WHERE k.name = sqlite_schema.name)
         WHERE type = 'table' AND name IN (SELECT name FROM kept)",
    );
    Connection::open(path)
        .unwrap()
        .execute_batch("DROP TABLE kept")
        .unwrap();
}
