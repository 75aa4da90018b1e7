//! Parse, run, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    slotfs::begin();
    ExitCode::from(slotfs::on_a_stack(|| slotfs::cli::run(std::env::args_os())))
}
