//! The program: prepares the process and runs one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // These two come before the program opens a file, starts a thread or reads a secret.
    slotfs::Inherited::note();
    harden();
    ExitCode::from(slotfs::run_with_enough_stack(|| {
        slotfs::run(std::env::args_os())
    }))
}

/// Keeps secrets inside the process: no core dumps, no ptrace by other processes of the same user, and files that only
/// this user can read. It changes the whole process, so only a program may call it.
fn harden() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    use nix::sys::stat::{Mode, umask};
    // There is no log yet. If the system refuses one of these, the others still help.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = nix::sys::prctl::set_dumpable(false);
    umask(Mode::from_bits_truncate(0o077));
    // With SIGXFSZ blocked, a write beyond RLIMIT_FSIZE fails with EFBIG instead of ending the daemon. Every later thread
    // inherits the mask; programs that slotfs starts do not.
    let _ = SigSet::from_iter([Signal::SIGXFSZ]).thread_block();
}
