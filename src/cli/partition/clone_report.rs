//! The report of `partition clone`, written while it runs: lunacm's lines, or one JSON document.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::hints::Hints;

use crate::cli::output::{self, Stream};
use crate::cli::{Answer, plural};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, Became, DamagedRow, Source, reason, verdict_line};
use crate::object::{Handle, SlotId};

/// The report of one command.
pub(crate) struct Report {
    stream: Stream,
    /// Whether only failures and a summary are reported.
    quiet: bool,
    /// Objects that a quiet report has told of as not cloneable: they are not told of again when they are tried.
    told: HashSet<Handle>,
    from: SlotId,
    to: SlotId,
    /// Objects that were newly stored, that the target had already, and that are not there.
    pub(crate) cloned: u64,
    pub(crate) already: u64,
    pub(crate) failed: u64,
    /// What to do about each kind of failure.
    hints: Hints,
    /// Whether there is a step yet, and whether a list under it.
    begun: bool,
    listing: bool,
}

impl Report {
    /// Of cloning from one slot to another.
    pub(crate) fn new(json: bool, quiet: bool, from: SlotId, to: SlotId) -> Self {
        Self {
            stream: Stream::begin(
                json,
                &[("source_slot", from.0.into()), ("target_slot", to.0.into())],
            ),
            quiet,
            told: HashSet::new(),
            from,
            to,
            cloned: 0,
            already: 0,
            failed: 0,
            hints: Hints::default(),
            begun: false,
            listing: false,
        }
    }

    /// Before a step of the command.
    pub(crate) fn step(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        self.blank();
        self.stream.say(&format!("        {text}\n"));
        self.listing = false;
    }

    /// A blank line, but not at the very beginning.
    pub(crate) fn blank(&mut self) {
        if !self.quiet && std::mem::replace(&mut self.begun, true) {
            self.stream.say("\n");
        }
    }

    /// An object that cannot leave the source.
    pub(crate) fn cannot_be_cloned(&mut self, handle: Handle, why: &hsm::Error) {
        self.keep_hint(why);
        if self.quiet {
            self.told.insert(handle);
        }
        let from = self.from;
        self.item(&format!(
            "Handle {handle} on slot {from} cannot be cloned: {}",
            reason(why)
        ));
    }

    /// An object whose identity the target has already: the same object, another revision of it, or another object.
    pub(crate) fn exists(&mut self, handle: Handle, there: Result<&Arrived, &hsm::Error>) {
        // What fails is told when it is tried.
        if self.quiet {
            return;
        }
        let from = self.from;
        let line = match there {
            Ok(&Arrived {
                handle: there,
                became: Became::Revised { revision, .. },
            }) => format!(
                "Handle {handle} on slot {from} is revision {revision} of handle {there} on slot {}, and replaces it",
                self.to
            ),
            Ok(&Arrived {
                handle: there,
                became: Became::Outdated,
            }) => format!(
                "Handle {handle} on slot {from} is older than handle {there} on slot {}, which stays",
                self.to
            ),
            Ok(there) => verdict_line(self.source(handle), self.to, Ok(there)),
            Err(error) => format!("Handle {handle} on slot {from}: {}", reason(error)),
        };
        self.item(&line);
    }

    /// Before the first of `total` objects.
    pub(crate) fn cloning(&mut self, total: u64) {
        self.step("Cloning the objects.");
        if !self.quiet {
            self.stream.measure(total);
        }
    }

    /// What became of some objects.
    pub(crate) fn cloned(&mut self, some: &[(Handle, hsm::Result<Arrived>)]) {
        for (handle, outcome) in some {
            match outcome {
                Ok(arrived) if arrived.is_stored() => self.cloned += 1,
                Ok(_) => self.already += 1,
                Err(why) => {
                    self.failed += 1;
                    self.keep_hint(why);
                }
            }
            if self.quiet && outcome.is_ok() {
                continue;
            }
            let (source, to) = (self.source(*handle), self.to);
            let told = self.told.contains(handle);
            let line = || {
                if told {
                    return String::new();
                }
                let line = verdict_line(source, to, outcome.as_ref());
                format!("                {line}\n")
            };
            self.stream.add(line, || match outcome {
                Ok(arrived) => arrived_json(*handle, arrived),
                Err(error) => json!({
                    "handle": handle.get(),
                    "error": output::error_json(&error.clone().into()),
                }),
            });
        }
        self.stream.send(self.total());
    }

    /// An object whose handle cannot be read, so that it could not be cloned.
    pub(crate) fn without_handle(&mut self, row: &DamagedRow) {
        self.failed += 1;
        let error = hsm::Error::ObjectDamaged(row.clone());
        let (id, from, to) = (row.id, self.from, self.to);
        let line = || {
            let why = reason(&error);
            format!(
                "                The object of row {id} on slot {from} was not cloned to slot {to}: {why}\n"
            )
        };
        self.stream.add(
            line,
            || json!({ "handle": null, "row": id.0, "error": output::error_json(&error.clone().into()) }),
        );
        self.stream.send(self.total());
    }

    /// After the last, with what the command ends with.
    pub(crate) fn close(mut self, outcome: Result<()>) -> Answer {
        let tried = self.total() > 0 || !self.told.is_empty();
        if self.quiet && (tried || outcome.is_ok()) {
            let failed = self.failed.max(self.told.len() as u64);
            let summary = summary("cloned", self.cloned, self.already, failed);
            self.stream.say(&format!("        {summary}\n"));
        }
        let counts = [
            ("cloned", self.cloned),
            ("already", self.already),
            ("failed", self.failed),
        ];
        self.stream.end(&counts, outcome)
    }

    /// What to do about the failures so far, once for each kind of them.
    pub(crate) fn hints(&self) -> Vec<String> {
        self.hints.all()
    }

    fn keep_hint(&mut self, why: &hsm::Error) {
        self.hints.add(Error::from(why.clone()).hint());
    }

    /// How many objects were attempted.
    pub(crate) fn total(&self) -> u64 {
        self.cloned + self.already + self.failed
    }

    fn source(&self, handle: Handle) -> Source {
        Source {
            slot: self.from,
            handle,
        }
    }

    fn item(&mut self, line: &str) {
        if !self.quiet && !std::mem::replace(&mut self.listing, true) {
            self.stream.say("\n");
        }
        self.stream.say(&format!("                {line}\n"));
    }
}

/// The one line that a quiet command ends with.
pub(super) fn summary(done: &str, new: u64, already: u64, failed: u64) -> String {
    let objects = plural(new, "object");
    format!("{objects} {done}, {already} already there, {failed} failed.")
}

/// `revision` is the one that replaced an earlier one; `outdated`: the target has a later one.
pub(super) fn arrived_json(handle: Handle, arrived: &Arrived) -> Value {
    let mut facts = json!({
        "handle": handle.get(), "new_handle": arrived.handle.get(),
        "already": arrived.became == Became::Already,
    });
    match arrived.became {
        Became::Revised { revision, .. } => facts["revision"] = revision.into(),
        Became::Outdated => facts["outdated"] = true.into(),
        Became::New | Became::Already => {}
    }
    facts
}
