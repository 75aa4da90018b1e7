//! `slot list` and `slot set`

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, ListedSlot};
use crate::object::{SlotId, show};

/// What can be done with slots.
#[derive(Subcommand)]
pub enum Verb {
    /// List the slots of the store
    #[command(after_help = "Example:\n  slotfs slot list --json")]
    List,
    /// Make a slot the active one, for as long as the shell lasts
    #[command(after_help = "Example, in the shell:\n  slot set -slot 1")]
    Set {
        /// The slot
        #[arg(short, long)]
        slot: SlotId,
    },
}

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::List => list(console),
            Self::Set { slot } => set(console, slot),
        }
    }
}

fn list(console: &Console<'_>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slots = inspected(&hsm)?;
    if !console.json() {
        output::print(&table_of(&hsm, &slots)?);
    }
    let mut document = json!({});
    if console.json() {
        document["slots"] = documents(&hsm, &slots)?.into();
    }
    let mut outcome = Ok(());
    for it in slots {
        let damage = match (it.row, it.slot) {
            (Ok(_), Some(slot)) => hsm.partition(slot).usage().map(drop),
            (row, _) => row.map(drop),
        };
        // Each has a line of its own; the last is how the command ends.
        if let Err(error) = damage
            && let Err(error) = std::mem::replace(&mut outcome, Err(error))
        {
            output::tell_error(&error.into());
        }
    }
    match (console.json(), outcome) {
        // A list of which nothing is wrong is nothing but a list.
        (true, Ok(())) => {
            output::print_json(&document);
            Ok(Ended::WithResult)
        }
        (json, outcome) => output::with_document(json, document, outcome.map_err(Error::from)),
    }
}

/// The slots as `slot list` shows them.
///
/// # Errors
/// When the store cannot be read.
pub fn table(hsm: &Hsm) -> Result<String> {
    table_of(hsm, &inspected(hsm)?)
}

/// The slots of the store, each with what is wrong with it as far as that can be told without a login.
fn inspected(hsm: &Hsm) -> Result<Vec<ListedSlot>> {
    let mut slots = hsm.slots()?;
    for it in &mut slots {
        if let (Ok(_), Some(slot)) = (&it.row, it.slot)
            && let Err(error) = hsm.partition(slot).inspect()
            // Deleted since it was listed, it is not damaged.
            && error.is_damage()
        {
            it.row = Err(error);
        }
    }
    Ok(slots)
}

/// What is shown of what cannot be read.
const UNREADABLE: &str = "-";

fn table_of(hsm: &Hsm, slots: &[ListedSlot]) -> Result<String> {
    let mut rows = Vec::new();
    for it in slots {
        let number = it
            .slot
            .map_or(UNREADABLE.to_owned(), |slot| slot.to_string());
        let Ok(row) = &it.row else {
            let mut cells = vec![UNREADABLE.to_owned(); 7];
            cells[0] = number;
            cells[1] = "(damaged)".to_owned();
            rows.push(cells);
            continue;
        };
        let (objects, free) = match usage(hsm, row.slot)? {
            Some((objects, _)) => (
                objects.to_string(),
                row.capacity_objects.saturating_sub(objects).to_string(),
            ),
            None => (UNREADABLE.to_owned(), UNREADABLE.to_owned()),
        };
        rows.push(vec![
            number,
            show::escape(&row.label),
            row.serial.to_string(),
            row.kind.to_string(),
            row.version.to_string(),
            objects,
            free,
        ]);
    }
    let heading = [
        "Slot Id",
        "Label",
        "Serial Number",
        "Kind",
        "Version",
        "Objects",
        "Free",
    ];
    Ok(output::table(&heading, &rows))
}

/// Objects and bytes; `None` where their count is damaged.
fn usage(hsm: &Hsm, slot: SlotId) -> Result<Option<(u64, u64)>> {
    match hsm.partition(slot).usage() {
        Ok(usage) => Ok(Some(usage)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn documents(hsm: &Hsm, slots: &[ListedSlot]) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    for it in slots {
        let row = match &it.row {
            Ok(row) => row,
            Err(error) => {
                documents.push(json!({
                    "slot": it.slot.map(|slot| slot.0),
                    "damage": error.to_string(),
                }));
                continue;
            }
        };
        let usage = usage(hsm, row.slot)?;
        documents.push(json!({
            "slot": row.slot.0,
            "label": row.label,
            "serial": row.serial,
            "kind": row.kind.to_string(),
            "version": row.version as u8,
            "objects": usage.map(|(objects, _)| objects),
            "bytes": usage.map(|(_, bytes)| bytes),
            "capacity_objects": row.capacity_objects,
            "capacity_bytes": row.capacity_bytes,
        }));
    }
    Ok(documents)
}

fn set(console: &Console<'_>, slot: SlotId) -> Result<Ended> {
    let Some(kept) = console.kept() else {
        return Err(Error::Usage(
            "'slot set' lasts as long as the shell; give --active-slot N to a single command, or set SLOTFS_ACTIVE_SLOT".into(),
        ));
    };
    let row = console.open_to_look()?.partition(slot).row()?;
    kept.set_active(slot);
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "label": row.label }));
    } else {
        output::print(&format!(
            "        Current Slot Id: {slot} ({})\n",
            show::escape(&row.label)
        ));
    }
    Ok(Ended::WithResult)
}
