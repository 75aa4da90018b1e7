//! An incoming blob: a state machine that knows when it is complete and remembers why it failed.
//!
//! It does no I/O and knows neither kernel nor store: each call says what is to happen next.

use std::ffi::OsString;

use super::buffer::Buffer;
use super::node::Node;
use crate::error::{Error, IncomingError};
use crate::hsm::{self, Origin, PartitionId, SlotError, Source, Stated, Wish};
use crate::object::SlotId;

/// When the verdict is given (docs/mount.md, "Where the verdict is given").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictAt {
    /// The write that completes the blob: opened with O_EXCL or O_TRUNC, or emptied by ftruncate.
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

/// Whether the bytes are as many as they say.
fn is_complete(buffer: &Buffer) -> bool {
    let prefix = buffer.prefix();
    prefix.len() == buffer.len() && hsm::stated_length(prefix) == Stated::Bytes(prefix.len())
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
    /// Refuse with this, and write it down; it is remembered already.
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
    /// The alias that it is written under, by number and name.
    pub alias: Option<(u64, OsString)>,
    /// The partition that it was opened in, the only one that may take it.
    partition: Option<PartitionId>,
    /// The object that all of its bytes come from, as far as the kernel said so.
    origin: Option<Origin>,
    verdict_at: VerdictAt,
    /// Opened with O_EXCL: nobody who does that closes a duplicate first, so a FLUSH of nothing is the end.
    exclusive: bool,
    state: State,
    /// What has the name already, and the process that opened it for writing.
    over: Option<(Node, u32)>,
    /// That, where it is an object.
    object: Option<Object>,
    /// What the last ftruncate asked for. Tools that set the size first write afterwards; one that does not was told
    /// of no object.
    asked_length: Option<u64>,
    /// ftruncate(0) came: whoever says so by that writes everything anew and may look for errors where one looks
    /// after O_TRUNC, at the write, and nowhere else.
    emptied: bool,
    /// Whether a close was answered with its being incomplete.
    told_incomplete: bool,
    /// What fstat says of a rejected blob: the length it had, or that a later ftruncate asked for. bsdtar
    /// compares it with the archive's; where it is less, it writes a last byte, and the error of that
    /// makes it give up every member that follows.
    rejected_len: usize,
}

/// The object that a file was opened over.
#[derive(Clone, Copy)]
struct Object {
    /// The size of its blob.
    size: u64,
    /// With O_APPEND: then the kernel puts what is written behind the object's own bytes.
    appends: bool,
}

impl Incoming {
    /// For a name that exists: process `pid` opened `node`.
    pub fn over(self, node: Node, pid: u32) -> Self {
        Self {
            over: Some((node, pid)),
            ..self
        }
    }

    /// What it was opened over is an object that reads as `size` bytes; `appends` by O_APPEND.
    pub fn over_object(self, size: u64, appends: bool) -> Self {
        Self {
            object: Some(Object { size, appends }),
            ..self
        }
    }

    /// Nothing written yet.
    pub fn new(slot: SlotId, wish: Wish, verdict_at: VerdictAt, exclusive: bool) -> Self {
        Self {
            slot,
            wish,
            alias: None,
            partition: None,
            origin: None,
            verdict_at,
            exclusive,
            over: None,
            object: None,
            asked_length: None,
            emptied: false,
            state: State::Filling(Buffer::default()),
            told_incomplete: false,
            rejected_len: 0,
        }
    }

    /// What it is called where a verdict is written down; an alias is quoted and escaped, so that it forges no line.
    pub fn called(&self) -> String {
        match &self.alias {
            Some((_, name)) => format!("{name:?}"),
            None => self.wish.to_string(),
        }
    }

    /// For that partition alone.
    pub fn belonging_to(self, partition: PartitionId) -> Self {
        Self {
            partition: Some(partition),
            ..self
        }
    }

    /// The partition that it was opened in.
    pub fn partition(&self) -> Option<PartitionId> {
        self.partition
    }

    /// O_TRUNC, which the kernel says in a request of its own, after the open: whether this is the open file
    /// that `pid` just opened over `over`.
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
        match &self.state {
            State::Filling(buffer) | State::Deciding(buffer, _) | State::Stored(buffer) => {
                buffer.len()
            }
            State::Rejected { .. } => self.rejected_len,
        }
    }

    /// Notes where the next bytes come from: `None` when only their writer knows.
    pub fn comes_from(&mut self, origin: Option<Origin>) {
        self.origin = match &self.state {
            State::Filling(buffer) if buffer.len() == 0 => origin,
            _ if self.origin == origin => origin,
            _ => None,
        };
    }

    /// The object that it all came from.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Where that is.
    pub fn source(&self) -> Option<Source> {
        self.origin.map(|origin| origin.place)
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
        let verdict_at = self.verdict_at();
        let behind = |size| offset >= size && !data.is_empty();
        match &mut self.state {
            // Shells hear of it at the write or not at all.
            State::Filling(buffer)
                if !buffer.is_written()
                    && self.object.is_some_and(|it| it.appends && behind(it.size)) =>
            {
                self.refuse(hsm::too_long(self.slot).into())
            }
            State::Filling(buffer) => {
                if buffer.write(offset, data).is_err() {
                    return self.too_large();
                }
                match verdict_at {
                    VerdictAt::Write => self.weigh(false),
                    VerdictAt::Close => Step::Done,
                }
            }
            // The same bytes again change nothing; any others are not what was stored.
            State::Stored(stored) if stored.read(offset, data.len() as u64) == data => Step::Done,
            State::Stored(_) => self.refuse(hsm::too_long(self.slot).into()),
            State::Deciding(..) => Step::Wait,
            State::Rejected { errno, told } => {
                *told = None;
                Step::Fail(*errno)
            }
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
                if buffer.truncate(length).is_err() {
                    return self.too_large();
                }
                match verdict_at {
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
            State::Stored(_) => self.refuse(hsm::too_long(self.slot).into()),
            State::Deciding(..) => Step::Wait,
            State::Rejected { errno, told } => {
                self.rejected_len = usize::try_from(length).unwrap_or(usize::MAX);
                *told = None;
                Step::Fail(*errno)
            }
        }
    }

    /// FLUSH or fsync of process `pid`: repeats a verdict, or gives it when this is where it belongs.
    pub fn flush(&mut self, pid: u32, ends: Ends) -> Step {
        match &mut self.state {
            State::Filling(buffer) if !buffer.is_written() && !self.exclusive => {
                match self.only_resizes() {
                    true => Step::Fail(libc::EPERM),
                    false => Step::Done,
                }
            }
            // Not the end yet: what is not there cannot be synced, and need not be.
            State::Filling(buffer) if ends == Ends::Sync && !is_complete(buffer) => Step::Done,
            State::Filling(_) => self.weigh(true),
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

    /// The last close: what to write down of a blob that never was one, unless nothing was written at all
    /// and nobody was told so.
    pub fn release(&self) -> Option<Error> {
        match &self.state {
            State::Filling(buffer) if self.told_incomplete || buffer.is_written() => {
                Some(hsm::cut_short(self.slot, buffer.prefix()).into())
            }
            _ => None,
        }
    }

    /// Whether it was a new name, or another size was asked for, and nothing at all came of it.
    pub fn left_nothing(&self) -> bool {
        let unwritten = matches!(&self.state, State::Filling(buffer) if !buffer.is_written());
        unwritten && (self.over.is_none() || self.only_resizes())
    }

    /// Whether all that was asked for so far is that the object gets another size, which none does. Its own size is
    /// what `rsync --inplace` sets where it found nothing to write; and by O_TRUNC, as shells do it before they
    /// start what writes, none was asked for yet.
    pub fn only_resizes(&self) -> bool {
        let unwritten = matches!(&self.state, State::Filling(buffer) if !buffer.is_written());
        unwritten
            && match self.asked_length {
                None => false,
                Some(0) => self.verdict_at == VerdictAt::Close,
                Some(length) => self.object.is_none_or(|object| object.size != length),
            }
    }

    /// Whether a close would fail after an ftruncate that led to `step`, unless more is written first.
    pub fn is_left_unfinished(&self, step: &Step) -> bool {
        match step {
            Step::Done => self.only_resizes(),
            Step::Fail(_) => matches!(self.state, State::Filling(_)),
            _ => false,
        }
    }

    /// Refuses it at that ftruncate, for a process that writes no more after it.
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

    /// Whether the bytes so far make a blob: judge it; cannot make one: refuse it; may still: `Done`, or
    /// refused when this is the end.
    fn weigh(&mut self, end: bool) -> Step {
        let State::Filling(buffer) = &mut self.state else {
            return Step::Wait;
        };
        match hsm::stated_length(buffer.prefix()) {
            Stated::Bytes(stated) if buffer.len() > stated => {
                self.refuse(hsm::too_long(self.slot).into())
            }
            Stated::Bytes(stated) if buffer.prefix().len() == stated => {
                let buffer = std::mem::take(buffer);
                let blob = buffer.bytes().to_vec();
                self.state = State::Deciding(buffer, Vec::new());
                Step::Judge(blob)
            }
            Stated::NotABlob(why) => self.refuse(SlotError::Unverified(why).at(self.slot).into()),
            // It may still be completed while the file stays open: written down at the last close.
            Stated::Bytes(_) | Stated::Unknown if end => {
                self.told_incomplete = true;
                Step::Fail(libc::EACCES)
            }
            Stated::Bytes(_) | Stated::Unknown => Step::Done,
        }
    }

    fn too_large(&mut self) -> Step {
        self.refuse(IncomingError::TooLarge.at(self.slot))
    }

    /// A refusal that is repeated from now on.
    fn refuse(&mut self, why: Error) -> Step {
        self.rejected_len = self.len();
        self.state = State::rejected(why.errno());
        Step::Refuse(why)
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
            Err(errno) => {
                self.rejected_len = buffer.len();
                State::rejected(errno)
            }
        };
        waiters
    }

    /// Forgets what was handed in so far, to make room for others; what to write down, or `None` where there is
    /// nothing to forget: the slot has it by now, or said no.
    pub fn give_way(&mut self) -> Option<Error> {
        match &self.state {
            State::Filling(_) => match self.refuse(IncomingError::StagingFull.at(self.slot)) {
                Step::Refuse(why) => Some(why),
                _ => None,
            },
            State::Deciding(..) | State::Stored(_) | State::Rejected { .. } => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: u32 = 7;

    fn blob() -> Vec<u8> {
        let vectors = include_str!("../../tests/vectors/blob.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let blob = vectors["vectors"][0]["blob"].as_str().unwrap();
        data_encoding::HEXLOWER.decode(blob.as_bytes()).unwrap()
    }

    fn open(verdict_at: VerdictAt) -> Incoming {
        Incoming::new(SlotId(0), Wish::Any, verdict_at, false)
    }

    fn over(verdict_at: VerdictAt) -> Incoming {
        open(verdict_at)
            .over(Node::Object(3), WRITER)
            .over_object(500, false)
    }

    /// What the filesystem does with a step, without a slot: `Err` is what the caller hears.
    fn act(step: Step) -> Result<bool, i32> {
        match step {
            Step::Done => Ok(false),
            Step::Fail(errno) => Err(errno),
            Step::Refuse(why) => Err(why.errno()),
            Step::Judge(_) => Ok(true),
            Step::Wait => panic!("nothing is under way"),
        }
    }

    fn write(incoming: &mut Incoming, offset: u64, data: &[u8]) -> Result<bool, i32> {
        act(incoming.write(offset, data))
    }

    fn truncate(incoming: &mut Incoming, length: u64) -> Result<bool, i32> {
        act(incoming.truncate(length))
    }

    fn flush(incoming: &mut Incoming, ends: Ends) -> Result<bool, i32> {
        act(incoming.flush(WRITER, ends))
    }

    #[test]
    fn the_write_that_completes_it_brings_the_verdict_in_whatever_order() {
        let blob = blob();
        let half = blob.len() / 2;
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(write(&mut incoming, half as u64, &blob[half..]), Ok(false));
        assert_eq!(flush(&mut incoming, Ends::Sync), Ok(false));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
        assert_eq!(write(&mut incoming, 0, &blob[..half]), Ok(true));
        assert!(incoming.is_deciding());
        assert!(incoming.decided(Ok(())).is_empty());
        assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
        // The same bytes again are nothing new; others are not what was stored.
        assert_eq!(write(&mut incoming, 0, &blob), Ok(false));
        let end = blob.len() as u64;
        assert_eq!(write(&mut incoming, end, b"x"), Err(libc::EACCES));
    }

    #[test]
    fn a_rejection_is_repeated_to_everything_but_the_close_of_who_was_told() {
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(write(&mut incoming, 0, b"not a blob"), Err(libc::EACCES));
        assert_eq!(write(&mut incoming, 0, &blob()), Err(libc::EACCES));
        assert_eq!(truncate(&mut incoming, 0), Err(libc::EACCES));
        assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EACCES));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
        incoming.told(WRITER);
        assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EACCES));
        incoming.told(WRITER + 1);
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
        incoming.told(WRITER);
        assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    }

    #[test]
    fn opened_without_trunc_it_waits_for_ftruncate_or_close() {
        let blob = blob();
        let mut incoming = open(VerdictAt::Close);
        assert_eq!(write(&mut incoming, 0, &blob), Ok(false));
        assert_eq!(truncate(&mut incoming, blob.len() as u64), Ok(true));
        let mut incoming = open(VerdictAt::Close);
        assert_eq!(write(&mut incoming, 0, &blob), Ok(false));
        assert_eq!(flush(&mut incoming, Ends::Close), Ok(true));
        let mut incoming = open(VerdictAt::Close);
        assert_eq!(write(&mut incoming, 0, b"not a blob"), Ok(false));
        assert_eq!(truncate(&mut incoming, 10), Err(libc::EACCES));
        incoming.told(WRITER);
        assert_eq!(flush(&mut incoming, Ends::Sync), Ok(false));
        assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
    }

    #[test]
    fn trunc_after_the_open_moves_the_verdict_to_the_write() {
        let mut incoming = open(VerdictAt::Close).over(Node::Object(3), WRITER);
        assert!(!incoming.opened_with_trunc(Node::Object(4), WRITER));
        assert!(!incoming.opened_with_trunc(Node::Object(3), WRITER + 1));
        assert!(incoming.opened_with_trunc(Node::Object(3), WRITER));
        assert_eq!(write(&mut incoming, 0, &blob()), Ok(true));
    }

    /// A tool that opens without O_TRUNC, calls ftruncate(0), and ignores what close and ftruncate say.
    #[test]
    fn after_ftruncate_to_nothing_the_completing_write_brings_the_verdict() {
        let blob = blob();
        let mut incoming = over(VerdictAt::Close);
        assert_eq!(truncate(&mut incoming, 0), Ok(false));
        assert_eq!(write(&mut incoming, 0, &blob[..20]), Ok(false));
        assert_eq!(write(&mut incoming, 20, &blob[20..]), Ok(true));
        let mut incoming = open(VerdictAt::Close);
        assert_eq!(write(&mut incoming, 0, b"not a blob"), Ok(false));
        assert_eq!(truncate(&mut incoming, 0), Ok(false));
        assert_eq!(write(&mut incoming, 0, b"not a blob"), Err(libc::EACCES));
    }

    #[test]
    fn another_size_and_nothing_written_is_refused_where_it_ends() {
        for verdict_at in [VerdictAt::Close, VerdictAt::Write] {
            for length in [10, 499, 501, 60_000] {
                let mut incoming = over(verdict_at);
                assert_eq!(truncate(&mut incoming, length), Ok(false));
                assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EPERM));
                assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EPERM));
                assert!(incoming.release().is_none() && incoming.left_nothing());
                // Tools that set the size first.
                assert_eq!(truncate(&mut incoming, blob().len() as u64), Ok(false));
                let judged = write(&mut incoming, 0, &blob()).unwrap();
                assert!(judged || flush(&mut incoming, Ends::Close) == Ok(true));
            }
            let mut incoming = over(verdict_at);
            truncate(&mut incoming, 10).unwrap();
            truncate(&mut incoming, 500).unwrap();
            assert_eq!(flush(&mut incoming, Ends::Close), Ok(false), "its own");
            assert!(incoming.release().is_none() && !incoming.left_nothing());
        }
        let mut incoming = open(VerdictAt::Close);
        truncate(&mut incoming, 0).unwrap();
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EPERM));
    }

    #[test]
    fn what_is_appended_to_an_object_is_refused_at_the_write() {
        let mut incoming = open(VerdictAt::Write).over_object(500, true);
        assert_eq!(write(&mut incoming, 500, b"x"), Err(libc::EACCES));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(write(&mut incoming, 0, &blob()), Ok(true), "a free name");
    }

    #[test]
    fn nothing_written_is_no_verdict_unless_it_was_opened_exclusively() {
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
        assert!(incoming.release().is_none(), "there is nothing to tell");
        write(&mut incoming, 0, &blob()[..20]).unwrap();
        assert!(incoming.release().is_some());
        let mut incoming = Incoming::new(SlotId(0), Wish::Any, VerdictAt::Write, true);
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
        assert!(incoming.release().is_some());
        // Only incomplete: it may still be completed.
        assert_eq!(write(&mut incoming, 0, &blob()), Ok(true));
    }

    #[test]
    fn longer_than_it_says_or_than_any_blob() {
        let mut long = blob();
        long.push(0);
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(write(&mut incoming, 0, &long), Err(libc::EACCES));
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(write(&mut incoming, 1 << 30, b"x"), Err(libc::EFBIG));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EFBIG));
    }

    #[test]
    fn who_asks_meanwhile_hears_the_verdict() {
        let mut incoming = open(VerdictAt::Write);
        assert_eq!(write(&mut incoming, 0, &blob()), Ok(true));
        assert!(matches!(incoming.flush(WRITER, Ends::Close), Step::Wait));
        let (sender, receiver) = std::sync::mpsc::channel();
        incoming.wait(Box::new(move |verdict| sender.send(verdict).unwrap()));
        for waiter in incoming.decided(Err(libc::ENOSPC)) {
            waiter(Err(libc::ENOSPC));
        }
        assert_eq!(receiver.recv(), Ok(Err(libc::ENOSPC)));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::ENOSPC));
    }
}
