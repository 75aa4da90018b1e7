//! The connection that writes, and its transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::job::Job;
use super::tx::Tx;
use super::{Counters, fault};
use crate::rules::TakenRuns;
use crate::sqlite::fault::sql;
use crate::sqlite::identity::Identity;
use crate::sqlite::{Result, query};
use slotfs_object::shown;

/// How long another process may keep the store locked before a write fails.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// First and longest wait between tries; SQLite's own back-off goes to 100 ms and more.
const BUSY_WAITS: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(5));
/// How long a write that destroys a row waits for the log to be emptied before it is answered all the same.
const ERASE_LIMIT: Duration = Duration::from_millis(200);

pub(super) struct Writer {
    path: PathBuf,
    connection: Connection,
    data_version: i64,
    taken_runs: TakenRuns,
    /// Whether this batch destroyed something, and whether it changed no row of a slot.
    erases: bool,
    spares_slots: bool,
    /// Whether destroyed rows may still be in the WAL, and whether a warning said so.
    erase_pending: bool,
    erase_told: bool,
    /// Whether the log of a lost store is in its file.
    completed: bool,
    // Last: it holds a file that is closed after the connection.
    identity: Arc<Identity>,
}

impl Writer {
    pub(super) fn new(
        path: &Path,
        connection: Connection,
        identity: Arc<Identity>,
    ) -> Result<Self> {
        // The writer retries by itself: see BUSY_WAITS.
        connection.busy_timeout(Duration::ZERO).map_err(sql(path))?;
        Ok(Self {
            path: path.to_owned(),
            data_version: fault::data_version(&connection).map_err(sql(path))?,
            connection,
            taken_runs: TakenRuns::new(),
            erases: false,
            spares_slots: false,
            erase_pending: false,
            erase_told: false,
            completed: false,
            identity,
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether destroyed rows may still be in the WAL.
    pub(super) fn erase_pending(&self) -> bool {
        self.erase_pending
    }

    /// One transaction around all of `batch`.
    pub(super) fn batch(&mut self, batch: &mut [Box<dyn Job>], counters: &Counters) -> Result<()> {
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
            self.taken_runs.clear();
        }
        let kept = outcome?;
        if kept == 0 {
            return Ok(());
        }
        counters.commits.fetch_add(1, Ordering::Release);
        counters.writes.fetch_add(kept, Ordering::Relaxed);
        if !self.spares_slots {
            counters.slot_commits.fetch_add(1, Ordering::Release);
        }
        // A commit to a file that is no longer at the path stores nothing.
        self.identity.check()?;
        if !self.erases {
            // Only the batch that destroys something waits; later ones just try.
            self.erase(Duration::ZERO);
            return Ok(());
        }
        self.erase(ERASE_LIMIT);
        self.identity.check()
    }

    /// Runs every write and commits if any is kept; how many were.
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
            // No other process writes now, so a difference is not another process's commit.
            self.identity.check_unless_just_checked()?;
            self.tell("COMMIT").map_err(sql(&self.path))?;
        }
        Ok(kept)
    }

    /// BEGIN IMMEDIATE, retried while another process writes.
    fn begin(&mut self) -> Result<()> {
        let deadline = Instant::now() + BUSY_LIMIT;
        let mut wait = BUSY_WAITS.0;
        while let Err(error) = self.tell("BEGIN IMMEDIATE") {
            if !is_busy(&error) || Instant::now() >= deadline {
                return Err(sql(&self.path)(error));
            }
            thread::sleep(wait);
            wait = (wait * 2).min(BUSY_WAITS.1);
        }
        // On this connection it changes only when others commit: the known runs may then be wrong.
        let now = fault::data_version(&self.connection).map_err(|error| {
            self.rollback();
            sql(&self.path)(error)
        })?;
        if now != self.data_version {
            self.data_version = now;
            self.taken_runs.clear();
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

    fn tell(&self, statement: &str) -> rusqlite::Result<()> {
        query::execute(&self.connection, statement, []).map(drop)
    }

    /// Runs a write; whether to keep it.
    fn run_in(&mut self, job: &mut dyn Job) -> bool {
        let mut tx = Tx {
            connection: &self.connection,
            path: &self.path,
            taken_runs: &mut self.taken_runs,
            erases: false,
            spares_slots: false,
        };
        let keep = job.run(&mut tx);
        self.erases |= tx.erases && keep;
        self.spares_slots &= tx.spares_slots || !keep;
        self.erase_pending |= self.erases;
        if !keep {
            self.taken_runs.clear();
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

    /// Empties the log of destroyed rows: it holds their old pages until it is truncated, and a reader in another
    /// process can delay that.
    pub(super) fn erase(&mut self, patience: Duration) {
        if self.erase_pending && self.identity.check().is_err() {
            return;
        }
        let deadline = Instant::now() + patience;
        while self.erase_pending {
            let why = match self.checkpoint() {
                // SQLite does not sync the truncation: after a loss of power the old log could be there again.
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
                        "destroyed objects are still in {}-wal ({why}); retried until it is empty",
                        shown::path(&self.path)
                    );
                    self.erase_told = true;
                }
                return;
            }
            thread::sleep(BUSY_WAITS.1);
        }
    }

    /// Writes the log of a lost store to its file, and empties the log. This cannot wait until the process ends, which may
    /// be killed: SQLite would play a remaining log into a backup that replaced the store.
    pub(super) fn complete(&mut self) {
        if self.completed {
            return;
        }
        let store = shown::path(&self.path);
        match self.identity.set_log_aside() {
            Ok(None) => {}
            Ok(Some(aside)) => {
                self.completed = true;
                log::warn!(
                    "{store}: the log of the store that was written over is now {}",
                    shown::path(&aside)
                );
            }
            Err(error) => {
                self.completed = true;
                log::warn!(
                    "{store}: remove {store}-wal; it belongs to the store that was written over and could not be renamed: {error}"
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
                    log::warn!("{store}-wal could not be synced: {error}");
                }
            }
            Ok(_) => {}
            Err(error) => {
                self.completed = true;
                log::warn!("the old {store}-wal could not be emptied: {error}");
            }
        }
    }
}

impl Drop for Writer {
    /// SQLite removes `-wal` and `-shm` by name when the last connection is closed. Where another store is now in this
    /// one's place, these files are that store's, and stay.
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
