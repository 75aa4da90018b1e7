//! The one connection that writes. Writes that wait are gathered into one transaction, and each is answered after the
//! commit: no answer precedes durability.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::fault;
use super::identity::Identity;
use crate::sqlite::{CommitStats, Error, Result, lock};

mod job;
mod tx;
mod writer;

pub(crate) use job::{Job, job};
pub(crate) use tx::Tx;
use writer::Writer;

/// The most writes in one transaction: enough to share an fsync, few enough that the first does not wait long.
const MOST_IN_BATCH: usize = 256;
/// How often the committer's thread tries to empty the log of destroyed rows.
const ERASE_AGAIN: Duration = Duration::from_secs(1);

/// What a write does in its transaction.
pub(crate) trait Work<T>: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static {}
impl<T, F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static> Work<T> for F {}

/// The commits that may have changed the rows of slots: SQLite's number for those of other processes, and a count of
/// this process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotCommits {
    others: i64,
    own: u64,
}

/// Commits writes. While no thread is writing, a thread that submits a write commits all waiting writes itself: to wake
/// another thread would cost as much as the commit's own work.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    /// To the committer's own thread; `None` once stopping.
    wakes: Option<mpsc::Sender<Wake>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the committer's thread is woken.
enum Wake {
    /// A write is queued, and the thread that queued it does not commit.
    Write,
    /// Destroyed rows are still in the WAL.
    Erase,
    /// The store is lost.
    Lost,
}

type Queue = VecDeque<Box<dyn Job>>;

struct Shared {
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    /// Whether the thread that holds the writer only reads, and is done at once.
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
    pub(crate) fn start(
        path: &Path,
        connection: Connection,
        identity: Arc<Identity>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            writer: Mutex::new(Writer::new(path, connection, identity)?),
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

    /// Queues a write and commits it, unless another thread does; the reply runs after the commit, on this thread or on
    /// that of another caller. The caller holds no lock that the write or its reply takes. If a write panicked before, the
    /// reply is dropped unanswered.
    pub(crate) fn submit(&self, job: Box<dyn Job>) {
        self.shared.queue().push_back(job);
        if self.shared.write_all() {
            self.wake(Wake::Erase);
        }
    }

    /// As [`Self::submit`], but on the committer's thread: for bulk, whose next part the caller prepares meanwhile.
    pub(crate) fn submit_and_go_on(&self, job: Box<dyn Job>) {
        self.shared.queue().push_back(job);
        self.wake(Wake::Write);
    }

    /// Runs a short query on the connection that writes, unless it is in use: after every commit of this process, the
    /// other connections have to read their pages again. `None` when it is in use or the query failed; then the caller
    /// asks another connection.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let writer = self.shared.writer.try_lock().ok()?;
        // A transaction that could not be rolled back: what it shows is not on disk.
        if !writer.connection().is_autocommit() {
            return None;
        }
        self.shared.reading.store(true, Ordering::Release);
        let outcome = query(writer.connection());
        self.shared.reading.store(false, Ordering::Release);
        drop(writer);
        // A submitter may have seen the lock held before `reading` was set, and have left its write to this thread. The
        // committer's thread does it: this one may hold locks.
        if !self.shared.queue().is_empty() {
            self.wake(Wake::Write);
        }
        outcome.ok()
    }

    /// The commits so far that may have changed the rows of slots. `None` while a thread writes.
    pub(crate) fn slot_commits(&self) -> Option<SlotCommits> {
        // Loaded before the query: a commit that comes between counts as later.
        let own = self.shared.counters.slot_commits.load(Ordering::Acquire);
        let others = self.read(fault::data_version)?;
        Some(SlotCommits { others, own })
    }

    fn wake(&self, wake: Wake) {
        if let Some(wakes) = &self.wakes
            && wakes.send(wake).is_err()
        {
            log::error!("the committer's thread is gone");
            // No other thread would.
            self.shared.write_all();
        }
    }

    /// Has the log of a lost store written to the file that was opened.
    pub(crate) fn complete_lost(&self) {
        self.wake(Wake::Lost);
    }

    /// Transactions committed so far by this process.
    pub(crate) fn commits(&self) -> u64 {
        self.shared.counters.commits.load(Ordering::Acquire)
    }

    /// Counters so far.
    pub(crate) fn stats(&self) -> CommitStats {
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
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Commits what is queued, unless another thread does: the thread that holds the writer looks at the queue again
    /// after it lets the writer go, so no write that was queued before is left. Whether destroyed rows are still to be
    /// erased.
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
                    log::error!("a write panicked; writes since then are not done");
                    // Their owners take a dropped reply for a failure. Dropped without the lock held.
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
                    job.finish(outcome.clone());
                }
            }
            pending = writer.erase_pending();
        }
        pending
    }

    /// The committer's thread: commits for the callers that go on meanwhile, and retries the erasing of destroyed rows.
    fn tend(&self, wakes: &mpsc::Receiver<Wake>) {
        let mut pending = false;
        loop {
            let wake = match pending {
                true => wakes.recv_timeout(ERASE_AGAIN),
                false => wakes.recv().map_err(Into::into),
            };
            match wake {
                Ok(Wake::Write) => {}
                Ok(Wake::Erase) => {
                    pending = true;
                    continue;
                }
                Ok(Wake::Lost) => {
                    if let Ok(mut writer) = self.writer.lock() {
                        writer.complete();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let Ok(mut writer) = self.writer.lock() else {
                        return;
                    };
                    writer.erase(Duration::ZERO);
                    pending = writer.erase_pending();
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            // A thread that queued a write meanwhile found the writer taken.
            pending |= self.write_all();
        }
    }
}
