//! `object generate`, `import`, `export`, `show`, `set`, `delete`, `trash`, `restore` and `destroy`

use clap::{Args, Subcommand};

mod add;
mod delete;
mod each;
mod export;
mod generate;
mod import;
mod set;
mod trash;

use crate::cli::{Answer, Console, SlotArg};
use crate::error::Result;
use crate::object::attributes::Chosen;
use crate::object::new::Naming;
use crate::object::partition::Role;
use crate::object::{Handle, show};

/// What can be done with objects.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Generate secret keys or key pairs; of a pair, the private key's handle is printed first
    #[command(
        after_help = "Examples:\n  slotfs object generate -type aes -bits 256 -label backup -count 3\n  slotfs object generate -type ec -curve p384 -label signing -attribute derive=false"
    )]
    Generate(generate::Generate),
    /// Import keys, certificates or data from a file
    #[command(
        after_help = "Examples:\n  slotfs object import -file key.pem -label signing\n  slotfs object import -file store.p12 -filepasswordfile store.password -label web\n  slotfs object import -file secret.bin -type aes -label raw"
    )]
    Import(import::Import),
    /// Write a public key, a certificate or data to a file
    #[command(
        after_help = "Examples:\n  slotfs object export -handle 124 -file public.pem\n  slotfs object export -handle 124 -file - -form der | openssl pkey -pubin -inform DER -text"
    )]
    Export(export::Export),
    /// Change an object's label, id or other attributes: the next revision of it takes its place
    #[command(
        after_help = "Examples:\n  slotfs object set -handle 124 -label payments-2026\n  slotfs object set -handle 124 -attribute sign=false,end_date=2026-12-31"
    )]
    Set(set::Set),
    /// Delete objects: they stay in the trash until the slot's retention has passed
    #[command(
        after_help = "Examples:\n  slotfs object delete -handle 124,125\n  slotfs object delete -handle 124 -destroy"
    )]
    Delete(delete::Delete),
    /// List the objects in the trash
    #[command(after_help = "Example:\n  slotfs object trash")]
    Trash(SlotArg),
    /// Restore objects from the trash
    #[command(after_help = "Example:\n  slotfs object restore -trash 124,125.2")]
    Restore(trash::Restore),
    /// Destroy objects in the trash
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
        #[command(flatten)]
        slot: SlotArg,
    },
}

/// What new objects are called, their attributes, and their slot.
#[derive(Args)]
struct NewObject {
    /// Its CKA_LABEL
    #[arg(short, long)]
    label: String,
    /// Its CKA_ID, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = hex)]
    id: Option<Id>,
    /// Attributes that differ from the defaults, such as extractable=true,sign=false; repeatable
    #[arg(long, value_name = "NAME=VALUE,...")]
    attribute: Vec<String>,
    #[command(flatten)]
    slot: SlotArg,
}

#[derive(Clone)]
struct Id(Vec<u8>);

fn hex(text: &str) -> Result<Id, String> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map(Id)
        .map_err(|_| "it is not hexadecimal".into())
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Generate(generate) => generate.run(console),
            Self::Import(import) => import.run(console),
            Self::Export(export) => export.run(console),
            Self::Set(set) => set.run(console),
            Self::Delete(delete) => delete.run(console),
            Self::Trash(slot) => trash::list(console, slot),
            Self::Restore(restore) => restore.run(console),
            Self::Destroy(destroy) => destroy.run(console),
            Self::Show { handle, slot } => show_object(console, handle, slot),
        }
    }
}

impl NewObject {
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

fn show_object(console: &Console<'_>, handle: Handle, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[Role::Co, Role::Cu])?;
    let object = hsm.partition(slot).object(handle)?;
    let attributes = show::attributes(&object);
    let pairs = attributes
        .iter()
        .map(|(name, value)| (name.as_ref(), value.to_string()));
    Ok(Answer::of_slot(slot)
        .fact("handle", handle.get())
        .fact("object", show::json(&object))
        .pairs([("handle", handle.to_string())].into_iter().chain(pairs)))
}
