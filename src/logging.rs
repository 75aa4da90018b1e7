//! The log: env_logger with `$SLOTFS_LOG`.

use std::fs::File;
use std::io::Write;

use env_logger::{Builder, Env, Target};
use log::{Level, LevelFilter};

use crate::object::show;

mod log_file;

/// Variable with env_logger's filter syntax.
const VARIABLE: &str = "SLOTFS_LOG";

/// Logs of a command: warnings, to standard error, a line of words for each. What `$SLOTFS_LOG` asks for beside them
/// has a time and a place.
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

/// Logs of a daemon: every verdict, to `file` or standard error.
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
        // At debug level fuser prints requests: nothing of a request that may carry a password is logged.
        .filter_module("fuser", LevelFilter::Warn)
        // At debug level rustyline prints every key.
        .filter_module("rustyline", LevelFilter::Warn)
        // fuser reports each answer that an unmount overtook; nobody waits for it any more.
        .filter_module("fuser::reply", LevelFilter::Off)
        // fuser warns of every unmount that somebody else did.
        .filter_module("fuser::session", LevelFilter::Error);
    builder
}

fn init(mut builder: Builder) {
    // Only a second call fails, and then there is a log already.
    let _ = builder.try_init();
}
