//! Open files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::FileHandle;

use super::control::ControlFile;
use super::incoming::Incoming;
use super::node::Node;
use super::staging::StagingFile;
use crate::error::{Error, IncomingError, Result};
use crate::hsm::{ObjectFile, PartitionId, SealedBlob};
use crate::object::SlotId;

/// The most blobs coming in at once, of all processes: each may hold 72 KiB.
const MOST_INCOMING: usize = 2048;

/// One open file.
pub enum OpenFile {
    /// An object, sealed at open and served from that.
    Object(ObjectFile, Arc<SealedBlob>),
    /// A blob coming in.
    Incoming(Box<Mutex<Incoming>>),
    /// A staging file.
    Staging(Arc<StagingFile>),
    /// A control file's text, as it was at open; the partition whose objects it tells of.
    Text(Vec<u8>, Option<PartitionId>),
    /// A control file to write to; the result of the last message.
    Message(SlotId, ControlFile, Mutex<Result<(), i32>>),
}

/// Every open file of a mount, by number.
#[derive(Default)]
pub struct OpenFiles {
    last: AtomicU64,
    files: Mutex<HashMap<u64, Arc<OpenFile>>>,
    writers: Mutex<Writers>,
}

/// Who has blobs coming in.
#[derive(Default)]
struct Writers {
    /// Each open file's process.
    of: HashMap<u64, u32>,
    /// Each process's open files, the one that was opened first in front.
    files: BTreeMap<u32, BTreeSet<u64>>,
}

impl Writers {
    fn remove(&mut self, file: u64) {
        if let Some(pid) = self.of.remove(&file)
            && let Some(files) = self.files.get_mut(&pid)
        {
            files.remove(&file);
            if files.is_empty() {
                self.files.remove(&pid);
            }
        }
    }
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

    /// Opens an incoming blob of process `pid`. Where there is no room, the process that has most of them gives one
    /// up, so that one that never finishes any keeps nobody else from writing; `dropped` is that one.
    ///
    /// # Errors
    /// [`Error::StagingFull`], to the process that has most itself.
    pub fn add_incoming(
        &self,
        incoming: Incoming,
        pid: u32,
        dropped: impl FnOnce(&Incoming, Error),
    ) -> Result<FileHandle> {
        let slot = incoming.slot;
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if writers.of.len() >= MOST_INCOMING {
            self.make_room(&mut writers, slot, pid, dropped)?;
        }
        let handle = self.add(OpenFile::Incoming(Box::new(Mutex::new(incoming))));
        writers.of.insert(handle.0, pid);
        writers.files.entry(pid).or_default().insert(handle.0);
        Ok(handle)
    }

    fn make_room(
        &self,
        writers: &mut Writers,
        slot: SlotId,
        pid: u32,
        dropped: impl FnOnce(&Incoming, Error),
    ) -> Result<()> {
        let full = IncomingError::StagingFull.at(slot);
        let own = writers.files.get(&pid).map_or(0, BTreeSet::len);
        let most = writers.files.iter().max_by_key(|(_, files)| files.len());
        let Some((_, files)) = most.filter(|(_, files)| files.len() > own) else {
            return Err(full);
        };
        let files: Vec<u64> = files.iter().copied().collect();
        for file in files {
            let Some(open) = self.get(FileHandle(file)) else {
                continue;
            };
            if let OpenFile::Incoming(incoming) = &*open {
                let mut incoming = lock(incoming);
                let why = incoming.give_way();
                if let Some(why) = why {
                    writers.remove(file);
                    dropped(&incoming, why);
                    return Ok(());
                }
            }
        }
        Err(full)
    }

    /// An open file.
    pub fn get(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        self.files().get(&handle.0).cloned()
    }

    /// Closes a file.
    pub fn remove(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        let file = self.files().remove(&handle.0)?;
        if matches!(*file, OpenFile::Incoming(_)) {
            let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
            writers.remove(handle.0);
        }
        Some(file)
    }

    /// Tells the open file that process `pid` just opened over `node` that it was with O_TRUNC; whether
    /// there is one.
    pub fn opened_with_trunc(&self, node: Node, pid: u32) -> bool {
        let mut numbers: Vec<(u64, Arc<OpenFile>)> = self
            .files()
            .iter()
            .map(|(number, file)| (*number, Arc::clone(file)))
            .collect();
        numbers.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        numbers.iter().any(|(_, file)| match &**file {
            OpenFile::Incoming(incoming) => lock(incoming).opened_with_trunc(node, pid),
            _ => false,
        })
    }

    /// The staging file that `is` the one, as somebody opened it: it may be removed by now.
    pub fn opened_staging(&self, is: impl Fn(&StagingFile) -> bool) -> Option<Arc<StagingFile>> {
        self.files().values().find_map(|file| match &**file {
            OpenFile::Staging(staging) if is(staging) => Some(Arc::clone(staging)),
            _ => None,
        })
    }

    /// The object of row `id` as somebody opened it, and the partition that it was in: it may be destroyed by now.
    pub fn opened_object(&self, id: i64) -> Option<(ObjectFile, PartitionId)> {
        self.files().values().find_map(|file| match &**file {
            OpenFile::Object(object, blob) if object.id == id => Some((*object, blob.partition())),
            _ => None,
        })
    }

    /// The rows of the objects of `slot` that are open for reading.
    pub fn opened_rows(&self, slot: SlotId) -> Vec<i64> {
        let files = self.files();
        let rows = files.values().filter_map(|file| match &**file {
            OpenFile::Object(object, blob) if blob.partition().slot == slot => Some(object.id),
            _ => None,
        });
        rows.collect()
    }
}

/// Locks an incoming blob.
pub fn lock(incoming: &Mutex<Incoming>) -> MutexGuard<'_, Incoming> {
    incoming.lock().unwrap_or_else(PoisonError::into_inner)
}
