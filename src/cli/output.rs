//! What commands print: text to standard output, errors with a hint to standard error, tables.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::Ended;
use super::grammar::Refusal;
use crate::error::{Error, Result, exit};
use crate::object::show;

mod json;
mod stdout;

pub use json::compact;
pub use stdout::write;

/// Whether standard output is for the data of this command, and all else goes to standard error.
static DATA_ON_STDOUT: AtomicBool = AtomicBool::new(false);

/// Says whether this command writes data to standard output.
pub fn data_on_stdout(is: bool) {
    DATA_ON_STDOUT.store(is, Ordering::Relaxed);
}

/// What became of a command's output.
struct Outcome {
    /// Whether what cannot be printed is told on standard error instead.
    tell: bool,
    /// Why something could not be printed.
    failed: bool,
}

static OUTCOME: Mutex<Outcome> = Mutex::new(Outcome {
    tell: false,
    failed: false,
});

/// Before the output of a command. With `tell`, what of it cannot be printed is told on standard error: it is what the
/// command did.
pub fn begin(tell: bool) {
    *OUTCOME.lock().unwrap_or_else(PoisonError::into_inner) = Outcome {
        tell,
        failed: false,
    };
}

/// After the output of a command that ended with `status`: the exit status that it has then.
pub fn end(status: u8) -> u8 {
    if let Err(error) = stdout::flush() {
        not_printed("", error);
    }
    let outcome = std::mem::replace(
        &mut *OUTCOME.lock().unwrap_or_else(PoisonError::into_inner),
        Outcome {
            tell: false,
            failed: false,
        },
    );
    match (outcome.failed, status) {
        (true, exit::DONE) => {
            if outcome.tell {
                tell("  hint: the command was done; only its output could not be written\n");
            }
            exit::FAILED
        }
        _ => status,
    }
}

/// Prints to standard output. A reader that went away is not an error of ours; any other failure is told, and in the
/// exit status by [`end`].
pub fn print(text: &str) {
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

/// What [`write()`] could not write of what a command did: told on standard error, and in the exit status by [`end`]. A
/// reader that went away is not an error of ours.
pub fn not_printed(text: &str, source: io::Error) {
    if source.kind() == io::ErrorKind::BrokenPipe {
        return;
    }
    let mut outcome = OUTCOME.lock().unwrap_or_else(PoisonError::into_inner);
    if !std::mem::replace(&mut outcome.failed, true) {
        tell_error(&Error::File {
            path: "standard output".into(),
            source,
        });
    }
    if outcome.tell {
        tell(text);
    }
}

/// Prints one JSON document.
pub fn print_json(document: &Value) {
    print(&format!("{}\n", json::pretty(document)));
}

/// Prints to standard error.
pub fn tell(text: &str) {
    // Nothing is to be done when the terminal is gone.
    let _ = io::stderr().write_all(harmless(text).as_bytes());
}

/// `text` without what a terminal would obey, or show otherwise than it is: others may have chosen a part of it.
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

/// Prints the help that was asked for, or why a command line cannot be read; the exit status.
pub fn refusal(refusal: &Refusal, json: bool) -> u8 {
    begin(false);
    if refusal.is_asked_for() {
        if json {
            let what = if refusal.is_help() { "help" } else { "version" };
            print_json(&json!({ what: refusal.text().trim_end() }));
        } else {
            print_as_it_is(coloured(refusal, &io::stdout()));
        }
        return end(exit::DONE);
    }
    // Nothing is to be done when the terminal is gone.
    let _ = io::stderr().write_all(coloured(refusal, &io::stderr()).as_bytes());
    if json {
        print_json(&json!({ "error": {
            "message": refusal.message(),
            "code": "0x7",
            "name": "CKR_ARGUMENTS_BAD",
            "hint": refusal.hint(),
        } }));
    }
    end(exit::USAGE)
}

/// In colours where they are shown (no-color.org).
fn coloured<'a>(refusal: &'a Refusal, stream: &impl io::IsTerminal) -> &'a str {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match stream.is_terminal() && !unwanted {
        true => refusal.styled(),
        false => refusal.text(),
    }
}

/// The end of a command that has something to show even when it fails: one JSON document with the error in it
/// as `error`, null when there is none.
pub fn with_document(json: bool, mut document: Value, outcome: Result<()>) -> Result<Ended> {
    if !json {
        return outcome.map(|()| Ended::WithResult);
    }
    document["error"] = match &outcome {
        Ok(()) => Value::Null,
        Err(error) => error_json(error),
    };
    print_json(&document);
    Ok(match outcome {
        Ok(()) => Ended::WithResult,
        Err(error) => Ended::Failed(error),
    })
}

/// An error as JSON: message, result code and its name, hint.
pub fn error_json(error: &Error) -> Value {
    let code = error.outcome().code;
    json!({
        "message": error.to_string(),
        "code": format!("0x{:x}", code.0),
        "name": code.1,
        "hint": error.hint(),
    })
}

/// Prints an error: what happened, then what to do; and on standard output what lunacm would end with.
pub fn error(error: &Error, json: bool) {
    // It has told people itself.
    if let Error::Daemon { said, .. } = error {
        if json {
            print_json(&daemon_document(said, error));
        }
        return;
    }
    tell_error(error);
    if json {
        print_json(&json!({ "error": error_json(error) }));
    } else {
        print(&format!("\nCommand Result : {}\n", error.outcome().code));
    }
}

/// The document that a daemon ended with, or ours when it had none.
fn daemon_document(said: &str, error: &Error) -> Value {
    serde_json::from_str(said).unwrap_or_else(|_| json!({ "error": error_json(error) }))
}

/// The part of it for people, on standard error.
pub fn tell_error(error: &Error) {
    // On one line: a name in it may hold a line break.
    let mut text = format!("slotfs: {}\n", show::escape_controls(&error.to_string()));
    if let Some(hint) = error.hint() {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    tell(&text);
}

/// A table with its columns aligned: a heading, then rows of as many cells.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            std::iter::once(&heading)
                .chain(rows)
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["1".into(), "a".into()],
            vec!["1000000".into(), "b".into()],
        ];
        assert_eq!(
            table(&["handle", "label"], &rows),
            "handle   label\n1        a\n1000000  b\n"
        );
    }
}
