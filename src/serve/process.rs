//! The process at the other end of a connection, as the kernel reports it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process. Its number alone may be another's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks since the system started (proc_pid_stat(5), field 22).
    start: u64,
}

/// Who made a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials {
    pub(crate) pid: Pid,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Credentials {
    /// Of the process that connected (SO_PEERCRED).
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
        Some(Self {
            pid: peer.pid,
            uid: peer.uid.as_raw(),
            gid: peer.gid.as_raw(),
        })
    }
}

impl Process {
    /// The process of that number, with a descriptor that tells when it ends; `None` when it has ended.
    pub(crate) fn open(pid: Pid) -> Option<(Self, OwnedFd)> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // If the process had ended before, this would be the start of another one; a number is not given again while a
        // descriptor of its process is open, so both are of one process from here on.
        let process = Self::of(pid)?;
        Some((process, descriptor))
    }

    /// The process of that number now.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let pid = pid.as_raw_nonzero().get();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let start = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start })
    }
}
