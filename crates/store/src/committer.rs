//! The one connection that writes: what waits is gathered into one transaction, and each is answered after the
//! commit. No answer precedes durability.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::fault::{self, sql};
use super::identity::Identity;
use crate::{Error, Result};

/// The most writes in one transaction: enough to share an fsync, few enough that the first does not wait long.
const MOST_IN_BATCH: usize = 256;
/// How long another process may keep the store locked before a write fails.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// First and longest wait between tries; SQLite's own back-off goes to 100 ms and more.
const BUSY_WAITS: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(5));
/// How long a destroyed row's old pages are chased before its destruction is answered all the same.
const ERASE_LIMIT: Duration = Duration::from_millis(200);
/// How often that is tried again afterwards.
const ERASE_AGAIN: Duration = Duration::from_secs(1);

/// One write, from being queued to being answered.
trait Job: Send {
    /// Does the work; whether to keep it.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Answers: with the work's own outcome, unless the transaction failed around it.
    fn finish(self: Box<Self>, committed: Result<()>);
}

struct Write<T, W, R> {
    work: Option<W>,
    outcome: Option<Result<T>>,
    reply: R,
}

impl<T, W, R> Job for Write<T, W, R>
where
    T: Send,
    W: FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    R: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        self.outcome = self.work.take().map(|work| work(tx));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => (self.reply)(outcome),
            // One that failed by itself keeps its own reason.
            (Err(_), Some(Err(own))) => (self.reply)(Err(own)),
            (Err(error), _) => (self.reply)(Err(error)),
            // Not run, yet committed: cannot be; the reply is dropped, which its owner reads as a failure.
            (Ok(()), None) => log::error!("a write was committed without being done"),
        }
    }
}

/// Which walk over the handles a run of taken ones belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Up from the handle that was asked for.
    FromWish,
    /// Up from the lowest.
    FromLowest,
}

/// What a write sees of the transaction it is part of.
pub struct Tx<'a> {
    /// The connection, inside a transaction and a savepoint.
    pub connection: &'a Connection,
    /// The store, for errors.
    pub path: &'a Path,
    /// Per slot, a run of handles known to be taken without a gap.
    pub dense: &'a mut HashMap<(u32, Pass), RangeInclusive<u32>>,
    /// Set by a write that destroys something.
    pub erases: bool,
    /// Set by a write that changes no row of a slot, but only its objects.
    pub spares_slots: bool,
}

impl Tx<'_> {
    /// Forgets the runs of taken handles of a slot: one of them may be free now.
    pub fn forget_runs(&mut self, slot: u32) {
        for pass in [Pass::FromWish, Pass::FromLowest] {
            self.dense.remove(&(slot, pass));
        }
    }
}

/// Counters since the committer started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Transactions committed.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
}

/// The commits that may have changed the rows of slots: those of other processes by SQLite's number, and those of this
/// one by ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCommits {
    others: i64,
    own: u64,
}

/// What writes: whoever submits when nobody is writing commits for all who wait, on its own thread. Waking another
/// one for it would cost as much as the commit's own work.
pub struct Committer {
    shared: Arc<Shared>,
    /// To the thread of its own that it has; `None` once stopping.
    wakes: Option<mpsc::Sender<Wake>>,
    thread: Option<JoinHandle<()>>,
}

/// What the committer's thread is woken for.
enum Wake {
    /// Something is queued by one who goes on meanwhile.
    Write,
    /// Destroyed rows are still in the WAL.
    Erase,
    /// The store is lost.
    Lost,
}

struct Shared {
    queue: Mutex<VecDeque<Box<dyn Job>>>,
    writer: Mutex<Writer>,
    /// Whether who holds the writer only reads, and is done at once.
    reading: AtomicBool,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    /// Those that may have changed the rows of slots.
    slot_commits: AtomicU64,
    writes: AtomicU64,
}

impl Committer {
    /// Takes the connection that writes; starts the thread.
    pub fn start(path: &Path, connection: Connection, identity: Arc<Identity>) -> Result<Self> {
        // Retries are ours: see BUSY_WAITS.
        connection.busy_timeout(Duration::ZERO).map_err(sql(path))?;
        let writer = Writer {
            path: path.to_owned(),
            data_version: fault::data_version(&connection).map_err(sql(path))?,
            connection,
            dense: HashMap::new(),
            erases: false,
            spares_slots: false,
            erase_pending: false,
            erase_told: false,
            completed: false,
            identity,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            writer: Mutex::new(writer),
            reading: AtomicBool::new(false),
            counters: Counters::default(),
        });
        let (sender, wakes) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || of_thread.tend(&wakes))
            .map_err(|source| Error::file(path, source))?;
        Ok(Self {
            shared,
            wakes: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues `work`; `reply` runs after the commit, on this thread or on that of another who submits. The caller
    /// holds no lock that `work` or `reply` takes. Should a write have panicked before, `reply` is dropped unanswered.
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.queue(work, reply);
        if self.shared.write_all() {
            self.wake(Wake::Erase);
        }
    }

    /// As [`Self::submit`], but on the committer's thread: for bulk, whose next part is made ready meanwhile.
    pub fn submit_and_go_on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.queue(work, reply);
        self.wake(Wake::Write);
    }

    /// Runs a short query on the connection that writes, where nobody writes: every commit of this process makes the
    /// other connections forget all that they have read. `None` when somebody does, or when it failed: to be asked of
    /// another connection.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let writer = self.shared.writer.try_lock().ok()?;
        // A transaction that could not be rolled back: what it shows is not on disk.
        if !writer.connection.is_autocommit() {
            return None;
        }
        self.shared.reading.store(true, Ordering::Release);
        let outcome = query(&writer.connection);
        self.shared.reading.store(false, Ordering::Release);
        drop(writer);
        // Who found it taken before it was said that this only reads. Not here: the caller may hold locks.
        if !self.shared.queue().is_empty() {
            self.wake(Wake::Write);
        }
        outcome.ok()
    }

    /// Which commits there were so far that may have changed the rows of slots. `None` while somebody writes.
    pub fn slot_commits(&self) -> Option<SlotCommits> {
        // Before the question: one that comes between counts as later.
        let own = self.shared.counters.slot_commits.load(Ordering::Acquire);
        let others = self.read(fault::data_version)?;
        Some(SlotCommits { others, own })
    }

    fn queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.shared.queue().push_back(Box::new(Write {
            work: Some(work),
            outcome: None,
            reply,
        }));
    }

    fn wake(&self, wake: Wake) {
        if let Some(wakes) = &self.wakes
            && wakes.send(wake).is_err()
        {
            log::error!("the committer's thread is gone");
            // Nobody else would.
            self.shared.write_all();
        }
    }

    /// To be called when the store is found to be lost: has what is in the log written to the file that was opened.
    pub fn complete_lost(&self) {
        self.wake(Wake::Lost);
    }

    /// Transactions committed so far by this process.
    pub fn commits(&self) -> u64 {
        self.shared.counters.commits.load(Ordering::Acquire)
    }

    /// Counters so far.
    pub fn stats(&self) -> CommitStats {
        CommitStats {
            commits: self.shared.counters.commits.load(Ordering::Relaxed),
            writes: self.shared.counters.writes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.wakes = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            log::error!("the committer's thread panicked");
        }
        // The last connection to close checkpoints and removes the WAL.
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Box<dyn Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what is queued, unless somebody else does: who holds the writer looks at the queue again after letting
    /// it go, so nothing that was queued before is left. Whether destroyed rows are still to be erased.
    fn write_all(&self) -> bool {
        let mut pending = false;
        while !self.queue().is_empty() {
            let mut writer = match self.writer.try_lock() {
                Ok(writer) => writer,
                Err(TryLockError::WouldBlock) if self.reading.load(Ordering::Acquire) => {
                    thread::yield_now();
                    continue;
                }
                Err(TryLockError::WouldBlock) => return pending,
                Err(TryLockError::Poisoned(_)) => {
                    log::error!("a write panicked; what is written since then is not done");
                    // Dropped, which their owners read as a failure; not under the lock.
                    let lost = std::mem::take(&mut *self.queue());
                    drop(lost);
                    return false;
                }
            };
            loop {
                let mut batch: Vec<_> = {
                    let mut queue = self.queue();
                    let most = queue.len().min(MOST_IN_BATCH);
                    queue.drain(..most).collect()
                };
                if batch.is_empty() {
                    break;
                }
                let outcome = writer.batch(&mut batch, &self.counters);
                for job in batch {
                    job.finish(match &outcome {
                        Ok(()) => Ok(()),
                        Err(error) => Err(error.clone()),
                    });
                }
            }
            pending = writer.erase_pending;
        }
        pending
    }

    /// The committer's thread: writes for those who go on, and tries again to erase what could not be erased when it
    /// was destroyed.
    fn tend(&self, wakes: &mpsc::Receiver<Wake>) {
        let mut pending = false;
        loop {
            let wake = match pending {
                true => wakes.recv_timeout(ERASE_AGAIN),
                false => wakes.recv().map_err(Into::into),
            };
            match wake {
                Ok(Wake::Write) => pending |= self.write_all(),
                Ok(Wake::Erase) => pending = true,
                Ok(Wake::Lost) => {
                    if let Ok(mut writer) = self.writer.lock() {
                        writer.complete();
                    }
                    // Whoever queued a write meanwhile found the writer taken.
                    pending |= self.write_all();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let Ok(mut writer) = self.writer.lock() else {
                        return;
                    };
                    writer.erase(Duration::ZERO);
                    pending = writer.erase_pending;
                    drop(writer);
                    // Whoever queued a write meanwhile found the writer taken.
                    pending |= self.write_all();
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

struct Writer {
    path: PathBuf,
    connection: Connection,
    data_version: i64,
    dense: HashMap<(u32, Pass), RangeInclusive<u32>>,
    /// Whether this batch destroyed something, and whether it changed no row of a slot.
    erases: bool,
    spares_slots: bool,
    /// Whether destroyed rows may still be in the WAL, and whether that was told.
    erase_pending: bool,
    erase_told: bool,
    /// Whether the log of a lost store is in its file.
    completed: bool,
    // Last: it holds a file that is closed after the connection.
    identity: Arc<Identity>,
}

impl Writer {
    /// One transaction around all of `batch`.
    fn batch(&mut self, batch: &mut [Box<dyn Job>], counters: &Counters) -> Result<()> {
        self.identity.not_lost()?;
        let outcome = self.commit(batch, counters);
        if self.identity.not_lost().is_err() {
            self.complete();
        }
        outcome
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>], counters: &Counters) -> Result<()> {
        self.begin()?;
        self.erases = false;
        self.spares_slots = true;
        let outcome = self.all(batch);
        if !matches!(outcome, Ok(kept) if kept > 0) {
            self.rollback();
            self.dense.clear();
        }
        let kept = outcome?;
        if kept > 0 {
            counters.commits.fetch_add(1, Ordering::Release);
            counters.writes.fetch_add(kept, Ordering::Relaxed);
            if !self.spares_slots {
                counters.slot_commits.fetch_add(1, Ordering::Release);
            }
            // Committed to a file that nobody finds any more is not stored.
            self.identity.check()?;
            // Only the batch that destroys something waits; later ones just try.
            self.erase(if self.erases {
                ERASE_LIMIT
            } else {
                Duration::ZERO
            });
            if self.erases {
                self.identity.check()?;
            }
        }
        Ok(())
    }

    /// Runs every write and commits when any is kept; how many were.
    fn all(&mut self, batch: &mut [Box<dyn Job>]) -> Result<u64> {
        let mut kept = 0;
        let alone = batch.len() == 1;
        for job in batch {
            let keep = match alone {
                // It fails with the transaction: a savepoint would have SQLite copy each page that it touches.
                true => Ok(self.run_in(job.as_mut())),
                false => self.one(job.as_mut()),
            };
            kept += u64::from(keep.map_err(sql(&self.path))?);
        }
        if kept > 0 {
            // Nobody else writes now, so what is found wrong is not another process's commit.
            self.identity.check_unless_just_checked()?;
            self.tell("COMMIT").map_err(sql(&self.path))?;
        }
        Ok(kept)
    }

    /// BEGIN IMMEDIATE, retried while another process writes.
    fn begin(&mut self) -> Result<()> {
        let deadline = Instant::now() + BUSY_LIMIT;
        let mut wait = BUSY_WAITS.0;
        loop {
            match self.tell("BEGIN IMMEDIATE") {
                Ok(()) => break,
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    thread::sleep(wait);
                    wait = (wait * 2).min(BUSY_WAITS.1);
                }
                Err(error) => return Err(sql(&self.path)(error)),
            }
        }
        // On this connection it changes only when others commit: what we remember may then be wrong.
        let now = fault::data_version(&self.connection).map_err(|error| {
            self.rollback();
            sql(&self.path)(error)
        })?;
        if now != self.data_version {
            self.data_version = now;
            self.dense.clear();
        }
        Ok(())
    }

    /// One write in a savepoint of its own, so that it fails alone.
    fn one(&mut self, job: &mut dyn Job) -> rusqlite::Result<bool> {
        self.tell("SAVEPOINT one")?;
        let keep = self.run_in(job);
        if !keep {
            self.tell("ROLLBACK TO one")?;
        }
        self.tell("RELEASE one")?;
        Ok(keep)
    }

    /// A statement without rows, parsed once and kept.
    fn tell(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(statement)?
            .execute([])
            .map(drop)
    }

    /// Runs a write; whether to keep it.
    fn run_in(&mut self, job: &mut dyn Job) -> bool {
        let mut tx = Tx {
            connection: &self.connection,
            path: &self.path,
            dense: &mut self.dense,
            erases: false,
            spares_slots: false,
        };
        let keep = job.run(&mut tx);
        self.erases |= tx.erases && keep;
        self.spares_slots &= tx.spares_slots || !keep;
        self.erase_pending |= self.erases;
        if !keep {
            self.dense.clear();
        }
        keep
    }

    fn rollback(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            log::error!("{}", sql(&self.path)(error));
        }
    }

    /// Writes all that is in the log to the file, and empties the log; 0, or 1 when another process is in the way.
    fn checkpoint(&self) -> rusqlite::Result<i64> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
    }

    /// Destroyed means gone from the files: the WAL still holds the old pages until it is truncated, which a
    /// reader of another process can hold up.
    fn erase(&mut self, patience: Duration) {
        if self.erase_pending && self.identity.check().is_err() {
            return;
        }
        let deadline = Instant::now() + patience;
        while self.erase_pending {
            let why = match self.checkpoint() {
                // SQLite does not sync what it cut short: after a loss of power the old log could be there again.
                Ok(0) => match self.identity.sync_log() {
                    Ok(()) => {
                        self.erase_pending = false;
                        self.erase_told = false;
                        return;
                    }
                    Err(error) => error.to_string(),
                },
                Ok(_) => "another process is reading it".to_owned(),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                if !self.erase_told {
                    log::warn!(
                        "destroyed objects are still in {}-wal ({why}); tried again until they are not",
                        slotfs_object::shown::path(&self.path)
                    );
                    self.erase_told = true;
                }
                return;
            }
            thread::sleep(BUSY_WAITS.1);
        }
    }
}

impl Writer {
    /// Writes the log of a lost store to its file, and empties it: at once, as a process that is killed cannot. Beside a
    /// backup that was put in the store's place it would be played into that.
    fn complete(&mut self) {
        if self.completed {
            return;
        }
        match self.identity.set_log_aside() {
            Ok(None) => {}
            Ok(Some(aside)) => {
                self.completed = true;
                log::warn!(
                    "{}: the log of the store that was written over is now {}",
                    slotfs_object::shown::path(&self.path),
                    slotfs_object::shown::path(&aside)
                );
            }
            Err(error) => {
                self.completed = true;
                log::warn!(
                    "{0}: remove {0}-wal, it belongs to the store that was written over: {error}",
                    slotfs_object::shown::path(&self.path)
                );
            }
        }
        if !self.identity.must_be_completed() {
            return;
        }
        match self.checkpoint() {
            Ok(0) => {
                self.completed = true;
                if let Err(error) = self.identity.sync_log() {
                    log::warn!(
                        "{}-wal is not synced: {error}",
                        slotfs_object::shown::path(&self.path)
                    );
                }
            }
            Ok(_) => {}
            Err(error) => {
                self.completed = true;
                log::warn!(
                    "the old {}-wal is not empty: {error}",
                    slotfs_object::shown::path(&self.path)
                );
            }
        }
    }
}

impl Drop for Writer {
    /// SQLite removes `-wal` and `-shm` by name when the last connection is closed. Those of another store that is now
    /// in this one's place are left alone.
    fn drop(&mut self) {
        if self.identity.check().is_ok() {
            return;
        }
        self.complete();
        let keep = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.connection.set_db_config(keep, true) {
            log::error!("{}", sql(&self.path)(error));
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}
