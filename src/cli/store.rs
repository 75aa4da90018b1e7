//! `store check` and `store backup`

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::{self, CheckedSlot, Finding, Hsm, SlotError, SlotFault};
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::{SlotId, show};

/// Who can open a slot's objects.
const ROLES: [Role; 2] = [Role::Co, Role::Cu];

/// How often a login is tried while others change the slot.
const LOGINS: usize = 5;

/// What can be done with the store as a whole.
#[derive(Subcommand)]
pub enum Verb {
    /// Read every row and say what is damaged; repairs nothing, but wrong counts where it is told to
    ///
    /// What is in a slot is opened as well where its password is given. A mounted store can be checked.
    #[command(
        after_help = "Example:\n  slotfs store check --password-file 0=pw-0 --password-file 1=pw-1\n\nJSON:\n  {\"slots\":[{\"slot\":0,\"objects\":12,\"opened\":12,\"findings\":[{\"handle\":5,\"row\":9,\"what\":\"...\"}]}],\n   \"store\":[{\"row\":null,\"what\":\"...\"}],\"clean\":false,\"error\":{...}}\n  opened is null where nobody is logged in; handle and row where a finding is about neither"
    )]
    Check {
        /// Only this slot, and ask for its password; repeatable [default: every slot]
        #[arg(short, long)]
        slot: Vec<SlotId>,
        /// First count the objects of each slot anew, where nothing but the count is wrong
        #[arg(long)]
        repair: bool,
    },
    /// Copy the store to a file, also while it is mounted and written to
    ///
    /// The file is a store itself: whoever has it needs a slot's password to open the slot, and nothing else.
    /// To restore, stop what uses the store, remove the old one with its -wal and -shm, and put the file there.
    #[command(after_help = "Example:\n  slotfs store backup /backup/store-monday.db")]
    Backup {
        /// The file to write
        file: PathBuf,
        /// Replace the file when it exists
        #[arg(short, long)]
        force: bool,
    },
}

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::Check { slot, repair } => check(console, slot, repair),
            Self::Backup { file, force } => backup(console, &file, force),
        }
    }
}

fn check(console: &Console<'_>, given: Vec<SlotId>, repair: bool) -> Result<Ended> {
    let hsm = match repair {
        true => console.open()?,
        false => console.open_to_check()?,
    };
    let there = hsm.slot_numbers()?;
    if let Some(&slot) = given.iter().find(|slot| !there.contains(slot)) {
        return Err(SlotError::Stored(SlotFault::Missing).at(slot).into());
    }
    let mut report = Report {
        keep: console.json(),
        ..Report::default()
    };
    let ask = !given.is_empty() && console.kept().is_none() && io::stdin().is_terminal();
    let slots: BTreeSet<SlotId> = if given.is_empty() { there } else { given }
        .into_iter()
        .collect();
    let slots: Vec<SlotId> = slots.into_iter().collect();
    if repair {
        for &slot in &slots {
            match hsm.partition(slot).recount() {
                // The check says what is wrong besides.
                Ok(_) => {}
                Err(error) if error.is_damage() => output::tell_error(&error.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    // All of them first: a wrong password is told before anything takes long.
    for &slot in &slots {
        match login(console, &hsm, slot, ask) {
            Err(error) if error.is_damage() => {
                let what = error.reason();
                report.add(Finding {
                    slot: Some(slot),
                    handle: None,
                    row: None,
                    what: format!("it cannot be logged in to: {what}"),
                });
            }
            outcome => outcome?,
        }
    }
    let checked = hsm.check(&slots, &mut |finding| report.add(finding))?;
    let outcome = match report.count {
        0 => Ok(()),
        count => {
            let (path, findings) = (crate::shown::path(hsm.path()), plural(count, "finding"));
            Err(hsm::Error::Damaged(format!("{path} has {findings}")).into())
        }
    };
    if !console.json() {
        report.print(&checked);
    }
    output::with_document(console.json(), report.document(&checked), outcome)
}

/// Logs in where a password is on file, or can be asked for.
fn login(console: &Console<'_>, hsm: &Hsm, slot: SlotId, ask: bool) -> Result<()> {
    if hsm.partition(slot).session().is_ok() {
        return Ok(());
    }
    let mut on_file = false;
    for role in ROLES {
        on_file |= console.secret_on_file(hsm, slot, role)?.is_some();
    }
    if !on_file && !ask {
        return Ok(());
    }
    for _ in 1..LOGINS {
        match console.login(hsm, slot, &ROLES) {
            Err(error) if error.is_changed() => {}
            outcome => return outcome,
        }
    }
    console.login(hsm, slot, &ROLES)
}

/// What was found: printed as it comes, or kept for one document.
#[derive(Default)]
struct Report {
    keep: bool,
    count: u64,
    by_slot: BTreeMap<SlotId, u64>,
    kept: Vec<Finding>,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        self.count += 1;
        if let Some(slot) = finding.slot {
            *self.by_slot.entry(slot).or_default() += 1;
        }
        if self.keep {
            self.kept.push(finding);
        } else {
            // What SQLite says may quote what somebody planted.
            output::print(&format!("{}\n", show::escape(&finding.to_string())));
        }
    }

    fn print(&self, checked: &[CheckedSlot]) {
        if self.count > 0 {
            output::print("\n");
        }
        for it in checked {
            let CheckedSlot { slot, objects, .. } = it;
            let found = self.by_slot.get(slot).copied().unwrap_or(0);
            let read = plural(*objects, "row");
            output::print(&match it.opened {
                Some(opened) => format!(
                    "slot {slot}: {read} read, {opened} opened, {}\n",
                    plural(found, "finding")
                ),
                None => format!(
                    "slot {slot}: not logged in, its {read} {} read but not opened, {}\n",
                    if *objects == 1 { "was" } else { "were" },
                    plural(found, "finding")
                ),
            });
        }
        output::print(&match self.count {
            0 => "The store is clean.\n".to_owned(),
            count => format!("{} in all.\n", plural(count, "finding")),
        });
    }

    fn document(&self, checked: &[CheckedSlot]) -> Value {
        let of = |slot: Option<SlotId>| self.kept.iter().filter(move |it| it.slot == slot);
        let others = self
            .by_slot
            .keys()
            .filter(|slot| !checked.iter().any(|it| it.slot == **slot));
        // Not asked for, and damaged all the same.
        let others = others.map(|slot| {
            json!({
                "slot": slot.0,
                "objects": Value::Null,
                "opened": Value::Null,
                "findings": of(Some(*slot))
                    .map(|it| json!({ "handle": it.handle, "row": it.row, "what": it.what }))
                    .collect::<Vec<_>>(),
            })
        });
        let slots: Vec<Value> = checked
            .iter()
            .map(|it| {
                json!({
                    "slot": it.slot.0,
                    "objects": it.objects,
                    "opened": it.opened,
                    "findings": of(Some(it.slot))
                        .map(|it| json!({ "handle": it.handle, "row": it.row, "what": it.what }))
                        .collect::<Vec<_>>(),
                })
            })
            .chain(others)
            .collect();
        let store: Vec<Value> = of(None)
            .map(|it| json!({ "row": it.row, "what": it.what }))
            .collect();
        json!({ "slots": slots, "store": store, "clean": self.count == 0 })
    }
}

fn plural(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn backup(console: &Console<'_>, file: &Path, force: bool) -> Result<Ended> {
    if file.as_os_str() == "-" {
        // No data goes there, but who wrote this may read it as data.
        output::data_on_stdout(!console.json());
        return Err(Error::Usage(
            "a store cannot be copied to standard output; name a file (./- for one that is called -)".into(),
        ));
    }
    let hsm = console.open_to_look()?;
    let interrupt = Interrupt::watch();
    let bytes = hsm.backup(file, force, &|| interrupt.pressed())?;
    let store = crate::shown::path(hsm.path()).to_string();
    if console.json() {
        output::print_json(&json!({
            "store": store,
            "file": crate::shown::path(file).to_string(),
            "bytes": bytes,
        }));
    } else {
        output::print(&format!(
            "Store {store} was copied to {}, {bytes} bytes.\n",
            crate::shown::path(file)
        ));
    }
    Ok(Ended::WithResult)
}
