//! What can be done with a partition.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::password::{confirm, read_secret};
use super::shares::{Issued, ask_line};
use super::{Console, Ended, output};
use crate::credential::{Quorum, QuorumSecret, Role, Secret, SlotKind};
use crate::domain::{self, DomainKey};
use crate::error::{Error, Result};
use crate::hsm::{
    DEFAULT_CAPACITY_OBJECTS, DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, NewPartition, Policies,
};
use crate::object::pkcs11::{class_name, key_type_name};
use crate::object::{SlotId, show};
use crate::secret::SecretBytes;

mod clone;
mod clone_report;
mod domains;
mod info;
mod policies;
mod removal;
mod set;
mod smk;

/// More than any domain key file.
const MOST_KEY_FILE_BYTES: u64 = 64 * 1024;

/// What can be done with a partition.
#[derive(Subcommand)]
pub enum Verb {
    /// Make a partition in a slot; destroys the one that is there
    #[command(
        after_help = "Examples:\n  slotfs partition init -slot 0 -label alpha -domainkey red.pem --password-file 0=pw\n  slotfs partition init -slot 1 -label beta -domainkey red.pem -quorum 2/3 -shares shares\n  slotfs partition init -slot 2 -label gamma -version 1 -domainkey red.pem"
    )]
    Init(Init),
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

/// `partition init`
#[derive(Args)]
pub struct Init {
    /// The slot [default: the active one, where there is one]
    #[arg(short, long)]
    slot: Option<SlotId>,
    /// 1 to 32 characters
    #[arg(short, long)]
    label: String,
    #[command(flatten)]
    domain: Domain,
    /// What the domain is called; not secret
    #[arg(long, value_name = "LABEL", default_value = FIRST_DOMAIN_LABEL)]
    domainlabel: String,
    /// The password of po and co alike; visible to whoever lists processes [default: a password file, or asked for]
    #[arg(short, long)]
    password: Option<String>,
    /// Log in by M of N key shares instead of a password, 2 <= M <= N <= 16
    #[arg(long, value_name = "M/N", requires = "shares")]
    quorum: Option<Quorum>,
    /// The folder that the key shares are written to, made if need be
    #[arg(long, value_name = "DIR", requires = "quorum")]
    shares: Option<PathBuf>,
    /// 0, or 1 for scalable key storage: its objects leave it under its storage master key
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    version: u8,
    /// Destroy the partition that is there without asking
    #[arg(short, long)]
    force: bool,
    /// Owner of the slot's files on a mount
    #[arg(long)]
    uid: Option<u32>,
    /// Group of the slot's files on a mount
    #[arg(long)]
    gid: Option<u32>,
    /// How long removed objects are in the trash, such as 7d, 12h, 15m, 90s; 0 destroys them at once
    #[arg(long, value_name = "TIME", default_value_t = set::Retention(DEFAULT_RETENTION_SECS))]
    retention: set::Retention,
    /// The most objects it may hold
    #[arg(long, value_name = "OBJECTS", default_value_t = DEFAULT_CAPACITY_OBJECTS)]
    capacity: u64,
}

/// A cloning domain, asked for when neither says it.
#[derive(Args)]
#[group(multiple = false)]
struct Domain {
    /// Its cloning domain as a string, 1 to 128 characters
    #[arg(short, long, value_name = "STRING")]
    domain: Option<String>,
    /// Its cloning domain as a key file
    #[arg(long, value_name = "FILE")]
    domainkey: Option<PathBuf>,
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

impl Init {
    fn run(self, console: &Console<'_>) -> Result<Ended> {
        let slot = console.new_slot(self.slot)?;
        // All that can be wrong is found before the store is touched.
        crate::hsm::check_label(slot, &self.label)?;
        let serial = crate::hsm::new_serial()?;
        let (secret, shares) = match (self.quorum, self.password) {
            (Some(_), Some(_)) => {
                let kind = SlotKind::Quorum;
                return Err(Error::OtherAuthentication { slot, kind });
            }
            (Some(quorum), None) => {
                console.no_password_file(slot)?;
                let (secret, shares) = QuorumSecret::random(quorum, serial)?;
                (Secret::Quorum(secret), shares)
            }
            (None, password) => {
                let password = match password {
                    Some(password) => SecretBytes::new(password.into_bytes()),
                    None => console.new_password(slot)?,
                };
                crate::hsm::check_password(slot, &password)?;
                (Secret::Password(password), Vec::new())
            }
        };
        let domain = self.domain.key(slot, &self.domainlabel, secret.kind())?;
        let hsm = console.open_or_create()?;
        let replaces = match hsm.slot(slot) {
            Ok(there) => {
                if !self.force {
                    confirm(&format!(
                        "slot {slot} holds partition '{}', and all its objects would be destroyed",
                        show::escape(&there.label)
                    ))?;
                }
                Some(there.serial)
            }
            Err(Error::NoSuchSlot { .. }) => None,
            Err(error) => return Err(error),
        };
        let label = show::escape(&self.label);
        // Before the partition: one that nobody can log in to is worse than shares of none.
        let mut issued = match &self.shares {
            Some(folder) => Some(Issued::write(folder, &shares)?),
            None => None,
        };
        let made = hsm.init_partition(NewPartition {
            slot,
            serial,
            v1: self.version == 1,
            label: self.label,
            domain,
            domain_label: self.domainlabel,
            secret,
            retention_secs: self.retention.0,
            uid: self.uid,
            gid: self.gid,
            capacity_objects: self.capacity,
            policies: Policies::default(),
            replaces,
        });
        Issued::settle(&mut issued, made)?;
        let shares = issued.map(|issued| issued.keep(console.json()));
        if console.json() {
            let mut document = json!({ "slot": slot.0, "label": label, "serial": serial });
            if let Some(shares) = shares {
                document["shares"] = shares.into();
            }
            output::print_json(&document);
        } else {
            output::print(&format!(
                "Slot {slot} is now partition '{label}', serial {serial}.\n"
            ));
        }
        Ok(Ended::WithResult)
    }
}

impl Domain {
    /// The domain that is to be called `label`.
    fn key(mut self, slot: SlotId, label: &str, kind: SlotKind) -> Result<DomainKey> {
        let usage = |why: &dyn std::fmt::Display| Error::Usage(format!("slot {slot}: {why}"));
        // A quorum slot's domain is a key file, as the hardware's is a red key; a string is given by its option.
        if kind == SlotKind::Quorum
            && self.domain.is_none()
            && self.domainkey.is_none()
            && std::io::stdin().is_terminal()
        {
            let file = ask_line(&format!("Enter the domain key file of slot {slot}: "));
            self.domainkey = Some(file.into());
        }
        if let Some(path) = self.domainkey {
            let file = read_secret(&path, MOST_KEY_FILE_BYTES)?;
            return DomainKey::from_pem(file.bytes())
                .map_err(|why| Error::Usage(format!("{}: {why}", path.display())));
        }
        let string = match self.domain {
            Some(string) => Zeroizing::new(string),
            None => super::password::ask_domain(slot)?,
        };
        if *string == label {
            return Err(usage(
                &"a domain's label is not secret, so it must not be the domain string",
            ));
        }
        if let Some(bits) = domain::weakness(&string) {
            log::warn!(
                "the domain string is worth about {bits:.0} bits; whoever guesses it opens every blob ('slotfs domain newstring' prints a strong one)"
            );
        }
        DomainKey::from_string(&string).map_err(|why| usage(&why))
    }
}

fn contents(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    console.login(&hsm, slot, &[Role::Co, Role::Cu])?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    let mut damaged = None;
    hsm.contents(slot, |row| {
        let (class, key_type, label) = match &row.object {
            Ok(object) => (
                class_name(object.class),
                key_type_name(object.key_type),
                object.label().to_owned(),
            ),
            Err(_) => ("damaged".into(), "-".into(), String::new()),
        };
        documents.push(json!({
            "handle": row.handle.get(),
            "class": class,
            "key_type": key_type,
            "label": label,
            "ouid": row.ouid.to_string(),
        }));
        rows.push(vec![
            row.handle.to_string(),
            class,
            key_type,
            row.ouid.to_string(),
            show::escape(&label),
        ]);
        if let Err(error) = row.object {
            damaged = Some(error);
        }
    })?;
    if !console.json() {
        let heading = ["Handle", "Class", "Key Type", "OUID", "Label"];
        output::print(&output::table(&heading, &rows));
    }
    let document = json!({ "slot": slot.0, "objects": documents });
    output::with_document(console.json(), document, damaged.map_or(Ok(()), Err))
}
