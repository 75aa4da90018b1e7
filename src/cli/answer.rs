//! What a command says when it is done.

use std::fmt::Display;

use serde_json::{Value, json};

use super::output;
use crate::error::{Error, Result};
use crate::object::SlotId;

/// Facts for `--json`, text for people, and how the command ended. [`output::answer`] renders it.
pub(crate) struct Answer {
    /// One JSON document, or null.
    pub(super) facts: Value,
    pub(super) text: String,
    pub(super) outcome: Result<()>,
    /// Whether lunacm's last line follows the text.
    pub(super) result_line: bool,
}

impl Answer {
    /// These facts. Without text, people see only the last line.
    pub(crate) fn new(facts: Value) -> Self {
        Self {
            facts,
            text: String::new(),
            outcome: Ok(()),
            result_line: true,
        }
    }

    /// Facts about a slot.
    pub(crate) fn of_slot(slot: SlotId) -> Self {
        Self::new(json!({ "slot": slot.0 }))
    }

    /// A command that has printed its facts while it ran.
    pub(crate) fn printed(outcome: Result<()>) -> Self {
        Self {
            outcome,
            ..Self::new(Value::Null)
        }
    }

    /// Adds a fact.
    pub(crate) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts[name] = value.into();
        self
    }

    /// Adds text as it is.
    pub(crate) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.text.push_str(text.as_ref());
        self
    }

    /// Adds a line, indented as lunacm's are.
    pub(crate) fn line(self, line: impl Display) -> Self {
        self.text(format!("        {line}\n"))
    }

    /// Adds a table, and its rows as the fact called `name`.
    pub(crate) fn rows(self, name: &str, rows: Rows) -> Self {
        let text = rows.table();
        self.fact(name, rows.facts).text(text)
    }

    /// Adds names and their values in two columns.
    pub(crate) fn pairs<'a>(self, pairs: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let pairs = pairs.into_iter();
        let pairs: Vec<_> = pairs.map(|(name, it)| (name.to_owned(), it)).collect();
        self.text(output::pairs(&pairs, "", output::width()))
    }

    /// The facts are shown although the command may have failed; then its error is the fact `error`, else null.
    pub(crate) fn ending(self, outcome: Result<()>) -> Self {
        let error = output::outcome_json(&outcome);
        Self {
            outcome,
            ..self.fact("error", error)
        }
    }

    /// Without lunacm's last line.
    pub(crate) fn bare(mut self) -> Self {
        self.result_line = false;
        self
    }
}

/// A table for people whose rows are a list of documents in JSON.
pub(crate) struct Rows {
    cells: Vec<Vec<String>>,
    /// Columns with free text, which may be wrapped.
    wrapped: Vec<usize>,
    facts: Vec<Value>,
}

/// Headings of columns with text that somebody wrote for people. Anything else stays whole, to be copied.
const FREE_TEXT: [&str; 5] = ["Label", "Domain Label", "Description", "Backup", "Value"];

impl Rows {
    /// A table with this heading and no rows.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            cells: vec![heading.iter().map(|&cell| cell.to_owned()).collect()],
            wrapped: (0..heading.len())
                .filter(|&at| heading.get(at).is_some_and(|it| FREE_TEXT.contains(it)))
                .collect(),
            facts: Vec::new(),
        }
    }

    /// Adds a row to the table alone.
    pub(crate) fn cells(&mut self, cells: &[&dyn Display]) {
        self.cells
            .push(cells.iter().map(ToString::to_string).collect());
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, cells: &[&dyn Display], facts: Value) {
        self.cells(cells);
        self.facts.push(facts);
    }

    /// Whether there is nothing below the heading.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.len() == 1
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        output::table(&self.cells, &self.wrapped, output::width())
    }
}

/// Failures of a command that goes on after them: each is told on a line of its own, and the last is how it ends.
pub(crate) struct Failures(Result<()>);

impl Failures {
    /// None yet.
    pub(crate) fn none() -> Self {
        Self(Ok(()))
    }

    /// One more.
    pub(crate) fn add(&mut self, error: impl Into<Error>) {
        if let Err(earlier) = std::mem::replace(&mut self.0, Err(error.into())) {
            output::tell_error(&earlier);
        }
    }

    /// The last.
    pub(crate) fn outcome(self) -> Result<()> {
        self.0
    }
}

/// A number of things.
pub(crate) fn plural(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// As tables write it.
pub(crate) fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// A table's cell of what is not there.
pub(crate) const NONE: &str = "-";

/// The value as a cell, or [`NONE`].
pub(crate) fn or_none(value: Option<impl Display>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}
