//! The marks of one store, and how they are written.

use serde_json::{Value, json};

use crate::SlotId;
use slotfs_store::SlotVersion;

/// Partitions that are remembered for each slot: putting one of an earlier partition's copies in place is noticed too.
const MOST_OF_SLOT: usize = 8;
/// Marks that are remembered of a store.
const MOST: usize = 4096;
/// The version of the file. A later one is left alone.
const VERSION: u64 = 1;

/// The highest generation of one partition that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it is.
    pub(super) slot: SlotId,
    /// The partition.
    pub(super) serial: u64,
    /// Of its header.
    pub(super) generation: u64,
    /// When this generation was first seen, seconds since 1970.
    pub(super) seen_secs: u64,
    /// When a user last accepted a generation, nanoseconds since 1970; 0 for never. Of two marks, the one that was
    /// accepted later counts, even if it is lower.
    pub(super) accepted_nanos: u64,
}

impl Mark {
    fn is_of(&self, slot: SlotId, serial: u64) -> bool {
        self.slot == slot && self.serial == serial
    }

    /// Whether this one counts, and not `other`, which is of the same partition.
    fn counts_before(&self, other: &Self) -> bool {
        (self.accepted_nanos, self.generation) >= (other.accepted_nanos, other.generation)
    }
}

/// The marks of one store, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Marks(Vec<Mark>);

/// Why a file has no marks.
pub(super) enum Unread {
    /// A later version of slotfs wrote it.
    Later,
    /// No version did.
    Damaged,
}

impl Marks {
    pub(super) fn find(&self, slot: SlotId, serial: u64) -> Option<&Mark> {
        self.0.iter().find(|mark| mark.is_of(slot, serial))
    }

    /// The highest generation seen of the partition of `at`, which was opened.
    pub(in crate::seen) fn highest(&self, at: SlotVersion) -> u64 {
        let mark = self.find(at.slot, at.serial);
        mark.map_or(0, |mark| mark.generation).max(at.generation)
    }

    /// Of the partition that was last seen in the slot.
    pub(super) fn last(&self, slot: SlotId) -> Option<&Mark> {
        self.0.iter().rev().find(|mark| mark.slot == slot)
    }

    /// Of the partition with this serial, in any slot.
    pub(super) fn of_serial(&self, serial: u64) -> Option<&Mark> {
        self.0.iter().rev().find(|mark| mark.serial == serial)
    }

    /// Makes `mark` the latest one.
    pub(super) fn put(&mut self, mark: Mark) {
        self.0.retain(|it| !it.is_of(mark.slot, mark.serial));
        self.0.push(mark);
        let of_slot = |it: &Mark| it.slot == mark.slot;
        if self.0.iter().filter(|it| of_slot(it)).count() > MOST_OF_SLOT {
            let oldest = self.0.iter().position(of_slot);
            oldest.map(|oldest| self.0.remove(oldest));
        }
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }

    /// Puts `mark` where the one of its partition is, so that the partition that was last seen in the slot stays so.
    pub(super) fn accept(&mut self, mark: Mark) {
        match self
            .0
            .iter_mut()
            .find(|it| it.is_of(mark.slot, mark.serial))
        {
            Some(there) => *there = mark,
            None => self.0.insert(0, mark),
        }
    }

    /// Those of other slots.
    pub(super) fn without(mut self, slot: SlotId) -> Self {
        self.0.retain(|mark| mark.slot != slot);
        self
    }

    /// Takes in the marks of the file; of two marks of one partition, the one that counts stays. The order is the
    /// file's, since every process writes there.
    pub(super) fn merge(&mut self, file: &Self) {
        let mut merged: Vec<Mark> = Vec::with_capacity(file.0.len());
        let only_here = |mine: &&Mark| file.find(mine.slot, mine.serial).is_none();
        merged.extend(self.0.iter().filter(only_here));
        merged.extend(file.0.iter().map(|theirs| {
            let mine = self.find(theirs.slot, theirs.serial);
            *mine
                .filter(|mine| mine.counts_before(theirs))
                .unwrap_or(theirs)
        }));
        self.0 = merged;
    }

    /// The text of the file. `store` is for people: the file's name tells whose marks these are.
    pub(super) fn to_text(&self, store: &str) -> String {
        let marks = self.0.iter().map(|mark| {
            json!({
                "slot": mark.slot.0,
                "serial": mark.serial,
                "generation": mark.generation,
                "seen_secs": mark.seen_secs,
                "accepted_nanos": mark.accepted_nanos,
            })
        });
        let marks: Vec<Value> = marks.collect();
        format!(
            "{:#}\n",
            json!({ "version": VERSION, "store": store, "marks": marks })
        )
    }

    /// The store's path and its marks.
    pub(super) fn from_text(text: &[u8]) -> Result<(String, Self), Unread> {
        let file: Value = serde_json::from_slice(text).map_err(|_| Unread::Damaged)?;
        let version = file["version"].as_u64().ok_or(Unread::Damaged)?;
        if version > VERSION {
            return Err(Unread::Later);
        }
        let store = file["store"].as_str().unwrap_or_default().to_owned();
        let listed = file["marks"].as_array().ok_or(Unread::Damaged)?;
        let read = |it: &Value| {
            Some(Mark {
                slot: SlotId(u32::try_from(it["slot"].as_u64()?).ok()?),
                serial: it["serial"].as_u64()?,
                generation: it["generation"].as_u64()?,
                seen_secs: it["seen_secs"].as_u64()?,
                accepted_nanos: it["accepted_nanos"].as_u64()?,
            })
        };
        let marks: Option<Vec<Mark>> = listed.iter().map(read).collect();
        Ok((store, Self(marks.ok_or(Unread::Damaged)?)))
    }
}
