//! New objects into one slot, many to a transaction. A batch is made and sealed while the one before it is written.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver};

use super::objects::{payload_of, put};
use super::{Arrived, Partition};
use super::{Error, Result};
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Object, SlotId};
use slotfs_store::{self as store, Stored};

/// Groups in the first batch; each batch after it is twice as large, so that the committer soon has work.
const FIRST: usize = 64;
/// Bytes of their payloads, so that memory stays small when objects are large.
const MOST_BYTES_AT_ONCE: usize = 2 << 20;
/// How often a batch is sealed again because another process changed the slot meanwhile.
const MOST_TRIES: usize = 8;

/// Objects that belong together, and where each of them is or why none is.
pub struct Added {
    /// The objects.
    pub objects: Vec<Object>,
    /// As many places.
    pub stored: Result<Vec<Arrived>>,
}

/// Objects that belong together, with their payloads.
type Group = Vec<(Object, SecretBytes)>;

/// A batch on its way to disk.
struct Pending {
    groups: Vec<Group>,
    stored: Receiver<Result<Vec<store::Result<Vec<Stored>>>>>,
}

impl Partition<'_> {
    /// Stores new objects under free handles, group by group in their order: a group is stored whole or not at all,
    /// up to `at_once` groups in one transaction. `each` is called with what became of some groups, once that is
    /// durable, and breaks to have no more made. It ends as well where a group is not stored: what kept it out would
    /// keep out the others.
    ///
    /// Groups that were made before `groups` gives an error are stored all the same.
    ///
    /// # Errors
    /// That of `groups`, or what keeps the whole list from going on: [`Error::NotLoggedIn`], [`Error::RoleNeeded`],
    /// [`Error::ReadOnly`], or a store that cannot be read. What one group failed of is told to `each` alone.
    pub fn add_list<E: From<Error>>(
        &self,
        groups: impl Iterator<Item = Result<Vec<Object>, E>>,
        at_once: usize,
        mut each: impl FnMut(Vec<Added>) -> ControlFlow<()>,
    ) -> Result<(), E> {
        let slot = self.slot;
        let mut groups = groups.fuse();
        let mut most = FIRST.min(at_once);
        let mut settle = |pending: Pending| {
            let added = self.settle_added(pending);
            let failed = added.iter().any(|group| group.stored.is_err());
            let goes_on = each(added);
            failed || goes_on.is_break()
        };
        let mut pending: Option<Pending> = None;
        let mut outcome = Ok(());
        loop {
            let (batch, made) = next_batch(slot, &mut groups, most);
            most = (most * 2).min(at_once);
            let mut ended = batch.is_empty() || made.is_err();
            let next = match batch.is_empty() {
                true => Ok(None),
                false => self.hand_over_added(batch).map(Some),
            };
            if let Some(before) = pending.take() {
                ended |= settle(before);
            }
            match next {
                Ok(next) => pending = next,
                Err(error) => outcome = Err(error.into()),
            }
            // What is made one at a time takes long to make: it is told before the next one.
            if at_once == 1
                && let Some(now) = pending.take()
            {
                ended |= settle(now);
            }
            outcome = outcome.and(made);
            if ended || outcome.is_err() {
                break;
            }
        }
        if let Some(last) = pending {
            settle(last);
        }
        outcome
    }

    /// Gives a batch to the committer.
    fn hand_over_added(&self, groups: Vec<Group>) -> Result<Pending> {
        let hsm = self.hsm;
        // What another process changed meanwhile holds from here on.
        hsm.refresh()?;
        let session = self.writer()?;
        let puts = groups
            .iter()
            .map(|group| {
                group
                    .iter()
                    .map(|(object, payload)| put(&session, object, payload.clone(), None))
                    .collect()
            })
            .collect();
        let (sender, stored) = mpsc::sync_channel(1);
        hsm.store.put_groups(puts, move |outcome| {
            // The receiver is in the batch that waits for it.
            let _ = sender.send(outcome.map_err(Error::from));
        });
        Ok(Pending { groups, stored })
    }

    /// Waits until a batch is durable and tells what became of each group of it.
    fn settle_added(&self, mut pending: Pending) -> Vec<Added> {
        let _slot = self.slot;
        let mut tries = 0;
        loop {
            tries += 1;
            let Pending { groups, stored } = pending;
            let stored = stored
                .recv()
                .unwrap_or_else(|_| Err(Error::Damaged("the committer stopped".into())));
            match stored {
                // It may have another slot key by now: sealed once more, with that.
                Err(error) if error.is_changed() && tries < MOST_TRIES => {
                    match self.hand_over_added(groups) {
                        Ok(again) => pending = again,
                        // The groups are gone with the batch: nothing of it was stored.
                        Err(error) => return vec![none_stored(error)],
                    }
                }
                Ok(stored) => {
                    return groups
                        .into_iter()
                        .zip(stored)
                        .map(|(group, stored)| Added {
                            objects: group.into_iter().map(|(object, _)| object).collect(),
                            stored: stored
                                .map(|all| all.into_iter().map(Arrived::from).collect())
                                .map_err(Error::from),
                        })
                        .collect();
                }
                Err(error) => return vec![none_stored(error)],
            }
        }
    }
}

/// A whole batch that failed of one thing.
fn none_stored(error: Error) -> Added {
    Added {
        objects: Vec::new(),
        stored: Err(error),
    }
}

/// The next groups, at most so many, and whether making them failed at the end of them.
fn next_batch<E: From<Error>>(
    slot: SlotId,
    groups: &mut impl Iterator<Item = Result<Vec<Object>, E>>,
    most: usize,
) -> (Vec<Group>, Result<(), E>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < most && bytes < MOST_BYTES_AT_ONCE {
        let Some(group) = groups.next() else { break };
        match group.and_then(|group| Ok(encoded(slot, group)?)) {
            Ok(group) => {
                bytes += group
                    .iter()
                    .map(|(_, payload)| payload.bytes().len())
                    .sum::<usize>();
                batch.push(group);
            }
            Err(error) => return (batch, Err(error)),
        }
    }
    (batch, Ok(()))
}

fn encoded(slot: SlotId, group: Vec<Object>) -> Result<Group> {
    group
        .into_iter()
        .map(|object| {
            let payload = payload_of(slot, &object)?;
            Ok((object, payload))
        })
        .collect()
}
