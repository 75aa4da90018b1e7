//! What `partition clone` says while it runs: lunacm's lines, or one JSON document written as it comes.

use serde_json::json;

use super::super::progress::Progress;
use super::super::{Ended, output};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, DamagedRow, Source, reason, verdict_line};
use crate::object::{Handle, SlotId};

/// More kinds of failures than a list has in practice: a hint must not become a list itself.
const MOST_HINTS: usize = 4;

/// How many objects came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Newly stored.
    pub cloned: u64,
    /// There already, with the same content.
    pub already: u64,
    /// Neither.
    pub failed: u64,
}

impl Tally {
    /// All that were attempted.
    pub fn total(self) -> u64 {
        self.cloned + self.already + self.failed
    }
}

/// The report of one command.
pub struct Report {
    json: bool,
    from: SlotId,
    to: SlotId,
    tally: Tally,
    /// Once they are being cloned.
    progress: Option<Progress>,
    /// What to do about each kind of failure.
    hints: Vec<String>,
    /// Whether there is a step yet, and whether a list under it.
    begun: bool,
    listing: bool,
}

impl Report {
    /// Of cloning from one slot to another.
    pub fn new(json: bool, from: SlotId, to: SlotId) -> Self {
        if json {
            output::print(&format!(
                "{{\n  \"source_slot\": {from},\n  \"target_slot\": {to},\n  \"objects\": ["
            ));
        }
        Self {
            json,
            from,
            to,
            tally: Tally::default(),
            progress: None,
            hints: Vec::new(),
            begun: false,
            listing: false,
        }
    }

    /// Before the source's side is checked.
    pub fn verifying(&mut self) {
        self.step("Verifying that the specified objects can be cloned.");
    }

    /// An object that the source cannot give.
    pub fn cannot_be_cloned(&mut self, handle: Handle, why: &hsm::Error) {
        self.keep_hint(why);
        let from = self.from;
        self.item(&format!(
            "Handle {handle} on slot {from} cannot be cloned: {}",
            reason(why)
        ));
    }

    /// After it.
    pub fn verified(&mut self, can: u64, cannot: u64) {
        let from = self.from;
        self.step(&match (can, cannot) {
            (0, 0) => format!("There are no objects on slot {from}."),
            (_, 0) => "All objects can be cloned.".to_owned(),
            (0, _) => "None of the objects can be cloned.".to_owned(),
            _ => format!("{can} of {} objects can be cloned.", can + cannot),
        });
    }

    /// Before the target is logged in to.
    pub fn logging_in(&mut self) {
        let to = self.to;
        self.step(&format!("Logging in to target slot {to}"));
    }

    /// Before the target's side is checked.
    pub fn checking_existing(&mut self) {
        let to = self.to;
        self.step(&format!(
            "Checking if objects already exist on target slot {to}."
        ));
    }

    /// An object that the target has, or has another of the same identity.
    pub fn exists(&mut self, handle: Handle, there: Result<&Arrived, &hsm::Error>) {
        let from = self.from;
        let line = match there {
            Ok(there) => verdict_line(self.source(handle), self.to, Ok(there)),
            Err(error) => format!("Handle {handle} on slot {from}: {}", reason(error)),
        };
        self.item(&line);
    }

    /// Before the user is asked whether to go on.
    pub fn asking(&mut self) {
        self.blank();
    }

    /// Before the first of `total` objects.
    pub fn cloning(&mut self, total: u64) {
        self.step("Cloning the objects.");
        self.progress = Some(Progress::begin(total));
    }

    /// What became of some.
    pub fn cloned(&mut self, some: &[(Handle, hsm::Result<Arrived>)]) {
        let mut text = String::new();
        for (handle, outcome) in some {
            match outcome {
                Ok(Arrived { already: false, .. }) => self.tally.cloned += 1,
                Ok(Arrived { already: true, .. }) => self.tally.already += 1,
                Err(why) => {
                    self.tally.failed += 1;
                    self.keep_hint(why);
                }
            }
            text += &match outcome {
                _ if !self.json => {
                    let line = verdict_line(self.source(*handle), self.to, outcome.as_ref());
                    format!("                {line}\n")
                }
                Ok(arrived) => self.element(&json!({
                    "handle": handle.get(),
                    "new_handle": arrived.handle.get(),
                    "already": arrived.already,
                })),
                Err(error) => self.element(&json!({
                    "handle": handle.get(),
                    "error": output::error_json(&error.clone().into()),
                })),
            };
        }
        match &mut self.progress {
            Some(progress) => {
                progress.around(|| output::print(&text));
                progress.show(self.tally.total());
            }
            None => output::print(&text),
        }
    }

    /// An object of which no handle can be read, so that nothing could be cloned.
    pub fn without_handle(&mut self, row: &DamagedRow) {
        self.tally.failed += 1;
        let error = hsm::Error::ObjectDamaged(row.clone());
        let (id, from, to) = (row.id, self.from, self.to);
        let text = match self.json {
            false => format!(
                "                The object of row {id} on slot {from} was not cloned to slot {to}: {}\n",
                reason(&error)
            ),
            true => self.element(&json!({
                "handle": null,
                "row": id,
                "error": output::error_json(&error.clone().into()),
            })),
        };
        match &self.progress {
            Some(progress) => progress.around(|| output::print(&text)),
            None => output::print(&text),
        }
    }

    /// One more element of the document's list.
    fn element(&self, object: &serde_json::Value) -> String {
        let comma = if self.tally.total() > 1 { "," } else { "" };
        format!("{comma}\n    {}", output::compact(object))
    }

    /// After the last, with what the command ends with.
    pub fn close(mut self, outcome: Result<()>) -> Result<Ended> {
        if let Some(progress) = self.progress.take() {
            progress.end();
        }
        if !self.json {
            return outcome.map(|()| Ended::WithResult);
        }
        let Tally {
            cloned,
            already,
            failed,
        } = self.tally;
        let error = match &outcome {
            Ok(()) => serde_json::Value::Null,
            Err(error) => output::error_json(error),
        };
        let error = output::compact(&error);
        output::print(&format!(
            "\n  ],\n  \"cloned\": {cloned},\n  \"already\": {already},\n  \"failed\": {failed},\n  \"error\": {error}\n}}\n"
        ));
        Ok(match outcome {
            Ok(()) => Ended::WithResult,
            Err(error) => Ended::Failed(error),
        })
    }

    /// What to do about the failures so far, once for each kind of them.
    pub fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }

    fn keep_hint(&mut self, why: &hsm::Error) {
        if self.hints.len() < MOST_HINTS
            && let Some(hint) = Error::from(why.clone()).hint()
            && !self.hints.contains(&hint)
        {
            self.hints.push(hint);
        }
    }

    /// How many came to what.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn source(&self, handle: Handle) -> Source {
        Source {
            slot: self.from,
            handle,
        }
    }

    fn say(&self, text: &str) {
        if !self.json {
            output::print(text);
        }
    }

    fn step(&mut self, text: &str) {
        self.blank();
        self.say(&format!("        {text}\n"));
        self.listing = false;
    }

    /// Before all but the first step.
    fn blank(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            self.say("\n");
        }
    }

    fn item(&mut self, line: &str) {
        if !std::mem::replace(&mut self.listing, true) {
            self.say("\n");
        }
        self.say(&format!("                {line}\n"));
    }
}
