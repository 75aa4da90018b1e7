//! Opening connections, and the meaning of SQLite's errors.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::sqlite::{Error, StoreFault};

/// SQLite 3.51.3 fixes a WAL reset that could lose a commit when several processes write.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Refuses a SQLite library with a known WAL bug.
pub(crate) fn check_library(path: &Path) -> Result<(), Error> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        let why = format!(
            "SQLite {} is too old, 3.51.3 is needed",
            rusqlite::version()
        );
        return Err(Error::failed(path, why));
    }
    Ok(())
}

/// Opens and configures a connection.
pub(crate) fn open(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    // An absolute path: SQLite would not take the names `:memory:` and `file:...` for files.
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(sql(path))?;
    #[cfg(any(test, feature = "traced"))]
    let connection = super::traced::traced(connection);
    configure(path, &connection)?;
    Ok(connection)
}

/// Opens a database on a read-only filesystem.
pub(crate) fn open_immutable(path: &Path) -> Result<Connection, Error> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).map_err(sql(path))?;
    configure(path, &connection)?;
    Ok(connection)
}

fn configure(path: &Path, connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(64);
    // Makes the plan depend on the statement alone. Otherwise SQLite compiles statements with `slot = ?` again at each use:
    // the bound value could influence the plan, and a kept statement forgets its bound values.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(sql(path))?;
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;",
        )
        .map_err(sql(path))
}

/// Changes whenever another connection has committed.
pub(crate) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// Converts SQLite's errors on the store at `path`.
pub(crate) fn sql(path: &Path) -> impl Fn(rusqlite::Error) -> Error + '_ {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::DiskFull.at(path),
        _ if is_file_size(&error) => StoreFault::DiskFull.at(path),
        Some(ErrorCode::ReadOnly) => StoreFault::ReadOnly.at(path),
        Some(ErrorCode::DatabaseCorrupt) => {
            Error::Damaged(format!("{}: {error}", slotfs_object::shown::path(path)))
        }
        Some(ErrorCode::NotADatabase) => Error::failed(path, "it is not a slotfs store"),
        _ if is_unreadable(&error) => {
            Error::Damaged(format!("{}: {error}", slotfs_object::shown::path(path)))
        }
        _ => Error::failed(path, error),
    }
}

/// Whether a write may have failed at the limit of file sizes (RLIMIT_FSIZE): that is a lack of room, and no damage.
fn is_file_size(error: &rusqlite::Error) -> bool {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    use rusqlite::ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE};
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(SQLITE_IOERR_WRITE | SQLITE_IOERR_TRUNCATE | SQLITE_IOERR_SHMSIZE)
    ) && getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// Whether the store's content caused `error`: a damaged page, or a value that slotfs does not write.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::SystemIoFailure)
    ) || is_unreadable(error)
}

fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    )
}
