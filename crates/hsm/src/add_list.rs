//! Stores a list of new objects in one slot, many to a transaction.

use std::iter::from_fn;
use std::ops::ControlFlow;

use super::batch::{FIRST, MOST_BYTES_AT_ONCE, MOST_TRIES, settle_all};
use super::done::{Answer, answer};
use super::objects::payload_of;
use super::put::put;
use super::{Arrived, Error, Object, Partition, Result, SecretBytes, SlotId, Stored, store};

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
    stored: Answer<Vec<store::Result<Vec<Stored>>>>,
}

impl Partition<'_> {
    /// Stores new objects under free handles, group by group in their order: a group is stored whole or not at all,
    /// up to `at_once` groups in one transaction. `each` is called with what became of some groups, once that is
    /// durable, and breaks to have no more made. The list also ends where a group is not stored: what kept it out would
    /// keep out the others.
    ///
    /// Groups that were made before `groups` gives an error are stored all the same.
    ///
    /// # Errors
    /// That of `groups`, or what keeps the whole list from going on: [`SlotError::NotLoggedIn`],
    /// [`SlotError::RoleNeeded`], [`SlotError::ReadOnly`], or a store that cannot be read. What one group failed of is
    /// told to `each` alone.
    ///
    /// [`SlotError::NotLoggedIn`]: super::SlotError::NotLoggedIn
    /// [`SlotError::RoleNeeded`]: super::SlotError::RoleNeeded
    /// [`SlotError::ReadOnly`]: super::SlotError::ReadOnly
    pub fn add_list<E: From<Error>>(
        &self,
        groups: impl Iterator<Item = Result<Vec<Object>, E>>,
        at_once: usize,
        mut each: impl FnMut(Vec<Added>) -> ControlFlow<()>,
    ) -> Result<(), E> {
        let mut groups = groups.fuse();
        let mut most = FIRST.min(at_once);
        let handed_over = from_fn(|| {
            let (batch, made) = next_batch(self.slot, &mut groups, most);
            most = (most * 2).min(at_once);
            if batch.is_empty() {
                return made.is_err().then_some((None, made));
            }
            Some(match self.hand_over_added(batch) {
                Ok(pending) => (Some(pending), made),
                Err(error) => (None, Err(error.into())),
            })
        });
        // Objects that are made one at a time take long to make: each is reported before the next one.
        settle_all(handed_over, at_once == 1, |pending| {
            let added = self.settle_added(pending);
            let failed = added.iter().any(|group| group.stored.is_err());
            match each(added) {
                ControlFlow::Continue(()) if !failed => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        })
    }

    /// Gives a batch to the committer.
    fn hand_over_added(&self, groups: Vec<Group>) -> Result<Pending> {
        // Changes of other processes apply from here on.
        self.hsm.refresh()?;
        let session = self.writer()?;
        let put = |(object, payload): &(Object, SecretBytes)| {
            put(&session, object, payload.clone(), None)
        };
        let puts = groups.iter().map(|group| group.iter().map(put).collect());
        let (done, stored) = answer();
        self.hsm.store.put_groups(puts.collect(), done);
        Ok(Pending { groups, stored })
    }

    /// Waits until a batch is durable and tells what became of each group of it.
    fn settle_added(&self, mut pending: Pending) -> Vec<Added> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Pending { groups, stored } = pending;
            match stored.wait() {
                // The slot may have another key by now: the batch is sealed once more, with that one.
                Err(error) if error.is_changed() && tries < MOST_TRIES => {
                    match self.hand_over_added(groups) {
                        Ok(again) => pending = again,
                        // The groups are gone with the batch: nothing of it was stored.
                        Err(error) => return vec![none_stored(error)],
                    }
                }
                Ok(stored) => return groups.into_iter().zip(stored).map(added).collect(),
                Err(error) => return vec![none_stored(error)],
            }
        }
    }
}

fn added((group, stored): (Group, store::Result<Vec<Stored>>)) -> Added {
    let arrived = |all: Vec<Stored>| all.into_iter().map(Arrived::from).collect();
    Added {
        objects: group.into_iter().map(|(object, _)| object).collect(),
        stored: stored.map(arrived).map_err(Error::from),
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
                let lengths = group.iter().map(|(_, payload)| payload.bytes().len());
                bytes += lengths.sum::<usize>();
                batch.push(group);
            }
            Err(error) => return (batch, Err(error)),
        }
    }
    (batch, Ok(()))
}

fn encoded(slot: SlotId, group: Vec<Object>) -> Result<Group> {
    let encode = |object| payload_of(slot, &object).map(|payload| (object, payload));
    group.into_iter().map(encode).collect()
}
