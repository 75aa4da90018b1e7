//! What every view of one store in this process shares.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use super::{Hsm, Journal, keys, seen, whereabouts};
use slotfs_store::Store;

/// The store, and what is known of it, whoever is logged in.
pub struct Shared {
    pub(super) store: Store,
    /// Held while sessions are compared with the store, so that no request runs ahead of the comparison.
    pub(super) refreshing: Mutex<()>,
    /// When that was last done, microseconds since `opened`.
    pub(super) refreshed: AtomicU64,
    pub(super) opened: Instant,
    pub(super) journal: Journal,
    pub(super) fingerprints: whereabouts::Fingerprints,
    pub(super) seen: seen::Seen,
    /// Which cluster was seen at the store's location.
    pub(super) located: seen::Seen,
    pub(super) keys: Arc<keys::Keys>,
    pub(super) views: Mutex<Vec<Weak<Hsm>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.remember_cluster();
    }
}
