//! Stores new objects in a slot and reports each when it is durable.

use std::io;
use std::ops::ControlFlow;

use serde_json::json;

use super::NewObject;
use crate::cli::output::Stream;
use crate::cli::{Answer, Console};
use crate::error::{Error, Result};
use crate::hsm::Added;
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Object, SlotId};

/// How many groups share a commit: enough to be fast, and few enough to keep memory flat and to notice Ctrl-C soon.
pub(super) const AT_ONCE: usize = 512;

/// Stores groups of objects that belong together, each group completely or not at all, under the next free handles. It
/// ends at the first group that cannot be stored, at Ctrl-C, and when nobody reads the handles any longer.
pub(super) fn add(
    console: &Console<'_>,
    new: &NewObject,
    mut groups: impl ExactSizeIterator<Item = Result<Vec<Object>>>,
    at_once: usize,
) -> Result<Answer> {
    let (hsm, slot) = console.partition(new.slot, &[Role::Co])?;
    let mut report = Report::begin(console.json(), slot, groups.len() as u64);
    if report.stream.is_unread() {
        return Ok(report.close(Ok(()), false));
    }
    let interrupt = Interrupt::watch();
    let until_interrupted = std::iter::from_fn(|| match interrupt.pressed() {
        true => None,
        false => groups.next(),
    });
    let listed = hsm
        .partition(slot)
        .add_list(until_interrupted, at_once, |added| report.add(added));
    Ok(report.close(listed, interrupt.pressed()))
}

/// What one command has made so far.
struct Report {
    stream: Stream,
    slot: SlotId,
    /// How many groups will be made, and how many are stored.
    of: u64,
    made: u64,
    /// Why a group was not stored: the first reason.
    failed: Option<Error>,
}

impl Report {
    fn begin(json: bool, slot: SlotId, of: u64) -> Self {
        let mut stream = Stream::begin(json, &[("slot", slot.0.into())]);
        stream.measure(of);
        Self {
            stream,
            slot,
            of,
            made: 0,
            failed: None,
        }
    }

    /// Reports some groups, and decides whether to make more.
    fn add(&mut self, added: Vec<Added>) -> ControlFlow<()> {
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
                self.stream.add(
                    || format!("Handle {}\n", there.handle),
                    || {
                        json!({
                            "handle": there.handle.get(), "class": class_name(object.class),
                            "ouid": object.ouid.to_string(),
                        })
                    },
                );
            }
        }
        self.stream.send(self.made);
        match self.stream.is_unread() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// After the last group, with what ended the list and whether Ctrl-C did.
    fn close(mut self, listed: Result<()>, interrupted: bool) -> Answer {
        let outcome = self.outcome(listed, interrupted);
        self.stream.end(&[], outcome)
    }

    fn outcome(&mut self, listed: Result<()>, interrupted: bool) -> Result<()> {
        let (slot, made, of) = (self.slot, self.made, self.of);
        // A reader that went away after the last handle is no failure.
        let unread = self.stream.is_unread() && made < of;
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
            // Its message says what was imported.
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
