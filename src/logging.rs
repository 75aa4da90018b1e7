//! The log of a command or a daemon. `$SLOTFS_LOG`, else `log_filter` of the configuration for daemons, says what is logged,
//! in env_logger's syntax.
//!
//! A command warns on standard error. A daemon logs to one place ([`Where`]), which SIGHUP opens again.

use std::io::Write;
use std::sync::OnceLock;

use env_logger::{Builder, Env};
use log::{Level, LevelFilter};

use crate::error::Result;
use crate::object::show;

mod daemon;
mod file;
mod place;
mod refusals;
mod sink;
mod syslog;

pub(crate) use place::Where;

use daemon::DaemonLog;
use sink::Sink;

/// The environment variable that holds the filter of commands.
const VARIABLE: &str = "SLOTFS_LOG";
/// What a daemon logs unless it is told otherwise: every verdict.
pub(crate) const OF_DAEMON: &str = "warn,slotfs=info";

/// The log of this process, if it is a daemon.
static DAEMON: OnceLock<DaemonLog> = OnceLock::new();

/// Starts the log of a command, on standard error. A warning or an error is one line without a time. Lower levels, which
/// only `$SLOTFS_LOG` can enable, have a time and a target.
pub(crate) fn for_command() {
    let mut builder = with_fixed_filters(Builder::from_env(Env::new().filter_or(VARIABLE, "warn")));
    builder.format(|line, record| {
        let text = record.args().to_string();
        let text = show::escape_controls(&text);
        match record.level() {
            Level::Warn => writeln!(line, "warning: {text}"),
            Level::Error => writeln!(line, "error: {text}"),
            level => {
                let time = line.timestamp_millis();
                writeln!(line, "[{time} {level} {}] {text}", record.target())
            }
        }
    });
    // It fails only if a log exists already.
    let _ = builder.try_init();
}

/// Starts the log of a daemon. `place` is resolved already; `filter` is `None` for the usual one.
///
/// # Errors
/// [`Error::File`](crate::error::Error::File) if the place cannot be opened.
pub(crate) fn for_daemon(place: &Where, filter: Option<&str>) -> Result<()> {
    let sink = Sink::open(place)?;
    let log = DAEMON.get_or_init(|| DaemonLog::new(sink, matcher(filter)));
    // It fails only if a log exists already.
    if log::set_logger(log).is_ok() {
        log::set_max_level(log.level());
    }
    Ok(())
}

/// Opens the place of a daemon's log again, for SIGHUP: a file may have been renamed, syslogd started again.
pub(crate) fn reopen() {
    match DAEMON.get().map(DaemonLog::reopen) {
        Some(Ok(())) => log::info!("SIGHUP: the log was opened again"),
        Some(Err(why)) => log::error!(
            "SIGHUP: cannot open the log again: {why}; the daemon keeps writing to the log that is open"
        ),
        None => {}
    }
}

/// Replaces what a daemon logs.
pub(crate) fn set_filter(filter: Option<&str>) {
    if let Some(log) = DAEMON.get() {
        log.set_filter(matcher(filter));
        log::set_max_level(log.level());
    }
}

/// Writes the sums of refusals that are due. The daemon calls it every now and then.
pub(crate) fn tick() {
    if let Some(log) = DAEMON.get() {
        log.sum_up(false);
    }
}

/// What decides which records are logged; it writes nothing itself.
fn matcher(filter: Option<&str>) -> env_logger::Logger {
    let mut builder = Builder::new();
    builder.parse_filters(filter.unwrap_or(OF_DAEMON));
    with_fixed_filters(builder).build()
}

fn with_fixed_filters(mut builder: Builder) -> Builder {
    builder
        .format_timestamp_millis()
        // At debug level fuser prints requests, and a request may contain a password.
        .filter_module("fuser", LevelFilter::Warn)
        // At debug level rustyline prints every key that is pressed.
        .filter_module("rustyline", LevelFilter::Warn)
        // fuser warns of each reply that comes after an unmount, when no program waits for it.
        .filter_module("fuser::reply", LevelFilter::Off)
        // fuser warns of every unmount that it did not make itself.
        .filter_module("fuser::session", LevelFilter::Error);
    builder
}
