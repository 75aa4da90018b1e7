//! Ctrl-C for commands that must clean up: asked for, not taken by surprise.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, Result};

/// While there is one, SIGINT, SIGTERM and SIGHUP wait to be asked for. To be made before other threads are: they
/// would take the signal.
pub struct Interrupt {
    signals: SignalFd,
    before: SigSet,
}

impl Interrupt {
    /// Holds the signals back from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn watch() -> Result<Self> {
        let ignored = ignored();
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            // Held back, an ignored signal would come after all: nohup, and '&' in scripts, count on that it does not.
            .filter(|signal| ignored & (1 << (*signal as u32 - 1)) == 0)
            .collect();
        let failed = |why: nix::errno::Errno| Error::File {
            path: "signalfd".into(),
            source: why.into(),
        };
        let before = signals
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .map_err(failed)?;
        match SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) {
            Ok(signals) => Ok(Self { signals, before }),
            Err(why) => {
                restore(&before);
                Err(failed(why))
            }
        }
    }

    /// Whether one of them came since it was last asked.
    pub fn came(&self) -> bool {
        matches!(self.signals.read_signal(), Ok(Some(_)))
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

fn restore(mask: &SigSet) {
    if let Err(why) = mask.thread_set_mask() {
        log::warn!("signals stay held back: {why}");
    }
}

/// The signals that this process ignores, bit n - 1 for signal n. Asking sigaction would be unsafe code.
fn ignored() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
