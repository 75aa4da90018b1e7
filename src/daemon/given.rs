//! A mount at `/dev/fd/N`: another process opened `/dev/fuse`, mounted, and passed the descriptor on, as libfuse allows it
//! (`fuse_main(3)`, mountpoint `/dev/fd/N`). So slotfs needs no privilege and no `/dev/fuse` of its own.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::mount_error;
use super::own::OwnMount;
use super::table;
use crate::error::Result;

/// The number of `/dev/fuse` among the devices (Linux, `admin-guide/devices.rst`).
const FUSE_DEVICE: (u64, u64) = (10, 229);

/// The descriptor that a mountpoint names; `None` if it is the path of a folder.
pub(crate) fn descriptor(mountpoint: &Path) -> Option<RawFd> {
    let number = mountpoint.to_str()?.strip_prefix("/dev/fd/")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().ok())?
}

/// Checks that descriptor `number` is an open `/dev/fuse`.
///
/// # Errors
/// [`crate::error::Error::Mount`]
pub(crate) fn check(number: RawFd) -> Result<()> {
    let refused = |why: &str| {
        let hint = "pass the descriptor with which a helper has mounted: 'slotfs mount /dev/fd/N' uses descriptor N";
        Err(mount_error(
            format!("/dev/fd/{number} {why}"),
            Some(hint.into()),
        ))
    };
    if number <= libc::STDERR_FILENO {
        return refused("is standard input, output or error, which slotfs needs itself");
    }
    let file = match std::fs::metadata(format!("/proc/self/fd/{number}")) {
        Ok(file) => file,
        Err(_) => return refused("is not open"),
    };
    let device = file.rdev();
    let device = (libc::major(device).into(), libc::minor(device).into());
    match file.file_type().is_char_device() && device == FUSE_DEVICE {
        true => Ok(()),
        false => refused("is not an open /dev/fuse"),
    }
}

/// Takes over descriptor `number`, which stays open for the caller to close.
///
/// Rust gives no owner to a bare number without unsafe code. The kernel does, when it passes the descriptor over a socket.
///
/// # Errors
/// [`crate::error::Error::Mount`]
pub(crate) fn adopt(number: RawFd) -> Result<File> {
    check(number)?;
    pass(number).map(File::from).map_err(|why| {
        let what = format!("cannot use the descriptor /dev/fd/{number}: {why}");
        mount_error(what, None)
    })
}

fn pass(number: RawFd) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    let message = [ControlMessage::ScmRights(&[number])];
    let socket = theirs.as_raw_fd();
    sendmsg::<()>(
        socket,
        &[IoSlice::new(&[0])],
        &message,
        MsgFlags::empty(),
        None,
    )?;
    receive(&ours).ok_or_else(|| io::Error::other("the kernel did not pass it on"))
}

/// Receives a descriptor; `None` if the other side ends without sending one.
pub(super) fn receive(socket: &UnixStream) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    loop {
        let got = recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        match got {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// The mount that `device` serves, if this namespace has it, and whether the kernel checks modes there.
pub(crate) fn find(device: &File) -> (Option<OwnMount>, bool) {
    let Some(number) = table::device_of(device) else {
        return (None, false);
    };
    let entry = table::read().unwrap_or_default();
    let entry = entry.into_iter().find(|entry| entry.device == number);
    let checks_modes = entry.as_ref().is_some_and(table::Entry::checks_modes);
    (entry.map(OwnMount::from_entry), checks_modes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_a_number_below_dev_fd() {
        let of = |path: &str| descriptor(Path::new(path));
        assert_eq!(of("/dev/fd/5"), Some(5));
        for path in [
            "/dev/fd/",
            "/dev/fd/5/x",
            "/dev/fd/+5",
            "dev/fd/5",
            "/dev/fd/99999999999",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn only_an_open_fuse_device_will_do() {
        use std::os::fd::AsRawFd;
        let file = File::open("/dev/null").unwrap();
        let why = |number| check(number).unwrap_err().to_string();
        assert!(why(file.as_raw_fd()).contains("is not an open /dev/fuse"));
        assert!(why(0).contains("standard input"));
        assert!(why(99_999).contains("is not open"));
    }
}
