//! The program of slotfs, a software HSM whose partitions are directories. It is a library so that `main`, the tests, the
//! benchmarks and the fuzz targets can share it.
//!
//! - `cli` parses and runs the commands, `shell` reads commands one after the other, `daemon` makes and serves a mount.
//! - `fs` decodes a request of the kernel, makes one call of the [`hsm`], and replies.
//! - [`hsm`] enforces every rule. It and the crates below it contain no FUSE, no command line and no terminal;
//!   docs/architecture.md describes them.

pub use slotfs_hsm as hsm;
pub use slotfs_keyfile as keyfile;
pub use slotfs_object as object;
pub use slotfs_object::{codec, secret, shown};
pub use slotfs_seal::{blob, credential, domain};

mod cli;
mod daemon;
mod environment;
mod error;
mod fs;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hangup;
mod interrupt;
mod logging;
mod notify;
mod serve;
mod shell;

#[doc(hidden)]
pub use cli::command;
pub use cli::run;
pub use daemon::Inherited;

/// Runs `work` on a thread with 4 MiB of stack if the limit (`ulimit -s`) gives the main thread less: a stack overflow
/// ends the process without a message.
pub fn run_with_enough_stack(work: impl FnOnce() -> u8 + Send) -> u8 {
    use nix::sys::resource::{Resource, getrlimit};
    const ENOUGH: u64 = 4 * 1024 * 1024;
    let is_small = getrlimit(Resource::RLIMIT_STACK).is_ok_and(|(soft, _)| soft < ENOUGH);
    if !is_small {
        return work();
    }
    let stack = usize::try_from(ENOUGH).unwrap_or(usize::MAX);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(stack)
            .spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => error::exit::FAILED,
            Err(why) => {
                let why = daemon::resource_error("start a thread", &why);
                let line = format!("slotfs: {why}\n");
                // If standard error is closed, the exit status alone reports the failure.
                let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
                why.outcome().exit
            }
        }
    })
}
