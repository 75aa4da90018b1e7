//! Objects: sealed rows under handles. What is written of them is [`write`]'s.

use std::sync::PoisonError;
use std::time::Instant;

use rusqlite::{OptionalExtension, Row, params};

use super::committer::Committer;
use super::slots::{signed, unsigned};
use super::{FRESH_FOR, Missing, SlotVersion, Store};
use crate::credential::SealedRow;
use crate::error::{Error, Result};
use crate::object::{Handle, OUID_BYTES, Ouid, SlotId};

mod groups;
mod trash;
mod write;

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

const SELECT: &str = "SELECT id, slot, handle, ouid, payload_bytes, created_secs FROM objects";

/// What [`sealed_entry`] reads.
pub(super) const SEALED_COLUMNS: &str =
    "id, slot, handle, ouid, payload_bytes, created_secs, sealed";

const SELECT_SEALED: &str =
    "SELECT id, slot, handle, ouid, payload_bytes, created_secs, sealed FROM objects";

pub(super) fn sealed_entry(row: &Row<'_>) -> rusqlite::Result<(Entry, SealedRow)> {
    Ok((entry(row)?, SealedRow::stored(row.get(6)?)))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let handle: u32 = row.get(2)?;
    let ouid: [u8; OUID_BYTES] = row.get(3)?;
    Ok(Entry {
        id: row.get(0)?,
        slot: SlotId(row.get(1)?),
        handle: Handle::new(handle).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, 0))?,
        ouid: Ouid(ouid),
        payload_bytes: row.get(4)?,
        created_secs: unsigned(row, 5)?,
    })
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
                .query_row(params![slot.0, handle.get()], entry)
                .optional()
        })?;
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
        self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE id = ?1"))?
                .query_row([id], entry)
                .optional()
        })
    }

    /// The object of identity `ouid` in `slot`, if any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_ouid(&self, slot: SlotId, ouid: Ouid) -> Result<Option<Entry>> {
        self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE slot = ?1 AND ouid = ?2"))?
                .query_row(params![slot.0, ouid.0], entry)
                .optional()
        })
    }

    /// Up to `most` objects with handles above `after`, ascending.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, slot: SlotId, after: u32, most: usize) -> Result<Vec<Entry>> {
        self.read(|connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} WHERE slot = ?1 AND handle > ?2 ORDER BY handle LIMIT ?3"
                ))?
                .query_map(params![slot.0, after, signed(most as u64)], entry)?
                .collect()
        })
    }

    /// Whether a listing by handle shows as many objects as the slot has: a damaged index shows fewer, and
    /// whoever mirrors the slot would then delete the others.
    ///
    /// # Errors
    /// [`Error::Damaged`], or when the store cannot be read.
    pub fn check_count(&self, slot: SlotId) -> Result<()> {
        let (kept, listed): (i64, i64) = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT (SELECT objects FROM usage WHERE slot = ?1),
                            (SELECT count(*) FROM objects WHERE slot = ?1 AND handle > 0)",
                )?
                .query_row([slot.0], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        if kept == listed {
            return Ok(());
        }
        Err(Error::Damaged {
            what: format!("slot {slot} has {kept} objects, but {listed} can be listed"),
        })
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
        self.read_row(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SEALED} WHERE id = ?1"))?
                .query_row([id], sealed_entry)
                .optional()
        })
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
    ) -> Result<Vec<(Entry, SealedRow)>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT_SEALED} WHERE slot = ?1 AND handle > ?2 ORDER BY handle LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![slot.0, after, signed(most as u64)])?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while bytes < most_bytes
                && let Some(row) = rows.next()?
            {
                let row = sealed_entry(row)?;
                bytes += row.1.bytes().len();
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
        self.read(|connection| {
            connection
                .prepare_cached(&format!("{SELECT_SEALED} WHERE slot = ?1 AND handle = ?2"))?
                .query_row(params![slot.0, handle.get()], sealed_entry)
                .optional()
        })
    }

    /// How many objects of `one` are also in `other`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_common(&self, one: SlotId, other: SlotId) -> Result<u64> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM objects AS one JOIN objects AS other USING (ouid)
                     WHERE one.slot = ?1 AND other.slot = ?2",
                )?
                .query_row([one.0, other.0], |row| unsigned(row, 0))
        })
    }
}
