//! `partition smkclone`, `smklist`, `smknew`, `smkactivate`, `smkdelete` and `upgrade`

use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::target::{Target, TargetArgs};
use crate::cli::{Answer, Console, ForceAndSlot, Rows, SlotArg, confirm, yes_or_no};
use crate::error::Result;
use crate::hsm::Received;
use crate::object::partition::Role;

/// `partition smkclone`
#[derive(Args)]
pub(crate) struct SmkClone {
    #[command(flatten)]
    target: TargetArgs,
    /// Take the storage master key in even if it was deleted from the target
    #[arg(short, long)]
    force: bool,
}

/// `partition smkdelete`
#[derive(Args)]
pub(crate) struct SmkDelete {
    /// The key's fingerprint, as 'partition smklist' shows it
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    smk: Fingerprint,
    #[command(flatten)]
    args: ForceAndSlot,
}

/// `partition smkactivate`
#[derive(Args)]
pub(crate) struct SmkActivate {
    /// The key's fingerprint, as 'partition smklist' shows it
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    smk: Fingerprint,
    #[command(flatten)]
    slot: SlotArg,
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
pub(crate) fn list(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[Role::Co, Role::Po, Role::Cu])?;
    let mut rows = Rows::new(&["Storage Master Key", "Active"]);
    for (index, smk) in hsm.partition(slot).session()?.smks().iter().enumerate() {
        let fingerprint = HEXLOWER.encode(&smk.fingerprint());
        let active = index == 0;
        rows.add(
            &[&fingerprint, &yes_or_no(active)],
            json!({ "fingerprint": fingerprint, "active": active }),
        );
    }
    let answer = Answer::of_slot(slot);
    Ok(match rows.is_empty() {
        false => answer.rows("smks", rows),
        true => answer.fact("smks", json!([])).line(format_args!(
            "Slot {slot} is V0 and has no storage master key."
        )),
    })
}

impl SmkClone {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let hsm = console.open()?;
        let clone = self.target.slots(console, &hsm)?;
        let (from, to) = (clone.from, clone.to);
        console.login(&hsm, from, &[Role::Co, Role::Cu])?;
        let secret = clone.target_secret(console, &hsm, self.target.password)?;
        let _target = Target::log_in(&hsm, to, &secret)?;
        let blob = hsm.partition(from).seal_smk()?;
        let received = hsm.partition(to).import_smk(&blob, self.force)?;
        let new = received == Received::Added;
        let facts = json!({ "source_slot": from.0, "target_slot": to.0, "new": new });
        Ok(Answer::new(facts).line(match new {
            true => {
                format!("Slot {to} now opens what the storage master key of slot {from} sealed.")
            }
            false => format!("Slot {to} already has the storage master key of slot {from}."),
        }))
    }
}

/// `partition smknew`
pub(crate) fn new_key(console: &Console<'_>, args: ForceAndSlot) -> Result<Answer> {
    let (hsm, slot) = console.partition(args.slot, &[Role::Co, Role::Po])?;
    if !args.force {
        confirm(&format!(
            "slot {slot} would seal its objects under a new storage master key, which other slots do not have"
        ))?;
    }
    hsm.partition(slot).new_smk()?;
    Ok(Answer::of_slot(slot).line(format_args!(
        "Slot {slot} has a new storage master key; the earlier keys still open what they sealed."
    )))
}

/// `partition upgrade`
pub(crate) fn upgrade(console: &Console<'_>, args: ForceAndSlot) -> Result<Answer> {
    let (hsm, slot) = console.partition(args.slot, &[Role::Po])?;
    if !args.force {
        confirm(&format!(
            "slot {slot} would become V1, which cannot be undone: it still accepts blobs sealed under its domains, but its own blobs will open only in slots that hold its storage master key"
        ))?;
    }
    hsm.partition(slot).upgrade()?;
    Ok(Answer::of_slot(slot).line(format_args!(
        "Slot {slot} is now V1 and has a storage master key of its own."
    )))
}

impl SmkActivate {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[Role::Co, Role::Po])?;
        let changed = hsm.partition(slot).activate_smk(self.smk.0)?;
        let answer = Answer::of_slot(slot).fact("changed", changed);
        Ok(answer.line(match changed {
            true => format!("Slot {slot} seals its objects under that storage master key from now on; the others still open what they sealed."),
            false => format!("That storage master key is already the active one of slot {slot}."),
        }))
    }
}

impl SmkDelete {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.args.slot, &[Role::Co, Role::Po])?;
        if !self.args.force {
            confirm(&format!(
                "slot {slot} will no longer accept blobs sealed under that storage master key; if no other slot holds the key, those blobs are lost"
            ))?;
        }
        hsm.partition(slot).delete_smk(self.smk.0)?;
        Ok(Answer::of_slot(slot).line(format_args!(
            "Slot {slot} no longer has that storage master key."
        )))
    }
}
