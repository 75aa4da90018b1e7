//! The counts of a slot's objects and of its trash, beside the triggers that keep them.

use crate::rows::PAYLOAD_BYTES;
use crate::sqlite::check::{BY_HANDLE, BY_OUID};
use crate::sqlite::committer::Tx;
use crate::sqlite::{Error, Result, Store};
use slotfs_object::SlotId;

/// The tables that the triggers count in.
pub(crate) const COUNTERS: [&str; 2] = ["usage", "trash_usage"];

impl Store {
    pub fn recount(&self, slot: SlotId) -> Result<bool> {
        self.write_now(move |tx| recount(tx, slot))
    }
}

fn recount(tx: &mut Tx<'_>, slot: SlotId) -> Result<bool> {
    let count = |how: &str| -> Result<i64> {
        let text = format!("SELECT count(*) FROM objects {how} WHERE slot = ?1");
        tx.value(&text, [slot.0])
    };
    let there = count("NOT INDEXED")?;
    for index in [BY_HANDLE, BY_OUID] {
        let listed = count(&format!("INDEXED BY {index}"))?;
        if listed != there {
            return Err(Error::Damaged(format!(
                "slot {slot} has {there} objects, but {listed} are in the index {index}; its count was not changed"
            )));
        }
    }
    let before = counters(tx, slot)?;
    without_counters(tx, slot, |_| Ok(()))?;
    Ok(counters(tx, slot)? != before)
}

/// The counters as SQL writes them, whatever they hold.
fn counters(tx: &Tx<'_>, slot: SlotId) -> Result<Vec<Option<String>>> {
    tx.rows(
        "SELECT quote(objects) || ' ' || quote(bytes) FROM usage WHERE slot = ?1
         UNION ALL SELECT quote(objects) FROM trash_usage WHERE slot = ?1",
        [slot.0],
        |row| row.get(0).ok(),
    )
}

/// Removes rows while the slot has no counters, and counts the rest: the triggers would calculate with the values of a
/// damaged row, and fail or count wrongly.
pub(crate) fn without_counters<T>(
    tx: &mut Tx<'_>,
    slot: SlotId,
    remove: impl FnOnce(&mut Tx<'_>) -> Result<T>,
) -> Result<T> {
    for table in COUNTERS {
        tx.execute(&format!("DELETE FROM {table} WHERE slot = ?1"), [slot.0])?;
    }
    let removed = remove(tx)?;
    count(tx, slot)?;
    Ok(removed)
}

/// Counts the rows of a slot. A damaged size counts as nothing.
fn count(tx: &Tx<'_>, slot: SlotId) -> Result<()> {
    tx.execute(
        "INSERT INTO usage (slot, objects, bytes)
         SELECT slot, (SELECT count(*) FROM objects WHERE objects.slot = slots.slot),
             (SELECT coalesce(sum(CASE WHEN typeof(payload_bytes) = 'integer'
                     AND payload_bytes BETWEEN ?2 AND ?3 THEN payload_bytes ELSE 0 END), 0)
              FROM objects WHERE objects.slot = slots.slot)
         FROM slots WHERE slot = ?1",
        (slot.0, PAYLOAD_BYTES.start(), PAYLOAD_BYTES.end()),
    )?;
    tx.execute(
        "INSERT INTO trash_usage (slot, objects)
         SELECT slot, (SELECT count(*) FROM trash WHERE trash.slot = slots.slot)
         FROM slots WHERE slot = ?1",
        [slot.0],
    )
    .map(drop)
}
