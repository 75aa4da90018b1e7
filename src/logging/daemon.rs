//! The logger of a daemon: chooses records, limits those that one user causes, and writes lines.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::refusals::{Kind, Refusals};
use super::sink::Sink;
use crate::hsm::asker;
use crate::object::show;

/// The target of the sums.
const SUMS: &str = "slotfs::logging";
/// What the filesystem logs at level info is no success: those are verdicts, which the HSM logs.
const FILESYSTEM: &str = "slotfs::fs";

/// A logger whose place and filter can change while it is used.
pub(super) struct DaemonLog {
    filter: RwLock<env_logger::Logger>,
    sink: Mutex<Sink>,
    refusals: Mutex<Refusals>,
}

impl DaemonLog {
    pub(super) fn new(sink: Sink, filter: env_logger::Logger) -> Self {
        Self {
            filter: RwLock::new(filter),
            sink: Mutex::new(sink),
            refusals: Mutex::new(Refusals::new(Instant::now())),
        }
    }

    /// The most detailed level that the filter lets through.
    pub(super) fn level(&self) -> LevelFilter {
        let filter = self.filter.read();
        filter.unwrap_or_else(PoisonError::into_inner).filter()
    }

    pub(super) fn set_filter(&self, filter: env_logger::Logger) {
        *self.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        self.sink().reopen()
    }

    /// Writes how many refusals each user had beyond the limit: once a minute, or at once if `now`.
    pub(super) fn sum_up(&self, now: bool) {
        let sums = self.refusals().sums(Instant::now(), now);
        for text in sums {
            self.sink().write(Level::Warn, SUMS, &text);
        }
    }

    /// Whether a record is written whole.
    fn admits(&self, record: &Record<'_>) -> bool {
        let Some(uid) = asker::current() else {
            return true;
        };
        let is_refusal = match record.level() {
            Level::Error | Level::Warn => true,
            Level::Info => record.target().starts_with(FILESYSTEM),
            // Somebody asked for all of them.
            Level::Debug | Level::Trace => false,
        };
        let kind = Kind::of(record);
        !is_refusal || self.refusals().admit(uid, kind, Instant::now())
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for DaemonLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let filter = self.filter.read();
        filter
            .unwrap_or_else(PoisonError::into_inner)
            .enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let matches = {
            let filter = self.filter.read();
            filter
                .unwrap_or_else(PoisonError::into_inner)
                .matches(record)
        };
        if !matches || !self.admits(record) {
            return;
        }
        let text = record.args().to_string();
        // One line each: a name that somebody else chose must not look like a line of its own.
        let text = show::escape_controls(&text);
        self.sink().write(record.level(), record.target(), &text);
    }

    /// Writes what was counted and not told yet.
    fn flush(&self) {
        self.sum_up(true);
    }
}
