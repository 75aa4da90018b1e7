//! Why a command line is not run: it cannot be read, or it asks for help. No text here repeats a word that may be a value.

use std::error::Error as _;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::help::Help;

/// What a command line that is not run asks for, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Help,
    Version,
    Mistake,
}

/// A command line that is not run.
pub(crate) struct Refusal {
    kind: Kind,
    /// What happened, on one line.
    message: String,
    /// What to do next.
    pub(crate) hint: String,
    /// All that is printed.
    pub(crate) text: Help,
}

impl Refusal {
    pub(super) fn help(help: Help) -> Self {
        Self::new(Kind::Help, String::new(), None, help)
    }

    pub(super) fn version(text: String) -> Self {
        Self::new(Kind::Version, String::new(), None, Help::plain(text))
    }

    fn new(kind: Kind, message: String, hint: Option<String>, text: Help) -> Self {
        let more = || "'--help' after the command shows its options".to_owned();
        Self {
            kind,
            message,
            hint: hint.unwrap_or_else(more),
            text,
        }
    }

    /// A command line that cannot be read. If there is `help`, it is printed instead of the message.
    pub(super) fn usage(
        message: String,
        hint: Option<String>,
        usage: Option<StyledStr>,
        help: Option<Help>,
    ) -> Self {
        let text = help.unwrap_or_else(|| {
            let hint = hint.as_ref().map(|hint| format!("\n  hint: {hint}\n"));
            let usage = usage.map(|usage| format!("\n{usage}\n"));
            Help::plain(format!(
                "error: {message}\n{}{}\nFor more information, try '--help'.\n",
                hint.unwrap_or_default(),
                usage.unwrap_or_default()
            ))
        });
        Self::new(Kind::Mistake, message, hint, text)
    }

    /// A mistake that clap found: an invalid value, an option too many or too few. Its own text is not used, because it
    /// repeats values. `variable`: the environment variable that gave the value of an argument.
    pub(super) fn from_clap(
        error: clap::Error,
        usage: Option<StyledStr>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        };
        let (message, hint) = match error.kind() {
            ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
                let arg = text(ContextKind::InvalidArg);
                let variable = arg.as_deref().and_then(variable);
                let what = match (&variable, arg) {
                    (Some(name), _) => format!("invalid value of the environment variable {name}"),
                    (None, Some(arg)) => format!("invalid value for '{arg}'"),
                    (None, None) => "a value is not UTF-8".to_owned(),
                };
                let is_empty = text(ContextKind::InvalidValue).is_some_and(|it| it.is_empty());
                let why = match error.source() {
                    Some(why) => format!(": {why}"),
                    None if is_empty => ": it is empty".to_owned(),
                    None => String::new(),
                };
                let unset =
                    variable.map(|name| format!("set {name} to another value, or unset it"));
                (what + &why, unset.or_else(|| values(&error)))
            }
            ErrorKind::UnknownArgument => ("unexpected argument '...' found".to_owned(), None),
            _ => {
                let rendered = error.render().to_string();
                let first = rendered.split("\n\n").next().unwrap_or_default();
                let first = first.strip_prefix("error: ").unwrap_or(first).trim_end();
                (first.to_owned(), None)
            }
        };
        Self::usage(message, hint, usage, None)
    }

    /// Whether the command line asked for help.
    pub(crate) fn is_help(&self) -> bool {
        self.kind == Kind::Help
    }

    /// Whether this text is what the command line asked for.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.kind != Kind::Mistake
    }

    /// What happened, on one line.
    pub(crate) fn message(&self) -> String {
        self.message
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The possible values, when they are the words of a list.
fn values(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            Some(format!("one of: {}", values.join(", ")))
        }
        _ => None,
    }
}
