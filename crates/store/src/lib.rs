//! The store: every slot with its objects, in one of two engines (docs/architecture.md, "At rest").
//!
//! It takes sealed rows and never opens one, so plaintext cannot reach a disk or a network by mistake. [`Store`] passes each
//! call to its engine: a SQLite file, the store of one host. Each engine has its own way to read and to commit.

use std::path::Path;
use std::time::Duration;

mod calls;
mod error;
mod mark;
mod rows;
mod rules;
mod sqlite;

pub use error::{Error, Result, SlotFault, StoreFault};
pub use mark::StateMark;
pub use rows::*;
#[cfg(any(test, feature = "traced"))]
pub use sqlite::traced;
pub use sqlite::{SCHEMA_VERSION, sqlite_version};

/// An open store.
pub struct Store(Engine);

/// What holds the rows.
enum Engine {
    /// A file of this host.
    Sqlite(sqlite::Store),
}

/// Whether the store may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only. On a read-only filesystem, not even a lock file is written.
    ReadOnly,
}

/// How old a request's knowledge of other processes' commits may be. It is far less than a process takes to end: a user
/// who waits for a command and then reads the mount sees what the command did. To copy one file, the kernel asks about
/// ten times within it.
pub const FRESH_FOR: Duration = Duration::from_micros(500);

/// Called once with the outcome of a write: on the caller's thread, or on that of another writer.
pub trait Reply<T>: FnOnce(Result<T>) + Send + 'static {}
impl<T, F: FnOnce(Result<T>) + Send + 'static> Reply<T> for F {}

/// Counters since the committer started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Transactions committed.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
}

impl Store {
    /// Opens the store at `path`, which must exist.
    ///
    /// # Errors
    /// [`Error::Store`] when it is missing, not a store, of a later version or not readable;
    /// [`Error::Damaged`] when SQLite reports damage.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        Ok(Self(Engine::Sqlite(sqlite::Store::open(path, access)?)))
    }

    /// Opens the store at `path`, or makes an empty one there: the file 0600, its folder 0700.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_or_create(path: &Path) -> Result<Self> {
        Ok(Self(Engine::Sqlite(sqlite::Store::open_or_create(path)?)))
    }
}
