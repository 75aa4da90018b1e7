//! `object delete`

use clap::Args;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::credential::Role;
use crate::error::Result;
use crate::hsm::{self, Hsm, ObjectFile, Removed};
use crate::object::pkcs11::class_name;
use crate::object::{Handle, SlotId, show};

/// `object delete`
#[derive(Args)]
pub struct Delete {
    /// The objects, separated by commas
    #[arg(long, value_name = "H,...", value_delimiter = ',', required = true)]
    handle: Vec<Handle>,
    /// Destroy them at once, rather than to keep them in the trash for as long as the slot says
    #[arg(long)]
    destroy: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

impl Delete {
    pub(super) fn run(mut self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co])?;
        self.handle.sort_unstable();
        self.handle.dedup();
        // All of them are looked at first: a list with a mistake in it destroys nothing, and what is destroyed is
        // what was asked about, whatever has its handle by then.
        let found: Vec<ObjectFile> = self
            .handle
            .iter()
            .map(|&handle| hsm.find(slot, handle))
            .collect::<Result<_>>()?;
        if !self.force {
            let destroys = self.destroy || hsm.slot(slot)?.retention_secs == 0;
            confirm(&question(&hsm, slot, &found, destroys))?;
        }
        let (mut trashed, mut destroyed, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcome = Ok(());
        for object in found {
            let handle = object.handle;
            let removed = hsm.again_if_changed(|| {
                hsm::wait(|done| hsm.remove_found(&object, self.destroy, done))
            });
            match removed {
                Ok(Removed::ToTrash) if console.json() => trashed.push(handle.get()),
                Ok(Removed::Destroyed) if console.json() => destroyed.push(handle.get()),
                Ok(Removed::ToTrash) => {
                    output::print(&format!("Handle {handle} is in the trash\n"));
                }
                Ok(Removed::Destroyed) => {
                    output::print(&format!("Handle {handle} was destroyed\n"));
                }
                // The others go on; the last refusal is how the command ends.
                Err(error) => {
                    if console.json() {
                        kept.push(json!({
                            "handle": handle.get(),
                            "error": output::error_json(&error),
                        }));
                    } else {
                        output::print(&format!("Handle {handle} was not deleted: {error}\n"));
                    }
                    outcome = Err(error);
                }
            }
        }
        let document = json!({
            "slot": slot.0,
            "in_trash": trashed,
            "destroyed": destroyed,
            "not_deleted": kept,
        });
        output::with_document(console.json(), document, outcome)
    }
}

fn question(hsm: &Hsm, slot: SlotId, found: &[ObjectFile], destroys: bool) -> String {
    const SHOWN: usize = 8;
    let mut names = Vec::new();
    for &ObjectFile { id, handle, .. } in found.iter().take(SHOWN) {
        // One that cannot be opened can be destroyed all the same.
        names.push(match hsm.open_object(id) {
            Ok((_, object)) => format!(
                "{handle} ({} '{}')",
                class_name(object.class),
                show::escape(object.label())
            ),
            Err(_) => format!("{handle} (damaged)"),
        });
    }
    let more = match found.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = names.join(", ");
    let what = match destroys {
        true => "be destroyed",
        false => "go to the trash",
    };
    format!("slot {slot}: {names}{more} would {what}")
}
