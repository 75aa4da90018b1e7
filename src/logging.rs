//! Sets up the log of a command or a daemon: env_logger, with `$SLOTFS_LOG` as its filter.

use std::fs::File;
use std::io::Write;

use env_logger::{Builder, Env, Target};
use log::{Level, LevelFilter};

use crate::object::show;

mod log_file;

/// The environment variable that holds the filter, in env_logger's syntax.
const VARIABLE: &str = "SLOTFS_LOG";

/// Starts the log of a command, on standard error. A warning or an error is one line without a time. Lower levels, which
/// only `$SLOTFS_LOG` can enable, have a time and a target.
pub(crate) fn for_command() {
    let mut builder = builder("warn");
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
    init(builder);
}

/// Starts the log of a daemon, in `file` or on standard error. It contains every verdict.
pub(crate) fn for_daemon(file: Option<File>) {
    let mut builder = builder("warn,slotfs=info");
    if let Some(file) = file {
        builder.target(Target::Pipe(Box::new(log_file::LogFile::new(file))));
    }
    init(builder);
}

fn builder(default: &str) -> Builder {
    let mut builder = Builder::from_env(Env::new().filter_or(VARIABLE, default));
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

fn init(mut builder: Builder) {
    // It fails only if a log exists already.
    let _ = builder.try_init();
}
