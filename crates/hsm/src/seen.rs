//! Notices a store that went back: the highest generation of each partition that was seen, in this process and, with a
//! state folder, by earlier ones (docs/architecture.md, "At rest").
//!
//! A generation counts as seen only after the header that holds it was opened or made here. The number in clear beside
//! it is anybody's who can write the file.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Error, Hsm, Result, Session, SlotError, SlotFault, SlotId, now_secs};
use folder::{Folder, Stamp};
use marks::{Mark, Marks};
use slotfs_object::show::iso_8601;
use slotfs_store::SlotVersion;

mod folder;
mod marks;

/// What was seen of one store.
#[derive(Default)]
pub(super) struct Seen {
    known: Mutex<Known>,
    folder: OnceLock<Result<Folder, String>>,
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
        let folder = folder.map(|folder| Folder::of_store(folder, self.path()));
        // Set once, by the one who opened the store.
        let _ = self.seen.folder.set(folder);
    }

    /// Refuses a login to a partition that is older than it was seen here, and else remembers its generation.
    ///
    /// # Errors
    /// [`SlotError::Older`]
    pub(super) fn check_not_older(&self, session: &Session) -> Result<()> {
        self.seen.meet(session.row().as_version())
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
    /// copy of the rows in place would otherwise have this process seal under domains that were deleted.
    pub(super) fn logged_out_as_older(
        &self,
        session: &std::sync::Arc<Session>,
        now: SlotVersion,
    ) -> bool {
        let then = session.row().as_version();
        let highest = self.seen.highest(then);
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

    /// Takes in what other processes saw since the file was last read. Costs one `stat` when they saw nothing.
    pub(super) fn reload(&self) {
        let Some(Ok(folder)) = self.folder.get() else {
            return;
        };
        let mut known = self.known();
        let stamp = folder.stamp();
        if stamp.is_some() && stamp != known.stamp {
            if let Some(file) = folder.read_if_possible() {
                known.marks.merge(&file);
            }
            known.stamp = stamp;
        }
    }

    /// The highest generation seen of the partition of `at`, which was opened.
    fn highest(&self, at: SlotVersion) -> u64 {
        let known = self.known();
        let mark = known.marks.find(at.slot, at.serial);
        mark.map_or(0, |mark| mark.generation).max(at.generation)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(slot: u32, generation: u64) -> SlotVersion {
        SlotVersion {
            slot: SlotId(slot),
            serial: u64::from(slot) + 100,
            generation,
        }
    }

    fn process(folder: &std::path::Path) -> Seen {
        let seen = Seen::default();
        let file = Folder::of_store(folder.join("state/slotfs"), &folder.join("store.db"));
        assert!(seen.folder.set(Ok(file)).is_ok());
        seen
    }

    /// Processes that raise marks at once lose none of them, and no lower one wins.
    #[test]
    fn several_processes_lose_no_mark() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for process_number in 0..6 {
                let folder = folder.path();
                scope.spawn(move || {
                    let seen = process(folder);
                    for round in 0..10 {
                        // Slot 0 is everybody's; the other is this process's own.
                        seen.raise(at(0, (round * 7 + u64::from(process_number)) % 60));
                        seen.raise(at(process_number + 1, round));
                    }
                });
            }
        });
        let last = process(folder.path());
        last.reload();
        assert_eq!(last.highest(at(0, 0)), 59);
        for own in 1..=6 {
            assert_eq!(last.highest(at(own, 0)), 9);
        }
        // Nothing else is left there, and nothing is anybody else's.
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder.path().join("state/slotfs")).unwrap() {
            let entry = entry.unwrap();
            let mode = std::os::unix::fs::MetadataExt::mode(&entry.metadata().unwrap());
            assert_eq!(mode & 0o777, 0o600, "{entry:?}");
            names.push(entry.file_name());
        }
        assert_eq!(names.len(), 2, "{names:?}");
        let mode = std::fs::metadata(folder.path().join("state/slotfs")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o700);
    }

    /// However many partitions come and go, the file stays small.
    #[test]
    fn only_so_many_marks_are_kept() {
        let mut marks = Marks::default();
        for generation in 0..40 {
            let at = SlotVersion {
                serial: generation,
                ..at(0, generation)
            };
            marks.put(mark_of(at, &marks));
        }
        assert!(marks.find(SlotId(0), 31).is_none());
        assert_eq!(marks.last(SlotId(0)).unwrap().serial, 39);
        for slot in 0..5000 {
            marks.put(mark_of(at(slot, 1), &marks));
        }
        assert!(marks.find(SlotId(903), 1003).is_none());
        assert!(marks.find(SlotId(904), 1004).is_some());
        let text = marks.to_text("/store.db");
        assert!(text.len() < 1 << 20, "{}", text.len());
        let (_, read) = Marks::from_text(text.as_bytes()).ok().unwrap();
        assert_eq!(read, marks);
    }
}
