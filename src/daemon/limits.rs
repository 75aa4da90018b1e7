//! What the event loops need, tried before the mount is made: fuser aborts or dies quietly without it.

use std::fs::File;
use std::io;
use std::sync::{Arc, RwLock, mpsc};
use std::thread;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::EVENT_LOOPS;
use crate::error::{Error, Result};

/// fuser's buffer of one event loop: its largest write and a page.
const LOOP_BYTES: usize = 16 * 1024 * 1024 + 4096;
/// For answers, for the store's pages, and for what the allocator rounds up.
const OTHER_BYTES: usize = 32 * 1024 * 1024;
/// What glibc's malloc reserves of the address space for each thread that allocates (`HEAP_MAX_SIZE`). It is not memory,
/// but RLIMIT_AS counts it.
const ARENA_BYTES: usize = 64 * 1024 * 1024;
/// Threads beside the event loops: the session, the signals, the watch, a login, and a few in reserve.
const OTHER_THREADS: usize = 8;
/// Descriptors: /dev/fuse once for each event loop, pipes, the store's files, and a few requests' worth.
const DESCRIPTORS: usize = 24;

/// Seconds of processor time to unmount in, before the hard limit ends the process.
const CPU_TO_END: u64 = 2;

type Limit = (Resource, &'static str, &'static str, &'static str);

/// Raises the soft limit of descriptors and tries everything that readiness promises.
///
/// # Errors
/// [`Error::Mount`], naming the limit.
pub(crate) fn try_out() -> Result<()> {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // A system that refuses leaves the soft limit, which is tried next.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_CPU)
        && hard != RLIM_INFINITY
        && soft >= hard
    {
        // SIGXCPU unmounts; SIGKILL, which comes with the hard limit, would leave a dead mount.
        let _ = setrlimit(
            Resource::RLIMIT_CPU,
            hard.saturating_sub(CPU_TO_END).max(1),
            hard,
        );
    }
    let mut held = Vec::new();
    for _ in 0..DESCRIPTORS {
        held.push(File::open("/dev/null").map_err(|why| lacking("open files", &why))?);
    }
    try_threads()
}

fn try_threads() -> Result<()> {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    let (say, hear) = mpsc::channel();
    let mut threads = Vec::new();
    let mut outcome = Ok(());
    let has_limit = getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY);
    let arenas = if has_limit {
        (EVENT_LOOPS + OTHER_THREADS) * ARENA_BYTES
    } else {
        0
    };
    for i in 0..EVENT_LOOPS + OTHER_THREADS {
        let bytes = match i {
            0 => LOOP_BYTES + OTHER_BYTES + arenas,
            _ if i < EVENT_LOOPS => LOOP_BYTES,
            _ => 4096,
        };
        let (gate, say) = (Arc::clone(&gate), say.clone());
        let started = thread::Builder::new().spawn(move || {
            let mut buffer: Vec<u8> = Vec::new();
            let got = buffer.try_reserve_exact(bytes).is_ok();
            let _ = say.send(got);
            // All at once: each thread keeps what it got until the last one has tried.
            drop(gate.read());
        });
        match started {
            Ok(thread) => threads.push(thread),
            Err(why) => {
                outcome = Err(lacking("start the event loops", &why));
                break;
            }
        }
    }
    for _ in &threads {
        if outcome.is_ok() && hear.recv() != Ok(true) {
            outcome = Err(lacking(
                "get memory for the event loops",
                &io::Error::from_raw_os_error(libc::ENOMEM),
            ));
        }
    }
    drop(closed);
    for thread in threads {
        // It does nothing that panics.
        let _ = thread.join();
    }
    outcome
}

/// The error of a resource that is not there, with the limit that may be the reason.
pub(crate) fn lacking(what: &str, why: &io::Error) -> Error {
    Error::Mount {
        what: format!("cannot {what}: {why}"),
        hint: hint(why),
    }
}

/// What to do about an error that a limit of the process can cause.
pub(crate) fn hint(why: &io::Error) -> Option<String> {
    const SPACE: [Limit; 2] = [
        (Resource::RLIMIT_AS, "RLIMIT_AS", "-v", "bytes of memory"),
        (Resource::RLIMIT_DATA, "RLIMIT_DATA", "-d", "bytes of data"),
    ];
    const FILES: Limit = (Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE", "-n", "open files");
    const THREADS: Limit = (
        Resource::RLIMIT_NPROC,
        "RLIMIT_NPROC",
        "-u",
        "processes and threads",
    );
    let limits = match why.raw_os_error()? {
        libc::ENOMEM => SPACE.to_vec(),
        libc::EMFILE => vec![FILES],
        // The C library says so too of a thread whose stack has no room.
        libc::EAGAIN => [&SPACE[..], &[THREADS]].concat(),
        libc::ENFILE => return Some("the system has too many open files: fs.file-max".into()),
        _ => return None,
    };
    let set: Vec<String> = limits
        .into_iter()
        .filter_map(|(resource, name, option, what)| {
            let (soft, _) = getrlimit(resource).ok()?;
            (soft != RLIM_INFINITY).then(|| format!("{soft} {what} ({name}, ulimit {option})"))
        })
        .collect();
    if set.is_empty() {
        return Some("the system has no more to give: end other processes".into());
    }
    Some(format!(
        "this process may have {}: raise the limit",
        set.join(" and ")
    ))
}

/// The limits that are set at all, for a process that ended before it could say why.
pub(crate) fn set() -> String {
    let limits = [
        (Resource::RLIMIT_AS, "RLIMIT_AS"),
        (Resource::RLIMIT_DATA, "RLIMIT_DATA"),
        (Resource::RLIMIT_STACK, "RLIMIT_STACK"),
        (Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE"),
        (Resource::RLIMIT_NPROC, "RLIMIT_NPROC"),
        (Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE"),
        (Resource::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"),
    ];
    let set: Vec<String> = limits
        .into_iter()
        .filter_map(|(resource, name)| {
            let (soft, _) = getrlimit(resource).ok()?;
            (soft != RLIM_INFINITY).then(|| format!("{name} {soft}"))
        })
        .collect();
    set.join(", ")
}
