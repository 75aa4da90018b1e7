//! A line of the shell: the same commands, with the options that the shell was started with.

use clap::builder::Resettable;
use clap::{ArgMatches, Command, CommandFactory, Parser, Subcommand};

use crate::cli::grammar::{Grammar, Refusal};
use crate::cli::{Globals, Kept, Noun, execute};
use crate::error::{Error, Result};

/// What a line of the shell holds.
#[derive(Parser)]
#[command(
    name = "slotfs",
    about = "The commands of the shell",
    no_binary_name = true,
    infer_subcommands = true,
    disable_version_flag = true,
    after_help = "'help COMMAND' shows the verbs and options of a command, '?' is 'help'. Options are spelled -slot or --slot."
)]
pub(crate) struct Line {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// A command, or a verb of the shell.
#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Command(Noun),
    /// Log out of every slot and leave the shell
    #[command(visible_alias = "quit")]
    Exit,
}

impl Line {
    /// The grammar of a line. Environment variables count for the shell and not for the line.
    pub(crate) fn grammar() -> Grammar {
        Grammar::new(Self::commands())
    }

    fn commands() -> Command {
        Self::command()
            .mut_arg("store", |arg| arg.env(Resettable::Reset).hide(true))
            .mut_arg("active_slot", |arg| arg.env(Resettable::Reset))
    }

    /// Matches the words of a line.
    ///
    /// # Errors
    /// Usage, or help that was asked for.
    pub(crate) fn matches(words: &[String]) -> Result<ArgMatches, Refusal> {
        Self::grammar().matches(words.iter().map(Into::into).collect())
    }

    /// Reads the words of a line.
    ///
    /// # Errors
    /// As [`Self::matches`].
    pub(crate) fn parse_words(words: &[String]) -> Result<Self, Refusal> {
        Self::grammar().read(words.iter().map(Into::into).collect())
    }

    /// Runs the command of a line in a shell that was started with `outer`; its exit status, or `None` for `exit`.
    pub(crate) fn run(self, outer: &Globals, kept: &Kept) -> Result<Option<u8>> {
        let globals = self.globals.within(outer)?;
        Ok(match self.verb {
            Verb::Command(noun) => Some(execute(globals, noun, Some(kept))),
            Verb::Exit => None,
        })
    }
}

impl Globals {
    /// These, on a line of a shell that was started with `outer`.
    fn within(mut self, outer: &Self) -> Result<Self> {
        if self.store.is_some() {
            return Err(Error::Usage(
                "a shell has one store; leave it and start 'slotfs --store PATH'".into(),
            ));
        }
        self.store.clone_from(&outer.store);
        // The first one that matches is used: files on the line come first.
        self.password_file
            .extend(outer.password_file.iter().cloned());
        self.share_file.extend(outer.share_file.iter().cloned());
        self.json |= outer.json;
        Ok(self)
    }

    /// Whether facts are printed as JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// The slot that the shell begins with.
    pub(crate) fn take_active_slot(&mut self) -> Option<crate::object::SlotId> {
        self.active_slot.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_a_line_is_sound() {
        Line::commands().debug_assert();
    }

    #[test]
    fn a_store_on_a_line_is_refused() {
        let words = ["slot", "list", "--store", "x"].map(str::to_owned);
        let line =
            Line::parse_words(&words).unwrap_or_else(|refusal| panic!("{}", refusal.text.plain));
        let outer = Line::parse_words(&words[..2]).ok().unwrap().globals;
        assert!(line.globals.within(&outer).is_err());
    }
}
