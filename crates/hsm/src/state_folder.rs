//! The state folder: small files of one user, which outlive the process. They are read only where nobody else could have
//! written them, changed under a lock, and replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock that is taken is left alone before it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(2);

/// A folder for such files.
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder at this path, which need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for this user alone, if it is not there.
    ///
    /// # Errors
    /// When that fails, or when others could write there.
    pub fn prepare(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        check_owner(&fs::metadata(&self.0)?)
    }

    /// Whether what is read there is this user's alone. A folder that is not there holds nothing.
    ///
    /// # Errors
    /// When others could write there.
    pub fn check(&self) -> io::Result<()> {
        match fs::metadata(&self.0) {
            Ok(there) => check_owner(&there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The lock called `name`, which the system drops when the process ends in whatever way; `None` when another process
    /// has it for as long as `wait`.
    ///
    /// # Errors
    /// When the file of the lock cannot be opened.
    pub fn lock(&self, name: &str, wait: Duration) -> io::Result<Option<File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.0.join(name))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if start.elapsed() >= wait => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_AGAIN),
            }
        }
    }

    /// Puts `text` in the place of the file called `name`: written beside it, synced and renamed, so that the file is whole
    /// or as before. The caller holds a lock, since two writers would meet in the file beside it.
    ///
    /// # Errors
    /// When that fails.
    pub fn replace(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }

    /// The first `most_bytes` of a file, if it is there.
    ///
    /// # Errors
    /// When it cannot be read, is no plain file, or could have been written by others.
    pub fn read(file: &Path, most_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(file);
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
        file.take(most_bytes).read_to_end(&mut text)?;
        Ok(Some(text))
    }
}

/// Whoever else could write here could have every login refused, or choose the stores that this user's commands use.
pub(crate) fn check_owner(there: &fs::Metadata) -> io::Result<()> {
    let why = match there {
        _ if there.uid() != nix::unistd::geteuid().as_raw() => "it belongs to another user",
        _ if there.mode() & 0o022 != 0 => "others can write it",
        _ => return Ok(()),
    };
    Err(io::Error::other(why))
}
