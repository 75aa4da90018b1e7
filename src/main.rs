//! Parse, run, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    slotfs::harden();
    ExitCode::from(slotfs::cli::run(std::env::args_os()))
}
