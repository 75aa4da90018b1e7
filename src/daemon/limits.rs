//! Tests before the mount is made that the process can get the resources that the event loops need. Without them, fuser
//! aborts or ends without a message.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock, mpsc};
use std::thread;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::{EVENT_LOOPS, mount_error};
use crate::error::{Error, Result};

/// Size of fuser's buffer for one event loop: its largest write and a page.
const LOOP_BYTES: usize = 16 * 1024 * 1024 + 4096;
/// Memory for replies and the store's pages, with room for what the allocator rounds up.
const OTHER_BYTES: usize = 32 * 1024 * 1024;
/// Address space that glibc's malloc reserves for each thread that allocates (`HEAP_MAX_SIZE`). It uses no memory, but
/// RLIMIT_AS counts it.
const ARENA_BYTES: usize = 64 * 1024 * 1024;
/// Number of threads beside the event loops: session, signals, watch, a login, and a few in reserve.
const OTHER_THREADS: usize = 8;
/// Threads of a store in a cluster: the engine, its lease, its upkeep, and one that writes.
const ENGINE_THREADS: usize = 4;
/// What must be free before a thread is started: its stack of 2 MiB, the stack for its signals, and what it allocates before it
/// runs. A thread that does not get them panics where it cannot be caught, and its message needs memory too.
const THREAD_BYTES: usize = 4 * 1024 * 1024;
/// Number of descriptors: /dev/fuse for each event loop, pipes, the store's files, and those of a few requests.
const DESCRIPTORS: usize = 24;

/// Seconds of processor time between the soft limit, at which the daemon unmounts, and the hard limit, which ends it.
const UNMOUNT_CPU_SECS: u64 = 2;

/// A resource, the option of `ulimit` for it, and the words for its unit.
type Limit = (Resource, &'static str, &'static str);

const LIMITS: [Limit; 7] = [
    (Resource::RLIMIT_AS, "-v", "bytes of memory"),
    (Resource::RLIMIT_DATA, "-d", "bytes of data"),
    (Resource::RLIMIT_STACK, "-s", "bytes of stack"),
    (Resource::RLIMIT_NOFILE, "-n", "open files"),
    (Resource::RLIMIT_NPROC, "-u", "processes and threads"),
    (Resource::RLIMIT_FSIZE, "-f", "bytes in a file"),
    (Resource::RLIMIT_MEMLOCK, "-l", "bytes of locked memory"),
];

/// The soft limit of `resource`, if it has one.
fn soft_limit(resource: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

/// The limits that are set, each with its value.
fn soft_limits() -> impl Iterator<Item = (u64, Limit)> {
    LIMITS
        .into_iter()
        .filter_map(|limit| Some((soft_limit(limit.0)?, limit)))
}

/// Raises the soft limit of descriptors as far as the hard one. If the system refuses, the soft limit stays.
pub(crate) fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Raises the soft limit of descriptors, and gets every resource once that the mount will need.
///
/// # Errors
/// [`Error::Mount`] with the limit that is too low.
pub(crate) fn check_resources(store: &Path) -> Result<()> {
    raise_open_files();
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_CPU)
        && hard != RLIM_INFINITY
        && soft >= hard
    {
        // At the soft limit, SIGXCPU makes the daemon unmount. SIGKILL at the hard limit would leave a dead mount.
        let soft = hard.saturating_sub(UNMOUNT_CPU_SECS).max(1);
        let _ = setrlimit(Resource::RLIMIT_CPU, soft, hard);
    }
    let mut held = Vec::new();
    for _ in 0..DESCRIPTORS {
        held.push(File::open("/dev/null").map_err(|why| resource_error("open files", &why))?);
    }
    let of_store = match slotfs_config::store::is_in_cluster(store) {
        true => ENGINE_THREADS,
        false => 0,
    };
    check_threads(EVENT_LOOPS + OTHER_THREADS + of_store)
}

/// Starts as many threads as the daemon needs, one after the other; each allocates what an event loop allocates.
fn check_threads(count: usize) -> Result<()> {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    let mut threads = Vec::new();
    let mut outcome = Ok(());
    let arenas = match soft_limit(Resource::RLIMIT_AS) {
        Some(_) => count * ARENA_BYTES,
        None => 0,
    };
    for i in 0..count {
        let bytes = match i {
            0 => LOOP_BYTES + OTHER_BYTES + arenas,
            _ if i < EVENT_LOOPS => LOOP_BYTES,
            _ => 4096,
        };
        if let Err(why) = region::alloc(THREAD_BYTES, region::Protection::READ_WRITE) {
            outcome = Err(resource_error(
                "get memory for the event loops",
                &why.into_io_error(),
            ));
            break;
        }
        let (sender, answer) = mpsc::channel();
        let gate = Arc::clone(&gate);
        let started = thread::Builder::new().spawn(move || {
            let mut buffer: Vec<u8> = Vec::new();
            let _ = sender.send(buffer.try_reserve_exact(bytes).is_ok());
            // Each thread keeps its memory until the last thread has tried, because the daemon needs all of it at once.
            drop(gate.read());
        });
        match started {
            Ok(thread) => threads.push(thread),
            Err(why) => {
                outcome = Err(resource_error("start the event loops", &why));
                break;
            }
        }
        if answer.recv() != Ok(true) {
            let why = io::Error::from_raw_os_error(libc::ENOMEM);
            outcome = Err(resource_error("get memory for the event loops", &why));
            break;
        }
    }
    drop(closed);
    for thread in threads {
        let _ = thread.join();
    }
    outcome
}

/// Makes the error "cannot `what`: reason", with a hint that names the limits that may be the cause.
pub(crate) fn resource_error(what: &str, why: &io::Error) -> Error {
    mount_error(format!("cannot {what}: {why}"), hint(why))
}

/// The hint for an error that a limit of the process can cause.
pub(crate) fn hint(why: &io::Error) -> Option<String> {
    use Resource::{RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE, RLIMIT_NPROC};
    let suspects = match why.raw_os_error()? {
        libc::ENOMEM => &[RLIMIT_AS, RLIMIT_DATA][..],
        libc::EMFILE => &[RLIMIT_NOFILE],
        // The C library also returns EAGAIN if there is no memory for a thread's stack.
        libc::EAGAIN => &[RLIMIT_AS, RLIMIT_DATA, RLIMIT_NPROC],
        libc::ENFILE => {
            return Some("the system has too many open files: raise the sysctl fs.file-max".into());
        }
        _ => return None,
    };
    let limits: Vec<String> = soft_limits()
        .filter(|(_, (resource, ..))| suspects.contains(resource))
        .map(|(soft, (resource, option, unit))| {
            format!("{soft} {unit} ({resource:?}, ulimit {option})")
        })
        .collect();
    Some(match limits.is_empty() {
        true => "the system has no resources left: end other processes".into(),
        false => format!(
            "this process is limited to {}: raise the limit",
            limits.join(" and ")
        ),
    })
}

/// The soft limits of this process, for a daemon that ended without a message.
pub(crate) fn list_limits() -> String {
    let limits: Vec<String> = soft_limits()
        .map(|(soft, (resource, ..))| format!("{resource:?} {soft}"))
        .collect();
    limits.join(", ")
}
