//! `object set`

use clap::Args;

use super::{Id, hex};
use crate::cli::{Answer, Console, SlotArg};
use crate::error::Result;
use crate::hsm::{Described, SlotError};
use crate::object::partition::Role;
use crate::object::{Handle, changes, show};

/// `object set`
#[derive(Args)]
pub(crate) struct Set {
    /// The object
    #[arg(long, value_name = "H")]
    handle: Handle,
    #[command(flatten)]
    new: New,
    #[command(flatten)]
    slot: SlotArg,
}

/// What changes.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct New {
    /// New label (CKA_LABEL)
    #[arg(short, long)]
    label: Option<String>,
    /// New id (CKA_ID), in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = hex)]
    id: Option<Id>,
    /// Attributes to change, such as sign=false,end_date=2026-12-31; repeatable
    #[arg(long, value_name = "NAME=VALUE,...")]
    attribute: Vec<String>,
}

impl Set {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[Role::Co])?;
        let (handle, new) = (self.handle, self.new);
        let texts = new.attribute.iter().map(String::as_str);
        let changes = changes::parse(new.label.as_deref(), new.id.map(|id| id.0), texts)
            .map_err(|why| SlotError::NotDescribed { handle, why }.at(slot))?;
        let Described { object, replaced } =
            hsm.partition(slot).set_attributes(handle, &changes)?;
        let revision = object.revision.number;
        let text = match replaced {
            Some(_) => format!("Handle {handle} is now revision {revision}\n"),
            None => {
                format!("Handle {handle} has these attributes already, in revision {revision}\n")
            }
        };
        Ok(Answer::of_slot(slot)
            .fact("handle", handle.get())
            .fact("changed", replaced.is_some())
            .fact("object", show::json(&object))
            .text(text))
    }
}
