//! Frames over a socket: bounded, wiped, and one system call each way for small ones.
//!
//! The other side may hold the same socket, and may switch it to non-blocking at any time. So a wait with a time limit is
//! always poll(2), and an "again" where none was asked for is answered by a wait.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{PREAMBLE_BYTES, Reply};

use super::budget::{Budget, SMALL_BYTES, Taken};

/// How long a frame that has begun may take to arrive, and a reply to be fetched.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection is looked at for a next frame before its thread sleeps.
const MOMENT: Duration = Duration::from_micros(50);
/// The buffer of a connection that has sent small frames alone.
const FIRST_BYTES: usize = 8 << 10;

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
}

impl<'a> Frames<'a> {
    pub(crate) fn new(stream: &'a UnixStream) -> Self {
        Self {
            stream,
            buffer: vec![0; FIRST_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// The preamble of the other side.
    pub(crate) fn preamble(&mut self, deadline: Instant) -> io::Result<[u8; PREAMBLE_BYTES]> {
        self.fill(PREAMBLE_BYTES, Some(deadline))?;
        let mut preamble = [0; PREAMBLE_BYTES];
        preamble.copy_from_slice(&self.buffer[self.start..self.start + PREAMBLE_BYTES]);
        self.start += PREAMBLE_BYTES;
        Ok(preamble)
    }

    /// The next frame, with the memory that it takes; `None` at the end of the connection. The first byte is waited for as
    /// long as it takes, or until `deadline`. [`Self::forget`] must be called once the frame is used.
    pub(crate) fn next<'b>(
        &mut self,
        budget: &'b Budget,
        uid: u32,
        deadline: Option<Instant>,
    ) -> io::Result<Option<(Frame<'_>, Taken<'b>)>> {
        if deadline.is_none() {
            self.look()?;
        }
        match self.fill(1, deadline) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let deadline = Instant::now() + FRAME_TIMEOUT;
        self.fill(LENGTHS_BYTES, Some(deadline))?;
        let mut lengths = [0; LENGTHS_BYTES];
        lengths.copy_from_slice(&self.buffer[self.start..self.start + LENGTHS_BYTES]);
        let Lengths { header, data } = Lengths::parse(lengths).map_err(io::Error::other)?;
        let whole = LENGTHS_BYTES + header + data;
        let memory = budget.take(uid, whole, deadline);
        let memory = memory.ok_or(ErrorKind::TimedOut)?;
        self.fill(whole, Some(deadline))?;
        let start = self.start + LENGTHS_BYTES;
        self.start += whole;
        let (header, data) = self.buffer[start..start + header + data].split_at(header);
        Ok(Some((Frame { header, data }, memory)))
    }

    /// Forgets the frame before: it may have held a PIN or a key. The memory of a large one is given back.
    pub(crate) fn forget(&mut self) {
        let rest = self.end - self.start;
        if rest == 0 {
            slotfs_crypto::wipe(&mut self.buffer[..self.end]);
        } else {
            self.buffer.copy_within(self.start..self.end, 0);
            slotfs_crypto::wipe(&mut self.buffer[rest..self.end]);
        }
        (self.start, self.end) = (0, rest);
        if self.buffer.len() > SMALL_BYTES && rest <= FIRST_BYTES {
            self.resize(FIRST_BYTES);
        }
    }

    /// Gives the buffer another size. No copy of its bytes stays behind, as it would where a vector grows.
    fn resize(&mut self, bytes: usize) {
        let mut new = vec![0; bytes];
        new[..self.end].copy_from_slice(&self.buffer[..self.end]);
        slotfs_crypto::wipe(&mut self.buffer[..self.end]);
        self.buffer = new;
    }

    /// Receives what comes very soon. Many clients come back as soon as they have their answer, and it takes long to wake a
    /// thread that sleeps; everybody else runs in between (`scripts/bench --only pkcs11`).
    fn look(&mut self) -> io::Result<()> {
        if self.end > self.start || self.buffer.len() == self.end {
            return Ok(());
        }
        let began = Instant::now();
        while began.elapsed() < MOMENT {
            let room = &mut self.buffer[self.end..];
            match recv(self.stream, room, RecvFlags::DONTWAIT) {
                // Its end is seen where it is waited for.
                Ok((_, received)) => {
                    self.end += received;
                    return Ok(());
                }
                Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives until `bytes` bytes of the next frame are there.
    fn fill(&mut self, bytes: usize, deadline: Option<Instant>) -> io::Result<()> {
        let needed = self.start + bytes;
        if self.buffer.len() < needed {
            // Large frames get what they need, small ones room for the next one too.
            self.resize(needed.max(self.buffer.len().saturating_mul(2).min(SMALL_BYTES)));
        }
        while self.end - self.start < bytes {
            let room = &mut self.buffer[self.end..];
            let received = match deadline {
                None => {
                    let mut stream = self.stream;
                    stream.read(room)
                }
                // Who sends a byte at a time never makes it wait.
                Some(deadline) if deadline <= Instant::now() => Err(ErrorKind::TimedOut.into()),
                Some(_) => recv(self.stream, room, RecvFlags::DONTWAIT)
                    .map(|(_, received)| received)
                    .map_err(io::Error::from),
            };
            match received {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(received) => self.end += received,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN, deadline)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the socket can be read or written, or its other end is gone.
    fn wait(&self, what: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut polled = [PollFd::new(self.stream, what)];
            match poll(&mut polled, timeout.as_ref()) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a reply with its data, and a descriptor with its first byte where there is one.
    pub(crate) fn send(
        &self,
        reply: &Reply,
        data: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
        budget: &Budget,
        uid: u32,
    ) -> io::Result<()> {
        let header = frame::encode(reply, data.len()).map_err(io::Error::other)?;
        let whole = header.len() + data.len();
        let mut sent = 0;
        let mut slow = None;
        while sent < whole {
            let rest = [
                IoSlice::new(header.get(sent..).unwrap_or_default()),
                IoSlice::new(&data[sent.saturating_sub(header.len())..]),
            ];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors;
            if sent == 0
                && let Some(descriptor) = descriptor
            {
                descriptors = [descriptor];
                control.push(SendAncillaryMessage::ScmRights(&descriptors));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(self.stream.as_fd(), &rest, &mut control, flags) {
                Ok(bytes) => sent += bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // A reply that nobody fetches is memory that somebody takes.
                    let (deadline, _memory) = match &mut slow {
                        Some(slow) => slow,
                        none => {
                            let taken = budget.take_for_reply(uid, whole);
                            let taken = taken.ok_or(ErrorKind::OutOfMemory)?;
                            none.insert((Instant::now() + FRAME_TIMEOUT, taken))
                        }
                    };
                    if *deadline <= Instant::now() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    self.wait(PollFlags::OUT, Some(*deadline))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        slotfs_crypto::wipe(&mut self.buffer[..self.end]);
    }
}
