//! Open files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::FileHandle;

use super::control::ControlFile;
use super::incoming::Incoming;
use super::staging::StagingFile;
use crate::error::{Error, Result};
use crate::hsm::ObjectFile;
use crate::object::SlotId;

/// The most files open for writing at once, of all users: each may hold 64 KiB.
const MOST_INCOMING: usize = 2048;

/// One open file.
pub enum OpenFile {
    /// An object, sealed once at open and served from that.
    Object(ObjectFile, Vec<u8>),
    /// A blob coming in.
    Incoming(Mutex<Incoming>),
    /// A staging file.
    Staging(Arc<StagingFile>),
    /// A control file's text, as it was at open.
    Text(Vec<u8>),
    /// A control file to write to; the result of the last message.
    Message(SlotId, ControlFile, Mutex<Result<(), i32>>),
}

/// Every open file of a mount, by number.
#[derive(Default)]
pub struct OpenFiles {
    last: AtomicU64,
    incoming: AtomicUsize,
    files: Mutex<HashMap<u64, Arc<OpenFile>>>,
}

impl OpenFiles {
    fn files(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file.
    pub fn add(&self, file: OpenFile) -> FileHandle {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.files().insert(number, Arc::new(file));
        FileHandle(number)
    }

    /// Opens an incoming blob.
    ///
    /// # Errors
    /// [`Error::StagingFull`]
    pub fn add_incoming(&self, incoming: Incoming) -> Result<FileHandle> {
        let slot = incoming.slot;
        if self.incoming.fetch_add(1, Ordering::Relaxed) >= MOST_INCOMING {
            self.incoming.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::StagingFull { slot });
        }
        Ok(self.add(OpenFile::Incoming(Mutex::new(incoming))))
    }

    /// An open file.
    pub fn get(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        self.files().get(&handle.0).cloned()
    }

    /// Closes a file.
    pub fn remove(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        let file = self.files().remove(&handle.0)?;
        if matches!(*file, OpenFile::Incoming(_)) {
            self.incoming.fetch_sub(1, Ordering::Relaxed);
        }
        Some(file)
    }

    /// Tells the open file that process `pid` just opened over row `id` that it was with O_TRUNC; whether
    /// there is one.
    pub fn opened_with_trunc(&self, id: i64, pid: u32) -> bool {
        let mut numbers: Vec<(u64, Arc<OpenFile>)> = self
            .files()
            .iter()
            .map(|(number, file)| (*number, Arc::clone(file)))
            .collect();
        numbers.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        numbers.iter().any(|(_, file)| match &**file {
            OpenFile::Incoming(incoming) => lock(incoming).opened_with_trunc(id, pid),
            _ => false,
        })
    }

    /// The staging file with number `id` as somebody opened it: it may be removed by now.
    pub fn opened_staging(&self, id: u64) -> Option<Arc<StagingFile>> {
        self.files().values().find_map(|file| match &**file {
            OpenFile::Staging(staging) if staging.id == id => Some(Arc::clone(staging)),
            _ => None,
        })
    }

    /// The object of row `id` as somebody opened it: it may be destroyed by now.
    pub fn opened_object(&self, id: i64) -> Option<ObjectFile> {
        self.files().values().find_map(|file| match **file {
            OpenFile::Object(object, _) if object.id == id => Some(object),
            _ => None,
        })
    }
}

/// Locks an incoming blob.
pub fn lock(incoming: &Mutex<Incoming>) -> MutexGuard<'_, Incoming> {
    incoming.lock().unwrap_or_else(PoisonError::into_inner)
}
