//! One open file that a blob comes in by: what it is opened for, and its state.

use std::ffi::OsString;
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::Incoming;
use crate::fs::lock;
use crate::fs::node::AliasId;
use crate::hsm::{PartitionId, Wish, asker};
use crate::object::SlotId;

/// A file open for writing under the name of an object, `new` or an alias.
pub struct IncomingFile {
    /// The partition that it was opened in, the only one that may take the blob.
    pub partition: PartitionId,
    /// The name that the object is to have.
    pub wish: Wish,
    /// The alias that it is written under, where it is one.
    pub alias: OnceLock<(AliasId, OsString)>,
    /// The user who opened it. The kernel does not say who sends the last close.
    asker: Option<u32>,
    state: Mutex<Incoming>,
}

impl IncomingFile {
    /// Opens it with nothing written yet.
    pub fn new(partition: PartitionId, wish: Wish, incoming: Incoming) -> Self {
        Self {
            partition,
            wish,
            alias: OnceLock::new(),
            asker: asker::current(),
            state: Mutex::new(incoming),
        }
    }

    /// The slot that is to take the blob.
    pub fn slot(&self) -> SlotId {
        self.partition.slot
    }

    /// The alias that it is written under.
    pub fn alias_id(&self) -> Option<AliasId> {
        self.alias.get().map(|(id, _)| *id)
    }

    /// The user who opened it.
    pub fn asker(&self) -> Option<u32> {
        self.asker
    }

    /// Its name in the log. An alias is quoted and escaped, so that it cannot forge a line.
    pub fn name(&self) -> String {
        match self.alias.get() {
            Some((_, name)) => format!("{name:?}"),
            None => self.wish.to_string(),
        }
    }

    /// Locks the state.
    pub fn lock(&self) -> MutexGuard<'_, Incoming> {
        lock(&self.state)
    }
}
