//! Counters of one mount, for `.slotfs/stats`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hsm::Hsm;

macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        /// What is counted.
        #[derive(Default)]
        pub struct Stats {
            $(#[doc = concat!("`", stringify!($name), "`")] pub $name: AtomicU64),+
        }

        impl Stats {
            fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed))),+]
            }
        }
    };
}

counters! {
    lookup, getattr, setattr, open, create, read, write, copy_file_range, flush, fsync, release,
    opendir, readdir, rename, unlink, statfs, mount_id, verdicts_good, verdicts_bad, logins, logins_failed,
}

impl Stats {
    /// Counts one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// `name value` lines: the daemon's pid, every counter, the committer's.
    pub fn text(&self, hsm: &Hsm) -> String {
        let commit = hsm.commit_stats();
        let mut text = format!("pid {}\n", std::process::id());
        for (name, value) in self.rows().into_iter().chain([
            ("commits", commit.commits),
            ("commit_writes", commit.writes),
        ]) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}
