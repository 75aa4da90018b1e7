//! Whether the files of an open store are still those at its path: what is acknowledged must be in the store that is
//! found there.
//!
//! SQLite has its files open and never looks at their names again. If a store is removed or replaced by a backup, SQLite
//! would continue to store objects that nobody finds afterwards. So the files at the store's path are compared with those
//! that were opened, by device and inode. Once they differ, this process stops using the store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::backup::rename_to_new;
use super::overwrite::Resized;
use super::shared_memory::Opening;
use super::wal_index::WalIndex;
use super::{beside, lock};
use crate::sqlite::{Error, Result, StoreFault};
use slotfs_object::shown;

mod files;
mod log;

pub(crate) use files::FileId;
use files::{same, unseen};
use log::Log;

/// How long a look counts before a read and before a commit. After a commit there is always a new look.
const LOOK_COUNTS_FOR: Duration = Duration::from_millis(2);

/// How often a look is repeated because another process was writing at the same time.
const MOST_LOOKS: u32 = 100;

/// Names that are tried for a log that is set aside.
const MOST_ASIDE: u32 = 1000;

/// What happened to a store's files while they were open.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Loss {
    Removed(PathBuf),
    Replaced(PathBuf),
    /// Shorter than what was written to it.
    CutShort(PathBuf),
    WrittenOver(PathBuf, Resized),
}

impl Loss {
    fn error(&self, store: &Path) -> Error {
        let (file, what) = match self {
            Self::Removed(file) => (file, "was removed or renamed"),
            Self::Replaced(file) => (file, "was replaced by another file"),
            Self::CutShort(file) => (file, "was cut short by another program"),
            Self::WrittenOver(file, _) => (file, "was written over by another program"),
        };
        let file = shown::path(file);
        StoreFault::Lost(format!("{file} {what} while it was in use")).at(store)
    }
}

/// Why a look did not find the files as they were opened.
enum Difference {
    Lost(Loss),
    /// They cannot be looked at now.
    Unseen(Error),
}

impl From<Loss> for Difference {
    fn from(loss: Loss) -> Self {
        Self::Lost(loss)
    }
}

impl From<Error> for Difference {
    fn from(error: Error) -> Self {
        Self::Unseen(error)
    }
}

/// The files of one open store.
pub(crate) struct Identity {
    /// As the caller gave it.
    path: PathBuf,
    store: FileId,
    /// `None` for a store that nobody can write.
    log: Option<Log>,
    lost: OnceLock<Loss>,
    on_loss: OnceLock<OnLoss>,
    /// When a look last found the files as they were opened.
    found: Mutex<Option<Instant>>,
}

type OnLoss = Box<dyn Fn(&Error) + Send + Sync>;

/// What [`Identity::record`] has to know from before SQLite opened the files.
pub(crate) struct Before {
    store: FileId,
    opening: Opening,
}

impl Before {
    /// Looks at the store at `path`, which is about to be opened.
    ///
    /// # Errors
    /// [`Error::Store`] when there is none.
    pub(crate) fn opening(path: &Path) -> Result<Self> {
        let opening = Opening::begin();
        let store = FileId::of(&fs::metadata(path).map_err(unseen(path))?);
        Ok(Self { store, opening })
    }
}

impl Identity {
    /// Records the files of the store at `path`, which SQLite has opened and read since `before`.
    ///
    /// # Errors
    /// [`StoreFault::Lost`] when they are not there any more, [`Error::Store`] when they cannot be looked at.
    pub(crate) fn record(path: &Path, before: Before) -> Result<Self> {
        let log = Log::open(path, before.opening)?;
        let identity = Self::new(path, before.store, Some(log));
        identity.check()?;
        Ok(identity)
    }

    /// For a store that nobody can write; SQLite keeps no files beside it.
    pub(crate) fn of_immutable(path: &Path, before: &Before) -> Self {
        Self::new(path, before.store, None)
    }

    fn new(path: &Path, store: FileId, log: Option<Log>) -> Self {
        Self {
            path: path.to_owned(),
            store,
            log,
            lost: OnceLock::new(),
            on_loss: OnceLock::new(),
            found: Mutex::new(None),
        }
    }

    /// Calls `tell` once, when the store is found to be lost.
    pub(crate) fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        // Only a mount sets it, once.
        let _ = self.on_loss.set(Box::new(tell));
    }

    /// Whether an earlier look found the store to be lost. Costs nothing.
    ///
    /// # Errors
    /// [`StoreFault::Lost`]
    pub(crate) fn not_lost(&self) -> Result<()> {
        match self.lost.get() {
            Some(loss) => Err(loss.error(&self.path)),
            None => Ok(()),
        }
    }

    /// As [`Self::check`], but a look within [`LOOK_COUNTS_FOR`] is enough: before a read, and before a commit that is
    /// checked again before it is acknowledged.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub(crate) fn check_unless_just_checked(&self) -> Result<()> {
        let found = *lock(&self.found);
        match found {
            Some(at) if at.elapsed() < LOOK_COUNTS_FOR => self.not_lost(),
            _ => self.check(),
        }
    }

    /// Compares the files at the store's path with those that were opened. Takes a few microseconds.
    ///
    /// # Errors
    /// [`StoreFault::Lost`], from then on for ever; [`Error::Store`] when they cannot be looked at now.
    pub(crate) fn check(&self) -> Result<()> {
        self.not_lost()?;
        // A change during this look is found by the next one.
        let now = Instant::now();
        match self.look() {
            Ok(()) => {
                *lock(&self.found) = Some(now);
                Ok(())
            }
            Err(Difference::Unseen(error)) => Err(error),
            Err(Difference::Lost(loss)) => {
                let error = loss.error(&self.path);
                if self.lost.set(loss).is_ok()
                    && let Some(tell) = self.on_loss.get()
                {
                    tell(&error);
                }
                Err(error)
            }
        }
    }

    fn look(&self) -> Result<(), Difference> {
        let Some(log) = &self.log else {
            return same(&self.path, self.store).map(drop);
        };
        for _ in 0..MOST_LOOKS {
            let before = match log.index() {
                Ok(Some(index)) => index,
                Ok(None) => {
                    thread::yield_now();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Loss::CutShort(log.shm_path.clone()).into());
                }
                Err(error) => return Err(unseen(&log.shm_path)(error).into()),
            };
            let (store, state) = (same(&self.path, self.store)?, log.look()?);
            let Some(loss) = log.compare(&self.path, &before, &store, &state) else {
                return Ok(());
            };
            // Another process may have written between the two looks.
            if log.index().map_err(unseen(&log.shm_path))? == Some(before) {
                return Err(loss.into());
            }
            thread::yield_now();
        }
        // Other processes write without a pause. The next check compares the log again.
        same(&self.path, self.store)?;
        log.look().map(drop)
    }

    /// Whether anybody can write the store.
    pub(crate) fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// What the wal-index says; `None` while it is written, and where there is no log.
    pub(crate) fn index(&self) -> io::Result<Option<WalIndex>> {
        self.log.as_ref().map_or(Ok(None), Log::index)
    }

    /// Syncs the write-ahead log.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub(crate) fn sync_log(&self) -> io::Result<()> {
        match &self.log {
            Some(log) => log.wal.sync_all(),
            None => Ok(()),
        }
    }

    /// Whether the log of a lost store must be written to the file that was opened, wherever that is now.
    ///
    /// If the opened file is at the store's path together with the opened log, the next process finds everything there.
    /// Otherwise the log is useless, and SQLite would play it into another store that is at the path. The log must be
    /// whole, and no process that cannot see this one's locks may have the file open.
    pub(crate) fn must_be_completed(&self) -> bool {
        let Some(log) = &self.log else {
            return false;
        };
        if matches!(
            self.lost.get(),
            None | Some(Loss::CutShort(_) | Loss::WrittenOver(..))
        ) {
            return false;
        }
        let is_at_path = self.store.is_at(&self.path);
        let has_log = || log.wal_id.is_at(&log.wal_path);
        let has_other_users = || log.is_shm_replaced();
        !(is_at_path && (has_log() || has_other_users())) && log.is_whole().unwrap_or(false)
    }

    /// Renames the log if another database, such as a backup, was written over the store's file: SQLite would play the log
    /// into that. Its new name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub(crate) fn set_log_aside(&self) -> io::Result<Option<PathBuf>> {
        let (Some(log), Some(Loss::WrittenOver(_, Resized::Yes))) = (&self.log, self.lost.get())
        else {
            return Ok(None);
        };
        if !log.wal_id.is_at(&log.wal_path) {
            return Ok(None);
        }
        for n in 1..=MOST_ASIDE {
            let aside = beside(&log.wal_path, &format!(".lost-{n}"));
            match rename_to_new(&log.wal_path, &aside) {
                Ok(()) => return Ok(Some(aside)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::sqlite::{Access, Store};

    /// Locks that this process has on the file at `path`, as the kernel lists them.
    fn locks(path: &Path) -> usize {
        let wanted = format!(":{} ", fs::metadata(path).unwrap().ino());
        let pid = format!(" {} ", std::process::id());
        let table = fs::read_to_string("/proc/locks").unwrap();
        table
            .lines()
            .filter(|line| line.contains(&wanted) && line.contains(&pid))
            .count()
    }

    #[test]
    fn one_store_that_is_closed_takes_no_lock_from_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let shm = folder.path().join("store.db-shm");
        let first = Store::open_or_create(&path).unwrap();
        let before = (locks(&path), locks(&shm));
        assert!(before.0 > 0 && before.1 > 0, "{before:?}");
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let second = Store::open(&path, access).unwrap();
            second.check_identity().unwrap();
            drop(second);
            assert_eq!((locks(&path), locks(&shm)), before, "{access:?}");
        }
        let second = Store::open(&path, Access::ReadWrite).unwrap();
        drop(first);
        assert_eq!((locks(&path), locks(&shm)), before);
        drop(second);
        assert!(!shm.exists());
    }

    #[test]
    fn what_cannot_be_looked_at_is_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        let path = place.join("store.db");
        let store = Store::open_or_create(&path).unwrap();
        let away = folder.path().join("away.db");
        let moved = folder.path().join("moved");
        // A loop of links: what is at the path cannot be told.
        fs::rename(&place, &moved).unwrap();
        std::os::unix::fs::symlink("place", &place).unwrap();
        let found = store.check_identity();
        assert!(matches!(found, Err(Error::Store { .. })), "{found:?}");
        fs::remove_file(&place).unwrap();
        fs::rename(&moved, &place).unwrap();
        store.check_identity().unwrap();
        // Seen while it is away, it is lost, and stays so.
        fs::rename(&path, &away).unwrap();
        let found = store.check_identity();
        assert!(
            matches!(
                found,
                Err(Error::Store {
                    why: StoreFault::Lost(_),
                    ..
                })
            ),
            "{found:?}"
        );
        fs::rename(&away, &path).unwrap();
        let found = store.check_identity();
        assert!(
            matches!(
                found,
                Err(Error::Store {
                    why: StoreFault::Lost(_),
                    ..
                })
            ),
            "{found:?}"
        );
    }

    /// "This sees `touch` too", and nothing else that leaves the content as it is.
    #[test]
    fn other_changes_of_the_file_are_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = Store::open_or_create(&path).unwrap();
        let link = folder.path().join("link.db");
        fs::hard_link(&path, &link).unwrap();
        fs::remove_file(&link).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        fs::set_permissions(&path, mode).unwrap();
        fs::copy(&path, &link).unwrap();
        store.check_identity().unwrap();
    }
}
