//! The engine of one host: a SQLite file that holds every slot (docs/architecture.md, "At rest"). The only code that touches
//! rusqlite.
//!
//! Reads run on a pool of connections that never write; short ones run on the writing connection when it is free. Every
//! write goes through the one committer, which answers only after the commit is on disk.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Params, Row};

use slotfs_object::{Handle, SlotId, shown};

mod backup;
mod cells;
mod change;
mod check;
mod committer;
mod contradictions;
mod copy;
mod credentials;
mod damaged;
mod fault;
mod identity;
mod kind;
mod mark;
mod objects;
mod others;
mod overwrite;
mod query;
mod schema;
mod shared_memory;
mod slots;
#[cfg(any(test, feature = "traced"))]
pub mod traced;
mod wal_index;

/// The version of the schema that this build writes; it opens all earlier ones.
pub const SCHEMA_VERSION: i32 = schema::VERSION;

/// The version of SQLite.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

use crate::error::{Error, Result, SlotFault, StoreFault};
use crate::rows::*;
use crate::{Access, CommitStats, FRESH_FOR, Reply};

pub(crate) use copy::load;

use committer::{Committer, SlotCommits, Work, job};
use fault::sql;
use identity::{Before, Identity};

/// A store in an open file.
pub struct Store {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    open_reader: OpenReader,
    watch: Mutex<Watch>,
    /// `None` when the store is open read-only.
    committer: Option<Committer>,
    created_secs: u64,
    /// Row ids that are reserved and not yet given out.
    reserved: Mutex<Range<i64>>,
    missing: Mutex<Option<Missing>>,
    // Last: it holds a file that must be closed after all connections.
    identity: Arc<Identity>,
}

/// How this store's readers are opened.
#[derive(Clone, Copy)]
enum OpenReader {
    Shared,
    /// `immutable=1`: no locks, no shared memory.
    Immutable,
}

/// A handle without an object. To create one file, the kernel asks twice whether there is one.
struct Missing {
    slot: SlotId,
    handle: Handle,
    /// How many commits this process had made.
    commits: u64,
    at: Instant,
}

/// A connection that only asks whether there was a commit since.
struct Watch {
    connection: Connection,
    data_version: i64,
    slot_commits: Option<SlotCommits>,
}

impl Store {
    /// Opens the store at `path`, which must exist.
    ///
    /// # Errors
    /// [`Error::Store`] when it is missing, not a store, of a later version or not readable;
    /// [`Error::Damaged`] when SQLite reports damage.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        Self::check_before_opening(path)?;
        if !path.exists() {
            return Err(StoreFault::Missing.at(path));
        }
        match access {
            Access::ReadWrite => Self::open_writable(path, false),
            Access::ReadOnly if is_on_read_only_filesystem(path) => Self::open_immutable(path),
            Access::ReadOnly => Self::open_shared(path),
        }
    }

    /// Opens the store at `path`, or makes an empty one there: the file 0600, its folder 0700.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_or_create(path: &Path) -> Result<Self> {
        Self::check_before_opening(path)?;
        schema::create_file(path)?;
        Self::open_writable(path, true)
    }

    fn check_before_opening(path: &Path) -> Result<()> {
        fault::check_library(path)?;
        kind::check(path)?;
        others::check(path)
    }

    /// `create`: makes the tables if the file is empty; otherwise an empty file is no store.
    fn open_writable(path: &Path, create: bool) -> Result<Self> {
        let read_only = || StoreFault::ReadOnly.at(path);
        if is_on_read_only_filesystem(path) {
            return Err(read_only());
        }
        let before = Before::opening(path)?;
        let connection = fault::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // SQLite opens a file that it cannot write for reading, and reports no error.
        if connection.is_readonly("main").map_err(sql(path))? {
            return Err(read_only());
        }
        schema::prepare(path, &connection, create)?;
        let identity = Arc::new(Identity::record(path, before)?);
        let committer = Committer::start(path, connection, Arc::clone(&identity))?;
        Self::with_readers(path, OpenReader::Shared, Some(committer), identity)
    }

    /// For reading, while other processes may write.
    fn open_shared(path: &Path) -> Result<Self> {
        let before = Before::opening(path)?;
        // Open until the first reader is, so that SQLite keeps its files.
        let connection = OpenReader::Shared.open(path)?;
        let identity = Arc::new(Identity::record(path, before)?);
        let store = Self::with_readers(path, OpenReader::Shared, None, identity)?;
        drop(connection);
        Ok(store)
    }

    /// SQLite ignores a leftover WAL with `immutable=1` and would silently show an old state.
    fn open_immutable(path: &Path) -> Result<Self> {
        let wal = beside(path, "-wal");
        if std::fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
            let why = format!(
                "it is on a read-only filesystem and {} holds commits not yet in it; copy both to a writable folder and use the copy",
                shown::path(&wal)
            );
            return Err(Error::failed(path, why));
        }
        let identity = Arc::new(Identity::of_immutable(path, &Before::opening(path)?));
        Self::with_readers(path, OpenReader::Immutable, None, identity)
    }

    fn with_readers(
        path: &Path,
        open_reader: OpenReader,
        committer: Option<Committer>,
        identity: Arc<Identity>,
    ) -> Result<Self> {
        let connection = open_reader.open(path)?;
        let created_secs = schema::created_secs(path, &connection)?;
        let data_version = fault::data_version(&connection).map_err(sql(path))?;
        identity.check()?;
        Ok(Self {
            path: path.to_owned(),
            readers: Mutex::new(Vec::new()),
            open_reader,
            watch: Mutex::new(Watch {
                connection,
                data_version,
                slot_commits: committer.as_ref().and_then(Committer::slot_commits),
            }),
            committer,
            created_secs,
            reserved: Mutex::new(0..0),
            missing: Mutex::default(),
            identity,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn created_secs(&self) -> u64 {
        self.created_secs
    }

    pub fn schema_version(&self) -> Result<u32> {
        self.value("SELECT user_version FROM pragma_user_version", ())
    }

    pub fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    /// Whether the files at the store's path are still those that were opened. Takes a few microseconds.
    ///
    /// # Errors
    /// [`StoreFault::Lost`], from then on for ever; [`Error::Store`] when they cannot be looked at now.
    pub(crate) fn check_identity(&self) -> Result<()> {
        self.completing(self.identity.check())
    }

    pub fn check_identity_for_reading(&self) -> Result<()> {
        self.completing(self.identity.check_unless_just_checked())
    }

    /// Has the committer complete the log if the store is lost.
    fn completing(&self, checked: Result<()>) -> Result<()> {
        if self.identity.not_lost().is_err()
            && let Some(committer) = &self.committer
        {
            committer.complete_lost();
        }
        checked
    }

    pub fn not_lost(&self) -> Result<()> {
        self.identity.not_lost()
    }

    pub fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        self.identity.on_loss(tell);
    }

    pub fn commit_stats(&self) -> CommitStats {
        let committer = self.committer.as_ref();
        committer.map(Committer::stats).unwrap_or_default()
    }

    pub fn if_slots_changed<E: From<Error>>(
        &self,
        take_in: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut watch = lock(&self.watch);
        // The writing connection can tell this process's commits from those of others. While it is busy, the watching
        // connection answers, which cannot.
        let commits = self.committer.as_ref().and_then(Committer::slot_commits);
        if commits.is_some() && commits == watch.slot_commits {
            return Ok(());
        }
        let now = fault::data_version(&watch.connection).map_err(sql(&self.path))?;
        if commits.is_some() || now != watch.data_version {
            take_in()?;
            watch.data_version = now;
            watch.slot_commits = commits.or(watch.slot_commits);
        }
        Ok(())
    }

    /// Runs a query on a connection that never writes.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let pooled = lock(&self.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.open_another()?,
        };
        let outcome = query(&connection).map_err(sql(&self.path));
        lock(&self.readers).push(connection);
        outcome
    }

    /// The same with every statement in one transaction, so that all of them see the same state.
    fn snapshot<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.read(|connection| query(&*connection.unchecked_transaction()?))
    }

    /// The first row of a short query, if it has any.
    fn row<T>(
        &self,
        text: &str,
        params: impl Params + Clone,
        read: impl Fn(&Row<'_>) -> T,
    ) -> Result<Option<T>> {
        self.read_short(|connection| query::row(connection, text, params.clone(), &read))
    }

    /// Every row of a query.
    fn rows<T, C: FromIterator<T>>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> T,
    ) -> Result<C> {
        self.read(|connection| query::rows(connection, text, params, read))
    }

    /// The only value of a query that always has one.
    fn value<T: FromSql>(&self, text: &str, params: impl Params) -> Result<T> {
        self.read(|connection| query::value(connection, text, params))
    }

    /// One more connection that never writes. If the file was replaced, it would show another store.
    fn open_another(&self) -> Result<Connection> {
        self.identity.check()?;
        let connection = self.open_reader.open(&self.path)?;
        self.identity.check()?;
        Ok(connection)
    }

    /// As [`Self::read`], for a query that takes few pages: on the writing connection when it is free.
    fn read_short<T>(&self, query: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let committer = self.committer.as_ref();
        match committer.and_then(|writer| writer.read(&query)) {
            Some(found) => Ok(found),
            None => self.read(query),
        }
    }

    /// Commits `work`; `reply` is called with the outcome once that is durable, or with the error: on this thread, or on
    /// the thread of another writer. The caller holds no lock that `work` or `reply` takes.
    fn write<T: Send + 'static>(&self, work: impl Work<T>, reply: impl Reply<T>) {
        match self.committer() {
            Ok(committer) => committer.submit(job(work, reply)),
            Err(error) => reply(Err(error)),
        }
    }

    /// As [`Self::write`], on the committer's own thread.
    fn write_and_go_on<T: Send + 'static>(&self, work: impl Work<T>, reply: impl Reply<T>) {
        match self.committer() {
            Ok(committer) => committer.submit_and_go_on(job(work, reply)),
            Err(error) => reply(Err(error)),
        }
    }

    fn committer(&self) -> Result<&Committer> {
        let committer = self.committer.as_ref();
        committer.ok_or_else(|| StoreFault::ReadOnly.at(&self.path))
    }

    /// As [`Self::write`], and waits for the outcome.
    fn write_now<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.write(work, move |outcome| {
            // The receiver waits below.
            let _ = sender.send(outcome);
        });
        let stopped = |_| Err(Error::failed(&self.path, "the committer stopped"));
        receiver.recv().unwrap_or_else(stopped)
    }
}

impl OpenReader {
    fn open(self, path: &Path) -> Result<Connection> {
        let connection = match self {
            Self::Shared => fault::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            Self::Immutable => fault::open_immutable(path)?,
        };
        // A reader waits for a lock only while another process recovers the WAL.
        let timeout = Duration::from_secs(10);
        connection.busy_timeout(timeout).map_err(sql(path))?;
        schema::check(path, &connection)?;
        schema::complete_for_reading(path, &connection)?;
        Ok(connection)
    }
}

/// Locks a mutex, also after a panic: no panic leaves a half-done change behind these mutexes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file beside the one at `path` whose name has `suffix` added.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_on_read_only_filesystem(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path)
        .is_ok_and(|fs| fs.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
}
