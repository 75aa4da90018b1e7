//! The store: one SQLite file that holds every slot (docs/architecture.md, "At rest"). The only code that touches rusqlite.
//!
//! It takes sealed rows and never opens one, so plaintext cannot reach the disk by mistake. Reads run on
//! a pool of connections that never write, short ones on the connection that does where it is free; every write
//! goes through the one committer, which answers only after the commit is on disk.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use slotfs_object::{Handle, SlotId};

mod backup;
mod cells;
mod change;
mod check;
mod committer;
mod contradictions;
mod credentials;
mod damaged;
mod error;
mod fault;
mod identity;
mod kind;
mod objects;
mod others;
mod overwrite;
mod schema;
mod shared_memory;
mod slots;
#[cfg(any(test, feature = "traced"))]
pub mod traced;
mod wal_index;

pub use cells::Seen;
pub use change::{Changed, Objects, Reseal, SlotChange};
pub use check::{Count, ObjectRow, Part, SlotParts};
pub use committer::CommitStats;
pub use credentials::CredentialRow;
pub use damaged::{DamagedRow, Read};
pub use error::{Error, Result, SlotFault, StoreFault};
pub use objects::{Alike, Entry, Move, NameColumn, Place, Put, Same, Seal, Stored, Trashed};
pub use slots::{
    DomainRow, KeyRows, ListedSlot, NewSlot, PartitionMark, SlotRow, SlotVersion, SmkRow,
};

use committer::{Committer, SlotCommits};
use fault::sql;
use identity::{Before, Identity};

/// An open store.
pub struct Store {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    open_reader: OpenReader,
    watch: Mutex<Watch>,
    /// `None` when the store is open read-only.
    committer: Option<Committer>,
    created_secs: u64,
    /// Ids of rows that are reserved and not yet given out.
    reserved: Mutex<Range<i64>>,
    missing: Mutex<Option<Missing>>,
    // Last: it holds a file that is closed after all connections.
    identity: Arc<Identity>,
}

/// Whether the store may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only: nothing is written, not even a lock file where the filesystem is read-only.
    ReadOnly,
}

/// How this store's readers are opened.
#[derive(Clone, Copy)]
enum OpenReader {
    Shared,
    /// `immutable=1`: no locks, no shared memory.
    Immutable,
}

/// A handle that had no object: who makes a file asks twice whether there is one.
struct Missing {
    slot: SlotId,
    handle: Handle,
    /// The commits that this process had made.
    commits: u64,
    at: Instant,
}

/// How old what requests know of other processes may be. Far less than a process takes to end, so that whoever waits
/// for a command and then asks the mount is answered by what the command did; a copy of one file asks ten times in it.
pub const FRESH_FOR: Duration = Duration::from_micros(500);

/// A connection that only ever asks whether anything was committed since.
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
    /// [`Error::Damaged`] when SQLite finds it so.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        fault::check_library(path)?;
        kind::check(path)?;
        others::check(path)?;
        if !path.exists() {
            let why = "there is no store; 'slotfs partition init' makes one";
            return Err(Error::failed(path, why));
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
        fault::check_library(path)?;
        kind::check(path)?;
        others::check(path)?;
        schema::create_file(path)?;
        Self::open_writable(path, true)
    }

    /// `create`: makes the tables where the file is empty; else an empty file is no store.
    fn open_writable(path: &Path, create: bool) -> Result<Self> {
        let read_only = || StoreFault::ReadOnly.at(path);
        if is_on_read_only_filesystem(path) {
            return Err(read_only());
        }
        let before = Before::opening(path)?;
        let connection = fault::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // SQLite opens what it cannot write for reading, without a word.
        if connection.is_readonly("main").map_err(sql(path))? {
            return Err(read_only());
        }
        schema::prepare(path, &connection, create)?;
        let identity = Arc::new(Identity::record(path, before)?);
        let committer = Committer::start(path, connection, Arc::clone(&identity))?;
        Self::with_readers(path, OpenReader::Shared, Some(committer), identity)
    }

    /// For reading, beside others who may write.
    fn open_shared(path: &Path) -> Result<Self> {
        let before = Before::opening(path)?;
        // Until the first reader is open: SQLite then keeps its files.
        let connection = OpenReader::Shared.open(path)?;
        let identity = Arc::new(Identity::record(path, before)?);
        let store = Self::with_readers(path, OpenReader::Shared, None, identity)?;
        drop(connection);
        Ok(store)
    }

    /// SQLite ignores a leftover WAL with `immutable=1` and would silently show an old state.
    fn open_immutable(path: &Path) -> Result<Self> {
        let wal = wal_path(path);
        if std::fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
            let why = format!(
                "it is on a read-only filesystem and {} holds commits not yet in it; copy both to a writable folder and use the copy",
                slotfs_object::shown::path(&wal)
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

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the store was made, seconds since 1970.
    pub fn created_secs(&self) -> u64 {
        self.created_secs
    }

    /// Whether nothing can be written.
    pub fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    /// Whether the files at the store's path are still those that were opened. Takes a few microseconds.
    ///
    /// # Errors
    /// [`Error::StoreLost`], from then on for ever; [`Error::Store`] when they cannot be looked at now.
    pub fn check_identity(&self) -> Result<()> {
        self.completing(self.identity.check())
    }

    /// The same before something is read: what was found within the last 2 ms counts.
    ///
    /// # Errors
    /// Those of [`Self::check_identity`].
    pub fn check_identity_for_reading(&self) -> Result<()> {
        self.completing(self.identity.check_unless_just_checked())
    }

    /// Has the committer complete the log of a store that is lost.
    fn completing(&self, checked: Result<()>) -> Result<()> {
        if self.identity.not_lost().is_err()
            && let Some(committer) = &self.committer
        {
            committer.complete_lost();
        }
        checked
    }

    /// Whether that was found not to be so. Costs nothing.
    ///
    /// # Errors
    /// [`Error::StoreLost`]
    pub fn not_lost(&self) -> Result<()> {
        self.identity.not_lost()
    }

    /// Has `tell` called once, when the store is found to be lost.
    pub fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        self.identity.on_loss(tell);
    }

    /// Counters of the committer.
    pub fn commit_stats(&self) -> CommitStats {
        self.committer
            .as_ref()
            .map(Committer::stats)
            .unwrap_or_default()
    }

    /// Calls `take_in` when anything was committed that may have changed the rows of a slot, by anyone, since a call of
    /// it last succeeded. To ask costs a few microseconds.
    ///
    /// # Errors
    /// When the store cannot be read, and those of `take_in`.
    pub fn if_slots_changed<E: From<Error>>(
        &self,
        take_in: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        // The connection that writes can tell this process's commits from those of others. While it is busy, the one that
        // watches is asked, which cannot.
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
        let pooled = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.open_another()?,
        };
        let outcome = query(&connection).map_err(sql(&self.path));
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        outcome
    }

    /// One more connection that never writes. To another file than the others, it would show another store.
    fn open_another(&self) -> Result<Connection> {
        self.identity.check()?;
        let connection = self.open_reader.open(&self.path)?;
        self.identity.check()?;
        Ok(connection)
    }

    /// As [`Self::read`], for a query of a row or none that is asked while others commit.
    fn read_row<T>(&self, query: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        match self
            .committer
            .as_ref()
            .and_then(|writer| writer.read(&query))
        {
            Some(found) => Ok(found),
            None => self.read(query),
        }
    }

    /// Has `work` committed; `reply` is called once that is durable, or with the reason why it is not: on this thread,
    /// or on that of another who writes. The caller holds no lock that either takes.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut committer::Tx<'_>) -> Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        match self.committer() {
            Ok(committer) => committer.submit(work, reply),
            Err(error) => reply(Err(error)),
        }
    }

    /// As [`Self::write`], on the committer's own thread.
    fn write_and_go_on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut committer::Tx<'_>) -> Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        match self.committer() {
            Ok(committer) => committer.submit_and_go_on(work, reply),
            Err(error) => reply(Err(error)),
        }
    }

    fn committer(&self) -> Result<&Committer> {
        let committer = self.committer.as_ref();
        committer.ok_or_else(|| StoreFault::ReadOnly.at(&self.path))
    }

    /// [`Self::write`], waiting for the answer.
    fn write_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut committer::Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.write(work, move |outcome| {
            // The receiver is waiting below.
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
        // A reader meets a lock only while another process recovers the WAL.
        connection
            .busy_timeout(Duration::from_secs(10))
            .map_err(sql(path))?;
        schema::check(path, &connection)?;
        schema::complete_for_reading(path, &connection)?;
        Ok(connection)
    }
}

/// SQLite's name for the write-ahead log of the database at `path`.
fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
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
