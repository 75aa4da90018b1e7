//! Files that hold a password, a domain key or a key share: whoever else reads one can log in or open every blob, and
//! whoever else writes one chooses what a slot is sealed under.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::cli::password::read_from;
use crate::error::{Error, Result};
use crate::secret::SecretBytes;

const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_READ: u32 = 0o044;

/// Who keeps a file from others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// Its owner, by its mode.
    Owner,
    /// A service manager, by the folder it is in: its mode may have group bits for an access list.
    ServiceManager,
}

/// Files that were warned of: a command may read one for several slots, and the shell for each command.
static WARNED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// Reads a file that holds a secret, at most `most` bytes of it. Its mode is looked at where it has one of its own: a
/// pipe and a descriptor that was handed over have no name that others could open.
///
/// # Errors
/// [`Error::ExposedFile`] when everybody may write it; [`Error::File`].
pub fn read_guarded(path: &Path, most: u64, keeper: Keeper) -> Result<SecretBytes> {
    let file = File::open(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    // Of the file that is read, whatever has its name by now.
    if let Ok(it) = file.metadata()
        && it.is_file()
        && it.nlink() > 0
        && !is_descriptor(path)
    {
        check(path, &it, keeper)?;
    }
    read_from(file, path, most)
}

fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc") || path == Path::new("/dev/stdin")
}

fn check(path: &Path, it: &Metadata, keeper: Keeper) -> Result<()> {
    let mode = it.permissions().mode();
    if mode & OTHERS_WRITE != 0 {
        return Err(Error::ExposedFile {
            path: path.to_owned(),
        });
    }
    let what = match mode {
        _ if keeper == Keeper::ServiceManager => return Ok(()),
        mode if mode & GROUP_WRITES != 0 => "its group can write it",
        mode if mode & OTHERS_READ != 0 => "others than its owner can read it",
        _ => return Ok(()),
    };
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.insert((it.dev(), it.ino())) {
        log::warn!(
            "{}: {what} (mode {:04o}); keep it to yourself: chmod 600",
            crate::shown::path(path),
            mode & 0o7777
        );
    }
    Ok(())
}
