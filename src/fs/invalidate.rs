//! Telling the kernel that something it remembers has changed.

use std::sync::{Arc, OnceLock};

use fuser::Notifier;

use super::Inner;
use super::node::Node;
use crate::object::{RowId, SlotId};

/// Sends invalidations of attributes, never of names. To invalidate a name, the kernel waits for the folder's lock and
/// cannot be interrupted. A request that only this daemon can answer may hold that lock; if the daemon were killed then,
/// neither the daemon nor the mount nor the waiting process could end. Invalid attributes are enough: the kernel asks for
/// them, gets ESTALE if the inode is gone, and then looks the name up again.
#[derive(Clone, Default)]
pub struct Invalidator {
    notifier: Arc<OnceLock<Notifier>>,
}

impl Invalidator {
    /// Sets the mount's notifier; nothing is sent before.
    pub fn connect(&self, notifier: Notifier) {
        // `daemon` calls this once.
        let _ = self.notifier.set(notifier);
    }

    fn attributes(&self, node: Node) {
        // With an offset below 0 the kernel keeps its pages, so this never waits for a lock.
        if let Some(notifier) = self.notifier.get()
            && let Err(why) = notifier.inval_inode(node.ino(), -1, 0)
        {
            log::debug!("attributes were not invalidated: {why}");
        }
    }
}

impl Inner {
    /// The blobs of a slot changed: with the size that the kernel remembers, a copy would be cut short.
    pub(super) fn slot_changed(&self, slot: SlotId) {
        if self.hsm.partition(slot).session().is_err() {
            self.staging.clear(slot);
            self.aliases.clear(slot);
            self.public_sizes.clear(slot);
        }
        self.forget_objects(self.rows(slot));
        // Objects that are open may have been removed.
        self.forget_objects(self.files.opened_rows(slot));
        self.invalidator.attributes(Node::Slot(slot));
    }

    /// The rows of the objects of a slot; none if nobody is logged in.
    pub(super) fn rows(&self, slot: SlotId) -> Vec<RowId> {
        self.hsm.partition(slot).object_ids().unwrap_or_default()
    }

    /// Makes the kernel ask again for the attributes of these objects, under both of their names.
    pub(super) fn forget_objects(&self, rows: impl IntoIterator<Item = RowId>) {
        for row in rows {
            self.invalidator.attributes(Node::Object(row));
            self.invalidator.attributes(Node::Identity(row));
        }
    }
}
