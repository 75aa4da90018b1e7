//! Refuses a path that is not a plain file: a file that an attacker put in the store's place must neither lead elsewhere
//! nor block.

use std::fs;
use std::io;
use std::path::Path;

use super::beside;
use crate::sqlite::{Error, Result};
use slotfs_object::shown;

/// The suffixes of the files that SQLite keeps beside a database, and uses when it opens the database.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Refuses a store that is not a plain file, or that has another kind of file beside it: a link may lead anywhere, and
/// opening a pipe blocks until its other end is open. A missing file is left to the caller.
///
/// # Errors
/// [`Error::Store`], [`Error::File`].
pub(crate) fn check(path: &Path) -> Result<()> {
    refuse(path, path, "a store is a file")?;
    for companion in COMPANIONS {
        let why = "SQLite keeps a file there";
        refuse(path, &beside(path, companion), why)?;
    }
    Ok(())
}

/// Whether there is no file.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn refuse(store: &Path, file: &Path, instead: &str) -> Result<()> {
    let kind = match fs::symlink_metadata(file) {
        Ok(there) => there.file_type(),
        Err(error) if is_missing(&error) => return Ok(()),
        Err(source) => return Err(Error::file(file, source)),
    };
    let is = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a symbolic link, and none is followed",
        _ => "no regular file",
    };
    let why = if file == store {
        format!("it is {is}; {instead}")
    } else {
        format!("{} is {is}; {instead}", shown::path(file))
    };
    Err(Error::failed(store, why))
}
