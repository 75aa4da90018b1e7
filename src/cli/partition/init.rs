//! `partition init`: a partition of any kind, with its first domain.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::guarded::{Keeper, read_guarded};
use super::super::password::{ask_domain, confirm};
use super::super::shares::{Issued, ask_line};
use super::super::{Console, Ended, output};
use super::set::Retention;
use crate::credential::{QuorumSecret, Secret};
use crate::domain::{self, DomainKey};
use crate::error::{Error, Result};
use crate::hsm::{
    DEFAULT_CAPACITY_OBJECTS, DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, Hsm, NewPartition,
    PartitionMark, Policies, SlotError,
};
use crate::object::partition::SlotKind;
use crate::object::sealed::Quorum;
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
        // The question comes before the new secrets are asked for. A store that is not there is not made for it.
        let there = match is_there(&console.store()?) {
            true => Some(console.open_or_create()?),
            false => None,
        };
        let asked_about = match &there {
            Some(hsm) => {
                let serial = replaced(hsm, slot, self.force)?;
                if serial.is_some() && self.force && std::io::stdin().is_terminal() {
                    output::tell(&format!(
                        "        The partition in slot {slot} and all its objects will be destroyed.\n"
                    ));
                }
                serial
            }
            None => None,
        };
        let (secret, shares) = match (self.quorum, self.password) {
            (Some(_), Some(_)) => {
                let kind = SlotKind::Quorum;
                return Err(SlotError::OtherAuthentication(kind).at(slot).into());
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
        let hsm = match there {
            Some(hsm) => hsm,
            None => console.open_or_create()?,
        };
        let replaces = match asked_about {
            Some(mark) if !self.force => Some(mark),
            // None, or made since.
            _ => replaced(&hsm, slot, self.force)?,
        };
        let label = self.label.clone();
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
                "Slot {slot} is now partition '{}', serial {serial}.\n",
                show::escape(&label)
            ));
        }
        Ok(Ended::WithResult)
    }
}

/// Whether there is a store that may have partitions.
fn is_there(store: &Path) -> bool {
    std::fs::metadata(store).is_ok_and(|file| file.len() > 0)
}

/// The serial of the partition in `slot` that is to be destroyed for the new one: asked about, unless with `force`.
///
/// # Errors
/// [`Error::NotConfirmed`], or when the store cannot be read.
fn replaced(hsm: &Hsm, slot: SlotId, force: bool) -> Result<Option<PartitionMark>> {
    // A damaged one is replaced too: that is a way out of it.
    let replaces = hsm.partition(slot).mark()?;
    if replaces.is_some() && !force {
        let there = match hsm.partition(slot).row() {
            Ok(there) => format!("partition '{}'", show::escape(&there.label)),
            Err(error) if error.is_damage() => "a damaged partition".to_owned(),
            Err(error) => return Err(error.into()),
        };
        confirm(&format!(
            "slot {slot} holds {there}, and all its objects would be destroyed"
        ))?;
    }
    Ok(replaces)
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
            let file = read_guarded(&path, MOST_KEY_FILE_BYTES, Keeper::Owner)?;
            let refused = |why: &dyn std::fmt::Display| {
                Error::Usage(format!("{}: {why}", crate::shown::path(&path)))
            };
            let key = DomainKey::from_pem(file.bytes()).map_err(|why| refused(&why))?;
            if key.is_one_byte() {
                return Err(refused(
                    &"the key in it is one byte 32 times, which anybody can guess; 'slotfs domain newkey' makes a good one",
                ));
            }
            return Ok(key);
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
