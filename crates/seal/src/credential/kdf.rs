//! Argon2id (RFC 9106), with its memory wiped and its use bounded.

use std::sync::{Condvar, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

use slotfs_object::sealed::KdfParams;
use slotfs_object::secret::Key;

/// At most this many runs at once: each takes up to 1 GiB.
const MOST_RUNS: usize = 2;

/// Why Argon2 did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfError {
    /// The parameters are outside the accepted range.
    Cost,
    /// Not enough memory.
    Memory,
    /// No random numbers for a salt.
    Random(getrandom::Error),
}

/// Argon2id 0x13 of `secret`, 32 bytes. Waits while two others run.
///
/// # Errors
/// [`KdfError`]
pub fn argon2id(secret: &[u8], salt: &[u8], cost: KdfParams) -> Result<Key, KdfError> {
    if !cost.is_sane() {
        return Err(KdfError::Cost);
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| KdfError::Cost)?;
    let _permit = Permit::take();
    let mut memory = WipedBlocks::new(params.block_count()).ok_or(KdfError::Memory)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut outcome = Ok(());
    let key = Key::make(|key| {
        outcome = argon2.hash_password_into_with_memory(secret, salt, key, &mut memory.0[..]);
    });
    outcome.map(|()| key).map_err(|_| KdfError::Cost)
}

/// Whether the memory for one run is available now. A later shortage is an error of the run itself.
pub(super) fn has_memory(cost: KdfParams) -> bool {
    // Parameters that are not accepted are a different error, and need no memory.
    !cost.is_sane()
        || Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).is_ok_and(|params| {
            let mut blocks: Vec<Block> = Vec::new();
            blocks.try_reserve_exact(params.block_count()).is_ok()
        })
}

/// A buffer of its own: it is wiped, and its allocation may fail without a panic.
struct WipedBlocks(Vec<Block>);

impl WipedBlocks {
    fn new(count: usize) -> Option<Self> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).ok()?;
        blocks.resize(count, Block::default());
        Some(Self(blocks))
    }
}

impl Drop for WipedBlocks {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

static RUNNING: Mutex<usize> = Mutex::new(0);
static FINISHED: Condvar = Condvar::new();

/// The permission to run one Argon2.
struct Permit;

impl Permit {
    fn take() -> Self {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = FINISHED
            .wait_while(running, |running| *running >= MOST_RUNS)
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FINISHED.notify_one();
    }
}
