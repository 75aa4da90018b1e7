//! The daemon's log file. It stands beside the store, so `rm store.db*` removes it together with the store, and then it
//! is needed most.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A log that is made again when it was removed.
pub struct LogFile {
    file: File,
    /// `None` of what is no regular file.
    path: Option<PathBuf>,
}

impl LogFile {
    /// Takes over a file that was opened for appending.
    pub fn new(file: File) -> Self {
        let is_regular = file.metadata().is_ok_and(|it| it.is_file());
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = is_regular.then(|| fs::read_link(link).ok()).flatten();
        Self { file, path }
    }

    fn make_again_when_removed(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        if !fs::symlink_metadata(path).is_err_and(|why| why.kind() == io::ErrorKind::NotFound) {
            return;
        }
        let made = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path);
        // Where its folder is gone too, nobody can be told.
        if let Ok(file) = made {
            self.file = file;
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.make_again_when_removed();
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
