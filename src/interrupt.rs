//! Ctrl-C as a flag to be asked, for commands that stop between one whole act and the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::{SigId, flag, low_level};

/// Watches for SIGINT while it lives. The first is only noted; a second ends the process, as it would
/// have. Afterwards, and until the next watch, SIGINT does nothing.
pub(crate) struct Interrupt {
    pressed: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Interrupt {
    /// Begins to watch. Where the system lets nobody watch, SIGINT goes on to end the process.
    pub(crate) fn watch() -> Self {
        let pressed = Arc::new(AtomicBool::new(false));
        // In this order: the first SIGINT finds the flag not set yet.
        let ids = [
            flag::register_conditional_default(SIGINT, Arc::clone(&pressed)),
            flag::register(SIGINT, Arc::clone(&pressed)),
        ];
        Self {
            pressed,
            ids: ids.into_iter().filter_map(Result::ok).collect(),
        }
    }

    /// Whether Ctrl-C was pressed since.
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

/// From now on SIGINT does not end the process, unless a watch has it do so.
pub(crate) fn survive() {
    // Where that is refused Ctrl-C ends the shell, and every slot is logged out.
    let _ = flag::register(SIGINT, Arc::default());
}
