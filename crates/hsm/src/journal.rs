//! Every verdict of this process, newest last: what `clones` shows.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::{Arrived, Became, Error, Handle, Ouid, Partition, Result, SlotId};

/// Verdicts kept; older ones are in the log.
const MOST_KEPT: usize = 10_000;

/// Where a blob came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The slot.
    pub slot: SlotId,
    /// Its handle there.
    pub handle: Handle,
}

/// The object that a blob's bytes were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it was when it was opened.
    pub place: Source,
    /// Its identity, since the program that copies may write other bytes.
    pub ouid: Ouid,
}

/// What is known of the object that a verdict is about.
pub(super) enum Subject {
    /// Its place in another slot.
    Known(Source),
    /// Its identity, read from the blob.
    Identity(Ouid),
    /// Nothing opened it: only the name it was written under.
    Name(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(Source { slot, handle }) => write!(f, "Handle {handle} on slot {slot}"),
            Self::Identity(ouid) => write!(f, "Object {ouid}"),
            Self::Name(name) => write!(f, "A blob written as {name}"),
        }
    }
}

/// The verdicts.
#[derive(Default)]
pub struct Journal(Mutex<VecDeque<(SlotId, String)>>);

impl Journal {
    /// Writes a verdict down, here and in the log.
    pub(super) fn record(&self, subject: &Subject, slot: SlotId, outcome: &Result<Arrived>) {
        let line = verdict(subject, slot, outcome.as_ref());
        match outcome {
            Ok(_) => log::info!("{line}"),
            Err(error) => log::log!(error.outcome().level.min(log::Level::Warn), "{line}"),
        }
        self.keep(slot, line);
    }

    /// Writes down what became of something else than an object.
    pub(super) fn note(&self, slot: SlotId, line: String) {
        log::info!("{line}");
        self.keep(slot, line);
    }

    /// Writes down what somebody should look at.
    pub(super) fn warn(&self, slot: SlotId, line: String) {
        log::warn!("{line}");
        self.keep(slot, line);
    }

    /// Writes down what somebody has to look at now.
    pub(super) fn alarm(&self, slot: SlotId, line: String) {
        crate::asker::for_itself(|| log::error!("{line}"));
        self.keep(slot, line);
    }

    fn keep(&self, slot: SlotId, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST_KEPT {
            lines.pop_front();
        }
        lines.push_back((slot, line));
    }

    /// The verdicts with `slot` as target, or all of them, one line each.
    pub fn text(&self, slot: Option<SlotId>) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (target, line) in lines.iter() {
            if slot.is_none_or(|slot| slot == *target) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

impl Partition<'_> {
    /// Writes down that the object `handle` keeps its handle, because another one has the handle `wanted`.
    pub fn note_kept(&self, handle: Handle, wanted: Handle) {
        let slot = self.slot;
        let line = format!(
            "Handle {handle} on slot {slot} is still handle {handle}: another object has handle {wanted}"
        );
        self.hsm.journal.note(slot, line);
    }

    /// Writes down that a blob written as `name` was refused before it could be verified.
    pub fn note_refusal(&self, name: &str, source: Option<Source>, why: &dyn fmt::Display) {
        let subject = source.map_or_else(|| Subject::Name(name.to_owned()), Subject::Known);
        let line = refused(&subject, self.slot, why);
        self.hsm.journal.warn(self.slot, line);
    }
}

/// What became of an object that was to be cloned from `source` to `slot`, in one line.
pub fn verdict_line(source: Source, slot: SlotId, outcome: Result<&Arrived, &Error>) -> String {
    verdict(&Subject::Known(source), slot, outcome)
}

fn verdict(subject: &Subject, slot: SlotId, outcome: Result<&Arrived, &Error>) -> String {
    let from = match subject {
        Subject::Known(Source { slot, handle }) => format!(", from handle {handle} on slot {slot}"),
        Subject::Identity(_) | Subject::Name(_) => String::new(),
    };
    verdict_words(subject, &from, slot, outcome)
}

/// What became of the object that `subject` calls and that was to come to `slot`, in one line. `from` is what is said of its
/// source where the line begins with its place: a comma and words, or nothing.
pub fn verdict_words(
    subject: &dyn fmt::Display,
    from: &str,
    slot: SlotId,
    outcome: Result<&Arrived, &Error>,
) -> String {
    match outcome {
        Ok(Arrived { handle, became }) => match became {
            Became::New => format!("{subject} is now handle {handle} on slot {slot}"),
            Became::Already => format!("{subject} is already handle {handle} on slot {slot}"),
            Became::Revised { revision, .. } => {
                format!("Handle {handle} on slot {slot} is now revision {revision}{from}")
            }
            Became::Outdated => format!(
                "{subject} was not stored: slot {slot} holds a newer revision, as handle {handle}"
            ),
        },
        Err(error) => refused(subject, slot, &reason(error)),
    }
}

fn refused(subject: &dyn fmt::Display, slot: SlotId, why: &dyn fmt::Display) -> String {
    format!("{subject} was not cloned to slot {slot}: {why}")
}

/// The error without the slot it starts with, for a line that names the slot already.
pub fn reason(error: &Error) -> String {
    match error {
        Error::Slot { why, .. } => why.to_string(),
        error => error.to_string(),
    }
}
