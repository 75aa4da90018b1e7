//! `partition clear` and `partition delete`

use clap::Args;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, PartitionMark};
use crate::object::partition::Role;
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
    let objects = match hsm.partition(slot).usage() {
        Ok((objects, _)) => objects.to_string(),
        // To be destroyed it need not be counted.
        Err(error) if error.is_damage() => "an unknown number of".to_owned(),
        Err(error) => return Err(error.into()),
    };
    Ok(match hsm.partition(slot).trash_count() {
        Ok(0) => format!("{objects} objects"),
        Ok(trashed) => format!("{objects} objects, and {trashed} in the trash,"),
        Err(error) if error.is_damage() => format!("{objects} objects, and those in the trash,"),
        Err(error) => return Err(error.into()),
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
        let destroyed = hsm.partition(slot).clear()?;
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
        // Before the login: what is asked about is what is destroyed.
        let marked = hsm.partition(slot).mark()?;
        let login = hsm
            .partition(slot)
            .inspect()
            .map_err(Error::from)
            .and_then(|()| console.login(&hsm, slot, &[Role::Po]));
        match (login, marked) {
            (Ok(()), _) => {}
            // Nobody can log in to it, and 'partition init -force' would not ask for that either.
            (Err(damage), Some(marked)) if damage.is_damage() => {
                return self.delete_damaged(console, &hsm, slot, marked, &damage);
            }
            (Err(error), _) => return Err(error),
        }
        if !self.force {
            confirm(&format!(
                "partition '{}' on slot {slot} would be destroyed, with all its {}",
                show::escape(&hsm.partition(slot).row()?.label),
                objects(&hsm, slot)?
            ))?;
        }
        let destroyed = hsm.partition(slot).delete()?;
        if console.json() {
            output::print_json(&json!({ "slot": slot.0, "destroyed": destroyed }));
        } else {
            output::print(&format!("        Slot {slot} has no partition any more.\n"));
        }
        Ok(Ended::WithResult)
    }

    fn delete_damaged(
        self,
        console: &Console<'_>,
        hsm: &Hsm,
        slot: SlotId,
        marked: PartitionMark,
        damage: &Error,
    ) -> Result<Ended> {
        if !self.force {
            confirm(&format!(
                "{damage}\nslot {slot}: its damaged partition would be destroyed, with all its objects"
            ))?;
        }
        hsm.partition(slot).delete_damaged(marked)?;
        if console.json() {
            output::print_json(&json!({ "slot": slot.0, "destroyed": serde_json::Value::Null }));
        } else {
            output::print(&format!("        Slot {slot} has no partition any more.\n"));
        }
        Ok(Ended::WithResult)
    }
}
