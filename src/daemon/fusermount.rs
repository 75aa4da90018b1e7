//! fusermount3, the setuid helper that mounts and unmounts for users other than root.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::limits;
use crate::error::{Error, Result};

/// The names of the helper: the caller's choice, libfuse 3, libfuse 2.
fn commands() -> Vec<Command> {
    let chosen = std::env::var_os("FUSERMOUNT_PATH");
    let known = ["fusermount3", "/bin/fusermount3", "fusermount"].map(Into::into);
    chosen
        .map_or_else(|| known.to_vec(), |chosen| vec![chosen])
        .into_iter()
        .map(Command::new)
        .collect()
}

/// Why the helper could not be run.
fn not_run(why: &io::Error) -> Error {
    Error::Mount {
        what: format!("cannot run fusermount3: {why}"),
        hint: match why.kind() {
            io::ErrorKind::NotFound => {
                Some("a user other than root needs fusermount3, from Debian's package fuse3".into())
            }
            _ => limits::hint(why),
        },
    }
}

/// What the helper printed when it refused.
fn refused(said: &[u8]) -> Error {
    let said = String::from_utf8_lossy(said).trim().to_owned();
    let hint = if said.contains("user_allow_other") {
        Some("-o allow_other needs the line user_allow_other in /etc/fuse.conf".into())
    } else if has_no_new_privileges() {
        Some("this process may not gain privileges (no_new_privs), so the setuid fusermount3 cannot mount: start slotfs outside the sandbox, or as root".into())
    } else if said.contains("/dev/fuse") {
        Some("the mode of /dev/fuse must let this user open it".into())
    } else {
        None
    };
    Error::Mount {
        what: if said.is_empty() {
            "fusermount3 failed and gave no reason".into()
        } else {
            said
        },
        hint,
    }
}

fn has_no_new_privileges() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line == "NoNewPrivs:\t1"))
}

/// Runs the first helper that is there.
fn spawn(prepare: impl Fn(&mut Command) -> io::Result<()>) -> Result<std::process::Child> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for mut command in commands() {
        prepare(&mut command).map_err(|why| not_run(&why))?;
        match command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
            Ok(child) => return Ok(child),
            Err(why) if why.kind() == io::ErrorKind::NotFound => last = why,
            Err(why) => return Err(not_run(&why)),
        }
    }
    Err(not_run(&last))
}

/// Unmounts what is at `path`: the helper takes nothing but a path.
///
/// # Errors
/// [`Error::Mount`] with what the helper says.
pub(crate) fn unmount(path: &Path, options: &[&str]) -> Result<()> {
    let child = spawn(|command| {
        command
            .args(options)
            .arg("--")
            .arg(path)
            .stdin(Stdio::null());
        Ok(())
    })?;
    let output = child.wait_with_output().map_err(|why| not_run(&why))?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(&output.stderr))
}

/// Mounts at `path`; `/dev/fuse`, opened by the helper, comes back over its standard input.
///
/// # Errors
/// [`Error::Mount`] with what the helper says.
pub(crate) fn mount(path: &Path, options: &str) -> Result<File> {
    let (ours, theirs) = UnixStream::pair().map_err(|why| not_run(&why))?;
    let child = spawn(|command| {
        command
            .args(["-o", options, "--"])
            .arg(path)
            .env("_FUSE_COMMFD", "0")
            .stdin(OwnedFd::from(theirs.try_clone()?));
        Ok(())
    })?;
    drop(theirs);
    let device = receive(&ours);
    drop(ours);
    let output = child.wait_with_output().map_err(|why| not_run(&why))?;
    match device {
        Some(device) => Ok(File::from(device)),
        None => Err(refused(&output.stderr)),
    }
}

/// The descriptor that the helper sends, unless it fails before.
fn receive(socket: &UnixStream) -> Option<OwnedFd> {
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
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}
