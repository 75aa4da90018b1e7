//! What is open belongs to the partition that it was opened in, and ends with it: a descriptor never shows, nor
//! writes to, what is at the slot afterwards.

use std::sync::Arc;

use fuser::FileHandle;

use super::Inner;
use super::handles::{OpenFile, lock};
use crate::error::Result;
use crate::hsm::PartitionId;

impl OpenFile {
    /// The partition that it is of, if of any.
    fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::Object(_, blob) => Some(blob.partition()),
            Self::Incoming(incoming) => lock(incoming).partition(),
            Self::Staging(file) => file.partition(),
            Self::Text(_, partition) => *partition,
            Self::Message(..) => None,
        }
    }
}

impl Inner {
    /// The open file of a request that shows what is in it.
    ///
    /// # Errors
    /// EBADF; ESTALE when its partition is gone.
    pub(super) fn opened(&self, fh: FileHandle) -> Result<Arc<OpenFile>, i32> {
        let open = self.files.get(fh).ok_or(libc::EBADF)?;
        self.check_belongs(&open).map_err(|error| error.errno())?;
        Ok(open)
    }

    /// The open file of a request that shows nothing of it. It may miss what another process did to the partition a moment
    /// ago: the slot looks again when it stores what was written.
    ///
    /// # Errors
    /// Those of [`Self::opened`].
    pub(super) fn opened_for_writing(&self, fh: FileHandle) -> Result<Arc<OpenFile>, i32> {
        let open = self.files.get(fh).ok_or(libc::EBADF)?;
        self.check_belongs_as_known(&open)
            .map_err(|error| error.errno())?;
        Ok(open)
    }

    /// Whether the partition of `open` is still there.
    ///
    /// # Errors
    /// [`crate::error::Error::Gone`], or when the store cannot be read.
    pub(super) fn check_belongs(&self, open: &OpenFile) -> Result<()> {
        match open.partition() {
            Some(partition) => Ok(self.hsm.check_partition(partition)?),
            None => Ok(()),
        }
    }

    /// The same by what this process knows.
    ///
    /// # Errors
    /// Those of [`Self::check_belongs`].
    pub(super) fn check_belongs_as_known(&self, open: &OpenFile) -> Result<()> {
        match open.partition() {
            Some(partition) => Ok(self.hsm.check_partition_as_known(partition)?),
            None => Ok(()),
        }
    }
}
