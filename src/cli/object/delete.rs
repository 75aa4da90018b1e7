//! `object delete`

use clap::Args;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::{self, DamagedRow, Hsm, ObjectFile, Removed};
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Handle, SlotId, show};

/// `object delete`
#[derive(Args)]
pub struct Delete {
    /// The objects, separated by commas
    #[arg(
        long,
        value_name = "H,...",
        value_delimiter = ',',
        required_unless_present = "row"
    )]
    handle: Vec<Handle>,
    /// Damaged objects by their row in the store, separated by commas: for those that have no handle. They are destroyed at once
    #[arg(
        long,
        value_name = "ROW,...",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    row: Vec<i64>,
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

/// What was named.
enum Named {
    Whole(ObjectFile),
    /// Its row cannot be used: it can be destroyed, and nothing else.
    Damaged(DamagedRow),
}

impl Named {
    /// As lines begin that say what became of it.
    fn title(&self) -> String {
        match self {
            Self::Whole(ObjectFile { handle, .. })
            | Self::Damaged(DamagedRow {
                handle: Some(handle),
                ..
            }) => format!("Handle {handle}"),
            Self::Damaged(row) => format!("The object of row {}", row.id),
        }
    }

    fn handle(&self) -> Option<Handle> {
        match self {
            Self::Whole(object) => Some(object.handle),
            Self::Damaged(row) => row.handle,
        }
    }
}

impl Delete {
    pub(super) fn run(mut self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co])?;
        self.handle.sort_unstable();
        self.handle.dedup();
        self.row.sort_unstable();
        self.row.dedup();
        // All of them are looked at first: a list with a mistake in it destroys nothing, and what is destroyed is
        // what was asked about, whatever has its handle by then.
        let mut found = self
            .handle
            .iter()
            .map(|&handle| match hsm.partition(slot).find(handle) {
                Ok(object) => Ok(Named::Whole(object)),
                Err(hsm::Error::ObjectDamaged(row)) => Ok(Named::Damaged(row)),
                Err(error) => Err(error.into()),
            })
            .collect::<Result<Vec<_>>>()?;
        for &row in &self.row {
            found.push(Named::Damaged(by_row(&hsm, slot, row)?));
        }
        if !self.force {
            let destroys = self.destroy || hsm.partition(slot).row()?.retention_secs == 0;
            confirm(&question(&hsm, slot, &found, destroys))?;
        }
        let (mut trashed, mut destroyed, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcome = Ok(());
        for it in found {
            let title = it.title();
            let handle = it.handle().map(Handle::get);
            let removed = match &it {
                Named::Whole(object) => hsm.again_if_changed(|| {
                    hsm::wait(|done| hsm.remove_found(object, self.destroy, done))
                }),
                Named::Damaged(row) if self.destroy || self.row.contains(&row.id) => hsm
                    .again_if_changed(|| {
                        hsm::wait(|done| hsm.partition(slot).destroy_damaged(row.clone(), done))
                    })
                    .map(|()| Removed::Destroyed),
                Named::Damaged(row) => Err(hsm::Error::ObjectDamaged(row.clone())),
            };
            match removed {
                Ok(Removed::ToTrash) if console.json() => trashed.push(handle),
                Ok(Removed::Destroyed) if console.json() => destroyed.push(handle),
                Ok(Removed::ToTrash) => {
                    output::print(&format!("{title} is in the trash\n"));
                }
                Ok(Removed::Destroyed) => {
                    output::print(&format!("{title} was destroyed\n"));
                }
                // The others go on; the last refusal is how the command ends.
                Err(error) => {
                    let error = Error::from(error);
                    if console.json() {
                        kept.push(json!({
                            "handle": handle,
                            "error": output::error_json(&error),
                        }));
                    } else {
                        output::print(&format!("{title} was not deleted: {error}\n"));
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

/// A damaged object of `slot`, or of no slot at all.
fn by_row(hsm: &Hsm, slot: SlotId, id: i64) -> Result<DamagedRow> {
    let row = match hsm.damaged_row(id) {
        Ok(row) => row,
        Err(hsm::Error::Gone) => {
            return Err(Error::Usage(format!(
                "slot {slot}: there is no object in row {id}; 'slotfs store check' names the rows"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    match row.slot {
        Some(of) if of != slot && hsm.partition(of).mark()?.is_some() => Err(Error::Usage(
            format!("row {id} is an object of slot {of}: give -slot {of}"),
        )),
        _ => Ok(row),
    }
}

fn question(hsm: &Hsm, slot: SlotId, found: &[Named], destroys: bool) -> String {
    const SHOWN: usize = 8;
    let mut names = Vec::new();
    for it in found.iter().take(SHOWN) {
        names.push(match it {
            Named::Whole(ObjectFile { id, handle, .. }) => match hsm.open_object(*id) {
                Ok((_, object)) => format!(
                    "{handle} ({} '{}')",
                    class_name(object.class),
                    show::escape(object.label())
                ),
                // One that cannot be opened can be destroyed all the same.
                Err(_) => format!("{handle} (damaged)"),
            },
            Named::Damaged(row) => match row.handle {
                Some(handle) => format!("{handle} (damaged)"),
                None => format!("row {} (damaged)", row.id),
            },
        });
    }
    let more = match found.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = names.join(", ");
    let what = match destroys {
        true => "be destroyed",
        // A damaged one cannot go there.
        false if found.iter().all(|it| matches!(it, Named::Damaged(_))) => "be destroyed",
        false => "go to the trash",
    };
    format!("slot {slot}: {names}{more} would {what}")
}
