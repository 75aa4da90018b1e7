//! Why a command line is not run: it cannot be read, or it asks for help. No text here holds what may be a value.

use std::error::Error as _;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::help::Help;

/// A command line that is not run.
pub(crate) struct Refusal {
    kind: ErrorKind,
    /// What happened, on one line.
    message: String,
    /// What to do next.
    hint: String,
    /// All that is printed, for a terminal and for others.
    styled: String,
    plain: String,
}

impl Refusal {
    pub(super) fn help(help: Help) -> Self {
        Self {
            kind: ErrorKind::DisplayHelp,
            message: String::new(),
            hint: String::new(),
            styled: help.styled,
            plain: help.plain,
        }
    }

    pub(super) fn version(text: String) -> Self {
        Self {
            kind: ErrorKind::DisplayVersion,
            message: String::new(),
            hint: String::new(),
            styled: text.clone(),
            plain: text,
        }
    }

    /// A command line that cannot be read. With `help`, that is printed in its place.
    pub(super) fn usage(
        kind: ErrorKind,
        message: String,
        hint: Option<String>,
        usage: Option<StyledStr>,
        help: Option<Help>,
    ) -> Self {
        if let Some(help) = help {
            return Self {
                kind,
                message,
                hint: hint.unwrap_or_else(more),
                styled: help.styled,
                plain: help.plain,
            };
        }
        let mut plain = format!("error: {message}\n");
        if let Some(hint) = &hint {
            plain.push_str(&format!("\n  hint: {hint}\n"));
        }
        if let Some(usage) = usage {
            plain.push_str(&format!("\n{usage}\n"));
        }
        plain.push_str("\nFor more information, try '--help'.\n");
        Self {
            kind,
            message,
            hint: hint.unwrap_or_else(more),
            styled: plain.clone(),
            plain,
        }
    }

    /// What clap found: a value that is none, an option too many or too few. Its own text repeats values, and shows
    /// as given what the environment gave.
    pub(super) fn from_clap(error: clap::Error, usage: Option<StyledStr>) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        };
        let (message, hint) = match error.kind() {
            ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
                let what = match text(ContextKind::InvalidArg) {
                    Some(arg) => format!("invalid value for '{arg}'"),
                    None => "a value is not UTF-8".to_owned(),
                };
                let why = error.source().map(|why| format!(": {why}"));
                (what + &why.unwrap_or_default(), values(&error))
            }
            ErrorKind::UnknownArgument => ("unexpected argument '...' found".to_owned(), None),
            _ => {
                let rendered = error.render().to_string();
                let first = rendered.split("\n\n").next().unwrap_or_default();
                let first = first.strip_prefix("error: ").unwrap_or(first).trim_end();
                (first.to_owned(), None)
            }
        };
        Self::usage(error.kind(), message, hint, usage, None)
    }

    /// Whether it is help that was asked for.
    pub(crate) fn is_help(&self) -> bool {
        self.kind == ErrorKind::DisplayHelp
    }

    /// Whether the command line asked for nothing but this text.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        )
    }

    /// What happened, on one line.
    pub(crate) fn message(&self) -> String {
        self.message
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// All that is printed.
    pub(crate) fn text(&self) -> &str {
        &self.plain
    }

    /// The same with colours.
    pub(crate) fn styled(&self) -> &str {
        &self.styled
    }
}

fn more() -> String {
    "'--help' after the command shows its options".to_owned()
}

/// The values that there are, where they are words of a list.
fn values(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            Some(format!("one of: {}", values.join(", ")))
        }
        _ => None,
    }
}
