//! What can be done with a partition.

use clap::Subcommand;
use serde_json::json;

use super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::object::partition::Role;
use crate::object::pkcs11::{class_name, key_type_name};
use crate::object::{Handle, SlotId, show};

mod clone;
mod clone_report;
mod domains;
mod info;
mod init;
mod policies;
mod removal;
mod set;
mod smk;

/// What can be done with a partition.
#[derive(Subcommand)]
pub enum Verb {
    /// Make a partition in a slot; destroys the one that is there
    #[command(
        after_help = "Examples:\n  slotfs partition init -slot 0 -label alpha -domainkey red.pem --password-file 0=pw\n  slotfs partition init -slot 1 -label beta -domainkey red.pem -quorum 2/3 -shares shares\n  slotfs partition init -slot 2 -label gamma -version 1 -domainkey red.pem"
    )]
    Init(init::Init),
    /// Clone objects of the active slot to another slot that shares a cloning domain
    #[command(
        after_help = "Examples:\n  slotfs partition clone -objects 124,140 -slot 1\n  slotfs --active-slot 2 partition clone -o all -s 3 -f --password-file 2=pw2 --password-file 3=pw3\n\nEach object succeeds or fails by itself; the exit status is 1 when any failed."
    )]
    Clone(clone::Clone),
    /// Show a partition: its roles, its domains' labels, what it holds
    #[command(after_help = "Example:\n  slotfs partition showinfo -slot 0")]
    Showinfo {
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
    /// Destroy all objects of a partition (co)
    #[command(after_help = "Example:\n  slotfs partition clear -slot 0 -force")]
    Clear(removal::Removal),
    /// Destroy a partition (po)
    #[command(
        after_help = "Example:\n  slotfs partition delete -slot 0 -force --password-file 0:po=pw"
    )]
    Delete(removal::Removal),
    /// List the cloning domains of a partition with their fingerprints: slots that show the same one can clone
    #[command(after_help = "Example:\n  slotfs partition domainlist -slot 0")]
    Domainlist {
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
    /// Give a partition another cloning domain, of three at most (po)
    #[command(
        after_help = "Example:\n  slotfs partition domainadd -domainkey new.pem -domainlabel 2027 -primary -slot 0"
    )]
    Domainadd(domains::Add),
    /// Take a cloning domain from a partition (po)
    #[command(after_help = "Example:\n  slotfs partition domaindelete -domainlabel 2026 -slot 0")]
    Domaindelete(domains::Delete),
    /// Give a cloning domain another label, or make it the primary one (po)
    #[command(
        after_help = "Example:\n  slotfs partition domainchangelabel -domainlabel old -newlabel 2026 -slot 0"
    )]
    Domainchangelabel(domains::ChangeLabel),
    /// Show the capabilities and policies of a partition
    #[command(after_help = "Example:\n  slotfs partition showpolicies -slot 0 -verbose")]
    Showpolicies {
        /// Also whether a change of a policy destroys objects
        #[arg(short, long)]
        verbose: bool,
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
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
    Smklist {
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
    /// Give a V1 partition a new storage master key; the earlier ones still open what they sealed (co, po)
    #[command(after_help = "Example:\n  slotfs partition smknew -slot 0 -force")]
    Smknew(smk::Change),
    /// Take a storage master key from a V1 partition (co, po)
    #[command(after_help = "Example:\n  slotfs partition smkdelete -smk 0123456789abcdef -slot 0")]
    Smkdelete(smk::SmkDelete),
    /// Make a V0 partition V1, which it then is for ever (po)
    #[command(after_help = "Example:\n  slotfs partition upgrade -slot 0 -force")]
    Upgrade(smk::Change),
    /// Change how long a partition keeps what is removed, and whose its files are on a mount (po)
    #[command(
        after_help = "Examples:\n  slotfs partition set -retention 30d -slot 0\n  slotfs partition set -uid 1000 -gid none -slot 0"
    )]
    Set(set::Set),
    /// List the objects of a partition
    #[command(after_help = "Example:\n  slotfs partition contents -slot 0")]
    Contents {
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
}

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::Init(init) => init.run(console),
            Self::Clone(clone) => clone.run(console),
            Self::Showinfo { slot } => info::run(console, slot),
            Self::Clear(removal) => removal.clear(console),
            Self::Delete(removal) => removal.delete(console),
            Self::Domainlist { slot } => domains::list(console, slot),
            Self::Domainadd(add) => add.run(console),
            Self::Domaindelete(delete) => delete.run(console),
            Self::Domainchangelabel(change) => change.run(console),
            Self::Showpolicies { verbose, slot } => policies::list(console, slot, verbose),
            Self::Changepolicy(change) => change.run(console),
            Self::Smkclone(clone) => clone.run(console),
            Self::Smklist { slot } => smk::list(console, slot),
            Self::Smknew(change) => change.new_smk(console),
            Self::Smkdelete(delete) => delete.run(console),
            Self::Upgrade(change) => change.upgrade(console),
            Self::Set(set) => set.run(console),
            Self::Contents { slot } => contents(console, slot),
        }
    }
}

fn contents(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    console.login(&hsm, slot, &[Role::Co, Role::Cu])?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    let mut damaged: Option<Error> = None;
    let whole = hsm.partition(slot).contents(|row| {
        let (class, key_type, label) = match &row.object {
            Ok(object) => (
                class_name(object.class),
                key_type_name(object.key_type),
                object.label().to_owned(),
            ),
            Err(_) => ("damaged".into(), "-".into(), String::new()),
        };
        let handle = row.handle.map(Handle::get);
        let ouid = row.ouid.map(|ouid| ouid.to_string());
        let mut document = json!({
            "handle": handle,
            "class": class,
            "key_type": key_type,
            "label": label,
            "ouid": ouid,
        });
        if let Err(error) = &row.object {
            document["row"] = row.row.into();
            document["damage"] = error.to_string().into();
        }
        documents.push(document);
        rows.push(vec![
            handle.map_or("-".into(), |handle| handle.to_string()),
            class,
            key_type,
            ouid.unwrap_or_else(|| "-".into()),
            show::escape(&label),
        ]);
        if let Err(error) = row.object
            // Each has a line of its own; the last is how the command ends.
            && let Some(error) = damaged.replace(error.into())
        {
            output::tell_error(&error);
        }
    });
    // Whatever keeps the listing from being whole, what was listed is shown.
    let outcome = match (whole, damaged) {
        (Err(error), damaged) => {
            damaged.iter().for_each(output::tell_error);
            Err(error.into())
        }
        (Ok(()), damaged) => damaged.map_or(Ok(()), Err),
    };
    if !console.json() {
        let heading = ["Handle", "Class", "Key Type", "OUID", "Label"];
        output::print(&output::table(&heading, &rows));
    }
    let document = json!({ "slot": slot.0, "objects": documents });
    output::with_document(console.json(), document, outcome)
}
