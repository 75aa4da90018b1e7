//! Notices a store that went back: the highest generation of each partition that was seen, in this process and, with a
//! state folder, by earlier ones (docs/architecture.md, "At rest").
//!
//! A generation counts as seen only after the header that holds it was opened or made here. The number in clear beside
//! it is anybody's who can write the file.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Error, Hsm, Result, Session, SlotError, SlotFault, SlotId, now_secs};
use crate::batch::MOST_TRIES;
use folder::{Folder, Stamp};
use marks::Mark;
pub(super) use marks::Marks;
use slotfs_object::sealed::PartId;
use slotfs_object::show::iso_8601;
use slotfs_store::SlotVersion;

mod cluster;
mod folder;
mod marks;
#[cfg(test)]
mod tests;

/// What was seen of one store.
#[derive(Default)]
pub(super) struct Seen {
    known: Mutex<Known>,
    folder: OnceLock<Result<Folder, String>>,
    /// Whether the cluster was found to be the one that was seen before.
    cluster: AtomicBool,
    /// When it was last written down how far the cluster has got.
    remembered: Mutex<Option<Instant>>,
}

/// What this process knows.
#[derive(Default)]
struct Known {
    marks: Marks,
    /// Of the file when it was last read or written.
    stamp: Option<Stamp>,
    /// Whether the user was told that the folder cannot be used. Once for each process is enough.
    told: bool,
}

/// What `store accept` did for one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The slot.
    pub slot: SlotId,
    /// The generation that its partition has now.
    pub generation: u64,
    /// The higher generation that was seen before, and when it was first seen, seconds since 1970. `None` when there
    /// was nothing to accept.
    pub seen: Option<(u64, u64)>,
}

impl Hsm {
    /// Keeps in `folder`, from now on, which generation of each partition was seen, for later processes; or says why
    /// there is no such folder. Only the first call counts.
    pub fn remember_in(&self, folder: Result<PathBuf, String>) {
        self.remember_at(&folder);
    }

    /// Refuses a login to a partition that is older than it was seen here, and else remembers its generation. Where
    /// another process changed the slot since `session` was opened, the session over the slot as it now is; the header
    /// there must name `credential`, if one is given.
    ///
    /// # Errors
    /// [`SlotError::Older`]; [`SlotFault::Changed`] when the login does not open the slot as it now is.
    pub(super) fn check_not_older(
        &self,
        session: &Session,
        credential: Option<PartId>,
    ) -> Result<Option<Session>> {
        let (slot, mut newer) = (session.slot(), None);
        let changed = || Error::from(SlotFault::Changed.at(slot));
        for _ in 0..MOST_TRIES {
            let now = newer.as_ref().unwrap_or(session);
            let Err(older) = self.seen.meet(now.row().as_version()) else {
                return Ok(newer);
            };
            // What was seen is remembered after it was committed, so a slot that did not go back is as new as that.
            let (row, parts) = self.store.slot_with_parts(slot)?;
            if row.as_version() == now.row().as_version() {
                return Err(older);
            }
            let reopened = now.reopen(row, &parts).map_err(|_| changed())?;
            if credential.is_some_and(|id| !reopened.header.names(id)) {
                return Err(changed());
            }
            newer = Some(reopened);
        }
        Err(changed())
    }

    /// Makes the generations that the partitions have now the highest ones seen, for `slots`, or for all of them: then
    /// logins to a restored backup are no longer refused. A slot that is damaged has an error.
    ///
    /// # Errors
    /// [`SlotFault::Missing`]; [`Error::State`] when the state folder cannot be used; or when the store cannot be read.
    pub fn accept(&self, slots: &[SlotId]) -> Result<Vec<(SlotId, Result<Accepted>)>> {
        let mut there = self.store.slot_versions()?;
        if let Some(missing) = slots.iter().find(|it| !there.iter().any(|(n, _)| n == *it)) {
            return Err(SlotFault::Missing.at(*missing).into());
        }
        if !slots.is_empty() {
            there.retain(|(slot, _)| slots.contains(slot));
        }
        self.accept_cluster();
        let whole = there.iter().filter_map(|(_, it)| it.as_ref().ok().copied());
        let mut accepted = self.seen.accept(&whole.collect::<Vec<_>>())?.into_iter();
        let answers = there
            .into_iter()
            .filter_map(|(slot, version)| match version {
                Ok(_) => accepted.next().map(|it| (slot, Ok(it))),
                Err(damaged) => Some((slot, Err(damaged.into()))),
            });
        Ok(answers.collect())
    }

    /// Logs the session out if the slot, at `now`, went back since it was last seen; whether it did. Whoever put an old
    /// copy of the rows in place would otherwise have this process seal under domains that were deleted. `marks` are of
    /// before `now` was read, so that a change that came between is no way back.
    pub(super) fn logged_out_as_older(
        &self,
        session: &Arc<Session>,
        now: SlotVersion,
        marks: &Marks,
    ) -> bool {
        let then = session.row().as_version();
        let highest = marks.highest(then);
        if now.serial != then.serial || now.generation >= highest {
            return false;
        }
        let (slot, now) = (now.slot, now.generation);
        self.journal.alarm(
            slot,
            format!(
                "Slot {slot} was logged out: the store went back to an older copy of the slot, generation {now} after {highest}; if you restored a backup, run 'slotfs store accept' and log in again"
            ),
        );
        self.replace(session, None);
        true
    }
}

impl Seen {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen until now, by other processes too. Costs one `stat` when they saw nothing new.
    pub(super) fn until_now(&self) -> Marks {
        let mut known = self.known();
        if let Some(Ok(folder)) = self.folder.get() {
            let stamp = folder.stamp();
            if stamp.is_some() && stamp != known.stamp {
                if let Some(file) = folder.read_if_possible() {
                    known.marks.merge(&file);
                }
                known.stamp = stamp;
            }
        }
        known.marks.clone()
    }

    /// Remembers a header that this process made, or took in from another process.
    pub(super) fn raise(&self, at: SlotVersion) {
        self.update(|marks| {
            if marks
                .find(at.slot, at.serial)
                .is_none_or(|mark| mark.generation < at.generation)
            {
                marks.put(mark_of(at, marks));
            }
        });
    }

    /// # Errors
    /// [`SlotError::Older`]
    fn meet(&self, at: SlotVersion) -> Result<()> {
        let SlotVersion {
            slot,
            serial,
            generation,
        } = at;
        let (outcome, before, last) = self.update(|marks| {
            let (before, last) = (marks.find(slot, serial).copied(), marks.last(slot).copied());
            match before {
                Some(mark) if mark.generation > generation => (Err(mark), before, last),
                Some(mark) if mark.generation == generation && last == before => {
                    (Ok(()), before, last)
                }
                _ => {
                    marks.put(mark_of(at, marks));
                    (Ok(()), before, last)
                }
            }
        });
        let older = |mark: Mark| {
            SlotError::Older {
                seen_secs: mark.seen_secs,
            }
            .at(slot)
        };
        outcome.map_err(older)?;
        if let Some(last) = last.filter(|last| last.serial != serial) {
            log::warn!(
                "slot {slot}: another partition is here than the one seen on {}: serial {serial}, then {}",
                iso_8601(last.seen_secs),
                last.serial
            );
        }
        if before.is_none()
            && let Some(Ok(folder)) = self.folder.get()
            && let Some((path, mark)) = folder.elsewhere(serial)
        {
            log::warn!(
                "slot {slot}: the partition with serial {serial} was also seen in {path}, generation {}, and has generation {generation} here; one of the two stores is a copy, unless this one was moved",
                mark.generation
            );
        }
        Ok(())
    }

    /// # Errors
    /// [`Error::State`]
    fn accept(&self, present: &[SlotVersion]) -> Result<Vec<Accepted>> {
        let unusable = |why| Err(Error::State(why));
        let folder = match self.folder.get() {
            Some(Ok(folder)) => folder,
            Some(Err(why)) => return unusable(why.clone()),
            None => return unusable("there is no state folder".into()),
        };
        let accepted_nanos = nanos_now();
        let mut known = self.known();
        let accept = |marks: &mut Marks| {
            let accept_one = |at: &SlotVersion| {
                let SlotVersion {
                    slot,
                    serial,
                    generation,
                } = *at;
                let before = marks.find(slot, serial).copied();
                let seen = before.filter(|mark| mark.generation > generation);
                marks.accept(Mark {
                    slot,
                    serial,
                    // Never raised by the number in clear: a large one would close the slot for ever.
                    generation: before.map_or(0, |mark| mark.generation.min(generation)),
                    seen_secs: now_secs(),
                    accepted_nanos: before
                        .map_or(0, |mark| mark.accepted_nanos.saturating_add(1))
                        .max(accepted_nanos),
                });
                Accepted {
                    slot,
                    generation,
                    seen: seen.map(|it| (it.generation, it.seen_secs)),
                }
            };
            present.iter().map(accept_one).collect()
        };
        let Known { marks, stamp, .. } = &mut *known;
        folder.update(marks, stamp, accept).or_else(unusable)
    }

    /// Changes what is known, and the file with it.
    fn update<T>(&self, act: impl Fn(&mut Marks) -> T) -> T {
        let mut known = self.known();
        let Known { marks, stamp, told } = &mut *known;
        let why = match self.folder.get() {
            None => return act(marks),
            Some(Err(why)) => why.clone(),
            Some(Ok(folder)) => match folder.update(marks, stamp, &act) {
                Ok(outcome) => return outcome,
                Err(why) => {
                    if let Some(file) = folder.read_if_possible() {
                        marks.merge(&file);
                    }
                    why
                }
            },
        };
        if !std::mem::replace(told, true) {
            log::warn!(
                "{why}; a later process will not notice when the store is replaced by an older copy"
            );
        }
        act(marks)
    }
}

/// A mark at this generation, accepted as often as the one before it.
fn mark_of(at: SlotVersion, marks: &Marks) -> Mark {
    let SlotVersion {
        slot,
        serial,
        generation,
    } = at;
    let before = marks.find(slot, serial);
    Mark {
        slot,
        serial,
        generation,
        seen_secs: match before {
            Some(mark) if mark.generation == generation => mark.seen_secs,
            _ => now_secs(),
        },
        accepted_nanos: before.map_or(0, |mark| mark.accepted_nanos),
    }
}

fn nanos_now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
