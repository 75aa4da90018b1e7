//! An object's row, and what is wrong with its part in clear.

use rusqlite::{Row, params};

use super::{BY_HANDLE, BY_OUID, TRASH_BY_NAME};
use crate::rows::{Indexes, ObjectRow};
use crate::sqlite::cells::{self, Seen};
use crate::sqlite::{Result, Store};
use slotfs_object::SlotId;

const COLUMNS: &str = "o.id, o.slot, o.handle, o.ouid, o.payload_bytes, o.created_secs, o.stored_secs, o.sealed, o.changed_secs";

impl Store {
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
