//! Blobs of many objects, for a folder that keeps them: sealed in batches, verified and taken in again in batches.

use std::ops::ControlFlow;

use super::batch::MOST_TRIES;
use super::clone::{Wish, verify};
use super::done::answer;
use super::objects::seal_for_cloning;
use super::put::put;
use super::{
    Arrived, Error, Handle, Object, Ouid, Partition, Result, Selection, Session, decode_own,
};
use slotfs_store::Put;

/// An object's blob, and the object.
pub struct Sealed {
    /// The object.
    pub object: Object,
    /// What [`Hsm::seal`](super::Hsm::seal) gives.
    pub blob: Vec<u8>,
}

impl Partition<'_> {
    /// Calls `each` with the blobs of `which`, in their order, until it breaks.
    ///
    /// # Errors
    /// What keeps the whole list from going on: [`SlotError::NotLoggedIn`](super::SlotError::NotLoggedIn), or a store that
    /// cannot be read. What one object failed of is told to `each` alone.
    pub fn seal_list(
        &self,
        which: &Selection,
        mut each: impl FnMut(Handle, Result<Sealed>) -> ControlFlow<()>,
    ) -> Result<()> {
        for batch in self.batches(which) {
            let rows = batch?;
            // Changes of other processes apply from here on: one may forbid a clone.
            self.hsm.refresh()?;
            let session = self.reader()?;
            for (handle, row) in rows {
                let sealed = row.and_then(|(entry, sealed)| {
                    let payload = self.hsm.open_listed(&session, &entry, &sealed)?;
                    let blob = seal_for_cloning(&session, handle, &payload)?;
                    let object = decode_own(self.slot, handle, payload.bytes())?;
                    Ok(Sealed { object, blob })
                });
                if each(handle, sealed).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether the slot would take in `blob`; the identity of its object. Nothing is stored.
    ///
    /// # Errors
    /// As [`Hsm::import`](super::Hsm::import), as far as the blob alone tells.
    pub fn verify_blob(&self, blob: &[u8]) -> Result<Ouid> {
        let (object, _) = verify(&*self.writer()?, blob)?;
        Ok(object.ouid)
    }

    /// Takes in blobs under the handles that they wish for, in one transaction; each fails by itself. What becomes of one
    /// is what [`Hsm::import`](super::Hsm::import) gives.
    ///
    /// # Errors
    /// What fails all of them: as [`Self::clone_list`].
    pub fn import_list(&self, blobs: &[(Handle, Vec<u8>)]) -> Result<Vec<Result<Arrived>>> {
        let coming = blobs.iter().map(|(handle, blob)| Coming {
            blob,
            identity: None,
            want: Some(*handle),
            unless_removed: false,
        });
        self.take_in_all(&coming.collect::<Vec<_>>())
    }

    /// The same for blobs whose wishes may be others.
    pub(super) fn take_in_all(&self, blobs: &[Coming<'_>]) -> Result<Vec<Result<Arrived>>> {
        let mut tries = 0;
        loop {
            tries += 1;
            // Changes of other processes apply from here on, as for a clone.
            self.hsm.refresh()?;
            match self.try_to_take_in(blobs) {
                // The slot's domains may be others by now: the batch is verified once more, with those.
                Err(error) if error.is_changed() && tries < MOST_TRIES => {}
                outcome => return outcome,
            }
        }
    }

    fn try_to_take_in(&self, blobs: &[Coming<'_>]) -> Result<Vec<Result<Arrived>>> {
        let session = self.writer()?;
        let mut puts: Vec<Put> = Vec::with_capacity(blobs.len());
        let mut refused: Vec<Option<Error>> = Vec::with_capacity(blobs.len());
        for coming in blobs {
            let verified = verify(&session, coming.blob).and_then(|(object, payload)| {
                if let Some(identity) = coming.identity {
                    Wish::Identity(identity).check(self.slot, object.ouid)?;
                }
                let put = put(&session, &object, payload, coming.want);
                let unless_removed = coming.unless_removed;
                Ok(Put {
                    unless_removed,
                    ..put
                })
            });
            refused.push(verified.map(|put| puts.push(put)).err());
        }
        let (done, stored) = answer();
        let version = Session::row(&session).as_version();
        self.hsm.store.put_many(puts, version, done);
        let mut stored = stored.wait()?.into_iter();
        let mut next = || Ok(Arrived::from(stored.next().ok_or(Error::Gone)??));
        let outcome = |refused: Option<Error>| refused.map_or_else(&mut next, Err);
        Ok(refused.into_iter().map(outcome).collect())
    }
}

/// A blob on its way into a slot.
pub(super) struct Coming<'a> {
    pub(super) blob: &'a [u8],
    /// The identity that it must have.
    pub(super) identity: Option<Ouid>,
    /// The handle that it wishes for.
    pub(super) want: Option<Handle>,
    /// As [`Put::unless_removed`].
    pub(super) unless_removed: bool,
}
