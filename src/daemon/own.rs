//! The mount that this daemon made. The daemon unmounts no other mount.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};

use super::failed;
use super::mountpoint::unmount_topmost;
use super::table::{self, Entry};
use crate::error::Result;

/// The daemon's mount, identified by its ID and its device: another mount can have the same path and the same source.
#[derive(Clone, Debug)]
pub(crate) struct OwnMount {
    /// The kernel's mount ID.
    pub(crate) id: u64,
    device: String,
}

/// The result of unmounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmounted {
    /// It was unmounted.
    Done,
    /// It was already gone.
    Before,
    /// It is in use. It has no path any more, and ends when its last user leaves it.
    Detached,
    /// Another mount lies on top of it, so nothing was unmounted.
    Covered,
}

impl OwnMount {
    /// Finds the mount that `fuse` serves and that was made at `path` after the table `before` was read.
    pub(crate) fn find(path: &Path, fuse: &File, before: &[Entry]) -> Option<Self> {
        let device = table::device_of(fuse);
        let table = table::read().ok()?;
        let new = table.into_iter().rfind(|entry| match &device {
            Some(device) => entry.device == *device,
            None => {
                entry.point == path
                    && entry.is_slotfs()
                    && !before.iter().any(|old| old.device == entry.device)
            }
        })?;
        Some(Self::from_entry(new))
    }

    /// The mount of an entry of the table.
    pub(crate) fn from_entry(entry: Entry) -> Self {
        Self {
            id: entry.id,
            device: entry.device,
        }
    }

    /// Its current path; `None` if it is gone from this namespace.
    pub(crate) fn point(&self) -> io::Result<Option<PathBuf>> {
        Ok(table::read()?
            .into_iter()
            .find(|entry| self.is(entry))
            .map(|entry| entry.point))
    }

    fn is(&self, entry: &Entry) -> bool {
        entry.id == self.id && entry.device == self.device
    }

    /// Unmounts it if it still exists and no other mount lies on top of it. A mount that is in use is detached.
    ///
    /// Another process can mount on top between the check and the system call, because the kernel cannot unmount by ID.
    ///
    /// # Errors
    /// `Error::Mount` if the system refuses.
    pub(crate) fn unmount(&self) -> Result<Unmounted> {
        match self.unmount_with(false) {
            Err(_) => self.unmount_with(true),
            unmounted => unmounted,
        }
    }

    fn unmount_with(&self, detach: bool) -> Result<Unmounted> {
        let Some(point) = self.point().map_err(failed("read the mount table"))? else {
            return Ok(Unmounted::Before);
        };
        if !table::at(&point).is_some_and(|entry| self.is(&entry)) {
            return Ok(Unmounted::Covered);
        }
        unmount_topmost(&point, detach)?;
        Ok(match detach {
            true => Unmounted::Detached,
            false => Unmounted::Done,
        })
    }

    /// Waits until it is gone from this namespace. Bind mounts and other namespaces may still hold the filesystem.
    ///
    /// # Errors
    /// The mount table cannot be read or watched.
    pub(crate) fn wait_until_gone(&self) -> io::Result<()> {
        let table = File::open("/proc/self/mountinfo")?;
        loop {
            if self.point()?.is_none() {
                return Ok(());
            }
            let mut changes = [PollFd::from_borrowed_fd(table.as_fd(), PollFlags::PRI)];
            match poll(&mut changes, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
    }
}
