//! Mountpoints: fit to be mounted at, left behind by a daemon that was killed, unmounted.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::holders::{Before, Holders};
use super::mount_table::{self, Mounted};
use crate::error::{Error, Result};
use crate::shown;

/// How long `umount` waits for the daemon to close the store.
const DAEMON_END: Duration = Duration::from_secs(10);
/// How long a daemon may take to end before `umount` looks for what holds its mount.
const USUAL_END: Duration = Duration::from_millis(500);

fn error(what: String, hint: Option<String>) -> Error {
    Error::Mount { what, hint }
}

/// The absolute path of a folder that the store at `store` can be mounted at.
///
/// # Errors
/// [`Error::Mount`] when it is none, is mounted already, was left behind by a daemon that was killed, or has the store
/// in it, which the mount would hide.
pub fn check(mountpoint: &Path, store: &Path) -> Result<PathBuf> {
    let shown = shown::path(mountpoint);
    match std::fs::metadata(mountpoint) {
        Ok(file) if !file.is_dir() => Err(error(format!("{shown} is not a folder"), None)),
        Ok(_) => {
            let path = mountpoint
                .canonicalize()
                .map_err(|why| error(format!("{shown}: {why}"), None))?;
            if slotfs_at(&path).is_some() {
                return Err(error(
                    format!("{shown} is mounted by slotfs already"),
                    Some(format!("slotfs umount {shown}")),
                ));
            }
            if hides(&path, store) {
                return Err(error(
                    format!(
                        "the store {} is in {shown}: the mount would hide it",
                        shown::path(store)
                    ),
                    Some("mount at a folder of its own".into()),
                ));
            }
            Ok(path)
        }
        Err(why) if is_left_behind(&why) => Err(error(
            format!("{shown} was left behind by a slotfs daemon that was killed"),
            Some(format!(
                "slotfs umount {shown}, then mount again; nothing acknowledged was lost"
            )),
        )),
        Err(why) => Err(error(
            format!("{shown}: {why}"),
            Some("the mountpoint must be a folder that exists".into()),
        )),
    }
}

/// Whether the store would be out of sight behind a mount at `mountpoint`.
fn hides(mountpoint: &Path, store: &Path) -> bool {
    let folder = store.parent().and_then(|folder| folder.canonicalize().ok());
    folder.is_some_and(|folder| folder.starts_with(mountpoint))
        || store
            .canonicalize()
            .is_ok_and(|store| store.starts_with(mountpoint))
}

/// The slotfs mount at the top of `path`.
fn slotfs_at(path: &Path) -> Option<Mounted> {
    mount_table::topmost_at(path)
        .ok()?
        .filter(Mounted::is_slotfs)
}

/// Unmounts a slotfs, whether its daemon lives or not, and waits for the daemon to end.
///
/// # Errors
/// [`Error::Mount`] when nothing of ours is mounted there, it is in use, or another mount namespace holds it still.
pub fn umount(mountpoint: &Path) -> Result<()> {
    let shown = shown::path(mountpoint);
    let path = resolve(mountpoint).map_err(|why| error(format!("{shown}: {why}"), None))?;
    let Some(mounted) = slotfs_at(&path) else {
        return Err(error(format!("{shown} is not mounted by slotfs"), None));
    };
    let daemon = Daemon::of(&path);
    let before = Before::look(&mounted);
    match umount2(&path, MntFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EPERM) => fusermount(&path, &["-u"])?,
        Err(Errno::EBUSY) => {
            return Err(error(
                format!("{shown} is in use"),
                Some("end the programs that have files open or their current folder in it".into()),
            ));
        }
        Err(why) => return Err(error(format!("{shown}: {why}"), None)),
    }
    match daemon {
        // A copy of the mount (mount --bind): the daemon serves the one that it made.
        Some(daemon) if daemon.mount_id.is_some_and(|id| id != mounted.id) => Ok(()),
        Some(daemon) => daemon.wait_for_end(mountpoint, &before),
        None => Ok(()),
    }
}

/// Takes a dead mount away that was made at `path` since the table was `before`: what a daemon leaves that is killed
/// while it starts.
pub fn clear_dead(path: &Path, before: &[Mounted]) {
    let Some(mounted) = slotfs_at(path) else {
        return;
    };
    let is_new = before.iter().all(|then| then.id != mounted.id);
    let is_dead = std::fs::metadata(path).is_err_and(|why| is_left_behind(&why));
    if is_new
        && is_dead
        && let Err(why) = detach(path)
    {
        log::warn!("{} was left mounted: {why}", shown::path(path));
    }
}

/// Takes the mount out of sight while it is in use: it ends when the last user leaves it.
fn detach(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => fusermount(path, &["-u", "-z"]),
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

/// Users other than root unmount by the setuid helper.
pub(super) fn fusermount(path: &Path, options: &[&str]) -> Result<()> {
    let output = Command::new("fusermount3")
        .args(options)
        .arg("--")
        .arg(path)
        .output()
        .map_err(|why| {
            let hint = match why.raw_os_error() {
                Some(libc::ENOENT) => "it is in Debian's package fuse3",
                Some(libc::EMFILE | libc::ENFILE) => super::limits::OPEN_FILES,
                Some(libc::EAGAIN) => super::limits::PROCESSES,
                _ => "run it by hand: fusermount3 -u, and the mountpoint",
            };
            error(format!("fusermount3: {why}"), Some(hint.into()))
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(error(said.trim().to_owned(), None))
}

/// The absolute path, also where the last part cannot be looked at because its daemon is gone.
fn resolve(path: &Path) -> io::Result<PathBuf> {
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

/// The daemon behind a mount.
struct Daemon {
    pid: u32,
    /// The mount that it made. A daemon of before does not say.
    mount_id: Option<u64>,
}

impl Daemon {
    fn of(mountpoint: &Path) -> Option<Self> {
        let stats = std::fs::read_to_string(mountpoint.join(".slotfs/stats")).ok()?;
        let value = |name: &str| {
            stats
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        Some(Self {
            pid: value("pid")?.parse().ok()?,
            mount_id: value("mount_id").and_then(|id| id.parse().ok()),
        })
    }

    fn has_ended(&self) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        // One whose parent has not reaped it has ended all the same.
        !process.exists()
            || std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
                stat.rsplit_once(") ")
                    .is_some_and(|(_, rest)| rest.starts_with('Z'))
            })
    }

    /// The daemon closes the store after the kernel let the mount go, which it does when nothing holds it any more.
    fn wait_for_end(&self, mountpoint: &Path, before: &Before) -> Result<()> {
        let began = Instant::now();
        loop {
            if self.has_ended() {
                return Ok(());
            }
            if began.elapsed() > USUAL_END {
                let holders = before.still_there();
                if self.has_ended() {
                    return Ok(());
                }
                if !holders.are_none() {
                    return Err(self.held(mountpoint, &holders));
                }
                if began.elapsed() > DAEMON_END {
                    return Err(self.lives_on(mountpoint, &holders));
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn held(&self, mountpoint: &Path, holders: &Holders) -> Error {
        let hidden = holders
            .hidden_text()
            .map_or_else(String::new, |hidden| format!("; {hidden}"));
        error(
            format!(
                "{} is unmounted here, but {} still holds it; every slot is logged out, and its daemon, process {}, \
                 lives on{hidden}",
                shown::path(mountpoint),
                holders.text(),
                self.pid
            ),
            Some(format!(
                "unmount it there, or end that process; or end the daemon: kill {}",
                self.pid
            )),
        )
    }

    fn lives_on(&self, mountpoint: &Path, holders: &Holders) -> Error {
        let seen = holders
            .hidden_text()
            .unwrap_or_else(|| "no other mount of it was found".into());
        error(
            format!(
                "{} is unmounted here, but its daemon, process {}, has not ended after {} seconds; {seen}",
                shown::path(mountpoint),
                self.pid,
                DAEMON_END.as_secs()
            ),
            Some(format!(
                "a mount namespace (a container, 'unshare -m') may hold it; to end the daemon: kill {}",
                self.pid
            )),
        )
    }
}
