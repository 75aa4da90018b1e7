//! A partition as a whole: emptied, deleted, its policies changed.

use std::sync::PoisonError;

use super::policy::Policy;
use super::{Hsm, Partition, PartitionMark};
use super::{Result, SlotError};
use slotfs_object::partition::Role;
use slotfs_store::{Objects, SlotRow};

/// What to change of a partition; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// How long removed objects are in the trash, seconds.
    pub retention_secs: Option<u64>,
    /// Owner on the mount, if any.
    pub uid: Option<Option<u32>>,
    /// Group on the mount, if any.
    pub gid: Option<Option<u32>>,
}

impl Hsm {
    /// Does `act` once more, over the slot as it then is, when another process changed it meanwhile.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn again_if_changed<T>(&self, act: impl Fn() -> Result<T>) -> Result<T> {
        match act() {
            Err(error) if error.is_changed() => {
                self.refresh()?;
                act()
            }
            outcome => outcome,
        }
    }
}

impl Partition<'_> {
    /// Destroys every object of a slot, and what is in its trash; how many objects there were. The crypto officer's.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::RoleNeeded`], [`Error::ReadOnly`], or what the disk says.
    pub fn clear(&self) -> Result<u64> {
        let slot = self.slot;
        self.writer()?;
        let objects = self.hsm.again_if_changed(|| {
            let version = self.writer()?.row().as_version();
            Ok(self.hsm.store.clear_slot(version)?)
        })?;
        log::info!("slot {slot}: its {objects} objects were destroyed");
        Ok(objects)
    }

    /// Destroys a partition with everything in it; how many objects there were. The partition officer's.
    ///
    /// # Errors
    /// As [`Self::clear_partition`].
    pub fn delete(&self) -> Result<u64> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let objects = self.hsm.store.delete_slot(session.row().as_version())?;
        self.hsm
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&slot);
        log::info!("slot {slot}: its partition was deleted, with {objects} objects");
        Ok(objects)
    }

    /// What marks the partition in `slot`, whether its row can be read or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark(&self) -> Result<Option<PartitionMark>> {
        Ok(self.hsm.store.mark(self.slot)?)
    }

    /// Destroys a partition that is too damaged for anybody to log in to. Nobody has to: `partition init` would do the
    /// same.
    ///
    /// # Errors
    /// [`Error::SlotChanged`] when another partition is there than `marked`, or what the disk says.
    pub fn delete_damaged(&self, marked: PartitionMark) -> Result<()> {
        let slot = self.slot;
        self.hsm.store.delete_marked_slot(slot, marked)?;
        log::warn!("slot {slot}: its damaged partition was deleted");
        Ok(())
    }

    /// Changes settings; the partition as it is then. The partition officer's.
    ///
    /// # Errors
    /// As [`Self::clear_partition`].
    pub fn set(&self, settings: Settings) -> Result<SlotRow> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let mut change = self.hsm.change_of(&session)?;
        let row = &mut change.row;
        row.retention_secs = settings.retention_secs.unwrap_or(row.retention_secs);
        row.uid = settings.uid.unwrap_or(row.uid);
        row.gid = settings.gid.unwrap_or(row.gid);
        self.hsm.commit_change(&session, change)?;
        let row = self.row()?;
        log::info!(
            "slot {slot}: removed objects are kept for {} s; uid {:?}, gid {:?}",
            row.retention_secs,
            row.uid,
            row.gid
        );
        Ok(row)
    }

    /// Sets policies, all of them or none; how many objects that destroyed ([`Policy::is_destructive`]). The partition
    /// officer's.
    ///
    /// # Errors
    /// [`Error::Policy`] for a value that a policy does not take here, else as [`Self::clear_partition`].
    pub fn change_policies(&self, changes: &[(Policy, u32)]) -> Result<u64> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let kind = session.row().kind;
        let before = session.policies();
        let mut after = before;
        let mut change = self.hsm.change_of(&session)?;
        for (policy, value) in changes {
            after = policy.set(after, *value, kind).map_err(|why| {
                let policy = policy.number();
                SlotError::Policy { policy, why }.at(slot)
            })?;
            if policy.is_destructive(before, *value) {
                change.objects = Objects::Destroy;
            }
        }
        change.row.policies = after;
        let destroyed = self.hsm.commit_change(&session, change)?.destroyed;
        for (policy, value) in changes {
            log::info!("slot {slot}: policy {} is now {value}", policy.number());
        }
        Ok(destroyed)
    }
}
