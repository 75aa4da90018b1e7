//! The file that a daemon logs to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::failed;
use crate::error::{Error, Result};

/// Opens the log at `path` for appending; `-` is standard error, also once a daemon in the background has left it.
///
/// A log is a regular file or `/dev/null`: a symbolic link could have the daemon write to a file of its user's that
/// somebody else chose, and a FIFO would have it wait.
///
/// # Errors
/// [`Error::File`]
pub(crate) fn open(path: &Path) -> Result<File> {
    let in_the_way = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        let stderr = io::stderr().as_fd().try_clone_to_owned();
        return stderr.map(File::from).map_err(in_the_way);
    }
    let is_not = |what: &str| in_the_way(io::Error::other(format!("the log cannot be {what}")));
    if path == Path::new("/dev/null") {
        return null();
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|why| match why.raw_os_error() {
            Some(libc::ELOOP) => is_not("a symbolic link"),
            // A FIFO that nobody reads, or a socket.
            Some(libc::ENXIO) => is_not("a FIFO, a socket or a device"),
            _ => in_the_way(why),
        })?;
    let kind = file.metadata().map_err(in_the_way)?;
    if !kind.is_file() {
        return Err(is_not("a FIFO, a socket or a device"));
    }
    if kind.nlink() == 0 {
        return Err(is_not("a file that was removed"));
    }
    Ok(file)
}

/// The background daemon's log: the file that was named, else one beside the store, else none.
///
/// # Errors
/// [`Error::File`] for one that was named.
pub(crate) fn of_background(named: Option<&Path>, store: &Path) -> Result<File> {
    if let Some(path) = named {
        return open(path);
    }
    if !store.exists() {
        // What is wrong with the store is said next, and is all there is to say.
        return null();
    }
    let mut beside = store.as_os_str().to_owned();
    beside.push(".log");
    open(Path::new(&beside)).or_else(|error| {
        if !matches!(&error, Error::File { source, .. } if is_refusal_of_the_system(source)) {
            return Err(error);
        }
        // Told where a person still sees it.
        let _ = writeln!(io::stderr(), "slotfs: no log: {error}");
        null()
    })
}

/// A folder that this user may not write to, and a full disk, are no reason not to mount.
fn is_refusal_of_the_system(why: &io::Error) -> bool {
    why.raw_os_error()
        .is_some_and(|errno| errno != libc::EISDIR)
}

fn null() -> Result<File> {
    OpenOptions::new()
        .append(true)
        .open("/dev/null")
        .map_err(|why| failed("open /dev/null", &why))
}
