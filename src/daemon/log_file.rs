//! Opens the file that a daemon logs to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::open_null;
use crate::error::{Error, Result};

/// Opens the log at `path` for appending. `-` is standard error; the descriptor is duplicated, so it stays open when a
/// daemon in the background closes its own.
///
/// A log is a regular file or `/dev/null`. Through a symbolic link, another user could make the daemon write to any file
/// of its own user; a FIFO could block the daemon.
///
/// # Errors
/// [`Error::File`]
pub(crate) fn open(path: &Path) -> Result<File> {
    let file_error = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        let stderr = io::stderr().as_fd().try_clone_to_owned();
        return stderr.map(File::from).map_err(file_error);
    }
    if path == Path::new("/dev/null") {
        return open_null();
    }
    let refused = |what: &str| file_error(io::Error::other(format!("the log cannot be {what}")));
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|why| match why.raw_os_error() {
            Some(libc::ELOOP) => refused("a symbolic link"),
            // A FIFO without a reader, or a socket.
            Some(libc::ENXIO) => refused("a FIFO, a socket or a device"),
            _ => file_error(why),
        })?;
    let kind = file.metadata().map_err(file_error)?;
    if !kind.is_file() {
        return Err(refused("a FIFO, a socket or a device"));
    }
    if kind.nlink() == 0 {
        return Err(refused("a file that was removed"));
    }
    Ok(file)
}

/// Opens the log of a background daemon: the file that the user named, or else the store's path with `.log` added. If the
/// system refuses the latter, the daemon runs without a log.
///
/// # Errors
/// [`Error::File`] if the named file cannot be opened, or the other one cannot be a log.
pub(crate) fn of_background(named: Option<&Path>, store: &Path) -> Result<File> {
    if let Some(path) = named {
        return open(path);
    }
    if !store.exists() {
        // The caller reports the missing store next.
        return open_null();
    }
    let mut beside = store.as_os_str().to_owned();
    beside.push(".log");
    open(Path::new(&beside)).or_else(|error| {
        if !matches!(&error, Error::File { source, .. } if is_refusal_of_the_system(source)) {
            return Err(error);
        }
        // Standard error still goes to the caller's terminal.
        let _ = writeln!(io::stderr(), "slotfs: running without a log: {error}");
        open_null()
    })
}

/// Whether the system refused to open the log, for example in a read-only folder or on a full disk. The daemon can run
/// without a log then.
fn is_refusal_of_the_system(why: &io::Error) -> bool {
    why.raw_os_error()
        .is_some_and(|errno| errno != libc::EISDIR)
}
