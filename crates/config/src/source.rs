//! The configuration files: where they are, and whether they can be trusted.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::{variable, xdg};

/// The file of the system.
pub const SYSTEM_FILE: &str = "/etc/slotfs.toml";
/// The variable that names a file in place of the user's.
pub const VARIABLE: &str = "SLOTFS_CONFIG";

/// More than any file of settings.
const MOST_BYTES: u64 = 1 << 20;
/// Group and others may write.
const OTHERS_WRITE: u32 = 0o022;

/// The user's file: `$SLOTFS_CONFIG`, else `$XDG_CONFIG_HOME/slotfs/config.toml`. Whether it has to be there.
pub fn user_file() -> Option<(PathBuf, bool)> {
    match variable(VARIABLE) {
        Some(path) => Some((path.into(), true)),
        None => {
            let folder = xdg("XDG_CONFIG_HOME", ".config")?;
            Some((folder.join("slotfs/config.toml"), false))
        }
    }
}

/// The content of a file; `None` if it is not there.
///
/// # Errors
/// Names the file and says what to do.
pub(crate) fn read(path: &Path) -> Result<Option<String>, String> {
    let shown = path.to_string_lossy();
    let failed = |error: io::Error| format!("{shown}: {error}");
    // A FIFO must not keep waiting whoever reads the settings.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A folder on the way that this user may not enter, such as the home of root after a daemon has dropped to another
        // user: for this user there is no file.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !exists(path) => {
            return Ok(None);
        }
        opened => opened.map_err(failed)?,
    };
    // Of the file that is read, whatever has its name by now.
    let there = file.metadata().map_err(failed)?;
    if !there.is_file() && path != Path::new("/dev/null") {
        return Err(format!(
            "{shown}: settings are read from a plain file, and this is none"
        ));
    }
    let is_system = path == Path::new(SYSTEM_FILE);
    check(&there, is_system).map_err(|why| format!("{shown}: {why} {shown}'"))?;
    let mut text = String::new();
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text);
    match read.map_err(failed)? as u64 <= MOST_BYTES {
        true => Ok(Some(text)),
        false => Err(format!(
            "{shown}: larger than any file of settings ({MOST_BYTES} bytes)"
        )),
    }
}

/// Whether the file is there, which can be said of one that cannot be read.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Refuses a file that somebody else could have written: it names programs, stores and sockets. The message ends within the
/// command that mends it.
fn check(there: &Metadata, is_system: bool) -> Result<(), String> {
    // /dev/null. Only root makes devices.
    if there.file_type().is_char_device() {
        return Ok(());
    }
    let (owner, own) = (there.uid(), Uid::effective());
    if owner != 0 && owner != own.as_raw() && !(is_system && is_unmapped(owner)) {
        return Err(format!(
            "user {owner} owns this file, so slotfs does not trust it; root or user {own} must own it: 'chown {own}"
        ));
    }
    let mode = there.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Err(format!(
            "others than its owner can write this file (mode {mode:04o}), so slotfs does not trust it: 'chmod go-w"
        ));
    }
    Ok(())
}

/// Whether `owner` stands for users that this user namespace does not know. In a container without privileges, root of the
/// host is one of them; the system's file is theirs, and whoever could replace it controls the host.
fn is_unmapped(owner: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let unknown = fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
    !map.is_empty() && !is_whole && unknown.trim().parse() == Ok(owner)
}
