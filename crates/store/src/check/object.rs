//! An object's row, and what is wrong with its part in clear.

use rusqlite::{Row, params};

use super::{BY_HANDLE, BY_OUID, TRASH_BY_NAME};
use crate::cells::{self, Seen};
use crate::{Entry, Result, Store};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, OUID_BYTES, Ouid, RowId, SlotId};

/// An object's row. No value in it is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Row id.
    pub id: i64,
    /// The slot's number, if it is a number.
    pub slot: Option<i64>,
    /// The handle, if it is a number.
    pub handle: Option<i64>,
    ouid: Option<Vec<u8>>,
    payload_bytes: Option<i64>,
    created_secs: Option<i64>,
    stored_secs: Option<i64>,
    changed_secs: Option<i64>,
    sealed: Option<Vec<u8>>,
    /// Values of a wrong type.
    wrong: Vec<String>,
    /// The rows that the indexes by handle and by identity lead to from here.
    indexes: Seen<Indexes>,
}

type Indexes = (Option<i64>, Option<i64>);

const COLUMNS: &str = "o.id, o.slot, o.handle, o.ouid, o.payload_bytes, o.created_secs, o.stored_secs, o.sealed, o.changed_secs";

impl Store {
    /// One object's row; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn look_object(&self, id: i64) -> Result<Seen<Option<ObjectRow>>> {
        let text = format!(
            "SELECT {COLUMNS},
                        (SELECT i.id FROM objects i INDEXED BY {BY_HANDLE}
                         WHERE i.slot = o.slot AND i.handle = o.handle),
                        (SELECT i.id FROM objects i INDEXED BY {BY_OUID}
                         WHERE i.slot = o.slot AND i.ouid = o.ouid)
                     FROM objects o NOT INDEXED WHERE o.id = ?1"
        );
        let with_indexes = self.look_row(&text, [id], |row| {
            Ok(object_row(row, Ok((row.get(9)?, row.get(10)?)), Vec::new()))
        })?;
        let Err(what) = with_indexes else {
            return Ok(with_indexes);
        };
        // The row may be whole, and only a page of an index damaged.
        let text = format!("SELECT {COLUMNS} FROM objects o NOT INDEXED WHERE o.id = ?1");
        self.look_row(&text, [id], |row| {
            Ok(object_row(row, Err(what.clone()), Vec::new()))
        })
    }

    /// Up to `most` rows of the trash of `slot` after row `after`, read from the table and not by an index; and why the
    /// reading ended early, if it did.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn trash_rows(
        &self,
        slot: SlotId,
        after: i64,
        most: u32,
    ) -> Result<(Vec<ObjectRow>, Seen<()>)> {
        let text = format!(
            "SELECT {COLUMNS},
                    (SELECT i.id FROM trash i INDEXED BY {TRASH_BY_NAME}
                     WHERE i.slot = o.slot AND i.handle = o.handle AND i.nth = o.nth), o.id, o.nth, o.trashed_secs
                 FROM trash o NOT INDEXED WHERE o.slot = ?1 AND o.id > ?2 ORDER BY o.id LIMIT ?3"
        );
        self.look_rows(&text, params![slot.0, after, most], |row| {
            let nth = cells::within(row, 11, 1..=u32::MAX.into()).err();
            let time = cells::number::<u64>(row, 12).err();
            let wrong = nth.into_iter().chain(time).collect();
            Ok(object_row(row, Ok((row.get(9)?, row.get(10)?)), wrong))
        })
    }
}

/// `wrong`: what is wrong with other columns than these.
fn object_row(row: &Row<'_>, indexes: Seen<Indexes>, mut wrong: Vec<String>) -> ObjectRow {
    let mut number = |column| noted(&mut wrong, cells::number::<i64>(row, column));
    let (slot, handle) = (number(1), number(2));
    let (payload_bytes, created_secs, stored_secs) = (number(4), number(5), number(6));
    let changed_secs = noted(&mut wrong, cells::optional_number::<i64>(row, 8)).flatten();
    let mut bytes = |column| noted(&mut wrong, cells::bytes(row, column).map(<[u8]>::to_vec));
    let (ouid, sealed) = (bytes(3), bytes(7));
    ObjectRow {
        id: cells::id(row),
        slot,
        handle,
        ouid,
        payload_bytes,
        created_secs,
        stored_secs,
        changed_secs,
        sealed,
        wrong,
        indexes,
    }
}

fn noted<T>(wrong: &mut Vec<String>, value: Seen<T>) -> Option<T> {
    value.map_err(|what| wrong.push(what)).ok()
}

impl ObjectRow {
    /// What is wrong with the part in clear.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.wrong.clone();
        if !cells::ROW_IDS.contains(&self.id) {
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
