//! The store's `-shm` file, kept open for reading beside SQLite.
//!
//! When a process closes any descriptor of a file, POSIX drops all its locks on that file, and SQLite has locks on this one.
//! So this process has one descriptor for each such file, and closes it only after its last connection to that store.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::identity::FileId;

type Kept = Vec<(FileId, Weak<File>)>;

static KEPT: Mutex<Kept> = Mutex::new(Vec::new());

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a store is opened: until [`Self::keep`], no record says that this process uses its `-shm`.
pub(crate) struct Opening(MutexGuard<'static, Kept>);

impl Opening {
    /// Waits until no other thread opens or closes a store.
    pub(crate) fn begin() -> Self {
        Self(kept())
    }

    /// Whether this process has any store open.
    pub(crate) fn is_any_open(&self) -> bool {
        self.0.iter().any(|(_, file)| file.strong_count() > 0)
    }

    /// The file at `path`, which SQLite has open in this process.
    pub(crate) fn keep(mut self, path: &Path) -> io::Result<(FileId, SharedMemory)> {
        let id = FileId::of(&fs::metadata(path)?);
        let known = self.0.iter().find(|(other, _)| *other == id);
        if let Some(file) = known.and_then(|(_, file)| file.upgrade()) {
            return Ok((id, SharedMemory(Some(file))));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let same = file
            .metadata()
            .is_ok_and(|opened| FileId::of(&opened) == id);
        if !same {
            // This process may use the other file too, so its descriptor is never closed.
            std::mem::forget(file);
            return Err(io::Error::other("it was replaced while it was opened"));
        }
        let file = Arc::new(file);
        self.0.push((id, Arc::downgrade(&file)));
        Ok((id, SharedMemory(Some(file))))
    }
}

/// An open `-shm` file. Drop it after every connection to its store.
pub(crate) struct SharedMemory(Option<Arc<File>>);

impl SharedMemory {
    /// The file, for reading.
    pub(crate) fn file(&self) -> Option<&File> {
        self.0.as_deref()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let mut kept = kept();
        self.0 = None;
        kept.retain(|(_, file)| file.strong_count() > 0);
    }
}
