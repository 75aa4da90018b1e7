//! Logging out when nobody has given a command for some time.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::Kept;
use crate::error::{Error, Result};

/// How often the clock is looked at: the machine may have slept meanwhile.
const STEP: Duration = Duration::from_secs(1);

/// An idle time, as in `15`, `15m`, `90s`, `2h`; whole minutes where nothing is said, 0 is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(Duration);

impl Default for Period {
    fn default() -> Self {
        Self(Duration::from_secs(15 * 60))
    }
}

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let seconds = match &text[digits.len()..] {
            "s" => 1,
            "" | "m" => 60,
            "h" => 3600,
            _ => return Err("it is a number and s, m or h, such as 90s or 15m".into()),
        };
        digits
            .parse::<u32>()
            .map(|count| Self(Duration::from_secs(u64::from(count) * seconds)))
            .map_err(|_| "it is a number and s, m or h, such as 90s or 15m".into())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
            _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
            _ => (seconds, "second"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

#[derive(Default)]
struct State {
    /// Since when a command is waited for, by both clocks: one stops while the machine sleeps, the other may be set.
    waiting: Option<(Instant, SystemTime)>,
    /// Somebody was logged out, and was not told.
    untold: bool,
    over: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    limit: Duration,
    kept: Arc<Kept>,
}

/// Watches the time between commands; nothing to watch when the period is 0.
pub struct Idle {
    watch: Option<(Arc<Shared>, JoinHandle<()>)>,
    period: Period,
}

impl Idle {
    /// Begins to watch over what `kept` has open.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn watch(period: Period, kept: Arc<Kept>) -> Result<Self> {
        let watch = match period.0 {
            Duration::ZERO => None,
            limit => {
                let shared = Arc::new(Shared {
                    state: Mutex::default(),
                    changed: Condvar::new(),
                    limit,
                    kept,
                });
                let watcher = Arc::clone(&shared);
                let thread = std::thread::Builder::new()
                    .name("idle".into())
                    .spawn(move || watcher.run())
                    .map_err(|source| {
                        Error::Usage(format!(
                            "the idle time cannot be watched: {source}; --idle 0 does without"
                        ))
                    })?;
                Some((shared, thread))
            }
        };
        Ok(Self { watch, period })
    }

    /// A command is waited for from now on.
    pub fn waiting(&self) {
        if let Some((shared, _)) = &self.watch {
            shared.state().waiting = Some((Instant::now(), SystemTime::now()));
            shared.changed.notify_one();
        }
    }

    /// A command was given: what its giver is to be told.
    pub fn given(&self) -> Option<String> {
        let (shared, _) = self.watch.as_ref()?;
        let mut state = shared.state();
        // A machine that slept may give the command before the watcher looked at the clock.
        shared.log_out_if_over(&mut state);
        state.waiting = None;
        std::mem::take(&mut state.untold)
            .then(|| format!("Logged out after {} without a command.\n", self.period))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some((shared, thread)) = self.watch.take() {
            shared.state().over = true;
            shared.changed.notify_one();
            // It holds nothing that its panic could have spoiled.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.state();
        while !state.over {
            state = match self.log_out_if_over(&mut state) {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.changed
                        .wait_timeout(state, left.min(STEP))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// How long there is left, when a command is waited for and the time is not over.
    fn log_out_if_over(&self, state: &mut State) -> Option<Duration> {
        let (since, then) = state.waiting?;
        let asleep_too = then.elapsed().unwrap_or_default();
        let left = self.limit.checked_sub(since.elapsed().max(asleep_too));
        if left.is_none_or(|left| left.is_zero()) {
            state.waiting = None;
            state.untold |= self.kept.hsm().is_some_and(|hsm| hsm.logout_all());
            return None;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_told() {
        for (text, told) in [
            ("15", "15 minutes"),
            ("1m", "1 minute"),
            ("90s", "90 seconds"),
            ("60s", "1 minute"),
            ("2h", "2 hours"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string(), told);
        }
        assert_eq!("0".parse(), Ok(Period(Duration::ZERO)));
        for bad in ["", "m", "-1", "1.5", "15 m", "1d", "99999999999"] {
            assert!(bad.parse::<Period>().is_err(), "{bad:?}");
        }
    }
}
