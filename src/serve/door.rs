//! Doors: an application holds one end of a socket that its forked children inherit. A child that may not connect at the
//! server's socket, such as a worker of nginx under another user, sends a connection through it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair, sockopt,
};

use super::admission::Admitted;

/// The server's end of a door.
pub(crate) struct Door {
    socket: OwnedFd,
    pub(crate) admitted: Admitted,
}

/// What came through a door.
pub(crate) enum Came {
    Connection(UnixStream),
    /// Something that is no connection.
    Nothing,
    /// Nobody holds the other end any more.
    End,
}

impl Door {
    /// A door for an application with these rights, and the end that it gets.
    pub(crate) fn open(admitted: Admitted) -> io::Result<(Self, OwnedFd)> {
        let (socket, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self { socket, admitted }, theirs))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what is there, without waiting.
    pub(crate) fn take(&self) -> Came {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0; 1];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            flags,
        );
        match received {
            Ok(message) if message.bytes == 0 => return Came::End,
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Came::Nothing,
            Err(_) => return Came::End,
        }
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut all) => all.next(),
            _ => None,
        });
        let is_stream = |socket: &OwnedFd| {
            let kind = sockopt::socket_type(socket);
            let family = sockopt::socket_domain(socket);
            kind == Ok(SocketType::STREAM) && family == Ok(AddressFamily::UNIX)
        };
        match descriptor.filter(is_stream) {
            Some(socket) => Came::Connection(UnixStream::from(socket)),
            None => Came::Nothing,
        }
    }
}
