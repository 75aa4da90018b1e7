//! Standard output without the standard library's buffer: it takes a closed or unwritable one for success, and what
//! is left in the buffer at the end fails where nobody looks.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::error::{Error, Result};

/// The names of standard output.
const NAMES: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Whether the process was started without a standard output. The runtime opens /dev/null in its place before `main`,
/// for reading and writing as others do on purpose, so it has to be asked for before that.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// One writer at a time: the text of two threads does not mix.
static WRITER: Mutex<()> = Mutex::new(());

#[ctor::ctor]
fn look_for_it() {
    let closed = fcntl(io::stdout().as_fd(), FcntlArg::F_GETFD) == Err(Errno::EBADF);
    CLOSED.store(closed, Ordering::Relaxed);
}

/// Whether data for the file at `path` is for standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    NAMES.iter().any(|name| path.as_os_str() == *name)
}

/// Writes a command's data. It is no error when the reader has had enough.
///
/// # Errors
/// [`Error::File`]
pub(crate) fn write_data(data: &[u8]) -> Result<()> {
    match write(data) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(Error::File {
            path: "standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Writes all of it.
///
/// # Errors
/// What the system says; EBADF when there is no standard output.
pub(crate) fn write(mut bytes: &[u8]) -> io::Result<()> {
    let _alone = WRITER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if CLOSED.load(Ordering::Relaxed) {
        return Err(Errno::EBADF.into());
    }
    while !bytes.is_empty() {
        match nix::unistd::write(io::stdout().as_fd(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            // Somebody who shares it made it non-blocking.
            Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(2)),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// What closing it says: some filesystems refuse only then what was written.
///
/// # Errors
/// What the system says.
pub(crate) fn flush() -> io::Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Without a free descriptor, the stream cannot be checked.
    let Ok(copy) = io::stdout().as_fd().try_clone_to_owned() else {
        return Ok(());
    };
    match nix::unistd::close(copy) {
        Ok(()) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
