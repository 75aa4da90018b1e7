//! A log in a file. A log rotator renames it and sends SIGHUP, or just removes it; the daemon then creates it again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::Level;

/// A log file that is created again after it was removed.
pub(super) struct LogFile {
    file: File,
    /// Its absolute path.
    path: PathBuf,
    /// When the path was last checked.
    checked: Instant,
}

/// The shortest time between two checks of the path. Before an error is written, the path is always checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

impl LogFile {
    /// Opens the log at `path`, an absolute one, for appending.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: open(path)?,
            path: path.to_owned(),
            checked: Instant::now(),
        })
    }

    /// Opens what is at the path now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    pub(super) fn write(&mut self, level: Level, line: &[u8]) -> io::Result<()> {
        if level == Level::Error || self.checked.elapsed() > CHECK_INTERVAL {
            self.recreate_if_removed();
        }
        self.file.write_all(line)
    }

    fn recreate_if_removed(&mut self) {
        self.checked = Instant::now();
        let there = fs::symlink_metadata(&self.path);
        if !there.is_err_and(|why| why.kind() == io::ErrorKind::NotFound) {
            return;
        }
        // If the folder is gone too, the daemon keeps writing to the removed file.
        if let Ok(file) = open(&self.path) {
            self.file = file;
        }
    }
}

/// A log is a regular file or `/dev/null`. Through a symbolic link, another user could make the daemon write to any file of
/// its own user; a FIFO could block the daemon.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("/dev/null") {
        return OpenOptions::new().append(true).open(path);
    }
    let refused = |what: &str| io::Error::other(format!("the log cannot be {what}"));
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
            _ => why,
        })?;
    let kind = file.metadata()?;
    if !kind.is_file() {
        return Err(refused("a FIFO, a socket or a device"));
    }
    match kind.nlink() {
        0 => return Err(refused("a file that was removed")),
        1 => {}
        _ => return Err(refused("a file with a second name (hard link)")),
    }
    // Somebody else could put lines into it, or take them out.
    let own = nix::unistd::geteuid().as_raw();
    if kind.uid() != own && kind.uid() != 0 {
        return Err(refused(&format!("a file that user {} owns", kind.uid())));
    }
    if kind.mode() & 0o002 != 0 {
        return Err(refused("a file that everybody can write; 'chmod o-w' it"));
    }
    Ok(file)
}
