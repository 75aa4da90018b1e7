//! Where a member is: a slot of a store, or a slot's folder on a mount.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Console;
use crate::cli::console::is_same;
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::shown;

/// A member as options name it. Its store is that of the command: `--store`.
#[derive(Args)]
#[group(id = "place", required = true, multiple = false)]
pub(crate) struct PlaceArgs {
    /// A slot of the command's store
    #[arg(short, long, value_name = "SLOT_NUMBER")]
    pub(super) slot: Option<SlotId>,
    /// The partition with this serial number; a new member is looked for in the command's store
    #[arg(long, visible_alias = "serialnumber", value_name = "SERIAL_NUMBER")]
    pub(super) serial: Option<u64>,
    /// A slot's folder on a mount, in which co is logged in
    #[arg(long, value_name = "PATH")]
    pub(super) folder: Option<PathBuf>,
}

/// Where a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A slot of a store, which is what `--store` takes.
    Store { store: PathBuf, slot: SlotId },
    /// A slot's folder on a mount.
    Folder(PathBuf),
}

impl Place {
    /// Whether both are the same slot.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Store { store, slot },
                Self::Store {
                    store: other_store,
                    slot: other_slot,
                },
            ) => slot == other_slot && is_same(store, other_store),
            // The system is not asked: a mount that hangs would not answer. A slot by two ways has one serial number.
            (Self::Folder(one), Self::Folder(other)) => one == other,
            (Self::Store { .. }, Self::Folder(_)) | (Self::Folder(_), Self::Store { .. }) => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { store, slot } => write!(f, "slot {slot} of {}", shown::path(store)),
            Self::Folder(path) => write!(f, "{}", shown::path(path)),
        }
    }
}

/// The command's store, as it is kept for later commands, which may run in another folder.
///
/// # Errors
/// [`Error::Usage`]
pub(super) fn own_store(console: &Console<'_>) -> Result<PathBuf> {
    absolute(&console.store()?)
}

/// A path from the root on. What names no file, such as an address, stays as it is.
///
/// # Errors
/// [`Error::Usage`] for a path that a text file cannot hold.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let Some(text) = path.to_str() else {
        return Err(Error::Usage(format!(
            "{}: the path of a member must be UTF-8",
            shown::path(path)
        )));
    };
    if text.contains("://") && !slotfs_config::store::is_in_cluster(path) {
        return Ok(path.to_owned());
    }
    slotfs_config::store::absolute(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}
