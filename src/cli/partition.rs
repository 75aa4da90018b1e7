//! What can be done with a partition.

use std::fmt::Display;

use clap::Subcommand;
use serde_json::json;

use crate::cli::{Answer, Console, Failures, ForceAndSlot, NONE, Rows, SlotArg, or_none};
use crate::error::Result;
use crate::object::partition::Role;
use crate::object::pkcs11::{class_name, key_type_name};
use crate::object::{Handle, show};

mod archive;
mod clone;
mod clone_report;
mod domains;
mod hints;
mod info;
mod init;
mod label;
mod policies;
mod removal;
mod set;
mod smk;
mod target;

pub(crate) use set::Retention;

/// What can be done with a partition.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a partition in a slot; destroys the one that it holds
    #[command(
        after_help = "Examples:\n  slotfs partition init -slot 0 -label alpha -domainkey red.pem --password-file 0=pw\n  slotfs partition init -slot 1 -label beta -domainkey red.pem -quorum 2/3 -shares shares\n  slotfs partition init -slot 2 -label gamma -version 1 -domainkey red.pem"
    )]
    Init(init::Init),
    /// Clone objects of the active slot to another slot that shares a cloning domain
    #[command(
        after_help = "Examples:\n  slotfs partition clone -objects 124,140 -slot 1\n  slotfs --active-slot 2 partition clone -o all -s 3 -f --password-file 2=pw2 --password-file 3=pw3\n\nEach object succeeds or fails by itself; the exit status is 1 when any failed."
    )]
    Clone(clone::CloneObjects),
    /// Back up partitions into a folder, and restore them
    #[command(subcommand)]
    Archive(archive::Verb),
    /// Change the label of a partition (po)
    #[command(
        after_help = "Example:\n  slotfs partition changelabel -slot 0 -label beta --password-file 0:po=pw"
    )]
    Changelabel(label::ChangeLabel),
    /// Show a partition: its roles, the labels of its domains, its contents
    #[command(after_help = "Example:\n  slotfs partition showinfo -slot 0")]
    Showinfo(SlotArg),
    /// Destroy all objects of a partition (co)
    #[command(after_help = "Example:\n  slotfs partition clear -slot 0 -force")]
    Clear(ForceAndSlot),
    /// Destroy a partition (po)
    #[command(
        after_help = "Example:\n  slotfs partition delete -slot 0 -force --password-file 0:po=pw"
    )]
    Delete(ForceAndSlot),
    /// List the cloning domains of a partition with their fingerprints: slots that show the same one can clone
    #[command(after_help = "Example:\n  slotfs partition domainlist -slot 0")]
    Domainlist(SlotArg),
    /// Add a cloning domain to a partition, which can have three (po)
    #[command(
        after_help = "Example:\n  slotfs partition domainadd -domainkey new.pem -domainlabel 2027 -primary -slot 0"
    )]
    Domainadd(domains::Add),
    /// Remove a cloning domain from a partition (po)
    #[command(after_help = "Example:\n  slotfs partition domaindelete -domainlabel 2026 -slot 0")]
    Domaindelete(domains::Delete),
    /// Change the label of a cloning domain, or make it the primary one (po)
    #[command(
        after_help = "Example:\n  slotfs partition domainchangelabel -domainlabel old -newlabel 2026 -slot 0"
    )]
    Domainchangelabel(domains::ChangeLabel),
    /// Show the capabilities and policies of a partition
    #[command(after_help = "Example:\n  slotfs partition showpolicies -slot 0 -verbose")]
    Showpolicies {
        /// Also show whether changing a policy destroys objects
        #[arg(short, long)]
        verbose: bool,
        #[command(flatten)]
        slot: SlotArg,
    },
    /// Change policies of a partition (po)
    #[command(
        after_help = "Examples:\n  slotfs partition changepolicy -policy 20 -value 5 -slot 0\n  slotfs partition changepolicy -policy 0,4 -value 0,0 -slot 0"
    )]
    Changepolicy(policies::Change),
    /// Clone the storage master key of the active slot to another V1 slot that shares a cloning domain
    #[command(
        after_help = "Example:\n  slotfs --active-slot 0 partition smkclone -slot 1 -force --password-file 0=pw0 --password-file 1=pw1"
    )]
    Smkclone(smk::SmkClone),
    /// List the storage master keys of a V1 partition, the active one first
    #[command(after_help = "Example:\n  slotfs partition smklist -slot 0")]
    Smklist(SlotArg),
    /// Give a V1 partition a new storage master key; the earlier keys still open what they sealed (co, po)
    #[command(after_help = "Example:\n  slotfs partition smknew -slot 0 -force")]
    Smknew(ForceAndSlot),
    /// Seal objects under another storage master key that the slot has (V1, co or po)
    #[command(
        after_help = "Example:\n  slotfs partition smkactivate -smk 0123456789abcdef -slot 0"
    )]
    Smkactivate(smk::SmkActivate),
    /// Remove a storage master key from a V1 partition (co, po)
    #[command(after_help = "Example:\n  slotfs partition smkdelete -smk 0123456789abcdef -slot 0")]
    Smkdelete(smk::SmkDelete),
    /// Make a V0 partition V1; this cannot be undone (po)
    #[command(after_help = "Example:\n  slotfs partition upgrade -slot 0 -force")]
    Upgrade(ForceAndSlot),
    /// Change how long a partition keeps removed objects, and who owns its files on a mount (po)
    #[command(
        after_help = "Examples:\n  slotfs partition set -retention 30d -slot 0\n  slotfs partition set -uid 1000 -gid none -slot 0"
    )]
    Set(set::Set),
    /// List the objects of a partition
    #[command(after_help = "Example:\n  slotfs partition contents -slot 0")]
    Contents(SlotArg),
}

impl Verb {
    /// Whether it only shows something.
    pub(crate) fn only_shows(&self) -> bool {
        match self {
            Self::Archive(verb) => verb.only_shows(),
            Self::Showinfo(_)
            | Self::Domainlist(_)
            | Self::Showpolicies { .. }
            | Self::Smklist(_)
            | Self::Contents(_) => true,
            _ => false,
        }
    }

    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Init(init) => init.run(console),
            Self::Clone(clone) => clone.run(console),
            Self::Archive(verb) => verb.run(console),
            Self::Changelabel(change) => change.run(console),
            Self::Showinfo(slot) => info::show(console, slot),
            Self::Clear(args) => removal::clear(console, args),
            Self::Delete(args) => removal::delete(console, args),
            Self::Domainlist(slot) => domains::list(console, slot),
            Self::Domainadd(add) => add.run(console),
            Self::Domaindelete(delete) => delete.run(console),
            Self::Domainchangelabel(change) => change.run(console),
            Self::Showpolicies { verbose, slot } => policies::list(console, slot, verbose),
            Self::Changepolicy(change) => change.run(console),
            Self::Smkclone(clone) => clone.run(console),
            Self::Smklist(slot) => smk::list(console, slot),
            Self::Smknew(args) => smk::new_key(console, args),
            Self::Smkactivate(activate) => activate.run(console),
            Self::Smkdelete(delete) => delete.run(console),
            Self::Upgrade(args) => smk::upgrade(console, args),
            Self::Set(set) => set.run(console),
            Self::Contents(slot) => contents(console, slot),
        }
    }
}

fn contents(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[Role::Co, Role::Cu])?;
    let mut rows = Rows::new(&["Handle", "Class", "Key Type", "OUID", "Label"]);
    let mut failures = Failures::none();
    let whole = hsm.partition(slot).contents(|row| {
        let (class, key_type, label) = match &row.object {
            Ok(object) => (
                class_name(object.class),
                key_type_name(object.key_type),
                object.label().to_owned(),
            ),
            Err(_) => ("damaged".into(), NONE.into(), String::new()),
        };
        let ouid = row.ouid.map(|ouid| ouid.to_string());
        let mut facts = json!({
            "handle": row.handle.map(Handle::get), "class": class, "key_type": key_type,
            "label": label, "ouid": ouid,
        });
        if let Ok(object) = &row.object {
            facts["revision"] = object.revision.number.into();
            facts["changed"] = object.changed_secs().map(show::iso_8601).into();
        }
        if let Err(error) = &row.object {
            facts["row"] = row.row.0.into();
            facts["damage"] = error.to_string().into();
        }
        let cells: [&dyn Display; 5] = [
            &or_none(row.handle),
            &class,
            &key_type,
            &or_none(ouid),
            &show::escape(&label),
        ];
        rows.add(&cells, facts);
        if let Err(error) = row.object {
            failures.add(error);
        }
    });
    // A listing that ended early is shown as far as it came.
    if let Err(error) = whole {
        failures.add(error);
    }
    let answer = Answer::of_slot(slot).rows("objects", rows);
    Ok(answer.ending(failures.outcome()))
}
