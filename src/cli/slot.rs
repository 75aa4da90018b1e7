//! `slot list` and `slot set`

use clap::Subcommand;
use serde_json::json;

use crate::cli::{Answer, Console, Failures, NONE, Rows, SlotArg, or_none};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, ListedSlot};
use crate::object::{SlotId, show};

/// What can be done with slots.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the slots of the store
    #[command(after_help = "Example:\n  slotfs slot list --json")]
    List,
    /// Make a slot the active one until the shell ends
    #[command(after_help = "Example, in the shell:\n  slot set -slot 1")]
    Set {
        /// The slot
        #[arg(short, long)]
        slot: SlotId,
    },
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::List => list(console),
            Self::Set { slot } => set(console, slot),
        }
    }
}

fn list(console: &Console<'_>) -> Result<Answer> {
    let hsm = console.open_to_read()?;
    let slots = inspected(&hsm)?;
    let answer = Answer::new(json!({})).rows("slots", rows(&hsm, &slots)?);
    let mut failures = Failures::none();
    for it in slots {
        let damage = match (it.row, it.slot) {
            (Ok(_), Some(slot)) => hsm.partition(slot).usage().map(drop),
            (row, _) => row.map(drop),
        };
        if let Err(error) = damage {
            failures.add(error);
        }
    }
    Ok(match failures.outcome() {
        // The document of a list without damage has no error, not even null.
        Ok(()) => answer,
        damaged => answer.ending(damaged),
    })
}

/// The slots as `slot list` shows them.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn table(hsm: &Hsm) -> Result<String> {
    Ok(rows(hsm, &inspected(hsm)?)?.table())
}

/// The slots of the store, each with the damage that can be found without a login.
fn inspected(hsm: &Hsm) -> Result<Vec<ListedSlot>> {
    let mut slots = hsm.slots()?;
    for it in &mut slots {
        if let (Ok(_), Some(slot)) = (&it.row, it.slot)
            && let Err(error) = hsm.partition(slot).inspect()
            // A slot that was deleted since it was listed is not damaged.
            && error.is_damage()
        {
            it.row = Err(error);
        }
    }
    Ok(slots)
}

fn rows(hsm: &Hsm, slots: &[ListedSlot]) -> Result<Rows> {
    let mut rows = Rows::new(&[
        "Slot Id",
        "Label",
        "Serial Number",
        "Kind",
        "Version",
        "Objects",
        "Free",
    ]);
    for it in slots {
        let number = or_none(it.slot);
        let row = match &it.row {
            Ok(row) => row,
            Err(error) => {
                rows.add(
                    &[&number, &"(damaged)", &NONE, &NONE, &NONE, &NONE, &NONE],
                    json!({ "slot": it.slot.map(|slot| slot.0), "damage": error.to_string() }),
                );
                continue;
            }
        };
        let usage = match hsm.partition(row.slot).usage() {
            Ok(usage) => Some(usage),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error.into()),
        };
        let objects = usage.map(|(objects, _)| objects);
        rows.add(
            &[
                &number,
                &show::escape(&row.label),
                &row.serial,
                &row.kind,
                &row.version,
                &or_none(objects),
                &or_none(objects.map(|objects| row.capacity_objects.saturating_sub(objects))),
            ],
            json!({
                "slot": row.slot.0, "label": row.label, "serial": row.serial,
                "kind": row.kind.to_string(), "version": row.version as u8, "objects": objects,
                "bytes": usage.map(|(_, bytes)| bytes), "capacity_objects": row.capacity_objects,
                "capacity_bytes": row.capacity_bytes,
            }),
        );
    }
    Ok(rows)
}

fn set(console: &Console<'_>, slot: SlotId) -> Result<Answer> {
    let Some(kept) = console.kept() else {
        return Err(Error::Usage(
            "'slot set' lasts as long as the shell; give --active-slot N to a single command, or set SLOTFS_ACTIVE_SLOT".into(),
        ));
    };
    let (hsm, slot) = console.partition_to_read(SlotArg { slot: Some(slot) }, &[])?;
    let label = hsm.partition(slot).row()?.label;
    kept.set_active(slot);
    Ok(Answer::of_slot(slot)
        .line(format_args!(
            "Current Slot Id: {slot} ({})",
            show::escape(&label)
        ))
        .fact("label", label))
}
