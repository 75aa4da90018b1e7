//! Staging files: names that start with a dot, held in memory until they are renamed to a handle. And staging folders,
//! for tools that collect such files in a folder (`rsync --delay-updates`, `--partial-dir`).

use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::node::{Node, StagingId};
use super::{lock, name, unsupported};
use crate::error::{Error, IncomingError, Result};
use crate::hsm::{Hsm, PartitionId};
use crate::object::{RowId, SlotId};

mod file;
mod room;
mod table;
#[cfg(test)]
mod tests;

pub use file::{Refused, StagingFile};
#[cfg(feature = "fuzzing")]
pub use room::Limit;
pub use room::Limits;
use room::{LIMITS, Ledger, Room};
use table::Table;

/// The folder that a staging file or an alias stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The slot.
    pub slot: SlotId,
    /// The folder of the slot.
    pub folder: Folder,
}

/// A folder of a slot that can have staging names in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// The slot's own.
    Slot,
    /// `.slotfs/ouid`
    Identities,
    /// A staging folder.
    Staging(StagingId),
}

impl Folder {
    /// The node of an object in this folder.
    pub fn object(self, row: RowId) -> Node {
        match self {
            Self::Identities => Node::Identity(row),
            Self::Slot | Self::Staging(_) => Node::Object(row),
        }
    }
}

/// A file or a folder.
#[derive(Clone)]
pub enum Staged {
    /// A file.
    File(Arc<StagingFile>),
    /// A folder.
    Folder(StagingId, Arc<Made>),
}

/// When a folder was made, and its room.
pub struct Made {
    at: Instant,
    _room: Room,
}

impl Staged {
    /// The row that is reserved for the object.
    fn row(&self) -> Option<RowId> {
        match self {
            Self::File(file) => file.row,
            Self::Folder(..) => None,
        }
    }

    /// Its number.
    pub fn id(&self) -> StagingId {
        match self {
            Self::File(file) => file.id,
            Self::Folder(id, _) => *id,
        }
    }
}

/// Everything staged on a mount. An accepted file stays until its owner renames or removes it, until it expires, or until
/// the slot is logged out. What does not fit is refused at once.
pub struct Staging {
    table: Mutex<Table>,
    ledger: Arc<Ledger>,
    /// Gives the partition at a slot, if anybody is logged in: files of another partition are removed.
    partition: Box<dyn Fn(SlotId) -> Option<PartitionId> + Send + Sync>,
}

impl Default for Staging {
    fn default() -> Self {
        Self::with_limits(LIMITS)
    }
}

impl Staging {
    /// With other limits than a mount has.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            table: Mutex::default(),
            ledger: Arc::new(Ledger::new(limits)),
            partition: Box::new(|_| None),
        }
    }

    /// For the slots of `hsm`.
    pub fn of(hsm: Arc<Hsm>) -> Self {
        Self {
            partition: Box::new(move |slot| hsm.partition(slot).id().ok()),
            ..Self::default()
        }
    }

    /// The table, without the files of a partition that `slot` had before.
    fn table_of(&self, slot: SlotId) -> MutexGuard<'_, Table> {
        let mut table = lock(&self.table);
        let partition = (self.partition)(slot);
        table.enter(slot, partition);
        table
    }

    /// What `get` finds, and its place, unless it belongs to a partition that its slot had before.
    fn current(&self, get: impl Fn(&Table) -> Option<(Place, &Staged)>) -> Option<(Place, Staged)> {
        let mut table = lock(&self.table);
        let slot = get(&table)?.0.slot;
        let partition = (self.partition)(slot);
        table.enter(slot, partition);
        let (place, staged) = get(&table)?;
        Some((place, staged.clone()))
    }

    /// Writes all of `data` at `offset` of `file`, or nothing. A file that gets larger than any blob loses its content.
    ///
    /// # Errors
    /// [`Refused::NoRoom`], [`Refused::Published`]
    pub fn write(&self, file: &StagingFile, offset: u64, data: &[u8]) -> Result<(), Refused> {
        self.with_room(file, || file.write(offset, data))
    }

    /// Cuts or lengthens `file`. Cut to nothing, it starts anew.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn truncate(&self, file: &StagingFile, length: u64) -> Result<(), Refused> {
        self.with_room(file, || file.truncate(length))
    }

    /// Calls `change`, and again if there was no room and abandoned files may have been removed.
    fn with_room(
        &self,
        file: &StagingFile,
        change: impl Fn() -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let done = change();
        if done != Err(Refused::NoRoom) {
            return done;
        }
        let swept = lock(&self.table).sweep_if_due();
        let done = change();
        // A tool may go on with many writes: not every one is logged.
        if let (Err(why @ Refused::NoRoom), true) = (done, swept) {
            log::warn!("{}", why.error(file.slot()));
        }
        done
    }

    /// Room for one more file or folder.
    fn room(&self, table: &mut Table, slot: SlotId, pid: u32) -> Result<Room> {
        Room::for_entry(&self.ledger, slot, pid)
            .or_else(|| {
                table.sweep_if_due();
                Room::for_entry(&self.ledger, slot, pid)
            })
            .ok_or(IncomingError::StagingFull.at(slot))
    }

    /// The file or folder `name`.
    pub fn find(&self, place: Place, name: &OsStr) -> Option<Staged> {
        self.table_of(place.slot).get(place, name).cloned()
    }

    /// The file or folder with that number, and its place.
    pub fn by_id(&self, id: StagingId) -> Option<(Place, Staged)> {
        self.current(|table| table.by_id(id))
    }

    /// The file whose object is to have `row`, and its place.
    pub fn by_row(&self, row: RowId) -> Option<(Place, Staged)> {
        self.current(|table| table.by_row(row))
    }

    /// A new file `name` whose object is to have `row`, or the file that is there.
    ///
    /// # Errors
    /// [`IncomingError::StagingFull`], [`IncomingError::NameTaken`] by a folder.
    pub fn create(
        &self,
        place: Place,
        name: &OsStr,
        pid: u32,
        row: Option<RowId>,
    ) -> Result<Arc<StagingFile>> {
        let slot = place.slot;
        let mut table = self.table_of(slot);
        match table.get(place, name) {
            Some(Staged::File(file)) => return Ok(Arc::clone(file)),
            Some(Staged::Folder(..)) => return Err(IncomingError::NameTaken.at(slot)),
            None => {}
        }
        let room = self.room(&mut table, slot, pid)?;
        let partition = table.partition(slot);
        let file = Arc::new(StagingFile::new(table.next_id(), row, room, partition));
        table.insert(place, name, Staged::File(Arc::clone(&file)));
        Ok(file)
    }

    /// Makes a folder and returns its number.
    ///
    /// # Errors
    /// [`IncomingError::StagingFull`], [`IncomingError::NameTaken`]
    pub fn create_folder(&self, place: Place, name: &OsStr, pid: u32) -> Result<StagingId> {
        let slot = place.slot;
        let mut table = self.table_of(slot);
        if table.get(place, name).is_some() {
            return Err(IncomingError::NameTaken.at(slot));
        }
        let made = Made {
            at: Instant::now(),
            _room: self.room(&mut table, slot, pid)?,
        };
        let id = table.next_id();
        table.insert(place, name, Staged::Folder(id, Arc::new(made)));
        Ok(id)
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`]; [`Error::NotSupported`] for a folder.
    pub fn remove(&self, place: Place, name: &OsStr) -> Result<()> {
        let mut table = self.table_of(place.slot);
        match table.get(place, name) {
            Some(Staged::File(_)) => {
                table.remove(place, name);
                Ok(())
            }
            Some(Staged::Folder(..)) => unsupported("unlink"),
            None => Err(Error::NoSuchFile),
        }
    }

    /// Removes the folder `name`.
    ///
    /// # Errors
    /// [`IncomingError::NotEmpty`], [`Error::NoSuchFile`]; [`Error::NotSupported`] for a file.
    pub fn remove_folder(&self, place: Place, name: &OsStr) -> Result<()> {
        let slot = place.slot;
        let mut table = self.table_of(slot);
        match table.get(place, name) {
            Some(Staged::Folder(id, _)) if table.is_empty_folder(slot, *id) => {
                table.remove(place, name);
                Ok(())
            }
            Some(Staged::Folder(..)) => Err(IncomingError::NotEmpty.at(slot)),
            Some(Staged::File(_)) => unsupported("rmdir"),
            None => Err(Error::NoSuchFile),
        }
    }

    /// Removes `name` if it still is `file`.
    pub fn remove_file(&self, place: Place, name: &OsStr, file: &StagingFile) {
        let mut table = lock(&self.table);
        if table
            .get(place, name)
            .is_some_and(|there| there.id() == file.id)
        {
            table.remove(place, name);
        }
    }

    /// Removes a refused `file` if it is in a staging folder, and the folder with its last file.
    pub fn discard(&self, place: Place, name: &OsStr, file: &StagingFile) {
        let Folder::Staging(folder) = place.folder else {
            return;
        };
        self.remove_file(place, name, file);
        let mut table = lock(&self.table);
        if table.is_empty_folder(place.slot, folder) {
            table.remove_by_id(folder);
        }
    }

    /// Renames a file, over another unless `keep_existing`. Folders cannot be renamed.
    ///
    /// # Errors
    /// [`IncomingError::BadName`], [`Error::NoSuchFile`], [`IncomingError::NameTaken`], [`Error::NotSupported`] for a
    /// folder, [`IncomingError::StagingFull`] if the other slot has no room.
    pub fn rename(
        &self,
        (from, name): (Place, &OsStr),
        (to, newname): (Place, &OsStr),
        keep_existing: bool,
    ) -> Result<()> {
        let slot = to.slot;
        // A staging folder takes any name that other filesystems could hold.
        if newname.len() > name::MOST_BYTES {
            return name::refuse(slot, newname);
        }
        let mut table = self.table_of(from.slot);
        let partition = (self.partition)(slot);
        table.enter(slot, partition);
        let what = "renaming a staging folder";
        match (table.get(from, name), table.get(to, newname)) {
            (None, _) => return Err(Error::NoSuchFile),
            (Some(Staged::Folder(..)), _) => return unsupported(what),
            (_, Some(Staged::Folder(..))) => return Err(IncomingError::NameTaken.at(slot)),
            (_, Some(_)) if keep_existing => return Err(IncomingError::NameTaken.at(slot)),
            (Some(Staged::File(file)), _) if !file.move_to(slot, partition) => {
                return Err(IncomingError::StagingFull.at(slot));
            }
            _ => {}
        }
        if let Some(file) = table.remove(from, name) {
            table.insert(to, newname, file);
        }
        Ok(())
    }

    /// The files and folders at `place` with numbers above `after`, by number.
    pub fn list(&self, place: Place, after: StagingId) -> Vec<(OsString, Staged)> {
        let mut table = self.table_of(place.slot);
        table.sweep();
        let mut staged: Vec<_> = table
            .at(place)
            .filter(|(_, staged)| staged.id() > after)
            .map(|(name, staged)| (name.to_owned(), staged.clone()))
            .collect();
        staged.sort_unstable_by_key(|(_, staged)| staged.id());
        staged
    }

    /// Removes everything of a slot that was logged out of.
    pub fn clear(&self, slot: SlotId) {
        lock(&self.table).clear(slot);
    }
}
