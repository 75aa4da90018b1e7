//! The rows of objects, in a slot and in its trash.

use std::ops::RangeInclusive;

use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// The part of an object's row that is in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its row.
    pub id: RowId,
    /// The slot it is in.
    pub slot: SlotId,
    /// Its handle there.
    pub handle: Handle,
    /// Its identity, in every slot.
    pub ouid: Ouid,
    /// Bytes of its payload; its blob's size follows from it and the number of domains.
    pub payload_bytes: u32,
    /// When it was made.
    pub created_secs: u64,
    /// When it was described anew; `None` at birth.
    pub changed_secs: Option<u64>,
}

impl Entry {
    /// The place its row is sealed for.
    pub fn place(&self) -> Place {
        Place {
            id: self.id,
            handle: self.handle,
            ouid: self.ouid,
            payload_bytes: self.payload_bytes,
            created_secs: self.created_secs,
            changed_secs: self.changed_secs,
        }
    }
}

/// The place that a row's ciphertext is bound to, together with the slot's serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Row.
    pub id: RowId,
    /// Handle.
    pub handle: Handle,
    /// Identity.
    pub ouid: Ouid,
    /// Bytes of the payload. It is in clear, so it is bound: a changed value would cut copies short.
    pub payload_bytes: u32,
    /// When it was made, bound for the same reason.
    pub created_secs: u64,
    /// When it was described anew, bound likewise: tools that mirror compare times.
    pub changed_secs: Option<u64>,
}

/// A column that names an object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameColumn {
    /// Its handle.
    Handle,
    /// Its identity.
    Ouid,
}

pub(crate) const PAYLOAD_BYTES: RangeInclusive<i64> = 1..=65536;

/// An object in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Its row, as it was among the objects.
    pub entry: Entry,
    /// Counts the objects in the trash that had the same handle, from 1.
    pub nth: u32,
    /// When it was unlinked.
    pub trashed_secs: u64,
}

/// Whether two rows hold the same content.
pub type Alike = Box<dyn Fn((Place, &SealedRow), (Place, &SealedRow)) -> bool + Send>;

/// Row ids of objects: an inode number has 48 bits for them.
pub(crate) const ROW_IDS: RangeInclusive<i64> = 1..=(1 << 47);

/// A value that was read, or a text that says in what way it is damaged.
pub type Seen<T> = std::result::Result<T, String>;
