//! Whether another process still uses a store that was at this path before.
//!
//! SQLite finds `-wal` and `-shm` by name. Suppose that a backup replaces the file of a store in use. A process that opens
//! the backup would then share the log with the process that has the old store open, and mix the two stores. SQLite's
//! locks show this: a process that has the `-shm` open also has the store's file open, unless that file was replaced.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};

use super::beside;
use super::identity::FileId;
use super::shared_memory::Opening;
use crate::sqlite::{Error, Result};

/// How often the locks are checked before a store is refused, and the pause between two checks: a process that is just
/// opening or closing the store has only one of the files locked.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// The bytes that SQLite locks in the database file while it is open in WAL mode, and in the `-shm` while it is mapped.
const STORE_LOCK: (i64, i64) = (0x4000_0002, 510);
const SHM_LOCK: (i64, i64) = (128, 1);

/// Refuses the store at `path` while another process uses the store that was there before.
///
/// # Errors
/// [`Error::Store`]
pub(crate) fn check(path: &Path) -> Result<()> {
    let opening = Opening::begin();
    // Closing a file would release this process's own locks on it. When this process has a store open, its identity is
    // checked instead.
    if opening.is_any_open() {
        return Ok(());
    }
    let shm = beside(path, "-shm");
    let failed = |error| Error::failed(path, format!("its locks cannot be looked at: {error}"));
    let mut user = None;
    for _ in 0..LOOKS {
        let Some(found) = locked_by(&shm, SHM_LOCK).map_err(failed)? else {
            return Ok(());
        };
        if locked_by(path, STORE_LOCK).map_err(failed)?.is_some() {
            return Ok(());
        }
        if user.is_some_and(|user| user != found) || has_open(found, path) {
            return Ok(());
        }
        user = Some(found);
        thread::sleep(PAUSE);
    }
    let user = match user {
        Some(pid) if pid > 0 => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    let why = format!(
        "its file was removed or replaced while {user} was using it; end that process, then restore the file again, without the old {} and -shm",
        slotfs_object::shown::path(&beside(path, "-wal"))
    );
    Err(Error::failed(path, why))
}

/// Whether a process has the file at `path` open, as far as this process may see. The locks alone do not tell: a process
/// that closed another descriptor of the file has lost them.
fn has_open(pid: i32, path: &Path) -> bool {
    let Ok(wanted) = fs::metadata(path) else {
        return false;
    };
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|file| FileId::of(&file) == FileId::of(&wanted))
}

/// The process that has locked these bytes of the file at `path`, if any.
fn locked_by(path: &Path, (start, length): (i64, i64)) -> io::Result<Option<i32>> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
    {
        Ok(file) => file,
        // SQLite reports later why the file cannot be opened.
        Err(_) => return Ok(None),
    };
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((lock.l_type != libc::F_UNLCK as libc::c_short).then_some(lock.l_pid))
}
