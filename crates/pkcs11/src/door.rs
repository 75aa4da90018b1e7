//! The way in of a forked child that may not connect at the socket: the door that its parent got.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::socket::Socket;
use crate::sys;

/// A connection through a door: the server gets one end of a new pair of sockets.
pub(crate) fn connect(door: &Socket) -> io::Result<Socket> {
    let door = door.number().ok_or(io::ErrorKind::NotConnected)?;
    let (ours, theirs) = UnixStream::pair()?;
    sys::send_descriptor(door, theirs.as_raw_fd())?;
    Socket::new(OwnedFd::from(ours))
}
