//! The one thread that writes: it gathers what waits into one transaction and answers each after the
//! commit. No answer precedes durability.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::fault::{self, sql};
use crate::error::{Error, Result};

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

/// Handle to the committer thread.
pub struct Committer {
    /// `None` once stopping.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
}

impl Committer {
    /// Starts the thread on a connection of its own.
    pub fn start(path: &Path, connection: Connection) -> Result<Self> {
        // Retries are ours: see BUSY_WAITS.
        connection.busy_timeout(Duration::ZERO).map_err(sql(path))?;
        let (jobs, queue) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let mut writer = Writer {
            path: path.to_owned(),
            data_version: fault::data_version(&connection).map_err(sql(path))?,
            connection,
            dense: HashMap::new(),
            erases: false,
            erase_pending: false,
            erase_told: false,
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || writer.run(&queue))
            .map_err(|source| Error::File {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            counters,
        })
    }

    /// Queues `work`; `reply` runs on the committer's thread after the commit. Should the committer be
    /// gone, `reply` is dropped unanswered.
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let job = Box::new(Write {
            work: Some(work),
            outcome: None,
            reply,
        });
        if let Some(jobs) = &self.jobs
            && jobs.send(job).is_err()
        {
            log::error!("the committer is gone; a write was not done");
        }
    }

    /// Counters so far.
    pub fn stats(&self) -> CommitStats {
        CommitStats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            log::error!("the committer panicked");
        }
    }
}

struct Writer {
    path: PathBuf,
    connection: Connection,
    data_version: i64,
    dense: HashMap<(u32, Pass), RangeInclusive<u32>>,
    /// Whether this batch destroyed something.
    erases: bool,
    /// Whether destroyed rows may still be in the WAL, and whether that was told.
    erase_pending: bool,
    erase_told: bool,
    counters: Arc<Counters>,
}

impl Writer {
    fn run(&mut self, queue: &mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = self.next(queue) {
            let waiting = queue.try_iter().take(MOST_IN_BATCH - 1);
            let mut batch: Vec<_> = std::iter::once(first).chain(waiting).collect();
            let outcome = self.batch(&mut batch);
            for job in batch {
                job.finish(match &outcome {
                    Ok(()) => Ok(()),
                    Err(error) => Err(error.again()),
                });
            }
        }
        // The last connection to close checkpoints and removes the WAL.
    }

    /// Waits for a write; meanwhile tries again to erase what could not be erased before. `None` at the end.
    fn next(&mut self, queue: &mpsc::Receiver<Box<dyn Job>>) -> Option<Box<dyn Job>> {
        while self.erase_pending {
            match queue.recv_timeout(ERASE_AGAIN) {
                Ok(job) => return Some(job),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => self.erase(Duration::ZERO),
            }
        }
        queue.recv().ok()
    }

    /// One transaction around all of `batch`.
    fn batch(&mut self, batch: &mut [Box<dyn Job>]) -> Result<()> {
        self.begin()?;
        self.erases = false;
        let outcome = self.all(batch);
        if !matches!(outcome, Ok(kept) if kept > 0) {
            self.rollback();
            self.dense.clear();
        }
        let kept = outcome?;
        if kept > 0 {
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.counters.writes.fetch_add(kept, Ordering::Relaxed);
            // Only the batch that destroys something waits; later ones just try.
            self.erase(if self.erases {
                ERASE_LIMIT
            } else {
                Duration::ZERO
            });
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
            self.connection
                .execute_batch("COMMIT")
                .map_err(sql(&self.path))?;
        }
        Ok(kept)
    }

    /// BEGIN IMMEDIATE, retried while another process writes.
    fn begin(&mut self) -> Result<()> {
        let deadline = Instant::now() + BUSY_LIMIT;
        let mut wait = BUSY_WAITS.0;
        loop {
            match self.connection.execute_batch("BEGIN IMMEDIATE") {
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
        self.connection.execute_batch("SAVEPOINT one")?;
        let keep = self.run_in(job);
        if !keep {
            self.connection.execute_batch("ROLLBACK TO one")?;
        }
        self.connection.execute_batch("RELEASE one")?;
        Ok(keep)
    }

    /// Runs a write; whether to keep it.
    fn run_in(&mut self, job: &mut dyn Job) -> bool {
        let mut tx = Tx {
            connection: &self.connection,
            path: &self.path,
            dense: &mut self.dense,
            erases: false,
        };
        let keep = job.run(&mut tx);
        self.erases |= tx.erases && keep;
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

    /// Destroyed means gone from the files: the WAL still holds the old pages until it is truncated, which a
    /// reader of another process can hold up.
    fn erase(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.erase_pending {
            let outcome = self
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                    row.get::<_, i64>(0)
                });
            let why = match outcome {
                Ok(0) => match self.sync_log() {
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
                        self.path.display()
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
    /// SQLite does not sync what it cut short: after a loss of power the old log could be there again.
    fn sync_log(&self) -> std::io::Result<()> {
        match std::fs::File::open(super::wal_path(&self.path)) {
            // Its locks are on other files: closing this one gives none of them up.
            Ok(log) => log.sync_all(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}
