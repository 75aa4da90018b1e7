//! Clones a list of objects from one slot to another, many to a transaction. Each object is its own atomic act.

use std::collections::VecDeque;
use std::iter::from_fn;
use std::ops::ControlFlow;

use super::batch::{FIRST, MOST_BYTES_AT_ONCE, MOST_TRIES, settle_all};
use super::clone::verify;
use super::done::{Answer, answer};
use super::objects::seal_for_cloning;
use super::put::put;
use super::{
    Arrived, Entry, Error, Handle, Partition, Result, SealedRow, SlotError, SlotId, Stored, store,
};
use slotfs_store::{Put, Read};

/// Objects in one transaction: enough to share an fsync and the pages of the index of OUIDs, which are random;
/// few enough to stop soon after Ctrl-C.
const AT_ONCE: usize = 512;

/// Which objects of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every one, by handle.
    All,
    /// These, in this order.
    These(Vec<Handle>),
}

/// What a handle names, or that it names nothing.
pub(super) type Found = (Handle, Result<(Entry, SealedRow)>);

/// A batch on its way to disk.
struct Pending {
    /// In their order: refused before they were handed over, or `None` for those that were.
    objects: Vec<(Handle, Option<Error>)>,
    stored: Answer<Vec<store::Result<Stored>>>,
}

/// What became of some objects, in their order.
type Cloned = Vec<(Handle, Result<Arrived>)>;

impl Partition<'_> {
    /// The rows of `which`, a batch at a time.
    pub(super) fn batches<'a>(
        &'a self,
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
                Box::new(from_fn(move || {
                    if left.is_empty() {
                        return None;
                    }
                    let rows = self.rows(left, next_most(), MOST_BYTES_AT_ONCE);
                    let read = rows.as_ref().map_or(left.len(), Vec::len);
                    left = left.get(read..).unwrap_or_default();
                    Some(rows)
                }))
            }
            Selection::All => {
                let mut after = Some(0);
                Box::new(from_fn(move || {
                    let page = self.page(after?, next_most());
                    let last = page.as_ref().ok().and_then(|rows| rows.last());
                    after = last.map(|(handle, _)| handle.get());
                    match page {
                        // A damaged index shows fewer objects than there are.
                        Ok(rows) if rows.is_empty() => self.check_count().err().map(Err),
                        page => Some(page),
                    }
                }))
            }
        }
    }

    /// Rows with handles above `after`.
    fn page(&self, after: u32, most: usize) -> Result<Vec<Found>> {
        let store = &self.hsm.store;
        let rows = store.list_sealed(self.slot, after, most, MOST_BYTES_AT_ONCE)?;
        let found = |row: Read<(Entry, SealedRow)>| match row {
            Ok((entry, sealed)) => Some((entry.handle, Ok((entry, sealed)))),
            // Each has a handle, since the list is by handle.
            Err(row) => Some((row.handle?, Err(Error::ObjectDamaged(row)))),
        };
        Ok(rows.into_iter().filter_map(found).collect())
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

    /// Clones the objects of `which` to the slot `to`, in their order; `each` is called with what became of some of
    /// them, once that is durable. Asked between batches, `stop` ends the list there.
    ///
    /// What becomes of one object is what [`Hsm::import`](super::Hsm::import) of its blob under its own handle gives.
    ///
    /// # Errors
    /// What keeps the whole list from going on: [`SlotError::NotLoggedIn`], [`SlotError::RoleNeeded`],
    /// [`SlotError::ReadOnly`], or a store that cannot be read.
    pub fn clone_list(
        &self,
        to: SlotId,
        which: &Selection,
        stop: impl Fn() -> bool,
        mut each: impl FnMut(&[(Handle, Result<Arrived>)]),
    ) -> Result<()> {
        let batches = self.batches(which).take_while(|_| !stop());
        let handed_over =
            batches.map(
                |rows| match rows.and_then(|rows| self.hand_over(to, rows)) {
                    Ok(pending) => (Some(pending), Ok(())),
                    Err(error) => (None, Err(error)),
                },
            );
        settle_all(handed_over, false, |pending| {
            each(&self.settle(to, pending));
            ControlFlow::Continue(())
        })
    }

    /// Seals each row with the source's domains, verifies it with the target's, and gives what is
    /// verified to the committer.
    fn hand_over(&self, to: SlotId, rows: Vec<Found>) -> Result<Pending> {
        let hsm = self.hsm;
        // Changes of other processes apply from here on: one may forbid a clone.
        hsm.refresh()?;
        let (source, target) = (self.reader()?, hsm.partition(to).writer()?);
        let mut objects = Vec::with_capacity(rows.len());
        let mut puts = Vec::with_capacity(rows.len());
        for (handle, row) in rows {
            let put = row.and_then(|(entry, sealed)| -> Result<Put> {
                let payload = hsm.open_listed(&source, &entry, &sealed)?;
                let blob = seal_for_cloning(&source, handle, &payload)?;
                let (object, payload) = verify(&target, &blob)?;
                Ok(put(&target, &object, payload, Some(handle)))
            });
            objects.push((handle, put.map(|put| puts.push(put)).err()));
        }
        let (done, stored) = answer();
        hsm.store.put_many(puts, source.row().as_version(), done);
        Ok(Pending { objects, stored })
    }

    /// Waits until a batch is durable and tells what became of each object of it.
    fn settle(&self, to: SlotId, mut pending: Pending) -> Cloned {
        let mut tries = 0;
        loop {
            tries += 1;
            let Pending { objects, stored } = pending;
            let error = match stored.wait() {
                Ok(stored) => return cloned(objects, stored.into()),
                Err(error) => error,
            };
            if !error.is_changed() || tries == MOST_TRIES || self.hsm.refresh().is_err() {
                return all_failed(objects, &error);
            }
            // The target's domains may be others by now: the batch is verified once more, with those.
            let handles: Vec<Handle> = objects.iter().map(|it| it.0).collect();
            let rows = self.rows(&handles, handles.len(), usize::MAX);
            match rows.and_then(|rows| self.hand_over(to, rows)) {
                Ok(again) => pending = again,
                Err(error) => return all_failed(objects, &error),
            }
        }
    }
}

fn cloned(
    objects: Vec<(Handle, Option<Error>)>,
    mut stored: VecDeque<store::Result<Stored>>,
) -> Cloned {
    let mut next = || Ok(Arrived::from(stored.pop_front().ok_or(Error::Gone)??));
    let mut outcome = |refused: Option<Error>| refused.map_or_else(&mut next, Err);
    let objects = objects.into_iter();
    objects
        .map(|(handle, refused)| (handle, outcome(refused)))
        .collect()
}

/// The whole batch failed for one reason. Objects that were refused before keep their own.
fn all_failed(objects: Vec<(Handle, Option<Error>)>, error: &Error) -> Cloned {
    let why = |refused: Option<Error>| refused.unwrap_or_else(|| error.clone());
    let failed = |(handle, refused)| (handle, Err(why(refused)));
    objects.into_iter().map(failed).collect()
}
