//! Staging files: names that start with a dot, held in memory until they are renamed to a handle. And
//! staging folders, for tools that collect such files in one (`rsync --delay-updates`, `--partial-dir`).

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::name;
use crate::error::{Error, Result};
use crate::object::SlotId;

mod file;

use file::{LONGEST_IDLE, MOST_BYTES};
pub use file::{Overflow, StagingFile};

/// The most staging files and folders of one mount.
const MOST_ENTRIES: usize = 65_536;

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
    /// A folder, by number, and when it was made.
    Folder(u64, Instant),
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

/// Everything staged on a mount.
#[derive(Default)]
pub struct Staging {
    table: Mutex<Table>,
    total: Arc<AtomicUsize>,
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
        self.retain(|_, staged| match staged {
            Staged::File(file) => !file.is_abandoned(),
            Staged::Folder(..) => true,
        });
        let old: Vec<Key> = self
            .entries
            .iter()
            .filter_map(|(key, staged)| match staged {
                Staged::Folder(id, made)
                    if made.elapsed() > LONGEST_IDLE && self.is_empty_folder(key.0.slot, *id) =>
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

    /// Where all names are taken, the process that has most of them loses the first, unless it is the one that asks.
    ///
    /// # Errors
    /// [`Error::StagingFull`]
    fn next_id(&mut self, slot: SlotId, pid: u32) -> Result<u64> {
        if self.entries.len() >= MOST_ENTRIES {
            self.sweep();
        }
        if self.entries.len() >= MOST_ENTRIES {
            let mut held: HashMap<u32, Vec<u64>> = HashMap::new();
            for staged in self.entries.values() {
                if let Staged::File(file) = staged {
                    held.entry(file.pid).or_default().push(file.id);
                }
            }
            let own = held.get(&pid).map_or(0, Vec::len);
            let most = held.values().max_by_key(|ids| ids.len());
            let first = most
                .filter(|ids| ids.len() > own)
                .and_then(|ids| ids.iter().min())
                .and_then(|id| self.names.get(id).cloned());
            let key = first.ok_or(Error::StagingFull { slot })?;
            self.remove(&key);
        }
        self.last_id += 1;
        Ok(self.last_id)
    }
}

impl Staging {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `data` at `offset` of `file`, or remembers that it was too much; `false` when the file is an object by
    /// now.
    pub fn write(&self, file: &StagingFile, offset: u64, data: &[u8]) -> bool {
        let end = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .saturating_add(data.len());
        self.make_room(file, end);
        file.write(offset, data)
    }

    /// Cuts or lengthens `file`; an empty one starts anew. `false` as for [`Self::write`].
    pub fn truncate(&self, file: &StagingFile, length: u64) -> bool {
        self.make_room(file, usize::try_from(length).unwrap_or(usize::MAX));
        file.truncate(length)
    }

    /// Before `file` grows to `length` where there is no room for that: the process that has most gives up what it
    /// staged first, as long as it has more than this one. Who never finishes keeps nobody else from writing.
    fn make_room(&self, file: &StagingFile, length: usize) {
        let more = length
            .min(crate::hsm::MAX_BLOB_BYTES)
            .saturating_sub(file.len());
        while more > 0 && self.total.load(Ordering::Relaxed) + more > MOST_BYTES {
            let table = self.table();
            let mut held: HashMap<u32, (usize, Vec<&Arc<StagingFile>>)> = HashMap::new();
            for staged in table.entries.values() {
                if let Staged::File(file) = staged {
                    let held = held.entry(file.pid).or_default();
                    held.0 += file.len();
                    held.1.push(file);
                }
            }
            let own = held.get(&file.pid).map_or(0, |(bytes, _)| *bytes);
            let most = held.values().max_by_key(|(bytes, _)| *bytes);
            let first = most
                .filter(|(bytes, _)| *bytes > own + more)
                .and_then(|(_, files)| {
                    let full = files.iter().filter(|file| file.len() > 0);
                    full.min_by_key(|file| file.id)
                });
            match first {
                Some(first) => first.give_way(),
                None => return,
            }
        }
    }

    /// What `name` is, if anything.
    pub fn find(&self, place: Place, name: &OsStr) -> Option<Staged> {
        self.table().entries.get(&(place, name.to_owned())).cloned()
    }

    /// What has number `id`, and the place it stands in.
    pub fn by_id(&self, id: u64) -> Option<(Place, Staged)> {
        let table = self.table();
        let key = table.names.get(&id)?;
        let staged = table.entries.get(key)?;
        Some((key.0, staged.clone()))
    }

    /// The same by the row that its object is to have.
    pub fn by_row(&self, row: i64) -> Option<(Place, Staged)> {
        let table = self.table();
        let key = table.names.get(table.rows.get(&row)?)?;
        let staged = table.entries.get(key)?;
        Some((key.0, staged.clone()))
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
        let mut table = self.table();
        let key = (place, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::File(file)) => return Ok(Arc::clone(file)),
            Some(Staged::Folder(..)) => return Err(Error::NameTaken { slot }),
            None => {}
        }
        let id = table.next_id(slot, pid)?;
        let file = Arc::new(StagingFile::new(id, row, pid, Arc::clone(&self.total)));
        table.insert(key, Staged::File(Arc::clone(&file)));
        Ok(file)
    }

    /// A new folder `name`; its number.
    ///
    /// # Errors
    /// [`Error::StagingFull`], [`Error::NameTaken`]
    pub fn create_folder(&self, place: Place, name: &OsStr, pid: u32) -> Result<u64> {
        let slot = place.slot;
        let mut table = self.table();
        let key = (place, name.to_owned());
        if table.entries.contains_key(&key) {
            return Err(Error::NameTaken { slot });
        }
        let id = table.next_id(slot, pid)?;
        table.insert(key, Staged::Folder(id, Instant::now()));
        Ok(id)
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`]
    pub fn remove(&self, place: Place, name: &OsStr) -> Result<()> {
        let mut table = self.table();
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
        let mut table = self.table();
        let key = (place, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::Folder(id, _)) if table.is_empty_folder(slot, *id) => {
                table.remove(&key);
                Ok(())
            }
            Some(Staged::Folder(..)) => Err(Error::NotEmpty { slot }),
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
    /// [`Error::BadName`], [`Error::NoSuchFile`], [`Error::NameTaken`], [`Error::NotSupported`] for a folder.
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
        let mut table = self.table();
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        let what = "renaming a staging folder";
        match (table.entries.get(&from), table.entries.get(&to)) {
            (None, _) => return Err(Error::NoSuchFile),
            (Some(Staged::Folder(..)), _) => return Err(Error::NotSupported { what }),
            (_, Some(Staged::Folder(..))) => return Err(Error::NameTaken { slot: to.0.slot }),
            (_, Some(_)) if keep_existing => return Err(Error::NameTaken { slot: to.0.slot }),
            _ => {}
        }
        if let Some(file) = table.remove(&from) {
            table.insert(to, file);
        }
        Ok(())
    }

    /// What is at `place` with numbers above `after`, by number, with names.
    pub fn list(&self, place: Place, after: u64) -> Vec<(OsString, Staged)> {
        let mut table = self.table();
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
        self.table().retain(|(place, _), _| place.slot != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place {
        slot: SlotId(1),
        folder: Folder::Slot,
    };

    #[test]
    fn files_are_found_renamed_and_bounded() {
        let staging = Staging::default();
        let name = OsStr::new(".a");
        let file = staging.create(HERE, name, 1, None).unwrap();
        staging.write(&file, 0, b"abc");
        assert_eq!(file.read(1, 9), Ok(b"bc".to_vec()));
        assert_eq!(staging.by_id(file.id).unwrap().1.id(), file.id);
        let other = OsStr::new(".b");
        staging.rename((HERE, name), (HERE, other), true).unwrap();
        assert!(staging.find(HERE, name).is_none());
        staging.create(HERE, name, 1, None).unwrap();
        let kept = staging.rename((HERE, name), (HERE, other), true);
        assert!(matches!(kept, Err(Error::NameTaken { .. })));
        assert_eq!(staging.list(HERE, 0).len(), 2);
        for n in 2..MOST_ENTRIES {
            let name = format!(".{n}");
            staging.create(HERE, OsStr::new(&name), 1, None).unwrap();
        }
        let full = staging.create(HERE, OsStr::new(".full"), 1, None);
        assert!(matches!(full, Err(Error::StagingFull { .. })));
        staging.clear(HERE.slot);
        assert!(staging.list(HERE, 0).is_empty());
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
        assert!(matches!(kept, Err(Error::NotEmpty { .. })));
        staging.remove(inside, OsStr::new("124")).unwrap();
        staging.remove_folder(HERE, name).unwrap();
        assert!(staging.list(HERE, 0).is_empty());
    }

    #[test]
    fn too_much_is_remembered_until_it_is_emptied() {
        let staging = Staging::default();
        let file = staging.create(HERE, OsStr::new(".a"), 1, None).unwrap();
        assert!(staging.write(&file, 1 << 30, b"x"));
        assert_eq!(file.bytes(), Err(Overflow::TooLarge));
        staging.truncate(&file, 0);
        assert_eq!(file.bytes(), Ok(Vec::new()));
        file.published();
        assert!(!staging.write(&file, 0, b"x"));
    }

    #[test]
    fn who_has_most_makes_room_for_the_others() {
        let staging = Staging::default();
        let full = vec![1; crate::hsm::MAX_BLOB_BYTES];
        let hog = |n: usize| staging.create(HERE, OsStr::new(&format!(".{n}")), 1, None);
        let files: Vec<_> = (0..=MOST_BYTES / full.len())
            .map(|n| {
                let file = hog(n).unwrap();
                staging.write(&file, 0, &full);
                file
            })
            .collect();
        assert_eq!(
            files.last().unwrap().bytes(),
            Err(Overflow::NoRoom),
            "its own"
        );
        for (n, hogs) in files.iter().enumerate().take(10) {
            let other = staging
                .create(HERE, OsStr::new(&format!(".other{n}")), 2, None)
                .unwrap();
            staging.write(&other, 0, &full);
            assert!(other.bytes().is_ok());
            assert_eq!(hogs.bytes(), Err(Overflow::NoRoom));
        }
        assert!(files[10].bytes().is_ok());
        for n in files.len()..MOST_ENTRIES - 10 {
            hog(n).unwrap();
        }
        assert!(matches!(hog(MOST_ENTRIES), Err(Error::StagingFull { .. })));
        staging
            .create(HERE, OsStr::new(".one more"), 2, None)
            .unwrap();
        assert!(staging.find(HERE, OsStr::new(".0")).is_none());
    }

    #[test]
    fn all_files_together_have_a_limit() {
        let staging = Staging::default();
        let full = vec![1; crate::hsm::MAX_BLOB_BYTES];
        let most = MOST_BYTES / full.len();
        for n in 0..=most {
            let file = staging
                .create(HERE, OsStr::new(&format!(".{n}")), 1, None)
                .unwrap();
            staging.write(&file, 0, &full);
            assert_eq!(file.bytes().is_ok(), n < most);
        }
        staging.clear(HERE.slot);
        assert_eq!(staging.total.load(Ordering::Relaxed), 0);
    }
}
