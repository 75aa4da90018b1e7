//! SQLite's wal-index, the start of the `-shm` file, as its file format documentation gives it
//! (<https://sqlite.org/walformat.html>): how much of the write-ahead log counts, and how much of it is in the database.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Two copies of the header, then the state of checkpoints.
const BYTES: usize = 136;
const HEADER_BYTES: usize = 48;
/// The only version there is.
const VERSION: u32 = 3_007_000;
/// The headers of the log and of each frame.
const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

/// What the wal-index says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalIndex {
    header: [u8; HEADER_BYTES],
    backfilled: u32,
    attempted: u32,
}

impl WalIndex {
    /// Reads it; `None` while SQLite is writing it.
    ///
    /// # Errors
    /// When the file cannot be read, or is too short.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes[..HEADER_BYTES]);
        if header != bytes[HEADER_BYTES..2 * HEADER_BYTES] {
            return Ok(None);
        }
        let index = Self {
            header,
            backfilled: number(&bytes, 96),
            attempted: number(&bytes, 128),
        };
        let initialized = index.header[12] == 1;
        let known = number(&index.header, 0) == VERSION;
        Ok((initialized && known).then_some(index))
    }

    /// Its header: it changes with every commit, and whenever SQLite starts the log again.
    pub(crate) fn header(&self) -> [u8; HEADER_BYTES] {
        self.header
    }

    /// The last frame of the log that is committed; 0 when none is.
    fn last_frame(&self) -> u32 {
        number(&self.header, 16)
    }

    /// The log's salts, which change whenever SQLite starts the log again from its beginning.
    pub(crate) fn salts(&self) -> [u8; 8] {
        let mut salts = [0; 8];
        salts.copy_from_slice(&self.header[32..40]);
        salts
    }

    /// The least length of the log; `None` when no frame of it is committed, so that it may have any length.
    pub(crate) fn log_bytes(&self) -> Option<u64> {
        let stated = u32::from(u16::from_ne_bytes([self.header[14], self.header[15]]));
        // 64 KiB does not fit into 16 bits, and is stored as 1.
        let page_bytes = u64::from((stated & 0xfe00) + ((stated & 1) << 16));
        match u64::from(self.last_frame()) {
            0 => None,
            frames => Some(LOG_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + page_bytes)),
        }
    }

    /// How many frames are in the database file; `None` while a checkpoint writes to it, after a failed checkpoint, and
    /// while SQLite starts the log again.
    pub(crate) fn in_database(&self) -> Option<u32> {
        (self.backfilled == self.attempted && self.backfilled <= self.last_frame())
            .then_some(self.backfilled)
    }
}

/// A number in the machine's own byte order.
fn number(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(number)
}
