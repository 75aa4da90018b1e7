//! `partition init`: a partition of any kind, with its first domain.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::set::Retention;
use crate::cli::guarded::{Keeper, read_guarded};
use crate::cli::password::ask_domain;
use crate::cli::shares::{Issued, ask_line};
use crate::cli::{Answer, Console, confirm, output};
use crate::credential::{QuorumSecret, Secret};
use crate::domain::{self, DomainKey};
use crate::error::{Error, Result};
use crate::hsm::{
    DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, Hsm, NewPartition, PartitionMark, Policies,
    SlotError,
};
use crate::object::partition::SlotKind;
use crate::object::sealed::Quorum;
use crate::object::{SlotId, show};
use crate::secret::SecretBytes;

/// More than any domain key file.
const MOST_KEY_FILE_BYTES: u64 = 64 * 1024;

/// `partition init`
#[derive(Args)]
pub(crate) struct Init {
    /// The slot [default: the active one, if there is one]
    #[arg(short, long)]
    slot: Option<SlotId>,
    /// The partition's label, 1 to 32 characters
    #[arg(short, long)]
    label: String,
    #[command(flatten)]
    domain: Domain,
    /// The domain's label; not secret
    #[arg(long, value_name = "LABEL", default_value = FIRST_DOMAIN_LABEL)]
    domainlabel: String,
    /// The password of po and co; visible to anybody who lists processes [default: a password file, or asked for]
    #[arg(short, long)]
    password: Option<String>,
    /// Log in by M of N key shares instead of a password, 2 <= M <= N <= 16
    #[arg(long, value_name = "M/N", requires = "shares")]
    quorum: Option<Quorum>,
    /// The folder that the key shares are written to; it is created if necessary
    #[arg(long, value_name = "DIR", requires = "quorum")]
    shares: Option<PathBuf>,
    /// 0, or 1 for scalable key storage: blobs of its objects are sealed under its storage master key
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    version: u8,
    /// Destroy the partition in the slot without asking, and accept a domain string that is easy to guess
    #[arg(short, long)]
    force: bool,
    /// Owner of the slot's files on a mount
    #[arg(long)]
    uid: Option<u32>,
    /// Group of the slot's files on a mount
    #[arg(long)]
    gid: Option<u32>,
    /// How long removed objects stay in the trash, such as 7d, 12h, 15m, 90s; 0 destroys them at once
    #[arg(long, value_name = "TIME", default_value_t = Retention(DEFAULT_RETENTION_SECS))]
    retention: Retention,
    /// How many objects it can hold [default: 4000000, and 250000 in a cluster]
    #[arg(long, value_name = "OBJECTS")]
    capacity: Option<u64>,
}

/// A cloning domain, asked for when no option gives it.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct Domain {
    /// The cloning domain as a string, 1 to 128 characters
    #[arg(short, long, value_name = "STRING")]
    domain: Option<String>,
    /// The cloning domain as a key file
    #[arg(long, value_name = "FILE")]
    domainkey: Option<PathBuf>,
}

impl Init {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let slot = console.new_slot(self.slot)?;
        // Mistakes are found before the store is touched.
        crate::hsm::check_label(slot, &self.label)?;
        self.domain.check(slot, &self.domainlabel, self.force)?;
        let serial = crate::hsm::new_serial()?;
        // The question comes before the new secrets are asked for. A store that does not exist is not created for it.
        let there = console.open_if_there()?;
        let asked_about = match &there {
            Some(hsm) => replaced(hsm, slot, self.force)?,
            None => None,
        };
        if asked_about.is_some() && self.force && std::io::stdin().is_terminal() {
            output::tell(&format!(
                "        The partition in slot {slot} and all its objects will be destroyed.\n"
            ));
        }
        let (secret, shares) = match (self.quorum, self.password) {
            (Some(_), Some(_)) => {
                let kind = SlotKind::Quorum;
                return Err(SlotError::OtherAuthentication(kind).at(slot).into());
            }
            (Some(quorum), None) => {
                console.refuse_password_file(slot)?;
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
        let domain = self
            .domain
            .key(slot, &self.domainlabel, secret.kind(), self.force)?;
        let hsm = match there {
            Some(hsm) => hsm,
            None => console.open_or_create()?,
        };
        let replaces = match asked_about {
            Some(mark) if !self.force => Some(mark),
            // There was none, or one was made meanwhile.
            _ => replaced(&hsm, slot, self.force)?,
        };
        let label = self.label.clone();
        // Before the partition: a partition without shares cannot be opened, and shares without a partition do no harm.
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
            capacity_objects: self.capacity.unwrap_or_else(|| hsm.default_capacity()),
            policies: Policies::default(),
            replaces,
        });
        Issued::settle(&mut issued, made)?;
        let answer = json!({ "slot": slot.0, "label": label, "serial": serial });
        Ok(Answer::new(answer).shares(issued).text(format!(
            "Slot {slot} is now partition '{}', serial {serial}.\n",
            show::escape(&label)
        )))
    }
}

/// The partition in `slot` that the new one will replace. The user is asked to confirm that, except with `force`.
///
/// # Errors
/// [`Error::NotConfirmed`], or when the store cannot be read.
fn replaced(hsm: &Hsm, slot: SlotId, force: bool) -> Result<Option<PartitionMark>> {
    // Damaged partitions can be replaced too: this is a way to get rid of one.
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

/// Refuses a domain string that is its own label, or that is easy to guess; with `force` only the former.
fn check_string(slot: SlotId, string: &str, label: &str, force: bool) -> Result<()> {
    if string == label {
        return Err(Error::Usage(format!(
            "slot {slot}: a domain's label is not secret, so it must differ from the domain string"
        )));
    }
    match domain::weakness(string) {
        // Its length is the better reason.
        _ if string.is_empty() => Ok(()),
        Some(bits) if !force => Err(Error::WeakDomain { slot, bits }),
        _ => Ok(()),
    }
}

impl Domain {
    /// Checks a string that an option gave, before anything is asked or done.
    pub(super) fn check(&self, slot: SlotId, label: &str, force: bool) -> Result<()> {
        match &self.domain {
            Some(string) => check_string(slot, string, label, force),
            None => Ok(()),
        }
    }

    /// The domain, whose label will be `label`. With `force`, its string may be weak.
    pub(super) fn key(
        mut self,
        slot: SlotId,
        label: &str,
        kind: SlotKind,
        force: bool,
    ) -> Result<DomainKey> {
        let usage = |why: &dyn std::fmt::Display| Error::Usage(format!("slot {slot}: {why}"));
        // The user is asked for a key file for a quorum slot, as the hardware asks for a red key.
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
                    &"its key is one byte repeated 32 times, which anybody can guess; 'slotfs domain newkey' makes a good one",
                ));
            }
            return Ok(key);
        }
        let check = |string: &str| check_string(slot, string, label, force);
        let string = match self.domain {
            Some(string) => Zeroizing::new(string),
            None => ask_domain(slot, check)?,
        };
        check(&string)?;
        if let Some(bits) = domain::weakness(&string) {
            log::warn!(
                "the domain string has about {bits} bits of entropy; anybody who guesses it can open every blob ('slotfs domain newstring' prints a strong one)"
            );
        }
        DomainKey::from_string(&string).map_err(|why| usage(&why))
    }
}
