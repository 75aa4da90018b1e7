//! The daemon's log file: a regular file, opened without following a link and without waiting for a reader.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::shown;

/// Where the daemon logs.
pub enum Log {
    /// To a file, or to `/dev/null`.
    File(File),
    /// To a file that could not be opened: nowhere, and this is why.
    None(Error),
}

fn error(path: &Path, source: io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        source,
    }
}

/// Opens a log that was asked for by name; `-` is standard error.
///
/// # Errors
/// [`Error::File`]; [`Error::Usage`] for what is no regular file.
pub fn open(path: &Path) -> Result<File> {
    if path == Path::new("-") {
        return io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map(File::from)
            .map_err(|why| error(path, why));
    }
    if path == Path::new("/dev/null") {
        return OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(|why| error(path, why));
    }
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let no_regular_file = || {
        Error::Usage(format!(
            "the log {} is not a regular file: name one, or /dev/null, or - for standard error",
            shown::path(path)
        ))
    };
    let file = match opened {
        Ok(file) => file,
        // A link; a FIFO that nobody reads, or a socket; a folder.
        Err(why)
            if matches!(
                why.raw_os_error(),
                Some(libc::ELOOP | libc::ENXIO | libc::EISDIR)
            ) =>
        {
            return Err(no_regular_file());
        }
        Err(why) => return Err(error(path, why)),
    };
    match file.metadata() {
        Ok(there) if there.is_file() => Ok(file),
        Ok(_) => Err(no_regular_file()),
        Err(why) => Err(error(path, why)),
    }
}

/// Opens the log of a daemon in the background: the file that was named, else one beside the store.
///
/// # Errors
/// As [`open`]; one beside the store that cannot be made is none, which is told later.
pub fn of_background(named: Option<&Path>, store: &Path) -> Result<Log> {
    if let Some(path) = named {
        return open(path).map(Log::File);
    }
    let mut beside = store.to_owned().into_os_string();
    beside.push(".log");
    match open(&PathBuf::from(beside)) {
        Ok(file) => Ok(Log::File(file)),
        Err(why @ Error::File { .. }) => Ok(Log::None(why)),
        Err(why) => Err(why),
    }
}
