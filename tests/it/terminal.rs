//! A command on a terminal of its own, as a person would use it.
//!
//! The terminal is the command's controlling one, so `/dev/tty` is it too. Text is as the terminal shows it: lines
//! end with CR LF, and what is typed is echoed unless the command says otherwise.

use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use nix::sys::termios::{LocalFlags, tcgetattr};
use pty_process::Size;
use pty_process::blocking::{self, Pty};

use crate::fixture::{DEADLINE, wait_for};

/// A command with its terminal. One that is still running is killed when this is dropped.
pub struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    output: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    /// How much of what was shown [`Self::expect`] has been through.
    seen: usize,
}

impl Terminal {
    /// Starts the command on a terminal of 50 lines and 200 columns.
    #[track_caller]
    pub fn spawn(command: Command) -> Self {
        Self::spawn_sized(command, 50, 200)
    }

    /// Starts the command on a terminal of so many lines and columns.
    #[track_caller]
    pub fn spawn_sized(mut command: Command, lines: u16, columns: u16) -> Self {
        let (pty, pts) = blocking::open().unwrap();
        pty.resize(Size::new(lines, columns)).unwrap();
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        let child = blocking::Command::from(command).spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let (sender, output) = channel();
        let from = Arc::clone(&pty);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal that nobody has open any more fails with EIO.
            while let Ok(count @ 1..) = (&*from).read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            pty,
            output,
            shown: Vec::new(),
            seen: 0,
        }
    }

    /// Waits until `text` is shown; what was shown before it, since the last call.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = find(&self.shown[self.seen..], text.as_bytes()) {
                let before = self.text_of(self.seen, self.seen + at);
                self.seen += at + text.len();
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.shown.extend(bytes),
                Err(why) => {
                    let why = match why {
                        RecvTimeoutError::Timeout => "in time",
                        RecvTimeoutError::Disconnected => "before the end",
                    };
                    panic!(
                        "{text:?} was not shown {why}. Since the last that was: {:?}\nEverything: {:?}",
                        self.text_of(self.seen, self.shown.len()),
                        self.text_of(0, self.shown.len()),
                    );
                }
            }
        }
    }

    /// Types `text`.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        (&*self.pty).write_all(text.as_bytes()).unwrap();
    }

    /// Types `text` and Enter.
    #[track_caller]
    pub fn send_line(&mut self, text: &str) {
        self.send(&format!("{text}\r"));
    }

    /// Waits until the terminal echoes no more: a command that asks for a password sees to that after asking.
    #[track_caller]
    pub fn wait_hidden(&mut self) {
        let pty = &*self.pty;
        let hidden = wait_for(|| {
            let modes = tcgetattr(pty).unwrap();
            (!modes.local_flags.contains(LocalFlags::ECHO)).then_some(())
        });
        assert!(hidden.is_some(), "the terminal still echoes");
    }

    /// Types what is not to be seen, and Enter.
    #[track_caller]
    pub fn send_hidden(&mut self, text: &str) {
        self.wait_hidden();
        self.send_line(text);
    }

    /// Types Ctrl and a letter.
    #[track_caller]
    pub fn send_control(&mut self, letter: char) {
        assert!(letter.is_ascii_lowercase(), "{letter:?}");
        self.send(&char::from(letter as u8 & 0x1f).to_string());
    }

    /// Waits for the command's end: its exit status (-1 when a signal ended it) and everything it showed.
    #[track_caller]
    pub fn wait(mut self) -> (i32, String) {
        let child = &mut self.child;
        let Some(status) = wait_for(|| child.try_wait().unwrap()) else {
            self.shown.extend(self.output.try_iter().flatten());
            panic!(
                "the command did not end. Everything it showed: {:?}",
                self.text_of(0, self.shown.len())
            );
        };
        // What is left to read ends when the last process gives the terminal up; a daemon may never.
        while let Ok(bytes) = self.output.recv_timeout(std::time::Duration::from_secs(2)) {
            self.shown.extend(bytes);
        }
        let text = self.text_of(0, self.shown.len());
        (status.code().unwrap_or(-1), text)
    }

    fn text_of(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(&self.shown[from..to]).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, or it is to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(shown: &[u8], text: &[u8]) -> Option<usize> {
    shown.windows(text.len()).position(|here| here == text)
}
