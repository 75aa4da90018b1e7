//! slotfs: a software HSM whose partitions are directories.
//!
//! One direction of flow; nothing goes back up but replies and errors:
//!
//! ```text
//! kernel -> fs -> hsm -> blob, store
//! ```
//!
//! - [`fs`] decodes a kernel request, makes one call, replies. It knows neither blobs nor SQLite.
//! - [`hsm`] has every rule: clone, move, destroy, log in. The one composer of what is below it.
//! - [`blob`] is the sealed blob, [`codec`] the payload inside, [`domain`] what it is sealed under.
//! - [`credential`] is who may open a slot, and the slot key; with `blob` and `domain` the only code that
//!   does cryptography for the slots themselves.
//! - [`store`] is SQLite and the committer. It takes sealed rows and opens none.
//! - [`object`] is data: objects, handles, identities, attributes; and what makes them, for which
//!   `object::generate` and `object::import` alone use aws-lc-rs.
//! - [`cli`] and [`daemon`] are the command and the mount; `shell` is the command kept open.

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

/// Prepares the process, before it opens a file or starts a thread.
pub fn begin() {
    daemon::Inherited::note();
    harden();
}

/// Runs `work` where it has the room that it needs, also when the limit of the stack (`ulimit -s`) leaves the main thread
/// less: an overflow would end the process without a word.
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
                // With a stream that is gone there is nobody to tell.
                let _ = std::io::Write::write_all(
                    &mut std::io::stderr(),
                    format!(
                        "slotfs: {why}
"
                    )
                    .as_bytes(),
                );
                why.outcome().exit
            }
        }
    })
}

/// Keeps the process's memory to itself: no core dumps, no ptrace by others of the same user, files made
/// by it for its user alone. Call it before anything secret is read.
pub fn harden() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    use nix::sys::stat::{Mode, umask};
    // What the system refuses here it would also have kept from us; there is no log yet to say so.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = nix::sys::prctl::set_dumpable(false);
    umask(Mode::from_bits_truncate(0o077));
    // A file that reached RLIMIT_FSIZE is EFBIG for the one who writes it; the signal would end the whole daemon. Every
    // thread to come inherits the mask, and programs that slotfs starts do not.
    let _ = SigSet::from_iter([Signal::SIGXFSZ]).thread_block();
}
