//! Commands that do something to each of some objects: one that fails is reported on its line, and the others go on.

use serde_json::{Value, json};

use crate::cli::{Console, output};
use crate::error::Result;
use crate::hsm::{self, DamagedRow, Hsm};
use crate::object::SlotId;

/// An object that a command is about, or a row that can only be destroyed.
pub(crate) type Found<T> = Result<T, DamagedRow>;

/// What was looked up, or its damaged row.
///
/// # Errors
/// Anything but [`Error::ObjectDamaged`].
pub(crate) fn found<T>(looked_up: hsm::Result<T>) -> hsm::Result<Found<T>> {
    match looked_up {
        Ok(it) => Ok(Ok(it)),
        Err(hsm::Error::ObjectDamaged(row)) => Ok(Err(row)),
        Err(error) => Err(error),
    }
}

/// Destroys a damaged object.
///
/// # Errors
/// As [`Hsm::destroy_damaged`].
pub(crate) fn destroy_damaged(hsm: &Hsm, slot: SlotId, row: &DamagedRow) -> hsm::Result<()> {
    hsm.again_if_changed(|| {
        hsm::wait(|done| hsm.partition(slot).destroy_damaged(row.clone(), done))
    })
}

/// How a command calls an object.
pub(crate) struct Name {
    /// At the beginning of its line.
    pub(crate) title: String,
    /// In JSON: key and value.
    pub(crate) fact: (&'static str, Value),
}

/// Calls `act` for each, which says what became of it. Facts about those that failed, and the last failure.
pub(crate) fn each<T>(
    console: &Console<'_>,
    all: &[T],
    done: &str,
    name: impl Fn(&T) -> Name,
    mut act: impl FnMut(&T) -> Result<String>,
) -> (Vec<Value>, Result<()>) {
    let mut failed = Vec::new();
    let mut outcome = Ok(());
    for it in all {
        let Name { title, fact } = name(it);
        match act(it) {
            Ok(became) => console.say(&format!("{title} {became}\n")),
            Err(error) => {
                console.say(&format!("{title} was not {done}: {error}\n"));
                let mut facts = json!({ "error": output::error_json(&error) });
                facts[fact.0] = fact.1;
                failed.push(facts);
                outcome = Err(error);
            }
        }
    }
    (failed, outcome)
}
