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

pub mod blob;
pub mod cli;
pub mod codec;
pub mod credential;
pub mod daemon;
pub mod domain;
pub mod error;
pub mod fs;
#[doc(hidden)]
pub mod fuzzing;
pub mod hsm;
mod interrupt;
mod logging;
pub mod object;
pub mod secret;
mod shell;
pub mod shown;
pub mod store;

/// Prepares the process, before it opens a file or starts a thread.
pub fn begin() {
    daemon::Inherited::note();
    harden();
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
