//! The daemon's log file. It stands beside the store, so `rm store.db*` removes it together with the store, and then it
//! is needed most.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A log that is made again when it was removed.
pub(crate) struct LogFile {
    file: File,
    /// `None` of what is no regular file.
    path: Option<PathBuf>,
    /// When it was last seen there.
    seen: Instant,
}

/// How often it is looked for. An error is never written without.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl LogFile {
    /// Takes over a file that was opened for appending.
    pub(crate) fn new(file: File) -> Self {
        let is_regular = file.metadata().is_ok_and(|it| it.is_file());
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = is_regular.then(|| fs::read_link(link).ok()).flatten();
        Self {
            file,
            path,
            seen: Instant::now(),
        }
    }

    fn make_again_when_removed(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        self.seen = Instant::now();
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
        let is_error = line.windows(5).any(|word| word == b"ERROR");
        if is_error || self.seen.elapsed() > LOOK_EVERY {
            self.make_again_when_removed();
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
