//! The store: every slot with its objects, in one of two engines (docs/architecture.md, "At rest").
//!
//! It takes sealed rows and never opens one, so plaintext cannot reach a disk or a network by mistake. [`Store`] passes each
//! call to its engine: a SQLite file, the store of one host, or, with the feature `etcd`, keys in an etcd cluster that several
//! hosts share. What a write does is in `rules`, for both; each engine has its own way to read and to commit.

use std::path::Path;
use std::time::Duration;

mod brief;
mod calls;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod location;
mod mark;
mod rows;
mod rules;
mod sqlite;

pub use brief::briefly;
pub use error::{Error, Result, SlotFault, StoreFault};
pub use location::{check_location, is_in_cluster};
pub use mark::StateMark;
pub use rows::*;
#[cfg(any(test, feature = "traced"))]
pub use sqlite::traced;
pub use sqlite::{SCHEMA_VERSION, sqlite_version};

/// The most objects of one slot in a cluster, whose members keep every key in memory.
pub const MOST_OBJECTS_IN_CLUSTER: u64 = 1_000_000;

/// The error of a location in a cluster that this build cannot use.
#[cfg(not(feature = "etcd"))]
fn without_cluster(path: &Path) -> Error {
    let why = "this build has no engine for a store in a cluster; build it with 'cargo build --features etcd', or use the package";
    Error::failed(path, why)
}

/// An open store.
pub struct Store(Engine);

/// What holds the rows.
enum Engine {
    /// A file of this host.
    Sqlite(Box<sqlite::Store>),
    /// Keys in a cluster of several hosts.
    #[cfg(feature = "etcd")]
    Etcd(etcd::Store),
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
        if is_in_cluster(path) {
            return Self::open_in_cluster(path, access, false);
        }
        let store = sqlite::Store::open(path, access)?;
        Ok(Self(Engine::Sqlite(Box::new(store))))
    }

    /// Opens the store at `path`, or makes an empty one there: the file 0600, its folder 0700.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_or_create(path: &Path) -> Result<Self> {
        if is_in_cluster(path) {
            return Self::open_in_cluster(path, Access::ReadWrite, true);
        }
        let store = sqlite::Store::open_or_create(path)?;
        Ok(Self(Engine::Sqlite(Box::new(store))))
    }

    #[cfg(feature = "etcd")]
    fn open_in_cluster(path: &Path, access: Access, create: bool) -> Result<Self> {
        let store = etcd::Store::open(path, access, create)?;
        Ok(Self(Engine::Etcd(store)))
    }

    #[cfg(not(feature = "etcd"))]
    fn open_in_cluster(path: &Path, _access: Access, _create: bool) -> Result<Self> {
        Err(without_cluster(path))
    }

    /// The cluster that a store is in, and the highest revision of it that this process has seen: it never goes back,
    /// unless somebody puts an old copy in its place. `None` for a file, and once that happened.
    pub fn cluster(&self) -> Option<(u64, i64)> {
        match &self.0 {
            Engine::Sqlite(_) => None,
            #[cfg(feature = "etcd")]
            Engine::Etcd(store) => store.cluster(),
        }
    }

    /// The same, asked for now. `None` for a file.
    ///
    /// # Errors
    /// When the cluster does not answer, or went back since this process first saw it.
    pub fn ask_cluster(&self) -> Result<Option<(u64, i64)>> {
        match &self.0 {
            Engine::Sqlite(_) => Ok(None),
            #[cfg(feature = "etcd")]
            Engine::Etcd(store) => store.ask_cluster().map(Some),
        }
    }

    /// How old a request's knowledge of other processes' commits may be.
    pub fn fresh_for(&self) -> Duration {
        match &self.0 {
            Engine::Sqlite(_) => FRESH_FOR,
            #[cfg(feature = "etcd")]
            Engine::Etcd(store) => store.fresh_for(),
        }
    }
}
