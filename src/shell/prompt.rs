//! The shell at a terminal.

use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::{History as _, MemHistory};
use rustyline::{CompletionType, Config, Editor};
use zeroize::Zeroizing;

use super::complete::Complete;
use super::history::{History, MOST_LINES};
use super::remember::{Memory, memory};
use super::{Did, Shell, words};
use crate::cli::{self, Console};
use crate::error::{Error, Result};

/// Like lunacm's.
const PROMPT: &str = "slotfs:> ";

/// Runs commands until `exit` or Ctrl-D, also after failures.
///
/// # Errors
/// When the terminal cannot be used.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    crate::interrupt::survive();
    let mut history = History::of_user();
    let mut editor = editor(shell, &mut history).map_err(terminal)?;
    banner(shell);
    loop {
        shell.idle.waiting();
        let line = editor.readline(PROMPT).map(Zeroizing::new);
        if let Some(told) = shell.idle.given() {
            cli::print(&told);
        }
        let line = match line {
            Ok(line) => line,
            // Ctrl-C clears the line.
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(terminal(error)),
        };
        remember(&line, &mut editor, &mut history);
        for command in words::commands(&line) {
            match shell.run(command) {
                Did::End(_) => {}
                Did::Leave => return Ok(()),
            }
        }
    }
}

fn editor(shell: &Shell, history: &mut History) -> rustyline::Result<Editor<Complete, MemHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(MOST_LINES)?
        .build();
    let lines = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, lines)?;
    editor.set_helper(Some(Complete::new(Arc::clone(&shell.kept))));
    for line in history.load() {
        editor.history_mut().add_owned(line)?;
    }
    Ok(editor)
}

fn terminal(error: ReadlineError) -> Error {
    Error::File {
        path: "the terminal".into(),
        source: match error {
            ReadlineError::Io(source) => source,
            other => std::io::Error::other(other.to_string()),
        },
    }
}

fn remember(line: &str, editor: &mut Editor<Complete, MemHistory>, history: &mut History) {
    let kept = match memory(line) {
        Memory::Lasting(kept) => {
            history.append(&kept);
            kept
        }
        Memory::Passing => line.to_owned(),
        Memory::None => return,
    };
    // A history in memory cannot refuse.
    let _ = editor.history_mut().add_owned(kept);
}

/// The store and its slots, as lunacm shows them.
fn banner(shell: &Shell) {
    let console = Console::new(shell.globals.clone(), Some(&shell.kept));
    let mut text = format!("slotfs {}\n\n", env!("CARGO_PKG_VERSION"));
    match console.store() {
        Err(error) => text.push_str(&format!("{error}\n")),
        Ok(path) if !path.exists() && !slotfs_config::store::is_in_cluster(&path) => {
            text.push_str(&format!(
                "Store: {} (does not exist yet; 'partition init' creates it)\n",
                crate::shown::path(&path)
            ))
        }
        Ok(path) => {
            text.push_str(&format!("Store: {}\n\n", crate::shown::path(&path)));
            let slots = console.open_to_read().and_then(|hsm| {
                let table = cli::slot_table(&hsm)?;
                Ok((table, console.slot(&hsm, None)))
            });
            match slots {
                Ok((table, slot)) => {
                    text.push_str(&table);
                    if let Ok(slot) = slot {
                        text.push_str(&format!("\n        Current Slot Id: {slot}\n"));
                    }
                }
                Err(error) => text.push_str(&format!("{error}\n")),
            }
        }
    }
    text.push_str("\n'help' lists the commands, 'exit' or Ctrl-D leaves.\n\n");
    cli::print(&text);
}
