//! A long list, done in batches: each one is prepared while the committer writes the one before it.

use std::ops::ControlFlow;

use super::Result;

/// Entries in the first batch. Each batch after it is twice as large, so that the committer soon has work.
pub(super) const FIRST: usize = 64;
/// Bytes of payload in one batch, so that memory stays small when objects are large.
pub(super) const MOST_BYTES_AT_ONCE: usize = 2 << 20;
/// How often a batch is prepared again because another process changed the slot meanwhile.
pub(super) const MOST_TRIES: usize = 8;

/// Settles each batch of `handed_over` after the next one was handed over, or at once where `one_by_one` says so.
/// Ends with the first error, which may stand beside a batch, or where `settle` breaks. A batch that was handed over is
/// settled in any case.
pub(super) fn settle_all<P, E>(
    handed_over: impl Iterator<Item = (Option<P>, Result<(), E>)>,
    one_by_one: bool,
    mut settle: impl FnMut(P) -> ControlFlow<()>,
) -> Result<(), E> {
    let (mut pending, mut outcome) = (None, Ok(()));
    for (next, prepared) in handed_over {
        let before = std::mem::replace(&mut pending, next);
        let mut ended = before.is_some_and(|before| settle(before).is_break());
        if one_by_one && let Some(now) = pending.take() {
            ended |= settle(now).is_break();
        }
        outcome = prepared;
        if ended || outcome.is_err() {
            break;
        }
    }
    if let Some(last) = pending {
        // It was the last one whatever it says.
        let _ = settle(last);
    }
    outcome
}
