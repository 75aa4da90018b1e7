//! `partition smkclone`, `smklist`, `smknew`, `smkdelete` and `upgrade`

use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use super::clone::{Target, source, target_secret};
use crate::error::Result;
use crate::object::SlotId;
use crate::object::partition::Role;

/// `partition smkclone`
#[derive(Args)]
pub struct SmkClone {
    /// The target slot
    #[arg(short, long, value_name = "SLOT_NUMBER")]
    slot: SlotId,
    /// The target's password, its crypto officer's; visible to whoever lists processes [default: a password file, or asked for]
    #[arg(short, long)]
    password: Option<String>,
    /// Do not ask before the target has another active storage master key
    #[arg(short, long)]
    force: bool,
}

/// `partition smknew` and `partition upgrade`
#[derive(Args)]
pub struct Change {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// `partition smkdelete`
#[derive(Args)]
pub struct SmkDelete {
    /// Its fingerprint, as 'partition smklist' shows it
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    smk: Fingerprint,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

#[derive(Clone, Copy)]
struct Fingerprint([u8; 8]);

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    HEXLOWER
        .decode(text.to_ascii_lowercase().as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .map(Fingerprint)
        .ok_or_else(|| "a fingerprint has 16 hexadecimal digits".to_owned())
}

/// `partition smklist`
pub fn list(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    console.login(&hsm, slot, &[Role::Co, Role::Po, Role::Cu])?;
    let session = hsm.partition(slot).session()?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for (index, smk) in session.smks().iter().enumerate() {
        let fingerprint = HEXLOWER.encode(&smk.fingerprint());
        let active = if index == 0 { "yes" } else { "no" };
        documents.push(json!({ "fingerprint": fingerprint, "active": index == 0 }));
        rows.push(vec![fingerprint, active.to_owned()]);
    }
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "smks": documents }));
    } else if rows.is_empty() {
        output::print(&format!(
            "        Slot {slot} is V0 and has no storage master key.\n"
        ));
    } else {
        let heading = ["Storage Master Key", "Active"];
        output::print(&output::table(&heading, &rows));
    }
    Ok(Ended::WithResult)
}

impl SmkClone {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let to = self.slot;
        let from = source(console, &hsm, to)?;
        console.login(&hsm, from, &[Role::Co, Role::Cu])?;
        let secret = target_secret(console, &hsm, to, self.password.as_deref())?;
        let _target = Target::log_in(&hsm, to, &secret)?;
        let blob = hsm.partition(from).seal_smk()?;
        let there = hsm.partition(to).has_smk_of(from)?;
        if !there && !self.force {
            confirm(&format!(
                "slot {to} would seal its objects under the storage master key of slot {from} from now on; its own still opens what it sealed"
            ))?;
        }
        let new = hsm.partition(to).import_smk(&blob)?;
        if console.json() {
            output::print_json(&json!({ "source_slot": from.0, "target_slot": to.0, "new": new }));
        } else {
            output::print(&match new {
                true => format!(
                    "        The storage master key of slot {from} is now the active one of slot {to}.\n"
                ),
                false => format!(
                    "        Slot {to} has the storage master key of slot {from} already.\n"
                ),
            });
        }
        Ok(Ended::WithResult)
    }
}

impl Change {
    /// `partition smknew`
    pub fn new_smk(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co, Role::Po])?;
        if !self.force {
            confirm(&format!(
                "slot {slot} would seal its objects under a new storage master key, which other slots do not have"
            ))?;
        }
        hsm.partition(slot).new_smk()?;
        tell(
            console,
            slot,
            &format!(
                "Slot {slot} has a new storage master key; the earlier ones still open what they sealed."
            ),
        );
        Ok(Ended::WithResult)
    }

    /// `partition upgrade`
    pub fn upgrade(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Po])?;
        if !self.force {
            confirm(&format!(
                "slot {slot} would be V1 for ever: it still takes in what was sealed under its domains, and what it gives from then on opens only where its storage master key is"
            ))?;
        }
        hsm.partition(slot).upgrade()?;
        tell(
            console,
            slot,
            &format!("Slot {slot} is V1 now, with a storage master key of its own."),
        );
        Ok(Ended::WithResult)
    }
}

impl SmkDelete {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co, Role::Po])?;
        if !self.force {
            confirm(&format!(
                "slot {slot} would take in no more what was sealed under that storage master key; where it is the last to hold it, those blobs are lost"
            ))?;
        }
        hsm.partition(slot).delete_smk(self.smk.0)?;
        tell(
            console,
            slot,
            &format!("Slot {slot} has that storage master key no more."),
        );
        Ok(Ended::WithResult)
    }
}

fn tell(console: &Console<'_>, slot: SlotId, text: &str) {
    if console.json() {
        output::print_json(&json!({ "slot": slot.0 }));
    } else {
        output::print(&format!("        {text}\n"));
    }
}
