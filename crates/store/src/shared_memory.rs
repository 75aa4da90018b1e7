//! The store's `-shm` file, kept open for reading beside SQLite.
//!
//! POSIX drops all of a process's locks on a file when the process closes any descriptor of it, and SQLite's locks are
//! on this file. So there is one descriptor for each such file, and it is closed only after the last connection of
//! this process to that store.

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

/// Held while a store is opened: until [`Self::keep`], nothing says that its `-shm` is in use here.
pub struct Opening(MutexGuard<'static, Kept>);

impl Opening {
    /// Waits until no other thread opens a store, or gives one up.
    pub fn begin() -> Self {
        Self(kept())
    }

    /// Whether this process has any store open.
    pub fn is_any_open(&self) -> bool {
        self.0.iter().any(|(_, file)| file.strong_count() > 0)
    }

    /// The file at `path`, which SQLite has open in this process.
    pub fn keep(mut self, path: &Path) -> io::Result<(FileId, SharedMemory)> {
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
            // Whatever it is, it may be in use here: never closed.
            std::mem::forget(file);
            return Err(io::Error::other("it was replaced while it was opened"));
        }
        let file = Arc::new(file);
        self.0.push((id, Arc::downgrade(&file)));
        Ok((id, SharedMemory(Some(file))))
    }
}

/// An open `-shm` file. Dropped after every connection of the store that it is of.
pub struct SharedMemory(Option<Arc<File>>);

impl SharedMemory {
    /// The file, to be read.
    pub fn file(&self) -> Option<&File> {
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
