//! What `partition clone` can say before it clones: which objects cannot be cloned, and which are there already.

use super::clone::check_taken_in;
use super::objects::check_policy;
use super::put::meeting;
use super::{
    Arrived, Became, Entry, Error, Handle, Partition, Result, SealedRow, Selection, Session,
    SlotError, SlotFault, SlotId, decode_own, store,
};
use slotfs_store::Meeting;

impl Partition<'_> {
    /// Calls `each` with every object of `which` that cannot be cloned to the slot `to`: because of a policy at either
    /// end or of the versions of the slots, or because it is not there. Gives how many can be cloned, and how many
    /// cannot. The row of `to` is read in clear: nobody has to be logged in there yet.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], or when the store cannot be read.
    pub fn check_cloneable(
        &self,
        to: SlotId,
        which: &Selection,
        mut each: impl FnMut(Handle, &Error),
    ) -> Result<(u64, u64)> {
        let hsm = self.hsm;
        let session = self.reader()?;
        let target = hsm.partition(to).row()?;
        let theirs = target.policies;
        let restricted = session.restricts_cloning() || theirs.restrict_cloning();
        let not_for_v0 = session.row().is_v1() && !target.is_v1();
        if matches!(which, Selection::All) && !restricted && !not_for_v0 {
            // The number of objects that can be listed. A wrong count is reported after all are cloned.
            return match hsm.store.count_listed(self.slot)? {
                (0, _) => self.check_count().map(|()| (0, 0)),
                (listed, _) => Ok((listed, 0)),
            };
        }
        let check = |handle, row| match row {
            Ok(_) if not_for_v0 => Err(SlotError::NotForV0 { target: to }.at(self.slot)),
            Ok((entry, sealed)) if restricted => {
                let payload = hsm.open_listed(&session, &entry, &sealed)?;
                let class = check_policy(&session, handle, &payload)?;
                check_taken_in(to, theirs, class)
            }
            row => row.map(drop),
        };
        let (mut can, mut cannot) = (0, 0);
        for batch in self.batches(which) {
            for (handle, row) in batch? {
                match check(handle, row) {
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

    /// Calls `each` with every object of `which` whose identity `to` holds: where it is there and what a clone would become,
    /// or [`SlotFault::IdentityClash`] when it is another object.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`] for either slot, or when the store cannot be read.
    pub fn check_existing(
        &self,
        to: SlotId,
        which: &Selection,
        mut each: impl FnMut(Handle, Result<&Arrived, &Error>),
    ) -> Result<()> {
        let store = &self.hsm.store;
        let (source, target) = (self.reader()?, self.hsm.partition(to).reader()?);
        if !store.has_objects(to)? || store.count_common(self.slot, to)? == 0 {
            return Ok(());
        }
        for batch in self.batches(which) {
            for (handle, row) in batch? {
                let Ok(ours) = row else { continue };
                let there = match store.by_ouid(to, ours.0.ouid) {
                    Ok(Some(there)) => store.sealed(there.id),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                };
                match there {
                    Ok(Some(theirs)) => {
                        let same = self.compare((&source, ours), (&target, theirs));
                        each(handle, same.as_ref());
                    }
                    Ok(None) => {}
                    Err(store::Error::Object(row)) => each(handle, Err(&Error::ObjectDamaged(row))),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Two objects of one identity: where the second one is, and what a clone of the first would become.
    fn compare(
        &self,
        (source, (entry, sealed)): (&Session, (Entry, SealedRow)),
        (target, (there, other)): (&Session, (Entry, SealedRow)),
    ) -> Result<Arrived> {
        let ours = self.hsm.open_listed(source, &entry, &sealed)?;
        let theirs = self.hsm.open_listed(target, &there, &other)?;
        let (ouid, handle) = (there.ouid, there.handle);
        let unreadable = |what| SlotFault::Unreadable { handle, what }.at(there.slot);
        let became = match meeting(&ours, &theirs).map_err(unreadable)? {
            Meeting::Same => Became::Already,
            Meeting::Older => Became::Outdated,
            Meeting::Newer => Became::Revised {
                revision: decode_own(entry.slot, entry.handle, ours.bytes())?
                    .revision
                    .number,
                replaced: there.id,
            },
            Meeting::Clash(differs) => {
                let clash = SlotFault::IdentityClash {
                    ouid,
                    handle,
                    differs,
                };
                return Err(clash.at(there.slot).into());
            }
        };
        Ok(Arrived { handle, became })
    }
}
