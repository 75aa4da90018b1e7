//! `object generate`, `import`, `export`, `show`, `delete`, and what the trash has

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

mod delete;
mod export;
mod trash;

use super::password::{file_password, read_secret};
use super::{Console, Ended, output};
use crate::credential::Role;
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, Hsm};
use crate::object::attributes::Chosen;
use crate::object::generate::{EcCurve, GenerateError, KeyPair, KeyPairType, generate_key_pair};
use crate::object::import::{self, MAX_FILE_BYTES, RawType};
use crate::object::new::{self, Naming, NewError, SecretKeyType};
use crate::object::pkcs11::class_name;
use crate::object::{Handle, Object, SlotId, show};
use crate::secret::SecretBytes;

/// What can be done with objects.
#[derive(Subcommand)]
pub enum Verb {
    /// Generate secret keys or key pairs; of a pair, the private key's handle is printed first
    #[command(
        after_help = "Examples:\n  slotfs object generate -type aes -bits 256 -label backup -count 3\n  slotfs object generate -type ec -curve p384 -label signing -attribute derive=false"
    )]
    Generate(Generate),
    /// Import keys, certificates or data from a file
    #[command(
        after_help = "Examples:\n  slotfs object import -file key.pem -label signing\n  slotfs object import -file store.p12 -filepasswordfile store.password -label web\n  slotfs object import -file secret.bin -type aes -label raw"
    )]
    Import(Import),
    /// Write a public key, a certificate or data to a file
    #[command(
        after_help = "Examples:\n  slotfs object export -handle 124 -file public.pem\n  slotfs object export -handle 124 -file - -form der | openssl pkey -pubin -inform DER -text"
    )]
    Export(export::Export),
    /// Delete objects: they are in the trash until the slot's retention has passed
    #[command(
        after_help = "Examples:\n  slotfs object delete -handle 124,125\n  slotfs object delete -handle 124 -destroy"
    )]
    Delete(delete::Delete),
    /// List what is in the trash
    #[command(after_help = "Example:\n  slotfs object trash")]
    Trash(trash::List),
    /// Bring objects back from the trash
    #[command(after_help = "Example:\n  slotfs object restore -trash 124,125.2")]
    Restore(trash::Restore),
    /// Destroy what is in the trash
    #[command(
        after_help = "Examples:\n  slotfs object destroy -trash 124,125.2\n  slotfs object destroy -trash all -force"
    )]
    Destroy(trash::Destroy),
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
    /// Other attributes than the defaults, such as extractable=true,sign=false; repeatable
    #[arg(long, value_name = "NAME=VALUE,...")]
    attribute: Vec<String>,
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
    /// Its length: 128, 192 or 256 for aes, whole bytes up to 4096 for generic [default: 256]; 2048, 3072 or 4096
    /// for rsa [default: 3072]
    #[arg(long, conflicts_with = "curve")]
    bits: Option<u32>,
    /// The curve of ec [default: p256]
    #[arg(long)]
    curve: Option<Curve>,
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
    Rsa,
    Ec,
    Ed25519,
    X25519,
}

#[derive(Clone, Copy, ValueEnum)]
enum Curve {
    P256,
    P384,
    P521,
    Secp256k1,
}

/// `object import`
#[derive(Args)]
pub struct Import {
    /// PEM or DER: a PKCS#8 private key, a SubjectPublicKeyInfo, a certificate, a PKCS#12 store; with -type any bytes
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Take the file's bytes as the value of a secret key or data object
    #[arg(long = "type", value_name = "TYPE")]
    raw: Option<Raw>,
    /// The password of an encrypted file; visible to whoever lists processes [default: asked for]
    #[arg(long, value_name = "STRING", conflicts_with = "filepasswordfile")]
    filepassword: Option<String>,
    /// File with the password of an encrypted file
    #[arg(long, value_name = "PATH")]
    filepasswordfile: Option<PathBuf>,
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
            Self::Export(export) => export.run(console),
            Self::Delete(delete) => delete.run(console),
            Self::Trash(list) => list.run(console),
            Self::Restore(restore) => restore.run(console),
            Self::Destroy(destroy) => destroy.run(console),
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

    fn chosen(&self) -> Result<Chosen> {
        Ok(Chosen::parse(self.attribute.iter().map(String::as_str))?)
    }
}

/// What `object generate` makes of its options.
enum Made {
    Secret(SecretKeyType, u32),
    Pair(KeyPairType),
}

impl Generate {
    fn kind(&self) -> Result<Made> {
        if self.curve.is_some() && !matches!(self.kind, Generated::Ec) {
            return Err(Error::Usage("-curve is for -type ec".into()));
        }
        let bits = |default| self.bits.unwrap_or(default);
        Ok(match self.kind {
            Generated::Aes => Made::Secret(SecretKeyType::Aes, bits(256)),
            Generated::Generic => Made::Secret(SecretKeyType::Generic, bits(256)),
            Generated::Rsa => {
                let bits = bits(3072).try_into().map_err(not_generated)?;
                Made::Pair(KeyPairType::Rsa(bits))
            }
            _ if self.bits.is_some() => {
                return Err(Error::Usage(
                    "-bits is for -type aes, generic and rsa".into(),
                ));
            }
            Generated::Ec => Made::Pair(KeyPairType::Ec(match self.curve {
                None | Some(Curve::P256) => EcCurve::P256,
                Some(Curve::P384) => EcCurve::P384,
                Some(Curve::P521) => EcCurve::P521,
                Some(Curve::Secp256k1) => EcCurve::Secp256k1,
            })),
            Generated::Ed25519 => Made::Pair(KeyPairType::Ed25519),
            Generated::X25519 => Made::Pair(KeyPairType::X25519),
        })
    }

    fn run(self, console: &Console<'_>) -> Result<Ended> {
        let chosen = self.target.chosen()?;
        let naming = self.target.naming();
        let kind = self.kind()?;
        // An RSA key can take seconds, and each is worth keeping at once.
        let at_once = match kind {
            Made::Pair(KeyPairType::Rsa(_)) => 1,
            _ => AT_ONCE,
        };
        let one = || -> Result<Vec<Object>> {
            let mut made = match kind {
                Made::Secret(kind, bits) => {
                    vec![new::generate_secret_key(kind, bits, &naming).map_err(not_made)?]
                }
                Made::Pair(kind) => {
                    let KeyPair { private, public } =
                        generate_key_pair(kind, &naming).map_err(not_generated)?;
                    vec![private, public]
                }
            };
            chosen.apply(&mut made)?;
            Ok(made)
        };
        // The first before the login, so that a length or attribute that cannot be costs no password.
        let first = one()?;
        let others = (1..self.count).map(|_| one());
        let made = std::iter::once(Ok(first)).chain(others);
        store(console, &self.target, made, at_once)
    }
}

fn not_made(error: NewError) -> Error {
    Error::ObjectRefused {
        why: error.to_string(),
        hint: error.hint(),
    }
}

fn not_generated(error: GenerateError) -> Error {
    Error::ObjectRefused {
        why: error.to_string(),
        hint: error.hint(),
    }
}

impl Import {
    fn run(self, console: &Console<'_>) -> Result<Ended> {
        let chosen = self.target.chosen()?;
        let file = read_secret(&self.file, MAX_FILE_BYTES as u64)?;
        let raw = self.raw.map(|raw| match raw {
            Raw::Aes => RawType::Aes,
            Raw::Generic => RawType::Generic,
            Raw::Data => RawType::Data,
        });
        let password = match (self.filepassword, self.filepasswordfile) {
            (Some(password), _) => Some(SecretBytes::new(password.into_bytes())),
            (None, path) if raw.is_none() && import::is_encrypted(&file) => {
                Some(file_password(&self.file, path.as_deref())?)
            }
            _ => None,
        };
        let naming = self.target.naming();
        let mut objects =
            import::import(&file, raw, &naming, password.as_ref()).map_err(|error| {
                Error::ObjectRefused {
                    why: format!("{}: {error}", crate::shown::path(&self.file)),
                    hint: error.hint(),
                }
            })?;
        chosen.apply(&mut objects)?;
        store(console, &self.target, std::iter::once(Ok(objects)), AT_ONCE)
    }
}

/// How many groups share commits: enough to be fast, few enough that memory stays flat.
const AT_ONCE: usize = 256;

/// Stores groups of objects that belong together, each group whole or not at all, under the next free
/// handles; each is durable when its line is printed.
fn store(
    console: &Console<'_>,
    target: &Target,
    groups: impl Iterator<Item = Result<Vec<Object>>>,
    at_once: usize,
) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, target.slot)?;
    console.login(&hsm, slot, &[Role::Co])?;
    let mut documents = Vec::new();
    let outcome = for_each_batch(groups, at_once, |batch| {
        let mut outcome = Ok(());
        for (group, stored) in batch.iter().zip(add_all(&hsm, slot, batch)) {
            let handles = match stored {
                Ok(handles) => handles,
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            };
            for (object, Arrived { handle, .. }) in group.iter().zip(handles) {
                if console.json() {
                    documents.push(json!({
                        "handle": handle.get(),
                        "class": class_name(object.class),
                        "ouid": object.ouid.to_string(),
                    }));
                } else {
                    output::print(&format!("Handle {handle}\n"));
                }
            }
        }
        outcome
    });
    let document = json!({ "slot": slot.0, "objects": documents });
    output::with_document(console.json(), document, outcome)
}

/// Hands over groups `at_once` at a time, until one fails: what kept one from being stored would keep the
/// others too, and making keys takes time.
fn for_each_batch(
    groups: impl Iterator<Item = Result<Vec<Object>>>,
    at_once: usize,
    mut each: impl FnMut(&[Vec<Object>]) -> Result<()>,
) -> Result<()> {
    let mut batch = Vec::new();
    for group in groups {
        match group {
            Ok(group) => batch.push(group),
            // What was made before it is stored all the same.
            Err(error) => return each(&batch).and(Err(error)),
        }
        if batch.len() == at_once {
            each(&batch)?;
            batch.clear();
        }
    }
    each(&batch)
}

/// What became of each group. Where another process changed the slot meanwhile, it is tried once more.
fn add_all(hsm: &Hsm, slot: SlotId, groups: &[Vec<Object>]) -> Vec<Result<Vec<Arrived>>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    for (index, group) in groups.iter().enumerate() {
        let sender = sender.clone();
        hsm.add_all(slot, group, move |outcome| {
            // The receiver is waiting below.
            let _ = sender.send((index, outcome));
        });
    }
    drop(sender);
    let mut outcomes: Vec<_> = groups
        .iter()
        .map(|_| {
            Err(Error::Damaged {
                what: "the committer stopped".into(),
            })
        })
        .collect();
    for (index, outcome) in receiver {
        outcomes[index] = outcome;
    }
    for (group, outcome) in groups.iter().zip(&mut outcomes) {
        if matches!(outcome, Err(Error::SlotChanged { .. })) && hsm.refresh().is_ok() {
            *outcome = hsm::wait(|done| hsm.add_all(slot, group, done));
        }
    }
    outcomes
}

fn show_object(console: &Console<'_>, handle: Handle, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    console.login(&hsm, slot, &[Role::Co, Role::Cu])?;
    let object = hsm.object(slot, handle)?;
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
            text.push_str(format!("{name:width$}  {value}").trim_end());
            text.push('\n');
        }
        output::print(&text);
    }
    Ok(Ended::WithResult)
}
