//! `partition clone`: a list of objects from one slot to another, each its own atomic act, many to a
//! transaction. A batch is sealed and verified while the one before it is written.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver};

use super::clone::{check_taken_in, verify};
use super::objects::{check_policy, put, seal_for_cloning};
use super::{Arrived, Hsm, Partition};
use super::{Error, Result, SlotError, SlotFault};
use slotfs_object::sealed::SealedRow;
use slotfs_object::{Handle, SlotId};
use slotfs_store::{self as store, Entry, Put, Read, Stored};

/// Objects in one transaction: enough to share an fsync and the pages of the index of OUIDs, which are random;
/// few enough to stop soon after Ctrl-C.
const AT_ONCE: usize = 512;
/// Objects in the first; each batch after it is twice as large, so that the committer soon has work.
const FIRST: usize = 64;
/// Bytes of their payloads, so that memory stays small when objects are large.
const MOST_BYTES_AT_ONCE: usize = 2 << 20;
/// How often a batch is verified again because another process changed the target meanwhile.
const MOST_TRIES: usize = 8;

/// Which objects of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every one, by handle.
    All,
    /// These, in this order.
    These(Vec<Handle>),
}

/// A batch on its way to disk.
struct Pending {
    /// In their order: refused before they were handed over, or `None` for those that were.
    objects: Vec<(Handle, Option<Error>)>,
    stored: Receiver<Result<Vec<store::Result<Stored>>>>,
}

impl Hsm {
    /// The rows of `which`, a batch at a time.
    fn batches<'a>(
        &'a self,
        slot: SlotId,
        which: &'a Selection,
    ) -> Box<dyn Iterator<Item = Result<Vec<Found>>> + 'a> {
        let mut most = FIRST;
        let mut next_most = move || {
            let now = most;
            most = (most * 2).min(AT_ONCE);
            now
        };
        match which {
            Selection::These(handles) => {
                let mut left = handles.as_slice();
                Box::new(std::iter::from_fn(move || {
                    if left.is_empty() {
                        return None;
                    }
                    let rows = self
                        .partition(slot)
                        .rows(left, next_most(), MOST_BYTES_AT_ONCE);
                    left = match &rows {
                        Ok(rows) => left.get(rows.len()..).unwrap_or_default(),
                        Err(_) => &[],
                    };
                    Some(rows)
                }))
            }
            Selection::All => {
                let mut after = Some(0);
                Box::new(std::iter::from_fn(move || {
                    let page =
                        self.store
                            .list_sealed(slot, after?, next_most(), MOST_BYTES_AT_ONCE);
                    after = match &page {
                        Ok(rows) => rows.last().and_then(handle_of).map(Handle::get),
                        Err(_) => None,
                    };
                    match page {
                        // A damaged index shows fewer objects than there are.
                        Ok(rows) if rows.is_empty() => {
                            self.partition(slot).check_count().err().map(Err)
                        }
                        Ok(rows) => Some(Ok(rows
                            .into_iter()
                            // All have one: it is what they are listed by.
                            .filter_map(|row| {
                                Some((handle_of(&row)?, row.map_err(Error::ObjectDamaged)))
                            })
                            .collect())),
                        Err(error) => Some(Err(error.into())),
                    }
                }))
            }
        }
    }
}

impl Partition<'_> {
    /// Calls `each` with every object of `which` that policy at either end, the versions of the slots, or its absence
    /// keeps from being cloned out of `slot` to the slot `to`; how many can be, and how many cannot. What `to` says of
    /// itself is read in clear: nobody has to be logged in there yet.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], or when the store cannot be read.
    pub fn check_cloneable(
        &self,
        to: SlotId,
        which: &Selection,
        mut each: impl FnMut(Handle, &Error),
    ) -> Result<(u64, u64)> {
        let (hsm, slot) = (self.hsm, self.slot);
        let session = self.reader()?;
        let target = hsm.partition(to).row()?;
        let theirs = target.policies;
        let restricted = session.policies().restrict_cloning() || theirs.restrict_cloning();
        let not_for_v0 = session.row().is_v1() && !target.is_v1();
        if matches!(which, Selection::All) && !restricted && !not_for_v0 {
            // What is there, and not what is counted: what is wrong with the count is told once all are cloned.
            return match hsm.store.count_listed(slot)? {
                (0, _) => self.check_count().map(|()| (0, 0)),
                (listed, _) => Ok((listed, 0)),
            };
        }
        let (mut can, mut cannot) = (0, 0);
        for batch in hsm.batches(slot, which) {
            for (handle, row) in batch? {
                let checked = match row {
                    Ok(_) if not_for_v0 => Err(SlotError::NotForV0 { target: to }.at(slot)),
                    Ok((entry, sealed)) if restricted => hsm
                        .open_entry(&session, &entry, &sealed)
                        .and_then(|payload| {
                            let class = check_policy(&session, handle, &payload)?;
                            check_taken_in(to, theirs, class)
                        }),
                    Ok(_) => Ok(()),
                    Err(error) => Err(error),
                };
                match checked {
                    Ok(()) => can += 1,
                    Err(error) => {
                        cannot += 1;
                        each(handle, &error);
                    }
                }
            }
        }
        Ok((can, cannot))
    }

    /// Calls `each` with every object of `which` whose identity `to` holds: where it is there, or
    /// [`Error::IdentityClash`] when it is another object.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] for either slot, or when the store cannot be read.
    pub fn check_existing(
        &self,
        to: SlotId,
        which: &Selection,
        mut each: impl FnMut(Handle, Result<&Arrived, &Error>),
    ) -> Result<()> {
        let (hsm, from) = (self.hsm, self.slot);
        let (source, target) = (self.reader()?, hsm.partition(to).reader()?);
        if !hsm.store.has_objects(to)? || hsm.store.count_common(from, to)? == 0 {
            return Ok(());
        }
        for batch in hsm.batches(from, which) {
            for (handle, row) in batch? {
                let Ok((entry, sealed)) = row else { continue };
                let there = hsm.store.by_ouid(to, entry.ouid);
                let there = there.and_then(|there| match there {
                    Some(there) => hsm.store.sealed(there.id),
                    None => Ok(None),
                });
                let (there, other) = match there {
                    Ok(Some(there)) => there,
                    Ok(None) => continue,
                    Err(store::Error::Object(row)) => {
                        each(handle, Err(&Error::ObjectDamaged(row)));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let ours = hsm.open_entry(&source, &entry, &sealed);
                let theirs = hsm.open_entry(&target, &there, &other);
                match (ours, theirs) {
                    (Ok(ours), Ok(theirs)) if ours == theirs => each(
                        handle,
                        Ok(&Arrived {
                            handle: there.handle,
                            already: true,
                        }),
                    ),
                    (Ok(_), Ok(_)) => {
                        let clash = SlotFault::IdentityClash {
                            ouid: there.ouid,
                            handle: there.handle,
                        };
                        each(handle, Err(&clash.at(to).into()));
                    }
                    (Err(error), _) | (_, Err(error)) => each(handle, Err(&error)),
                }
            }
        }
        Ok(())
    }

    /// Clones the objects of `which` from one slot to another, in their order; `each` is called with what
    /// became of some of them, once that is durable. Asked between batches, `stop` ends it there.
    ///
    /// What becomes of one object is what [`Self::import`] of its blob under its own handle gives.
    ///
    /// # Errors
    /// What keeps the whole list from going on: [`Error::NotLoggedIn`], [`Error::RoleNeeded`],
    /// [`Error::ReadOnly`], or a store that cannot be read.
    pub fn clone_list(
        &self,
        to: SlotId,
        which: &Selection,
        stop: impl Fn() -> bool,
        mut each: impl FnMut(&[(Handle, Result<Arrived>)]),
    ) -> Result<()> {
        let mut pending: Option<Pending> = None;
        let mut outcome = Ok(());
        for batch in self.hsm.batches(self.slot, which) {
            if stop() {
                break;
            }
            let next = batch.and_then(|rows| self.hand_over(to, rows));
            if let Some(pending) = pending.take() {
                each(&self.settle(to, pending));
            }
            match next {
                Ok(next) => pending = Some(next),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if let Some(pending) = pending {
            each(&self.settle(to, pending));
        }
        outcome
    }

    /// Seals each row with the source's domains, verifies it with the target's, and gives what is
    /// verified to the committer.
    fn hand_over(&self, to: SlotId, rows: Vec<Found>) -> Result<Pending> {
        let (hsm, _from) = (self.hsm, self.slot);
        // What another process forbids meanwhile is forbidden from here on.
        hsm.refresh()?;
        let (source, target) = (self.reader()?, hsm.partition(to).writer()?);
        let mut objects = Vec::with_capacity(rows.len());
        let mut puts = Vec::with_capacity(rows.len());
        for (handle, row) in rows {
            let put = row.and_then(|(entry, sealed)| -> Result<Put> {
                let payload = hsm.open_entry(&source, &entry, &sealed)?;
                let blob = seal_for_cloning(&source, handle, &payload)?;
                let (object, payload) = verify(&target, &blob)?;
                Ok(put(&target, &object, payload, Some(handle)))
            });
            match put {
                Ok(put) => {
                    puts.push(put);
                    objects.push((handle, None));
                }
                Err(error) => objects.push((handle, Some(error))),
            }
        }
        let (sender, stored) = mpsc::sync_channel(1);
        let version = source.row().as_version();
        hsm.store.put_many(puts, version, move |outcome| {
            // The receiver is in the batch that waits for it.
            let _ = sender.send(outcome.map_err(Error::from));
        });
        Ok(Pending { objects, stored })
    }

    /// Waits until a batch is durable and tells what became of each object of it.
    fn settle(&self, to: SlotId, mut pending: Pending) -> Vec<(Handle, Result<Arrived>)> {
        let _from = self.slot;
        let mut tries = 0;
        loop {
            tries += 1;
            let stored = pending
                .stored
                .recv()
                .unwrap_or_else(|_| Err(Error::Damaged("the committer stopped".into())));
            let changed = stored.as_ref().is_err_and(|e| e.is_changed());
            if changed && tries < MOST_TRIES && self.hsm.refresh().is_ok() {
                // Its domains may be others by now: verified once more, with those.
                let handles: Vec<Handle> = pending.objects.iter().map(|it| it.0).collect();
                let rows = self.rows(&handles, handles.len(), usize::MAX);
                match rows.and_then(|rows| self.hand_over(to, rows)) {
                    Ok(again) => {
                        pending = again;
                        continue;
                    }
                    Err(error) => return all_failed(pending.objects, &error),
                }
            }
            let mut stored = match stored {
                Ok(stored) => VecDeque::from(stored),
                Err(error) => return all_failed(pending.objects, &error),
            };
            return pending
                .objects
                .into_iter()
                .map(|(handle, refused)| {
                    let outcome = match refused {
                        Some(error) => Err(error),
                        None => stored
                            .pop_front()
                            .map_or(Err(Error::Gone), |it| it.map_err(Error::from)),
                    };
                    (handle, outcome.map(Arrived::from))
                })
                .collect();
        }
    }

    /// The rows of the first of `handles`: as many as make a batch, at least one.
    fn rows(&self, handles: &[Handle], most: usize, most_bytes: usize) -> Result<Vec<Found>> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for &handle in handles.iter().take(most) {
            let row = match self.hsm.store.sealed_by_handle(self.slot, handle) {
                Ok(row) => row.ok_or(SlotError::NoSuchObject(handle).at(self.slot)),
                Err(store::Error::Object(row)) => Err(Error::ObjectDamaged(row)),
                Err(error) => return Err(error.into()),
            };
            bytes += row.as_ref().map_or(0, |(_, sealed)| sealed.bytes().len());
            rows.push((handle, row));
            if bytes >= most_bytes {
                break;
            }
        }
        Ok(rows)
    }
}

fn handle_of(row: &Read<(Entry, SealedRow)>) -> Option<Handle> {
    match row {
        Ok((entry, _)) => Some(entry.handle),
        Err(row) => row.handle,
    }
}

/// What a handle names, or that it names nothing.
type Found = (Handle, Result<(Entry, SealedRow)>);

/// One reason for a whole batch; what was refused before keeps its own.
fn all_failed(
    objects: Vec<(Handle, Option<Error>)>,
    error: &Error,
) -> Vec<(Handle, Result<Arrived>)> {
    objects
        .into_iter()
        .map(|(handle, refused)| (handle, Err(refused.unwrap_or_else(|| error.clone()))))
        .collect()
}
