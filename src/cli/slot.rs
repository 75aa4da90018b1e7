//! What can be done with slots: list them, choose one, show what is set.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::{Answer, Console, Failures, SlotArg, or_none, output};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, ListedSlot, SlotRow};
use crate::object::partition::SlotKind;
use crate::object::{SlotId, show};

mod config;

/// What stands for the hardware's model; PKCS#11 says the same.
const MODEL: &str = "slotfs";
/// What stands for the hardware's firmware.
const FIRMWARE: &str = env!("CARGO_PKG_VERSION");
/// lunacm's word for a slot in the machine itself.
const DESCRIPTION: &str = "User Token Slot";

/// What can be done with slots.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the slots of the store
    #[command(after_help = "Example:\n  slotfs slot list --json")]
    List,
    /// Make a slot the active one until the shell ends
    #[command(after_help = "Example, in the shell:\n  slot set -slot 1")]
    Set {
        /// The slot
        #[arg(short, long)]
        slot: SlotId,
    },
    /// Show what is set for a slot, and which command changes it
    #[command(after_help = "Example:\n  slotfs slot configshow -slot 0")]
    Configshow(SlotArg),
    /// Here nothing is configured by it: its refusal names the commands that change what 'slot configshow' shows
    #[command(
        after_help = "Example of what to use instead:\n  slotfs partition set -retention 30d -slot 0"
    )]
    Configset(config::ConfigSet),
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::List => list(console),
            Self::Set { slot } => set(console, slot),
            Self::Configshow(slot) => config::show(console, slot),
            Self::Configset(set) => set.run(),
        }
    }
}

fn list(console: &Console<'_>) -> Result<Answer> {
    let hsm = console.open_to_read()?;
    let slots = inspected(&hsm)?;
    let described = described(&hsm, &slots)?;
    let current = console.slot(&hsm, None).ok();
    let current_line = current.map(|slot| format!("\n        Current Slot Id: {slot}\n"));
    let text = text(&described) + &current_line.unwrap_or_default();
    let facts: Vec<Value> = described.into_iter().map(|it| it.facts).collect();
    let answer = Answer::new(json!({ "current_slot": current.map(|slot| slot.0) }))
        .fact("slots", facts)
        .text(text);
    let mut failures = Failures::none();
    for it in slots {
        let damage = match (it.row, it.slot) {
            (Ok(_), Some(slot)) => hsm.partition(slot).usage().map(drop),
            (row, _) => row.map(drop),
        };
        if let Err(error) = damage {
            failures.add(error);
        }
    }
    Ok(match failures.outcome() {
        // The document of a list without damage has no error, not even null.
        Ok(()) => answer,
        damaged => answer.ending(damaged),
    })
}

/// The slots as `slot list` shows them.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn table(hsm: &Hsm) -> Result<String> {
    Ok(text(&described(hsm, &inspected(hsm)?)?))
}

/// The slots of the store, each with the damage that can be found without a login.
fn inspected(hsm: &Hsm) -> Result<Vec<ListedSlot>> {
    let mut slots = hsm.slots()?;
    for it in &mut slots {
        if let (Ok(_), Some(slot)) = (&it.row, it.slot)
            && let Err(error) = hsm.partition(slot).inspect()
            // A slot that was deleted since it was listed is not damaged.
            && error.is_damage()
        {
            it.row = Err(error);
        }
    }
    Ok(slots)
}

/// A slot as `slot list` shows it.
struct Described {
    /// For people, in lunacm's words and order.
    pairs: Vec<(String, String)>,
    facts: Value,
}

fn described(hsm: &Hsm, slots: &[ListedSlot]) -> Result<Vec<Described>> {
    slots.iter().map(|it| describe(hsm, it)).collect()
}

fn describe(hsm: &Hsm, it: &ListedSlot) -> Result<Described> {
    let number = or_none(it.slot);
    let named = |pairs: Vec<(&str, String)>| {
        let pairs = pairs.into_iter();
        pairs.map(|(name, it)| (name.to_owned(), it)).collect()
    };
    let row = match &it.row {
        Ok(row) => row,
        Err(error) => {
            return Ok(Described {
                pairs: named(vec![("Slot Id", number), ("Label", "(damaged)".to_owned())]),
                facts: json!({ "slot": it.slot.map(|slot| slot.0), "damage": error.to_string() }),
            });
        }
    };
    let usage = match hsm.partition(row.slot).usage() {
        Ok(usage) => Some(usage),
        Err(error) if error.is_damage() => None,
        Err(error) => return Err(error.into()),
    };
    let objects = usage.map(|(objects, _)| objects);
    let configuration = configuration(row);
    Ok(Described {
        pairs: named(vec![
            ("Slot Id", number),
            ("Label", show::escape(&row.label)),
            ("Serial Number", row.serial.to_string()),
            ("Model", MODEL.to_owned()),
            ("Firmware Version", FIRMWARE.to_owned()),
            ("Configuration", configuration.clone()),
            ("Slot Description", DESCRIPTION.to_owned()),
            ("Partition Version", row.version.to_string()),
            (
                "Objects",
                format!("{} of {}", or_none(objects), row.capacity_objects),
            ),
        ]),
        facts: json!({
            "slot": row.slot.0, "label": row.label, "serial": row.serial, "model": MODEL,
            "firmware_version": FIRMWARE, "configuration": configuration,
            "description": DESCRIPTION, "kind": row.kind.to_string(), "version": row.version as u8,
            "objects": objects, "bytes": usage.map(|(_, bytes)| bytes),
            "capacity_objects": row.capacity_objects, "capacity_bytes": row.capacity_bytes,
        }),
    })
}

/// As lunacm lists slots, with an empty line between two.
fn text(slots: &[Described]) -> String {
    let blocks: Vec<String> = slots.iter().map(|it| output::arrows(&it.pairs)).collect();
    blocks.join("\n")
}

/// In lunacm's words, as far as they apply: how roles log in, and what policies let objects leave.
pub(crate) fn configuration(row: &SlotRow) -> String {
    let kind = match row.kind {
        SlotKind::Quorum => "Multifactor Quorum",
        SlotKind::Password => "PW",
    };
    let sks = if row.is_v1() {
        " Scalable Key Storage"
    } else {
        ""
    };
    let mode = row.policies.mode();
    format!("User Partition With SO ({kind}){sks} {mode}")
}

fn set(console: &Console<'_>, slot: SlotId) -> Result<Answer> {
    let Some(kept) = console.kept() else {
        return Err(Error::Usage(
            "'slot set' lasts as long as the shell; give --active-slot N to a single command, or set SLOTFS_ACTIVE_SLOT".into(),
        ));
    };
    let (hsm, slot) = console.partition_to_read(SlotArg { slot: Some(slot) }, &[])?;
    let label = hsm.partition(slot).row()?.label;
    kept.set_active(slot);
    Ok(Answer::of_slot(slot)
        .line(format_args!(
            "Current Slot Id: {slot} ({})",
            show::escape(&label)
        ))
        .fact("label", label))
}
