//! `object delete`

use clap::Args;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::credential::Role;
use crate::error::Result;
use crate::hsm::{self, Hsm};
use crate::object::pkcs11::class_name;
use crate::object::{Handle, SlotId, show};

/// `object delete`
#[derive(Args)]
pub struct Delete {
    /// The objects, separated by commas
    #[arg(long, value_name = "H,...", value_delimiter = ',', required = true)]
    handle: Vec<Handle>,
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
        // All of them are looked at first: a list with a mistake in it destroys nothing.
        for &handle in &self.handle {
            hsm.find(slot, handle)?;
        }
        if !self.force {
            confirm(&question(&hsm, slot, &self.handle)?)?;
        }
        let (mut destroyed, mut kept) = (Vec::new(), Vec::new());
        let mut outcome = Ok(());
        for handle in self.handle {
            match hsm::wait(|done| hsm.destroy(slot, handle, done)) {
                Ok(()) if console.json() => destroyed.push(handle.get()),
                Ok(()) => output::print(&format!("Handle {handle} was destroyed\n")),
                // The others go on; the last refusal is how the command ends.
                Err(error) => {
                    if console.json() {
                        kept.push(json!({
                            "handle": handle.get(),
                            "error": output::error_json(&error),
                        }));
                    } else {
                        output::print(&format!("Handle {handle} was not destroyed: {error}\n"));
                    }
                    outcome = Err(error);
                }
            }
        }
        if console.json() {
            output::print_json(
                &json!({ "slot": slot.0, "destroyed": destroyed, "not_destroyed": kept }),
            );
        }
        outcome.map(|()| Ended::WithResult)
    }
}

fn question(hsm: &Hsm, slot: SlotId, handles: &[Handle]) -> Result<String> {
    const SHOWN: usize = 8;
    let mut names = Vec::new();
    for &handle in handles.iter().take(SHOWN) {
        // One that cannot be opened can be destroyed all the same.
        names.push(match hsm.open_object(hsm.find(slot, handle)?.id) {
            Ok((_, object)) => format!(
                "{handle} ({} '{}')",
                class_name(object.class),
                show::escape(object.label())
            ),
            Err(_) => format!("{handle} (damaged)"),
        });
    }
    let more = match handles.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = names.join(", ");
    Ok(format!("slot {slot}: {names}{more} would be destroyed"))
}
