//! Which files an open store is: what is acknowledged must be in the store that is found at its path.
//!
//! SQLite has its files open and never looks at their names again. So a store that was removed, or replaced by a backup,
//! would go on taking objects that nobody finds afterwards. Here the files at the store's path are compared with those
//! that were opened, by device and inode. Once they differ, this process uses the store no more.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
use rustix::io::Errno;

use super::backup::rename_to_new;
use super::beside;
use super::overwrite::{Overwrite, Resized};
use super::shared_memory::{Opening, SharedMemory};
use super::wal_index::WalIndex;
use crate::{Error, Result, StoreFault};

/// How long a look counts for reading and before a commit. After a commit there is always a new look.
const LOOK_COUNTS_FOR: Duration = Duration::from_millis(2);

/// How often a look is repeated because another process was writing meanwhile.
const MOST_LOOKS: u32 = 100;

/// Names that are tried for a log that is set aside.
const MOST_ASIDE: u32 = 1000;

/// A file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that `metadata` is of.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What became of a store's files while they were open.
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
        let file = slotfs_object::shown::path(file);
        StoreFault::Lost(format!("{file} {what} while it was in use")).at(store)
    }
}

/// The files of one open store.
pub struct Identity {
    /// As it was given.
    path: PathBuf,
    store: FileId,
    /// `None` of a store that nobody can write.
    log: Option<Log>,
    lost: OnceLock<Loss>,
    on_loss: OnceLock<OnLoss>,
    /// When the files were last found to be those that were opened.
    found: Mutex<Option<Instant>>,
}

type OnLoss = Box<dyn Fn(&Error) + Send + Sync>;

/// The files that SQLite keeps beside the store. They stay while any process has the store open.
struct Log {
    wal_path: PathBuf,
    /// SQLite has no locks on this file, so it may be closed at any time.
    wal: File,
    wal_id: FileId,
    shm_path: PathBuf,
    shm_id: FileId,
    overwrite: Mutex<Overwrite>,
    // Last: it outlives the connections.
    shm: SharedMemory,
}

/// What [`Identity::record`] needs to know from before SQLite opened the files.
pub struct Before {
    store: FileId,
    opening: Opening,
}

impl Before {
    /// Looks at the store at `path`, which is about to be opened.
    ///
    /// # Errors
    /// [`Error::Store`] when there is none.
    pub fn opening(path: &Path) -> Result<Self> {
        let opening = Opening::begin();
        let store = FileId::of(&fs::metadata(path).map_err(unseen(path))?);
        Ok(Self { store, opening })
    }
}

impl Identity {
    /// Records the files of the store at `path`, which SQLite has opened and read since `before`.
    ///
    /// # Errors
    /// [`Error::StoreLost`] when they are not there any more, [`Error::Store`] when they cannot be looked at.
    pub fn record(path: &Path, before: Before) -> Result<Self> {
        // SQLite resolves links in the path, once.
        let resolved = fs::canonicalize(path).map_err(unseen(path))?;
        let (wal_path, shm_path) = (beside(&resolved, "-wal"), beside(&resolved, "-shm"));
        let wal = open_log(&wal_path).map_err(unseen(&wal_path))?;
        let wal_id = FileId::of(&wal.metadata().map_err(unseen(&wal_path))?);
        let overwrite = Mutex::new(Overwrite::of(&resolved));
        let (shm_id, shm) = before.opening.keep(&shm_path).map_err(unseen(&shm_path))?;
        let identity = Self {
            path: path.to_owned(),
            store: before.store,
            log: Some(Log {
                wal_path,
                wal,
                wal_id,
                shm_path,
                shm_id,
                overwrite,
                shm,
            }),
            lost: OnceLock::new(),
            on_loss: OnceLock::new(),
            found: Mutex::new(None),
        };
        identity.check()?;
        Ok(identity)
    }

    /// That of a store that nobody can write, and that SQLite keeps no file beside.
    pub fn of_immutable(path: &Path, before: &Before) -> Self {
        Self {
            path: path.to_owned(),
            store: before.store,
            log: None,
            lost: OnceLock::new(),
            on_loss: OnceLock::new(),
            found: Mutex::new(None),
        }
    }

    /// Has `tell` called once, when the store is found to be lost.
    pub fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        // Set once, by the one who mounts.
        let _ = self.on_loss.set(Box::new(tell));
    }

    /// Whether the store was found to be lost. Costs nothing.
    ///
    /// # Errors
    /// [`Error::StoreLost`]
    pub fn not_lost(&self) -> Result<()> {
        match self.lost.get() {
            Some(loss) => Err(loss.error(&self.path)),
            None => Ok(()),
        }
    }

    /// As [`Self::check`], but a look within [`LOOK_COUNTS_FOR`] is enough: for reading, and for a commit that is checked
    /// again before it is acknowledged.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn check_unless_just_checked(&self) -> Result<()> {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Some(at) if at.elapsed() < LOOK_COUNTS_FOR => self.not_lost(),
            _ => self.check(),
        }
    }

    /// Compares the files at the store's path with those that were opened. Takes a few microseconds.
    ///
    /// # Errors
    /// [`Error::StoreLost`], from then on for ever; [`Error::Store`] when they cannot be looked at now.
    pub fn check(&self) -> Result<()> {
        self.not_lost()?;
        // What changes while it looks is found by the next look.
        let now = Instant::now();
        let loss = match self.look()? {
            None => {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                return Ok(());
            }
            Some(loss) => loss,
        };
        let error = loss.error(&self.path);
        if self.lost.set(loss).is_ok()
            && let Some(tell) = self.on_loss.get()
        {
            tell(&error);
        }
        Err(error)
    }

    fn look(&self) -> Result<Option<Loss>> {
        let Some(log) = &self.log else {
            return Ok(same(&self.path, self.store)?.err());
        };
        for _ in 0..MOST_LOOKS {
            let before = match log.index() {
                Ok(Some(index)) => index,
                Ok(None) => {
                    thread::yield_now();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Some(Loss::CutShort(log.shm_path.clone())));
                }
                Err(error) => return Err(unseen(&log.shm_path)(error)),
            };
            let found = match self.look_at_files(log)? {
                Ok(found) => found,
                Err(loss) => return Ok(Some(loss)),
            };
            let Some(loss) = log.compare(&self.path, &before, &found) else {
                return Ok(None);
            };
            // Another process may have written between the two looks.
            if log.index().map_err(unseen(&log.shm_path))? == Some(before) {
                return Ok(Some(loss));
            }
            thread::yield_now();
        }
        // Written to without a pause: the log is looked at again at the next check.
        let files = self.look_at_files(log)?;
        Ok(files.err())
    }

    /// Whether the files at the paths are those that were opened, and what is to be compared with the wal-index.
    fn look_at_files(&self, log: &Log) -> Result<std::result::Result<Found, Loss>> {
        let store = match same(&self.path, self.store)? {
            Ok(store) => store,
            Err(loss) => return Ok(Err(loss)),
        };
        let log_bytes = match same_size(&log.wal_path, log.wal_id)? {
            Ok(bytes) => bytes,
            Err(loss) => return Ok(Err(loss)),
        };
        if let Err(loss) = same_size(&log.shm_path, log.shm_id)? {
            return Ok(Err(loss));
        }
        Ok(Ok(Found {
            store,
            log_bytes,
            log_salts: log.salts().map_err(unseen(&log.wal_path))?,
        }))
    }

    /// Syncs the write-ahead log.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync_log(&self) -> io::Result<()> {
        match &self.log {
            Some(log) => log.wal.sync_all(),
            None => Ok(()),
        }
    }

    /// Whether the log of a lost store is to be written to the file that was opened, wherever that is now.
    ///
    /// Whoever opens the file with the log that is at the store's path finds all of it there. Else the log is of no use
    /// to anybody, and beside another store SQLite would play it into that one. What is written must be whole, and
    /// nobody else may have the file open without knowing of our locks.
    pub fn must_be_completed(&self) -> bool {
        let Some(log) = &self.log else {
            return false;
        };
        if matches!(
            self.lost.get(),
            None | Some(Loss::CutShort(_) | Loss::WrittenOver(..))
        ) {
            return false;
        }
        let is = |path, id| same(path, id).is_ok_and(|same| same.is_ok());
        let is_at_path = is(&self.path, self.store);
        if is_at_path && is(&log.wal_path, log.wal_id) {
            return false;
        }
        let others =
            fs::symlink_metadata(&log.shm_path).is_ok_and(|shm| FileId::of(&shm) != log.shm_id);
        let whole = || -> io::Result<bool> {
            let Some(index) = log.index()? else {
                return Ok(false);
            };
            let (bytes, salts) = (log.wal.metadata()?.len(), log.salts()?);
            Ok(log.fault(&index, bytes, salts).is_none())
        };
        !(is_at_path && others) && whole().unwrap_or(false)
    }
}

impl Identity {
    /// Gives the log another name where the store's file was written over by another database, such as a backup: SQLite
    /// would play the log into that. What its name is now.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn set_log_aside(&self) -> io::Result<Option<PathBuf>> {
        let (Some(log), Some(Loss::WrittenOver(_, Resized::Yes))) = (&self.log, self.lost.get())
        else {
            return Ok(None);
        };
        if !same(&log.wal_path, log.wal_id).is_ok_and(|same| same.is_ok()) {
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

/// What was found at the store's path.
struct Found {
    store: Metadata,
    log_bytes: u64,
    log_salts: Option<[u8; 8]>,
}

impl Log {
    fn index(&self) -> io::Result<Option<WalIndex>> {
        match self.shm.file() {
            Some(file) => WalIndex::read(file),
            None => Ok(None),
        }
    }

    /// Those in the log's header; `None` when it has none.
    fn salts(&self) -> io::Result<Option<[u8; 8]>> {
        let mut salts = [0; 8];
        match self.wal.read_exact_at(&mut salts, 16) {
            Ok(()) => Ok(Some(salts)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A checkpoint shortens the log lawfully, so its length alone says nothing; but before that it says in the
    /// wal-index that nothing in the log counts any more.
    fn fault(&self, index: &WalIndex, bytes: u64, salts: Option<[u8; 8]>) -> Option<Loss> {
        let wanted = index.log_bytes()?;
        if bytes < wanted {
            return Some(Loss::CutShort(self.wal_path.clone()));
        }
        (salts != Some(index.salts()))
            .then(|| Loss::WrittenOver(self.wal_path.clone(), Resized::No))
    }

    fn compare(&self, path: &Path, index: &WalIndex, found: &Found) -> Option<Loss> {
        if let Some(loss) = self.fault(index, found.log_bytes, found.log_salts) {
            return Some(loss);
        }
        let mut seen = self
            .overwrite
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seen.look(index, &found.store)
            .map(|resized| Loss::WrittenOver(path.to_owned(), resized))
    }
}

/// The file at `path`, or what became of the one that was there.
fn same(path: &Path, id: FileId) -> Result<std::result::Result<Metadata, Loss>> {
    // A link to the same file is not that file: nobody opens a store by a link, and its log would stand beside the link.
    match fs::symlink_metadata(path) {
        Ok(found) if FileId::of(&found) == id => Ok(Ok(found)),
        Ok(_) => Ok(Err(Loss::Replaced(path.to_owned()))),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Err(Loss::Removed(path.to_owned())))
        }
        Err(error) => Err(unseen(path)(error)),
    }
}

/// The size of the file at `path`, or what became of the one that was there. Its times are not asked for: after each
/// question for them the kernel gives the next write a time of its own, and that fsync has more to write
/// (multigrain timestamps, Linux 6.13): a commit took a seventh longer.
fn same_size(path: &Path, id: FileId) -> Result<std::result::Result<u64, Loss>> {
    let found = statx(
        CWD,
        path,
        AtFlags::SYMLINK_NOFOLLOW,
        StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE,
    );
    match found {
        Ok(found)
            if found.stx_ino == id.inode
                && makedev(found.stx_dev_major, found.stx_dev_minor) == id.device =>
        {
            Ok(Ok(found.stx_size))
        }
        Ok(_) => Ok(Err(Loss::Replaced(path.to_owned()))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(Err(Loss::Removed(path.to_owned()))),
        Err(error) => Err(unseen(path)(error.into())),
    }
}

/// Opens the log to read its header, without updating its access time where the system allows that: after each write of the
/// log the next read would update it, and the next sync would have to write it.
fn open_log(path: &Path) -> io::Result<File> {
    let open = |flags| {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags | libc::O_NOFOLLOW)
            .open(path)
    };
    // Refused with EPERM to whoever does not own the file.
    open(libc::O_NOATIME).or_else(|_| open(0))
}

fn unseen(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::failed(path, format!("it cannot be looked at: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Store};

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
