//! The daemon's log file. By default it lies beside the store, so `rm store.db*` removes it too, exactly when a user needs
//! it. The daemon therefore creates it again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A log file that is created again after it was removed.
pub(crate) struct LogFile {
    file: File,
    /// `None` if the log is not a regular file.
    path: Option<PathBuf>,
    /// When the path was last checked.
    checked: Instant,
}

/// The shortest time between two checks of the path. Before an error is written, the path is always checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

impl LogFile {
    /// Takes over a file that was opened for appending.
    pub(crate) fn new(file: File) -> Self {
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = is_regular.then(|| fs::read_link(link).ok()).flatten();
        Self {
            file,
            path,
            checked: Instant::now(),
        }
    }

    fn recreate_if_removed(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        self.checked = Instant::now();
        if !fs::symlink_metadata(path).is_err_and(|why| why.kind() == io::ErrorKind::NotFound) {
            return;
        }
        let created = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path);
        // If the folder is gone too, the daemon keeps writing to the removed file.
        if let Ok(file) = created {
            self.file = file;
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_error = line.windows(5).any(|word| word == b"ERROR");
        if is_error || self.checked.elapsed() > CHECK_INTERVAL {
            self.recreate_if_removed();
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
