//! Runs commands from a text or from standard input, up to the first that fails unless --keep-going is given.

use std::io::{self, BufRead, Read};

use zeroize::Zeroizing;

use super::{Did, Shell, words};
use crate::cli;
use crate::error::{Error, Result, exit};

/// How a script has gone so far.
struct Script<'a> {
    shell: &'a Shell,
    keep_going: bool,
    /// The exit status of the first command that failed.
    failed: Option<u8>,
}

/// Runs the commands of `-c`; the exit status.
pub(crate) fn run_text(shell: &Shell, text: &str, keep_going: bool) -> u8 {
    let mut script = Script::new(shell, keep_going);
    for (index, command) in words::commands(text).into_iter().enumerate() {
        if !script.goes_on_after(command, || format!("command {}", index + 1)) {
            break;
        }
    }
    script.status()
}

/// Runs the commands on standard input, each line as it arrives; the exit status.
///
/// # Errors
/// When standard input cannot be read.
pub(crate) fn run_input(shell: &Shell, keep_going: bool) -> Result<u8> {
    let mut script = Script::new(shell, keep_going);
    for number in 1_u64.. {
        shell.idle.waiting();
        let line = read_line().map_err(|source| Error::File {
            path: "standard input".into(),
            source,
        })?;
        if let Some(told) = shell.idle.given() {
            cli::tell(&format!("slotfs: {told}"));
        }
        let Some(line) = line else { break };
        let goes_on = words::commands(&line)
            .into_iter()
            .all(|command| script.goes_on_after(command, || format!("line {number}")));
        if !goes_on {
            break;
        }
    }
    Ok(script.status())
}

impl<'a> Script<'a> {
    fn new(shell: &'a Shell, keep_going: bool) -> Self {
        Self {
            shell,
            keep_going,
            failed: None,
        }
    }

    /// Runs a command; whether to run the next. `place` is for messages.
    fn goes_on_after(&mut self, command: &str, place: impl FnOnce() -> String) -> bool {
        match self.shell.run(command) {
            Did::Leave => false,
            Did::End(exit::DONE) => true,
            Did::End(status) => {
                self.failed.get_or_insert(status);
                let next = if self.keep_going {
                    "going on"
                } else {
                    "stopped; --keep-going goes on after a failure"
                };
                // The command itself may hold a password.
                cli::tell(&format!(
                    "slotfs: {}: failed with exit status {status}, {next}\n",
                    place()
                ));
                self.keep_going
            }
        }
    }

    fn status(&self) -> u8 {
        self.failed.unwrap_or(exit::DONE)
    }
}

/// The next line of standard input, `None` at its end. A line that is too long is cut just above the limit.
fn read_line() -> io::Result<Option<Zeroizing<String>>> {
    // Reserved whole, so that reading leaves no copy behind in a smaller buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(words::MOST_BYTES + 2));
    let mut input = io::stdin().lock();
    let most = words::MOST_BYTES as u64 + 2;
    if (&mut input).take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 == most && !bytes.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    match std::str::from_utf8(&bytes) {
        Ok(line) => Ok(Some(Zeroizing::new(line.to_owned()))),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a line is not UTF-8",
        )),
    }
}
