//! Staging files: names that start with a dot, held in memory until they are renamed to a handle.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use crate::error::{Error, Result};
use crate::object::SlotId;

/// The most staging files of one mount, 64 KiB each.
const MOST_FILES: usize = 1024;
/// One that nobody has open is forgotten after this long.
const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// One staging file.
pub struct StagingFile {
    /// Its number, for its inode.
    pub id: u64,
    content: Mutex<Content>,
    /// How many have it open.
    open: AtomicUsize,
}

#[derive(Default)]
struct Content {
    buffer: Buffer,
    /// A write went past the largest blob. Said at the rename and nowhere else: rsync takes an error of
    /// write for the end of its whole run.
    too_large: bool,
    touched: Option<Instant>,
}

impl StagingFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `data` at `offset`, or remembers that it was too much.
    pub fn write(&self, offset: u64, data: &[u8]) {
        let mut content = self.content();
        content.touched = Some(Instant::now());
        if !content.too_large && content.buffer.write(offset, data).is_err() {
            content.too_large = true;
            content.buffer = Buffer::default();
        }
    }

    /// Cuts or lengthens the file.
    pub fn truncate(&self, length: u64) {
        let mut content = self.content();
        if length == 0 {
            *content = Content::default();
        } else if !content.too_large && content.buffer.truncate(length).is_err() {
            content.too_large = true;
            content.buffer = Buffer::default();
        }
        content.touched = Some(Instant::now());
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
        let content = self.content();
        (!content.too_large).then(|| content.buffer.bytes().to_vec())
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
        self.open.load(Ordering::Relaxed) == 0
            && self
                .content()
                .touched
                .is_none_or(|touched| touched.elapsed() > LONGEST_IDLE)
    }
}

/// Every staging file of a mount.
#[derive(Default)]
pub struct Staging(Mutex<Table>);

#[derive(Default)]
struct Table {
    last_id: u64,
    files: BTreeMap<(SlotId, OsString), Arc<StagingFile>>,
}

impl Staging {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file `name`, if any.
    pub fn find(&self, slot: SlotId, name: &OsStr) -> Option<Arc<StagingFile>> {
        self.table().files.get(&(slot, name.to_owned())).cloned()
    }

    /// The file with number `id` and the slot it is in.
    pub fn by_id(&self, id: u64) -> Option<(SlotId, Arc<StagingFile>)> {
        self.table()
            .files
            .iter()
            .find(|(_, file)| file.id == id)
            .map(|((slot, _), file)| (*slot, Arc::clone(file)))
    }

    /// A new file `name`, or the one that is there.
    ///
    /// # Errors
    /// [`Error::StagingFull`]
    pub fn create(&self, slot: SlotId, name: &OsStr) -> Result<Arc<StagingFile>> {
        let mut table = self.table();
        let key = (slot, name.to_owned());
        if let Some(file) = table.files.get(&key) {
            return Ok(Arc::clone(file));
        }
        if table.files.len() >= MOST_FILES {
            table.files.retain(|_, file| !file.is_abandoned());
        }
        if table.files.len() >= MOST_FILES {
            return Err(Error::StagingFull { slot });
        }
        table.last_id += 1;
        let file = Arc::new(StagingFile {
            id: table.last_id,
            content: Mutex::new(Content {
                touched: Some(Instant::now()),
                ..Content::default()
            }),
            open: AtomicUsize::new(0),
        });
        table.files.insert(key, Arc::clone(&file));
        Ok(file)
    }

    /// Removes `name`; whether it was there.
    pub fn remove(&self, slot: SlotId, name: &OsStr) -> bool {
        self.table()
            .files
            .remove(&(slot, name.to_owned()))
            .is_some()
    }

    /// Removes `name` if it still is `file`.
    pub fn remove_file(&self, slot: SlotId, name: &OsStr, file: &StagingFile) {
        let mut table = self.table();
        let key = (slot, name.to_owned());
        if table
            .files
            .get(&key)
            .is_some_and(|there| there.id == file.id)
        {
            table.files.remove(&key);
        }
    }

    /// Renames a file, over another unless `keep_existing`.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`]; EEXIST as [`Error::BadName`]'s sibling is the caller's to give: `Ok(false)`.
    pub fn rename(
        &self,
        from: (SlotId, &OsStr),
        to: (SlotId, &OsStr),
        keep_existing: bool,
    ) -> Result<bool> {
        let mut table = self.table();
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        if !table.files.contains_key(&from) {
            return Err(Error::NoSuchFile);
        }
        if keep_existing && table.files.contains_key(&to) {
            return Ok(false);
        }
        if let Some(file) = table.files.remove(&from) {
            table.files.insert(to, file);
        }
        Ok(true)
    }

    /// The files of a slot with numbers above `after`, by number, and their names.
    pub fn list(&self, slot: SlotId, after: u64) -> Vec<(OsString, Arc<StagingFile>)> {
        let mut table = self.table();
        table.files.retain(|_, file| !file.is_abandoned());
        let mut files: Vec<_> = table
            .files
            .iter()
            .filter(|((of, _), file)| *of == slot && file.id > after)
            .map(|((_, name), file)| (name.clone(), Arc::clone(file)))
            .collect();
        files.sort_unstable_by_key(|(_, file)| file.id);
        files
    }

    /// Forgets the files of a slot that was logged out of.
    pub fn clear(&self, slot: SlotId) {
        self.table().files.retain(|(of, _), _| *of != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: SlotId = SlotId(1);

    #[test]
    fn files_are_found_renamed_and_bounded() {
        let staging = Staging::default();
        let name = OsStr::new(".a");
        let file = staging.create(SLOT, name).unwrap();
        file.write(0, b"abc");
        assert_eq!(staging.by_id(file.id).unwrap().1.read(1, 9).unwrap(), b"bc");
        let other = OsStr::new(".b");
        assert!(staging.rename((SLOT, name), (SLOT, other), true).unwrap());
        assert!(staging.find(SLOT, name).is_none());
        staging.create(SLOT, name).unwrap();
        assert!(!staging.rename((SLOT, name), (SLOT, other), true).unwrap());
        assert_eq!(staging.list(SLOT, 0).len(), 2);
        for n in 2..MOST_FILES {
            let file = staging.create(SLOT, OsStr::new(&format!(".{n}"))).unwrap();
            file.opened();
        }
        let full = staging.create(SLOT, OsStr::new(".full"));
        assert!(matches!(full, Err(Error::StagingFull { slot: SLOT })));
        staging.clear(SLOT);
        assert!(staging.list(SLOT, 0).is_empty());
    }

    #[test]
    fn too_much_is_remembered_until_it_is_emptied() {
        let staging = Staging::default();
        let file = staging.create(SLOT, OsStr::new(".a")).unwrap();
        file.write(1 << 30, b"x");
        assert_eq!(file.bytes(), None);
        file.truncate(0);
        assert_eq!(file.bytes(), Some(Vec::new()));
    }
}
