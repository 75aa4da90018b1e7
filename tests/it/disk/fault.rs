//! How the disk fails.

use libc::c_int;

use super::state::State;

/// What fails, and with which errno. `-shm` is memory to SQLite, and a page of it that cannot be read would
/// be a signal and no errno: it fails only to grow.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Every read.
    pub read: Option<c_int>,
    /// Reads that touch one of these bytes of the store's file.
    pub read_range: Option<(std::ops::Range<usize>, c_int)>,
    /// Every write, and whatever else changes the disk.
    pub write: Option<c_int>,
    /// Writes that make a file longer, as on a full disk.
    pub grow: Option<c_int>,
    /// fsync; what was written stays unsynced.
    pub sync: Option<c_int>,
}

impl Faults {
    pub fn of_read(&self, name: &str, offset: usize, size: usize) -> Option<c_int> {
        if is_memory(name) {
            return None;
        }
        let range = self.read_range.as_ref().filter(|(range, _)| {
            name.ends_with(".db") && offset < range.end && range.start < offset + size
        });
        self.read.or(range.map(|(_, errno)| *errno))
    }

    pub fn of_write(&self, state: &State, ino: u64, name: &str, end: usize) -> Option<c_int> {
        let grows = state.files.get(&ino).is_none_or(|f| end > f.data.len());
        if is_memory(name) && !grows {
            return None;
        }
        self.write.or(self.grow.filter(|_| grows))
    }
}

pub fn is_memory(name: &str) -> bool {
    name.ends_with("-shm")
}
