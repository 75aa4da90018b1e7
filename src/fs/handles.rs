//! Open files. An open file belongs to the partition that it was opened in and ends with it: a descriptor never shows,
//! nor writes to, the partition that replaces it at the slot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fuser::FileHandle;

use super::control::ControlFile;
use super::incoming::IncomingFile;
use super::node::Node;
use super::staging::StagingFile;
use super::{Inner, lock};
use crate::error::{Error, IncomingError, Result};
use crate::hsm::{ObjectFile, PartitionId, SealedBlob};
use crate::object::{RowId, SlotId};

/// The most blobs coming in at once, of all processes: each may hold 72 KiB.
const MOST_INCOMING: usize = 2048;

/// One open file.
pub enum OpenFile {
    /// An object and its blob, which was sealed at the open.
    Object(ObjectFile, Arc<SealedBlob>),
    /// A blob coming in.
    Incoming(Arc<IncomingFile>),
    /// A staging file.
    Staging(Arc<StagingFile>),
    /// The text of a control file as it was at the open, and the partition whose objects it describes.
    Text(Vec<u8>, Option<PartitionId>),
    /// The metrics as they were at the open. The seat is given back with the file.
    Metrics { page: Vec<u8>, _seat: Seat },
    /// A control file to write to, and the result of the last message.
    Message(SlotId, ControlFile, Mutex<Result<(), i32>>),
}

impl OpenFile {
    /// The partition that the file belongs to, if to any.
    fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Object(_, blob) => Some(blob.partition()),
            Self::Incoming(file) => Some(file.partition),
            Self::Staging(file) => file.partition(),
            Self::Text(_, partition) => *partition,
            Self::Metrics { .. } | Self::Message(..) => None,
        }
    }
}

/// How often other users have the metrics open: each such file holds a page of its own.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<u32, u32>>>);

/// One of them, given back when it is dropped.
pub struct Seat {
    seats: Seats,
    uid: u32,
}

impl Seats {
    /// A seat for `uid`; `None` when that user has the most.
    pub fn take(&self, uid: u32) -> Option<Seat> {
        const MOST: u32 = 64;
        let mut taken = lock(&self.0);
        let of_user = taken.entry(uid).or_default();
        if *of_user >= MOST {
            return None;
        }
        *of_user += 1;
        let seats = self.clone();
        Some(Seat { seats, uid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.seats.0);
        if let Some(of_user) = taken.get_mut(&self.uid) {
            *of_user -= 1;
            if *of_user == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

impl Inner {
    /// The open file of a request that shows its content.
    ///
    /// # Errors
    /// EBADF; ESTALE if its partition is gone.
    pub(super) fn opened(&self, fh: FileHandle) -> Result<Arc<OpenFile>, i32> {
        let open = self.files.get(fh).ok_or(libc::EBADF)?;
        self.check_partition(&open).map_err(|error| error.errno())?;
        Ok(open)
    }

    /// Checks that the partition of `open` still exists.
    ///
    /// # Errors
    /// [`Error::Gone`], or when the store cannot be read.
    pub(super) fn check_partition(&self, open: &OpenFile) -> Result<()> {
        match open.partition() {
            Some(partition) => Ok(self.hsm.check_partition(partition)?),
            None => Ok(()),
        }
    }

    /// The same, by what this process knows: it may miss what another process did a moment ago. For requests that show
    /// nothing: the slot checks again when it stores what was written.
    ///
    /// # Errors
    /// As [`Self::check_partition`].
    pub(super) fn check_partition_as_known(&self, open: &OpenFile) -> Result<()> {
        match open.partition() {
            Some(partition) => Ok(self.hsm.check_partition_as_known(partition)?),
            None => Ok(()),
        }
    }
}

/// Every open file of a mount, by number.
#[derive(Default)]
pub struct OpenFiles {
    last: AtomicU64,
    files: Mutex<HashMap<FileHandle, Arc<OpenFile>>>,
    writers: Mutex<Writers>,
}

/// The processes that have blobs coming in.
#[derive(Default)]
struct Writers {
    /// The process of each open file.
    of: HashMap<FileHandle, u32>,
    /// The open files of each process, in the order in which they were opened.
    files: BTreeMap<u32, BTreeSet<FileHandle>>,
}

impl Writers {
    fn remove(&mut self, file: FileHandle) {
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
    /// Opens a file.
    pub fn add(&self, file: OpenFile) -> FileHandle {
        let handle = FileHandle(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        lock(&self.files).insert(handle, Arc::new(file));
        handle
    }

    /// Opens a file of process `pid` for an incoming blob. If there are too many, the process with the most of them loses
    /// one, which is passed to `dropped`: a process that never completes its blobs does not keep others from writing.
    ///
    /// # Errors
    /// [`IncomingError::StagingFull`], if `pid` itself has the most.
    pub fn add_incoming(
        &self,
        file: IncomingFile,
        pid: u32,
        dropped: impl FnOnce(&IncomingFile, Error),
    ) -> Result<FileHandle> {
        let mut writers = lock(&self.writers);
        if writers.of.len() >= MOST_INCOMING {
            self.make_room(&mut writers, file.slot(), pid, dropped)?;
        }
        let handle = self.add(OpenFile::Incoming(Arc::new(file)));
        writers.of.insert(handle, pid);
        writers.files.entry(pid).or_default().insert(handle);
        Ok(handle)
    }

    fn make_room(
        &self,
        writers: &mut Writers,
        slot: SlotId,
        pid: u32,
        dropped: impl FnOnce(&IncomingFile, Error),
    ) -> Result<()> {
        let own = writers.files.get(&pid).map_or(0, BTreeSet::len);
        let most = writers.files.values().max_by_key(|files| files.len());
        let most = most.filter(|files| files.len() > own);
        let given_way = most.into_iter().flatten().find_map(|handle| {
            let file = self.incoming(*handle)?;
            let why = file.lock().give_way()?;
            Some((*handle, file, why))
        });
        let Some((handle, file, why)) = given_way else {
            return Err(IncomingError::StagingFull.at(slot));
        };
        writers.remove(handle);
        dropped(&file, why);
        Ok(())
    }

    /// An open file.
    pub fn get(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        lock(&self.files).get(&handle).cloned()
    }

    /// An open file that a blob comes in by.
    pub fn incoming(&self, handle: FileHandle) -> Option<Arc<IncomingFile>> {
        match &**lock(&self.files).get(&handle)? {
            OpenFile::Incoming(file) => Some(Arc::clone(file)),
            _ => None,
        }
    }

    /// Closes a file.
    pub fn remove(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        let file = lock(&self.files).remove(&handle)?;
        if matches!(*file, OpenFile::Incoming(_)) {
            lock(&self.writers).remove(handle);
        }
        Some(file)
    }

    /// Tells the open file that process `pid` just opened over `node` that the open was with O_TRUNC. Returns whether
    /// there is such a file.
    pub fn opened_with_trunc(&self, node: Node, pid: u32) -> bool {
        let writers = lock(&self.writers);
        let latest_first = writers.files.get(&pid).into_iter().flatten().rev();
        latest_first
            .filter_map(|handle| self.incoming(*handle))
            .any(|file| file.lock().opened_with_trunc(node, pid))
    }

    /// An open file for a blob that was opened over `node`, if there is one.
    pub fn incoming_over(&self, node: Node) -> Option<Arc<IncomingFile>> {
        let files: Vec<_> = lock(&self.files)
            .values()
            .filter_map(|file| match &**file {
                OpenFile::Incoming(file) => Some(Arc::clone(file)),
                _ => None,
            })
            .collect();
        files.into_iter().find(|file| file.lock().is_over(node))
    }

    /// The open staging file that `is` accepts; it may be removed by now.
    pub fn opened_staging(&self, is: impl Fn(&StagingFile) -> bool) -> Option<Arc<StagingFile>> {
        lock(&self.files).values().find_map(|file| match &**file {
            OpenFile::Staging(staging) if is(staging) => Some(Arc::clone(staging)),
            _ => None,
        })
    }

    /// The object of a row that is open for reading, as it was at the open, and its partition; it may be destroyed by now.
    pub fn opened_object(&self, row: RowId) -> Option<(ObjectFile, PartitionId)> {
        lock(&self.files).values().find_map(|file| match &**file {
            OpenFile::Object(object, blob) if object.id == row => Some((*object, blob.partition())),
            _ => None,
        })
    }

    /// The rows of the objects of `slot` that are open for reading.
    pub fn opened_rows(&self, slot: SlotId) -> Vec<RowId> {
        let files = lock(&self.files);
        let rows = files.values().filter_map(|file| match &**file {
            OpenFile::Object(object, blob) if blob.partition().slot == slot => Some(object.id),
            _ => None,
        });
        rows.collect()
    }
}
