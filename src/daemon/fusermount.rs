//! Runs fusermount3, the setuid helper that mounts and unmounts for users other than root.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{given, limits, mount_error};
use crate::error::{Error, Result};

/// The helper that the user chose, or the helpers of libfuse 3 and libfuse 2.
fn programs() -> Vec<OsString> {
    match std::env::var_os("FUSERMOUNT_PATH") {
        Some(chosen) => vec![chosen],
        None => ["fusermount3", "/bin/fusermount3", "fusermount"]
            .map(Into::into)
            .to_vec(),
    }
}

/// The error of a helper that could not be run.
fn not_run(why: io::Error) -> Error {
    let hint = match why.kind() {
        io::ErrorKind::NotFound => Some(
            "a user other than root needs fusermount3; Debian has it in the package fuse3".into(),
        ),
        _ => limits::hint(&why),
    };
    mount_error(format!("cannot run fusermount3: {why}"), hint)
}

/// The error of a helper that failed, from its standard error.
fn refused(stderr: &[u8]) -> Error {
    let said = String::from_utf8_lossy(stderr);
    let said = said.trim();
    let hint = if said.contains("user_allow_other") {
        Some("-o allow_other needs the line 'user_allow_other' in /etc/fuse.conf")
    } else if has_no_new_privileges() {
        Some(
            "this process may not gain privileges (no_new_privs), so the setuid fusermount3 cannot mount: start slotfs outside the sandbox, or as root",
        )
    } else if said.contains("/dev/fuse") {
        Some("the mode of /dev/fuse must let this user open it")
    } else {
        None
    };
    let what = match said {
        "" => "fusermount3 failed and gave no reason",
        said => said,
    };
    mount_error(what, hint.map(Into::into))
}

fn has_no_new_privileges() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line == "NoNewPrivs:\t1"))
}

/// Runs the first helper that exists.
fn spawn(options: &[&OsStr], path: &Path, stdin: impl Fn() -> io::Result<Stdio>) -> Result<Child> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for program in programs() {
        let mut command = Command::new(program);
        command.args(options).arg("--").arg(path);
        command.env("_FUSE_COMMFD", "0");
        command.stdin(stdin().map_err(not_run)?);
        match command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
            Ok(child) => return Ok(child),
            Err(why) if why.kind() == io::ErrorKind::NotFound => last = why,
            Err(why) => return Err(not_run(why)),
        }
    }
    Err(not_run(last))
}

/// Unmounts the topmost mount at `path`; with `detach`, also a mount that is in use.
///
/// # Errors
/// [`Error::Mount`] with the helper's message.
pub(crate) fn unmount(path: &Path, detach: bool) -> Result<()> {
    let options: &[&str] = if detach { &["-u", "-z"] } else { &["-u"] };
    let options: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    let child = spawn(&options, path, || Ok(Stdio::null()))?;
    let output = child.wait_with_output().map_err(not_run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(&output.stderr))
}

/// fusermount3 with `auto_unmount`: it waits until the daemon's end of the socket is closed, whatever ends the daemon, and
/// then unmounts.
pub(crate) struct AutoUnmount {
    helper: Child,
    _socket: UnixStream,
}

impl Drop for AutoUnmount {
    /// The daemon has unmounted itself. The helper would unmount what another daemon may have mounted there since.
    fn drop(&mut self) {
        let ended = self.helper.kill().and_then(|()| self.helper.wait());
        if let Err(why) = ended {
            log::debug!("fusermount3: {why}");
        }
    }
}

/// Mounts at `path`. The helper opens `/dev/fuse` and sends the descriptor over its standard input, which is a socket. With
/// `auto_unmount` the helper stays.
///
/// # Errors
/// [`Error::Mount`] with the helper's message.
pub(crate) fn mount(
    path: &Path,
    options: &OsStr,
    auto_unmount: bool,
) -> Result<(File, Option<AutoUnmount>)> {
    let (ours, theirs) = UnixStream::pair().map_err(not_run)?;
    let mut helper = spawn(&[OsStr::new("-o"), options], path, || {
        Ok(OwnedFd::from(theirs.try_clone()?).into())
    })?;
    drop(theirs);
    match given::receive(&ours).map(File::from) {
        Some(device) if auto_unmount => {
            // Nobody reads what it says later.
            drop(helper.stderr.take());
            let _socket = ours;
            Ok((device, Some(AutoUnmount { helper, _socket })))
        }
        device => {
            drop(ours);
            let output = helper.wait_with_output().map_err(not_run)?;
            let device = device.ok_or_else(|| refused(&output.stderr))?;
            Ok((device, None))
        }
    }
}
