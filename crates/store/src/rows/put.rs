//! Objects on their way into a slot, and what becomes of them.

use super::SlotVersion;
use super::{Alike, Entry, Place};
use crate::Result;
use slotfs_object::revision::Differences;
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId};

/// Seals a payload for the place that the store chose.
pub type Seal = Box<dyn Fn(Place) -> Result<SealedRow> + Send>;
/// Compares the object with a row that has its identity.
pub type Meet = Box<dyn Fn(Place, &SealedRow) -> Result<Meeting> + Send>;

/// What an object is to the one that a slot has under its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Both are the same.
    Same,
    /// It is a later revision.
    Newer,
    /// It is an earlier revision.
    Older,
    /// Neither replaces the other.
    Clash(Differences),
}

/// An object to be stored.
pub struct Put {
    /// The target, as it was when it verified the object. If it changed since, it has to verify the object again.
    pub slot: SlotVersion,
    /// Its row id, if it has one already: a reserved one, or its row in the trash.
    pub id: Option<RowId>,
    /// The handle that the caller wants.
    pub want: Option<Handle>,
    /// Its identity.
    pub ouid: Ouid,
    /// Bytes of its payload.
    pub payload_bytes: u32,
    /// When it was made.
    pub created_secs: u64,
    /// When it was described anew; `None` at birth.
    pub changed_secs: Option<u64>,
    /// The number of its revision, for the reply.
    pub revision: u32,
    /// Whether it stays away where an object of its identity is in the trash and none is live.
    pub unless_removed: bool,
    /// Seals it.
    pub seal: Seal,
    /// Compares it.
    pub meet: Meet,
    /// What becomes of the revision that it replaces.
    pub replaced: Leaving,
}

/// What becomes of a row that leaves its slot.
pub enum Leaving {
    /// It goes to the trash.
    ToTrash(Alike),
    /// It is destroyed: the slot has no retention.
    Destroyed,
}

/// An object to be moved to another slot.
pub struct Move {
    /// The source's row.
    pub from: Entry,
    /// The slot the source is in, as it was when the source was opened.
    pub from_slot: SlotVersion,
    /// The target; `want` is the handle that the object must get.
    pub put: Put,
    /// What becomes of the source where the target has a later revision of it.
    pub outdated: Leaving,
}

/// Where an object now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Under this handle, newly.
    New(Handle),
    /// Under this handle already, with the same content: nothing was stored.
    Already(Handle),
    /// In the place of an earlier revision.
    Revised {
        /// The handle of both.
        handle: Handle,
        /// The number of its own revision.
        revision: u32,
        /// The row that the earlier revision was in.
        replaced: RowId,
    },
    /// A later revision is under this handle: nothing was stored.
    Outdated(Handle),
}

impl Stored {
    /// The handle in any case.
    pub fn handle(self) -> Handle {
        match self {
            Self::New(handle)
            | Self::Already(handle)
            | Self::Revised { handle, .. }
            | Self::Outdated(handle) => handle,
        }
    }
}
