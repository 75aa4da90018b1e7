//! The grammar of command lines: one pass over the words before clap sees them. It knows every option's spelling
//! from clap's own tree, so that a word that begins with a dash is exactly one option or an error, and never a value.
//!
//! - A dash and more than one letter is a long option, with one dash or two, in any case: `-slot 1`, `-slot=1`,
//!   `--slot 1`. Options are not cut short.
//! - A dash and one letter is a short option. Its value is the next word.
//! - A value that begins with a dash is written behind `=`; `-` alone is a word like any other.
//! - Nouns and verbs are taken in any case, and cut short as long as one is meant.
//!
//! What comes out has every noun and verb in full and every value behind its option's `=`, which clap can read in
//! one way only.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};

mod help;
mod near;
mod needless;
mod refusal;
mod walk;

pub(crate) use refusal::Refusal;
use walk::{Fault, Goal};
pub(crate) use walk::{option, subcommand};

/// What command lines may hold.
pub(crate) struct Grammar {
    root: Command,
}

impl Grammar {
    /// Of the commands below `root`.
    pub(crate) fn new(root: Command) -> Self {
        let mut root = in_any_case(root.no_binary_name(true).bin_name("slotfs"));
        root.build();
        Self { root }
    }

    /// The commands with their options, those of every command among them.
    pub(crate) fn root(&self) -> &Command {
        &self.root
    }

    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// As [`Self::matches`].
    pub(crate) fn read<T: FromArgMatches>(&self, words: Vec<OsString>) -> Result<T, Refusal> {
        let matches = self.matches(words)?;
        T::from_arg_matches(&matches)
            .map_err(|error| Refusal::from_clap(error, usage(&[&self.root])))
    }

    /// Matches the words after the program's name.
    ///
    /// # Errors
    /// Why they cannot be read, or the help that was asked for.
    pub(crate) fn matches(&self, words: Vec<OsString>) -> Result<ArgMatches, Refusal> {
        let walked = walk::walk(&self.root, &words).map_err(|fault| self.refuse(fault))?;
        match walked.goal {
            Goal::Run => self
                .root
                .clone()
                .try_get_matches_from(walked.words)
                .map_err(|error| Refusal::from_clap(error, usage(&walked.path))),
            Goal::Help { long } => Err(Refusal::help(help::render(&walked.path, long))),
            Goal::Version => Err(Refusal::version(self.root.render_version())),
        }
    }

    /// A command line that is wrong in a way that clap does not know.
    pub(crate) fn refusal(&self, kind: ErrorKind, message: &str) -> Refusal {
        self.refuse(Fault {
            path: vec![&self.root],
            kind,
            message: message.to_owned(),
            hint: None,
        })
    }

    fn refuse(&self, fault: Fault<'_>) -> Refusal {
        let help = match fault.kind {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Some(help::render(&fault.path, false))
            }
            _ => None,
        };
        Refusal::usage(
            fault.kind,
            fault.message,
            fault.hint,
            usage(&fault.path),
            help,
        )
    }
}

/// Whether JSON is asked for, also by words that cannot be read: their error is a document then.
pub(crate) fn asks_for_json<S: AsRef<OsStr>>(words: &[S]) -> bool {
    words
        .iter()
        .map(AsRef::as_ref)
        .take_while(|word| *word != "--")
        .any(|word| word.eq_ignore_ascii_case("-json") || word.eq_ignore_ascii_case("--json"))
}

/// How the last command of `path` is written, whatever the environment says.
fn usage(path: &[&Command]) -> Option<clap::builder::StyledStr> {
    path.last().map(|&command| command.clone().render_usage())
}

/// Values that are words of a list are taken in any case.
fn in_any_case(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let listed = arg.get_action().takes_values() && !arg.get_possible_values().is_empty();
            arg.ignore_case(listed)
        })
        .mut_subcommands(in_any_case)
}

#[cfg(test)]
mod tests;
