//! `slot list`

use clap::Subcommand;
use serde_json::json;

use super::{Ended, Globals, output};
use crate::error::Result;
use crate::object::show;

/// What can be done with slots.
#[derive(Subcommand)]
pub enum Verb {
    /// List the slots of the store
    #[command(after_help = "Example:\n  slotfs slot list --json")]
    List,
}

impl Verb {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Result<Ended> {
        match self {
            Self::List => list(globals),
        }
    }
}

fn list(globals: &Globals) -> Result<Ended> {
    let hsm = globals.open_to_look()?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for row in hsm.slots()? {
        let (objects, bytes) = hsm.usage(row.slot)?;
        rows.push(vec![
            row.slot.to_string(),
            show::escape(&row.label),
            row.serial.to_string(),
            "password".to_owned(),
            format!("V{}", row.version),
            objects.to_string(),
            row.capacity_objects.saturating_sub(objects).to_string(),
        ]);
        documents.push(json!({
            "slot": row.slot.0,
            "label": row.label,
            "serial": row.serial,
            "kind": "password",
            "version": row.version,
            "objects": objects,
            "bytes": bytes,
            "capacity_objects": row.capacity_objects,
            "capacity_bytes": row.capacity_bytes,
        }));
    }
    if globals.json {
        output::print_json(&json!({ "slots": documents }));
    } else {
        let heading = [
            "Slot Id",
            "Label",
            "Serial Number",
            "Kind",
            "Version",
            "Objects",
            "Free",
        ];
        output::print(&output::table(&heading, &rows));
    }
    Ok(Ended::WithResult)
}
