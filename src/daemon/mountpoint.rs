//! Mountpoints: fit to be mounted at, left behind by a daemon that was killed, unmounted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::table;
use super::{fusermount, holders};
use crate::error::{Error, Result};
use crate::shown;

fn error(what: String, hint: Option<String>) -> Error {
    Error::Mount { what, hint }
}

/// The absolute path of a folder that can be mounted at.
///
/// # Errors
/// [`Error::Mount`] when it is none, is mounted already, or was left behind by a daemon that was killed.
pub(crate) fn check(mountpoint: &Path) -> Result<PathBuf> {
    let shown = shown::path(mountpoint);
    if let Ok(path) = resolve(mountpoint)
        && table::at(&path).is_some_and(|entry| entry.is_slotfs())
    {
        let asked = path.clone();
        return Err(match within(PATIENCE, move || std::fs::metadata(&asked)) {
            Some(Err(why)) if is_left_behind(&why) => left_behind(mountpoint),
            Some(_) => error(
                format!("{shown} is mounted by slotfs already"),
                Some(format!("slotfs umount {shown}")),
            ),
            None => error(
                format!("{shown} is mounted by slotfs already, and its daemon does not answer"),
                Some(format!("slotfs umount {shown}")),
            ),
        });
    }
    match std::fs::metadata(mountpoint) {
        Ok(file) if !file.is_dir() => Err(error(format!("{shown} is not a folder"), None)),
        Ok(_) => mountpoint
            .canonicalize()
            .map_err(|why| error(format!("{shown}: {why}"), None)),
        Err(why) if is_left_behind(&why) => Err(left_behind(mountpoint)),
        Err(why) => Err(error(
            format!("{shown}: {why}"),
            Some("the mountpoint must be a folder that exists".into()),
        )),
    }
}

fn left_behind(mountpoint: &Path) -> Error {
    let shown = shown::path(mountpoint);
    error(
        format!("{shown} was left behind by a slotfs daemon that was killed"),
        Some(format!(
            "slotfs umount {shown}, then mount again; nothing acknowledged was lost"
        )),
    )
}

/// Unmounts a slotfs, whether its daemon lives or not, and waits for the daemon to end.
///
/// # Errors
/// [`Error::Mount`] when nothing of ours is mounted there, or it is in use.
pub(crate) fn umount(mountpoint: &Path) -> Result<()> {
    let shown = shown::path(mountpoint);
    let path = resolve(mountpoint).map_err(|why| error(format!("{shown}: {why}"), None))?;
    let ours = || table::at(&path).filter(table::Entry::is_slotfs);
    let not_ours = || error(format!("{shown} is not mounted by slotfs"), None);
    let entry = ours().ok_or_else(not_ours)?;
    let asked = path.clone();
    let Some(daemon) = within(PATIENCE, move || Daemon::of(&asked)) else {
        // The request that waits for an answer keeps the mount in use: it is taken out of sight.
        detach(&path)?;
        return Err(error(
            format!(
                "the daemon of {shown} does not answer; its mount is detached, and the daemon may live on"
            ),
            Some(
                "a stopped process goes on with 'kill -CONT'; 'ps -C slotfs' lists the daemons"
                    .into(),
            ),
        ));
    };
    match umount2(&path, MntFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            // The helper takes a path: looked at once more, as late as can be.
            ours()
                .filter(|now| now.id == entry.id)
                .ok_or_else(not_ours)?;
            fusermount::unmount(&path, &["-u"])?;
        }
        Err(Errno::EBUSY) => {
            return Err(error(
                format!("{shown} is in use"),
                Some("end the programs that have files open or their current folder in it".into()),
            ));
        }
        Err(why) => return Err(error(format!("{shown}: {why}"), None)),
    }
    match daemon {
        // A bind mount of it, or a copy in this namespace: the daemon goes on, and that is right.
        Some(daemon) if daemon.mount_id.is_some_and(|id| id != entry.id) => Ok(()),
        Some(daemon) => holders::wait_for_end(&path, &entry.device, daemon.pid),
        None => Ok(()),
    }
}

/// How long a daemon may take to answer a request, before it is taken for stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `ask` says, or `None` when it says nothing for so long: a request to a daemon that is stopped waits for ever.
fn within<T: Send + 'static>(
    patience: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (say, hear) = mpsc::channel();
    thread::Builder::new()
        .name("asking".into())
        .spawn(move || {
            // Whoever stopped listening is on the way out.
            let _ = say.send(ask());
        })
        .ok()?;
    hear.recv_timeout(patience).ok()
}

/// Takes the mount out of sight while it is in use: it ends when the last user leaves it.
pub(crate) fn detach(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => fusermount::unmount(path, &["-u", "-z"]),
        Err(why) => Err(error(format!("{}: {why}", shown::path(path)), None)),
    }
}

/// What the kernel says of a mount whose daemon is gone, and just while it goes.
fn is_left_behind(why: &io::Error) -> bool {
    matches!(
        why.raw_os_error(),
        Some(libc::ENOTCONN | libc::ECONNABORTED)
    )
}

/// The absolute path, also where the last part cannot be looked at because its daemon is gone or stopped.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    // A mountpoint is found without asking its daemon.
    let absolute = std::path::absolute(path)?;
    if let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name())
        && let Ok(parent) = parent.canonicalize()
    {
        let at = parent.join(name);
        if table::at(&at).is_some_and(|entry| entry.is_slotfs()) {
            return Ok(at);
        }
    }
    match path.canonicalize() {
        Err(why) if is_left_behind(&why) => {
            let absolute = std::path::absolute(path)?;
            match (absolute.parent(), absolute.file_name()) {
                (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
                _ => Err(why),
            }
        }
        resolved => resolved,
    }
}

/// The daemon of a mount, as its `.slotfs/stats` tells it.
struct Daemon {
    pid: u32,
    /// Of the mount that it made; daemons of earlier versions do not say.
    mount_id: Option<u64>,
}

impl Daemon {
    fn of(path: &Path) -> Option<Self> {
        let stats = std::fs::read_to_string(path.join(".slotfs/stats")).ok()?;
        let value = |name: &str| stats.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            pid: value("pid ")?.parse().ok()?,
            mount_id: value("mount_id ").and_then(|id| id.parse().ok()),
        })
    }
}

/// Refuses to mount over the folder that holds the store: the mount would hide it.
///
/// # Errors
/// [`Error::Mount`]
pub(crate) fn must_not_hide(store: &Path, mountpoint: &Path) -> Result<()> {
    // A store that is not there is somebody else's error.
    match store.canonicalize() {
        Ok(file) if file.starts_with(mountpoint) => Err(error(
            format!(
                "the store {} lies in {}, and the mount would hide it",
                shown::path(store),
                shown::path(mountpoint)
            ),
            Some("mount at another folder, an empty one".into()),
        )),
        _ => Ok(()),
    }
}
