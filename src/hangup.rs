//! What SIGHUP means to a daemon: a terminal that is gone, or "read the configuration and open the log again" (daemon(7)).

use std::fs::{self, File};

use nix::sys::signal::Signal;
use slotfs_config::Config;

use crate::logging;

/// Opens the log again, and reads the configuration again. The new configuration, whose filter of the log is in effect;
/// `None` if it is refused, which is logged.
pub(crate) fn reload() -> Option<Config> {
    logging::reopen();
    match Config::load(true) {
        Ok(config) => {
            logging::set_filter(config.log_filter.as_deref());
            log::info!("SIGHUP: the configuration was read again");
            Some(config)
        }
        Err(why) => {
            log::error!(
                "SIGHUP: the new configuration is refused, the old one stays in effect: {why}"
            );
            None
        }
    }
}

/// Whether SIGHUP stops a daemon in the foreground. It does on a terminal, unless the signal is ignored
/// (nohup(1)). Call it at the start: after a hangup the process has no terminal.
pub(crate) fn is_a_stop() -> bool {
    File::open("/dev/tty").is_ok() && !is_ignored()
}

fn is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (Signal::SIGHUP as u64 - 1)) != 0)
}
