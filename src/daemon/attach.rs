//! Makes the mount without fuser: fuser 0.18 unmounts the path again after its own mount is gone, and would unmount
//! another filesystem there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::mount;

use super::fusermount::{self, AutoUnmount};
use super::options::{MountOptions, Others, escape, flags_for_fusermount};
use super::own::OwnMount;
use super::{given, limits, mount_error, table};
use crate::error::Result;
use crate::shown;

const DEVICE: &str = "/dev/fuse";

/// A mount that was made, or taken over.
pub(crate) struct Attached {
    /// It delivers the kernel's requests.
    pub(crate) device: File,
    /// The mount; `None` if it is in another namespace.
    pub(crate) own: Option<OwnMount>,
    /// Whether the kernel checks the modes of files and folders.
    pub(crate) checks_modes: bool,
    pub(crate) auto_unmount: Option<AutoUnmount>,
}

/// Mounts the store at the absolute `path`.
///
/// # Errors
/// `Error::Mount` if the system refuses the mount.
pub(crate) fn attach(store: &Path, path: &Path, options: &MountOptions) -> Result<Attached> {
    let failed = |why: io::Error| {
        let what = format!("cannot mount at {}: {why}", shown::path(path));
        mount_error(what, hint(&why))
    };
    let source = match &options.source {
        Some(name) => OsStr::new(name),
        None => store.as_os_str(),
    };
    let before = table::read().map_err(failed)?;
    let by_helper = || {
        let words = helper_options(source, options)?;
        fusermount::mount(path, &words, options.auto_unmount)
    };
    let (device, auto_unmount) = match options.auto_unmount {
        true => by_helper()?,
        false => {
            let device = OpenOptions::new()
                .read(true)
                .write(true)
                .open(DEVICE)
                .map_err(|why| mount_error(format!("cannot open {DEVICE}: {why}"), hint(&why)))?;
            match mount_as_root(source, path, options, &device) {
                Ok(()) => (device, None),
                Err(Errno::EPERM) => by_helper()?,
                Err(why) => return Err(failed(why.into())),
            }
        }
    };
    // Without it, closing the device ends the filesystem, and 'slotfs umount' can remove the dead mount.
    let own = OwnMount::find(path, &device, &before)
        .ok_or_else(|| failed(io::Error::other("the mount is not in /proc/self/mountinfo")))?;
    Ok(Attached {
        device,
        own: Some(own),
        checks_modes: true,
        auto_unmount,
    })
}

/// Takes over the mount of descriptor `number`.
///
/// # Errors
/// `Error::Mount` if it is no descriptor of FUSE, or cannot be had with these options.
pub(crate) fn take_over(number: RawFd, options: &MountOptions) -> Result<Attached> {
    let device = given::adopt(number)?;
    let (own, checks_modes) = given::find(&device);
    let unsafe_options = [
        ("allow_other", options.others == Others::Everybody),
        ("uid", options.uid.is_some()),
        ("gid", options.gid.is_some()),
    ];
    if !checks_modes && let Some((name, _)) = unsafe_options.iter().find(|(_, is_set)| *is_set) {
        return Err(mount_error(
            format!(
                "-o {name} is not possible at /dev/fd/{number}: the mount table does not show that the kernel checks permissions there"
            ),
            Some("mount with the option default_permissions, in a mount namespace that slotfs can see; or omit the option, and slotfs serves its own user alone".into()),
        ));
    }
    let kernel = options.kernel.first().map(|option| name_of(option));
    let made_elsewhere = [
        options.auto_unmount.then_some("auto_unmount"),
        options.source.as_ref().map(|_| "fsname"),
        kernel,
    ];
    if let Some(name) = made_elsewhere.into_iter().flatten().next() {
        return Err(mount_error(
            format!(
                "-o {name} has no effect at /dev/fd/{number}: the process that made the mount sets it"
            ),
            Some("pass the option to that process, and omit it here".into()),
        ));
    }
    Ok(Attached {
        device,
        own,
        checks_modes,
        auto_unmount: None,
    })
}

/// Whether this process can open `/dev/fuse`.
pub(crate) fn is_device_open_to_us() -> bool {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    device.is_ok()
}

fn mount_as_root(
    source: &OsStr,
    path: &Path,
    options: &MountOptions,
    device: &File,
) -> nix::Result<()> {
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
    if options.others != Others::Nobody {
        data.push_str(",allow_other");
    }
    for option in &options.kernel {
        data.push(',');
        data.push_str(option);
    }
    mount(
        Some(source),
        path,
        Some(table::TYPE),
        options.flags,
        Some(data.as_str()),
    )
}

/// The options for fusermount3.
fn helper_options(source: &OsStr, options: &MountOptions) -> Result<OsString> {
    let for_root = |name: &str| {
        mount_error(
            format!("-o {name} is not possible here: fusermount3 does not know it"),
            Some("only root can mount with it, and without auto_unmount".into()),
        )
    };
    let flags = flags_for_fusermount(options.flags).map_err(for_root)?;
    let mut words = OsString::from("fsname=");
    words.push(escape(source));
    words.push(",subtype=slotfs,default_permissions,");
    words.push(flags);
    if options.others != Others::Nobody {
        words.push(",allow_other");
    }
    if options.auto_unmount {
        words.push(",auto_unmount");
    }
    for option in &options.kernel {
        if name_of(option) != "max_read" {
            return Err(for_root(name_of(option)));
        }
        words.push(",");
        words.push(option);
    }
    Ok(words)
}

/// The name of an option with a value.
fn name_of(option: &str) -> &str {
    option.split('=').next().unwrap_or_default()
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
