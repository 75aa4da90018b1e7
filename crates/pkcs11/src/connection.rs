//! One connection to the token server.

use std::io;
use std::os::fd::RawFd;

use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{Hello, PREAMBLE_BYTES, Preamble, Reply, Request, Welcome};

use crate::socket::Socket;
use crate::sys;

/// Bytes that one receive takes in: most replies whole.
const BUFFER_BYTES: usize = 8 << 10;

/// A connection.
pub(crate) struct Connection {
    socket: Socket,
    /// Which server it is to, of those that were talked to.
    server: u64,
    buffer: Vec<u8>,
}

/// Where the data of a reply goes.
pub(crate) enum Sink<'a> {
    /// No data is expected.
    None,
    /// Into the application's buffer, as far as it reaches.
    Buffer(&'a mut [u8]),
    /// Behind what a vector has. It must not grow while it holds secrets, so reserve before.
    Vector(&'a mut Vec<u8>),
}

/// A connection that is of no use any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The server did not get the request.
    Unsent,
    /// The server may have done what it was asked.
    Lost,
}

/// Why a server and an application do not come together.
pub(crate) enum NoIntroduction {
    /// The server does not let the application in, or speaks another version.
    Refused,
    /// The connection ended first: the server is just ending, or this is no way in.
    Ended,
}

impl From<Broken> for NoIntroduction {
    fn from(_: Broken) -> Self {
        Self::Ended
    }
}

impl Connection {
    pub(crate) fn new(socket: Socket, server: u64) -> Self {
        Self {
            socket,
            server,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn server(&self) -> u64 {
        self.server
    }

    /// Sends a request, of which `header` is the frame up to its data, and receives the reply.
    pub(crate) fn exchange(
        &mut self,
        header: &[u8],
        data: [&[u8]; 2],
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Broken> {
        let number = self.socket.number().ok_or(Broken::Unsent)?;
        sys::send_all(number, [header, data[0], data[1]]).map_err(|_| Broken::Unsent)?;
        let mut have = received(sys::receive_soon(number, &mut self.buffer))?;
        while have < LENGTHS_BYTES {
            have += self.receive(number, have)?;
        }
        self.rest_of_reply(number, have, sink)
    }

    fn receive(&mut self, number: RawFd, have: usize) -> Result<usize, Broken> {
        received(sys::receive(number, &mut self.buffer[have..]))
    }

    /// Reads a reply of which `have` bytes are in the buffer.
    fn rest_of_reply(
        &mut self,
        number: RawFd,
        mut have: usize,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Broken> {
        let lengths = self.buffer.first_chunk().ok_or(Broken::Lost)?;
        let Lengths { header, data } = Lengths::parse(*lengths).map_err(|_| Broken::Lost)?;
        let before_data = LENGTHS_BYTES + header;
        self.make_room(before_data, have);
        while have < before_data {
            have += self.receive(number, have)?;
        }
        let reply = frame::decode(&self.buffer[LENGTHS_BYTES..before_data]);
        let reply = reply.map_err(|_| Broken::Lost)?;
        let there = &self.buffer[before_data..have];
        let into = match sink {
            Sink::None => &mut [][..],
            Sink::Buffer(buffer) => &mut **buffer,
            Sink::Vector(vector) => {
                let start = vector.len();
                vector.resize(start + data, 0);
                &mut vector[start..]
            }
        };
        // A reply with more data than there is room for, or with bytes behind its end, is none.
        if there.len() > data || into.len() < data {
            return Err(Broken::Lost);
        }
        let (first, mut rest) = into[..data].split_at_mut(there.len());
        first.copy_from_slice(there);
        while !rest.is_empty() {
            let bytes = received(sys::receive(number, rest))?;
            rest = &mut rest[bytes..];
        }
        sys::wipe(&mut self.buffer[..have]);
        if self.buffer.len() > BUFFER_BYTES {
            self.buffer = vec![0; BUFFER_BYTES];
        }
        Ok(reply)
    }

    /// Makes the buffer as long as a header needs; `have` bytes of it are in use.
    fn make_room(&mut self, bytes: usize, have: usize) {
        if self.buffer.len() >= bytes {
            return;
        }
        let mut longer = vec![0; bytes];
        longer[..have].copy_from_slice(&self.buffer[..have]);
        sys::wipe(&mut self.buffer[..have]);
        self.buffer = longer;
    }

    /// Preambles, hello and welcome; the door, if one came.
    pub(crate) fn introduce(
        &mut self,
        hello: Hello,
    ) -> Result<(Welcome, Option<Socket>), NoIntroduction> {
        use NoIntroduction::{Ended, Refused};
        let ended = |_| Ended;
        let number = self.socket.number().ok_or(Ended)?;
        let hello = frame::encode(&Request::Hello(hello), 0).map_err(|_| Ended)?;
        sys::send_all(number, [&Preamble::OURS.to_bytes(), &hello, &[]]).map_err(ended)?;
        let (mut have, mut door) = (0, None);
        // A receive may end at any byte, and the door comes with one of the reply.
        while have < PREAMBLE_BYTES + LENGTHS_BYTES {
            let into = &mut self.buffer[have..];
            let (bytes, descriptor) = sys::receive_with_descriptor(number, into).map_err(ended)?;
            door = descriptor.or(door);
            have += bytes;
            let preamble = self.buffer.first_chunk().filter(|_| have >= PREAMBLE_BYTES);
            if preamble.is_some_and(|it| Preamble::parse(it) != Some(Preamble::OURS)) {
                return Err(Refused);
            }
            if bytes == 0 {
                return Err(Ended);
            }
        }
        self.buffer.copy_within(PREAMBLE_BYTES..have, 0);
        match self.rest_of_reply(number, have - PREAMBLE_BYTES, &mut Sink::None)? {
            Reply::Welcome(welcome) => Ok((welcome, door.and_then(|it| Socket::new(it).ok()))),
            _ => Err(Refused),
        }
    }
}

fn received(result: io::Result<usize>) -> Result<usize, Broken> {
    match result {
        Ok(0) | Err(_) => Err(Broken::Lost),
        Ok(bytes) => Ok(bytes),
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        sys::wipe(&mut self.buffer);
    }
}
