//! One staging file: what was written to it so far, or why that is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::fs::buffer::Buffer;

/// The most bytes in all staging files together.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// What nobody has open is forgotten after this long.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// One staging file.
pub struct StagingFile {
    /// Its number: in the order in which they were made.
    pub id: u64,
    /// The row that its object is to have. Its inode is that object's from the first: a rename gives the new name the
    /// old one's inode, which then need not be looked up again.
    pub row: Option<i64>,
    /// Whether the row was asked for.
    row_taken: AtomicBool,
    /// The process that made it.
    pub(super) pid: u32,
    content: Mutex<Content>,
    /// How many have it open.
    open: AtomicUsize,
    /// Bytes in all staging files.
    total: Arc<AtomicUsize>,
}

struct Content {
    buffer: Buffer,
    /// What a write met. Said at the rename and nowhere else: rsync takes an error of write for the end of
    /// its whole run.
    failed: Option<Overflow>,
    /// It has become an object: what is written now would be lost.
    published: bool,
    touched: Instant,
}

/// Why a staging file holds nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It went past the largest blob.
    TooLarge,
    /// There was no room for it.
    NoRoom,
}

impl StagingFile {
    /// An empty one, which `pid` makes; `total` counts the bytes in all of them.
    pub(super) fn new(id: u64, row: Option<i64>, pid: u32, total: Arc<AtomicUsize>) -> Self {
        Self {
            id,
            row,
            row_taken: AtomicBool::new(false),
            pid,
            content: Mutex::new(Content {
                buffer: Buffer::default(),
                failed: None,
                published: false,
                touched: Instant::now(),
            }),
            open: AtomicUsize::new(0),
            total,
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> bool {
        self.change(|buffer| buffer.write(offset, data).is_ok())
    }

    pub(super) fn truncate(&self, length: u64) -> bool {
        if length == 0 {
            self.content().failed = None;
        }
        self.change(|buffer| buffer.truncate(length).is_ok())
    }

    fn change(&self, change: impl FnOnce(&mut Buffer) -> bool) -> bool {
        let mut content = self.content();
        content.touched = Instant::now();
        if content.published {
            return false;
        }
        if content.failed.is_some() {
            return true;
        }
        let before = content.buffer.len();
        let fits = change(&mut content.buffer);
        let after = content.buffer.len();
        let others = self.total.fetch_sub(before, Ordering::Relaxed) - before;
        self.total.fetch_add(after, Ordering::Relaxed);
        content.failed = match (fits, others + after <= MOST_BYTES) {
            (true, true) => None,
            (false, _) => Some(Overflow::TooLarge),
            (true, false) => Some(Overflow::NoRoom),
        };
        if content.failed.is_some() {
            self.total.fetch_sub(after, Ordering::Relaxed);
            content.buffer = Buffer::default();
        }
        true
    }

    /// Forgets what is in it, to make room for others: the rename says so.
    pub(super) fn give_way(&self) {
        let mut content = self.content();
        if content.failed.is_none() && !content.published {
            self.total
                .fetch_sub(content.buffer.len(), Ordering::Relaxed);
            content.buffer = Buffer::default();
            content.failed = Some(Overflow::NoRoom);
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.content().buffer.len()
    }

    /// Up to `size` bytes at `offset`.
    ///
    /// # Errors
    /// The [`Overflow`] that emptied it.
    pub fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Overflow> {
        let content = self.content();
        match content.failed {
            None => Ok(content.buffer.read(offset, size).to_vec()),
            Some(why) => Err(why),
        }
    }

    /// The whole content.
    ///
    /// # Errors
    /// The [`Overflow`] that emptied it.
    pub fn bytes(&self) -> Result<Vec<u8>, Overflow> {
        self.read(0, u64::MAX)
    }

    /// The row that its object is to have, said once: no two objects have one.
    pub fn take_row(&self) -> Option<i64> {
        self.row
            .filter(|_| !self.row_taken.swap(true, Ordering::Relaxed))
    }

    /// Marks it as an object that is stored.
    pub fn published(&self) {
        self.content().published = true;
    }

    /// Counts one who opened it.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one who closed it.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0 && self.content().touched.elapsed() > LONGEST_IDLE
    }
}

impl Drop for StagingFile {
    fn drop(&mut self) {
        self.total.fetch_sub(self.len(), Ordering::Relaxed);
    }
}
