//! `object trash`, `object restore` and `object destroy`

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, DamagedRow, Hsm, TrashFile, TrashName};
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Handle, SlotId, show};

/// Rows asked for at a time.
const AT_ONCE: usize = 256;

/// `object trash`
#[derive(Args)]
pub struct List {
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// `object restore`
#[derive(Args)]
pub struct Restore {
    /// Their names in the trash, separated by commas
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', required = true)]
    trash: Vec<TrashName>,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// `object destroy`
#[derive(Args)]
pub struct Destroy {
    /// Their names in the trash, separated by commas, or all
    #[arg(long, value_name = "NAME,...|all")]
    trash: Which,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
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

impl List {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open_to_look()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co, Role::Cu])?;
        let (mut rows, mut documents) = (Vec::new(), Vec::new());
        let mut damaged = Ok(());
        let (found, unreadable) = all(&hsm, slot)?;
        for it in found {
            let (class, label) = match hsm.open_trashed(&it) {
                Ok(object) => (class_name(object.class), object.label().to_owned()),
                // Destroyed since it was listed.
                Err(hsm::Error::Gone) => continue,
                Err(error) => {
                    if let Err(error) = std::mem::replace(&mut damaged, Err(error)) {
                        output::tell_error(&error.into());
                    }
                    ("damaged".into(), String::new())
                }
            };
            let (name, ouid) = (it.name.to_string(), it.object.ouid.to_string());
            let (since, until) = (
                show::iso_8601(it.trashed_secs),
                show::iso_8601(it.until_secs),
            );
            documents.push(json!({
                "trash": name,
                "handle": it.object.handle.get(),
                "class": class,
                "label": label,
                "ouid": ouid,
                "deleted": since,
                "until": until,
            }));
            let label = show::escape(&label);
            rows.push(vec![name, class, ouid, since, until, label]);
        }
        for row in unreadable {
            let name = name_of(&row);
            let ouid = row.ouid.map(|ouid| ouid.to_string());
            documents.push(json!({
                "trash": name,
                "handle": row.handle.map(Handle::get),
                "class": "damaged",
                "label": "",
                "ouid": ouid,
                "deleted": Value::Null,
                "until": Value::Null,
                "row": row.id,
                "damage": row.to_string(),
            }));
            let dash = || "-".to_owned();
            rows.push(vec![
                name.unwrap_or_else(dash),
                "damaged".to_owned(),
                ouid.unwrap_or_else(dash),
                dash(),
                dash(),
                String::new(),
            ]);
            // Each has a line of its own; the last is how the command ends.
            let before = std::mem::replace(&mut damaged, Err(hsm::Error::ObjectDamaged(row)));
            if let Err(error) = before {
                output::tell_error(&error.into());
            }
        }
        if let Err(error) = hsm.partition(slot).check_trash_count()
            && let Err(error) = std::mem::replace(&mut damaged, Err(error))
        {
            output::tell_error(&error.into());
        }
        if !console.json() {
            let heading = ["Trash", "Class", "OUID", "Deleted", "Until", "Label"];
            output::print(&output::table(&heading, &rows));
        }
        let document = json!({ "slot": slot.0, "trash": documents });
        output::with_document(console.json(), document, damaged.map_err(Error::from))
    }
}

impl Restore {
    pub(super) fn run(mut self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co])?;
        let found = named(&hsm, slot, &mut self.trash)?;
        each(console, slot, found, "restored", |it| {
            let it = match it {
                Found::Whole(it) => it,
                Found::Damaged(row) => return Err(hsm::Error::ObjectDamaged(row.clone()).into()),
            };
            let Arrived { handle, already } = restore(&hsm, it)?;
            let name = it.name;
            let text = match already {
                true => format!("{name} is in the slot already, as handle {handle}"),
                false => format!("{name} is handle {handle} again"),
            };
            Ok((
                text,
                json!({ "trash": name.to_string(), "handle": handle.get() }),
            ))
        })
    }
}

/// Under its old handle, or another when that one is taken by now.
fn restore(hsm: &Hsm, it: &TrashFile) -> hsm::Result<Arrived> {
    let again = |want| hsm.again_if_changed(|| hsm::wait(|done| hsm.restore(it, want, done)));
    match again(Some(it.object.handle)) {
        Err(error) if error.is_handle_taken() => again(None),
        outcome => outcome,
    }
}

impl Destroy {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co])?;
        let found = match self.trash {
            Which::All => {
                let (found, unreadable) = all(&hsm, slot)?;
                let whole = found.into_iter().map(Found::Whole);
                let unreadable = unreadable.into_iter().map(Found::Damaged);
                whole.chain(unreadable).collect()
            }
            Which::These(mut names) => named(&hsm, slot, &mut names)?,
        };
        if !self.force && !found.is_empty() {
            confirm(&format!(
                "slot {slot}: {} objects in the trash would be destroyed",
                found.len()
            ))?;
        }
        each(console, slot, found, "destroyed", |it| {
            hsm.again_if_changed(|| {
                hsm::wait(|done| match it {
                    Found::Whole(it) => hsm.destroy_trashed(it, done),
                    Found::Damaged(row) => hsm.partition(slot).destroy_damaged(row.clone(), done),
                })
            })?;
            let name = it.name();
            Ok((format!("{name} was destroyed"), json!({ "trash": name })))
        })
    }
}

/// What is in the trash under a name.
enum Found {
    Whole(TrashFile),
    /// Its row cannot be used: it can be destroyed.
    Damaged(DamagedRow),
}

impl Found {
    fn name(&self) -> String {
        match self {
            Self::Whole(it) => it.name.to_string(),
            Self::Damaged(row) => name_of(row).unwrap_or_else(|| format!("row {}", row.id)),
        }
    }
}

fn name_of(row: &DamagedRow) -> Option<String> {
    let (handle, nth) = (row.handle?, row.nth.filter(|nth| *nth > 0)?);
    Some(TrashName { handle, nth }.to_string())
}

/// Everything in the trash, and what of it is damaged.
fn all(hsm: &Hsm, slot: SlotId) -> Result<(Vec<TrashFile>, Vec<DamagedRow>)> {
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    // A damaged row may have any number.
    let mut after = i64::MIN;
    loop {
        let page = hsm.partition(slot).list_trash(after, AT_ONCE)?;
        if page.is_empty() {
            whole.sort_by_key(|it: &TrashFile| it.name);
            return Ok((whole, damaged));
        }
        for found in page {
            match found {
                Ok(it) => {
                    after = it.object.id;
                    whole.push(it);
                }
                Err(row) => {
                    after = row.id;
                    damaged.push(row);
                }
            }
        }
    }
}

/// All of these: a list with a mistake in it does nothing.
fn named(hsm: &Hsm, slot: SlotId, names: &mut Vec<TrashName>) -> Result<Vec<Found>> {
    names.sort_unstable();
    names.dedup();
    names
        .iter()
        .map(|&name| match hsm.partition(slot).find_trashed(name) {
            Ok(it) => Ok(Found::Whole(it)),
            Err(hsm::Error::ObjectDamaged(row)) => Ok(Found::Damaged(row)),
            Err(error) => Err(error.into()),
        })
        .collect()
}

/// Does `act` to each and prints what it says; one that fails gets a line of its own, and the others go on.
fn each(
    console: &Console<'_>,
    slot: SlotId,
    found: Vec<Found>,
    done: &str,
    act: impl Fn(&Found) -> Result<(String, Value)>,
) -> Result<Ended> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let mut outcome = Ok(());
    for it in found {
        let name = it.name();
        match act(&it) {
            Ok((text, document)) => {
                good.push(document);
                if !console.json() {
                    output::print(&format!("{text}\n"));
                }
            }
            Err(error) => {
                bad.push(json!({
                    "trash": name,
                    "error": output::error_json(&error),
                }));
                if !console.json() {
                    output::print(&format!("{name} was not {done}: {error}\n"));
                }
                outcome = Err(error);
            }
        }
    }
    let mut document = json!({ "slot": slot.0 });
    document[done] = good.into();
    document[format!("not_{done}")] = bad.into();
    output::with_document(console.json(), document, outcome)
}
