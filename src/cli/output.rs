//! What commands print: text to standard output, errors with a hint to standard error, tables.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::Ended;
use crate::error::{Error, Result};

/// Whether standard output is for the data of this command, and all else goes to standard error.
static DATA_ON_STDOUT: AtomicBool = AtomicBool::new(false);

/// Says whether this command writes data to standard output.
pub fn data_on_stdout(is: bool) {
    DATA_ON_STDOUT.store(is, Ordering::Relaxed);
}

/// Prints to standard output. A reader that went away is not an error of ours.
pub fn print(text: &str) {
    if DATA_ON_STDOUT.load(Ordering::Relaxed) {
        return tell(text);
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints one JSON document.
pub fn print_json(document: &Value) {
    print(&format!("{document:#}\n"));
}

/// Prints to standard error.
pub fn tell(text: &str) {
    // Nothing is to be done when the terminal is gone.
    let _ = io::stderr().write_all(text.as_bytes());
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
    let code = error.result_code();
    json!({
        "message": error.to_string(),
        "code": format!("0x{:x}", code.0),
        "name": code.1,
        "hint": error.hint(),
    })
}

/// Prints an error: what happened, then what to do; and on standard output what lunacm would end with.
pub fn error(error: &Error, json: bool) {
    if matches!(error, Error::Daemon { .. }) {
        return;
    }
    tell_error(error);
    if json {
        print_json(&json!({ "error": error_json(error) }));
    } else {
        print(&format!("\nCommand Result : {}\n", error.result_code()));
    }
}

/// The part of it for people, on standard error.
pub fn tell_error(error: &Error) {
    let mut text = format!("slotfs: {error}\n");
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
