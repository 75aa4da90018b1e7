//! Frames over a socket: bounded, wiped, and one system call each way for small ones.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{PREAMBLE_BYTES, Reply};
use zeroize::Zeroize;

use super::budget::{Budget, SMALL_BYTES, Taken};

/// How long a frame that has begun may take to arrive, and a reply to be fetched.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a socket waits in one system call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, as frames.
pub(crate) struct Frames<'a> {
    stream: &'a UnixStream,
    /// What was received and not used yet is at `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// A frame that was received, in the buffer of its connection.
pub(crate) struct Frame<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) data: &'a [u8],
    _memory: Taken<'a>,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(stream: &'a UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        stream.set_write_timeout(Some(FRAME_TIMEOUT))?;
        Ok(Self {
            stream,
            buffer: vec![0; SMALL_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// The preamble of the other side.
    pub(crate) fn preamble(&mut self) -> io::Result<[u8; PREAMBLE_BYTES]> {
        self.fill(PREAMBLE_BYTES, Some(Instant::now() + FRAME_TIMEOUT))?;
        let mut preamble = [0; PREAMBLE_BYTES];
        preamble.copy_from_slice(&self.buffer[self.start..self.start + PREAMBLE_BYTES]);
        self.start += PREAMBLE_BYTES;
        Ok(preamble)
    }

    /// The next frame; `None` at the end of the connection. Before its first byte it waits as long as it takes, or until
    /// `deadline`.
    pub(crate) fn next<'b>(
        &'b mut self,
        budget: &'b Budget,
        deadline: Option<Instant>,
    ) -> io::Result<Option<Frame<'b>>> {
        self.wipe();
        match self.fill(1, deadline) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let deadline = Some(Instant::now() + FRAME_TIMEOUT);
        self.fill(LENGTHS_BYTES, deadline)?;
        let mut lengths = [0; LENGTHS_BYTES];
        lengths.copy_from_slice(&self.buffer[self.start..self.start + LENGTHS_BYTES]);
        let Lengths { header, data } = Lengths::parse(lengths).map_err(io::Error::other)?;
        let whole = LENGTHS_BYTES + header + data;
        let memory = budget.take(whole);
        self.fill(whole, deadline)?;
        let start = self.start + LENGTHS_BYTES;
        self.start += whole;
        let (header, data) = self.buffer[start..start + header + data].split_at(header);
        Ok(Some(Frame {
            header,
            data,
            _memory: memory,
        }))
    }

    /// Forgets the frame before: it may have held a PIN or a key. Memory of a large one is given back.
    fn wipe(&mut self) {
        if self.start > 0 {
            let rest = self.end - self.start;
            // Only what a frame was in, not the whole buffer.
            if self.start <= SMALL_BYTES {
                self.buffer[..self.start].zeroize();
            } else {
                slotfs_crypto::wipe(&mut self.buffer[..self.start]);
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, rest);
        }
        if self.buffer.len() > SMALL_BYTES && self.end <= SMALL_BYTES {
            self.buffer.truncate(SMALL_BYTES);
            self.buffer.shrink_to_fit();
        }
    }

    /// Receives until `bytes` bytes of the next frame are there.
    fn fill(&mut self, bytes: usize, deadline: Option<Instant>) -> io::Result<()> {
        if self.buffer.len() < self.start + bytes {
            self.buffer.resize(self.start + bytes, 0);
        }
        while self.end - self.start < bytes {
            let mut stream = self.stream;
            match stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(received) => self.end += received,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a reply with its data, and a descriptor with its first byte where there is one.
    pub(crate) fn send(
        &self,
        reply: &Reply,
        data: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let header = frame::encode(reply, data.len()).map_err(io::Error::other)?;
        let whole = header.len() + data.len();
        let mut sent = 0;
        while sent < whole {
            let rest = [
                IoSlice::new(header.get(sent..).unwrap_or_default()),
                IoSlice::new(&data[sent.saturating_sub(header.len())..]),
            ];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors;
            if sent == 0
                && let Some(descriptor) = descriptor
            {
                descriptors = [descriptor];
                control.push(SendAncillaryMessage::ScmRights(&descriptors));
            }
            match sendmsg(
                self.stream.as_fd(),
                &rest,
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Ok(bytes) => sent += bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        slotfs_crypto::wipe(&mut self.buffer);
    }
}
