//! What a store holds, whatever its engine: rows in clear, and sealed ones that are never opened here.

mod change;
mod check;
mod damaged;
mod objects;
mod piece;
mod put;
mod slots;

pub use change::{Changed, Objects, Reseal, SlotChange};
pub(crate) use check::Indexes;
pub use check::{Contradiction, Count, Indexed, ObjectRow, Part, SlotParts};
pub use damaged::{DamagedRow, Read};
pub use objects::{Alike, Entry, NameColumn, Place, Seen, Trashed};
pub(crate) use objects::{PAYLOAD_BYTES, ROW_IDS};
pub(crate) use piece::{About, Piece};
pub use put::{Leaving, Meet, Meeting, Move, Put, Seal, Stored};
pub use slots::{
    CredentialRow, DomainRow, ListedSlot, NewSlot, PartitionMark, SlotRow, SlotRows, SlotVersion,
    SmkRow,
};
pub(crate) use slots::{PartRow, all_credentials, credential_of};
