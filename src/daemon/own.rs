//! The mount that this daemon made. No other is ever unmounted.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use rustix::event::{PollFd, PollFlags, poll};

use super::fusermount;
use super::table::{self, Entry};
use crate::error::{Error, Result};
use crate::shown;

/// A mount of ours, known by its ID and its device: a path or a source may be anybody's.
#[derive(Clone, Debug)]
pub(crate) struct OwnMount {
    /// As the kernel numbers it.
    pub(crate) id: u64,
    device: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmounted {
    /// It is gone now.
    Done,
    /// It was gone before.
    Before,
    /// In use: out of sight, and gone when its last user leaves it.
    Detached,
    /// Another mount lies on top of it, and was left alone.
    Covered,
}

impl OwnMount {
    /// Finds the mount that `fuse` serves, made at `path` since `before` was read.
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
        Some(Self {
            id: new.id,
            device: new.device,
        })
    }

    /// Where it is now, while it is anywhere.
    pub(crate) fn point(&self) -> io::Result<Option<PathBuf>> {
        Ok(table::read()?
            .into_iter()
            .find(|entry| self.is(entry))
            .map(|entry| entry.point))
    }

    fn is(&self, entry: &Entry) -> bool {
        entry.id == self.id && entry.device == self.device
    }

    /// Unmounts it, if it is still there and on top.
    ///
    /// Between the look and the call lies a moment in which somebody else may mount on top; the kernel has no call that
    /// unmounts by ID.
    ///
    /// # Errors
    /// [`Error::Mount`] when the system refuses.
    pub(crate) fn unmount(&self) -> Result<Unmounted> {
        let unread = |why: io::Error| Error::Mount {
            what: format!("cannot read the table of mounts: {why}"),
            hint: None,
        };
        for (flags, options, done) in [
            (MntFlags::empty(), &["-u"][..], Unmounted::Done),
            (MntFlags::MNT_DETACH, &["-u", "-z"][..], Unmounted::Detached),
        ] {
            let Some(point) = self.point().map_err(unread)? else {
                return Ok(Unmounted::Before);
            };
            if !table::at(&point).is_some_and(|entry| self.is(&entry)) {
                return Ok(Unmounted::Covered);
            }
            let refused = match umount2(&point, flags) {
                Ok(()) => return Ok(done),
                Err(Errno::EPERM) => match fusermount::unmount(&point, options) {
                    Ok(()) => return Ok(done),
                    Err(error) => error,
                },
                Err(why) => Error::Mount {
                    what: format!("cannot unmount {}: {why}", shown::path(&point)),
                    hint: None,
                },
            };
            if done == Unmounted::Detached {
                return Err(refused);
            }
        }
        Ok(Unmounted::Covered)
    }

    /// Returns once it is gone from this namespace. Bind mounts and other namespaces may have the filesystem still.
    ///
    /// # Errors
    /// The table of mounts cannot be read or watched.
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
