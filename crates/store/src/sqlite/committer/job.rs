//! One write, from being queued to being answered.

use super::{Tx, Work};
use crate::sqlite::{Reply, Result};

pub(crate) trait Job: Send {
    /// Does the work; whether to keep it.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Replies with the work's own outcome, or with the error of the transaction around it.
    fn finish(self: Box<Self>, committed: Result<()>);
}

/// `work` with the `reply` that its caller waits for.
pub(crate) fn job<T: Send + 'static>(work: impl Work<T>, reply: impl Reply<T>) -> Box<dyn Job> {
    Box::new(Write {
        work: Some(work),
        outcome: None,
        reply,
    })
}

struct Write<T, W, R> {
    work: Option<W>,
    outcome: Option<Result<T>>,
    reply: R,
}

impl<T, W, R> Job for Write<T, W, R>
where
    T: Send,
    W: FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    R: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        self.outcome = self.work.take().map(|work| work(tx));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => (self.reply)(outcome),
            // A write that failed by itself keeps its own error.
            (Err(_), Some(Err(own))) => (self.reply)(Err(own)),
            (Err(error), _) => (self.reply)(Err(error)),
            // Every committed write was run. Should that break, the caller takes the dropped reply for a failure.
            (Ok(()), None) => log::error!("a write was committed without being done"),
        }
    }
}
