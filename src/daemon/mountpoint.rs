//! Checks a mountpoint before a mount, recognises a mount whose daemon was killed, and unmounts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::{fusermount, given, holders, mount_error, mounted, table};
use crate::error::{Error, Result};
use crate::shown;

/// Checks that slotfs can mount at `mountpoint` and returns its absolute path; a descriptor at `/dev/fd/N` stays that.
///
/// # Errors
/// [`Error::Mount`] if it is not a folder, if slotfs is mounted there already, or if a killed daemon left its mount there.
pub(crate) fn check(mountpoint: &Path) -> Result<PathBuf> {
    let shown = shown::path(mountpoint);
    if let Some(number) = given::descriptor(mountpoint) {
        return given::check(number).map(|()| mountpoint.to_owned());
    }
    if let Ok(path) = resolve(mountpoint)
        && table::at(&path).is_some_and(|entry| entry.is_slotfs())
    {
        let asked = path.clone();
        let already = format!("{shown} is mounted by slotfs already");
        let what = match with_timeout(move || std::fs::metadata(&asked)) {
            Some(Err(why)) if is_dead(&why) => return Err(left_behind(mountpoint)),
            Some(_) => already,
            None => format!("{already}, and its daemon does not answer"),
        };
        return Err(mount_error(
            what,
            Some(format!("'slotfs umount {shown}' unmounts it")),
        ));
    }
    match std::fs::metadata(mountpoint) {
        Ok(file) if !file.is_dir() => Err(mount_error(format!("{shown} is not a folder"), None)),
        Ok(_) => mountpoint.canonicalize().map_err(error_at(mountpoint)),
        Err(why) if is_dead(&why) => Err(left_behind(mountpoint)),
        Err(why) => Err(mount_error(
            format!("{shown}: {why}"),
            Some("the mountpoint must be an existing folder".into()),
        )),
    }
}

/// Makes the error "`path`: reason".
fn error_at(path: &Path) -> impl Fn(io::Error) -> Error {
    move |why| mount_error(format!("{}: {why}", shown::path(path)), None)
}

fn left_behind(mountpoint: &Path) -> Error {
    let shown = shown::path(mountpoint);
    mount_error(
        format!("{shown} was left behind by a slotfs daemon that was killed"),
        Some(format!(
            "run 'slotfs umount {shown}' and mount again; every acknowledged write is in the store"
        )),
    )
}

/// Unmounts a slotfs mount, even if its daemon is gone, and waits for the daemon to end.
///
/// # Errors
/// [`Error::Mount`] if slotfs is not mounted there, or if the mount is in use.
pub(crate) fn umount(mountpoint: &Path) -> Result<()> {
    let shown = shown::path(mountpoint);
    let path = resolve(mountpoint).map_err(error_at(mountpoint))?;
    let find = || {
        table::at(&path)
            .filter(table::Entry::is_slotfs)
            .ok_or_else(|| mount_error(format!("{shown} is not mounted by slotfs"), None))
    };
    let entry = find()?;
    let asked = entry.clone();
    let Some(daemon) = with_timeout(move || Daemon::of(&asked)) else {
        // The unanswered request keeps the mount in use, so an ordinary unmount would fail.
        unmount_topmost(&path, true)?;
        return Err(mount_error(
            format!(
                "the daemon of {shown} does not answer; its mount is detached, but the daemon may still run"
            ),
            Some("'ps -C slotfs' lists the daemons; 'kill -CONT' continues a stopped one".into()),
        ));
    };
    // The system calls take a path, so check once more, as late as possible, that it is the same mount.
    if find()?.id != entry.id {
        return Err(mount_error(
            format!("another mount was made at {shown} meanwhile"),
            None,
        ));
    }
    unmount_topmost(&path, false)?;
    match daemon {
        // This was a bind mount, or a copy of the mount in this namespace: the daemon keeps serving its own mount.
        Some(daemon) if daemon.mount_id.is_some_and(|id| id != entry.id) => Ok(()),
        Some(daemon) => holders::wait_for_end(&path, &entry.device, daemon.pid),
        None => Ok(()),
    }
}

/// How long a daemon may take to answer a request. After that it counts as stopped.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `request` on a thread of its own, because a request to a stopped daemon never returns. `None` if it does not
/// return within [`ANSWER_TIMEOUT`].
fn with_timeout<T: Send + 'static>(request: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, answer) = mpsc::channel();
    thread::Builder::new()
        .name("request".into())
        .spawn(move || {
            // It fails only after the timeout.
            let _ = sender.send(request());
        })
        .ok()?;
    answer.recv_timeout(ANSWER_TIMEOUT).ok()
}

/// Unmounts the topmost mount at `path`. With `detach`, a mount that is in use loses its path at once and ends when its
/// last user leaves it.
pub(crate) fn unmount_topmost(path: &Path, detach: bool) -> Result<()> {
    let flags = match detach {
        true => MntFlags::MNT_DETACH,
        false => MntFlags::empty(),
    };
    let shown = shown::path(path);
    match umount2(path, flags) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => fusermount::unmount(path, detach),
        Err(Errno::EBUSY) => Err(mount_error(
            format!("{shown} is in use"),
            Some("end the programs that have open files or their current folder there".into()),
        )),
        Err(why) => Err(mount_error(format!("cannot unmount {shown}: {why}"), None)),
    }
}

/// Whether the daemon of the mount is gone, or just ends: the kernel answers in its place with one of these errors.
pub(super) fn is_dead(why: &io::Error) -> bool {
    matches!(
        why.raw_os_error(),
        Some(libc::ENOTCONN | libc::ECONNABORTED)
    )
}

/// The absolute path without symbolic links. It sends no request to a slotfs daemon at `path`, which may be gone or
/// stopped.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let in_parent = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)).ok(),
        _ => None,
    };
    let is_slotfs = |path: &PathBuf| table::at(path).is_some_and(|entry| entry.is_slotfs());
    if let Some(path) = in_parent.as_ref().filter(|path| is_slotfs(path)) {
        return Ok(path.clone());
    }
    path.canonicalize().or_else(|why| match in_parent {
        Some(path) if is_dead(&why) => Ok(path),
        _ => Err(why),
    })
}

/// The daemon of a mount, read from `.slotfs/stats`.
struct Daemon {
    pid: u32,
    /// The ID of the mount that the daemon made. Daemons of earlier versions do not report it.
    mount_id: Option<u64>,
}

impl Daemon {
    fn of(mount: &table::Entry) -> Option<Self> {
        let stats = mounted::page(mount, "stats").ok()?;
        let value = |name: &str| stats.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            pid: value("pid ")?.parse().ok()?,
            mount_id: value("mount_id ").and_then(|id| id.parse().ok()),
        })
    }
}

/// Checks that neither the store nor the state folder lies below the mountpoint. The mount would hide it, and a daemon that
/// asks for a file of its own mount waits for itself.
///
/// # Errors
/// [`Error::Mount`] if one does.
pub(crate) fn must_not_hide(store: &Path, state: Option<&Path>, mountpoint: &Path) -> Result<()> {
    let below = shown::path(mountpoint);
    // Opening the store reports a store that does not exist.
    if !slotfs_config::store::is_in_cluster(store)
        && store
            .canonicalize()
            .is_ok_and(|it| it.starts_with(mountpoint))
    {
        let store = shown::path(store);
        return Err(mount_error(
            format!("the store {store} lies in {below}, and the mount would hide it"),
            Some("mount at another, empty folder".into()),
        ));
    }
    if let Some(state) = state
        && is_below(state, mountpoint)
    {
        let state = shown::path(state);
        return Err(mount_error(
            format!("the state folder {state} lies in {below}, and the mount would hide it"),
            Some("mount at another, empty folder, or set XDG_STATE_HOME to one elsewhere".into()),
        ));
    }
    Ok(())
}

/// Whether a folder that need not be there yet would be made below the mountpoint.
fn is_below(folder: &Path, mountpoint: &Path) -> bool {
    let mut there = folder.ancestors().filter_map(|it| it.canonicalize().ok());
    there.next().is_some_and(|it| it.starts_with(mountpoint))
}
