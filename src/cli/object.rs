//! `object generate`, `object import` and `object show`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::password::read_secret;
use super::{Console, Ended, output};
use crate::credential::Role;
use crate::error::{Error, Result};
use crate::hsm::Hsm;
use crate::object::import::{self, MAX_FILE_BYTES, RawType};
use crate::object::new::{self, Naming, SecretKeyType};
use crate::object::{Handle, Object, SlotId, show};

/// What can be done with objects.
#[derive(Subcommand)]
pub enum Verb {
    /// Generate secret keys
    #[command(
        after_help = "Example:\n  slotfs object generate -type aes -bits 256 -label backup -count 3"
    )]
    Generate(Generate),
    /// Import a key, certificate or data from a file
    #[command(
        after_help = "Example:\n  slotfs object import -file key.pem -label signing\n  slotfs object import -file secret.bin -type aes -label raw"
    )]
    Import(Import),
    /// Show an object's attributes, never a secret value
    #[command(after_help = "Example:\n  slotfs object show -handle 124")]
    Show {
        /// The object
        #[arg(long, value_name = "H")]
        handle: Handle,
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
}

/// What to call an object, and where to put it.
#[derive(Args)]
struct Target {
    /// Its CKA_LABEL
    #[arg(short, long)]
    label: String,
    /// Its CKA_ID, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = hex)]
    id: Option<Id>,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

#[derive(Clone)]
struct Id(Vec<u8>);

fn hex(text: &str) -> Result<Id, String> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map(Id)
        .map_err(|_| "it is not hexadecimal".into())
}

/// `object generate`
#[derive(Args)]
pub struct Generate {
    /// The key's type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Generated,
    /// Its length: 128, 192 or 256 for aes; whole bytes up to 4096 for generic
    #[arg(long, default_value_t = 256)]
    bits: u32,
    /// How many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, ValueEnum)]
enum Generated {
    Aes,
    Generic,
}

/// `object import`
#[derive(Args)]
pub struct Import {
    /// PEM or DER: a PKCS#8 private key, a SubjectPublicKeyInfo, a certificate; with -type any bytes
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Take the file's bytes as the value of a secret key or data object
    #[arg(long = "type", value_name = "TYPE")]
    raw: Option<Raw>,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, ValueEnum)]
enum Raw {
    Aes,
    Generic,
    Data,
}

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::Generate(generate) => generate.run(console),
            Self::Import(import) => import.run(console),
            Self::Show { handle, slot } => show_object(console, handle, slot),
        }
    }
}

impl Target {
    fn naming(&self) -> Naming {
        Naming {
            label: self.label.clone(),
            id: self.id.clone().map(|id| id.0).unwrap_or_default(),
        }
    }
}

impl Generate {
    fn run(self, console: &Console<'_>) -> Result<Ended> {
        let kind = match self.kind {
            Generated::Aes => SecretKeyType::Aes,
            Generated::Generic => SecretKeyType::Generic,
        };
        let naming = self.target.naming();
        let one = || {
            new::generate_secret_key(kind, self.bits, &naming).map_err(|error| {
                Error::ObjectRefused {
                    why: error.to_string(),
                    hint: error.hint(),
                }
            })
        };
        // The first before the login, so that a length that cannot be costs no password.
        let first = one()?;
        let others = (1..self.count).map(|_| one());
        store(
            console,
            &self.target,
            std::iter::once(Ok(first)).chain(others),
        )
    }
}

impl Import {
    fn run(self, console: &Console<'_>) -> Result<Ended> {
        let file = read_secret(&self.file, MAX_FILE_BYTES as u64)?;
        let raw = self.raw.map(|raw| match raw {
            Raw::Aes => RawType::Aes,
            Raw::Generic => RawType::Generic,
            Raw::Data => RawType::Data,
        });
        let object = import::import(&file, raw, &self.target.naming()).map_err(|error| {
            Error::ObjectRefused {
                why: format!("{}: {error}", self.file.display()),
                hint: error.hint(),
            }
        })?;
        store(console, &self.target, std::iter::once(Ok(object)))
    }
}

/// Stores objects under the next free handles; each is durable when its line is printed.
fn store(
    console: &Console<'_>,
    target: &Target,
    objects: impl Iterator<Item = Result<Object>>,
) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, target.slot)?;
    console.login(&hsm, slot, &[Role::Co])?;
    let mut documents = Vec::new();
    let mut outcome = Ok(());
    for_each_batch(objects, |batch| {
        for (object, stored) in batch.iter().zip(add_all(&hsm, slot, batch)) {
            match stored {
                Ok(handle) if console.json() => documents
                    .push(json!({ "handle": handle.get(), "ouid": object.ouid.to_string() })),
                Ok(handle) => output::print(&format!("Handle {handle}\n")),
                Err(error) => outcome = Err(error),
            }
        }
    })?;
    if console.json() && (outcome.is_ok() || !documents.is_empty()) {
        output::print_json(&json!({ "slot": slot.0, "objects": documents }));
    }
    outcome.map(|()| Ended::WithResult)
}

/// Hands over objects a few hundred at a time, so that they share commits and memory stays flat.
fn for_each_batch(
    objects: impl Iterator<Item = Result<Object>>,
    mut each: impl FnMut(&[Object]),
) -> Result<()> {
    const AT_ONCE: usize = 256;
    let mut batch = Vec::new();
    for object in objects {
        batch.push(object?);
        if batch.len() == AT_ONCE {
            each(&batch);
            batch.clear();
        }
    }
    each(&batch);
    Ok(())
}

fn add_all(hsm: &Hsm, slot: SlotId, objects: &[Object]) -> Vec<Result<Handle>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    for (index, object) in objects.iter().enumerate() {
        let sender = sender.clone();
        hsm.add(slot, object, move |outcome| {
            // The receiver is waiting below.
            let _ = sender.send((index, outcome));
        });
    }
    drop(sender);
    let mut outcomes: Vec<_> = receiver.into_iter().collect();
    outcomes.sort_unstable_by_key(|(index, _)| *index);
    outcomes
        .into_iter()
        .map(|(_, outcome)| outcome.map(|arrived| arrived.handle))
        .collect()
}

fn show_object(console: &Console<'_>, handle: Handle, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    console.login(&hsm, slot, &[Role::Co, Role::Cu])?;
    let found = hsm.find(slot, handle)?;
    let (_, object) = hsm.open_object(found.id)?;
    if console.json() {
        output::print_json(&json!({
            "slot": slot.0,
            "handle": handle.get(),
            "object": show::json(&object),
        }));
    } else {
        let rows = show::attributes(&object);
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = format!("{:width$}  {handle}\n", "handle");
        for (name, value) in rows {
            text.push_str(&format!("{name:width$}  {value}\n"));
        }
        output::print(&text);
    }
    Ok(Ended::WithResult)
}
