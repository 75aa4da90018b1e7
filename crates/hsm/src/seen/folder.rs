//! The state folder: one small file for each store, which outlives the process.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::marks::{Mark, Marks, Unread};
use crate::state_folder::{StateFolder, check_owner};
use slotfs_object::shown;

/// The largest file that is read, bytes. It has room for every mark that is kept.
const MOST_BYTES: u64 = 1 << 20;
/// How long the lock is waited for. A process holds it for one read and one write of a small file.
const LOCK_FOR: Duration = Duration::from_secs(2);
/// Files of other stores that are searched for a partition.
const MOST_OTHERS: usize = 1000;
const LOCK: &str = "seen.lock";
const PREFIX: &str = "seen-";
const SUFFIX: &str = ".json";

/// The folder, and the file of one store in it.
pub(super) struct Folder {
    folder: StateFolder,
    /// The store's path, without links.
    store: PathBuf,
    file: PathBuf,
    name: String,
}

/// Tells one content of the file from the next: each is a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, i64, i64, u64);

impl Folder {
    pub(super) fn of_store(folder: PathBuf, store: &Path) -> Self {
        // A location is no path, whatever is in this folder.
        let store = match slotfs_store::is_in_cluster(store) {
            true => store.to_owned(),
            false => fs::canonicalize(store).unwrap_or_else(|_| store.to_owned()),
        };
        let digest = Sha256::digest(store.as_os_str().as_bytes());
        let name: String = digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = format!("{PREFIX}{name}{SUFFIX}");
        Self {
            file: folder.join(&name),
            folder: StateFolder::at(folder),
            store,
            name,
        }
    }

    /// The file of another store in the same folder.
    pub(super) fn beside(&self, store: &Path) -> Self {
        Self::of_store(self.folder.path().to_owned(), store)
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        let there = fs::symlink_metadata(&self.file).ok()?;
        Some(Stamp(
            there.ino(),
            there.mtime(),
            there.mtime_nsec(),
            there.size(),
        ))
    }

    /// Merges the file into `marks`, lets `act` change them, and writes them back if that changed anything, all under
    /// the folder's lock: no process loses a mark of another one.
    ///
    /// # Errors
    /// Why that cannot be done, with the path. Then `act` did not run.
    pub(super) fn update<T>(
        &self,
        marks: &mut Marks,
        stamp: &mut Option<Stamp>,
        act: impl FnOnce(&mut Marks) -> T,
    ) -> Result<T, String> {
        let cannot =
            |error: io::Error| format!("state folder {}: {error}", shown::path(self.folder.path()));
        self.folder.prepare().map_err(cannot)?;
        let locked = self.folder.lock(LOCK, LOCK_FOR).map_err(cannot)?;
        let taken = || io::Error::other(format!("another process holds its lock, {LOCK}"));
        let _locked = locked.ok_or_else(taken).map_err(cannot)?;
        let file = self.read()?;
        let mut changed = marks.clone();
        if let Some(file) = &file {
            changed.merge(file);
        }
        let outcome = act(&mut changed);
        if file.as_ref() != Some(&changed) {
            let text = changed.to_text(&self.store.to_string_lossy());
            let replaced = self.folder.replace(&self.name, text.as_bytes());
            replaced.map_err(cannot)?;
        }
        *marks = changed;
        *stamp = self.stamp();
        Ok(outcome)
    }

    /// The marks in the file, if it is there. A damaged file counts as none, and the next write replaces it.
    ///
    /// # Errors
    /// When it cannot be read, or a later version of slotfs wrote it.
    pub(super) fn read(&self) -> Result<Option<Marks>, String> {
        let cannot = |error: io::Error| format!("{}: {error}", shown::path(&self.file));
        let Some(text) = StateFolder::read(&self.file, MOST_BYTES).map_err(cannot)? else {
            return Ok(None);
        };
        match Marks::from_text(&text) {
            Ok((_, marks)) => Ok(Some(marks)),
            Err(Unread::Later) => Err(cannot(io::Error::other(
                "a later version of slotfs wrote it",
            ))),
            Err(Unread::Damaged) => {
                log::warn!(
                    "{}: it is damaged; what it said of store {} is lost, and it is made anew",
                    shown::path(&self.file),
                    shown::path(&self.store)
                );
                Ok(None)
            }
        }
    }

    /// The same for a folder that may not be writable: what can be read there counts nevertheless.
    pub(super) fn read_if_possible(&self) -> Option<Marks> {
        let there = fs::metadata(self.folder.path()).ok()?;
        check_owner(&there).ok()?;
        self.read().ok()?
    }

    /// Another store in which this user saw the partition: its path, fit to be shown, and the mark.
    pub(super) fn elsewhere(&self, serial: u64) -> Option<(String, Mark)> {
        let listed = fs::read_dir(self.folder.path()).ok()?;
        let others = listed.filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let is_one = name.starts_with(PREFIX) && name.ends_with(SUFFIX) && path != self.file;
            is_one.then_some(path)
        });
        others.take(MOST_OTHERS).find_map(|path| {
            let text = StateFolder::read(&path, MOST_BYTES).ok()??;
            let (store, marks) = Marks::from_text(&text).ok()?;
            let store = shown::path(Path::new(&store)).to_string();
            Some((store, *marks.of_serial(serial)?))
        })
    }
}
