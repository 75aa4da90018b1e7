//! Telling the kernel that something it remembers has changed.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use fuser::{INodeNo, Notifier};

use super::node::Node;

/// Sends invalidations.
///
/// Attributes are invalidated at once. A name is invalidated from a thread of its own: the kernel takes the
/// folder's lock for it, which the request being answered may hold.
#[derive(Clone)]
pub struct Invalidator {
    notifier: Arc<OnceLock<Notifier>>,
    names: mpsc::Sender<(INodeNo, OsString)>,
}

impl Invalidator {
    /// Starts the thread; nothing is sent before [`Self::connect`].
    pub fn start() -> std::io::Result<Self> {
        let notifier: Arc<OnceLock<Notifier>> = Arc::default();
        let (names, queue) = mpsc::channel::<(INodeNo, OsString)>();
        let of_thread = Arc::clone(&notifier);
        thread::Builder::new()
            .name("invalidator".into())
            .spawn(move || {
                for (parent, name) in queue {
                    if let Some(notifier) = of_thread.get()
                        && let Err(why) = notifier.inval_entry(parent, &name)
                    {
                        log::debug!("a name was not invalidated: {why}");
                    }
                }
            })?;
        Ok(Self { notifier, names })
    }

    /// The mount's own notifier, once there is a mount.
    pub fn connect(&self, notifier: Notifier) {
        // Set once, by the one who mounts.
        let _ = self.notifier.set(notifier);
    }

    /// Forgets what `name` in `parent` is.
    pub fn name(&self, parent: Node, name: OsString) {
        // The thread ends only with the process.
        let _ = self.names.send((parent.ino(), name));
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
