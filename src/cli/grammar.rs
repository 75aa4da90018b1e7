//! The grammar of command lines: one pass over the words before clap sees them. It knows every option's spelling
//! from clap's own tree, so that a word that begins with a dash is exactly one option or an error, and never a value.
//!
//! - A dash and more than one letter is a long option, with one dash or two, in any case: `-slot 1`, `-slot=1`,
//!   `--slot 1`. Options cannot be abbreviated.
//! - A dash and one letter is a short option. Its value is the next word.
//! - A value that begins with a dash is written after `=`; `-` alone is a word like any other.
//! - Nouns and verbs are matched in any case, and can be abbreviated as long as they are unambiguous.
//!
//! The result has every noun and verb in full and every value after its option's `=`, so that clap can read it in only
//! one way.

use std::ffi::{OsStr, OsString};

use clap::{ArgMatches, Command, FromArgMatches};

use crate::cli::version;

mod help;
mod near;
mod needless;
mod refusal;
mod walk;

pub(crate) use refusal::Refusal;
use walk::{Fault, Goal};
pub(crate) use walk::{command_names, option, subcommand};

/// The commands and options that a command line can have.
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

    /// The root of the commands, whose options are those of every command.
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
            .map_err(|error| Refusal::from_clap(error, usage(&[&self.root]), |_| None))
    }

    /// Matches the words after the program's name.
    ///
    /// # Errors
    /// Why they cannot be read, or the help that was asked for.
    pub(crate) fn matches(&self, words: Vec<OsString>) -> Result<ArgMatches, Refusal> {
        let walked = walk::walk(&self.root, &words).map_err(refuse)?;
        match walked.goal {
            Goal::Run => {
                let root = self.root.clone();
                root.try_get_matches_from(walked.words).map_err(|error| {
                    let variable = |shown: &str| {
                        let mut args = self.root.get_arguments();
                        let arg = args.find(|arg| arg.to_string() == shown)?;
                        let given = walked.given.iter().any(|it| it.get_id() == arg.get_id());
                        let name = arg.get_env().filter(|_| !given)?;
                        Some(name.to_string_lossy().into_owned())
                    };
                    Refusal::from_clap(error, usage(&walked.path), variable)
                })
            }
            Goal::Help { long } => Err(Refusal::help(help::render(&walked.path, long))),
            Goal::Version => Err(Refusal::version(version::text())),
        }
    }

    /// The refusal of a command line for a reason that clap does not know.
    pub(crate) fn refusal(&self, message: &str) -> Refusal {
        Refusal::usage(message.to_owned(), None, usage(&[&self.root]), None)
    }
}

fn refuse(fault: Fault<'_>) -> Refusal {
    let help = fault.shows_help.then(|| help::render(&fault.path, false));
    Refusal::usage(fault.message, fault.hint, usage(&fault.path), help)
}

/// Whether the words ask for JSON, even if they cannot be read otherwise: their error is a document then.
pub(crate) fn asks_for_json<S: AsRef<OsStr>>(words: &[S]) -> bool {
    words
        .iter()
        .map(AsRef::as_ref)
        .take_while(|word| *word != "--")
        .any(|word| word.eq_ignore_ascii_case("-json") || word.eq_ignore_ascii_case("--json"))
}

/// The usage line of the last command of `path`.
fn usage(path: &[&Command]) -> Option<clap::builder::StyledStr> {
    path.last().map(|&command| command.clone().render_usage())
}

/// Makes values that are words of a list match in any case.
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
