//! Staging files: names that start with a dot, held in memory until they are renamed to a handle. And
//! staging folders, for tools that collect such files in one (`rsync --delay-updates`, `--partial-dir`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use crate::error::{Error, Result};
use crate::object::SlotId;

/// The most staging files and folders of one mount; a file takes 64 KiB at most.
const MOST: usize = 1024;
/// What nobody has open is forgotten after this long.
const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// Where a staging name stands: in a slot, or in a staging folder of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The slot.
    pub slot: SlotId,
    /// The folder's number.
    pub folder: Option<u64>,
}

/// One staging file.
pub struct StagingFile {
    /// Its number, for its inode.
    pub id: u64,
    content: Mutex<Content>,
    /// How many have it open.
    open: AtomicUsize,
}

struct Content {
    buffer: Buffer,
    /// A write went past the largest blob. Said at the rename and nowhere else: rsync takes an error of
    /// write for the end of its whole run.
    too_large: bool,
    touched: Instant,
}

impl StagingFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `data` at `offset`, or remembers that it was too much.
    pub fn write(&self, offset: u64, data: &[u8]) {
        self.change(|buffer| buffer.write(offset, data).is_ok());
    }

    /// Cuts or lengthens the file; an empty one starts anew.
    pub fn truncate(&self, length: u64) {
        if length == 0 {
            self.content().too_large = false;
        }
        self.change(|buffer| buffer.truncate(length).is_ok());
    }

    fn change(&self, change: impl FnOnce(&mut Buffer) -> bool) {
        let mut content = self.content();
        content.touched = Instant::now();
        if !content.too_large && !change(&mut content.buffer) {
            content.too_large = true;
            content.buffer = Buffer::default();
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.content().buffer.len()
    }

    /// Up to `size` bytes at `offset`; `None` once it was too large.
    pub fn read(&self, offset: u64, size: u64) -> Option<Vec<u8>> {
        let content = self.content();
        (!content.too_large).then(|| content.buffer.read(offset, size).to_vec())
    }

    /// The whole content; `None` once it was too large.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.read(0, u64::MAX)
    }

    /// Counts one who opened it.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one who closed it.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_abandoned(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0 && self.content().touched.elapsed() > LONGEST_IDLE
    }
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
    /// Its number, for its inode.
    pub fn id(&self) -> u64 {
        match self {
            Self::File(file) => file.id,
            Self::Folder(id, _) => *id,
        }
    }
}

/// Everything staged on a mount.
#[derive(Default)]
pub struct Staging(Mutex<Table>);

#[derive(Default)]
struct Table {
    last_id: u64,
    entries: BTreeMap<(Place, OsString), Staged>,
}

impl Table {
    fn is_empty_folder(&self, slot: SlotId, id: u64) -> bool {
        let folder = Some(id);
        let inside = Place { slot, folder };
        !self.entries.keys().any(|(place, _)| *place == inside)
    }

    /// Forgets what was left behind: files first, then the folders that this emptied.
    fn sweep(&mut self) {
        self.entries.retain(|_, staged| match staged {
            Staged::File(file) => !file.is_abandoned(),
            Staged::Folder(..) => true,
        });
        let old: Vec<_> = self
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
            self.entries.remove(&key);
        }
    }

    /// # Errors
    /// [`Error::StagingFull`]
    fn next_id(&mut self, slot: SlotId) -> Result<u64> {
        if self.entries.len() >= MOST {
            self.sweep();
        }
        if self.entries.len() >= MOST {
            return Err(Error::StagingFull { slot });
        }
        self.last_id += 1;
        Ok(self.last_id)
    }
}

impl Staging {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `name` is, if anything.
    pub fn find(&self, place: Place, name: &OsStr) -> Option<Staged> {
        self.table().entries.get(&(place, name.to_owned())).cloned()
    }

    /// What has number `id`, and the slot it is in.
    pub fn by_id(&self, id: u64) -> Option<(SlotId, Staged)> {
        self.table()
            .entries
            .iter()
            .find(|(_, staged)| staged.id() == id)
            .map(|((place, _), staged)| (place.slot, staged.clone()))
    }

    /// A new file `name`, or the one that is there.
    ///
    /// # Errors
    /// [`Error::StagingFull`], [`Error::NameTaken`] by a folder.
    pub fn create(&self, place: Place, name: &OsStr) -> Result<Arc<StagingFile>> {
        let slot = place.slot;
        let mut table = self.table();
        let key = (place, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::File(file)) => return Ok(Arc::clone(file)),
            Some(Staged::Folder(..)) => return Err(Error::NameTaken { slot }),
            None => {}
        }
        let file = Arc::new(StagingFile {
            id: table.next_id(slot)?,
            content: Mutex::new(Content {
                buffer: Buffer::default(),
                too_large: false,
                touched: Instant::now(),
            }),
            open: AtomicUsize::new(0),
        });
        table.entries.insert(key, Staged::File(Arc::clone(&file)));
        Ok(file)
    }

    /// A new folder `name` in a slot; its number.
    ///
    /// # Errors
    /// [`Error::StagingFull`], [`Error::NameTaken`]
    pub fn create_folder(&self, slot: SlotId, name: &OsStr) -> Result<u64> {
        let mut table = self.table();
        let key = (Place { slot, folder: None }, name.to_owned());
        if table.entries.contains_key(&key) {
            return Err(Error::NameTaken { slot });
        }
        let id = table.next_id(slot)?;
        table
            .entries
            .insert(key, Staged::Folder(id, Instant::now()));
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
                table.entries.remove(&key);
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
    pub fn remove_folder(&self, slot: SlotId, name: &OsStr) -> Result<()> {
        let mut table = self.table();
        let key = (Place { slot, folder: None }, name.to_owned());
        match table.entries.get(&key) {
            Some(Staged::Folder(id, _)) if table.is_empty_folder(slot, *id) => {
                table.entries.remove(&key);
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
            table.entries.remove(&key);
        }
    }

    /// Forgets a refused `file` that stands in a staging folder, and the folder with the last one.
    pub fn discard(&self, place: Place, name: &OsStr, file: &StagingFile) {
        let Some(folder) = place.folder else { return };
        self.remove_file(place, name, file);
        let mut table = self.table();
        if table.is_empty_folder(place.slot, folder) {
            table.entries.retain(|_, staged| staged.id() != folder);
        }
    }

    /// Renames a file, over another unless `keep_existing`. Folders stay where they are.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::NameTaken`], [`Error::NotSupported`] for a folder.
    pub fn rename(
        &self,
        from: (Place, &OsStr),
        to: (Place, &OsStr),
        keep_existing: bool,
    ) -> Result<()> {
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
        if let Some(file) = table.entries.remove(&from) {
            table.entries.insert(to, file);
        }
        Ok(())
    }

    /// What is at `place` with numbers above `after`, by number, with names.
    pub fn list(&self, place: Place, after: u64) -> Vec<(OsString, Staged)> {
        let mut table = self.table();
        table.sweep();
        let mut staged: Vec<_> = table
            .entries
            .iter()
            .filter(|((at, _), staged)| *at == place && staged.id() > after)
            .map(|((_, name), staged)| (name.clone(), staged.clone()))
            .collect();
        staged.sort_unstable_by_key(|(_, staged)| staged.id());
        staged
    }

    /// Forgets everything of a slot that was logged out of.
    pub fn clear(&self, slot: SlotId) {
        self.table()
            .entries
            .retain(|(place, _), _| place.slot != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place {
        slot: SlotId(1),
        folder: None,
    };

    #[test]
    fn files_are_found_renamed_and_bounded() {
        let staging = Staging::default();
        let name = OsStr::new(".a");
        let file = staging.create(HERE, name).unwrap();
        file.write(0, b"abc");
        assert_eq!(file.read(1, 9).unwrap(), b"bc");
        assert_eq!(staging.by_id(file.id).unwrap().1.id(), file.id);
        let other = OsStr::new(".b");
        staging.rename((HERE, name), (HERE, other), true).unwrap();
        assert!(staging.find(HERE, name).is_none());
        staging.create(HERE, name).unwrap();
        let kept = staging.rename((HERE, name), (HERE, other), true);
        assert!(matches!(kept, Err(Error::NameTaken { .. })));
        assert_eq!(staging.list(HERE, 0).len(), 2);
        for n in 2..MOST {
            let file = staging.create(HERE, OsStr::new(&format!(".{n}"))).unwrap();
            file.opened();
        }
        let full = staging.create(HERE, OsStr::new(".full"));
        assert!(matches!(full, Err(Error::StagingFull { .. })));
        staging.clear(HERE.slot);
        assert!(staging.list(HERE, 0).is_empty());
    }

    #[test]
    fn a_folder_goes_only_when_it_is_empty() {
        let staging = Staging::default();
        let (name, slot) = (OsStr::new(".~tmp~"), HERE.slot);
        let folder = Some(staging.create_folder(slot, name).unwrap());
        let inside = Place { slot, folder };
        staging.create(inside, OsStr::new("124")).unwrap();
        let kept = staging.remove_folder(slot, name);
        assert!(matches!(kept, Err(Error::NotEmpty { .. })));
        staging.remove(inside, OsStr::new("124")).unwrap();
        staging.remove_folder(slot, name).unwrap();
        assert!(staging.list(HERE, 0).is_empty());
    }

    #[test]
    fn too_much_is_remembered_until_it_is_emptied() {
        let staging = Staging::default();
        let file = staging.create(HERE, OsStr::new(".a")).unwrap();
        file.write(1 << 30, b"x");
        assert_eq!(file.bytes(), None);
        file.truncate(0);
        assert_eq!(file.bytes(), Some(Vec::new()));
    }
}
