//! One session: what it is, and the operations and the search that run in it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slotfs_object::SlotId;
use slotfs_wire::Operation as Kind;
use zeroize::Zeroizing;

use crate::operation::Operation;

/// A session. Its handle and its slot never change.
pub(crate) struct Session {
    pub(crate) handle: u64,
    pub(crate) slot: SlotId,
    /// The partition that was there when it was opened; `None` where there was none.
    pub(crate) serial: Option<u64>,
    pub(crate) read_write: bool,
    work: Mutex<Work>,
}

/// What runs in a session. Two calls for one session take turns.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) operations: BTreeMap<Kind, Running>,
    pub(crate) search: Option<Search>,
    /// An output that is too long for a frame, until the module has fetched it.
    pub(crate) output: Option<(Kind, Zeroizing<Vec<u8>>)>,
}

/// An operation that runs.
pub(crate) struct Running {
    pub(crate) operation: Operation,
    /// Whether the key asks for the PIN again, and it was not given yet (`CKA_ALWAYS_AUTHENTICATE`).
    pub(crate) awaits_pin: bool,
    /// Whether a private key or a private object takes part: it ends at a logout.
    pub(crate) is_private: bool,
}

/// What a search found, and how much of it was fetched.
pub(crate) struct Search {
    pub(crate) found: Vec<u64>,
    pub(crate) next: usize,
}

impl Session {
    pub(crate) fn new(handle: u64, slot: SlotId, serial: Option<u64>, read_write: bool) -> Self {
        Self {
            handle,
            slot,
            serial,
            read_write,
            work: Mutex::default(),
        }
    }

    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
