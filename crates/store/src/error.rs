//! What can be wrong with a store, with a slot in it, or with an object's row.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DamagedRow;
use slotfs_object::revision::Differences;
use slotfs_object::shown;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// Why a call of the store failed. One failure can fail many writes, so it can be cloned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store as a whole.
    #[error("store {}: {why}", shown::path(path))]
    Store {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        why: StoreFault,
    },
    /// One slot.
    #[error(fmt = in_slot)]
    Slot {
        /// The slot.
        slot: SlotId,
        /// What is wrong.
        why: SlotFault,
    },
    /// One object's row cannot be used.
    #[error("store damaged: {0}")]
    Object(DamagedRow),
    /// Damage that concerns no single slot.
    #[error("store damaged: {0}")]
    Damaged(String),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The row is not there any more.
    #[error("the object is gone")]
    Gone,
    /// Another file than the store: a backup, a log beside the store.
    #[error("{}: {source}", shown::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Arc<io::Error>,
    },
    /// No backup can be written to that file.
    #[error("{}: {why}", shown::path(path))]
    Target {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A backup replaces a file only on request.
    #[error("{} exists; name another file, or replace it with -force", shown::path(.0))]
    TargetExists(PathBuf),
    /// The caller asked to stop.
    #[error("interrupted: {} was not written", shown::path(.0))]
    Stopped(PathBuf),
}

/// Damage is told of the store first, as everywhere else.
fn in_slot(slot: &SlotId, why: &SlotFault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        SlotFault::Damaged(what) => write!(f, "store damaged: slot {slot}: {what}"),
        SlotFault::Unreadable { handle, what } => {
            write!(f, "store damaged: slot {slot}, object {handle}: {what}")
        }
        why => write!(f, "slot {slot}: {why}"),
    }
}

/// What is wrong with the store as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// There is nothing in its place.
    #[error("there is no store; 'slotfs partition init' makes one")]
    Missing,
    /// No room on its disk.
    #[error("its disk is full")]
    DiskFull,
    /// It cannot be written.
    #[error("it cannot be written")]
    ReadOnly,
    /// The files at its path are no longer those that were opened. Says which one, and what became of it.
    #[error("{0}; nothing more is read from it or written to it")]
    Lost(String),
    /// Its cluster did not answer in time. What was asked for was not done.
    #[error("its cluster does not answer: {0}; nothing was changed")]
    Unreachable(String),
    /// Its cluster did not answer in time, and it could not be found out whether a write was done.
    #[error(
        "in doubt: its cluster stopped answering while it was written; look whether the object is there before you write it again"
    )]
    InDoubt,
    /// The cluster's database is full, or almost.
    #[error(
        "etcd's quota is used up; compact and defragment its members, then disarm the alarm (docs/cluster.md)"
    )]
    QuotaFull,
    /// Its cluster is another one than was seen here, or an earlier state of it.
    #[error("{0}; if you restored it yourself, run 'slotfs store accept'")]
    WentBack(String),
    /// Its tables, triggers or views differ from those that slotfs makes.
    #[error("{0}, so nothing is written to it")]
    ForeignSchema(String),
    /// It could not be opened or used.
    #[error("{0}")]
    Failed(String),
}

/// What is wrong with one slot, for the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotFault {
    /// No partition is there.
    #[error("there is no such slot")]
    Missing,
    /// A partition is there already.
    #[error("it already holds a partition")]
    Exists,
    /// The slot holds another partition than the caller meant.
    #[error("its partition was replaced")]
    Replaced,
    /// Another process changed it since it was read.
    #[error("another process changed it meanwhile")]
    Changed,
    /// Another process seals all of its objects anew, and lets nobody write meanwhile.
    #[error("another process is sealing its objects under a new key; try again in a moment")]
    Resealing,
    /// No room for another object.
    #[error("the slot is full")]
    Full,
    /// No room for another removed object.
    #[error("the trash is full")]
    TrashFull,
    /// The handle is in use.
    #[error("handle {0} is taken")]
    HandleTaken(Handle),
    /// The slot holds another object of that identity, or a description of it that does not give way.
    #[error(
        "{} the identity {ouid} of handle {handle}; they differ in {differs}",
        claims(differs)
    )]
    IdentityClash {
        /// The contested identity.
        ouid: Ouid,
        /// The object that has it.
        handle: Handle,
        /// What the two differ in.
        differs: Differences,
    },
    /// The slot holds a later revision than the one that was to come back from the trash.
    #[error("handle {0} is a later revision of it")]
    Outdated(Handle),
    /// An object of that identity was removed from the slot, and was not to be put back.
    #[error("object {0} is in its trash")]
    Removed(Ouid),
    /// The caller named a row as damaged that is whole.
    #[error("row {row} can be read, it is object {handle}")]
    NotDamaged {
        /// The object in it.
        handle: Handle,
        /// The row.
        row: RowId,
    },
    /// A row holds a value that slotfs does not write. Names the column.
    #[error("store damaged: {0}")]
    Damaged(String),
    /// So many objects do not open, and would be lost with another slot key.
    #[error("{0} of its objects cannot be opened; another slot key would lose them")]
    WouldLose(u64),
    /// The row of an object can be read, but not what is sealed in it.
    #[error("store damaged: object {handle}: {what}")]
    Unreadable {
        /// The object.
        handle: Handle,
        /// Why not.
        what: String,
    },
}

/// Whoever holds a domain can seal any content under any identity; two changes of one revision are everyday.
fn claims(differs: &Differences) -> &'static str {
    match differs.can_be_described {
        true => "another description of the object has",
        false => "another object claims",
    }
}

impl SlotFault {
    /// Gives [`Self::Damaged`] of `slot`, for `map_err`.
    pub(crate) fn damaged(slot: SlotId) -> impl Fn(String) -> Error {
        move |what| Self::Damaged(what).at(slot)
    }

    /// This fault of `slot`.
    pub fn at(self, slot: SlotId) -> Error {
        Error::Slot { slot, why: self }
    }
}

impl StoreFault {
    /// This fault of the store at `path`.
    pub fn at(self, path: &Path) -> Error {
        Error::Store {
            path: path.to_owned(),
            why: self,
        }
    }
}

impl Error {
    /// The store at `path` could not be opened or used.
    pub(crate) fn failed(path: &Path, why: impl ToString) -> Self {
        StoreFault::Failed(why.to_string()).at(path)
    }

    /// The other file at `path` could not be used.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// Whether another process changed the slot since it was read.
    pub fn is_changed(&self) -> bool {
        matches!(
            self,
            Self::Slot {
                why: SlotFault::Changed,
                ..
            }
        )
    }
}

/// What the store's calls return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
