//! One question for all who wait for its answer.

use std::sync::{Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::lock;
use crate::error::{Error, Result};

/// How often a thread that must not wait looks again.
const LOOK: Duration = Duration::from_millis(5);

/// Lets one thread ask, and those that come meanwhile share what it finds, its failure too: they would otherwise ask one
/// after the other, and the last one would wait for as many deadlines as there are threads.
#[derive(Default)]
pub(super) struct Gate(Mutex<Option<(Instant, Error)>>);

impl Gate {
    /// What is `known`, or what `ask` finds when nobody else has found it meanwhile. Fails at once within `still` of the last
    /// failure.
    ///
    /// # Errors
    /// Those of `ask`, perhaps that of another thread.
    pub(super) fn pass<T>(
        &self,
        still: Duration,
        known: impl FnMut() -> Option<T>,
        ask: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.pass_since(Instant::now(), still, known, ask)
    }

    /// The same for a thread that has little time: it waits for the question of another one for `time` at the most, and then
    /// finds `None`; and that it fails is no failure of the others.
    pub(super) fn pass_briefly<T>(
        &self,
        time: Duration,
        mut known: impl FnMut() -> Option<T>,
        ask: impl FnOnce() -> Result<T>,
    ) -> Option<Result<T>> {
        let until = Instant::now() + time;
        let mut failed = loop {
            if let Some(known) = known() {
                return Some(Ok(known));
            }
            match self.0.try_lock() {
                Ok(turn) => break turn,
                Err(TryLockError::Poisoned(turn)) => break turn.into_inner(),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            }
        };
        // Who asked before may have found it in the meantime.
        if let Some(known) = known() {
            return Some(Ok(known));
        }
        let outcome = ask();
        if outcome.is_ok() {
            *failed = None;
        }
        Some(outcome)
    }

    /// The same for a thread that came at `came`.
    fn pass_since<T>(
        &self,
        came: Instant,
        still: Duration,
        mut known: impl FnMut() -> Option<T>,
        ask: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut failed = lock(&self.0);
        if let Some(known) = known() {
            return Ok(known);
        }
        if let Some((when, why)) = failed.as_ref()
            && (*when >= came || when.elapsed() < still)
        {
            return Err(why.clone());
        }
        let outcome = ask();
        *failed = outcome
            .as_ref()
            .err()
            .map(|why| (Instant::now(), why.clone()));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn who_waits_shares_the_failure_and_who_comes_later_asks() {
        const AT_ONCE: Duration = Duration::ZERO;
        let (gate, asked) = (Gate::default(), Cell::new(0));
        let ask = || {
            asked.set(asked.get() + 1);
            Err::<i32, _>(Error::Damaged("no answer".to_owned()))
        };
        let came = Instant::now();
        assert!(gate.pass_since(came, AT_ONCE, || None, ask).is_err());
        // It came before that failed, and waited.
        assert!(gate.pass_since(came, AT_ONCE, || None, ask).is_err());
        assert_eq!(asked.get(), 1);
        // It came later, and failures count for a while.
        let hour = Duration::from_secs(3600);
        assert!(gate.pass(hour, || None, ask).is_err());
        assert_eq!(asked.get(), 1);
        assert!(gate.pass(AT_ONCE, || None, ask).is_err());
        assert_eq!(asked.get(), 2);
        // What is known is not asked for, and an answer ends the failure.
        assert_eq!(gate.pass(hour, || Some(7), ask).unwrap(), 7);
        assert_eq!(gate.pass(AT_ONCE, || None, || Ok(8)).unwrap(), 8);
        assert!(gate.pass(hour, || None, ask).is_err());
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn who_has_little_time_waits_for_nobody_and_fails_alone() {
        let gate = Gate::default();
        let failing = || Err::<i32, _>(Error::Damaged("no answer".to_owned()));
        let brief = |ask: &dyn Fn() -> Result<i32>| gate.pass_briefly(LOOK, || None, ask);
        assert!(brief(&failing).unwrap().is_err());
        // That is no reason for others to fail at once.
        let hour = Duration::from_secs(3600);
        assert_eq!(gate.pass(hour, || None, || Ok(1)).unwrap(), 1);
        let turn = lock(&gate.0);
        assert!(brief(&|| Ok(2)).is_none());
        assert_eq!(
            gate.pass_briefly(LOOK, || Some(3), failing)
                .unwrap()
                .unwrap(),
            3
        );
        drop(turn);
        assert!(gate.pass(hour, || None, failing).is_err());
        assert_eq!(brief(&|| Ok(4)).unwrap().unwrap(), 4);
        assert_eq!(gate.pass(hour, || None, || Ok(5)).unwrap(), 5);
    }
}
