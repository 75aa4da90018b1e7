//! Telling the kernel that something it remembers has changed.

use std::sync::{Arc, OnceLock};

use fuser::Notifier;

use super::node::Node;

/// Sends invalidations: of attributes, never of names. For a name the kernel waits, and cannot be interrupted, for the
/// folder's lock, which a request may hold that only this daemon can answer: killed while it waits, the daemon could
/// not end, nor could the mount, nor whoever made that request. An inode without attributes serves as well: asked for
/// them, who is there no more is ESTALE, and the kernel then looks the name up again.
#[derive(Clone, Default)]
pub struct Invalidator {
    notifier: Arc<OnceLock<Notifier>>,
}

impl Invalidator {
    /// The mount's own notifier, once there is a mount; nothing is sent before.
    pub fn connect(&self, notifier: Notifier) {
        // Set once, by the one who mounts.
        let _ = self.notifier.set(notifier);
    }

    /// Forgets the attributes of `node`. An offset below 0 leaves pages alone, so this never waits on a lock.
    pub fn attributes(&self, node: Node) {
        if let Some(notifier) = self.notifier.get()
            && let Err(why) = notifier.inval_inode(node.ino(), -1, 0)
        {
            log::debug!("attributes were not invalidated: {why}");
        }
    }
}
