//! The command line: lunacm's nouns, verbs and options (DESIGN.md 6).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Result, exit};
use crate::object::SlotId;
use crate::shell;

mod console;
mod data;
mod domain;
pub(crate) mod fuzzing;
mod guarded;
mod line;
mod mount;
mod object;
mod output;
mod partition;
mod password;
mod progress;
mod role;
mod shares;
mod slot;
mod store;

pub(crate) use console::Console;
pub use console::Kept;
pub(crate) use line::Line;
pub(crate) use output::{error as print_error, print, tell};
use password::PasswordFile;
pub(crate) use slot::table as slot_table;

/// A software HSM whose partitions are directories: cp between mounted slots is a domain-verified clone.
///
/// Without a command: the shell, or the commands on standard input when that is not a terminal.
#[derive(Parser)]
#[command(name = "slotfs", version, infer_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(flatten)]
    shell: shell::Options,
    #[command(subcommand)]
    noun: Option<Noun>,
}

/// Options of every command.
#[derive(Args, Clone)]
pub(crate) struct Globals {
    /// The store's file [default: $XDG_DATA_HOME/slotfs/store.db]
    #[arg(long, global = true, env = "SLOTFS_STORE", value_name = "PATH")]
    store: Option<PathBuf>,
    /// The slot that commands work on [default: the lowest]
    #[arg(long, global = true, env = "SLOTFS_ACTIVE_SLOT", value_name = "N")]
    active_slot: Option<SlotId>,
    /// File with the password of a slot's role (co unless said); repeatable
    #[arg(long, global = true, value_name = "N[:ROLE]=PATH")]
    password_file: Vec<PasswordFile>,
    /// File with a key share of a quorum slot's role (co unless said); once for each share
    #[arg(long, global = true, value_name = "N[:ROLE]=PATH")]
    share_file: Vec<PasswordFile>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Noun {
    /// Slots of the store
    Slot {
        #[command(subcommand)]
        verb: slot::Verb,
    },
    /// The partition in a slot
    Partition {
        #[command(subcommand)]
        verb: partition::Verb,
    },
    /// The roles of a slot: po, co and cu
    Role {
        #[command(subcommand)]
        verb: role::Verb,
    },
    /// Objects in a slot
    Object {
        #[command(subcommand)]
        verb: object::Verb,
    },
    /// The store as a whole: check it, back it up
    Store {
        #[command(subcommand)]
        verb: store::Verb,
    },
    /// Cloning domains
    Domain {
        #[command(subcommand)]
        verb: domain::Verb,
    },
    /// Mount every slot of the store as a directory
    Mount(mount::Mount),
    /// Unmount what 'slotfs mount' mounted
    Umount(mount::Umount),
}

/// How a command that did not fail ended.
enum Ended {
    /// With lunacm's last line.
    WithResult,
    /// With its own output and nothing else.
    Bare,
    /// With an error that its JSON tells already.
    Failed(Error),
}

/// Runs the command line `args`, program name first; the process's exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return print_clap(error),
    };
    if !matches!(cli.noun, Some(Noun::Mount(_))) {
        crate::logging::for_command();
    }
    match cli.noun {
        Some(noun) => execute(cli.globals, noun, None),
        None => shell::run(cli.globals, cli.shell),
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let mut args = spell_out(args, &command);
    spell_out_help(&mut args, &command);
    let matches = command.try_get_matches_from_mut(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    if cli.noun.is_some() && cli.shell.given() {
        return Err(command.error(
            ErrorKind::ArgumentConflict,
            "-c, --keep-going and --idle are for the shell, and there is a command",
        ));
    }
    Ok(cli)
}

/// Prints the help that was asked for, or why a command line cannot be read; the exit status.
pub(crate) fn print_clap(mut error: clap::Error) -> u8 {
    hide_values(&mut error);
    // Nothing is to be done when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() {
        exit::USAGE
    } else {
        exit::DONE
    }
}

/// A word that belongs to no option may be a password with a typing error before it, or have one in it.
fn hide_values(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    // What is near to the name of an option is taken for a typing error in it, and may be shown.
    let likely_option = error.get(ContextKind::SuggestedArg).is_some();
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(shown) = without_value(word, likely_option)
    {
        error.insert(ContextKind::InvalidArg, ContextValue::String(shown));
        error.remove(ContextKind::Suggested);
    }
}

/// What of a word may be shown, when that is not all: the name of an option, as far as it can be told from its value.
fn without_value(word: &str, likely_option: bool) -> Option<String> {
    if word.starts_with("--") {
        let (option, value) = match word.split_once('=') {
            Some((option, _)) => (option, "=..."),
            None => (word, ""),
        };
        return match (likely_option, value) {
            (true, "") => None,
            (true, _) => Some(format!("{option}{value}")),
            (false, _) => Some(format!("--...{value}")),
        };
    }
    let mut letters = word.chars();
    match (letters.next(), letters.next(), letters.next()) {
        (Some('-'), _, None) => None,
        (Some('-'), Some(letter), Some(_)) => Some(format!("-{letter}...")),
        _ => Some("...".to_owned()),
    }
}

/// Runs one command and prints how it ended; its exit status. `kept` is what the shell keeps between
/// commands.
fn execute(globals: Globals, noun: Noun, kept: Option<&Kept>) -> u8 {
    let console = Console::new(globals, kept);
    output::data_on_stdout(false);
    match noun.run(&console) {
        Ok(Ended::WithResult) if !console.json() => {
            output::print("\nCommand Result : No Error\n");
            exit::DONE
        }
        Ok(Ended::WithResult | Ended::Bare) => exit::DONE,
        Ok(Ended::Failed(error)) => {
            output::tell_error(&error);
            error.exit_status()
        }
        Err(error) => {
            output::error(&error, console.json());
            error.exit_status()
        }
    }
}

impl Noun {
    fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::Slot { verb } => verb.run(console),
            Self::Partition { verb } => verb.run(console),
            Self::Role { verb } => verb.run(console),
            Self::Object { verb } => verb.run(console),
            Self::Store { verb } => verb.run(console),
            Self::Domain { verb } => verb.run(console),
            Self::Mount(mount) => mount.run(console),
            Self::Umount(umount) => umount.run(),
        }
    }
}

/// lunacm spells long options with one dash: `-objects` becomes `--objects` wherever that is an option.
fn spell_out(args: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut longs = BTreeSet::new();
    collect_longs(command, &mut longs);
    let mut plain = false;
    args.into_iter()
        .map(|arg| {
            plain |= arg == "--";
            match arg.to_str().and_then(|text| text.strip_prefix('-')) {
                Some(name) if !plain && name.len() > 1 => {
                    let long = name.split('=').next().unwrap_or(name);
                    if longs.contains(long) {
                        return format!("--{name}").into();
                    }
                    arg
                }
                _ => arg,
            }
        })
        .collect()
}

/// The subcommand of that name, or the only one that begins so.
pub(crate) fn subcommand<'a>(command: &'a Command, word: &str) -> Option<&'a Command> {
    command.find_subcommand(word).or_else(|| {
        let mut matching = command
            .get_subcommands()
            .filter(|inner| inner.get_name().starts_with(word));
        matching.next().filter(|_| matching.next().is_none())
    })
}

/// clap takes nouns and verbs that are cut short everywhere but after `help`.
fn spell_out_help(args: &mut [OsString], command: &Command) {
    let help = args.iter().position(|arg| arg == "help");
    let mut command = command;
    for name in args.iter_mut().skip(help.map_or(usize::MAX, |at| at + 1)) {
        let Some(inner) = name.to_str().and_then(|word| subcommand(command, word)) else {
            return;
        };
        command = inner;
        *name = command.get_name().into();
    }
}

fn collect_longs(command: &Command, longs: &mut BTreeSet<String>) {
    longs.insert("help".into());
    for arg in command.get_arguments() {
        longs.extend(arg.get_long().map(str::to_owned));
        longs.extend(
            arg.get_all_aliases()
                .into_iter()
                .flatten()
                .map(str::to_owned),
        );
    }
    for subcommand in command.get_subcommands() {
        collect_longs(subcommand, longs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_understood_is_not_told_with_its_value() {
        for (word, likely_option, shown) in [
            ("--pasword=secret", true, Some("--pasword=...")),
            ("--pasword", true, None),
            ("--Sesame=x", false, Some("--...=...")),
            ("--Sesame", false, Some("--...")),
            ("-psecret", false, Some("-p...")),
            ("-p=secret", false, Some("-p...")),
            ("secret", false, Some("...")),
            ("", false, Some("...")),
            ("-p", false, None),
        ] {
            let told = without_value(word, likely_option);
            assert_eq!(told.as_deref(), shown, "{word}");
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    /// "every command's help text has an example"
    #[test]
    fn every_command_has_an_example() {
        fn check(command: &Command, path: &str) {
            let verbs: Vec<_> = command
                .get_subcommands()
                .filter(|verb| verb.get_name() != "help")
                .collect();
            for verb in &verbs {
                check(verb, &format!("{path} {}", verb.get_name()));
            }
            if verbs.is_empty() {
                let help = command.get_after_help().map(ToString::to_string);
                let example = help.unwrap_or_default();
                assert!(example.contains("Example"), "{path}: {example:?}");
            }
        }
        check(&Cli::command(), "slotfs");
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        let spelled = |args: &[&str]| {
            spell_out(args.iter().map(Into::into), &Cli::command())
                .into_iter()
                .map(|arg| arg.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            spelled(&["slotfs", "-slot", "1", "-label=x", "-s", "1", "--force"]),
            ["slotfs", "--slot", "1", "--label=x", "-s", "1", "--force"]
        );
        assert_eq!(
            spelled(&["-o", "ro", "--", "-slot"]),
            ["-o", "ro", "--", "-slot"]
        );
    }
}
