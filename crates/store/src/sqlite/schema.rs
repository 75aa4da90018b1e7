//! The tables of each schema version, migration, and the check that a file is a store.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::Connection;

use super::fault::sql;
use super::{cells, query};
use crate::sqlite::{Error, Result, StoreFault};
use slotfs_object::{now_secs, shown};

mod parts;

pub(super) use parts::differences;

/// "SLOT", so that file(1) and we know a store from another database.
const APPLICATION_ID: i32 = 0x534c_4f54;
/// The schema's version; a later one is refused.
pub const VERSION: i32 = 4;
/// The first version. It and all later ones are opened.
const FIRST_VERSION: i32 = 1;

/// The tables of version 1. docs/security.md, "What is in clear in the store's file", lists the columns in clear; `header`,
/// `wrapped` and `sealed` are ciphertext. Triggers keep `usage`, so that capacity checks and statfs need not count rows.
const FIRST_TABLES: &str = "
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    created_secs INTEGER NOT NULL
) STRICT;
CREATE TABLE slots (
    slot INTEGER PRIMARY KEY CHECK (slot BETWEEN 0 AND 4294967295),
    serial INTEGER NOT NULL UNIQUE,
    label TEXT NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    capacity_objects INTEGER NOT NULL,
    capacity_bytes INTEGER NOT NULL,
    retention_secs INTEGER NOT NULL,
    policies TEXT NOT NULL,
    uid INTEGER,
    gid INTEGER,
    created_secs INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    header BLOB NOT NULL
) STRICT;
CREATE TABLE credentials (
    id INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    role INTEGER NOT NULL,
    memory_kib INTEGER NOT NULL,
    passes INTEGER NOT NULL,
    lanes INTEGER NOT NULL,
    salt BLOB NOT NULL,
    commitment BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    UNIQUE (slot, role)
) STRICT;
CREATE TABLE domains (
    id INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    kind INTEGER NOT NULL,
    label TEXT NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (slot, label)
) STRICT;
CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    handle INTEGER NOT NULL CHECK (handle BETWEEN 1 AND 4294967295),
    ouid BLOB NOT NULL CHECK (length(ouid) = 16),
    payload_bytes INTEGER NOT NULL CHECK (payload_bytes BETWEEN 1 AND 65536),
    created_secs INTEGER NOT NULL,
    stored_secs INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (slot, handle),
    UNIQUE (slot, ouid)
) STRICT;
CREATE TABLE usage (
    slot INTEGER PRIMARY KEY REFERENCES slots ON DELETE CASCADE,
    objects INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TRIGGER slot_usage AFTER INSERT ON slots BEGIN
    INSERT INTO usage (slot) VALUES (new.slot);
END;
CREATE TRIGGER object_added AFTER INSERT ON objects BEGIN
    UPDATE usage SET objects = objects + 1, bytes = bytes + new.payload_bytes WHERE slot = new.slot;
END;
CREATE TRIGGER object_removed AFTER DELETE ON objects BEGIN
    UPDATE usage SET objects = objects - 1, bytes = bytes - old.payload_bytes WHERE slot = old.slot;
END;
CREATE TRIGGER object_moved AFTER UPDATE OF slot ON objects WHEN old.slot <> new.slot BEGIN
    UPDATE usage SET objects = objects - 1, bytes = bytes - old.payload_bytes WHERE slot = old.slot;
    UPDATE usage SET objects = objects + 1, bytes = bytes + new.payload_bytes WHERE slot = new.slot;
END;
";

/// The tables that version 2 added. A row of `trash` is a row of `objects` that was unlinked; it keeps its id. `nth` counts
/// the rows that had the same handle. It is a separate table, so that no query for objects can find such a row.
const TRASH_TABLES: &str = "
CREATE TABLE trash (
    id INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    handle INTEGER NOT NULL CHECK (handle BETWEEN 1 AND 4294967295),
    ouid BLOB NOT NULL CHECK (length(ouid) = 16),
    payload_bytes INTEGER NOT NULL CHECK (payload_bytes BETWEEN 1 AND 65536),
    created_secs INTEGER NOT NULL,
    stored_secs INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    trashed_secs INTEGER NOT NULL,
    nth INTEGER NOT NULL CHECK (nth BETWEEN 1 AND 4294967295),
    UNIQUE (slot, handle, nth)
) STRICT;
CREATE INDEX trash_by_slot ON trash (slot);
CREATE INDEX trash_by_ouid ON trash (slot, ouid);
CREATE INDEX trash_by_time ON trash (slot, trashed_secs);
CREATE TABLE trash_usage (
    slot INTEGER PRIMARY KEY REFERENCES slots ON DELETE CASCADE,
    objects INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// The counters of version 2. They start with the slots that the store has.
const TRASH_TRIGGERS: &str = "
INSERT INTO trash_usage (slot) SELECT slot FROM slots;
CREATE TRIGGER slot_trash_usage AFTER INSERT ON slots BEGIN
    INSERT INTO trash_usage (slot) VALUES (new.slot);
END;
CREATE TRIGGER trash_added AFTER INSERT ON trash BEGIN
    UPDATE trash_usage SET objects = objects + 1 WHERE slot = new.slot;
END;
CREATE TRIGGER trash_removed AFTER DELETE ON trash BEGIN
    UPDATE trash_usage SET objects = objects - 1 WHERE slot = old.slot;
END;
";

/// The tables that version 3 added. `quorums`: how many shares a credential takes and the hash of each, in clear and bound
/// into the credential. `smks`: storage master keys, sealed.
const KIND_TABLES: &str = "
CREATE TABLE quorums (
    credential INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    m INTEGER NOT NULL CHECK (m BETWEEN 2 AND n),
    n INTEGER NOT NULL CHECK (n BETWEEN 2 AND 16),
    share_set BLOB NOT NULL CHECK (length(share_set) = 16),
    shares BLOB NOT NULL CHECK (length(shares) = 32 * n)
) STRICT;
CREATE INDEX quorums_by_slot ON quorums (slot);
CREATE TABLE smks (
    id INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX smks_by_slot ON smks (slot);
";

/// The table that version 4 added: the public half of each role's pair, and the slot key encapsulated to it.
const PAIR_TABLES: &str = "
CREATE TABLE pairs (
    credential INTEGER PRIMARY KEY,
    slot INTEGER NOT NULL REFERENCES slots ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    public_key BLOB NOT NULL CHECK (length(public_key) = 1216),
    encapsulation BLOB NOT NULL CHECK (length(encapsulation) = 1120),
    wrapped BLOB NOT NULL CHECK (length(wrapped) IN (48, 96)),
    authentication BLOB NOT NULL
) STRICT;
CREATE INDEX pairs_by_slot ON pairs (slot);
";

/// The columns that version 4 added: when an object was described anew; NULL at birth. They change no row that is there.
const CHANGED_COLUMNS: &str = "
ALTER TABLE objects ADD COLUMN changed_secs INTEGER;
ALTER TABLE trash ADD COLUMN changed_secs INTEGER;
";

/// What each version added, the first one first: tables, and then the triggers that keep them and columns of earlier
/// tables, which a connection that only reads does without.
const STEPS: [[&str; 2]; VERSION as usize] = [
    [FIRST_TABLES, ""],
    [TRASH_TABLES, TRASH_TRIGGERS],
    [KIND_TABLES, ""],
    [PAIR_TABLES, CHANGED_COLUMNS],
];

/// What versions after `version` added.
fn steps_after(version: i32) -> impl Iterator<Item = &'static [&'static str; 2]> {
    STEPS.iter().skip(usize::try_from(version).unwrap_or(0))
}

/// Makes the tables of an earlier version: a store that was not opened for writing since lacks the later ones.
fn make_tables_of(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    let steps = usize::try_from(version).unwrap_or(0);
    for tables in STEPS.iter().take(steps).flatten() {
        connection.execute_batch(tables)?;
    }
    Ok(())
}

/// Makes an empty file for the store if there is none: 0600, in a folder 0700. SQLite gives its WAL the same mode.
pub(crate) fn create_file(path: &Path) -> Result<()> {
    let file_error = |source| Error::file(path, source);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(file_error)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        // An empty file that existed before may be open to other users.
        .and_then(|file| match file.metadata()?.len() {
            0 => file.set_permissions(Permissions::from_mode(0o600)),
            _ => Ok(()),
        })
        .map_err(file_error)
}

/// Makes the tables in an empty database if `may_create`, migrates an earlier version, and configures the writing
/// connection.
pub(crate) fn prepare(path: &Path, connection: &Connection, may_create: bool) -> Result<()> {
    let timeout = std::time::Duration::from_secs(10);
    connection.busy_timeout(timeout).map_err(sql(path))?;
    if is_empty(connection).map_err(sql(path))?
        && may_create
        && application_id(path, connection)? == 0
    {
        connection
            .execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;")
            .map_err(sql(path))?;
        create(path, connection)?;
    }
    let version = check(path, connection)?;
    // Before anything is written, a migration included.
    let foreign = parts::foreign(connection, version);
    if let Some(why) = foreign.map_err(sql(path))? {
        return Err(StoreFault::ForeignSchema(why).at(path));
    }
    if version < VERSION {
        migrate(path, connection, version)?;
    }
    connection
        .execute_batch(
            // Every write checks that its slot exists; a second check for each row would be slow.
            "PRAGMA foreign_keys = OFF;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA secure_delete = ON;
             PRAGMA wal_autocheckpoint = 1000;",
        )
        .map_err(sql(path))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let text = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    connection.query_row(text, [], |row| row.get(0))
}

/// In one transaction: two processes may find the file empty at the same time.
fn create(path: &Path, connection: &Connection) -> Result<()> {
    at_once(path, connection, || {
        if is_empty(connection)? {
            make_tables_of(connection, VERSION)?;
            connection.execute(
                "INSERT INTO store (id, created_secs) VALUES (1, ?1)",
                [i64::try_from(now_secs()).unwrap_or(i64::MAX)],
            )?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        Ok(())
    })
}

/// Runs `change` in one transaction.
fn at_once(
    path: &Path,
    connection: &Connection,
    change: impl FnOnce() -> rusqlite::Result<()>,
) -> Result<()> {
    let outcome = connection
        .execute_batch("BEGIN IMMEDIATE")
        .and_then(|()| change())
        .and_then(|()| connection.execute_batch("COMMIT"));
    outcome.map_err(|error| {
        if !connection.is_autocommit() {
            // The first error is the one to report.
            let _ = connection.execute_batch("ROLLBACK");
        }
        sql(path)(error)
    })
}

fn application_id(path: &Path, connection: &Connection) -> Result<i32> {
    pragma(connection, "application_id").map_err(sql(path))
}

fn user_version(connection: &Connection) -> rusqlite::Result<i32> {
    pragma(connection, "user_version")
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Adds what a store of an earlier version lacks, after a copy of the store was made beside it.
fn migrate(path: &Path, connection: &Connection, from: i32) -> Result<()> {
    let copy = super::backup::copy_before_migration(path, connection, from)?;
    log::warn!(
        "{}: its schema is upgraded from version {from} to {VERSION}; a copy of the old store is {}: delete that copy once you have checked the upgrade; it keeps objects that you destroy later",
        shown::path(path),
        shown::path(&copy)
    );
    at_once(path, connection, || {
        // Another process may have been first.
        for tables in steps_after(user_version(connection)?).flatten() {
            connection.execute_batch(tables)?;
        }
        connection.pragma_update(None, "user_version", VERSION)
    })
}

/// For a connection that only reads: adds empty temporary tables for those that a store of an earlier version lacks.
pub(crate) fn complete_for_reading(path: &Path, connection: &Connection) -> Result<()> {
    let version = user_version(connection).map_err(sql(path))?;
    for [tables, _] in steps_after(version) {
        let tables = tables
            .replace("CREATE TABLE ", "CREATE TEMP TABLE ")
            .replace("CREATE INDEX ", "CREATE INDEX temp.")
            .replace(" REFERENCES slots ON DELETE CASCADE", "");
        connection.execute_batch(&tables).map_err(sql(path))?;
    }
    Ok(())
}

/// Refuses a file that is not a store, and a version that this build does not know; the version.
pub(crate) fn check(path: &Path, connection: &Connection) -> Result<i32> {
    let refuse = |why: String| Err(Error::failed(path, why));
    if application_id(path, connection)? != APPLICATION_ID {
        return refuse("it is not a slotfs store, or it was emptied".into());
    }
    let version = user_version(connection).map_err(sql(path))?;
    if !(FIRST_VERSION..=VERSION).contains(&version) {
        return refuse(format!(
            "it has schema version {version}, this build knows {FIRST_VERSION} to {VERSION}; use the slotfs that wrote it"
        ));
    }
    Ok(version)
}

/// When the store was made. A damaged time is 0 and a warning: only the times of folders come from it.
pub(crate) fn created_secs(path: &Path, connection: &Connection) -> Result<u64> {
    let text = "SELECT created_secs FROM store";
    let created = query::row(connection, text, [], |row| cells::number(row, 0));
    let created = created.map_err(sql(path))?;
    let created = created.unwrap_or_else(|| Err("its row is missing".to_owned()));
    Ok(created.unwrap_or_else(|what| {
        log::warn!(
            "store {}: the table store is damaged: {what}; folders show the year 1970",
            shown::path(path)
        );
        0
    }))
}
