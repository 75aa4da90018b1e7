//! Telling cheaply that nothing was committed.

use std::thread;

use crate::mark::{State, StateMark};
use crate::sqlite::committer::Committer;
use crate::sqlite::fault::{self, sql};
use crate::sqlite::{Result, Store, lock};

/// How often the wal-index is read again because another thread or process is writing it.
const MOST_READS: u32 = 16;

impl Store {
    pub fn mark_of_state(&self) -> Result<StateMark> {
        if !self.identity.has_log() {
            return Ok(StateMark(State::Fixed));
        }
        for _ in 0..MOST_READS {
            match self.identity.index() {
                Ok(Some(index)) => return Ok(StateMark(State::Log(index.header()))),
                Ok(None) => thread::yield_now(),
                // SQLite reports below what is wrong with it.
                Err(_) => break,
            }
        }
        let own = self.committer.as_ref().map_or(0, Committer::commits);
        let watch = lock(&self.watch);
        let others = fault::data_version(&watch.connection).map_err(sql(&self.path))?;
        Ok(StateMark(State::Commits { own, others }))
    }
}

#[cfg(test)]
mod tests {
    use crate::sqlite::{Access, Store};

    #[test]
    fn a_mark_changes_with_each_commit_of_whatever_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (one, other) = (
            Store::open_or_create(&path).unwrap(),
            Store::open(&path, Access::ReadWrite).unwrap(),
        );
        let reader = Store::open(&path, Access::ReadOnly).unwrap();
        let marks = || [&one, &other, &reader].map(|it| it.mark_of_state().unwrap());
        let mut before = marks();
        assert_eq!(before, marks());
        for writer in [&one, &other, &one] {
            writer
                .write_now(|tx| {
                    tx.execute("UPDATE store SET created_secs = created_secs + 1", [])?;
                    Ok(())
                })
                .unwrap();
            let now = marks();
            assert!(before.iter().zip(&now).all(|(before, now)| before != now));
            assert_eq!(now, marks());
            before = now;
        }
    }
}
