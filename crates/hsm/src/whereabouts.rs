//! Finds the slots that hold an incoming object already, to report where a blob came from and that another object has
//! its identity.
//!
//! A holder of a domain's key can seal any content under any identity. So an identity alone does not prove the source:
//! the content must be the same. Another revision of an object is neither its source nor a clash.

use slotfs_object::RowId;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::put::meeting;
use super::{Entry, Handle, Hsm, Ouid, Partition, Role, SecretBytes, SlotId, Source};
use slotfs_store::Meeting;

/// Fingerprints kept; the map is emptied when it is full.
const MOST_KEPT: usize = 65_536;

/// A hash of a payload under a key that only this process has, so that nobody can make two payloads collide.
pub(super) type Fingerprint = u64;

/// Fingerprints of objects that were read here, by row, whose content never changes. With them the source of a copy need
/// not be opened again.
#[derive(Default)]
pub(super) struct Fingerprints {
    key: RandomState,
    known: Mutex<HashMap<RowId, Fingerprint>>,
}

impl Fingerprints {
    fn known(&self) -> MutexGuard<'_, HashMap<RowId, Fingerprint>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, payload: &SecretBytes) -> Fingerprint {
        self.key.hash_one(payload.bytes())
    }

    /// Keeps that of a row that was opened, or has just been committed.
    pub(super) fn keep(&self, row: RowId, fingerprint: Fingerprint) {
        let mut known = self.known();
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        known.insert(row, fingerprint);
    }

    /// Forgets all of them, after a logout.
    pub(super) fn forget(&self) {
        self.known().clear();
    }
}

/// Where an identity is, beside the slot that an object of it comes to.
#[derive(Default)]
pub(super) struct Whereabouts {
    /// The same object.
    pub(super) source: Option<Source>,
    /// Others that have its identity.
    pub(super) others: Vec<Entry>,
}

impl Hsm {
    /// The identity `ouid` in the slots that are logged in to, other than `except`.
    pub(super) fn whereabouts(
        &self,
        ouid: Ouid,
        (payload, fingerprint): (&SecretBytes, Fingerprint),
        except: SlotId,
    ) -> Whereabouts {
        let mut slots: Vec<SlotId> = Vec::new();
        for session in self.sessions().values() {
            if session.slot() != except && session.role() != Role::Po {
                slots.push(session.slot());
            }
        }
        slots.sort_unstable();
        let mut found = Whereabouts::default();
        // Rows that cannot be read are left out.
        for row in self.store.rows_with_ouid(&slots, ouid).unwrap_or_default() {
            let Some(held) = self.held(row, payload, fingerprint) else {
                continue;
            };
            let Ok(Some(entry)) = self.store.by_id(row) else {
                continue;
            };
            let Entry { slot, handle, .. } = entry;
            match held {
                // One source is named.
                Meeting::Same if found.source.is_none() => {
                    found.source = Some(Source { slot, handle });
                }
                Meeting::Clash(_) => found.others.push(entry),
                // Another revision of it.
                Meeting::Same | Meeting::Newer | Meeting::Older => {}
            }
        }
        found
    }

    /// What an object of this content is to the one in a row; `None` when that does not open.
    fn held(&self, row: RowId, payload: &SecretBytes, fingerprint: Fingerprint) -> Option<Meeting> {
        if self.fingerprints.known().get(&row) == Some(&fingerprint) {
            return Some(Meeting::Same);
        }
        let (entry, sealed) = self.store.sealed(row).ok()??;
        let session = self.partition(entry.slot).reader().ok()?;
        let there = session.open_row(entry.place(), &sealed).ok()?;
        self.fingerprints.keep(row, self.fingerprints.of(&there));
        meeting(payload, &there).ok()
    }
}

impl Partition<'_> {
    /// Warns that an object now in the slot has the identity of others with other content, and says which of them was
    /// here first. The row decides, since a forger can choose the date.
    pub(super) fn tell_clashes(&self, handle: Handle, others: &[Entry]) {
        let slot = self.slot;
        if others.is_empty() {
            return;
        }
        let Ok(Some(new)) = self.hsm.store.by_handle(slot, handle) else {
            return;
        };
        for other in others {
            let (first, second) = match other.id < new.id {
                true => (other, &new),
                false => (&new, other),
            };
            let line = format!(
                "Handle {handle} on slot {slot} (row {}) has the identity {} of handle {} on slot {} (row {}), with other content: handle {} on slot {} was here first, by its row {} before {}; compare the two before you remove either",
                new.id,
                new.ouid,
                other.handle,
                other.slot,
                other.id,
                first.handle,
                first.slot,
                first.id,
                second.id,
            );
            self.hsm.journal.warn(slot, line);
        }
    }
}
