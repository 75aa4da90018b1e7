//! A list that is written while the command runs: there may be millions of objects, and each is told as soon as it is
//! durable. So this is not an [`Answer`] but looks at `--json` itself.

use std::io;

use serde_json::Value;

use super::{harmless, json, not_printed, outcome_json, stdout};
use crate::cli::Answer;
use crate::cli::progress::Progress;
use crate::error::Result;

/// The list, with what comes before and after it.
pub(crate) struct Stream {
    json: bool,
    /// What was added and is not written yet.
    pending: String,
    /// Whether the document's list has an element.
    listed: bool,
    progress: Option<Progress>,
    /// Whether the reader of standard output has gone.
    unread: bool,
}

impl Stream {
    /// Begins a document with these facts and the list `objects`.
    pub(crate) fn begin(json: bool, facts: &[(&str, Value)]) -> Self {
        let mut stream = Self {
            json,
            pending: String::new(),
            listed: false,
            progress: None,
            unread: false,
        };
        if json {
            let facts: String = facts
                .iter()
                .map(|(name, value)| format!("  \"{name}\": {},\n", json::compact(value)))
                .collect();
            stream.write(&format!("{{\n{facts}  \"objects\": ["));
        }
        stream
    }

    /// Shows a progress bar from now on, of `total` objects.
    pub(crate) fn measure(&mut self, total: u64) {
        self.progress = Some(Progress::begin(total));
    }

    /// Tells people something at once.
    pub(crate) fn say(&mut self, text: &str) {
        if !self.json {
            self.write(text);
        }
    }

    /// Adds an element: this line for people.
    pub(crate) fn add(&mut self, line: impl FnOnce() -> String, facts: impl FnOnce() -> Value) {
        if !self.json {
            self.pending += &line();
            return;
        }
        let comma = if std::mem::replace(&mut self.listed, true) {
            ","
        } else {
            ""
        };
        self.pending += &format!("{comma}\n    {}", json::compact(&facts()));
    }

    /// Writes what was added, and moves the bar to `done`.
    pub(crate) fn send(&mut self, done: u64) {
        let text = std::mem::take(&mut self.pending);
        self.write(&text);
        if let Some(progress) = &mut self.progress {
            progress.show(done);
        }
    }

    /// Whether the reader of standard output has gone.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Ends the document with these numbers and the command's error.
    pub(crate) fn end(mut self, facts: &[(&str, u64)], outcome: Result<()>) -> Answer {
        if let Some(progress) = self.progress.take() {
            progress.end();
        }
        if self.json {
            let facts: String = facts
                .iter()
                .map(|(name, value)| format!("  \"{name}\": {value},\n"))
                .collect();
            let error = json::compact(&outcome_json(&outcome));
            self.write(&format!("\n  ],\n{facts}  \"error\": {error}\n}}\n"));
        }
        Answer::printed(outcome)
    }

    /// What cannot be written is told on standard error, so that no handle is lost.
    fn write(&mut self, text: &str) {
        if self.unread || text.is_empty() {
            return;
        }
        let write = || stdout::write(harmless(text).as_bytes());
        let written = match &self.progress {
            Some(progress) => progress.around(write),
            None => write(),
        };
        if let Err(why) = written {
            self.unread = why.kind() == io::ErrorKind::BrokenPipe;
            not_printed(text, why);
        }
    }
}
