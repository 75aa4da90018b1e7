//! Telling cheaply that nothing was committed.

use std::time::Instant;

use crate::committer::Committer;
use crate::fault::{self, sql};
use crate::{FRESH_FOR, Result, Store, lock};

/// A state of the store. Two that are equal have nothing committed between them, by whatever process, but for what other
/// processes committed within [`FRESH_FOR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMark {
    /// Commits of this process.
    own: u64,
    /// SQLite's number for those of others.
    others: i64,
}

/// When a mark was last read.
pub(crate) struct Marked {
    mark: StateMark,
    at: Instant,
}

impl Store {
    /// The state of the store now. Most often it costs no statement.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark_of_state(&self) -> Result<StateMark> {
        let own = self.committer.as_ref().map_or(0, Committer::commits);
        let at = Instant::now();
        let mut last = lock(&self.marked);
        if let Some(last) = &*last
            && last.mark.own == own
            && at.duration_since(last.at) < FRESH_FOR
        {
            return Ok(last.mark);
        }
        let watch = lock(&self.watch);
        let others = fault::data_version(&watch.connection).map_err(sql(&self.path))?;
        let mark = StateMark { own, others };
        *last = Some(Marked { mark, at });
        Ok(mark)
    }
}
