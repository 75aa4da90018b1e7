//! The report of a backup or a restoration, written while it runs: a line for each object, or one JSON document.

use serde_json::{Value, json};

use super::label::Label;
use crate::cli::Answer;
use crate::cli::output::{self, Stream};
use crate::cli::partition::clone_report::summary;
use crate::cli::partition::hints::Hints;
use crate::error::{Error, Result};
use crate::object::SlotId;

/// The report of one command.
pub(super) struct Report {
    stream: Stream,
    quiet: bool,
    /// Objects that are newly there, that were there, and that failed.
    pub(super) new: u64,
    pub(super) already: u64,
    pub(super) failed: u64,
    /// What to do about each kind of failure.
    hints: Hints,
    begun: bool,
}

impl Report {
    /// About a slot and a backup.
    pub(super) fn begin(json: bool, quiet: bool, slot: SlotId, label: &Label) -> Self {
        let facts = [
            ("slot", slot.0.into()),
            ("partition", label.as_str().into()),
        ];
        Self {
            stream: Stream::begin(json, &facts),
            quiet,
            new: 0,
            already: 0,
            failed: 0,
            hints: Hints::default(),
            begun: false,
        }
    }

    /// Before a step of the command.
    pub(super) fn step(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        if std::mem::replace(&mut self.begun, true) {
            self.stream.say("\n");
        }
        self.stream.say(&format!("        {text}\n"));
    }

    /// Shows a progress bar from now on, of `total` objects.
    pub(super) fn measure(&mut self, total: u64) {
        if !self.quiet {
            self.stream.measure(total);
        }
    }

    /// Tells something that is about no single object.
    pub(super) fn say(&mut self, line: &str) {
        if !self.quiet {
            self.item(line);
        }
    }

    fn item(&mut self, line: &str) {
        self.stream.say(&format!("                {line}\n"));
    }

    /// An object that is newly there, or was there.
    pub(super) fn done(&mut self, is_new: bool, line: &str, facts: impl FnOnce() -> Value) {
        match is_new {
            true => self.new += 1,
            false => self.already += 1,
        }
        if !self.quiet {
            self.stream
                .add(|| format!("                {line}\n"), facts);
        }
        self.stream.send(self.total());
    }

    /// An object that failed; its document gets the error.
    pub(super) fn failed(&mut self, line: &str, mut facts: Value, why: &Error) {
        self.failed += 1;
        self.hints.add(why.hint());
        self.stream.add(
            || format!("                {line}\n"),
            || {
                facts["error"] = output::error_json(why);
                facts
            },
        );
        self.stream.send(self.total());
    }

    /// How many objects were attempted.
    pub(super) fn total(&self) -> u64 {
        self.new + self.already + self.failed
    }

    /// The error of a command some of whose objects failed.
    ///
    /// # Errors
    /// That, when there are any.
    pub(super) fn outcome(&self, of: u64, what: &str) -> Result<()> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Error::ArchiveFailed {
                what: format!("{failed} of {of} objects {what}"),
                hints: self.hints.all(),
            }),
        }
    }

    /// After the last: what the command ends with. `done` says what became of the new ones.
    pub(super) fn close(mut self, done: &'static str, outcome: Result<()>) -> Answer {
        if self.quiet && (outcome.is_ok() || self.total() > 0) {
            let line = summary(&done.replace('_', " "), self.new, self.already, self.failed);
            self.stream.say(&format!("        {line}\n"));
        }
        let counts = [
            (done, self.new),
            ("already", self.already),
            ("failed", self.failed),
        ];
        self.stream.end(&counts, outcome)
    }
}

/// Facts about an object that failed before more than its handle was known.
pub(super) fn only_handle(handle: u32) -> Value {
    json!({ "handle": handle })
}
