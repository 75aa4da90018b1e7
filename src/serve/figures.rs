//! What the server of this process does at the moment, for `.slotfs/metrics`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Shared;
use crate::hsm::Hsm;

/// The server of this process. A process has one at most.
static SERVER: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

/// Figures of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) connections: u64,
    pub(crate) applications: u64,
    pub(crate) sessions: u64,
    /// Since the server began.
    pub(crate) requests: u64,
}

/// Makes this the server whose figures are shown.
pub(super) fn show(shared: &Arc<Shared>) {
    *SERVER.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(shared);
}

/// The figures of the server of `hsm` in this process, if it has one that has not ended.
pub(crate) fn figures(hsm: &Arc<Hsm>) -> Option<Figures> {
    use std::sync::atomic::Ordering;
    let shared = SERVER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .upgrade()?;
    if !Arc::ptr_eq(&shared.hsm, hsm) || shared.closing.load(Ordering::Acquire) {
        return None;
    }
    let (applications, sessions) = shared.applications.count();
    Some(Figures {
        connections: shared.seats.count(),
        applications,
        sessions,
        requests: shared.requests.load(Ordering::Relaxed),
    })
}
