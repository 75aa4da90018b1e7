//! Slots, their domains and storage master keys.

use super::cells::{self, Seen};
use super::credentials::credential_rows;
use super::{Store, query};
use crate::rows::*;
use crate::sqlite::{Result, SlotFault};
use slotfs_object::SlotId;

mod rows;
mod write;

use rows::listed_slot;
pub(super) use rows::{SELECT_SLOT, mark, signed, slot_row, usage_row};
pub(super) use rows::{domain_rows, smk_rows};
pub(super) use write::{delete_slot, insert_parts, insert_slot};

impl Store {
    pub fn slots(&self) -> Result<Vec<ListedSlot>> {
        self.rows(&format!("{SELECT_SLOT} ORDER BY slot"), [], listed_slot)
    }

    pub fn slot(&self, slot: SlotId) -> Result<SlotRow> {
        self.row(
            &format!("{SELECT_SLOT} WHERE slot = ?1"),
            [slot.0],
            slot_row,
        )?
        .ok_or(SlotFault::Missing.at(slot))?
        .map_err(SlotFault::damaged(slot))
    }

    pub fn mark(&self, slot: SlotId) -> Result<Option<PartitionMark>> {
        self.read(|connection| mark(connection, slot))
    }

    pub fn slot_versions(&self) -> Result<Vec<(SlotId, Result<SlotVersion>)>> {
        let text = "SELECT slot, serial, generation FROM slots ORDER BY slot";
        let found: Vec<Option<_>> = self.rows(text, [], |row| {
            // A row without a number is reported by the listing of slots.
            let slot = cells::number(row, 0).map(SlotId).ok()?;
            let version = || -> Seen<SlotVersion> {
                Ok(SlotVersion {
                    slot,
                    serial: cells::number(row, 1)?,
                    generation: cells::number(row, 2)?,
                })
            };
            Some((slot, version().map_err(SlotFault::damaged(slot))))
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    pub fn domains(&self, slot: SlotId) -> Result<Vec<DomainRow>> {
        let domains: Seen<Vec<DomainRow>> = self
            .read(|connection| domain_rows(connection, slot))?
            .into_iter()
            .map(|domain| domain.map_err(|(_, why)| why))
            .collect();
        domains.map_err(SlotFault::damaged(slot))
    }

    pub fn slot_with_parts(&self, slot: SlotId) -> Result<(SlotRow, SlotRows)> {
        self.snapshot(|snapshot| {
            let text = format!("{SELECT_SLOT} WHERE slot = ?1");
            let Some(row) = query::row(snapshot, &text, [slot.0], slot_row)? else {
                return Ok(None);
            };
            let mut keys = SlotRows::default();
            for credential in credential_rows(snapshot, slot)? {
                match credential {
                    Ok(credential) => keys.credentials.push(credential),
                    Err(fault) => keys.unreadable.push(fault),
                }
            }
            for domain in domain_rows(snapshot, slot)? {
                match domain {
                    Ok(domain) => keys.domains.push(domain),
                    Err(fault) => keys.unreadable.push(fault),
                }
            }
            for smk in smk_rows(snapshot, slot)? {
                match smk {
                    Ok(smk) => keys.smks.push(smk),
                    Err(fault) => keys.unreadable.push(fault),
                }
            }
            Ok(Some(row.map(|row| (row, keys))))
        })?
        .ok_or(SlotFault::Missing.at(slot))?
        .map_err(SlotFault::damaged(slot))
    }

    pub fn usage(&self, slot: SlotId) -> Result<(u64, u64)> {
        let counted = self.read(|connection| {
            let text = "SELECT objects, bytes FROM usage WHERE slot = ?1";
            match query::row(connection, text, [slot.0], usage_row)? {
                None if mark(connection, slot)?.is_none() => Ok(None),
                counted => Ok(Some(counted.unwrap_or_else(|| Err(NOT_COUNTED.into())))),
            }
        })?;
        counted
            .ok_or(SlotFault::Missing.at(slot))?
            .map_err(SlotFault::damaged(slot))
    }
}

/// The message when a slot's row of `usage` is missing.
pub(super) const NOT_COUNTED: &str =
    "the count of its objects is missing; 'slotfs store check -repair' recounts";
