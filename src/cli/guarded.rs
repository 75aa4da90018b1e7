//! Files that hold a password, a domain key or a key share. A user who can read such a file can log in or open blobs; a
//! user who can write it chooses what a slot is sealed under.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::cli::file_error;
use crate::cli::password::read_from;
use crate::error::{Error, Result};
use crate::secret::SecretBytes;

const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_READ: u32 = 0o044;

/// Who protects a file from other users.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Its owner, by its mode.
    Owner,
    /// A service manager, by its folder: the file's mode may have group bits for an access list.
    ServiceManager,
}

/// Files that a warning was given for: a command may read one for several slots, and the shell for each command.
static WARNED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// Reads a file that holds a secret, at most `most` bytes of it, and checks its mode. A pipe and an inherited descriptor
/// are not checked: they have no name that others could open.
///
/// # Errors
/// [`Error::ExposedFile`] when every user may write it; [`Error::File`].
pub(crate) fn read_guarded(path: &Path, most: u64, keeper: Keeper) -> Result<SecretBytes> {
    let file = File::open(path).map_err(file_error(path))?;
    // The mode of the file that is read, whatever has its name by now.
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
