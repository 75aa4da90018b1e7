//! How much key derivation one file may cost.

use std::num::NonZeroU32;

use super::error::{Fault, ImportError};

/// What is left of the rounds of key derivation that one file may cost, which its writer chose. The attack this
/// stops: a small file that keeps the machine busy for days.
pub(super) struct Work {
    left: u64,
    /// What to do about a file that asks for more.
    advice: &'static str,
}

impl Work {
    /// Some seconds. Writers ask for 2,048 (openssl) to 600,000 (OWASP's advice) rounds for each part.
    pub(super) const MAX_ROUNDS: u64 = 10_000_000;

    /// All of it.
    pub(super) fn new() -> Self {
        Self::of(Self::MAX_ROUNDS)
    }

    /// So much of it: fuzzers have no seconds to give.
    pub(super) fn of(rounds: u64) -> Self {
        Self {
            left: rounds.min(Self::MAX_ROUNDS),
            advice: "",
        }
    }

    /// What to say of a part that asks for more than is left.
    pub(super) fn advise(&mut self, advice: &'static str) {
        self.advice = advice;
    }

    /// Takes `rounds`, before they are done.
    pub(super) fn spend(&mut self, rounds: u64) -> Result<NonZeroU32, ImportError> {
        self.left = self
            .left
            .checked_sub(rounds)
            .ok_or(ImportError::Work(Self::MAX_ROUNDS, self.advice))?;
        u32::try_from(rounds)
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or(ImportError::Der {
                what: "key derivation",
                fault: Fault::Value,
                offset: None,
            })
    }
}
