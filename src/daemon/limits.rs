//! Limits of the process (getrlimit(2)): what the daemon needs is tried before it says that it is ready.

use std::fs::File;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::{EVENT_LOOPS, failed};
use crate::error::{Error, Result};

/// What to do where there are no descriptors left.
pub const OPEN_FILES: &str = "too many files are open: raise the limit of open files (ulimit -n)";
/// What to do where no process or thread can be started.
pub const PROCESSES: &str = "no process or thread can be started: raise the limit of processes (ulimit -u), or that \
                             of the container (pids)";
/// What to do where memory is short.
pub const MEMORY: &str =
    "memory is short: raise the limit of the address space (ulimit -v), or that of the container";

/// A request's buffer in fuser, and the stack of the thread that has it.
const EVENT_LOOP_BYTES: usize = (16 + 2 + 1) * 1024 * 1024;
/// What glibc's malloc takes of the address space for each thread, and the threads of a daemon: a limit of the address
/// space counts it though it is not memory.
const ARENA_BYTES: usize = 64 * 1024 * 1024;
const THREADS: usize = EVENT_LOOPS + 6;
/// For all else that a daemon allocates while it answers: SQLite's pages, listings, blobs.
const OTHER_BYTES: usize = 48 * 1024 * 1024;
/// Descriptors for what is opened while requests are answered: connections to the store, staging, random numbers.
const SPARE_DESCRIPTORS: usize = 24;

/// As many descriptors as this user may have.
pub fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Then the lower limit holds; whether it suffices is tried.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Tries to have the memory of the event loops, and some more.
///
/// # Errors
/// [`Error::Mount`], naming the limit.
pub fn try_memory() -> Result<()> {
    let mut bytes = EVENT_LOOPS * EVENT_LOOP_BYTES + OTHER_BYTES;
    if in_force().is_some() {
        bytes += THREADS * ARENA_BYTES;
    }
    let mut all: Vec<u8> = Vec::new();
    all.try_reserve_exact(bytes).map_err(|_| Error::Mount {
        what: format!(
            "there is not enough memory for the mount: it needs {} MiB more",
            bytes / (1024 * 1024)
        ),
        hint: Some(in_force().map_or_else(
            || MEMORY.into(),
            |limits| format!("{MEMORY}; in force: {limits}"),
        )),
    })
}

/// Tries to have the descriptors that requests need.
///
/// # Errors
/// [`Error::Mount`], naming the limit.
pub fn try_descriptors() -> Result<()> {
    let null = Path::new("/dev/null");
    let opened: std::io::Result<Vec<File>> =
        (0..SPARE_DESCRIPTORS).map(|_| File::open(null)).collect();
    match opened {
        Ok(_) => Ok(()),
        Err(why) if matches!(why.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            Err(Error::Mount {
                what: format!("there are not enough descriptors for the mount: {why}"),
                hint: Some(OPEN_FILES.into()),
            })
        }
        Err(why) => Err(failed("open /dev/null", &why)),
    }
}

/// The limits that can end a daemon, as far as they are set.
pub fn in_force() -> Option<String> {
    let limits = [
        (Resource::RLIMIT_AS, "address space", "ulimit -v"),
        (Resource::RLIMIT_DATA, "data", "ulimit -d"),
    ];
    let set: Vec<String> = limits
        .into_iter()
        .filter_map(|(resource, name, word)| {
            let (soft, _) = getrlimit(resource).ok()?;
            (soft != RLIM_INFINITY).then(|| format!("{name} {} KiB ({word})", soft / 1024))
        })
        .collect();
    (!set.is_empty()).then(|| set.join(", "))
}
