//! Reading everything, and saying what does not hold. Nothing here writes, and nothing that is read is trusted.
//!
//! Whatever can be damaged comes back as [`Seen`], so that one bad page or row does not hide the rest. What is
//! compared with each other is read in one transaction; the rows themselves are paged through, so that a check
//! of a store in use neither holds up its write-ahead log for long nor sees damage where there is only change.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cells::{self, Seen};
use super::fault::{self, is_damage};
use super::objects::PAYLOAD_BYTES;
use super::slots::{SELECT_SLOT, slot_row};
use super::{Entry, SlotRow, Store, schema};
use crate::Result;
use slotfs_object::partition::DomainKind;
use slotfs_object::partition::Role;
use slotfs_object::sealed::{COMMITMENT_BYTES, KdfParams, SALT_BYTES, SealedRow, WRAPPED_BYTES};
use slotfs_object::secret::KEY_BYTES;
use slotfs_object::{Handle, OUID_BYTES, Ouid, SlotId};

/// A slot as it lies there.
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

/// A credential or domain row, judged by what is in clear.
pub struct Part {
    /// Row id.
    pub id: i64,
    /// What is wrong with it.
    pub faults: Vec<String>,
}

/// How many objects a slot has, counted in each way there is.
pub struct Count {
    /// The slot.
    pub slot: SlotId,
    /// Objects and payload bytes as the triggers counted them; `None` when the row is missing.
    pub usage: Seen<Option<(i64, i64)>>,
    /// Objects and payload bytes in the table.
    pub table: Seen<(i64, i64)>,
    /// Objects in the index by handle.
    pub by_handle: Seen<i64>,
    /// Objects in the index by identity.
    pub by_ouid: Seen<i64>,
}

/// An object's row, nothing of it trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Row id.
    pub id: i64,
    /// The slot's number, if it is one.
    pub slot: Option<i64>,
    /// The handle, if it is one.
    pub handle: Option<i64>,
    ouid: Option<Vec<u8>>,
    payload_bytes: Option<i64>,
    created_secs: Option<i64>,
    stored_secs: Option<i64>,
    sealed: Option<Vec<u8>>,
    /// Values of a wrong type.
    wrong: Vec<String>,
    /// The rows that the indexes by handle and by identity lead to from here.
    indexes: Seen<(Option<i64>, Option<i64>)>,
}

/// Row id, slot and handle, as an index has them: each a number or not.
pub type Indexed = (i64, Seen<i64>, Seen<i64>);

impl Store {
    /// SQLite's own checks and the schema: what does not hold.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn check_file(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        match self.look(schema::differences)? {
            Ok(differences) => found.extend(differences),
            Err(what) => found.push(format!("its schema cannot be read: {what}")),
        }
        match self.look(integrity)? {
            Ok(lines) => found.extend(lines),
            Err(what) => found.push(format!("integrity_check ended early: {what}")),
        }
        match self.look(foreign_keys)? {
            Ok(lines) => found.extend(lines),
            Err(what) => found.push(format!("foreign_key_check ended early: {what}")),
        }
        Ok(found)
    }

    /// Objects of slots that there are none of.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn orphans(&self) -> Result<Seen<Vec<Indexed>>> {
        self.look(|connection| {
            connection
                .prepare(
                    "SELECT id, slot, handle FROM objects NOT INDEXED
                     WHERE slot IS NULL OR slot NOT IN (SELECT slot FROM slots NOT INDEXED)",
                )?
                .query_map([], indexed)?
                .collect()
        })
    }

    /// The number of every slot, whether its row can be read or not.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when the table itself cannot be read.
    pub fn slot_numbers(&self) -> Result<Vec<SlotId>> {
        self.read(|connection| {
            connection
                .prepare("SELECT slot FROM slots NOT INDEXED ORDER BY slot")?
                .query_map([], |row| Ok(cells::number(row, 0).ok().map(SlotId)))?
                .filter_map(rusqlite::Result::transpose)
                .collect()
        })
    }

    /// A slot with its credentials and domains, in one read; `None` when there is no such slot.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn look_slot(&self, slot: SlotId) -> Result<Option<SlotParts>> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let row = seen(
                snapshot
                    .prepare(&format!("{SELECT_SLOT} WHERE slot = ?1"))
                    .and_then(|mut query| {
                        query
                            .query_row([slot.0], |row| Ok(slot_row(row)))
                            .optional()
                    }),
            )?;
            let row = match row {
                Ok(None) => return Ok(None),
                Ok(Some(row)) => row,
                Err(what) => Err(what),
            };
            Ok(Some(SlotParts {
                row,
                credentials: seen(credentials(&snapshot, slot))?,
                domains: seen(domains(&snapshot, slot))?,
                smks: seen(smks(&snapshot, slot))?,
            }))
        })
    }

    /// Counts the objects of `slots` in every way there is, in one read: while others write, only numbers of one
    /// moment can be compared.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn count(&self, slots: &[SlotId]) -> Result<Vec<Count>> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let table = seen(count_table(&snapshot))?;
            slots
                .iter()
                .map(|&slot| {
                    let usage = snapshot
                        .query_row(
                            "SELECT objects, bytes FROM usage WHERE slot = ?1",
                            [slot.0],
                            |row| Ok(usage_counts(row)),
                        )
                        .optional();
                    let in_index = |index: &str| {
                        let text = format!(
                            "SELECT count(*) FROM objects INDEXED BY {index} WHERE slot = ?1"
                        );
                        seen(snapshot.query_row(&text, [slot.0], |row| row.get(0)))
                    };
                    Ok(Count {
                        slot,
                        usage: seen(usage)?.and_then(Option::transpose),
                        table: table.as_ref().map_err(Clone::clone).map(|counts| {
                            counts.get(&i64::from(slot.0)).copied().unwrap_or_default()
                        }),
                        by_handle: in_index(BY_HANDLE)?,
                        by_ouid: in_index(BY_OUID)?,
                    })
                })
                .collect()
        })
    }

    /// Up to `most` rows of objects after row `after`, ascending; where that ended early, why.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn object_rows(&self, after: i64, most: u32) -> Result<(Vec<i64>, Seen<()>)> {
        let mut ids = Vec::new();
        let ended = self.look(|connection| {
            let mut page = connection.prepare_cached(
                "SELECT id FROM objects NOT INDEXED WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = page.query(params![after, most])?;
            while let Some(row) = rows.next()? {
                ids.push(row.get(0)?);
            }
            Ok(())
        })?;
        Ok((ids, ended))
    }

    /// The objects between two rows, as the index by handle has them: for where the table cannot be read.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn indexed_between(&self, after: i64, before: i64) -> Result<Seen<Vec<Indexed>>> {
        self.look(|connection| {
            connection
                .prepare(&format!(
                    "SELECT id, slot, handle FROM objects INDEXED BY {BY_HANDLE}
                     WHERE id > ?1 AND id < ?2 ORDER BY slot, handle"
                ))?
                .query_map([after, before], indexed)?
                .collect()
        })
    }

    /// One object's row; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn look_object(&self, id: i64) -> Result<Seen<Option<ObjectRow>>> {
        let with_indexes = self.look(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {OBJECT_COLUMNS},
                        (SELECT i.id FROM objects i INDEXED BY {BY_HANDLE}
                         WHERE i.slot = o.slot AND i.handle = o.handle),
                        (SELECT i.id FROM objects i INDEXED BY {BY_OUID}
                         WHERE i.slot = o.slot AND i.ouid = o.ouid)
                     FROM objects o NOT INDEXED WHERE o.id = ?1"
                ))?
                .query_row([id], |row| {
                    Ok(object_row(row, Ok((row.get(8)?, row.get(9)?)), Vec::new()))
                })
                .optional()
        })?;
        let Err(what) = with_indexes else {
            return Ok(with_indexes);
        };
        // The row may well be whole, and only an index's page damaged.
        self.look(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {OBJECT_COLUMNS} FROM objects o NOT INDEXED WHERE o.id = ?1"
                ))?
                .query_row([id], |row| {
                    Ok(object_row(row, Err(what.clone()), Vec::new()))
                })
                .optional()
        })
    }

    /// [`Self::read`], with damage kept apart from every other failure.
    fn look<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<Seen<T>> {
        self.read(|connection| seen(query(connection)))
    }
}

impl Store {
    /// Up to `most` rows of the trash of `slot` after row `after`, by the table and not by an index; where that
    /// ended early, why.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn trash_rows(
        &self,
        slot: SlotId,
        after: i64,
        most: u32,
    ) -> Result<(Vec<ObjectRow>, Seen<()>)> {
        let mut found = Vec::new();
        let ended = self.look(|connection| {
            let mut page = connection.prepare_cached(&format!(
                "SELECT {OBJECT_COLUMNS},
                    (SELECT i.id FROM trash i INDEXED BY {TRASH_BY_NAME}
                     WHERE i.slot = o.slot AND i.handle = o.handle AND i.nth = o.nth), o.id, o.nth, o.trashed_secs
                 FROM trash o NOT INDEXED WHERE o.slot = ?1 AND o.id > ?2 ORDER BY o.id LIMIT ?3"
            ))?;
            let mut rows = page.query(params![slot.0, after, most])?;
            while let Some(row) = rows.next()? {
                let mut wrong = Vec::new();
                wrong.extend(cells::within(row, 10, 1..=u32::MAX.into()).err());
                wrong.extend(cells::number::<u64>(row, 11).err());
                found.push(object_row(row, Ok((row.get(8)?, row.get(9)?)), wrong));
            }
            Ok(())
        })?;
        Ok((found, ended))
    }

    /// How many rows the trash of `slot` has: as the triggers counted them, and in the table; in one read.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn count_trash(&self, slot: SlotId) -> Result<Seen<(Option<Seen<i64>>, i64)>> {
        self.look(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let kept = snapshot
                .query_row(
                    "SELECT objects FROM trash_usage WHERE slot = ?1",
                    [slot.0],
                    |row| Ok(cells::number(row, 0)),
                )
                .optional()?;
            let there = snapshot.query_row(
                "SELECT count(*) FROM trash NOT INDEXED WHERE slot = ?1",
                [slot.0],
                |row| row.get(0),
            )?;
            Ok((kept, there))
        })
    }
}

/// SQLite's name for what `UNIQUE (slot, handle, nth)` makes.
const TRASH_BY_NAME: &str = "sqlite_autoindex_trash_1";

/// SQLite's names for what `UNIQUE (slot, handle)` and `UNIQUE (slot, ouid)` make.
const BY_HANDLE: &str = "sqlite_autoindex_objects_1";
const BY_OUID: &str = "sqlite_autoindex_objects_2";

const OBJECT_COLUMNS: &str =
    "o.id, o.slot, o.handle, o.ouid, o.payload_bytes, o.created_secs, o.stored_secs, o.sealed";

fn seen<T>(outcome: rusqlite::Result<T>) -> rusqlite::Result<Seen<T>> {
    match outcome {
        Err(error) if is_damage(&error) => Ok(Err(error.to_string())),
        outcome => outcome.map(Ok),
    }
}

fn indexed(row: &Row<'_>) -> rusqlite::Result<Indexed> {
    Ok((row.get(0)?, cells::number(row, 1), cells::number(row, 2)))
}

/// What `PRAGMA integrity_check` finds; nothing when it says "ok".
pub(super) fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = check.query([])?;
    let mut found = Vec::new();
    loop {
        // What was found before it ended early is worth telling.
        match rows.next() {
            Ok(Some(row)) => match row.get::<_, String>(0)?.as_str() {
                "ok" => {}
                line => found.push(format!("integrity_check: {line}")),
            },
            Ok(None) => return Ok(found),
            Err(error) if fault::is_damage(&error) && !found.is_empty() => {
                found.push(format!("integrity_check ended early: {error}"));
                return Ok(found);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Rows that belong to nothing. Those of objects are [`Store::orphans`].
fn foreign_keys(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA foreign_key_check")?;
    let rows = check.query_map([], |row| {
        let (table, id, parent): (String, Option<i64>, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((table, id, parent))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (table, id, parent) = row?;
        if table != "objects" {
            let id = id.map_or_else(|| "?".to_owned(), |id| id.to_string());
            found.push(format!("row {id} of {table} belongs to no row of {parent}"));
        }
    }
    Ok(found)
}

fn count_table(connection: &Connection) -> rusqlite::Result<HashMap<i64, (i64, i64)>> {
    let mut counts: HashMap<i64, (i64, i64)> = HashMap::new();
    let mut scan = connection.prepare("SELECT slot, payload_bytes FROM objects NOT INDEXED")?;
    let mut rows = scan.query([])?;
    while let Some(row) = rows.next()? {
        // One of no slot is an orphan; what a damaged size says is not counted anywhere.
        let Ok(slot) = cells::number(row, 0) else {
            continue;
        };
        let bytes = cells::within(row, 1, PAYLOAD_BYTES).unwrap_or(0);
        let count = counts.entry(slot).or_default();
        *count = (count.0 + 1, count.1.saturating_add(bytes));
    }
    Ok(counts)
}

/// Objects and bytes, from `objects, bytes`.
fn usage_counts(row: &Row<'_>) -> Seen<(i64, i64)> {
    Ok((cells::number(row, 0)?, cells::number(row, 1)?))
}

/// The value, or a fault noted.
fn noted<T>(faults: &mut Vec<String>, whose: &str, value: Seen<T>) -> Option<T> {
    value
        .map_err(|what| faults.push(format!("{whose}: {what}")))
        .ok()
}

fn credentials(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<Part>> {
    connection
        .prepare(
            "SELECT id, role, memory_kib, passes, lanes, salt, commitment, wrapped, failures,
                quorums.credential IS NOT NULL
             FROM credentials LEFT JOIN quorums ON quorums.credential = credentials.id
             WHERE credentials.slot = ?1 ORDER BY role",
        )?
        .query_map([slot.0], |row| {
            let mut faults = Vec::new();
            let number = noted(&mut faults, "a credential", cells::number::<i64>(row, 1));
            let role = number
                .and_then(|number| u8::try_from(number).ok())
                .and_then(Role::from_number);
            let name = match (role, number) {
                (Some(role), _) => format!("the credential of {role}"),
                (None, Some(number)) => {
                    faults.push(format!("a credential is of role {number}, which there is not"));
                    "that credential".to_owned()
                }
                (None, None) => "that credential".to_owned(),
            };
            let mut cost = |column| noted(&mut faults, &name, cells::number::<i64>(row, column));
            let cost = (cost(2), cost(3), cost(4));
            let quorum: bool = row.get(9)?;
            if let (Some(memory), Some(passes), Some(lanes)) = cost {
                if quorum && (memory, passes, lanes) != (0, 0, 0) {
                    faults.push(format!("{name} asks for key shares and for an Argon2 cost"));
                } else if !quorum && !is_sane((memory, passes, lanes)) {
                    faults.push(format!(
                        "{name} asks for an Argon2 cost that is not accepted: {memory} KiB, {passes} passes, {lanes} lanes"
                    ));
                }
            }
            for (column, what, bytes) in [
                (5, "salt", SALT_BYTES),
                (6, "commitment", COMMITMENT_BYTES),
                (7, "wrapped key", WRAPPED_BYTES),
            ] {
                sized(&mut faults, &name, what, cells::bytes(row, column), bytes);
            }
            let failures = noted(&mut faults, &name, cells::number::<i64>(row, 8));
            if let Some(failures) = failures.filter(|it| u32::try_from(*it).is_err()) {
                faults.push(format!("{name} has {failures} failed logins"));
            }
            Ok(Part {
                id: row.get(0)?,
                faults,
            })
        })?
        .collect()
}

fn is_sane((memory_kib, passes, lanes): (i64, i64, i64)) -> bool {
    match (memory_kib.try_into(), passes.try_into(), lanes.try_into()) {
        (Ok(memory_kib), Ok(passes), Ok(lanes)) => KdfParams {
            memory_kib,
            passes,
            lanes,
        }
        .is_sane(),
        _ => false,
    }
}

fn domains(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<Part>> {
    connection
        .prepare("SELECT id, kind, label, sealed FROM domains WHERE slot = ?1 ORDER BY id")?
        .query_map([slot.0], |row| {
            let mut faults = Vec::new();
            let kind = noted(&mut faults, "a domain", cells::number::<i64>(row, 1));
            let known = [DomainKind::String, DomainKind::KeyFile].map(|kind| kind as i64);
            if let Some(kind) = kind.filter(|kind| !known.contains(kind)) {
                faults.push(format!("a domain is of kind {kind}, which there is not"));
            }
            let label = noted(&mut faults, "a domain", cells::text(row, 2));
            if label.is_some_and(|label| label.is_empty()) {
                faults.push("a domain has no label".to_owned());
            }
            let bytes = KEY_BYTES + SealedRow::OVERHEAD_BYTES;
            let sealed = cells::bytes(row, 3);
            sized(&mut faults, "a domain", "sealed key", sealed, bytes);
            Ok(Part {
                id: row.get(0)?,
                faults,
            })
        })?
        .collect()
}

fn smks(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<Part>> {
    connection
        .prepare("SELECT id, sealed FROM smks WHERE slot = ?1 ORDER BY id")?
        .query_map([slot.0], |row| {
            let mut faults = Vec::new();
            let bytes = KEY_BYTES + SealedRow::OVERHEAD_BYTES;
            let sealed = cells::bytes(row, 1);
            sized(
                &mut faults,
                "a storage master key",
                "sealed key",
                sealed,
                bytes,
            );
            Ok(Part {
                id: row.get(0)?,
                faults,
            })
        })?
        .collect()
}

fn sized(faults: &mut Vec<String>, whose: &str, what: &str, have: Seen<&[u8]>, want: usize) {
    if let Some(have) = noted(faults, whose, have)
        && have.len() != want
    {
        faults.push(format!(
            "{whose} has a {what} of {} bytes, it should have {want}",
            have.len()
        ));
    }
}

/// `wrong`: what is wrong with other columns than these.
fn object_row(
    row: &Row<'_>,
    indexes: Seen<(Option<i64>, Option<i64>)>,
    mut wrong: Vec<String>,
) -> ObjectRow {
    let mut number = |column| {
        cells::number::<i64>(row, column)
            .map_err(|what| wrong.push(what))
            .ok()
    };
    let id = cells::number(row, 0).unwrap_or(i64::MIN);
    let (slot, handle) = (number(1), number(2));
    let (payload_bytes, created_secs, stored_secs) = (number(4), number(5), number(6));
    let mut bytes = |column| {
        cells::bytes(row, column)
            .map(<[u8]>::to_vec)
            .map_err(|what| wrong.push(what))
            .ok()
    };
    let (ouid, sealed) = (bytes(3), bytes(7));
    ObjectRow {
        id,
        slot,
        handle,
        ouid,
        payload_bytes,
        created_secs,
        stored_secs,
        sealed,
        wrong,
        indexes,
    }
}

impl ObjectRow {
    /// What is wrong with it, by what is in clear.
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
        if [self.created_secs, self.stored_secs]
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

    /// Itself as the rest of the store would read it; `None` where that would fail.
    pub fn entry(&self) -> Option<(Entry, SealedRow)> {
        let entry = Entry {
            id: self.id,
            slot: SlotId(self.slot?.try_into().ok()?),
            handle: self.as_handle()?,
            ouid: Ouid(self.ouid.as_deref()?.try_into().ok()?),
            payload_bytes: self.payload_bytes?.try_into().ok()?,
            created_secs: self.created_secs?.try_into().ok()?,
        };
        Some((entry, SealedRow::stored(self.sealed.clone()?)))
    }

    fn as_handle(&self) -> Option<Handle> {
        u32::try_from(self.handle?).ok().and_then(Handle::new)
    }
}
