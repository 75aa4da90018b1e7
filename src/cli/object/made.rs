//! New objects go into a slot, and are told line by line as they are durable.

use std::io;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::super::progress::Progress;
use super::super::{Console, Ended, output};
use super::Target;
use crate::error::{Error, Result};
use crate::hsm::Added;
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Object, SlotId};

/// How many groups share a commit: enough to be fast, few enough that memory stays flat and Ctrl-C is heard.
pub(super) const AT_ONCE: usize = 512;

/// Stores groups of objects that belong together, each group whole or not at all, under the next free
/// handles; each is durable when its line is printed. It ends where one is not stored, and making keys ends
/// where nobody reads of them any more.
pub(super) fn store(
    console: &Console<'_>,
    target: &Target,
    mut groups: impl ExactSizeIterator<Item = Result<Vec<Object>>>,
    at_once: usize,
) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, target.slot)?;
    console.login(&hsm, slot, &[Role::Co])?;
    let mut report = Report::begin(console.json(), slot, groups.len() as u64);
    if report.unread {
        return report.close(Ok(()), false);
    }
    let interrupt = Interrupt::watch();
    let until_interrupted = std::iter::from_fn(|| match interrupt.pressed() {
        true => None,
        false => groups.next(),
    });
    let listed = hsm
        .partition(slot)
        .add_list(until_interrupted, at_once, |added| report.tell(added));
    report.close(listed, interrupt.pressed())
}

/// What one command has made so far.
struct Report {
    json: bool,
    slot: SlotId,
    /// Groups that are to be made, and those that are stored.
    of: u64,
    made: u64,
    progress: Progress,
    /// Whether the document's list has an element.
    listed: bool,
    /// The first reason why a group was not stored.
    failed: Option<Error>,
    /// Whether the reader of standard output has gone.
    unread: bool,
}

impl Report {
    fn begin(json: bool, slot: SlotId, of: u64) -> Self {
        let mut report = Self {
            json,
            slot,
            of,
            made: 0,
            progress: Progress::begin(of),
            listed: false,
            failed: None,
            unread: false,
        };
        if json {
            report.write(&format!("{{\n  \"slot\": {slot},\n  \"objects\": ["));
        }
        report
    }

    /// What became of some groups; whether to make more.
    fn tell(&mut self, added: Vec<Added>) -> ControlFlow<()> {
        let mut text = String::new();
        for Added { objects, stored } in added {
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    self.failed.get_or_insert(error.into());
                    continue;
                }
            };
            self.made += 1;
            for (object, there) in objects.iter().zip(stored) {
                match self.json {
                    true => {
                        text += &self.element(&json!({
                            "handle": there.handle.get(),
                            "class": class_name(object.class),
                            "ouid": object.ouid.to_string(),
                        }))
                    }
                    false => text += &format!("Handle {}\n", there.handle),
                }
            }
        }
        self.write(&text);
        self.progress.show(self.made);
        match self.unread {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn element(&mut self, object: &Value) -> String {
        let comma = match std::mem::replace(&mut self.listed, true) {
            true => ",",
            false => "",
        };
        format!("{comma}\n    {}", output::compact(object))
    }

    fn write(&mut self, text: &str) {
        if self.unread {
            return;
        }
        match self.progress.around(|| output::write(text.as_bytes())) {
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => self.unread = true,
            // Told on standard error, so that no handle is lost.
            Err(why) => output::not_printed(text, why),
            Ok(()) => {}
        }
    }

    /// After the last, with what ended the list and whether Ctrl-C did.
    fn close(mut self, listed: Result<()>, interrupted: bool) -> Result<Ended> {
        let mut outcome = self.outcome(listed, interrupted);
        if !self.json {
            self.progress.end();
            return outcome.map(|()| Ended::WithResult);
        }
        let error = match &outcome {
            Ok(()) => Value::Null,
            Err(error) => output::error_json(error),
        };
        let error = output::compact(&error);
        self.write(&format!("\n  ],\n  \"error\": {error}\n}}\n"));
        if outcome.is_ok() {
            outcome = self.outcome(Ok(()), false);
        }
        self.progress.end();
        Ok(match outcome {
            Ok(()) => Ended::WithResult,
            Err(error) => Ended::Failed(error),
        })
    }

    fn outcome(&mut self, listed: Result<()>, interrupted: bool) -> Result<()> {
        let (slot, made, of) = (self.slot, self.made, self.of);
        // What was told in full needs no reader any more.
        let unread = self.unread && made < of;
        let why = match (self.failed.take(), listed, unread) {
            (Some(error), ..) | (None, Err(error), _) => error,
            (None, Ok(()), true) => Error::File {
                path: "standard output".into(),
                source: io::ErrorKind::BrokenPipe.into(),
            },
            (None, Ok(()), false) if interrupted && made < of => {
                return Err(Error::Interrupted(format!(
                    "{made} of {of} were made and are on slot {slot}; the others were not attempted"
                )));
            }
            (None, Ok(()), false) => return Ok(()),
        };
        Err(match (made, why) {
            (0, why) => why,
            // It says by itself what is imported and what is not.
            (_, why @ Error::Import { .. }) => why,
            (_, why) => Error::MadeSome {
                slot,
                made,
                of,
                why: Box::new(why),
            },
        })
    }
}
