//! Describing an object anew: its attributes change, and what it is stays (docs/objects.md, "Changing").

use slotfs_object::RowId;
use slotfs_object::revision::Change;

use super::batch::MOST_TRIES;
use super::done::answer;
use super::objects::payload_of;
use super::put::put;
use super::{
    Arrived, Error, Handle, Object, Ouid, Partition, Result, SlotError, SlotFault, Stored,
    decode_own, now_secs,
};

/// An object that was described anew.
pub struct Described {
    /// The object as it is now.
    pub object: Object,
    /// The row that it was in before; `None` where it was as wanted already, and nothing was stored.
    pub replaced: Option<RowId>,
}

impl Partition<'_> {
    /// Gives attributes of the object `handle` other values, all of them or none: the next revision of the object takes its
    /// place, under its handle and in a new row, and the former one goes to the trash. C_SetAttributeValue of PKCS#11.
    ///
    /// # Errors
    /// [`SlotError::NotDescribed`] with the object and the attribute, [`SlotError::NoSuchObject`],
    /// [`SlotError::ReadOnly`], [`SlotFault::Full`], [`SlotFault::TrashFull`], [`SlotFault::Changed`] when others change the
    /// object again and again, or when the store cannot be written.
    pub fn set_attributes(&self, handle: Handle, changes: &[Change]) -> Result<Described> {
        let (mut tries, mut meant) = (0, None);
        loop {
            tries += 1;
            match self.describe(handle, changes, &mut meant) {
                // Another process described it first, or changed the slot: the change applies to what is there now.
                Err(error) if error.is_changed() || matches!(error, Error::Gone) => {
                    if tries == MOST_TRIES {
                        return Err(SlotFault::Changed.at(self.slot).into());
                    }
                    self.hsm.refresh()?;
                }
                outcome => return outcome,
            }
        }
    }

    /// `meant` is the object that the handle named at first.
    fn describe(
        &self,
        handle: Handle,
        changes: &[Change],
        meant: &mut Option<Ouid>,
    ) -> Result<Described> {
        let (hsm, slot) = (self.hsm, self.slot);
        let session = self.writer()?;
        let (entry, payload) = hsm.open_by_handle(&session, handle)?;
        if *meant.get_or_insert(entry.ouid) != entry.ouid {
            return Err(SlotError::NoSuchObject(handle).at(slot));
        }
        let before = decode_own(slot, handle, payload.bytes())?;
        let revised = before
            .revised(changes, now_secs())
            .map_err(|why| SlotError::NotDescribed { handle, why }.at(slot))?;
        let Some(object) = revised else {
            return Ok(Described {
                object: before,
                replaced: None,
            });
        };
        let put = put(&session, &object, payload_of(slot, &object)?, Some(handle));
        let (done, stored) = answer::<Stored, _>();
        hsm.store.revise(entry, put, done);
        let arrived = Arrived::from(stored.wait()?);
        hsm.keys.forget_one(slot, handle);
        let (ouid, number) = (object.ouid, object.revision.number);
        log::info!("slot {slot}: object {handle} ({ouid}) is now revision {number}");
        Ok(Described {
            object,
            replaced: arrived.replaced(),
        })
    }
}
