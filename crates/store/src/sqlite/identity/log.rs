//! The files that SQLite keeps beside an open store.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::files::{FileId, open_log, same_size, unseen};
use super::{Difference, Loss};
use crate::sqlite::overwrite::{Overwrite, Resized};
use crate::sqlite::shared_memory::{Opening, SharedMemory};
use crate::sqlite::wal_index::WalIndex;
use crate::sqlite::{Result, beside, lock};

/// The write-ahead log and its index. They exist while any process has the store open.
pub(super) struct Log {
    pub(super) wal_path: PathBuf,
    /// SQLite has no locks on this file, so it may be closed at any time.
    pub(super) wal: File,
    pub(super) wal_id: FileId,
    pub(super) shm_path: PathBuf,
    shm_id: FileId,
    overwrite: Mutex<Overwrite>,
    // Last: it outlives the connections.
    shm: SharedMemory,
}

/// The log's size and the salts in its header.
pub(super) struct LogState {
    bytes: u64,
    salts: Option<[u8; 8]>,
}

impl Log {
    /// The files beside the store at `path`, which SQLite has opened.
    pub(super) fn open(path: &Path, opening: Opening) -> Result<Self> {
        // SQLite resolves links in the path, once.
        let resolved = fs::canonicalize(path).map_err(unseen(path))?;
        let (wal_path, shm_path) = (beside(&resolved, "-wal"), beside(&resolved, "-shm"));
        let wal = open_log(&wal_path).map_err(unseen(&wal_path))?;
        let wal_id = FileId::of(&wal.metadata().map_err(unseen(&wal_path))?);
        let overwrite = Mutex::new(Overwrite::of(&resolved));
        let (shm_id, shm) = opening.keep(&shm_path).map_err(unseen(&shm_path))?;
        Ok(Self {
            wal_path,
            wal,
            wal_id,
            shm_path,
            shm_id,
            overwrite,
            shm,
        })
    }

    /// What the wal-index says; `None` while SQLite writes it.
    pub(super) fn index(&self) -> io::Result<Option<WalIndex>> {
        match self.shm.file() {
            Some(file) => WalIndex::read(file),
            None => Ok(None),
        }
    }

    /// Looks at the files by their names.
    pub(super) fn look(&self) -> Result<LogState, Difference> {
        let bytes = same_size(&self.wal_path, self.wal_id)?;
        same_size(&self.shm_path, self.shm_id)?;
        let salts = self.salts().map_err(unseen(&self.wal_path))?;
        Ok(LogState { bytes, salts })
    }

    /// The salts in the log's header; `None` when it has no header.
    fn salts(&self) -> io::Result<Option<[u8; 8]>> {
        let mut salts = [0; 8];
        match self.wal.read_exact_at(&mut salts, 16) {
            Ok(()) => Ok(Some(salts)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compares the log with its index. A checkpoint may shorten the log, so its length alone proves nothing; but before
    /// that, a checkpoint states in the wal-index that the log's content is no longer used.
    fn fault(&self, index: &WalIndex, log: &LogState) -> Option<Loss> {
        let wanted = index.log_bytes()?;
        if log.bytes < wanted {
            return Some(Loss::CutShort(self.wal_path.clone()));
        }
        (log.salts != Some(index.salts()))
            .then(|| Loss::WrittenOver(self.wal_path.clone(), Resized::No))
    }

    /// Compares the log, and the store at `path`, with the wal-index.
    pub(super) fn compare(
        &self,
        path: &Path,
        index: &WalIndex,
        store: &Metadata,
        log: &LogState,
    ) -> Option<Loss> {
        self.fault(index, log).or_else(|| {
            let resized = lock(&self.overwrite).look(index, store)?;
            Some(Loss::WrittenOver(path.to_owned(), resized))
        })
    }

    /// Whether the log that was opened holds all that its index says.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let Some(index) = self.index()? else {
            return Ok(false);
        };
        let log = LogState {
            bytes: self.wal.metadata()?.len(),
            salts: self.salts()?,
        };
        Ok(self.fault(&index, &log).is_none())
    }

    /// Whether another `-shm` file is at the path now.
    pub(super) fn is_shm_replaced(&self) -> bool {
        fs::symlink_metadata(&self.shm_path).is_ok_and(|shm| FileId::of(&shm) != self.shm_id)
    }
}
