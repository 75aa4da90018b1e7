//! `partition init`: a partition of any kind, with its first domain.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::password::{ask_domain, confirm, read_secret};
use super::super::shares::{Issued, ask_line};
use super::super::{Console, Ended, output};
use super::set::Retention;
use crate::credential::{Quorum, QuorumSecret, Secret, SlotKind};
use crate::domain::{self, DomainKey};
use crate::error::{Error, Result};
use crate::hsm::{
    DEFAULT_CAPACITY_OBJECTS, DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, NewPartition, Policies,
};
use crate::object::{SlotId, show};
use crate::secret::SecretBytes;

/// More than any domain key file.
const MOST_KEY_FILE_BYTES: u64 = 64 * 1024;

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
    #[arg(long, value_name = "TIME", default_value_t = Retention(DEFAULT_RETENTION_SECS))]
    retention: Retention,
    /// The most objects it may hold
    #[arg(long, value_name = "OBJECTS", default_value_t = DEFAULT_CAPACITY_OBJECTS)]
    capacity: u64,
}

/// A cloning domain, asked for when neither says it.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct Domain {
    /// Its cloning domain as a string, 1 to 128 characters
    #[arg(short, long, value_name = "STRING")]
    domain: Option<String>,
    /// Its cloning domain as a key file
    #[arg(long, value_name = "FILE")]
    domainkey: Option<PathBuf>,
}

impl Init {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
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
    pub(super) fn key(mut self, slot: SlotId, label: &str, kind: SlotKind) -> Result<DomainKey> {
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
                .map_err(|why| Error::Usage(format!("{}: {why}", crate::shown::path(&path))));
        }
        let string = match self.domain {
            Some(string) => Zeroizing::new(string),
            None => ask_domain(slot)?,
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
