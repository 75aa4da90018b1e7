//! Files that commands write.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::Error;

/// The error of a file that cannot be used.
pub(crate) fn file_error(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

/// Writes and syncs a file that must not exist yet, completely or not at all.
///
/// # Errors
/// What the system says.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & 0o700)
        .open(path)?;
    let written = file
        .write_all(content)
        // Not at open, where the process's umask would restrict it; and only where others may read it: a filesystem without
        // modes, such as vfat, refuses any change of them.
        .and_then(|()| match mode & 0o077 {
            0 => Ok(()),
            _ => file.set_permissions(Permissions::from_mode(mode)),
        })
        .and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // Half a file is worse than no file.
        let _ = fs::remove_file(path);
    })
}
