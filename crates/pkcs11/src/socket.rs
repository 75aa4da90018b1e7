//! A socket whose number an application may have closed, and given to a file of its own.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use crate::sys::{self, FileId};

/// A socket, with what tells it from another file under its number.
pub(crate) struct Socket {
    descriptor: RawFd,
    id: FileId,
}

impl Socket {
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let descriptor = sys::above_standard(descriptor)?;
        let id = sys::file_id(descriptor.as_raw_fd());
        let id = id.ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            descriptor: descriptor.into_raw_fd(),
            id,
        })
    }

    /// Connects to a server that listens at `path`. Nothing takes longer than `patience` until [`Self::wait_for_ever`].
    pub(crate) fn connect(path: &Path, patience: Duration) -> io::Result<Self> {
        let socket = Self::new(sys::stream_socket()?)?;
        socket.wait_at_most(patience)?;
        sys::connect(socket.descriptor, path)?;
        Ok(socket)
    }

    /// Its number, if that is still this socket's.
    pub(crate) fn number(&self) -> Option<RawFd> {
        (sys::file_id(self.descriptor) == Some(self.id)).then_some(self.descriptor)
    }

    /// How to recognise it after this value is gone.
    pub(crate) fn name(&self) -> (RawFd, FileId) {
        (self.descriptor, self.id)
    }

    pub(crate) fn wait_at_most(&self, patience: Duration) -> io::Result<()> {
        sys::set_timeouts(self.descriptor, patience)
    }

    pub(crate) fn wait_for_ever(&self) -> io::Result<()> {
        self.wait_at_most(Duration::ZERO)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What an application opened under the number is not this module's to close.
        if let Some(number) = self.number() {
            // SAFETY: the descriptor is this socket's, and nothing else closes it.
            unsafe { libc::close(number) };
        }
    }
}
