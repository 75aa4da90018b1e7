//! Which files are opened at all: what is put in the store's place must neither be followed nor keep us waiting.

use std::fs;
use std::io;
use std::path::Path;

use super::beside;
use crate::{Error, Result};

/// Refuses what is there and is not a file itself: a link leads to where somebody else chose, and to open a
/// pipe waits for its other end. What is missing is left to the caller.
///
/// # Errors
/// [`Error::Store`], [`Error::File`].
pub fn check(path: &Path) -> Result<()> {
    refuse(path, path, "a store is a file")?;
    for companion in ["-wal", "-shm", "-journal"] {
        let why = "SQLite keeps a file there";
        refuse(path, &beside(path, companion), why)?;
    }
    Ok(())
}

fn refuse(store: &Path, file: &Path, instead: &str) -> Result<()> {
    let kind = match fs::symlink_metadata(file) {
        Ok(there) => there.file_type(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        Err(source) => {
            return Err(Error::file(file, source));
        }
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
        format!("{} is {is}; {instead}", slotfs_object::shown::path(file))
    };
    Err(Error::failed(store, why))
}
