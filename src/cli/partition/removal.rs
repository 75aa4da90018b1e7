//! `partition clear` and `partition delete`

use clap::Args;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::credential::Role;
use crate::error::Result;
use crate::hsm::Hsm;
use crate::object::{SlotId, show};

/// `partition clear` and `partition delete`
#[derive(Args)]
pub struct Removal {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// How many objects would be lost, what is in the trash among them.
pub(super) fn objects(hsm: &Hsm, slot: SlotId) -> Result<String> {
    let objects = hsm.usage(slot)?.0;
    Ok(match hsm.trash_count(slot)? {
        0 => format!("{objects} objects"),
        trashed => format!("{objects} objects, and {trashed} in the trash,"),
    })
}

impl Removal {
    /// `partition clear`
    pub fn clear(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co])?;
        if !self.force {
            confirm(&format!(
                "all {} on slot {slot} would be destroyed",
                objects(&hsm, slot)?
            ))?;
        }
        let destroyed = hsm.clear_partition(slot)?;
        if console.json() {
            output::print_json(&json!({ "slot": slot.0, "destroyed": destroyed }));
        } else {
            output::print(&format!(
                "        {destroyed} objects on slot {slot} were destroyed.\n"
            ));
        }
        Ok(Ended::WithResult)
    }

    /// `partition delete`
    pub fn delete(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Po])?;
        if !self.force {
            confirm(&format!(
                "partition '{}' on slot {slot} would be destroyed, with all its {}",
                show::escape(&hsm.slot(slot)?.label),
                objects(&hsm, slot)?
            ))?;
        }
        let destroyed = hsm.delete_partition(slot)?;
        if console.json() {
            output::print_json(&json!({ "slot": slot.0, "destroyed": destroyed }));
        } else {
            output::print(&format!("        Slot {slot} has no partition any more.\n"));
        }
        Ok(Ended::WithResult)
    }
}
