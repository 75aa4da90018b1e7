//! A progress bar for work that takes long, on standard error where that is a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that is done sooner has no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// How far a command has come.
pub(crate) struct Progress {
    total: u64,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Before the first of `total`.
    pub(crate) fn begin(total: u64) -> Self {
        Self {
            total,
            since: Instant::now(),
            bar: None,
        }
    }

    /// After `done` of them, all in all.
    pub(crate) fn show(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.since.elapsed() > BAR_AFTER => {
                let style = ProgressStyle::with_template(
                    "{wide_bar} {human_pos}/{human_len} {elapsed} ({eta} left)",
                );
                let bar = ProgressBar::new(self.total)
                    .with_elapsed(self.since.elapsed())
                    .with_position(done);
                // The template is a constant; without it the default style does.
                self.bar = Some(match style {
                    Ok(style) => bar.with_style(style),
                    Err(_) => bar,
                });
            }
            None => {}
        }
    }

    /// Prints with the bar out of the way.
    pub(crate) fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// After the last: the bar is gone from the terminal.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
