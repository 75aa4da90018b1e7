//! Makes the mount without fuser: fuser 0.18 unmounts the path again after its own mount is gone, and would unmount
//! another filesystem there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::own::OwnMount;
use super::table::{self, SOURCE};
use super::{MountOptions, fusermount, limits, mount_error};
use crate::error::Result;
use crate::shown;

const DEVICE: &str = "/dev/fuse";

/// Mounts at the absolute `path`. The returned file delivers the kernel's requests.
///
/// # Errors
/// `Error::Mount` if the system refuses the mount.
pub(crate) fn attach(path: &Path, options: &MountOptions) -> Result<(File, OwnMount)> {
    let failed = |why: io::Error| {
        let what = format!("cannot mount at {}: {why}", shown::path(path));
        mount_error(what, hint(&why))
    };
    let before = table::read().map_err(failed)?;
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|why| mount_error(format!("cannot open {DEVICE}: {why}"), hint(&why)))?;
    let device = match mount_as_root(path, options, &device) {
        Ok(()) => device,
        Err(Errno::EPERM) => fusermount::mount(path, &helper_options(options))?,
        Err(why) => return Err(failed(why.into())),
    };
    // Without it, closing the device ends the filesystem, and 'slotfs umount' can remove the dead mount.
    let own = OwnMount::find(path, &device, &before)
        .ok_or_else(|| failed(io::Error::other("the mount is not in /proc/self/mountinfo")))?;
    Ok((device, own))
}

fn mount_as_root(path: &Path, options: &MountOptions, device: &File) -> nix::Result<()> {
    let mode = std::fs::metadata(path)
        .map_err(|why| Errno::from_raw(why.raw_os_error().unwrap_or(libc::EIO)))?
        .permissions()
        .mode();
    let mut data = format!(
        "fd={},rootmode={mode:o},user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        nix::unistd::getuid(),
        nix::unistd::getgid()
    );
    if options.allow_other {
        data.push_str(",allow_other");
    }
    let mut flags =
        MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    if options.read_only {
        flags |= MsFlags::MS_RDONLY;
    }
    let kind = Some("fuse.slotfs");
    mount(Some(SOURCE), path, kind, flags, Some(data.as_str()))
}

/// The options for fusermount3. They contain no path, because a comma in a path would begin another option.
fn helper_options(options: &MountOptions) -> String {
    let access = if options.read_only { "ro" } else { "rw" };
    let others = if options.allow_other {
        ",allow_other"
    } else {
        ""
    };
    format!(
        "fsname={SOURCE},subtype={SOURCE},default_permissions,nodev,nosuid,noexec,noatime,{access}{others}"
    )
}

fn hint(why: &io::Error) -> Option<String> {
    let is_there = std::fs::metadata(DEVICE).is_ok_and(|file| file.file_type().is_char_device());
    let hint = match why.raw_os_error() {
        _ if !is_there => {
            "/dev/fuse is missing: load the fuse module, or pass the device into the container"
        }
        Some(libc::EACCES) => "the mode of /dev/fuse must let this user open it",
        Some(libc::EPERM) => "allow the container to use the device /dev/fuse (10:229)",
        Some(libc::ENODEV) => "load the fuse module",
        _ => return limits::hint(why),
    };
    Some(hint.into())
}
