//! Mountpoints: fit to be mounted at, left behind by a daemon that was killed, unmounted.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::error::{Error, Result};

/// The source of our mounts in /proc/self/mountinfo. Their type is `fuse` when root mounted them and
/// `fuse.slotfs` when fusermount3 did.
pub const SOURCE: &str = "slotfs";
/// How long `umount` waits for the daemon to close the store.
const DAEMON_END: Duration = Duration::from_secs(10);

fn error(what: String, hint: Option<String>) -> Error {
    Error::Mount { what, hint }
}

/// The absolute path of a folder that can be mounted at.
///
/// # Errors
/// [`Error::Mount`] when it is none, is mounted already, or was left behind by a daemon that was killed.
pub fn check(mountpoint: &Path) -> Result<PathBuf> {
    let shown = mountpoint.display();
    match std::fs::metadata(mountpoint) {
        Ok(file) if !file.is_dir() => Err(error(format!("{shown} is not a folder"), None)),
        Ok(_) => {
            let path = mountpoint
                .canonicalize()
                .map_err(|why| error(format!("{shown}: {why}"), None))?;
            if is_ours(&path) {
                return Err(error(
                    format!("{shown} is mounted by slotfs already"),
                    Some(format!("slotfs umount {shown}")),
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

/// Unmounts a slotfs, whether its daemon lives or not, and waits for the daemon to end.
///
/// # Errors
/// [`Error::Mount`] when nothing of ours is mounted there, or it is in use.
pub fn umount(mountpoint: &Path) -> Result<()> {
    let shown = mountpoint.display();
    let path = resolve(mountpoint).map_err(|why| error(format!("{shown}: {why}"), None))?;
    if !is_ours(&path) {
        return Err(error(format!("{shown} is not mounted by slotfs"), None));
    }
    let daemon = daemon_pid(&path);
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
    if let Some(pid) = daemon {
        wait_for_end(pid);
    }
    Ok(())
}

/// Takes the mount out of sight while it is in use: it ends when the last user leaves it.
pub fn detach(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => fusermount(path, &["-u", "-z"]),
        Err(why) => Err(error(format!("{}: {why}", path.display()), None)),
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
fn fusermount(path: &Path, options: &[&str]) -> Result<()> {
    let output = Command::new("fusermount3")
        .args(options)
        .arg("--")
        .arg(path)
        .output()
        .map_err(|why| {
            error(
                format!("fusermount3: {why}"),
                Some("it is in Debian's package fuse3".into()),
            )
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

/// Whether what is mounted at `path`, topmost when there are several, is a slotfs.
fn is_ours(path: &Path) -> bool {
    let (Ok(table), Some(wanted)) = (
        std::fs::read_to_string("/proc/self/mountinfo"),
        path.to_str(),
    ) else {
        return false;
    };
    // proc(5): the 5th field is the mountpoint; after " - " come type, source, options.
    let topmost = table.lines().rfind(|line| {
        let at = line.split(' ').nth(4);
        at.is_some_and(|at| unescape(at) == wanted)
    });
    let filesystem = topmost
        .and_then(|line| line.split_once(" - "))
        .map(|(_, filesystem)| filesystem.split(' ').collect::<Vec<_>>());
    matches!(
        filesystem.as_deref(),
        Some([kind, SOURCE, ..]) if kind.starts_with("fuse")
    )
}

/// mountinfo writes space, tab, newline and backslash as octal escapes.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

fn daemon_pid(path: &Path) -> Option<u32> {
    let stats = std::fs::read_to_string(path.join(".slotfs/stats")).ok()?;
    stats.lines().next()?.strip_prefix("pid ")?.parse().ok()
}

/// The daemon closes the store after the kernel let the mount go.
fn wait_for_end(pid: u32) {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let deadline = Instant::now() + DAEMON_END;
    while process.exists() && !is_zombie(&process) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

/// A daemon whose parent has not reaped it has ended all the same.
fn is_zombie(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}
