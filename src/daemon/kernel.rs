//! Making the mount. fuser would unmount by its path again after somebody else did (`is_mounted` of fuser 0.18 is
//! true exactly then), and take away what was mounted there since; a session over a descriptor unmounts nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::MsFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::MountOptions;
use super::mount_table::{KIND, SOURCE};

/// Where the kernel's side of FUSE is opened.
pub const DEVICE: &str = "/dev/fuse";

/// What kept a mount from being made.
#[derive(Debug)]
pub enum CannotMount {
    /// `/dev/fuse` does not open.
    Device(io::Error),
    /// The kernel refused.
    Kernel(io::Error),
    /// fusermount3 did not start.
    Helper(io::Error),
    /// fusermount3 refused, in these words.
    Refused(String),
}

/// Mounts a slotfs at `mountpoint` and returns the descriptor that its requests come from.
pub fn mount(mountpoint: &Path, options: &MountOptions) -> Result<OwnedFd, CannotMount> {
    match mount_directly(mountpoint, options) {
        // Not for this user to do: the setuid helper may.
        Err(CannotMount::Kernel(why)) if why.raw_os_error() == Some(libc::EPERM) => {
            mount_by_helper(mountpoint, options)
        }
        mounted => mounted,
    }
}

fn mount_directly(mountpoint: &Path, options: &MountOptions) -> Result<OwnedFd, CannotMount> {
    let mode = std::fs::metadata(mountpoint)
        .map_err(CannotMount::Kernel)?
        .mode();
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(CannotMount::Device)?;
    let mut data = format!(
        "fd={},rootmode={mode:o},user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        nix::unistd::getuid(),
        nix::unistd::getgid(),
    );
    if options.allow_other {
        data.push_str(",allow_other");
    }
    let mut flags =
        MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    flags.set(MsFlags::MS_RDONLY, options.read_only);
    // The source is never a path: a comma in it would be another option where the helper mounts.
    nix::mount::mount(
        Some(SOURCE),
        mountpoint,
        Some(KIND),
        flags,
        Some(data.as_str()),
    )
    .map_err(|why| CannotMount::Kernel(why.into()))?;
    Ok(device.into())
}

/// fusermount3(1): it opens the device, mounts, and sends the descriptor over the socket that `_FUSE_COMMFD` names,
/// here its standard input.
fn mount_by_helper(mountpoint: &Path, options: &MountOptions) -> Result<OwnedFd, CannotMount> {
    let mut list = format!(
        "fsname={SOURCE},subtype={SOURCE},default_permissions,nodev,nosuid,noexec,noatime,{}",
        if options.read_only { "ro" } else { "rw" }
    );
    if options.allow_other {
        list.push_str(",allow_other");
    }
    let (ours, its) = UnixStream::pair().map_err(CannotMount::Helper)?;
    let mut helper = Command::new("fusermount3")
        .args(["-o", &list, "--"])
        .arg(mountpoint)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(its)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(CannotMount::Helper)?;
    let device = received(&ours);
    let mut said = Vec::new();
    if let Some(mut stderr) = helper.stderr.take() {
        stderr.read_to_end(&mut said).map_err(CannotMount::Helper)?;
    }
    let status = helper.wait().map_err(CannotMount::Helper)?;
    match device {
        Ok(Some(device)) if status.success() => Ok(device),
        Err(why) => Err(CannotMount::Helper(why)),
        Ok(_) => {
            let said = String::from_utf8_lossy(&said);
            let said = said.trim();
            Err(CannotMount::Refused(match said.is_empty() {
                true => format!("fusermount3 ended with {status}"),
                false => said.to_owned(),
            }))
        }
    }
}

fn received(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        let mut parts = [IoSliceMut::new(&mut byte)];
        match recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(why.into()),
            Ok(_) => break,
        }
    }
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

impl CannotMount {
    /// What happened.
    pub fn what(&self) -> String {
        match self {
            Self::Device(why) => format!("{DEVICE}: {why}"),
            Self::Kernel(why) => why.to_string(),
            Self::Helper(why) => format!("fusermount3: {why}"),
            Self::Refused(said) => said.clone(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let errno = match self {
            Self::Device(why) | Self::Kernel(why) | Self::Helper(why) => {
                why.raw_os_error().map(Errno::from_raw)
            }
            Self::Refused(said) if said.contains("user_allow_other") => {
                return Some(
                    "remove -o allow_other, or have root add user_allow_other to /etc/fuse.conf"
                        .into(),
                );
            }
            Self::Refused(said) if said.contains("too many") || said.contains("mount_max") => {
                return Some(
                    "unmount others, or have root raise mount_max in /etc/fuse.conf".into(),
                );
            }
            // What the kernel says when the helper's own right to mount did not take effect.
            Self::Refused(said) if said.contains("Operation not permitted") => {
                return Some(if no_new_privileges() {
                    "this process may gain no privileges (no_new_privs), so fusermount3 cannot mount: start slotfs \
                     outside the sandbox, or as root"
                        .into()
                } else {
                    "fusermount3 must be setuid root, as Debian's package fuse3 installs it".into()
                });
            }
            Self::Refused(_) => return None,
        };
        Some(match (self, errno?) {
            (_, Errno::EMFILE | Errno::ENFILE) => super::limits::OPEN_FILES.into(),
            (_, Errno::EAGAIN) => super::limits::PROCESSES.into(),
            (_, Errno::ENOMEM) => super::limits::MEMORY.into(),
            (Self::Device(_), Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => {
                "load the fuse module, or pass the device into the container".into()
            }
            (Self::Device(_), Errno::EACCES | Errno::EPERM) => {
                "this user may not open the device: it should have the mode 0666".into()
            }
            (Self::Helper(_), Errno::ENOENT) => {
                "a user other than root needs fusermount3, from Debian's package fuse3".into()
            }
            _ => return None,
        })
    }
}

/// prctl(2), PR_SET_NO_NEW_PRIVS: setuid programs are run without their rights.
fn no_new_privileges() -> bool {
    let mut status = String::new();
    let read =
        File::open("/proc/self/status").and_then(|mut file| file.read_to_string(&mut status));
    read.is_ok()
        && status.lines().any(|line| {
            line.strip_prefix("NoNewPrivs:")
                .is_some_and(|value| value.trim() == "1")
        })
}
