//! The mount that this daemon made, known by its mount ID, and never by its path: what else is at the path is not ours.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::mount_table::{self, Mounted};
use super::mountpoint;
use crate::error::Result;

/// Our mount.
#[derive(Clone, Debug)]
pub struct OwnMount {
    id: u64,
}

/// What became of a mount that was to be unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// Out of sight. What is in use goes on until its users let it go.
    Yes,
    /// Something else is mounted over it: left alone.
    Covered,
    /// Somebody else has unmounted it before.
    WasGone,
}

impl OwnMount {
    /// The one that was made at `path` since the table was `before`.
    pub fn made_at(path: &Path, before: &[Mounted]) -> io::Result<Self> {
        mount_table::read(Path::new(mount_table::OWN))?
            .into_iter()
            .rfind(|now| {
                now.is_slotfs() && now.at == path && before.iter().all(|then| then.id != now.id)
            })
            .map(|mounted| Self { id: mounted.id })
            .ok_or_else(|| io::Error::other("it was unmounted at once"))
    }

    /// Its mount ID.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it is now, or `None` when it is gone from this mount namespace.
    fn place(&self) -> io::Result<Option<PathBuf>> {
        Ok(mount_table::read(Path::new(mount_table::OWN))?
            .into_iter()
            .find(|mounted| mounted.id == self.id)
            .map(|mounted| mounted.at))
    }

    /// Takes it out of sight, and nothing else, whatever is mounted at its path in this moment.
    ///
    /// # Errors
    /// [`crate::error::Error::Mount`]
    pub fn unmount(&self) -> Result<Unmounted> {
        let failed = |why: io::Error| super::failed("unmount", &why);
        let Some(place) = self.place().map_err(failed)? else {
            return Ok(Unmounted::WasGone);
        };
        match mount_table::topmost_at(&place) {
            Ok(Some(topmost)) if topmost.id == self.id => {}
            Ok(_) => return Ok(Unmounted::Covered),
            Err(why) => return Err(failed(why)),
        }
        // Through a descriptor of its top folder, so that it is this mount and no other.
        let top = open(&place, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|why| failed(why.into()))?;
        let through = PathBuf::from(format!("/proc/self/fd/{}", top.as_raw_fd()));
        match umount2(&through, MntFlags::MNT_DETACH) {
            Ok(()) => Ok(Unmounted::Yes),
            // fusermount3 takes a path alone: what is mounted over it within these few milliseconds by the same user
            // would go instead.
            Err(Errno::EPERM) => {
                drop(top);
                mountpoint::fusermount(&place, &["-u", "-z"])?;
                Ok(Unmounted::Yes)
            }
            Err(why) => Err(failed(why.into())),
        }
    }

    /// Sends `gone` once it is gone from this mount namespace: its daemon then serves others at most, of other
    /// namespaces.
    ///
    /// # Errors
    /// Those of opening the table and of starting a thread.
    pub fn watch<E: Send + 'static>(&self, events: Sender<E>, gone: E) -> io::Result<()> {
        let table = std::fs::File::open(mount_table::OWN)?;
        let own = self.clone();
        let watch = move || {
            loop {
                // A table that cannot be read now may be readable again at its next change.
                if matches!(own.place(), Ok(None)) {
                    // Whoever stopped listening is on the way out.
                    let _ = events.send(gone);
                    return;
                }
                // proc(5): a change of the table is an exceptional condition.
                let mut table = [PollFd::new(table.as_fd(), PollFlags::POLLPRI)];
                match poll(&mut table, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(why) => return log::warn!("the table of mounts is not watched: {why}"),
                }
            }
        };
        thread::Builder::new()
            .name("mounts".into())
            .spawn(watch)
            .map(drop)
    }
}
