//! The process at the other end of a connection, as the kernel reports it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process. Its number alone may be another's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks since the system started (proc_pid_stat(5), field 22).
    start: u64,
}

/// Who made a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials {
    /// 0 for a process that this one cannot see, such as one outside its container.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Credentials {
    /// Of the process that connected (SO_PEERCRED).
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let peer = getsockopt(stream, sockopt::PeerCredentials).ok()?;
        Some(Self {
            pid: peer.pid(),
            uid: peer.uid(),
            gid: peer.gid(),
        })
    }
}

impl Process {
    /// The process that made the other end of `stream`, with a descriptor that tells when it ends; `None` when it has ended
    /// or cannot be seen.
    pub(crate) fn of_peer(stream: &UnixStream, pid: i32) -> Option<(Self, OwnedFd)> {
        // SO_PEERPIDFD, since Linux 6.5, names the process even if its number is another's meanwhile.
        let descriptor = getsockopt(stream, sockopt::PeerPidfd).ok();
        let descriptor = match descriptor {
            Some(descriptor) => descriptor,
            None => pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?,
        };
        let process = Self::of(pid)?;
        // A process that still runs has kept its number, so the start that was read is its own.
        (!has_ended(&descriptor)).then_some((process, descriptor))
    }

    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let start = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start })
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
    poll(&mut polled, Some(&now)) != Ok(0)
}
