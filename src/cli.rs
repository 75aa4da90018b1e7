//! The command line: lunacm's nouns, verbs and options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::error::Result;
use crate::object::SlotId;
use crate::shell;

mod answer;
mod args;
mod config;
mod console;
mod domain;
mod effect;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod grammar;
mod guarded;
mod hagroup;
mod line;
mod mount;
mod mount_helper;
mod object;
mod output;
mod partition;
mod password;
mod progress;
mod role;
mod secret_files;
mod serve;
mod shares;
mod slot;
mod status;
mod store;
mod version;

use answer::{Answer, Failures, NONE, Rows, or_none, plural, yes_or_no};
use args::{ForceAndSlot, SlotArg};
pub(crate) use console::Console;
pub(crate) use console::Kept;
use files::{file_error, write_new};
pub(crate) use grammar::{Grammar, Refusal, asks_for_json, command_names, option, subcommand};
pub(crate) use line::Line;
pub(crate) use mount::login as parse_mount_login;
pub(crate) use output::{begin, end, error as print_error, print, refusal as print_refusal, tell};
use password::confirm;
use secret_files::PasswordFile;
pub(crate) use slot::table as slot_table;

/// A software HSM whose partitions are directories: cp between mounted slots is a domain-verified clone.
///
/// Without a command it runs a shell, or the commands on standard input when that is not a terminal.
#[derive(Parser)]
#[command(name = "slotfs", version, infer_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    shell: shell::Options,
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    noun: Option<Noun>,
}

/// Options of every command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The store: a file, or etcd://HOST:PORT,.../NAME [default: $XDG_DATA_HOME/slotfs/store.db]
    #[arg(long, global = true, env = "SLOTFS_STORE", value_name = "PATH")]
    store: Option<PathBuf>,
    /// The slot that commands work on [default: the lowest]
    #[arg(long, global = true, env = "SLOTFS_ACTIVE_SLOT", value_name = "N")]
    active_slot: Option<SlotId>,
    /// File with the password of a slot's role, co by default; repeatable
    #[arg(long, global = true, value_name = "N[:ROLE]=PATH")]
    password_file: Vec<PasswordFile>,
    /// File with a key share of a quorum slot's role, co by default; once for each share
    #[arg(long, global = true, value_name = "N[:ROLE]=PATH")]
    share_file: Vec<PasswordFile>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Noun {
    /// Slots of the store
    #[command(subcommand)]
    Slot(slot::Verb),
    /// The partition in a slot
    #[command(subcommand)]
    Partition(partition::Verb),
    /// The roles of a slot: po, co and cu
    #[command(subcommand)]
    Role(role::Verb),
    /// Objects in a slot
    #[command(subcommand)]
    Object(object::Verb),
    /// The store as a whole: check it, back it up
    #[command(subcommand)]
    Store(store::Verb),
    /// Groups of slots that are kept the same
    #[command(subcommand)]
    Hagroup(hagroup::Verb),
    /// Show the store, its slots, its mounts and its token server, without a login
    Status(status::Status),
    /// Cloning domains
    #[command(subcommand)]
    Domain(domain::Verb),
    /// Mount every slot of the store as a directory
    Mount(mount::Mount),
    /// Unmount a folder that 'slotfs mount' mounted
    Umount(mount::Umount),
    /// Serve the store to applications that use its keys through PKCS#11
    Serve(serve::Serve),
    /// Open a slot for applications, until 'slotfs logout'
    Login(serve::Login),
    /// Close a slot that 'slotfs login' opened
    Logout(serve::Logout),
    /// The configuration: what is set, and where
    #[command(subcommand)]
    Config(config::Verb),
}

/// The definition of the command line, for manuals and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line `args`, program name first; the process's exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    let words: Vec<OsString> = args.collect();
    if mount_helper::is_name(&program) {
        return mount_helper::run(words);
    }
    let json = asks_for_json(&words);
    let cli = match parse(words) {
        Ok(cli) => cli,
        Err(refusal) => return print_refusal(&refusal, json),
    };
    if !matches!(cli.noun, Some(Noun::Mount(_) | Noun::Serve(_))) {
        crate::logging::for_command();
    }
    match cli.noun {
        Some(noun) => execute(cli.globals, noun, None),
        None => shell::run(cli.globals, cli.shell),
    }
}

/// Reads the words after the program's name.
fn parse(words: Vec<OsString>) -> Result<Cli, Refusal> {
    let grammar = Grammar::new(Cli::command());
    let cli: Cli = grammar.read(words)?;
    if cli.noun.is_some() && cli.shell.given() {
        return Err(grammar.refusal(
            "-c, --keep-going and --idle are options of the shell and cannot be given with a command",
        ));
    }
    Ok(cli)
}

/// Runs one command and prints its answer; its exit status. `kept` is what the shell keeps between commands.
fn execute(globals: Globals, noun: Noun, kept: Option<&Kept>) -> u8 {
    let console = Console::new(globals, kept);
    output::data_on_stdout(false);
    output::begin(noun.changes_something());
    let status = output::answer(noun.run(&console), console.json());
    output::end(status)
}

impl Noun {
    fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Slot(verb) => verb.run(console),
            Self::Partition(verb) => verb.run(console),
            Self::Role(verb) => verb.run(console),
            Self::Object(verb) => verb.run(console),
            Self::Store(verb) => verb.run(console),
            Self::Hagroup(verb) => verb.run(console),
            Self::Status(status) => status.run(console),
            Self::Domain(verb) => verb.run(console),
            Self::Mount(mount) => mount.run(console),
            Self::Umount(umount) => umount.run(),
            Self::Serve(serve) => serve.run(console),
            Self::Login(login) => login.run(console),
            Self::Logout(logout) => logout.run(console),
            Self::Config(verb) => verb.run(console),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

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
}
