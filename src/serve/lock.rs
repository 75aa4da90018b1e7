//! The lock that chooses the one server of a store. It is the kernel's, so that it ends with the process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{HeldBy, failed, file_error};
use crate::error::Result;

/// A lock that is held. The file stays: its name is no secret, and to remove it would let two servers hold two files.
pub(crate) struct Lock {
    _file: File,
}

/// The process that holds the lock at `path`, by what it wrote there; `None` where that cannot be read.
pub(super) fn holder(path: &Path) -> Option<u32> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    number_in(&file.ok()?)
}

fn number_in(file: &File) -> Option<u32> {
    const MOST_BYTES: u64 = 32;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Lock {
    /// Takes the lock at `path`, or says who holds it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub(crate) fn take(path: &Path) -> Result<Result<Self, HeldBy>> {
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
                .map_err(file_error(path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Ok(Err(HeldBy(number_in(&file))));
                }
                Err(why) => return Err(failed("lock the file beside the socket")(why)),
            }
            // Somebody may have removed the file meanwhile, and a third one made another.
            let mine = file.metadata().map_err(file_error(path))?;
            let there = std::fs::symlink_metadata(path);
            if !there.is_ok_and(|it| (it.dev(), it.ino()) == (mine.dev(), mine.ino())) {
                continue;
            }
            let number = format!("{}\n", std::process::id());
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(number.as_bytes()));
            written.map_err(file_error(path))?;
            return Ok(Ok(Self { _file: file }));
        }
    }
}
