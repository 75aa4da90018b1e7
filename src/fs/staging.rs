//! Staging files: names that start with a dot, held in memory until they are renamed to a handle. And
//! staging folders, for tools that collect such files in one (`rsync --delay-updates`, `--partial-dir`).

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::name;
use crate::error::{Error, IncomingError, Result};
use crate::hsm::{Hsm, PartitionId};
use crate::object::SlotId;

mod file;
mod room;

use file::LONGEST_IDLE;
pub use file::{Refused, StagingFile};
#[cfg(feature = "fuzzing")]
pub use room::Limit;
pub use room::Limits;
use room::{LIMITS, Ledger, Room};

/// How long to go on without looking for what was left behind.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Where a staging name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The slot.
    pub slot: SlotId,
    /// The folder.
    pub folder: Folder,
}

/// A folder of a slot that has staging names in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folder {
    /// The slot's own.
    Slot,
    /// `.slotfs/ouid`
    Identities,
    /// A staging folder, by number.
    Staging(u64),
}

/// A file or a folder.
#[derive(Clone)]
pub enum Staged {
    /// A file.
    File(Arc<StagingFile>),
    /// A folder, by number.
    Folder(u64, Arc<Made>),
}

/// When a folder was made, and its room.
pub struct Made {
    at: Instant,
    _room: Room,
}

impl Staged {
    /// The row that its object is to have.
    fn row(&self) -> Option<i64> {
        match self {
            Self::File(file) => file.row,
            Self::Folder(..) => None,
        }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        match self {
            Self::File(file) => file.id,
            Self::Folder(id, _) => *id,
        }
    }
}

/// Everything staged on a mount. What was taken in stays until its owner renames or removes it, its time ends or its
/// slot is logged out of; what does not fit is refused at once.
pub struct Staging {
    table: Mutex<Table>,
    ledger: Arc<Ledger>,
    /// Asked for the partition that is logged in to at a slot: what was staged in another one is gone.
    partition: Box<dyn Fn(SlotId) -> Option<PartitionId> + Send + Sync>,
}

impl Default for Staging {
    fn default() -> Self {
        Self::with_limits(LIMITS)
    }
}

type Key = (Place, OsString);

#[derive(Default)]
struct Table {
    last_id: u64,
    entries: BTreeMap<Key, Staged>,
    /// The same by number.
    names: HashMap<u64, Key>,
    /// The numbers of those that have a row reserved.
    rows: HashMap<i64, u64>,
    /// The partition whose the entries of each slot are.
    partitions: HashMap<SlotId, PartitionId>,
    swept: Option<Instant>,
}

impl Table {
    fn insert(&mut self, key: Key, staged: Staged) {
        self.names.insert(staged.id(), key.clone());
        if let Some(row) = staged.row() {
            self.rows.insert(row, staged.id());
        }
        if let Some(old) = self.entries.insert(key, staged) {
            self.forget(&old);
        }
    }

    fn forget(&mut self, staged: &Staged) {
        self.names.remove(&staged.id());
        if let Some(row) = staged.row() {
            self.rows.remove(&row);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Staged> {
        let staged = self.entries.remove(key)?;
        self.forget(&staged);
        Some(staged)
    }

    fn retain(&mut self, keep: impl Fn(&Key, &Staged) -> bool) {
        let (names, rows) = (&mut self.names, &mut self.rows);
        self.entries.retain(|key, staged| {
            let keep = keep(key, staged);
            if !keep {
                names.remove(&staged.id());
                if let Some(row) = staged.row() {
                    rows.remove(&row);
                }
            }
            keep
        });
    }

    /// The partition at `slot` is `partition` now, where anybody is logged in.
    fn enter(&mut self, slot: SlotId, partition: Option<PartitionId>) {
        if let Some(now) = partition
            && let Some(before) = self.partitions.insert(slot, now)
            && before != now
        {
            self.clear(slot);
        }
    }

    fn clear(&mut self, slot: SlotId) {
        self.retain(|(place, _), _| place.slot != slot);
    }

    /// What stands at `place`.
    fn at(&self, place: Place) -> impl Iterator<Item = (&OsString, &Staged)> {
        self.entries
            .range((place, OsString::new())..)
            .take_while(move |((at, _), _)| *at == place)
            .map(|((_, name), staged)| (name, staged))
    }

    fn is_empty_folder(&self, slot: SlotId, id: u64) -> bool {
        let folder = Folder::Staging(id);
        self.at(Place { slot, folder }).next().is_none()
    }

    /// Forgets what was left behind: files first, then the folders that this emptied.
    fn sweep(&mut self) {
        self.swept = Some(Instant::now());
        self.retain(|_, staged| match staged {
            Staged::File(file) => !file.is_abandoned(),
            Staged::Folder(..) => true,
        });
        let old: Vec<Key> = self
            .entries
            .iter()
            .filter_map(|(key, staged)| match staged {
                Staged::Folder(id, made)
                    if made.at.elapsed() > LONGEST_IDLE
                        && self.is_empty_folder(key.0.slot, *id) =>
                {
                    Some(key.clone())
                }
                _ => None,
            })
            .collect();
        for key in old {
            self.remove(&key);
        }
    }

    /// The same, but not all the time: whoever is refused may try again at once, and often.
    /// Whether it was done.
    fn sweep_now_and_then(&mut self) -> bool {
        let due = self.swept.is_none_or(|at| at.elapsed() > SWEEP_EVERY);
        if due {
            self.sweep();
        }
        due
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
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

    /// Of the slots of `hsm`.
    pub fn of(hsm: Arc<Hsm>) -> Self {
        Self {
            partition: Box::new(move |slot| hsm.partition(slot).id().ok()),
            ..Self::default()
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table, with nothing in it of a partition that `slot` had before.
    fn table_of(&self, slot: SlotId) -> MutexGuard<'_, Table> {
        let mut table = self.table();
        let partition = (self.partition)(slot);
        table.enter(slot, partition);
        table
    }

    /// What has a number, and the place it stands in.
    fn numbered(&self, id: impl Fn(&Table) -> Option<u64>) -> Option<(Place, Staged)> {
        let mut table = self.table();
        let find = |table: &Table| {
            let key = table.names.get(&id(table)?)?;
            Some((key.0, table.entries.get(key)?.clone()))
        };
        let slot = find(&table)?.0.slot;
        let partition = (self.partition)(slot);
        table.enter(slot, partition);
        find(&table)
    }

    /// Takes `data` at `offset` of `file`, all of it or nothing; or remembers that the file is larger than any blob.
    ///
    /// # Errors
    /// [`Refused::NoRoom`], [`Refused::Published`]
    pub fn write(&self, file: &StagingFile, offset: u64, data: &[u8]) -> Result<(), Refused> {
        self.with_room(file, || file.write(offset, data))
    }

    /// Cuts or lengthens `file`; an empty one starts anew.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn truncate(&self, file: &StagingFile, length: u64) -> Result<(), Refused> {
        self.with_room(file, || file.truncate(length))
    }

    /// Does `act`, once more when what was left behind might have been in its way.
    fn with_room(
        &self,
        file: &StagingFile,
        act: impl Fn() -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let done = act();
        if done != Err(Refused::NoRoom) {
            return done;
        }
        let swept = self.table().sweep_now_and_then();
        let done = act();
        // Not at each of the writes that a tool may go on with.
        if let (Err(why @ Refused::NoRoom), true) = (done, swept) {
            log::warn!("{}", why.error(file.slot()));
        }
        done
    }

    /// Room for one more file or folder.
    ///
    /// # Errors
    /// [`Error::StagingFull`]
    fn room(&self, table: &mut Table, slot: SlotId, pid: u32) -> Result<Room> {
        Room::for_entry(&self.ledger, slot, pid)
            .or_else(|| {
                table.sweep_now_and_then();
                Room::for_entry(&self.ledger, slot, pid)
            })
            .ok_or(IncomingError::StagingFull.at(slot))
    }

    /// What `name` is, if anything.
    pub fn find(&self, place: Place, name: &OsStr) -> Option<Staged> {
        let table = self.table_of(place.slot);
        table.entries.get(&(place, name.to_owned())).cloned()
    }

    /// What has number `id`, and the place it stands in.
    pub fn by_id(&self, id: u64) -> Option<(Place, Staged)> {
        self.numbered(|_| Some(id))
    }

    /// The same by the row that its object is to have.
    pub fn by_row(&self, row: i64) -> Option<(Place, Staged)> {
        self.numbered(|table| table.rows.get(&row).copied())
    }

    /// A new file `name`, or the one that is there; its object is to have `row`.
    ///
    /// # Errors
    /// [`Error::StagingFull`], [`Error::NameTaken`] by a folder.
    pub fn create(
        &self,
        place: Place,
        name: &OsStr,
        pid: u32,
        row: Option<i64>,
    ) -> Result<Arc<StagingFile>> {
        let slot = place.slot;
        let mut table = self.table_of(slot);
        let key = (place, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::File(file)) => return Ok(Arc::clone(file)),
            Some(Staged::Folder(..)) => return Err(IncomingError::NameTaken.at(slot)),
            None => {}
        }
        let room = self.room(&mut table, slot, pid)?;
        let partition = table.partitions.get(&slot).copied();
        let file = Arc::new(StagingFile::new(table.next_id(), row, room, partition));
        table.insert(key, Staged::File(Arc::clone(&file)));
        Ok(file)
    }

    /// A new folder `name`; its number.
    ///
    /// # Errors
    /// [`Error::StagingFull`], [`Error::NameTaken`]
    pub fn create_folder(&self, place: Place, name: &OsStr, pid: u32) -> Result<u64> {
        let slot = place.slot;
        let mut table = self.table_of(slot);
        let key = (place, name.to_owned());
        if table.entries.contains_key(&key) {
            return Err(IncomingError::NameTaken.at(slot));
        }
        let made = Made {
            at: Instant::now(),
            _room: self.room(&mut table, slot, pid)?,
        };
        let id = table.next_id();
        table.insert(key, Staged::Folder(id, Arc::new(made)));
        Ok(id)
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`]
    pub fn remove(&self, place: Place, name: &OsStr) -> Result<()> {
        let mut table = self.table_of(place.slot);
        let key = (place, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::File(_)) => {
                table.remove(&key);
                Ok(())
            }
            Some(Staged::Folder(..)) => Err(Error::NotSupported { what: "unlink" }),
            None => Err(Error::NoSuchFile),
        }
    }

    /// Removes the folder `name`.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::NoSuchFile`]
    pub fn remove_folder(&self, place: Place, name: &OsStr) -> Result<()> {
        let slot = place.slot;
        let mut table = self.table_of(slot);
        let key = (place, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::Folder(id, _)) if table.is_empty_folder(slot, *id) => {
                table.remove(&key);
                Ok(())
            }
            Some(Staged::Folder(..)) => Err(IncomingError::NotEmpty.at(slot)),
            Some(Staged::File(_)) => Err(Error::NotSupported { what: "rmdir" }),
            None => Err(Error::NoSuchFile),
        }
    }

    /// Removes `name` if it still is `file`.
    pub fn remove_file(&self, place: Place, name: &OsStr, file: &StagingFile) {
        let mut table = self.table();
        let key = (place, name.to_owned());
        if table
            .entries
            .get(&key)
            .is_some_and(|there| there.id() == file.id)
        {
            table.remove(&key);
        }
    }

    /// Forgets a refused `file` that stands in a staging folder, and the folder with the last one.
    pub fn discard(&self, place: Place, name: &OsStr, file: &StagingFile) {
        let Folder::Staging(folder) = place.folder else {
            return;
        };
        self.remove_file(place, name, file);
        let mut table = self.table();
        if table.is_empty_folder(place.slot, folder)
            && let Some(key) = table.names.get(&folder).cloned()
        {
            table.remove(&key);
        }
    }

    /// Renames a file, over another unless `keep_existing`. Folders stay where they are.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::NoSuchFile`], [`Error::NameTaken`], [`Error::NotSupported`] for a folder,
    /// [`Error::StagingFull`] when it goes to another slot.
    pub fn rename(
        &self,
        from: (Place, &OsStr),
        to: (Place, &OsStr),
        keep_existing: bool,
    ) -> Result<()> {
        // In a staging folder any name will do, but none that no other filesystem could hold.
        if to.1.len() > name::MOST_BYTES {
            return name::refuse(to.0.slot, to.1);
        }
        let mut table = self.table_of(from.0.slot);
        let partition = (self.partition)(to.0.slot);
        table.enter(to.0.slot, partition);
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        let what = "renaming a staging folder";
        match (table.entries.get(&from), table.entries.get(&to)) {
            (None, _) => return Err(Error::NoSuchFile),
            (Some(Staged::Folder(..)), _) => return Err(Error::NotSupported { what }),
            (_, Some(Staged::Folder(..))) => return Err(IncomingError::NameTaken.at(to.0.slot)),
            (_, Some(_)) if keep_existing => return Err(IncomingError::NameTaken.at(to.0.slot)),
            (Some(Staged::File(file)), _) if !file.move_to(to.0.slot, partition) => {
                return Err(IncomingError::StagingFull.at(to.0.slot));
            }
            _ => {}
        }
        if let Some(file) = table.remove(&from) {
            table.insert(to, file);
        }
        Ok(())
    }

    /// What is at `place` with numbers above `after`, by number, with names.
    pub fn list(&self, place: Place, after: u64) -> Vec<(OsString, Staged)> {
        let mut table = self.table_of(place.slot);
        table.sweep();
        let mut staged: Vec<_> = table
            .at(place)
            .filter(|(_, staged)| staged.id() > after)
            .map(|(name, staged)| (name.clone(), staged.clone()))
            .collect();
        staged.sort_unstable_by_key(|(_, staged)| staged.id());
        staged
    }

    /// Forgets everything of a slot that was logged out of.
    pub fn clear(&self, slot: SlotId) {
        self.table().clear(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place {
        slot: SlotId(1),
        folder: Folder::Slot,
    };
    const ELSEWHERE: Place = Place {
        slot: SlotId(2),
        folder: Folder::Slot,
    };

    /// A file of `size` bytes that process `pid` makes, or why not.
    fn stage(
        staging: &Staging,
        place: Place,
        name: &str,
        pid: u32,
        size: usize,
    ) -> Result<Arc<StagingFile>, i32> {
        let file = staging
            .create(place, OsStr::new(name), pid, None)
            .map_err(|why| why.errno())?;
        staging
            .write(&file, 0, &vec![7; size])
            .map_err(Refused::errno)?;
        Ok(file)
    }

    #[test]
    fn files_are_found_renamed_and_bounded() {
        let staging = Staging::default();
        let name = OsStr::new(".a");
        let file = staging.create(HERE, name, 1, None).unwrap();
        staging.write(&file, 0, b"abc").unwrap();
        assert_eq!(file.read(1, 9), Ok(b"bc".to_vec()));
        assert_eq!(staging.by_id(file.id).unwrap().1.id(), file.id);
        let other = OsStr::new(".b");
        staging.rename((HERE, name), (HERE, other), true).unwrap();
        assert!(staging.find(HERE, name).is_none());
        staging.create(HERE, name, 1, None).unwrap();
        let kept = staging.rename((HERE, name), (HERE, other), true);
        assert!(matches!(
            kept,
            Err(Error::Incoming {
                why: IncomingError::NameTaken,
                ..
            })
        ));
        assert_eq!(staging.list(HERE, 0).len(), 2);
        for n in 2..LIMITS.entries.slot {
            let name = format!(".{n}");
            staging.create(HERE, OsStr::new(&name), 1, None).unwrap();
        }
        let full = staging.create(HERE, OsStr::new(".full"), 1, None);
        assert!(matches!(
            full,
            Err(Error::Incoming {
                why: IncomingError::StagingFull,
                ..
            })
        ));
        let full = staging.create_folder(HERE, OsStr::new(".full"), 1);
        assert!(matches!(
            full,
            Err(Error::Incoming {
                why: IncomingError::StagingFull,
                ..
            })
        ));
        // Those that are there still take what fits, and other processes and slots have room.
        staging.write(&file, 3, b"def").unwrap();
        staging
            .create(HERE, OsStr::new(".another"), 2, None)
            .unwrap();
        staging.create(ELSEWHERE, name, 1, None).unwrap();
        assert_eq!(staging.list(HERE, 0).len(), LIMITS.entries.slot + 1);
        staging.clear(HERE.slot);
        assert!(staging.list(HERE, 0).is_empty());
        staging.create(HERE, OsStr::new(".full"), 1, None).unwrap();
    }

    #[test]
    fn a_folder_goes_only_when_it_is_empty() {
        let staging = Staging::default();
        let name = OsStr::new(".~tmp~");
        let inside = Place {
            folder: Folder::Staging(staging.create_folder(HERE, name, 1).unwrap()),
            ..HERE
        };
        staging.create(inside, OsStr::new("124"), 1, None).unwrap();
        let kept = staging.remove_folder(HERE, name);
        assert!(matches!(
            kept,
            Err(Error::Incoming {
                why: IncomingError::NotEmpty,
                ..
            })
        ));
        staging.remove(inside, OsStr::new("124")).unwrap();
        staging.remove_folder(HERE, name).unwrap();
        assert!(staging.list(HERE, 0).is_empty());
        assert!(staging.ledger.is_empty());
    }

    #[test]
    fn too_much_is_remembered_until_it_is_emptied() {
        let staging = Staging::default();
        let file = stage(&staging, HERE, ".a", 1, 100).unwrap();
        staging.write(&file, 1 << 30, b"x").unwrap();
        assert_eq!(file.bytes(), Err(Refused::TooLarge));
        staging.write(&file, 0, b"x").unwrap();
        staging.truncate(&file, 10).unwrap();
        assert_eq!(file.bytes(), Err(Refused::TooLarge));
        staging.truncate(&file, 0).unwrap();
        assert_eq!(file.bytes(), Ok(Vec::new()));
        file.published();
        assert_eq!(staging.write(&file, 0, b"x"), Err(Refused::Published));
    }

    /// "what was accepted is kept until its owner renames or removes it": by the process that filled the room and
    /// by others, whatever anybody asks for.
    #[test]
    fn what_was_taken_in_is_kept_and_what_does_not_fit_is_refused() {
        let staging = Staging::default();
        let files: Vec<_> = (0..2_000)
            .map_while(|n| stage(&staging, HERE, &format!(".{n}"), 1, 60_000).ok())
            .collect();
        assert_eq!(files.len(), LIMITS.bytes.slot / 60_000);
        let rest = LIMITS.bytes.slot % 60_000;
        stage(&staging, HERE, ".rest", 1, rest).unwrap();
        let last = OsStr::new(".another").to_owned();
        let another = staging.create(HERE, &last, 1, None).unwrap();
        let full = staging.write(&another, 0, &[7; 60_000]);
        assert_eq!(full, Err(Refused::NoRoom));
        assert_eq!(staging.truncate(&another, 60_000), Err(Refused::NoRoom));
        assert_eq!(another.bytes(), Ok(Vec::new()));
        // A write that fails leaves what was there, and one that needs no more room succeeds.
        assert_eq!(
            staging.write(&files[0], 59_990, &[8; 5_000]),
            Err(Refused::NoRoom)
        );
        staging.write(&files[0], 59_990, &[7; 10]).unwrap();
        for pid in 2..100 {
            let name = format!(".of {pid}");
            let _ = stage(&staging, HERE, &name, pid, 60_000);
            staging.remove(HERE, OsStr::new(&name)).unwrap();
        }
        for file in &files {
            assert_eq!(file.bytes(), Ok(vec![7; 60_000]));
        }
        // What is removed makes room once nobody has it open any more.
        staging.remove(HERE, OsStr::new(".0")).unwrap();
        assert_eq!(
            staging.write(&another, 0, &[7; 60_000]),
            Err(Refused::NoRoom)
        );
        drop(files);
        staging.write(&another, 0, &[7; 60_000]).unwrap();
        staging.clear(HERE.slot);
        drop(another);
        assert!(staging.ledger.is_empty());
    }

    #[test]
    fn a_full_slot_leaves_the_others_their_room() {
        let staging = Staging::default();
        let mut kept = Vec::new();
        for slot in 0..4 {
            let place = Place {
                slot: SlotId(slot),
                ..HERE
            };
            let before = kept.len();
            kept.extend(
                (0..2_000).map_while(|n| stage(&staging, place, &format!(".{n}"), 1, 60_000).ok()),
            );
            assert_eq!(kept.len() - before, LIMITS.bytes.slot / 60_000);
        }
        // Nor does a rename to another slot go past its limit.
        let (from, to) = (OsStr::new(".0"), OsStr::new(".renamed"));
        let moved = staging.rename((HERE, from), (ELSEWHERE, to), false);
        assert!(
            matches!(moved, Err(Error::Incoming { slot, why: IncomingError::StagingFull }) if slot == ELSEWHERE.slot)
        );
        assert!(staging.find(HERE, from).is_some());
        staging.clear(ELSEWHERE.slot);
        kept.clear();
        staging
            .rename((HERE, from), (ELSEWHERE, to), false)
            .unwrap();
        assert!(staging.find(ELSEWHERE, to).is_some());
    }

    /// A process that fills its slot leaves room for what others write and rename one after the other, as rsync does.
    #[test]
    fn who_fills_a_slot_does_not_keep_others_from_writing() {
        let staging = Staging::default();
        let full = vec![1; crate::hsm::MAX_BLOB_BYTES];
        let hogs: Vec<_> = (0..2_000)
            .map_while(|n| stage(&staging, HERE, &format!(".{n}"), 1, full.len()).ok())
            .collect();
        for n in 0..100 {
            let name = format!(".other{n}");
            let other = stage(&staging, HERE, &name, 2, full.len()).unwrap();
            assert!(other.bytes().is_ok());
            staging.remove(HERE, OsStr::new(&name)).unwrap();
        }
        assert!(hogs.iter().all(|hog| hog.bytes().is_ok()));
    }
}
