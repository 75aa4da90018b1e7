//! How commands print: answers to standard output, errors with a hint to standard error.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::cli::Answer;
use crate::cli::grammar::Refusal;
use crate::cli::version;
use crate::error::{Error, Result, exit};
use crate::object::show;

mod json;
mod stdout;
mod stream;
mod table;

pub(crate) use stdout::{is_stdout, write_data};
pub(crate) use stream::Stream;
pub(crate) use table::{pairs, table, width};

/// Whether standard output is for the data of this command; then everything else goes to standard error.
static DATA_ON_STDOUT: AtomicBool = AtomicBool::new(false);

/// Sets whether this command writes data to standard output.
pub(crate) fn data_on_stdout(is: bool) {
    DATA_ON_STDOUT.store(is, Ordering::Relaxed);
}

/// Whether text that standard output does not take is told on standard error: it says what the command did.
static TELLS: AtomicBool = AtomicBool::new(false);

/// Whether there was such text.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Called before the output of a command. `tells`: its text says what it did, and must not be lost.
pub(crate) fn begin(tells: bool) {
    TELLS.store(tells, Ordering::Relaxed);
    FAILED.store(false, Ordering::Relaxed);
}

/// Called after the output of a command that ended with `status`. The exit status, which also tells a failed output.
pub(crate) fn end(status: u8) -> u8 {
    if let Err(error) = stdout::flush() {
        not_printed("", error);
    }
    let tells = TELLS.swap(false, Ordering::Relaxed);
    if !FAILED.swap(false, Ordering::Relaxed) || status != exit::DONE {
        return status;
    }
    if tells {
        tell("  hint: the command was done; only its output could not be written\n");
    }
    exit::FAILED
}

/// Prints to standard output. It is no error when the reader went away; any other failure is told, and in the exit status
/// by [`end`].
pub(crate) fn print(text: &str) {
    if DATA_ON_STDOUT.load(Ordering::Relaxed) {
        return tell(text);
    }
    print_as_it_is(&harmless(text));
}

fn print_as_it_is(text: &str) {
    if let Err(error) = stdout::write(text.as_bytes()) {
        not_printed(text, error);
    }
}

/// Reports that standard output did not take some text. It is no error when the reader went away.
fn not_printed(text: &str, source: io::Error) {
    if source.kind() == io::ErrorKind::BrokenPipe {
        return;
    }
    if !FAILED.swap(true, Ordering::Relaxed) {
        tell_error(&Error::File {
            path: "standard output".into(),
            source,
        });
    }
    if TELLS.load(Ordering::Relaxed) {
        tell(text);
    }
}

/// Names and values as lunacm lists slots.
pub(crate) fn arrows(named: &[(String, String)]) -> String {
    table::arrows(named, width())
}

/// Prints one JSON document.
pub(crate) fn print_json(document: &Value) {
    print(&format!("{}\n", json::pretty(document)));
}

/// Prints to standard error.
pub(crate) fn tell(text: &str) {
    // Nothing can be done when the terminal is gone.
    let _ = io::stderr().write_all(harmless(text).as_bytes());
}

/// `text` without characters that a terminal would obey or show misleadingly: an attacker may have chosen a part of it.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if !matches!(c, '\n' | '\t') && show::is_hazardous(c) {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

/// Prints the help that was asked for, or why a command line was refused; the exit status.
pub(crate) fn refusal(refusal: &Refusal, json: bool) -> u8 {
    begin(false);
    if refusal.is_asked_for() {
        if json {
            print_json(&match refusal.is_help() {
                true => json!({ "help": refusal.text.plain.trim_end() }),
                false => version::json(),
            });
        } else {
            print_as_it_is(coloured(refusal, &io::stdout()));
        }
        return end(exit::DONE);
    }
    // As above.
    let _ = io::stderr().write_all(coloured(refusal, &io::stderr()).as_bytes());
    if json {
        print_json(&json!({ "error": {
            "message": refusal.message(),
            "code": "0x7",
            "name": "CKR_ARGUMENTS_BAD",
            "hint": refusal.hint,
        } }));
    }
    end(exit::USAGE)
}

/// With colours where they are wanted (no-color.org).
fn coloured<'a>(refusal: &'a Refusal, stream: &impl io::IsTerminal) -> &'a str {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match stream.is_terminal() && !unwanted {
        true => &refusal.text.styled,
        false => &refusal.text.plain,
    }
}

/// Prints what a command answers, or why it failed; its exit status.
pub(crate) fn answer(answer: Result<Answer>, json: bool) -> u8 {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            error(&why, json);
            return why.outcome().exit;
        }
    };
    match json {
        true if !answer.facts.is_null() => print_json(&answer.facts),
        false if !answer.text.is_empty() => print(&answer.text),
        _ => {}
    }
    match answer.outcome {
        Ok(()) => {
            if answer.result_line && !json {
                print("\nCommand Result : No Error\n");
            }
            exit::DONE
        }
        Err(why) => {
            match json {
                // The document has it.
                true => tell_error(&why),
                false => error(&why, false),
            }
            why.outcome().exit
        }
    }
}

/// The error of a command as JSON, null where there is none.
pub(crate) fn outcome_json(outcome: &Result<()>) -> Value {
    outcome.as_ref().err().map_or(Value::Null, error_json)
}

/// An error as JSON: message, result code and its name, hint.
pub(crate) fn error_json(error: &Error) -> Value {
    let code = error.outcome().code;
    json!({
        "message": error.to_string(), "code": format!("0x{:x}", code.0), "name": code.1,
        "hint": error.hint(),
    })
}

/// Prints an error and its hint to standard error, and lunacm's last line or the JSON document to standard output.
pub(crate) fn error(error: &Error, json: bool) {
    let document = || json!({ "error": error_json(error) });
    // The daemon has told people itself, and may have left its document.
    if let Error::Daemon { said, .. } = error {
        let document: Value = serde_json::from_str(said).unwrap_or_else(|_| document());
        if json {
            return print_json(&document);
        }
        let field = |name| document["error"][name].as_str();
        return match (field("code"), field("name")) {
            (Some(code), Some(name)) => print(&format!("\nCommand Result : {code} ({name})\n")),
            _ => print(&format!("\nCommand Result : {}\n", error.outcome().code)),
        };
    }
    tell_error(error);
    match json {
        true => print_json(&document()),
        false => print(&format!("\nCommand Result : {}\n", error.outcome().code)),
    }
}

/// Prints an error and its hint to standard error.
pub(crate) fn tell_error(error: &Error) {
    // On one line: a name in it may hold a line break.
    let mut text = format!("slotfs: {}\n", show::escape_controls(&error.to_string()));
    if let Some(hint) = error.hint() {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    tell(&text);
}
