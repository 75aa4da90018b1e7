//! Which partition is at a slot: the place outlives what was in it, and so do open files.

use super::{Error, Result, SlotFault};
use super::{Hsm, Partition};
use slotfs_object::SlotId;
use slotfs_store as store;

/// One partition, told from those that were at its slot before and will be after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionId {
    /// Where it is.
    pub slot: SlotId,
    /// Its serial.
    pub serial: u64,
}

impl Hsm {
    /// Whether `partition` is still at its slot, whoever is logged in. What other processes did is taken in first.
    ///
    /// # Errors
    /// [`Error::Gone`], or when the store cannot be read.
    pub fn check_partition(&self, partition: PartitionId) -> Result<()> {
        self.refresh_unless_fresh()?;
        self.check_partition_as_known(partition)
    }

    /// Whether `partition` is still at its slot by what this process knows: what others did may not be taken in yet.
    ///
    /// # Errors
    /// As [`Self::check_partition`].
    pub fn check_partition_as_known(&self, partition: PartitionId) -> Result<()> {
        self.store.not_lost()?;
        let now = match self.partition(partition.slot).id() {
            Ok(now) => now.serial,
            Err(_) => match self.store.slot(partition.slot) {
                Err(store::Error::Slot {
                    why: SlotFault::Missing,
                    ..
                }) => return Err(Error::Gone),
                row => row?.serial,
            },
        };
        match now == partition.serial {
            true => Ok(()),
            false => Err(Error::Gone),
        }
    }
}

impl Partition<'_> {
    /// The partition that is logged in to at `slot`.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`]
    pub fn id(&self) -> Result<PartitionId> {
        Ok(self.session()?.partition())
    }
}
