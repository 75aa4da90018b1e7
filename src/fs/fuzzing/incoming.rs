//! Requests on one open file under a handle name, in any order, against what docs/mount.md says of them.

use super::super::incoming::{Ends, Incoming, Step, VerdictAt};
use super::super::node::Node;
use crate::fuzzing::Input;
use crate::hsm::{MAX_BLOB_BYTES, Stated, stated_length};
use crate::object::{RowId, SlotId};

const OVER: Node = Node::Object(RowId(7));
/// The size of what it was opened over.
const SIZE: u64 = 100;
const OPENER: u32 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Filling,
    Deciding,
    Stored,
    Rejected(i32),
}

/// What has been asked so far, as simply as it can be kept.
struct Model {
    state: State,
    /// `None` was never written.
    bytes: Vec<Option<u8>>,
    verdict_at: VerdictAt,
    exclusive: bool,
    told_incomplete: bool,
    /// What the last ftruncate asked for.
    asked: Option<u64>,
    /// One asked for 0.
    emptied: bool,
    /// Opened with O_APPEND over an object.
    appends: bool,
}

impl Model {
    fn content(&self) -> Vec<u8> {
        self.bytes.iter().map(|byte| byte.unwrap_or(0)).collect()
    }

    /// What is there without a gap.
    fn start(&self) -> Vec<u8> {
        self.bytes.iter().map_while(|byte| *byte).collect()
    }

    fn is_complete(&self) -> bool {
        let start = self.start();
        start.len() == self.bytes.len() && stated_length(&start) == Stated::Bytes(start.len())
    }

    fn is_written(&self) -> bool {
        self.bytes.iter().any(Option::is_some)
    }

    fn asks_at_write(&self) -> bool {
        self.emptied || self.verdict_at == VerdictAt::Write
    }

    /// Another size was asked for, and nothing else.
    fn only_resizes(&self) -> bool {
        let other = match (self.asked, self.verdict_at) {
            (None, _) | (Some(0), VerdictAt::Write) => false,
            (Some(0), VerdictAt::Close) => true,
            (Some(length), _) => self.exclusive || length != SIZE,
        };
        self.state == State::Filling && !self.is_written() && other
    }

    fn cannot_be_a_blob(&self) -> bool {
        match stated_length(&self.start()) {
            Stated::NotABlob(_) => true,
            Stated::Bytes(stated) => self.bytes.len() > stated,
            Stated::Unknown => false,
        }
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len();
        self.bytes.resize(self.bytes.len().max(end), None);
        for (place, byte) in self.bytes[offset..end].iter_mut().zip(data) {
            *place = Some(*byte);
        }
    }

    /// What a step of a request that changed nothing or was taken in says; `overflow` where it went past the
    /// largest blob.
    fn after(&mut self, step: &Step, overflow: bool) {
        match (self.state, step) {
            (State::Filling, Step::Submit(blob)) => {
                assert!(self.is_complete(), "only what is complete is judged");
                assert_eq!(*blob, self.content());
                self.state = State::Deciding;
            }
            (State::Filling, Step::Refuse(why)) => {
                let errno = why.errno();
                assert!(overflow || self.cannot_be_a_blob());
                assert_eq!(errno, if overflow { libc::EFBIG } else { libc::EACCES });
                self.state = State::Rejected(errno);
            }
            (State::Stored, Step::Refuse(why)) => {
                assert_eq!(why.errno(), libc::EACCES);
                self.state = State::Rejected(libc::EACCES);
            }
            (State::Filling, Step::Fail(libc::EPERM)) => {
                assert!(self.only_resizes() && !self.exclusive);
            }
            (State::Filling, Step::Fail(errno)) => {
                assert_eq!(*errno, libc::EACCES);
                assert!(!self.is_complete() && !self.cannot_be_a_blob());
                self.told_incomplete = true;
            }
            (State::Rejected(errno), Step::Fail(again)) => assert_eq!(errno, *again, "sticky"),
            (State::Deciding, Step::Wait) | (State::Filling | State::Stored, Step::Done) => {}
            (state, step) => panic!("{state:?} {step:?}"),
        }
    }
}

pub(super) fn run(input: &mut Input<'_>) {
    let exclusive = input.flag();
    let verdict_at = match exclusive || input.flag() {
        true => VerdictAt::Write,
        false => VerdictAt::Close,
    };
    let mut file = Incoming::new(SlotId(0), verdict_at, exclusive);
    let appends = !exclusive && input.flag();
    if !exclusive {
        file = file.over(OVER, OPENER).over_object(SIZE, appends);
    }
    let mut model = Model {
        state: State::Filling,
        bytes: Vec::new(),
        verdict_at,
        exclusive,
        told_incomplete: false,
        asked: None,
        emptied: false,
        appends,
    };
    let blob = stated(input.byte());
    // Who was told the rejection in another way, and not asked since.
    let mut told = None;
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0 | 1 => {
                let at = usize::from(input.u16()) % (blob.len() + 2);
                let end = (at + usize::from(input.byte())).min(blob.len());
                let data = blob.get(at..end).unwrap_or_default();
                write(&mut file, &mut model, at as u64, data, &mut told);
            }
            2 => write(&mut file, &mut model, 0, &blob, &mut told),
            3 => {
                let at = input.pick(&[0, 1, 100, MAX_BLOB_BYTES as u64 - 1, u64::MAX - 3]);
                let data = input.short();
                write(&mut file, &mut model, at, data, &mut told);
            }
            4 => {
                let length = match input.byte() {
                    255 => u64::MAX,
                    254 => MAX_BLOB_BYTES as u64 + 1,
                    253 => blob.len() as u64,
                    length => length.into(),
                };
                truncate(&mut file, &mut model, length, &mut told);
            }
            5 => flush(&mut file, &mut model, input, &mut told),
            6 => {
                let verdict = input.pick(&[Ok(()), Err(libc::EACCES), Err(libc::ENOSPC)]);
                file.decided(verdict);
                if model.state == State::Deciding {
                    model.state = verdict.map_or_else(State::Rejected, |()| State::Stored);
                }
            }
            _ => {
                let pid = 1 + u32::from(input.byte() % 2);
                file.rejection_seen_by(pid);
                if matches!(model.state, State::Rejected(_)) {
                    told = Some(pid);
                }
                if file.opened_with_trunc(OVER, pid) {
                    assert!(!exclusive && pid == OPENER && model.bytes.is_empty());
                    model.verdict_at = VerdictAt::Write;
                }
            }
        }
        compare(&file, &model);
    }
}

/// Bytes that say their own length truly; nothing here opens them.
fn stated(payload_bytes: u8) -> Vec<u8> {
    let payload_bytes = payload_bytes.max(1);
    let mut blob = b"SLOTFSB\x01\x01\x01\0\0".to_vec();
    blob.extend_from_slice(&u32::from(payload_bytes).to_le_bytes());
    let Stated::Bytes(length) = stated_length(&blob) else {
        panic!("a header");
    };
    blob.extend((blob.len()..length).map(|at| at as u8));
    blob
}

type Told = Option<u32>;

fn write(file: &mut Incoming, model: &mut Model, at: u64, data: &[u8], told: &mut Told) {
    let step = file.write(at, data);
    *told = None;
    let end = at.checked_add(data.len() as u64);
    let overflow = end.is_none_or(|end| end > MAX_BLOB_BYTES as u64);
    match model.state {
        State::Filling
            if model.appends && !model.is_written() && at >= SIZE && !data.is_empty() =>
        {
            assert!(matches!(&step, Step::Refuse(why) if why.errno() == libc::EACCES));
            model.state = State::Rejected(libc::EACCES);
        }
        State::Filling => {
            if !overflow {
                model.write(at as usize, data);
            }
            model.after(&step, overflow);
            let asks = model.asks_at_write();
            if let (State::Filling, Step::Done) = (model.state, &step) {
                assert!(!overflow && !(asks && (model.is_complete() || model.cannot_be_a_blob())));
            }
            assert!(
                asks || !matches!(step, Step::Submit(_)),
                "not before it ends"
            );
        }
        State::Stored => {
            let same = !overflow
                && model
                    .content()
                    .get(at as usize..)
                    .unwrap_or_default()
                    .starts_with(data);
            // Nothing, past the end, changes nothing either.
            assert_eq!(
                matches!(step, Step::Done),
                same || data.is_empty(),
                "stored stays"
            );
            model.after(&step, false);
        }
        State::Deciding | State::Rejected(_) => model.after(&step, false),
    }
}

fn truncate(file: &mut Incoming, model: &mut Model, length: u64, told: &mut Told) {
    let step = file.truncate(length);
    *told = None;
    let overflow = length > MAX_BLOB_BYTES as u64;
    if matches!(model.state, State::Filling | State::Stored) {
        model.asked = Some(length);
        model.emptied |= length == 0;
    }
    match model.state {
        State::Filling => {
            if !overflow {
                model.bytes.resize(length as usize, None);
            }
            model.after(&step, overflow);
        }
        State::Stored if length == 0 => {
            assert!(matches!(step, Step::Done), "it starts anew");
            model.state = State::Filling;
            model.bytes.clear();
        }
        State::Stored => {
            let same = length == model.bytes.len() as u64;
            assert_eq!(matches!(step, Step::Done), same, "stored stays");
            model.after(&step, false);
        }
        State::Deciding | State::Rejected(_) => model.after(&step, false),
    }
}

fn flush(file: &mut Incoming, model: &mut Model, input: &mut Input<'_>, told: &mut Told) {
    let pid = 1 + u32::from(input.byte() % 2);
    let ends = input.pick(&[Ends::Close, Ends::Sync]);
    let step = file.flush(pid, ends);
    if let (State::Rejected(_), Step::Done) = (model.state, &step) {
        assert_eq!(*told, Some(pid), "spared only who was told");
        if ends == Ends::Close {
            *told = None;
        }
        return;
    }
    if let State::Rejected(_) = model.state {
        *told = None;
    }
    if let (State::Filling, Step::Done) = (model.state, &step) {
        let nothing = !model.is_written() && !model.exclusive && !model.only_resizes();
        let unfinished = !model.is_complete() && !model.cannot_be_a_blob();
        assert!(nothing || (ends == Ends::Sync && unfinished));
    }
    model.after(&step, false);
}

fn compare(file: &Incoming, model: &Model) {
    assert_eq!(file.is_deciding(), model.state == State::Deciding);
    if let State::Rejected(errno) = model.state {
        assert_eq!(file.read(0, u64::MAX), Err(errno));
        assert!(file.release().is_none());
        return;
    }
    assert_eq!(file.read(0, u64::MAX), Ok(&model.content()[..]));
    assert_eq!(file.len(), model.bytes.len());
    let cut_short = model.state == State::Filling && (model.told_incomplete || model.is_written());
    assert_eq!(file.release().is_some(), cut_short);
    assert_eq!(file.only_resizes(), model.only_resizes());
}
