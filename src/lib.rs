//! The program of slotfs, a software HSM whose partitions are directories, as a library: for its `main`, its tests, its
//! benchmarks and its fuzzers.
//!
//! - [`fs`] decodes a kernel request, makes one call of the [`hsm`], and replies.
//! - [`cli`] is the command line, `shell` the command that stays open, [`daemon`] the mount.
//! - [`hsm`] has every rule. It and what is below it know no file, no terminal and no kernel: they are the crates below
//!   `crates/`, which docs/architecture.md describes.

pub use slotfs_hsm as hsm;
pub use slotfs_keyfile as keyfile;
pub use slotfs_object as object;
pub use slotfs_object::{codec, secret, shown};
pub use slotfs_seal::{blob, credential, domain};

pub mod cli;
pub mod daemon;
mod environment;
pub mod error;
pub mod fs;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod interrupt;
mod logging;
mod shell;

/// Runs `work` on a thread with enough stack, if the limit (`ulimit -s`) leaves the main thread less than that: an overflow
/// would end the process without a message.
pub fn on_a_stack(work: impl FnOnce() -> u8 + Send) -> u8 {
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
                let why = daemon::lacking("start a thread", &why);
                let line = format!("slotfs: {why}\n");
                // If standard error is closed, the exit status says it alone.
                let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
                why.outcome().exit
            }
        }
    })
}
