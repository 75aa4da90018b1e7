//! What `store check` reads. No value is trusted.

use super::{Entry, ROW_IDS, Seen, SlotRow};
use slotfs_object::sealed::{PartId, SealedRow};
use slotfs_object::{Handle, OUID_BYTES, Ouid, RowId, SlotId};

/// How many objects a slot has, counted in every possible way.
pub struct Count {
    /// The slot.
    pub slot: SlotId,
    /// Objects and payload bytes as the triggers counted them; `None` when there is no such row.
    pub usage: Seen<Option<(i64, i64)>>,
    /// Objects and payload bytes in the table.
    pub table: Seen<(i64, i64)>,
    /// Objects in the index by handle.
    pub by_handle: Seen<i64>,
    /// Objects in the index by identity.
    pub by_ouid: Seen<i64>,
}

/// Row id, slot and handle from an index; each may be no number.
pub type Indexed = (i64, Seen<i64>, Seen<i64>);

/// A slot as it is stored.
pub struct SlotParts {
    /// Its own row.
    pub row: Seen<SlotRow>,
    /// Its credentials.
    pub credentials: Seen<Vec<Part>>,
    /// Its domains.
    pub domains: Seen<Vec<Part>>,
    /// Its storage master keys.
    pub smks: Seen<Vec<Part>>,
}

/// The row of a credential, a domain or a storage master key.
pub struct Part {
    /// Row id.
    pub id: PartId,
    /// What is wrong with its part in clear.
    pub faults: Vec<String>,
}

/// An object's row. No value in it is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Row id.
    pub id: i64,
    /// The slot's number, if it is a number.
    pub slot: Option<i64>,
    /// The handle, if it is a number.
    pub handle: Option<i64>,
    pub(crate) ouid: Option<Vec<u8>>,
    pub(crate) payload_bytes: Option<i64>,
    pub(crate) created_secs: Option<i64>,
    pub(crate) stored_secs: Option<i64>,
    pub(crate) changed_secs: Option<i64>,
    pub(crate) sealed: Option<Vec<u8>>,
    /// Values of a wrong type.
    pub(crate) wrong: Vec<String>,
    /// The rows that the indexes by handle and by identity lead to from here.
    pub(crate) indexes: Seen<Indexes>,
}

pub(crate) type Indexes = (Option<i64>, Option<i64>);

impl ObjectRow {
    /// What is wrong with the part in clear.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.wrong.clone();
        if !ROW_IDS.contains(&self.id) {
            faults.push("its row number is out of range".to_owned());
        }
        if let Some(handle) = self.handle
            && self.as_handle().is_none()
        {
            faults.push(format!("{handle} is no handle"));
        }
        if let Some(ouid) = &self.ouid
            && ouid.len() != OUID_BYTES
        {
            faults.push(format!(
                "its identity has {} bytes, it should have {OUID_BYTES}",
                ouid.len()
            ));
        }
        if let (Some(payload_bytes), Some(sealed)) = (self.payload_bytes, &self.sealed) {
            let sealed_bytes = usize::try_from(payload_bytes)
                .ok()
                .and_then(|bytes| bytes.checked_add(SealedRow::OVERHEAD_BYTES));
            if sealed_bytes != Some(sealed.len()) {
                faults.push(format!(
                    "its sealed row has {} bytes, which does not fit a payload of {payload_bytes}",
                    sealed.len()
                ));
            }
        }
        if [self.created_secs, self.stored_secs, self.changed_secs]
            .into_iter()
            .flatten()
            .any(|secs| secs < 0)
        {
            faults.push("it has a time before 1970".to_owned());
        }
        match &self.indexes {
            Ok((by_handle, by_ouid)) => {
                for (found, how) in [(by_handle, "handle"), (by_ouid, "identity")] {
                    match found {
                        Some(id) if *id == self.id => {}
                        Some(id) => faults.push(format!("its {how} leads to row {id}")),
                        None => faults.push(format!("it cannot be found by its {how}")),
                    }
                }
            }
            Err(what) => faults.push(format!(
                "it may not be found by its handle or identity: an index cannot be read: {what}"
            )),
        }
        faults
    }

    /// The row as the rest of the store reads it; `None` when that would fail.
    pub fn entry(&self) -> Option<(Entry, SealedRow)> {
        let entry = Entry {
            id: RowId(self.id),
            slot: SlotId(self.slot?.try_into().ok()?),
            handle: self.as_handle()?,
            ouid: Ouid(self.ouid.as_deref()?.try_into().ok()?),
            payload_bytes: self.payload_bytes?.try_into().ok()?,
            created_secs: self.created_secs?.try_into().ok()?,
            changed_secs: self.changed_secs.map(u64::try_from).transpose().ok()?,
        };
        Some((entry, SealedRow::stored(self.sealed.clone()?)))
    }

    fn as_handle(&self) -> Option<Handle> {
        u32::try_from(self.handle?).ok().and_then(Handle::new)
    }
}

/// Something that does not hold, and where.
pub struct Contradiction {
    /// The slot, if it concerns one.
    pub slot: Option<SlotId>,
    /// The row, if it concerns one.
    pub row: Option<i64>,
    /// What does not hold.
    pub what: String,
}
