//! `slot list` and `slot set`

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::Hsm;
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
    if console.json() {
        output::print_json(&json!({ "slots": documents(&hsm)? }));
    } else {
        output::print(&table(&hsm)?);
    }
    Ok(Ended::WithResult)
}

/// The slots as `slot list` shows them.
///
/// # Errors
/// When the store cannot be read.
pub fn table(hsm: &Hsm) -> Result<String> {
    let mut rows = Vec::new();
    for row in hsm.slots()? {
        let (objects, _) = hsm.usage(row.slot)?;
        rows.push(vec![
            row.slot.to_string(),
            show::escape(&row.label),
            row.serial.to_string(),
            row.kind_name(),
            format!("V{}", row.version),
            objects.to_string(),
            row.capacity_objects.saturating_sub(objects).to_string(),
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

fn documents(hsm: &Hsm) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    for row in hsm.slots()? {
        let (objects, bytes) = hsm.usage(row.slot)?;
        documents.push(json!({
            "slot": row.slot.0,
            "label": row.label,
            "serial": row.serial,
            "kind": row.kind_name(),
            "version": row.version,
            "objects": objects,
            "bytes": bytes,
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
    let row = console.open_to_look()?.slot(slot)?;
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
