//! An incoming blob: a state machine that knows when the blob is complete and remembers why it was rejected.
//!
//! It does no I/O and knows neither the kernel nor the store: each call returns the next [`Step`].

use super::buffer::Buffer;
use super::node::Node;
use crate::error::{Error, IncomingError};
use crate::hsm::{self, Origin, SlotError, Stated};
use crate::object::SlotId;

mod file;
#[cfg(test)]
mod tests;

pub use file::IncomingFile;

/// When the verdict is given (docs/mount.md, "Where the verdict is given").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictAt {
    /// At the write that completes the blob: opened with O_EXCL or O_TRUNC, or emptied by ftruncate.
    Write,
    /// At an ftruncate to the length written, else at FLUSH: opened with neither.
    Close,
}

/// The request that ends the writing of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// close(2)
    Close,
    /// fsync(2)
    Sync,
}

impl VerdictAt {
    /// Whether a process that has seen the rejection gets success from this request. Like a failed close, a failed fsync
    /// ends the whole run of `rsync --inplace --fsync`.
    fn spares(self, ends: Ends) -> bool {
        ends == Ends::Close || self == Self::Close
    }
}

/// Called once the verdict is known.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// What to do next for a request on an incoming blob.
#[derive(Debug)]
pub enum Step {
    /// Answer with success.
    Done,
    /// Answer with this errno. It is in the log, or needs no entry.
    Fail(i32),
    /// Answer with this error and log it. The rejection is remembered already.
    Refuse(Error),
    /// Hand the blob to the slot, then call [`Incoming::decided`].
    Submit(Vec<u8>),
    /// The slot has the blob: call [`Incoming::wait`] under the same lock.
    Wait,
}

enum State {
    Filling(Buffer),
    /// The slot has the blob. Requests that came meanwhile wait.
    Deciding(Buffer, Vec<Waiter>),
    /// Stored as these bytes.
    Stored(Buffer),
    /// Repeated to every later request, except as [`Incoming::rejection_seen_by`] says.
    Rejected {
        errno: i32,
        /// The process that saw the rejection where every tool looks for it, if it has asked for nothing since.
        seen_by: Option<u32>,
    },
}

impl State {
    fn rejected(errno: i32) -> Self {
        Self::Rejected {
            errno,
            seen_by: None,
        }
    }

    /// The bytes handed in; `Err` holds the errno of the rejection.
    fn buffer(&self) -> Result<&Buffer, i32> {
        match self {
            Self::Filling(buffer) | Self::Deciding(buffer, _) | Self::Stored(buffer) => Ok(buffer),
            Self::Rejected { errno, .. } => Err(*errno),
        }
    }
}

/// The state of one file open for writing.
pub struct Incoming {
    slot: SlotId,
    /// The object that all the bytes come from, as far as the kernel said.
    origin: Option<Origin>,
    verdict_at: VerdictAt,
    /// Opened with O_EXCL. Programs that do so do not close a duplicate first, so a FLUSH with nothing written is the end.
    exclusive: bool,
    state: State,
    /// What had the name at the open, and the process that opened it.
    over: Option<(Node, u32)>,
    /// The object that had the name, if one had.
    object: Option<Object>,
    /// The length of the last ftruncate. Some tools set the length first and write afterwards; a tool that does not write
    /// gets no object.
    asked_length: Option<u64>,
    /// ftruncate(0) came. As after O_TRUNC, the program writes everything anew, and may look for errors at the write and
    /// nowhere else.
    emptied: bool,
    /// A close was answered with "incomplete".
    told_incomplete: bool,
    /// The length that fstat shows of a rejected blob: its own, or that of a later ftruncate. bsdtar compares the length
    /// with the archive's. If it is less, bsdtar writes a last byte, and the error of that ends its whole run.
    rejected_len: usize,
}

/// The object that a file was opened over.
#[derive(Clone, Copy)]
struct Object {
    /// The size of its blob.
    size: u64,
    /// Opened with O_APPEND: the kernel puts what is written behind the object's bytes.
    appends: bool,
}

impl Incoming {
    /// Nothing written yet.
    pub fn new(slot: SlotId, verdict_at: VerdictAt, exclusive: bool) -> Self {
        Self {
            slot,
            origin: None,
            verdict_at,
            exclusive,
            state: State::Filling(Buffer::default()),
            over: None,
            object: None,
            asked_length: None,
            emptied: false,
            told_incomplete: false,
            rejected_len: 0,
        }
    }

    /// For a name that exists: process `pid` opened `node`.
    pub fn over(mut self, node: Node, pid: u32) -> Self {
        self.over = Some((node, pid));
        self
    }

    /// Whether it was opened over `node`.
    pub fn is_over(&self, node: Node) -> bool {
        self.over.is_some_and(|(over, _)| over == node)
    }

    /// For the name of an object of `size` bytes; `appends` if opened with O_APPEND.
    pub fn over_object(mut self, size: u64, appends: bool) -> Self {
        self.object = Some(Object { size, appends });
        self
    }

    /// The slot that is to take the blob.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// O_TRUNC, which the kernel sends in a request of its own after the open. Returns whether this is the file that
    /// `pid` just opened over `over`.
    pub fn opened_with_trunc(&mut self, over: Node, pid: u32) -> bool {
        let fresh = matches!(&self.state, State::Filling(buffer) if buffer.len() == 0);
        let ours = fresh && self.over == Some((over, pid));
        if ours {
            self.verdict_at = VerdictAt::Write;
        }
        ours
    }

    /// Bytes handed in so far.
    pub fn len(&self) -> usize {
        self.state.buffer().map_or(self.rejected_len, Buffer::len)
    }

    /// Notes the object that the next bytes come from; `None` if only the writer knows.
    pub fn comes_from(&mut self, origin: Option<Origin>) {
        self.origin = match &self.state {
            State::Filling(buffer) if buffer.len() == 0 => origin,
            _ if self.origin == origin => origin,
            _ => None,
        };
    }

    /// The object that all the bytes came from.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// What was written at `offset`, for a descriptor that also reads.
    ///
    /// # Errors
    /// The errno of the rejection.
    pub fn read(&self, offset: u64, size: u64) -> Result<&[u8], i32> {
        Ok(self.state.buffer()?.read(offset, size))
    }

    /// A write, or a copy_file_range.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Step {
        let verdict_at = self.verdict_at();
        let appended = |it: Object| it.appends && offset >= it.size && !data.is_empty();
        match &mut self.state {
            // A shell sees an error at the write or not at all.
            State::Filling(buffer) if !buffer.is_written() && self.object.is_some_and(appended) => {
                self.refuse(hsm::too_long(self.slot).into())
            }
            State::Filling(buffer) => match (buffer.write(offset, data), verdict_at) {
                (Err(_), _) => self.refuse_too_large(),
                (Ok(()), VerdictAt::Write) => self.check_length(false),
                (Ok(()), VerdictAt::Close) => Step::Done,
            },
            // The same bytes again change nothing; other bytes are not what was stored.
            State::Stored(stored) if stored.read(offset, data.len() as u64) == data => Step::Done,
            State::Stored(_) => self.refuse(hsm::too_long(self.slot).into()),
            State::Deciding(..) => Step::Wait,
            State::Rejected { .. } => self.repeat_rejection(),
        }
    }

    /// ftruncate, and O_TRUNC with 0.
    pub fn truncate(&mut self, length: u64) -> Step {
        if matches!(self.state, State::Filling(_) | State::Stored(_)) {
            self.asked_length = Some(length);
            self.emptied |= length == 0;
        }
        let verdict_at = self.verdict_at();
        match &mut self.state {
            State::Filling(buffer) => {
                let to_written = length > 0 && buffer.is_written() && length == buffer.len() as u64;
                match (buffer.truncate(length), verdict_at) {
                    (Err(_), _) => self.refuse_too_large(),
                    (Ok(()), VerdictAt::Write) => self.check_length(false),
                    (Ok(()), VerdictAt::Close) if to_written => self.check_length(true),
                    (Ok(()), VerdictAt::Close) => Step::Done,
                }
            }
            State::Stored(_) if length == 0 => {
                self.state = State::Filling(Buffer::default());
                Step::Done
            }
            State::Stored(stored) if stored.len() as u64 == length => Step::Done,
            State::Stored(_) => self.refuse(hsm::too_long(self.slot).into()),
            State::Deciding(..) => Step::Wait,
            State::Rejected { .. } => {
                self.rejected_len = usize::try_from(length).unwrap_or(usize::MAX);
                self.repeat_rejection()
            }
        }
    }

    /// FLUSH or fsync of process `pid`: repeats a verdict, or asks for it where this is the place to.
    pub fn flush(&mut self, pid: u32, ends: Ends) -> Step {
        match &mut self.state {
            State::Filling(buffer) if !buffer.is_written() && !self.exclusive => {
                match self.only_resizes() {
                    true => Step::Fail(libc::EPERM),
                    false => Step::Done,
                }
            }
            // An fsync is not the end: an incomplete blob may still be completed.
            State::Filling(_) => self.check_length(ends == Ends::Close),
            State::Deciding(..) => Step::Wait,
            State::Stored(_) => Step::Done,
            State::Rejected { seen_by, .. }
                if *seen_by == Some(pid) && self.verdict_at.spares(ends) =>
            {
                if ends == Ends::Close {
                    *seen_by = None;
                }
                Step::Done
            }
            State::Rejected { .. } => self.repeat_rejection(),
        }
    }

    /// The last close: why the bytes are no blob. `None` if there is nothing to log: nothing was written and no request was
    /// answered with "incomplete".
    pub fn release(&self) -> Option<Error> {
        match &self.state {
            State::Filling(buffer) if self.told_incomplete || buffer.is_written() => {
                Some(hsm::cut_short(self.slot, buffer.prefix()).into())
            }
            _ => None,
        }
    }

    fn is_unwritten(&self) -> bool {
        matches!(&self.state, State::Filling(buffer) if !buffer.is_written())
    }

    /// Whether nothing was written under a new name, or only another size was asked for.
    pub fn left_nothing(&self) -> bool {
        self.is_unwritten() && (self.over.is_none() || self.only_resizes())
    }

    /// Whether the only change so far is that the object would get another size, which is not possible. `rsync --inplace`
    /// sets the object's own size where it found nothing to write. O_TRUNC does not count either: shells use it before
    /// they start the program that writes.
    pub fn only_resizes(&self) -> bool {
        self.is_unwritten()
            && match self.asked_length {
                None => false,
                Some(0) => self.verdict_at == VerdictAt::Close,
                Some(length) => self.object.is_none_or(|object| object.size != length),
            }
    }

    /// Whether a close after an ftruncate that led to `step` would fail if nothing more is written.
    pub fn is_left_unfinished(&self, step: &Step) -> bool {
        match step {
            Step::Done => self.only_resizes(),
            Step::Fail(_) => matches!(self.state, State::Filling(_)),
            _ => false,
        }
    }

    /// Refuses the blob at that ftruncate, for a process that writes no more after it.
    pub fn refuse_unfinished(&mut self) -> Step {
        let why = match &self.state {
            State::Filling(buffer) if buffer.is_written() => {
                hsm::cut_short(self.slot, buffer.prefix()).into()
            }
            _ => Error::NotSupported {
                what: "another size for an object",
            },
        };
        self.refuse(why)
    }

    fn verdict_at(&self) -> VerdictAt {
        match self.emptied {
            true => VerdictAt::Write,
            false => self.verdict_at,
        }
    }

    /// Compares the bytes so far with the length that the blob states. Submits a complete blob, refuses bytes that cannot
    /// become one; an incomplete blob fails if this is the `end`.
    fn check_length(&mut self, end: bool) -> Step {
        let State::Filling(buffer) = &mut self.state else {
            return Step::Fail(libc::EIO);
        };
        match buffer.stated_length() {
            Stated::Bytes(stated) if buffer.len() > stated => {
                self.refuse(hsm::too_long(self.slot).into())
            }
            Stated::Bytes(stated) if buffer.prefix().len() == stated => {
                let buffer = std::mem::take(buffer);
                let blob = buffer.bytes().to_vec();
                self.state = State::Deciding(buffer, Vec::new());
                Step::Submit(blob)
            }
            Stated::NotABlob(why) => self.refuse(SlotError::Unverified(why).at(self.slot).into()),
            // It may be completed while the file stays open. The last close logs it.
            Stated::Bytes(_) | Stated::Unknown if end => {
                self.told_incomplete = true;
                Step::Fail(libc::EACCES)
            }
            Stated::Bytes(_) | Stated::Unknown => Step::Done,
        }
    }

    fn refuse_too_large(&mut self) -> Step {
        self.refuse(IncomingError::TooLarge.at(self.slot))
    }

    fn refuse(&mut self, why: Error) -> Step {
        self.reject(&why);
        Step::Refuse(why)
    }

    /// Rejects the blob: later requests get the same errno.
    fn reject(&mut self, why: &Error) {
        self.rejected_len = self.len();
        self.state = State::rejected(why.errno());
    }

    fn repeat_rejection(&mut self) -> Step {
        match &mut self.state {
            State::Rejected { errno, seen_by } => {
                *seen_by = None;
                Step::Fail(*errno)
            }
            _ => Step::Fail(libc::EIO),
        }
    }

    /// Process `pid` saw the rejection in the answer to a copy_file_range or an ftruncate. If its next request is a close,
    /// the close succeeds: otherwise cp would print a second message for the object, and rsync --inplace would end its
    /// whole run. Any other request, and every other process, gets the rejection.
    pub fn rejection_seen_by(&mut self, pid: u32) {
        if let State::Rejected { seen_by, .. } = &mut self.state {
            *seen_by = Some(pid);
        }
    }

    /// Stores the slot's verdict and returns the requests that waited for it.
    pub fn decided(&mut self, verdict: Result<(), i32>) -> Vec<Waiter> {
        let state = std::mem::replace(&mut self.state, State::rejected(libc::EIO));
        let State::Deciding(buffer, waiters) = state else {
            self.state = state;
            return Vec::new();
        };
        self.state = match verdict {
            Ok(()) => State::Stored(buffer),
            Err(errno) => {
                self.rejected_len = buffer.len();
                State::rejected(errno)
            }
        };
        waiters
    }

    /// Drops the bytes to make room for other files, and returns the error to log. `None` if the slot has the blob or
    /// rejected it.
    pub fn give_way(&mut self) -> Option<Error> {
        let why = IncomingError::StagingFull.at(self.slot);
        let filling = matches!(self.state, State::Filling(_));
        filling.then(|| {
            self.reject(&why);
            why
        })
    }

    /// Whether there is no verdict yet.
    pub fn is_coming(&self) -> bool {
        matches!(self.state, State::Filling(_) | State::Deciding(..))
    }

    /// Whether the slot stored the blob.
    pub fn is_stored(&self) -> bool {
        matches!(self.state, State::Stored(_))
    }

    /// Whether the slot has the blob and has not answered yet.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn is_deciding(&self) -> bool {
        matches!(self.state, State::Deciding(..))
    }

    /// Queues a request until the verdict is known. A waiter that cannot be queued is dropped, and its request answered
    /// with EIO.
    pub fn wait(&mut self, waiter: Waiter) {
        if let State::Deciding(_, waiters) = &mut self.state {
            waiters.push(waiter);
        }
    }
}
