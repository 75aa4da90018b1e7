//! Logs out when no command was given for some time.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::Kept;
use crate::error::{Error, Result};

/// How often the clock is read: the machine may have slept meanwhile.
const STEP: Duration = Duration::from_secs(1);

/// An idle time, such as `15`, `15m`, `90s`, `2h`; minutes without a unit, 0 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(Duration);

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
    /// Since when the shell waits for a command, by two clocks: one stops while the machine sleeps, the other may be set.
    waiting: Option<(Instant, SystemTime)>,
    /// A role was logged out, and the user was not told yet.
    untold: bool,
    over: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    limit: Duration,
    kept: Arc<Kept>,
}

/// Watches the time between commands, unless the period is 0.
pub(crate) struct Idle {
    watch: Option<(Arc<Shared>, JoinHandle<()>)>,
    period: Period,
}

impl Idle {
    /// Begins to watch for the logins of `kept`.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(crate) fn watch(period: Period, kept: Arc<Kept>) -> Result<Self> {
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
                            "the idle time cannot be watched: {source}; use --idle 0 to run without it"
                        ))
                    })?;
                Some((shared, thread))
            }
        };
        Ok(Self { watch, period })
    }

    /// From now on the shell waits for a command.
    pub(crate) fn waiting(&self) {
        if let Some((shared, _)) = &self.watch {
            shared.state().waiting = Some((Instant::now(), SystemTime::now()));
            shared.changed.notify_one();
        }
    }

    /// A command was given. What to tell the user.
    pub(crate) fn given(&self) -> Option<String> {
        let (shared, _) = self.watch.as_ref()?;
        let mut state = shared.state();
        // After a sleep of the machine, the command may come before the watcher has read the clock.
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
            // A panic leaves nothing in it inconsistent.
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

    /// How long is left, when the shell waits for a command and the time is not over.
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
