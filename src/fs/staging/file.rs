//! One staging file: what was written to it so far, or why that is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::room::Room;
use crate::error::{Error, IncomingError, Result};
use crate::fs::buffer::{Buffer, TooLarge};
use crate::hsm::{MAX_BLOB_BYTES, PartitionId};
use crate::object::SlotId;

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
    content: Mutex<Content>,
    /// How many have it open.
    open: AtomicUsize,
}

struct Content {
    buffer: Buffer,
    room: Room,
    /// The partition at the slot whose it is.
    partition: Option<PartitionId>,
    /// A write went past the largest blob, and what was there is lost. Said at the rename and nowhere else: rsync
    /// takes an error of write for the end of its whole run, and no file of that size could become an object.
    too_large: bool,
    /// It has become an object: what is written now would be lost.
    published: bool,
    touched: Instant,
}

/// Why a staging file takes or gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It went past the largest blob.
    TooLarge,
    /// There is no room for this write; what was written before stays.
    NoRoom,
    /// It is an object by now.
    Published,
}

impl Refused {
    /// What a request on an open file is answered with.
    pub fn errno(self) -> i32 {
        match self {
            Self::TooLarge => libc::EFBIG,
            Self::NoRoom => libc::ENOSPC,
            Self::Published => libc::EACCES,
        }
    }

    /// The same as an error of `slot`.
    pub fn error(self, slot: SlotId) -> Error {
        match self {
            Self::TooLarge => IncomingError::TooLarge.at(slot),
            Self::NoRoom => IncomingError::StagingFull.at(slot),
            Self::Published => Error::Gone,
        }
    }
}

impl StagingFile {
    /// An empty one.
    pub(super) fn new(
        id: u64,
        row: Option<i64>,
        room: Room,
        partition: Option<PartitionId>,
    ) -> Self {
        Self {
            id,
            row,
            row_taken: AtomicBool::new(false),
            content: Mutex::new(Content {
                buffer: Buffer::default(),
                room,
                partition,
                too_large: false,
                published: false,
                touched: Instant::now(),
            }),
            open: AtomicUsize::new(0),
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// [`Refused::NoRoom`], [`Refused::Published`]
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), Refused> {
        let end = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .saturating_add(data.len());
        if data.is_empty() && end <= MAX_BLOB_BYTES {
            return self.change(0, |_| Ok(()));
        }
        self.change(end, |buffer| buffer.write(offset, data))
    }

    /// # Errors
    /// As [`Self::write`].
    pub(super) fn truncate(&self, length: u64) -> Result<(), Refused> {
        let end = usize::try_from(length).unwrap_or(usize::MAX);
        if end == 0 {
            self.content().too_large = false;
        }
        self.change(end, |buffer| buffer.truncate(length))
    }

    /// Makes a change that reaches up to `end`.
    fn change(
        &self,
        end: usize,
        change: impl FnOnce(&mut Buffer) -> Result<(), TooLarge>,
    ) -> Result<(), Refused> {
        let mut content = self.content();
        content.touched = Instant::now();
        if content.published {
            return Err(Refused::Published);
        }
        if content.too_large {
            return Ok(());
        }
        let most = content.buffer.len().max(end);
        if most <= MAX_BLOB_BYTES && !content.room.resize(most) {
            return Err(Refused::NoRoom);
        }
        if change(&mut content.buffer).is_err() {
            content.buffer = Buffer::default();
            content.too_large = true;
        }
        let length = content.buffer.len();
        content.room.resize(length);
        Ok(())
    }

    /// The slot that it takes room of.
    pub(super) fn slot(&self) -> SlotId {
        self.content().room.slot()
    }

    /// The partition that it is of.
    pub fn partition(&self) -> Option<PartitionId> {
        self.content().partition
    }

    /// Moves it to another slot and its partition; `false` when that has no room for it.
    pub(super) fn move_to(&self, slot: SlotId, partition: Option<PartitionId>) -> bool {
        let mut content = self.content();
        let moved = content.room.move_to(slot);
        if moved {
            content.partition = partition;
        }
        moved
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.content().buffer.len()
    }

    /// Up to `size` bytes at `offset`.
    ///
    /// # Errors
    /// [`Refused::TooLarge`]
    pub fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Refused> {
        let content = self.content();
        match content.too_large {
            false => Ok(content.buffer.read(offset, size).to_vec()),
            true => Err(Refused::TooLarge),
        }
    }

    /// The whole content.
    ///
    /// # Errors
    /// [`Refused::TooLarge`]
    pub fn bytes(&self) -> Result<Vec<u8>, Refused> {
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
