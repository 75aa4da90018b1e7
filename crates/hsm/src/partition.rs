//! A partition as a whole: told from others, emptied, deleted, its settings and policies changed.

use super::amend::Change;
use super::policy::{Policies, Policy};
use super::{Error, Hsm, Partition, PartitionMark, Result, Role, SlotError, SlotId, SlotRow};
use slotfs_store::Objects;

/// One partition, told from those that were at its slot before and those that will be there after it. Files that are
/// open outlive a partition; the slot does too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionId {
    /// Where it is.
    pub slot: SlotId,
    /// Its serial.
    pub serial: u64,
}

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
    /// Repeats `act` once, with the slot as it then is, when another process changed the slot meanwhile.
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

    /// Whether `partition` is still at its slot, whoever is logged in. Takes in first what other processes did.
    ///
    /// # Errors
    /// [`Error::Gone`], or when the store cannot be read.
    pub fn check_partition(&self, partition: PartitionId) -> Result<()> {
        self.refresh_unless_fresh()?;
        self.check_partition_as_known(partition)
    }

    /// Whether `partition` is still at its slot, as far as this process knows: it may not have taken in yet what others
    /// did.
    ///
    /// # Errors
    /// As [`Self::check_partition`].
    pub fn check_partition_as_known(&self, partition: PartitionId) -> Result<()> {
        self.store.not_lost()?;
        let there = self.partition(partition.slot);
        let now = match there.id() {
            Ok(now) => now.serial,
            Err(_) => match there.row() {
                Err(error) if error.is_no_such_slot() => return Err(Error::Gone),
                row => row?.serial,
            },
        };
        (now == partition.serial).then_some(()).ok_or(Error::Gone)
    }
}

impl Partition<'_> {
    /// The partition that is logged in to.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`]
    pub fn id(&self) -> Result<PartitionId> {
        Ok(self.session()?.partition())
    }

    /// Destroys every object of a slot, and what is in its trash; how many objects there were. The crypto officer's.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::RoleNeeded`], [`SlotError::ReadOnly`], or when the store cannot be written.
    pub fn clear(&self) -> Result<u64> {
        let slot = self.slot;
        self.writer()?;
        let objects = self.hsm.again_if_changed(|| {
            let version = self.writer()?.row().as_version();
            Ok(self.hsm.store.clear_slot(version)?)
        })?;
        self.hsm.keys.forget(slot);
        log::info!("slot {slot}: its {objects} objects were destroyed");
        Ok(objects)
    }

    /// Destroys a partition with everything in it; how many objects there were. The partition officer's.
    ///
    /// # Errors
    /// As [`Self::clear`].
    pub fn delete(&self) -> Result<u64> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let objects = self.hsm.store.delete_slot(session.row().as_version())?;
        self.hsm.sessions_mut().remove(&slot);
        self.hsm.keys.forget(slot);
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

    /// Destroys a partition that is too damaged for a login. It needs none: `partition init` would do the same.
    ///
    /// # Errors
    /// [`SlotFault::Changed`](super::SlotFault::Changed) when another partition is there than `marked`, or when the
    /// store cannot be written.
    pub fn delete_damaged(&self, marked: PartitionMark) -> Result<()> {
        let slot = self.slot;
        self.hsm.store.delete_marked_slot(slot, marked)?;
        log::warn!("slot {slot}: its damaged partition was deleted");
        Ok(())
    }

    /// Changes settings; the partition as it is then. The partition officer's.
    ///
    /// # Errors
    /// As [`Self::clear`].
    pub fn set(&self, settings: Settings) -> Result<SlotRow> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        self.hsm.amend(&session, |Change { row, .. }| {
            row.retention_secs = settings.retention_secs.unwrap_or(row.retention_secs);
            row.uid = settings.uid.unwrap_or(row.uid);
            row.gid = settings.gid.unwrap_or(row.gid);
            Ok(())
        })?;
        let row = self.row()?;
        log::info!(
            "slot {slot}: removed objects are kept for {} s; uid {:?}, gid {:?}",
            row.retention_secs,
            row.uid,
            row.gid
        );
        Ok(row)
    }

    /// Gives the partition another label. The partition officer's.
    ///
    /// # Errors
    /// [`SlotError::Malformed`] for a label outside the limits, else as [`Self::clear`].
    pub fn set_label(&self, label: &str) -> Result<()> {
        let slot = self.slot;
        super::check_label(slot, label)?;
        let session = self.officer(&[Role::Po])?;
        self.hsm.amend(&session, |change| {
            label.clone_into(&mut change.row.label);
            Ok(())
        })?;
        log::info!(
            "slot {slot}: the label of its partition is now '{}'",
            slotfs_object::show::escape(label)
        );
        Ok(())
    }

    /// Sets policies, all of them or none; how many objects that destroyed ([`Policy::is_destructive`]). The partition
    /// officer's.
    ///
    /// # Errors
    /// [`SlotError::Policy`] for a value that a policy does not take here, else as [`Self::clear`].
    pub fn change_policies(&self, changes: &[(Policy, u32)]) -> Result<u64> {
        let slot = self.slot;
        let session = self.officer(&[Role::Po])?;
        let before = session.policies();
        let changed = self.hsm.amend(&session, |change| {
            change.row.policies = with(&change.row, changes)?;
            let mut all = changes.iter();
            if all.any(|(policy, value)| policy.is_destructive(before, *value)) {
                change.objects = Objects::Destroy;
            }
            Ok(())
        })?;
        for (policy, value) in changes {
            log::info!("slot {slot}: policy {} is now {value}", policy.number());
        }
        Ok(changed.destroyed)
    }

    /// Whether [`Self::change_policies`] would be refused, to tell before a user confirms that objects are destroyed.
    ///
    /// # Errors
    /// Those of [`Self::change_policies`].
    pub fn check_policies(&self, changes: &[(Policy, u32)]) -> Result<()> {
        let session = self.officer(&[Role::Po])?;
        with(session.row(), changes).map(drop)
    }
}

/// The policies of a partition with these changes.
fn with(row: &SlotRow, changes: &[(Policy, u32)]) -> Result<Policies> {
    let mut policies = row.policies;
    for &(policy, value) in changes {
        let set = policy.set(policies, value, row.kind);
        let number = policy.number();
        let policy_fault = |why| SlotError::Policy {
            policy: number,
            why,
        };
        policies = set.map_err(|why| policy_fault(why).at(row.slot))?;
    }
    Ok(policies)
}
