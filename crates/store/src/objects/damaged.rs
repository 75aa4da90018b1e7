//! Destroying the row of an object that cannot be used, by its row id.

use rusqlite::{Connection, OptionalExtension, params};

use super::trash;
use super::write::{check_version, query};
use super::{Entry, PAYLOAD_BYTES, SEALED_COLUMNS, sealed_entry};
use crate::committer::Tx;
use crate::fault::sql;
use crate::slots::{mark, signed, usage_row};
use crate::{DamagedRow, Read, SlotVersion, Store};
use crate::{Error, Result, SlotFault};
use slotfs_object::SlotId;

impl Store {
    /// The damaged object in row `id`, among the objects or in the trash.
    ///
    /// # Errors
    /// [`Error::NotDamaged`] for a whole one, [`Error::Gone`], or when the store cannot be read.
    pub fn damaged_row(&self, id: i64) -> Result<DamagedRow> {
        match self.read(|connection| damage_of(connection, id))? {
            Some(Err(damaged)) => return Ok(damaged),
            Some(Ok(entry)) => {
                let handle = entry.handle;
                return Err(SlotFault::NotDamaged { handle, row: id }.at(entry.slot));
            }
            None => {}
        }
        match self.trashed_by_id(id) {
            Err(Error::Object(damaged)) => Ok(damaged),
            Ok(Some(trashed)) => {
                let handle = trashed.entry.handle;
                Err(SlotFault::NotDamaged { handle, row: id }.at(trashed.entry.slot))
            }
            Ok(None) => Err(Error::Gone),
            Err(error) => Err(error),
        }
    }

    /// Destroys a damaged object, if its row is as it was found.
    ///
    /// Replies [`Error::Gone`] when it is not.
    pub fn destroy_damaged(
        &self,
        found: DamagedRow,
        slot: SlotVersion,
        reply: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        self.write(move |tx| destroy(tx, &found, slot), reply);
    }
}

/// The row `id` of the objects; one of a slot without a partition is nobody's, and damaged too.
fn damage_of(connection: &Connection, id: i64) -> rusqlite::Result<Option<Read<Entry>>> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {SEALED_COLUMNS} FROM objects WHERE id = ?1"
        ))?
        .query_row([id], |row| {
            let orphan = DamagedRow::of(row, "its slot has no partition".to_owned());
            Ok((sealed_entry(row), orphan))
        })
        .optional()?;
    Ok(match found {
        None => None,
        Some((Err(damaged), _)) => Some(Err(damaged)),
        Some((Ok((entry, _)), orphan)) => match mark(connection, entry.slot)? {
            Some(_) => Some(Ok(entry)),
            None => Some(Err(orphan)),
        },
    })
}

fn destroy(tx: &mut Tx<'_>, found: &DamagedRow, slot: SlotVersion) -> Result<()> {
    check_version(tx, slot)?;
    let now = match found.in_trash {
        true => trash::damaged(tx, found.id)?,
        false => damage_of(tx.connection, found.id)
            .map_err(sql(tx.path))?
            .and_then(Read::err),
    };
    if now.as_ref() != Some(found) {
        return Err(Error::Gone);
    }
    let table = match found.in_trash {
        true => "trash",
        false => "objects",
    };
    let remove = |tx: &mut Tx<'_>| {
        query(tx, &format!("DELETE FROM {table} WHERE id = ?1"), |q| {
            q.execute([found.id])
        })
        .map(drop)
    };
    tx.erases = true;
    // One of no slot is counted nowhere.
    let Some(owner) = found.slot else {
        return remove(tx);
    };
    let kept = query(
        tx,
        "SELECT objects, bytes FROM usage WHERE slot = ?1",
        |q| {
            q.query_row([owner.0], |row| Ok(usage_row(row).ok()))
                .optional()
        },
    )?
    .flatten();
    without_counters(tx, owner, remove)?;
    tx.forget_runs(owner.0);
    // What the count says beyond the index stays said: an index may have lost rows.
    if let Some((objects, _)) = kept
        && !found.in_trash
    {
        query(tx, "UPDATE usage SET objects = ?2 WHERE slot = ?1", |q| {
            q.execute(params![owner.0, signed(objects.saturating_sub(1))])
        })?;
    }
    Ok(())
}

impl Store {
    /// Counts the objects of a slot, and what is in its trash, anew; whether the count was wrong. Nothing is done where the
    /// table and its indexes do not agree: then rows may be missing, and the count is what tells.
    ///
    /// # Errors
    /// [`Error::Damaged`] where they do not, or what the disk says.
    pub fn recount(&self, slot: SlotId) -> Result<bool> {
        self.write_now(move |tx| recount(tx, slot))
    }
}

fn recount(tx: &mut Tx<'_>, slot: SlotId) -> Result<bool> {
    let counted = |tx: &Tx<'_>, text: &str| -> Result<i64> {
        query(tx, text, |q| q.query_row([slot.0], |row| row.get(0)))
    };
    let there = counted(
        tx,
        "SELECT count(*) FROM objects NOT INDEXED WHERE slot = ?1",
    )?;
    for index in ["sqlite_autoindex_objects_1", "sqlite_autoindex_objects_2"] {
        let text = format!("SELECT count(*) FROM objects INDEXED BY {index} WHERE slot = ?1");
        let listed = counted(tx, &text)?;
        if listed != there {
            return Err(Error::Damaged(format!(
                "slot {slot} has {there} objects, but {listed} are in the index {index}; its count was left as it is"
            )));
        }
    }
    let before = counters(tx, slot)?;
    without_counters(tx, slot, |_| Ok(()))?;
    Ok(counters(tx, slot)? != before)
}

/// The counters as SQL writes them, whatever they hold.
fn counters(tx: &Tx<'_>, slot: SlotId) -> Result<Vec<String>> {
    query(
        tx,
        "SELECT quote(objects) || ' ' || quote(bytes) FROM usage WHERE slot = ?1
         UNION ALL SELECT quote(objects) FROM trash_usage WHERE slot = ?1",
        |q| {
            q.query_map([slot.0], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()
        },
    )
}

/// Removes rows while the slot's counters are not there, and counts what is left: the triggers would reckon with what
/// a damaged row holds, and fail or count wrongly.
pub(crate) fn without_counters<T>(
    tx: &mut Tx<'_>,
    slot: SlotId,
    remove: impl FnOnce(&mut Tx<'_>) -> Result<T>,
) -> Result<T> {
    for table in ["usage", "trash_usage"] {
        query(tx, &format!("DELETE FROM {table} WHERE slot = ?1"), |q| {
            q.execute([slot.0])
        })?;
    }
    let removed = remove(tx)?;
    count(tx, slot)?;
    Ok(removed)
}

/// Counts what is in a slot. What a damaged row says of its size counts nothing.
fn count(tx: &Tx<'_>, slot: SlotId) -> Result<()> {
    query(
        tx,
        "INSERT INTO usage (slot, objects, bytes)
         SELECT slot, (SELECT count(*) FROM objects WHERE objects.slot = slots.slot),
             (SELECT coalesce(sum(CASE WHEN typeof(payload_bytes) = 'integer'
                     AND payload_bytes BETWEEN ?2 AND ?3 THEN payload_bytes ELSE 0 END), 0)
              FROM objects WHERE objects.slot = slots.slot)
         FROM slots WHERE slot = ?1",
        |q| q.execute(params![slot.0, PAYLOAD_BYTES.start(), PAYLOAD_BYTES.end()]),
    )?;
    query(
        tx,
        "INSERT INTO trash_usage (slot, objects)
         SELECT slot, (SELECT count(*) FROM trash WHERE trash.slot = slots.slot)
         FROM slots WHERE slot = ?1",
        |q| q.execute([slot.0]),
    )
    .map(drop)
}
