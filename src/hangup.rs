//! What SIGHUP means to a daemon: a terminal that is gone, or "read the configuration and open the log again" (daemon(7)).

use std::fs::{self, File};

use nix::sys::signal::Signal;

/// Whether SIGHUP stops a daemon in the foreground. It does so on a terminal, unless the caller ignores the signal, as
/// nohup(1) has it. The answer holds for the moment of the start: a process whose terminal hangs up has none any more.
pub(crate) fn is_a_stop() -> bool {
    File::open("/dev/tty").is_ok() && !is_ignored()
}

fn is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (Signal::SIGHUP as u64 - 1)) != 0)
}
