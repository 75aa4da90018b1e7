//! An incoming blob: a state machine that knows when it is complete and remembers why it failed.
//!
//! It does no I/O and knows neither kernel nor store: each call says what is to happen next.

use super::buffer::Buffer;
use super::name::Wish;
use crate::error::Error;
use crate::hsm::{self, Source, Stated};
use crate::object::SlotId;

/// When the verdict is given (DESIGN.md 2, "Where the verdict is given").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictAt {
    /// The write that completes the blob: opened with O_EXCL or O_TRUNC.
    Write,
    /// ftruncate to the length written, else FLUSH: opened with neither.
    Close,
}

/// What sent a request that ends a file's writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// close(2)
    Close,
    /// fsync(2)
    Sync,
}

impl VerdictAt {
    /// Whether who was told the rejection is spared its repetition. `rsync --inplace --fsync` gives up its
    /// run at a failing fsync as it does at a failing close.
    fn spares(self, ends: Ends) -> bool {
        ends == Ends::Close || self == Self::Close
    }
}

/// Called once the verdict is in: 0, or the errno.
pub type Waiter = Box<dyn FnOnce(Result<(), i32>) + Send>;

/// What a request on an incoming blob leads to.
#[derive(Debug)]
pub enum Step {
    /// Answer with success.
    Done,
    /// Answer with this errno, which was said before.
    Fail(i32),
    /// Refuse with this, and write it down.
    Refuse(Error),
    /// Ask the slot: the state is now waiting for [`Incoming::decided`].
    Judge(Vec<u8>),
    /// The verdict is under way: queue up with [`Incoming::wait`].
    Wait,
}

enum State {
    Filling(Buffer),
    /// The blob is with the slot; others who asked meanwhile wait.
    Deciding(Buffer, Vec<Waiter>),
    /// Stored as these bytes.
    Stored(Buffer),
    /// Repeated to every later request; but see [`Incoming::told`].
    Rejected {
        errno: i32,
        /// The process that was told so in a way that no tool misses, when nothing was asked since.
        told: Option<u32>,
    },
}

impl State {
    fn rejected(errno: i32) -> Self {
        Self::Rejected { errno, told: None }
    }
}

/// One file open for writing under a handle name.
pub struct Incoming {
    /// The slot that is to take it.
    pub slot: SlotId,
    /// What it is to be called.
    pub wish: Wish,
    /// Where its bytes come from, when the kernel said so.
    pub source: Option<Source>,
    verdict_at: VerdictAt,
    /// Opened with O_EXCL: nobody who does that closes a duplicate first, so a FLUSH of nothing is the end.
    exclusive: bool,
    state: State,
    /// Whether being incomplete was already written down.
    noted: bool,
}

impl Incoming {
    /// Nothing written yet.
    pub fn new(slot: SlotId, wish: Wish, verdict_at: VerdictAt, exclusive: bool) -> Self {
        Self {
            slot,
            wish,
            source: None,
            verdict_at,
            exclusive,
            state: State::Filling(Buffer::default()),
            noted: false,
        }
    }

    /// Bytes handed in so far.
    pub fn len(&self) -> usize {
        match &self.state {
            State::Filling(buffer) | State::Deciding(buffer, _) | State::Stored(buffer) => {
                buffer.len()
            }
            State::Rejected { .. } => 0,
        }
    }

    /// What was written at `offset`, for a descriptor that also reads.
    pub fn read(&self, offset: u64, size: u64) -> Result<&[u8], i32> {
        match &self.state {
            State::Filling(buffer) | State::Deciding(buffer, _) | State::Stored(buffer) => {
                Ok(buffer.read(offset, size))
            }
            State::Rejected { errno, .. } => Err(*errno),
        }
    }

    /// A write, or a copy_file_range.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Step {
        match &mut self.state {
            State::Filling(buffer) => {
                if buffer.write(offset, data).is_err() {
                    return self.too_large();
                }
                match self.verdict_at {
                    VerdictAt::Write => self.weigh(false),
                    VerdictAt::Close => Step::Done,
                }
            }
            // The same bytes again change nothing; any others are not what was stored.
            State::Stored(stored) if stored.read(offset, data.len() as u64) == data => Step::Done,
            State::Stored(_) => Step::Refuse(hsm::too_long(self.slot)),
            State::Deciding(..) => Step::Wait,
            State::Rejected { errno, told } => {
                *told = None;
                Step::Fail(*errno)
            }
        }
    }

    /// ftruncate, and O_TRUNC with 0.
    pub fn truncate(&mut self, length: u64) -> Step {
        match &mut self.state {
            State::Filling(buffer) => {
                let to_written = length > 0 && buffer.is_written() && length == buffer.len() as u64;
                if buffer.truncate(length).is_err() {
                    return self.too_large();
                }
                match self.verdict_at {
                    VerdictAt::Write => self.weigh(false),
                    VerdictAt::Close if to_written => self.weigh(true),
                    VerdictAt::Close => Step::Done,
                }
            }
            State::Stored(_) if length == 0 => {
                self.state = State::Filling(Buffer::default());
                Step::Done
            }
            State::Stored(stored) if stored.len() as u64 == length => Step::Done,
            State::Stored(_) => Step::Refuse(hsm::too_long(self.slot)),
            State::Deciding(..) => Step::Wait,
            State::Rejected { errno, told } => {
                *told = None;
                Step::Fail(*errno)
            }
        }
    }

    /// FLUSH or fsync of process `pid`: repeats a verdict, or gives it when this is where it belongs.
    pub fn flush(&mut self, pid: u32, ends: Ends) -> Step {
        match &mut self.state {
            State::Filling(buffer) if !buffer.is_written() && !self.exclusive => Step::Done,
            State::Filling(_) => match self.weigh(true) {
                // It may still be completed while the file stays open: written down once.
                Step::Refuse(_) if self.noted => Step::Fail(libc::EACCES),
                step => step,
            },
            State::Deciding(..) => Step::Wait,
            State::Stored(_) => Step::Done,
            State::Rejected { told, .. } if *told == Some(pid) && self.verdict_at.spares(ends) => {
                if ends == Ends::Close {
                    *told = None;
                }
                Step::Done
            }
            State::Rejected { errno, told } => {
                *told = None;
                Step::Fail(*errno)
            }
        }
    }

    /// The last close: what to write down of a blob that never was one, unless that was done.
    pub fn release(&mut self) -> Option<Error> {
        match &self.state {
            State::Filling(buffer) if !self.noted => {
                Some(hsm::cut_short(self.slot, buffer.prefix(), buffer.len()))
            }
            _ => None,
        }
    }

    /// Whether the bytes so far make a blob: judge it; cannot make one: refuse it; may still: `Done`, or
    /// refused when this is the end.
    fn weigh(&mut self, end: bool) -> Step {
        let State::Filling(buffer) = &mut self.state else {
            return Step::Wait;
        };
        match hsm::stated_length(buffer.prefix()) {
            Stated::Bytes(stated) if buffer.len() > stated => {
                Step::Refuse(hsm::too_long(self.slot))
            }
            Stated::Bytes(stated) if buffer.prefix().len() == stated => {
                let buffer = std::mem::take(buffer);
                let blob = buffer.bytes().to_vec();
                self.state = State::Deciding(buffer, Vec::new());
                Step::Judge(blob)
            }
            Stated::NotABlob(why) => Step::Refuse(Error::Unverified {
                slot: self.slot,
                why,
            }),
            Stated::Bytes(_) | Stated::Unknown if end => {
                Step::Refuse(hsm::cut_short(self.slot, buffer.prefix(), buffer.len()))
            }
            Stated::Bytes(_) | Stated::Unknown => Step::Done,
        }
    }

    fn too_large(&self) -> Step {
        Step::Refuse(Error::BlobTooLarge { slot: self.slot })
    }

    /// Remembers a refusal: sticky, except that a blob which is only incomplete may still be completed.
    pub fn refused(&mut self, why: &Error, at_flush: bool) {
        self.noted = true;
        let incomplete = matches!(&self.state, State::Filling(buffer)
            if at_flush && matches!(hsm::stated_length(buffer.prefix()),
                Stated::Unknown | Stated::Bytes(_)));
        if !incomplete {
            self.state = State::rejected(why.errno());
        }
    }

    /// A copy_file_range or ftruncate of process `pid` was answered with the rejection. If the same process
    /// now closes the file, it has nothing to learn from hearing it again: cp would print a second message
    /// for the same object, and rsync --inplace would give up its whole run. Anything else it asks, and
    /// any other process, hears it again.
    pub fn told(&mut self, pid: u32) {
        if let State::Rejected { told, .. } = &mut self.state {
            *told = Some(pid);
        }
    }

    /// Takes the slot's verdict; who waited for it.
    pub fn decided(&mut self, verdict: Result<(), i32>) -> Vec<Waiter> {
        let state = std::mem::replace(&mut self.state, State::rejected(libc::EIO));
        let State::Deciding(buffer, waiters) = state else {
            self.state = state;
            return Vec::new();
        };
        self.state = match verdict {
            Ok(()) => State::Stored(buffer),
            Err(errno) => State::rejected(errno),
        };
        waiters
    }

    /// Whether the slot has the blob and has not answered yet.
    pub fn is_deciding(&self) -> bool {
        matches!(self.state, State::Deciding(..))
    }

    /// Queues a request until the verdict is in.
    pub fn wait(&mut self, waiter: Waiter) {
        match &mut self.state {
            State::Deciding(_, waiters) => waiters.push(waiter),
            // Cannot be: Step::Wait is only said while deciding, under the same lock.
            _ => waiter(Err(libc::EIO)),
        }
    }
}
