//! Makes the mount, without fuser: fuser 0.18 unmounts the path a second time when its own mount is gone already.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::own::OwnMount;
use super::table::{self, SOURCE};
use super::{MountOptions, fusermount, limits};
use crate::error::{Error, Result};
use crate::shown;

const DEVICE: &str = "/dev/fuse";

/// Mounts at `path`, which is absolute. The kernel's requests come by the file.
///
/// # Errors
/// [`Error::Mount`], with what to do.
pub(crate) fn attach(path: &Path, options: &MountOptions) -> Result<(File, OwnMount)> {
    let failed = |why: io::Error| Error::Mount {
        what: format!("cannot mount at {}: {why}", shown::path(path)),
        hint: hint(&why),
    };
    let before = table::read().map_err(failed)?;
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|why| Error::Mount {
            what: format!("cannot open {DEVICE}: {why}"),
            hint: hint(&why),
        })?;
    let device = match mount_as_root(path, options, &device) {
        Ok(()) => device,
        Err(Errno::EPERM) => fusermount::mount(path, &helper_options(options))?,
        Err(why) => return Err(failed(why.into())),
    };
    match OwnMount::find(path, &device, &before) {
        Some(own) => Ok((device, own)),
        // With the device closed the filesystem ends; `umount` clears the folder.
        None => Err(failed(io::Error::other(
            "the mount is not in /proc/self/mountinfo",
        ))),
    }
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
    mount(
        Some(SOURCE),
        path,
        Some("fuse.slotfs"),
        flags,
        Some(data.as_str()),
    )
}

fn helper_options(options: &MountOptions) -> String {
    // Never a path: a comma in it would be another option.
    format!(
        "fsname={SOURCE},subtype={SOURCE},default_permissions,nodev,nosuid,noexec,noatime,{}{}",
        if options.read_only { "ro" } else { "rw" },
        if options.allow_other {
            ",allow_other"
        } else {
            ""
        }
    )
}

fn hint(why: &io::Error) -> Option<String> {
    let is_there = std::fs::metadata(DEVICE).is_ok_and(|file| file.file_type().is_char_device());
    if !is_there {
        return Some(
            "/dev/fuse is missing: load the fuse module, or pass the device into the container"
                .into(),
        );
    }
    match why.raw_os_error() {
        Some(libc::EACCES) => Some("the mode of /dev/fuse must let this user open it".into()),
        Some(libc::EPERM) => {
            Some("the container may not use /dev/fuse: allow the device (10:229) in it".into())
        }
        Some(libc::ENODEV) => Some("load the fuse module".into()),
        _ => limits::hint(why),
    }
}
