//! The shell: runs commands from a prompt, a text or standard input. The store stays open between them, and logins last
//! until logout, the end of the shell, or the end of the idle time (docs/shell.md).

mod complete;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod history;
mod idle;
mod prompt;
mod remember;
mod script;
mod words;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::Args;

use crate::cli::{self, Globals, Kept, Line};
use crate::error::{Error, Result, exit};
use idle::{Idle, Period};

/// Options of the shell.
#[derive(Args)]
#[command(next_help_heading = "Options of the shell, without a command")]
pub(crate) struct Options {
    /// Run these commands, with ';' or line ends between them
    #[arg(short = 'c', value_name = "COMMANDS")]
    commands: Option<String>,
    /// With -c and on standard input, continue after a command that failed; the exit status is that of the first failure
    #[arg(long)]
    keep_going: bool,
    /// Log out of every slot after this time without a command: 90s, 15m, 2h, 0 for never [default: 15m]
    #[arg(long, value_name = "TIME")]
    idle: Option<Period>,
}

impl Options {
    /// Whether any of these options was given.
    pub(crate) fn given(&self) -> bool {
        self.commands.is_some() || self.keep_going || self.idle.is_some()
    }
}

/// A shell that is running.
struct Shell {
    // First, so that it stops watching before the store is closed.
    idle: Idle,
    globals: Globals,
    kept: Arc<Kept>,
}

/// What a command did.
enum Did {
    /// It ended with that exit status.
    End(u8),
    /// It leaves the shell.
    Leave,
}

/// Runs the shell; the process's exit status.
pub(crate) fn run(mut globals: Globals, options: Options) -> u8 {
    let json = globals.json();
    let kept = Arc::new(Kept::default());
    if let Some(slot) = globals.take_active_slot() {
        kept.set_active(slot);
    }
    let outcome = Idle::watch(options.idle.unwrap_or_default(), Arc::clone(&kept))
        .map(|idle| Shell {
            idle,
            globals,
            kept,
        })
        .and_then(|shell| match options.commands {
            Some(text) => Ok(script::run_text(&shell, &text, options.keep_going)),
            None if io::stdin().is_terminal() => prompt::run(&shell).map(|()| exit::DONE),
            None => script::run_input(&shell, options.keep_going),
        });
    outcome.unwrap_or_else(|error| fail(&error, json))
}

fn fail(error: &Error, json: bool) -> u8 {
    cli::begin(false);
    cli::print_error(error, json);
    cli::end(error.outcome().exit)
}

impl Shell {
    /// Runs one command and prints how it ended.
    fn run(&self, command: &str) -> Did {
        match self.try_run(command) {
            Ok(did) => did,
            Err(error) => Did::End(fail(&error, self.globals.json())),
        }
    }

    fn try_run(&self, command: &str) -> Result<Did> {
        let words = words::words(command)?;
        if words.is_empty() {
            return Ok(Did::End(exit::DONE));
        }
        match Line::parse_words(&words) {
            Ok(line) => Ok(match line.run(&self.globals, &self.kept)? {
                Some(status) => Did::End(status),
                None => Did::Leave,
            }),
            Err(refusal) => {
                let json = self.globals.json() || cli::asks_for_json(&words);
                Ok(Did::End(cli::print_refusal(&refusal, json)))
            }
        }
    }
}
