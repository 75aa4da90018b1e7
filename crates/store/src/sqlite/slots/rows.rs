//! The rows of slots and their keys as typed values.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::rows::{DomainRow, ListedSlot, PartRow, PartitionMark, SlotRow, SmkRow};
use crate::sqlite::cells::{self, Seen};
use crate::sqlite::{Error, SlotFault, query};
use slotfs_object::SlotId;
use slotfs_object::partition::{DomainKind, PartitionVersion, Policies, SlotKind};
use slotfs_object::sealed::PartId;

pub(crate) const SELECT_SLOT: &str = "SELECT slot, serial, label, kind, version, capacity_objects,
    capacity_bytes, retention_secs, policies, uid, gid, created_secs, generation, header FROM slots";

/// From the columns of [`SELECT_SLOT`].
pub(crate) fn slot_row(row: &Row<'_>) -> Seen<SlotRow> {
    Ok(SlotRow {
        slot: SlotId(cells::number(row, 0)?),
        serial: cells::number(row, 1)?,
        label: cells::text(row, 2)?,
        kind: cells::known(row, 3, SlotKind::from_number)?,
        version: cells::known(row, 4, PartitionVersion::from_number)?,
        capacity_objects: cells::number(row, 5)?,
        capacity_bytes: cells::number(row, 6)?,
        retention_secs: cells::number(row, 7)?,
        policies: Policies::from_stored(&cells::text(row, 8)?)
            .ok_or("its policies are not readable")?,
        uid: cells::optional_number(row, 9)?,
        gid: cells::optional_number(row, 10)?,
        created_secs: cells::number(row, 11)?,
        generation: cells::number(row, 12)?,
        header: cells::sealed(row, 13)?,
    })
}

pub(super) fn listed_slot(row: &Row<'_>) -> ListedSlot {
    let slot = cells::number(row, 0).ok().map(SlotId);
    let row = slot_row(row).map_err(|what| match slot {
        Some(slot) => SlotFault::Damaged(what).at(slot),
        None => Error::Damaged(format!("a row of the table slots: {what}")),
    });
    ListedSlot { slot, row }
}

/// Objects and payload bytes, from `objects, bytes`.
pub(crate) fn usage_row(row: &Row<'_>) -> Seen<(u64, u64)> {
    let counted = || -> Seen<(u64, u64)> { Ok((cells::number(row, 0)?, cells::number(row, 1)?)) };
    counted().map_err(|what| {
        format!(
            "the count of its objects is damaged: {what}; 'slotfs store check -repair' recounts"
        )
    })
}

/// The serial as SQL writes it: that works for a damaged serial too.
pub(crate) fn mark(
    connection: &Connection,
    slot: SlotId,
) -> rusqlite::Result<Option<PartitionMark>> {
    let text = "SELECT quote(serial) FROM slots WHERE slot = ?1";
    query::row(connection, text, [slot.0], |row| {
        Ok(PartitionMark(match row.get_ref(0)? {
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        }))
    })?
    .transpose()
}

/// A number as SQLite stores it; the store's own numbers are far below 2^63.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn smk_rows(
    connection: &Connection,
    slot: SlotId,
) -> rusqlite::Result<Vec<PartRow<SmkRow>>> {
    let text = "SELECT id, sealed FROM smks WHERE slot = ?1";
    query::rows(connection, text, [slot.0], |row| {
        let id = PartId(cells::id(row));
        let smk = || -> Seen<SmkRow> {
            Ok(SmkRow {
                id: PartId(cells::number(row, 0)?),
                sealed: cells::sealed(row, 1)?,
            })
        };
        smk().map_err(|what| {
            (
                id,
                format!("a storage master key (row {} of smks): {what}", id.0),
            )
        })
    })
}

pub(crate) fn domain_rows(
    connection: &Connection,
    slot: SlotId,
) -> rusqlite::Result<Vec<PartRow<DomainRow>>> {
    let text = "SELECT id, kind, label, sealed FROM domains WHERE slot = ?1";
    query::rows(connection, text, [slot.0], |row| {
        let id = PartId(cells::id(row));
        let domain = || -> Seen<DomainRow> {
            Ok(DomainRow {
                id: PartId(cells::number(row, 0)?),
                kind: cells::known(row, 1, DomainKind::from_number)?,
                label: cells::text(row, 2)?,
                sealed: cells::sealed(row, 3)?,
            })
        };
        domain().map_err(|what| (id, format!("a domain (row {} of domains): {what}", id.0)))
    })
}
