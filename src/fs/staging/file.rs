//! One staging file: its content so far, or why the content is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::room::Room;
use crate::error::{Error, IncomingError, Result};
use crate::fs::buffer::{Buffer, TooLarge};
use crate::fs::lock;
use crate::fs::node::StagingId;
use crate::hsm::{MAX_BLOB_BYTES, PartitionId};
use crate::object::{RowId, SlotId};

/// A file that nobody has open is removed after this long.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// One staging file.
pub struct StagingFile {
    /// Its number.
    pub id: StagingId,
    /// The row that is reserved for its object. The file has that object's inode from the first: a rename gives the new name
    /// the old one's inode, so the kernel need not look it up again.
    pub row: Option<RowId>,
    /// Whether [`Self::take_row`] gave the row away.
    row_taken: AtomicBool,
    content: Mutex<Content>,
    /// How often it is open.
    open: AtomicUsize,
}

struct Content {
    buffer: Buffer,
    room: Room,
    /// The partition that it belongs to.
    partition: Option<PartitionId>,
    /// A write went past the largest blob, and the content is lost. Only the rename fails: an error of write would end
    /// rsync's whole run, and no file of that size could become an object.
    too_large: bool,
    /// It has become an object, so later writes would be lost.
    published: bool,
    touched: Instant,
}

/// Why a staging file cannot be written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It became larger than any blob.
    TooLarge,
    /// There is no room for this write; the content stays as it was.
    NoRoom,
    /// It has become an object.
    Published,
}

impl Refused {
    /// The answer to a request on the open file.
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
        id: StagingId,
        row: Option<RowId>,
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
            lock(&self.content).too_large = false;
        }
        self.change(end, |buffer| buffer.truncate(length))
    }

    /// Makes a change to the bytes before `end`.
    fn change(
        &self,
        end: usize,
        change: impl FnOnce(&mut Buffer) -> Result<(), TooLarge>,
    ) -> Result<(), Refused> {
        let mut content = lock(&self.content);
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

    /// The slot whose room it uses.
    pub(super) fn slot(&self) -> SlotId {
        lock(&self.content).room.slot()
    }

    /// The partition that it belongs to.
    pub fn partition(&self) -> Option<PartitionId> {
        lock(&self.content).partition
    }

    /// Moves it to another slot and its partition; `false` if the slot has no room for it.
    pub(super) fn move_to(&self, slot: SlotId, partition: Option<PartitionId>) -> bool {
        let mut content = lock(&self.content);
        let moved = content.room.move_to(slot);
        if moved {
            content.partition = partition;
        }
        moved
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        lock(&self.content).buffer.len()
    }

    /// Up to `size` bytes at `offset`.
    ///
    /// # Errors
    /// [`Refused::TooLarge`]
    pub fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Refused> {
        let content = lock(&self.content);
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

    /// The row that is reserved for its object, for the first call only: no two objects have the same row.
    pub fn take_row(&self) -> Option<RowId> {
        self.row
            .filter(|_| !self.row_taken.swap(true, Ordering::Relaxed))
    }

    /// Notes that its object is stored.
    pub fn published(&self) {
        lock(&self.content).published = true;
    }

    /// Counts an open.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a close.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
            && lock(&self.content).touched.elapsed() > LONGEST_IDLE
    }
}
