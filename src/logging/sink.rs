//! Where the lines of a daemon's log go, and how they look there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use log::Level;

use super::file::LogFile;
use super::place::Where;
use super::syslog::Syslog;
use crate::error::{Error, Result};
use crate::object::show;

/// An open log.
pub(super) enum Sink {
    /// Standard error. It is a duplicate, so that it stays open when a daemon in the background closes its own.
    Stderr(File),
    /// Standard error that the journal reads: with priorities (sd-daemon(3)), and without times, which the journal adds.
    Journal(File),
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
            Self::Stderr(file) => file.write_all(dated(level, target, text).as_bytes()),
            Self::Journal(file) => {
                let text = with_target(level, target, text);
                file.write_all(format!("<{}>{text}\n", severity(level)).as_bytes())
            }
            Self::Syslog(syslog) => {
                syslog.send(severity(level), &with_target(level, target, text));
                Ok(())
            }
            Self::File(file) => file.write(level, dated(level, target, text).as_bytes()),
        };
    }
}

fn stderr() -> Result<File> {
    let copy = io::stderr().as_fd().try_clone_to_owned();
    let copy = copy.map_err(failed(Path::new("standard error")))?;
    Ok(File::from(copy))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::File {
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

/// Only who debugs wants to know where in the program a line comes from.
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
