//! Parse, run, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything opens a file or starts a thread, and before anything secret is read.
    slotfs::daemon::Inherited::note();
    harden();
    ExitCode::from(slotfs::on_a_stack(|| slotfs::cli::run(std::env::args_os())))
}

/// Keeps secrets inside the process: no core dumps, no ptrace by other processes of the same user, and files that only
/// its user can read. It changes the whole process, so it belongs to a program and not to a library.
fn harden() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    use nix::sys::stat::{Mode, umask};
    // There is no log yet; where the system refuses one of these, the others still help.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = nix::sys::prctl::set_dumpable(false);
    umask(Mode::from_bits_truncate(0o077));
    // At RLIMIT_FSIZE a write then fails with EFBIG; the signal would end the daemon. Every later thread inherits the mask,
    // and programs that slotfs starts do not.
    let _ = SigSet::from_iter([Signal::SIGXFSZ]).thread_block();
}
