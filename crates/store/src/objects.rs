//! Objects: sealed rows under handles. What is written of them is [`write`]'s.

use std::ops::RangeInclusive;
use std::sync::PoisonError;
use std::time::Instant;

use rusqlite::{OptionalExtension, Row, params};

use super::cells::{self, ROW_IDS, Seen};
use super::committer::Committer;
use super::slots::{NOT_COUNTED, signed, usage_row};
use super::{DamagedRow, FRESH_FOR, Missing, Read, SlotVersion, Store};
use crate::{Error, Result, SlotFault};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, Ouid, SlotId};

mod damaged;
mod groups;
mod sequence;
mod trash;
mod write;

pub(super) use damaged::without_counters;
pub use trash::{Alike, Trashed};
pub(super) use write::check_version;

/// What is in clear of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Row id: never used twice while the store lives.
    pub id: i64,
    /// The slot it is in.
    pub slot: SlotId,
    /// Its handle there.
    pub handle: Handle,
    /// Its identity everywhere.
    pub ouid: Ouid,
    /// Bytes of its payload; its blob's size follows from it and the number of domains.
    pub payload_bytes: u32,
    /// The object's own time.
    pub created_secs: u64,
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
        }
    }
}

/// A row's place, which its ciphertext is bound to, beside its slot's serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Row id.
    pub id: i64,
    /// Handle.
    pub handle: Handle,
    /// Identity.
    pub ouid: Ouid,
    /// Bytes of the payload: in clear, so bound, or a changed one would cut copies short.
    pub payload_bytes: u32,
    /// The object's own time, likewise.
    pub created_secs: u64,
}

/// Seals a payload for the place it was given.
pub type Seal = Box<dyn FnOnce(Place) -> Result<SealedRow> + Send>;
/// Whether a row that is already there holds the same content.
pub type Same = Box<dyn FnOnce(Place, &SealedRow) -> Result<bool> + Send>;

/// An object to be stored.
pub struct Put {
    /// Where to, as it was when it verified the object: changed since, it is asked again.
    pub slot: SlotVersion,
    /// Its row, where it has one already: reserved for it, or its own in the trash.
    pub id: Option<i64>,
    /// The handle asked for.
    pub want: Option<Handle>,
    /// Its identity.
    pub ouid: Ouid,
    /// Bytes of its payload.
    pub payload_bytes: u32,
    /// The object's own time.
    pub created_secs: u64,
    /// Seals it.
    pub seal: Seal,
    /// Compares it.
    pub same: Same,
}

/// An object to be moved to another slot.
pub struct Move {
    /// The source's row.
    pub from: Entry,
    /// The slot the source is in, as it was when the source was opened.
    pub from_slot: SlotVersion,
    /// Where to, with `want` the handle it must get.
    pub put: Put,
}

/// Where an object now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Under this handle, newly.
    New(Handle),
    /// Under this handle already, with the same content: nothing was stored.
    Already(Handle),
}

impl Stored {
    /// The handle either way.
    pub fn handle(self) -> Handle {
        match self {
            Self::New(handle) | Self::Already(handle) => handle,
        }
    }
}

/// As the schema has it.
pub(super) const PAYLOAD_BYTES: RangeInclusive<i64> = 1..=65536;

const SELECT: &str = "SELECT id, slot, handle, ouid, payload_bytes, created_secs FROM objects";

/// Those of a slot that have a handle from ?2 on, up to ?3 of them. The upper bound leaves out text and blobs, which sort
/// after every number.
const BY_HANDLE: &str = "WHERE slot = ?1 AND handle BETWEEN ?2 AND 4294967295
    AND typeof(handle) = 'integer' ORDER BY handle LIMIT ?3";

const NO_HANDLE: &str = "(typeof(handle) <> 'integer' OR handle NOT BETWEEN 1 AND 4294967295)";

/// A column that names an object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameColumn {
    /// Its handle.
    Handle,
    /// Its identity.
    Ouid,
}

/// What [`sealed_entry`] reads.
pub(super) const SEALED_COLUMNS: &str =
    "id, slot, handle, ouid, payload_bytes, created_secs, sealed";

const SELECT_SEALED: &str =
    "SELECT id, slot, handle, ouid, payload_bytes, created_secs, sealed FROM objects";

pub(super) fn sealed_entry(row: &Row<'_>) -> Read<(Entry, SealedRow)> {
    let entry = entry(row)?;
    let sealed = cells::bytes(row, 6).map_err(|what| DamagedRow::of(row, what))?;
    Ok((entry, SealedRow::stored(sealed.to_vec())))
}

fn entry(row: &Row<'_>) -> Read<Entry> {
    let entry = || -> Seen<Entry> {
        Ok(Entry {
            id: cells::within(row, 0, ROW_IDS)?,
            slot: SlotId(cells::number(row, 1)?),
            handle: super::damaged::handle(row, 2)?,
            ouid: Ouid(cells::array(row, 3)?),
            // As the schema has it: what follows from it is the size of a blob.
            payload_bytes: cells::within(row, 4, PAYLOAD_BYTES)? as u32,
            created_secs: cells::number(row, 5)?,
        })
    };
    entry().map_err(|what| DamagedRow::of(row, what))
}

/// A row that was found, as an error where it is damaged.
pub(super) fn whole<T>(found: Option<Read<T>>) -> Result<Option<T>> {
    found.transpose().map_err(Error::Object)
}

impl Store {
    /// The object under `handle`, if any. That there is none may be [`FRESH_FOR`] old where another process makes one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_handle(&self, slot: SlotId, handle: Handle) -> Result<Option<Entry>> {
        // Asked before the query: a commit that comes between makes the answer an old one.
        let commits = self.committer.as_ref().map_or(0, Committer::commits);
        let at = Instant::now();
        {
            let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = &*missing
                && (known.slot, known.handle, known.commits) == (slot, handle, commits)
                && at.duration_since(known.at) < FRESH_FOR
            {
                return Ok(None);
            }
        }
        let found = self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE slot = ?1 AND handle = ?2"))?
                .query_row(params![slot.0, handle.get()], |row| Ok(entry(row)))
                .optional()
        })?;
        let found = whole(found)?;
        if found.is_none() {
            let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            *missing = Some(Missing {
                slot,
                handle,
                commits,
                at,
            });
        }
        Ok(found)
    }

    /// The object in row `id`, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_id(&self, id: i64) -> Result<Option<Entry>> {
        whole(self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE id = ?1"))?
                .query_row([id], |row| Ok(entry(row)))
                .optional()
        })?)
    }

    /// The object of identity `ouid` in `slot`, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_ouid(&self, slot: SlotId, ouid: Ouid) -> Result<Option<Entry>> {
        whole(self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE slot = ?1 AND ouid = ?2"))?
                .query_row(params![slot.0, ouid.0], |row| Ok(entry(row)))
                .optional()
        })?)
    }

    /// The rows of the objects of identity `ouid` in any of `slots`, by slot. Found in the index alone: the rows may be
    /// damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows_with_ouid(&self, slots: &[SlotId], ouid: Ouid) -> Result<Vec<i64>> {
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        // In the statement's text: there is no parameter for a list, and one statement takes the locks once for all.
        let slots: Vec<String> = slots.iter().map(|slot| slot.0.to_string()).collect();
        let query = format!(
            "SELECT id FROM objects WHERE ouid = ?1 AND slot IN ({}) ORDER BY slot",
            slots.join(", ")
        );
        self.read_row(|connection| {
            connection
                .prepare_cached(&query)?
                .query_map([ouid.0], |row| row.get(0))?
                .collect()
        })
    }

    /// Up to `most` objects with handles above `after`, ascending, damaged ones among them: these have a handle too. Those
    /// that have none are [`Self::nameless`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, slot: SlotId, after: u32, most: usize) -> Result<Vec<Read<Entry>>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} {BY_HANDLE}"))?
                .query_map(
                    params![slot.0, i64::from(after) + 1, signed(most as u64)],
                    |row| Ok(entry(row)),
                )?
                .collect()
        })
    }

    /// The objects of a slot that no listing by `name` can show.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn nameless(&self, slot: SlotId, name: NameColumn) -> Result<Vec<DamagedRow>> {
        let names_none = match name {
            NameColumn::Handle => NO_HANDLE,
            NameColumn::Ouid => "(typeof(ouid) <> 'blob' OR length(ouid) <> 16)",
        };
        let (first, last) = (ROW_IDS.start(), ROW_IDS.end());
        self.read(|connection| {
            let mut query = connection.prepare_cached(&format!(
                "{SELECT} WHERE slot = ?1 AND ({names_none} OR id NOT BETWEEN {first} AND {last})"
            ))?;
            let rows = query.query_map([slot.0], |row| Ok(entry(row)))?;
            rows.filter_map(|row| row.map(Read::err).transpose())
                .collect()
        })
    }

    /// How many objects a listing by handle shows, and how many the slot has: a damaged index shows fewer, and
    /// whoever mirrors the slot would then delete the others.
    ///
    /// # Errors
    /// When the store cannot be read; a damaged count is an error in its place.
    pub fn count_listed(&self, slot: SlotId) -> Result<(u64, Result<u64>)> {
        let (listed, kept) = self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let listed = snapshot
                .prepare_cached("SELECT count(*) FROM objects WHERE slot = ?1")?
                .query_row([slot.0], |row| Ok(cells::number::<u64>(row, 0)))?;
            let kept = snapshot
                .prepare_cached("SELECT objects, bytes FROM usage WHERE slot = ?1")?
                .query_row([slot.0], |row| Ok(usage_row(row)))
                .optional()?;
            Ok((listed, kept.unwrap_or_else(|| Err(NOT_COUNTED.into()))))
        })?;
        let damaged = |what| SlotFault::Damaged(what).at(slot);
        let kept = kept.map(|(objects, _)| objects).map_err(damaged);
        Ok((listed.map_err(damaged)?, kept))
    }

    /// The rows of every object of a slot.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ids(&self, slot: SlotId) -> Result<Vec<i64>> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT id FROM objects WHERE slot = ?1")?
                .query_map([slot.0], |row| row.get(0))?
                .collect()
        })
    }

    /// The sealed payload of row `id` and what is in clear of it, in one read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sealed(&self, id: i64) -> Result<Option<(Entry, SealedRow)>> {
        whole(self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SEALED} WHERE id = ?1"))?
                .query_row([id], |row| Ok(sealed_entry(row)))
                .optional()
        })?)
    }

    /// Up to `most` objects with handles above `after`, ascending, with their sealed payloads: fewer once
    /// they come to `most_bytes`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_sealed(
        &self,
        slot: SlotId,
        after: u32,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<Read<(Entry, SealedRow)>>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("{SELECT_SEALED} {BY_HANDLE}"))?;
            let mut rows =
                statement.query(params![slot.0, i64::from(after) + 1, signed(most as u64)])?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while bytes < most_bytes
                && let Some(row) = rows.next()?
            {
                let row = sealed_entry(row);
                bytes += row.as_ref().map_or(0, |(_, sealed)| sealed.bytes().len());
                found.push(row);
            }
            Ok(found)
        })
    }

    /// The object under `handle` with its sealed payload, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sealed_by_handle(
        &self,
        slot: SlotId,
        handle: Handle,
    ) -> Result<Option<(Entry, SealedRow)>> {
        whole(self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SEALED} WHERE slot = ?1 AND handle = ?2"))?
                .query_row(params![slot.0, handle.get()], |row| Ok(sealed_entry(row)))
                .optional()
        })?)
    }

    /// Whether there is anything in a slot, whatever its counter says.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_objects(&self, slot: SlotId) -> Result<bool> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM objects WHERE slot = ?1)")?
                .query_row([slot.0], |row| row.get(0))
        })
    }

    /// How many objects of `one` are also in `other`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_common(&self, one: SlotId, other: SlotId) -> Result<i64> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM objects AS one JOIN objects AS other USING (ouid)
                     WHERE one.slot = ?1 AND other.slot = ?2",
                )?
                .query_row([one.0, other.0], |row| row.get(0))
        })
    }
}
