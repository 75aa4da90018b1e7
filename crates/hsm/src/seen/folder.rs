//! The state folder: one small file for each store, which outlives the process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::marks::{Mark, Marks, Unread};
use slotfs_object::shown;

/// The largest file that is read, bytes. It has room for every mark that is kept.
const MOST_BYTES: u64 = 1 << 20;
/// How long the lock is waited for. A process holds it for one read and one write of a small file.
const LOCK_FOR: Duration = Duration::from_secs(2);
/// Files of other stores that are searched for a partition.
const MOST_OTHERS: usize = 1000;
const PREFIX: &str = "seen-";
const SUFFIX: &str = ".json";

/// The folder, and the file of one store in it.
pub(super) struct Folder {
    folder: PathBuf,
    /// The store's path, without links.
    store: PathBuf,
    file: PathBuf,
}

/// Tells one content of the file from the next: each is a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, i64, i64, u64);

impl Folder {
    pub(super) fn of_store(folder: PathBuf, store: &Path) -> Self {
        let store = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
        let digest = Sha256::digest(store.as_os_str().as_bytes());
        let name: String = digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let file = folder.join(format!("{PREFIX}{name}{SUFFIX}"));
        Self {
            folder,
            store,
            file,
        }
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
            |error: io::Error| format!("state folder {}: {error}", shown::path(&self.folder));
        self.prepare().map_err(cannot)?;
        let _locked = self.lock().map_err(cannot)?;
        let file = self.read()?;
        let mut changed = marks.clone();
        if let Some(file) = &file {
            changed.merge(file);
        }
        let outcome = act(&mut changed);
        if file.as_ref() != Some(&changed) {
            self.write(&changed).map_err(cannot)?;
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
        let Some(text) = read_file(&self.file).map_err(cannot)? else {
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
        let there = fs::metadata(&self.folder).ok()?;
        check_owner(&there).ok()?;
        self.read().ok()?
    }

    /// Another store in which this user saw the partition: its path, fit to be shown, and the mark.
    pub(super) fn elsewhere(&self, serial: u64) -> Option<(String, Mark)> {
        let listed = fs::read_dir(&self.folder).ok()?;
        let others = listed.filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let is_one = name.starts_with(PREFIX) && name.ends_with(SUFFIX) && path != self.file;
            is_one.then_some(path)
        });
        others.take(MOST_OTHERS).find_map(|path| {
            let text = read_file(&path).ok()??;
            let (store, marks) = Marks::from_text(&text).ok()?;
            let store = shown::path(Path::new(&store)).to_string();
            Some((store, *marks.of_serial(serial)?))
        })
    }

    fn prepare(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let there = fs::metadata(&self.folder)?;
        check_owner(&there)
    }

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.folder.join("seen.lock"))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_FOR => {
                    return Err(io::Error::other(
                        "another process holds its lock, seen.lock",
                    ));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Written beside the file, synced and renamed, so that it is whole or as before.
    fn write(&self, marks: &Marks) -> io::Result<()> {
        // Nobody else writes there: the lock is held.
        let new = self.file.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&new)?;
        file.write_all(marks.to_text(&self.store.to_string_lossy()).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Whoever else could write here could have every login refused.
fn check_owner(there: &fs::Metadata) -> io::Result<()> {
    let why = match there {
        _ if there.uid() != nix::unistd::geteuid().as_raw() => "it belongs to another user",
        _ if there.mode() & 0o022 != 0 => "others can write it",
        _ => return Ok(()),
    };
    Err(io::Error::other(why))
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let there = file.metadata()?;
    if !there.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    check_owner(&there)?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(Some(text))
}
