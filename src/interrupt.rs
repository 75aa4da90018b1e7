//! Turns Ctrl-C into a flag, for commands that stop only between two complete steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::{SigId, flag, low_level};

/// Watches for SIGINT until it is dropped. The first SIGINT sets the flag; the second ends the process, as it does by
/// default. After the drop, SIGINT does nothing until the next watch.
pub(crate) struct Interrupt {
    pressed: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Interrupt {
    /// Begins to watch. If the system refuses, SIGINT still ends the process.
    pub(crate) fn watch() -> Self {
        let pressed = Arc::new(AtomicBool::new(false));
        // The order matters: at the first SIGINT, the conditional default runs before the flag is set.
        let ids = [
            flag::register_conditional_default(SIGINT, Arc::clone(&pressed)),
            flag::register(SIGINT, Arc::clone(&pressed)),
        ];
        Self {
            pressed,
            ids: ids.into_iter().filter_map(Result::ok).collect(),
        }
    }

    /// Whether SIGINT arrived since the watch began.
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// Makes the process ignore SIGINT, except for the second one during a watch.
pub(crate) fn survive() {
    // If the system refuses, Ctrl-C ends the shell and logs every slot out.
    let _ = flag::register(SIGINT, Arc::default());
}
