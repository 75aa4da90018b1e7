//! `partition archive`: backups of partitions in a folder. Each backup is a sub-folder with sealed blobs, the same that the
//! mount serves, and an index of them (docs/backup.md).
//!
//! The folder may be anybody's: nothing in it is followed, believed or printed as it is. The index is the truth about a
//! backup, and it is replaced in one step after everything that it names is durable. So a crash leaves the earlier index,
//! with every file that it names.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::clone::Objects;
use crate::cli::{Answer, Console, SlotArg};
use crate::error::{Error, Result};
use crate::hsm::{Selection, code};

mod backup;
mod delete;
mod draft;
mod folder;
mod index;
mod label;
mod report;
mod restore;
mod show;

use label::Label;

/// What can be done with backups in a folder.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Back up objects of a slot into a folder, as sealed blobs with an index (co; cu what it may take out)
    #[command(
        after_help = "Examples:\n  slotfs partition archive backup -folder backups -partition monday -slot 0\n  slotfs partition archive backup -folder backups -partition monday -slot 0 -append -quiet\n\nEach object succeeds or fails by itself; the exit status is 1 when any failed."
    )]
    Backup(Backup),
    /// Restore objects of a backup to a slot that shares a cloning domain (co)
    #[command(
        after_help = "Example:\n  slotfs partition archive restore -folder backups -partition monday -slot 1\n\nEach object succeeds or fails by itself; the exit status is 1 when any failed."
    )]
    Restore(Restore),
    /// List the backups of a folder
    #[command(after_help = "Example:\n  slotfs partition archive list -folder backups")]
    List(FolderArg),
    /// List the objects of a backup, and compare its files with its index
    #[command(
        after_help = "Example:\n  slotfs partition archive contents -folder backups -partition monday"
    )]
    Contents(BackupArg),
    /// Delete a backup: the files that its index names, and the index
    #[command(
        after_help = "Example:\n  slotfs partition archive delete -folder backups -partition monday -force"
    )]
    Delete(Delete),
}

impl Verb {
    /// Runs the command.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Backup(backup) => backup.run(console),
            Self::Restore(restore) => restore.run(console),
            Self::List(folder) => show::list(console, &folder),
            Self::Contents(which) => show::contents(console, &which),
            Self::Delete(delete) => delete.run(console),
        }
    }

    /// Whether it only shows something.
    pub(crate) fn only_shows(&self) -> bool {
        matches!(self, Self::List(_) | Self::Contents(_))
    }
}

/// The error of a backup that is no longer what the command looked at.
fn changed_meanwhile(folder: &folder::BackupFolder) -> Error {
    Error::Archive {
        path: folder.path().to_owned(),
        what: "another command changed this backup meanwhile".to_owned(),
        hint: Some("look at it with 'slotfs partition archive contents', then retry"),
        code: code::FUNCTION_FAILED,
    }
}

/// Where backups are.
#[derive(Args)]
pub(crate) struct FolderArg {
    /// The folder with the backups [default: 'archive' of the configuration]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::AnyPath)]
    folder: Option<PathBuf>,
}

impl FolderArg {
    /// The folder of the option, else of the configuration.
    fn path(&self, console: &Console<'_>) -> Result<PathBuf> {
        let folder = match &self.folder {
            Some(folder) => Some(folder.clone()),
            None => console.config()?.archive.clone(),
        };
        let none =
            "no folder of backups is given; use -folder DIR, or set 'archive' in the configuration";
        folder.ok_or_else(|| Error::Usage(none.into()))
    }
}

/// One backup of a folder.
#[derive(Args)]
pub(crate) struct BackupArg {
    #[command(flatten)]
    folder: FolderArg,
    /// The backup's name, 1 to 32 characters
    #[arg(short, long, value_name = "LABEL")]
    partition: Label,
}

/// What happens to what is there already.
#[derive(Args)]
#[group(multiple = false)]
struct Mode {
    /// Keep what is there, and add what is not
    #[arg(short, long)]
    append: bool,
    /// Replace what is there
    #[arg(short, long)]
    replace: bool,
}

/// Options of `backup` and `restore`.
#[derive(Args)]
struct Transfer {
    #[command(flatten)]
    backup: BackupArg,
    /// One handle, a list with commas, or 0 or all
    #[arg(short, long, value_name = "HANDLES", default_value = "all")]
    objects: Objects,
    #[command(flatten)]
    mode: Mode,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
    /// Report only the objects that fail, and one line with the numbers
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    slot: SlotArg,
}

impl Transfer {
    fn which(&self) -> &Selection {
        &self.objects.0
    }
}

/// `partition archive backup`
#[derive(Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    transfer: Transfer,
}

/// `partition archive restore`
#[derive(Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    transfer: Transfer,
}

/// `partition archive delete`
#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    backup: BackupArg,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}
