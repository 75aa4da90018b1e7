//! Where the lines of a daemon's log go, and how they look there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::file::LogFile;
use super::place::Where;
use super::syslog::Syslog;
use crate::error::{Error, Result};
use crate::object::show;

/// An open log.
pub(super) enum Sink {
    /// Standard error. It is a duplicate, so that it stays open when a daemon in the background closes its own.
    Stderr(Pipe),
    /// Standard error that the journal reads: with priorities (sd-daemon(3)), and without times, which the journal adds.
    Journal(Pipe),
    Syslog(Syslog),
    File(LogFile),
}

impl Sink {
    /// Opens a place that is resolved: [`Where::Auto`] counts as standard error.
    pub(super) fn open(place: &Where) -> Result<Self> {
        Ok(match place {
            Where::Auto | Where::Stderr => Self::Stderr(stderr()?),
            Where::Journal => Self::Journal(stderr()?),
            Where::Syslog(path) => Self::Syslog(Syslog::connect(path).map_err(failed(path))?),
            Where::File(path) => Self::File(LogFile::open(path).map_err(failed(path))?),
        })
    }

    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Stderr(_) | Self::Journal(_) => Ok(()),
            Self::Syslog(syslog) => syslog.reconnect(),
            Self::File(file) => file.reopen(),
        }
    }

    /// Writes one line. A log that cannot be written is no reason to stop.
    pub(super) fn write(&mut self, level: Level, target: &str, text: &str) {
        let _ = match self {
            Self::Stderr(pipe) => pipe.write(|level, text| dated(level, target, text), level, text),
            Self::Journal(pipe) => pipe.write(
                |level, text| {
                    let text = with_target(level, target, text);
                    format!("<{}>{text}\n", severity(level))
                },
                level,
                text,
            ),
            Self::Syslog(syslog) => {
                syslog.send(severity(level), &with_target(level, target, text));
                Ok(())
            }
            Self::File(file) => file.write(level, dated(level, target, text).as_bytes()),
        };
    }
}

/// Standard error, whose reader may be slow or stopped. Requests of the mount log, so none of them may wait for that reader:
/// what it does not take is lost, and counted.
pub(super) struct Pipe {
    file: File,
    lost: u64,
}

impl Pipe {
    fn write(
        &mut self,
        line: impl Fn(Level, &str) -> String,
        level: Level,
        text: &str,
    ) -> io::Result<()> {
        if !self.takes_a_line() {
            self.lost += 1;
            return Ok(());
        }
        if self.lost > 0 {
            let lost = format!(
                "{} log lines were lost: the reader of standard error did not keep up",
                self.lost
            );
            self.lost = 0;
            self.file.write_all(line(Level::Warn, &lost).as_bytes())?;
        }
        self.file.write_all(line(level, text).as_bytes())
    }

    /// A pipe that is writable takes 4,096 bytes at least (pipe(7)), more than a line has.
    fn takes_a_line(&self) -> bool {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut polled = [PollFd::new(&self.file, PollFlags::OUT)];
        // A regular file is always ready.
        poll(&mut polled, Some(&now)) != Ok(0)
    }
}

fn stderr() -> Result<Pipe> {
    let copy = io::stderr().as_fd().try_clone_to_owned();
    let copy = copy.map_err(failed(Path::new("standard error")))?;
    Ok(Pipe {
        file: File::from(copy),
        lost: 0,
    })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::Log {
        path: path.to_owned(),
        source,
    }
}

/// The severities of syslog(3) and of the journal.
pub(super) fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Debug lines name the part of the program; other lines do not.
fn with_target(level: Level, target: &str, text: &str) -> String {
    match level {
        Level::Debug | Level::Trace => format!("{target}: {text}"),
        Level::Error | Level::Warn | Level::Info => text.to_owned(),
    }
}

/// A line with its time, as env_logger writes it.
fn dated(level: Level, target: &str, text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let time = show::iso_8601(now.as_secs());
    let time = time.trim_end_matches('Z');
    let millis = now.subsec_millis();
    format!("[{time}.{millis:03}Z {level:<5} {target}] {text}\n")
}
