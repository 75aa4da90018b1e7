//! `object trash`, `object restore` and `object destroy`

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::each::{Found, Name, destroy_damaged, each, found};
use crate::cli::{Answer, Console, Failures, ForceAndSlot, NONE, Rows, SlotArg, confirm, or_none};
use crate::error::Result;
use crate::hsm::{self, Arrived, Became, DamagedRow, Hsm, TrashFile, TrashName};
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Handle, RowId, SlotId, show};

/// Rows asked for at a time.
const AT_ONCE: usize = 256;

/// `object restore`
#[derive(Args)]
pub(crate) struct Restore {
    /// Their names in the trash, separated by commas
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', required = true)]
    trash: Vec<TrashName>,
    #[command(flatten)]
    slot: SlotArg,
}

/// `object destroy`
#[derive(Args)]
pub(crate) struct Destroy {
    /// Their names in the trash, separated by commas, or all
    #[arg(long, value_name = "NAME,...|all")]
    trash: Which,
    #[command(flatten)]
    args: ForceAndSlot,
}

#[derive(Clone)]
enum Which {
    All,
    These(Vec<TrashName>),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let names = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self::These(names))
    }
}

/// `object trash`
pub(crate) fn list(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[Role::Co, Role::Cu])?;
    let mut rows = Rows::new(&["Trash", "Class", "OUID", "Deleted", "Until", "Label"]);
    let mut failures = Failures::none();
    for it in all(&hsm, slot)? {
        let it = match it {
            Ok(it) => it,
            Err(row) => {
                let (name, ouid) = (name_of(&row), row.ouid.map(|ouid| ouid.to_string()));
                let (name_cell, ouid_cell) = (or_none(name.as_ref()), or_none(ouid.as_ref()));
                rows.add(
                    &[&name_cell, &"damaged", &ouid_cell, &NONE, &NONE, &""],
                    json!({
                        "trash": name, "handle": row.handle.map(Handle::get), "class": "damaged",
                        "label": "", "ouid": ouid, "deleted": Value::Null, "until": Value::Null,
                        "row": row.id.0, "damage": row.to_string(),
                    }),
                );
                failures.add(hsm::Error::ObjectDamaged(row));
                continue;
            }
        };
        let (class, label) = match hsm.open_trashed(&it) {
            Ok(object) => (class_name(object.class), object.label().to_owned()),
            // It was destroyed after it was listed.
            Err(hsm::Error::Gone) => continue,
            Err(error) => {
                failures.add(error);
                ("damaged".into(), String::new())
            }
        };
        let (name, ouid) = (it.name.to_string(), it.object.ouid.to_string());
        let since = show::iso_8601(it.trashed_secs);
        let until = show::iso_8601(it.until_secs);
        let escaped = show::escape(&label);
        rows.add(
            &[&name, &class, &ouid, &since, &until, &escaped],
            json!({
                "trash": name, "handle": it.object.handle.get(), "class": class, "label": label,
                "ouid": ouid, "deleted": since, "until": until,
            }),
        );
    }
    if let Err(error) = hsm.partition(slot).check_trash_count() {
        failures.add(error);
    }
    let answer = Answer::of_slot(slot).rows("trash", rows);
    Ok(answer.ending(failures.outcome()))
}

impl Restore {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[Role::Co])?;
        let found = named(&hsm, slot, self.trash)?;
        let mut restored = Vec::new();
        let (failed, outcome) = each(console, &found, "restored", name, |it| {
            let it = it
                .as_ref()
                .map_err(|row| hsm::Error::ObjectDamaged(row.clone()))?;
            let Arrived { handle, became } = restore(&hsm, it)?;
            restored.push(json!({ "trash": it.name.to_string(), "handle": handle.get() }));
            Ok(match became {
                Became::Already => format!("is in the slot already, as handle {handle}"),
                Became::Revised { revision, .. } => {
                    format!("is handle {handle} again, revision {revision} of it")
                }
                Became::New | Became::Outdated => format!("is handle {handle} again"),
            })
        });
        Ok(Answer::of_slot(slot)
            .fact("restored", restored)
            .fact("not_restored", failed)
            .ending(outcome))
    }
}

/// Restores under the old handle, or another when that one is taken.
fn restore(hsm: &Hsm, it: &TrashFile) -> hsm::Result<Arrived> {
    let again = |want| hsm.again_if_changed(|| hsm::wait(|done| hsm.restore(it, want, done)));
    match again(Some(it.object.handle)) {
        Err(error) if error.is_handle_taken() => again(None),
        outcome => outcome,
    }
}

impl Destroy {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.args.slot, &[Role::Co])?;
        let is_all = matches!(self.trash, Which::All);
        let found = match self.trash {
            Which::All => all(&hsm, slot)?,
            Which::These(names) => named(&hsm, slot, names)?,
        };
        if !self.args.force && !found.is_empty() {
            confirm(&format!(
                "slot {slot}: {} objects in the trash would be destroyed",
                found.len()
            ))?;
        }
        let mut destroyed = Vec::new();
        let (failed, outcome) = each(console, &found, "destroyed", name, |it| {
            match it {
                Ok(it) => {
                    hsm.again_if_changed(|| hsm::wait(|done| hsm.destroy_trashed(it, done)))?;
                }
                Err(row) => destroy_damaged(&hsm, slot, row)?,
            }
            destroyed.push(json!({ "trash": name(it).title }));
            Ok("was destroyed".to_owned())
        });
        // The trash was read as a whole, so a wrong count shows, as in a list.
        let outcome = match is_all {
            true => outcome.and_then(|()| Ok(hsm.partition(slot).check_trash_count()?)),
            false => outcome,
        };
        Ok(Answer::of_slot(slot)
            .fact("destroyed", destroyed)
            .fact("not_destroyed", failed)
            .ending(outcome))
    }
}

fn name(it: &Found<TrashFile>) -> Name {
    let title = match it {
        Ok(it) => it.name.to_string(),
        Err(row) => name_of(row).unwrap_or_else(|| format!("row {}", row.id)),
    };
    Name {
        fact: ("trash", title.clone().into()),
        title,
    }
}

fn name_of(row: &DamagedRow) -> Option<String> {
    let (handle, nth) = (row.handle?, row.nth.filter(|nth| *nth > 0)?);
    Some(TrashName { handle, nth }.to_string())
}

/// Everything in the trash, sorted by name; damaged rows at the end.
fn all(hsm: &Hsm, slot: SlotId) -> Result<Vec<Found<TrashFile>>> {
    let mut all = Vec::new();
    // A damaged row may have any number.
    let mut after = RowId::BELOW_ALL;
    loop {
        let page = hsm.partition(slot).list_trash(after, AT_ONCE)?;
        let Some(last) = page.last() else {
            all.sort_by_key(|it: &Found<TrashFile>| match it {
                Ok(it) => (false, Some(it.name)),
                Err(_) => (true, None),
            });
            return Ok(all);
        };
        after = match last {
            Ok(it) => it.object.id,
            Err(row) => row.id,
        };
        all.extend(page);
    }
}

/// Everything of these names. When one of them does not exist, nothing is done to the others.
fn named(hsm: &Hsm, slot: SlotId, mut names: Vec<TrashName>) -> Result<Vec<Found<TrashFile>>> {
    names.sort_unstable();
    names.dedup();
    let names = names.into_iter();
    names
        .map(|name| Ok(found(hsm.partition(slot).find_trashed(name))?))
        .collect()
}
