//! One session: what it is, and the operations and the search that run in it.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slotfs_object::{Ouid, SlotId};
use slotfs_wire::Operation as Kind;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::memory::{Account, Held};
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
    /// The keys of the last starts.
    pub(crate) keys: BTreeMap<Kind, Ouid>,
    /// What all of it takes.
    pub(crate) memory: Held,
}

/// An operation that runs.
pub(crate) struct Running {
    pub(crate) operation: Operation,
    /// Whether the key asks for the PIN again, and it was not given yet (`CKA_ALWAYS_AUTHENTICATE`).
    pub(crate) awaits_pin: bool,
    /// Whether a private key or a private object takes part: it ends at a logout.
    pub(crate) is_private: bool,
    /// What the parameter of its mechanism takes, bytes.
    pub(crate) parameter_bytes: usize,
}

/// What a search found, and how much of it was fetched.
pub(crate) struct Search {
    pub(crate) found: Vec<u64>,
    pub(crate) next: usize,
}

impl Session {
    /// # Errors
    /// `CKR_DEVICE_MEMORY`
    pub(crate) fn new(
        handle: u64,
        slot: SlotId,
        serial: Option<u64>,
        read_write: bool,
        account: &Account,
    ) -> Result<Self> {
        let mut memory = account.holder();
        memory.make_room(OF_A_SESSION)?;
        Ok(Self {
            handle,
            slot,
            serial,
            read_write,
            work: Mutex::new(Work {
                memory,
                ..Work::default()
            }),
        })
    }

    pub(crate) fn work(&self) -> Turn<'_> {
        Turn(self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A turn with the work of a session. At its end, what the work takes is counted anew.
pub(crate) struct Turn<'a>(MutexGuard<'a, Work>);

impl Deref for Turn<'_> {
    type Target = Work;
    fn deref(&self) -> &Work {
        &self.0
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        &mut self.0
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let bytes = self.0.bytes();
        self.0.memory.set(bytes);
    }
}

/// What a session takes without its operations, about, bytes.
const OF_A_SESSION: usize = 1 << 10;
/// What the library makes for an operation, about, bytes.
pub(crate) const OF_AN_OPERATION: usize = 2 << 10;

impl Work {
    /// What it takes now, bytes.
    fn bytes(&self) -> usize {
        let running = self.operations.values();
        let running: usize = running
            .map(|it| OF_AN_OPERATION + it.parameter_bytes + it.operation.held_bytes())
            .sum();
        let found = self.search.as_ref().map_or(0, |it| it.found.len());
        let output = self.output.as_ref().map_or(0, |(_, it)| it.capacity());
        OF_A_SESSION + running + found * size_of::<u64>() + output
    }
}
