//! `object delete`

use clap::Args;
use serde_json::json;

use super::each::{Found, Name, destroy_damaged, each, found};
use crate::cli::{Answer, Console, ForceAndSlot, confirm, or_none};
use crate::error::{Error, Result};
use crate::hsm::{self, DamagedRow, Hsm, ObjectFile, Removed};
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Handle, RowId, SlotId, show};

/// `object delete`
#[derive(Args)]
pub(crate) struct Delete {
    /// The objects, separated by commas
    #[arg(
        long,
        value_name = "H,...",
        value_delimiter = ',',
        required_unless_present = "row"
    )]
    handle: Vec<Handle>,
    /// Damaged objects without a handle, by their rows in the store, separated by commas. They are destroyed at once
    #[arg(
        long,
        value_name = "ROW,...",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    row: Vec<RowId>,
    /// Destroy them at once; do not keep them in the trash for the slot's retention
    #[arg(long)]
    destroy: bool,
    #[command(flatten)]
    args: ForceAndSlot,
}

fn name(it: &Found<ObjectFile>) -> Name {
    let handle = handle(it);
    Name {
        title: match (handle, it) {
            (None, Err(row)) => format!("The object of row {}", row.id),
            _ => format!("Handle {}", or_none(handle)),
        },
        fact: ("handle", json!(handle)),
    }
}

fn handle(it: &Found<ObjectFile>) -> Option<u32> {
    let handle = match it {
        Ok(object) => Some(object.handle),
        Err(row) => row.handle,
    };
    handle.map(Handle::get)
}

impl Delete {
    pub(super) fn run(mut self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.args.slot, &[Role::Co])?;
        self.handle.sort_unstable();
        self.handle.dedup();
        self.row.sort_unstable();
        self.row.dedup();
        // All are looked up first. When one does not exist, nothing is done to the others; and the objects that the
        // question is about are those that are removed, whatever has their handles by then.
        let handles = self
            .handle
            .iter()
            .map(|&handle| found(hsm.partition(slot).find(handle)));
        let rows = self.row.iter().map(|&row| by_row(&hsm, slot, row).map(Err));
        let all = handles
            .map(|it| it.map_err(Error::from))
            .chain(rows)
            .collect::<Result<Vec<_>>>()?;
        if !self.args.force {
            let destroys = self.destroy || hsm.partition(slot).row()?.retention_secs == 0;
            confirm(&question(&hsm, slot, &all, destroys))?;
        }
        let (mut trashed, mut destroyed) = (Vec::new(), Vec::new());
        let (failed, outcome) = each(console, &all, "deleted", name, |it| {
            let removed = match it {
                Ok(object) => hsm.again_if_changed(|| {
                    hsm::wait(|done| hsm.remove_found(object, self.destroy, done))
                })?,
                Err(row) if self.destroy || self.row.contains(&row.id) => {
                    destroy_damaged(&hsm, slot, row)?;
                    Removed::Destroyed
                }
                Err(row) => return Err(hsm::Error::ObjectDamaged(row.clone()).into()),
            };
            let (became, list) = match removed {
                Removed::ToTrash => ("is in the trash", &mut trashed),
                Removed::Destroyed => ("was destroyed", &mut destroyed),
            };
            list.push(handle(it));
            Ok(became.to_owned())
        });
        Ok(Answer::of_slot(slot)
            .fact("in_trash", trashed)
            .fact("destroyed", destroyed)
            .fact("not_deleted", failed)
            .ending(outcome))
    }
}

/// A damaged object of `slot`, or of no slot at all.
fn by_row(hsm: &Hsm, slot: SlotId, id: RowId) -> Result<DamagedRow> {
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

fn question(hsm: &Hsm, slot: SlotId, all: &[Found<ObjectFile>], destroys: bool) -> String {
    const SHOWN: usize = 8;
    let name = |it: &Found<ObjectFile>| match it {
        Ok(ObjectFile { id, handle, .. }) => match hsm.open_object(*id) {
            Ok((_, object)) => format!(
                "{handle} ({} '{}')",
                class_name(object.class),
                show::escape(object.label())
            ),
            // An object that cannot be opened can be destroyed all the same.
            Err(_) => format!("{handle} (damaged)"),
        },
        Err(row) => match row.handle {
            Some(handle) => format!("{handle} (damaged)"),
            None => format!("row {} (damaged)", row.id),
        },
    };
    let names: Vec<String> = all.iter().take(SHOWN).map(name).collect();
    let names = names.join(", ");
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    // Damaged rows cannot go to the trash.
    let what = match destroys || all.iter().all(Result::is_err) {
        true => "be destroyed",
        false => "go to the trash",
    };
    format!("slot {slot}: {names}{more} would {what}")
}
