//! Whether the mount answers: asked before the daemon says that it is ready.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::sys::statfs::statfs;

use super::EVENT_LOOPS;

/// How fuser names the threads of its event loops.
const EVENT_LOOP_NAME: &str = "fuser-";

/// How long the event loops may take to be seen at rest.
const MOST_LOOKS: u32 = 2000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// Sends `answers` once the mount has answered a statfs and every event loop waits for requests, with its buffer.
///
/// # Errors
/// Those of starting a thread. It waits for an answer without end: a mount that never answers ends by its session.
pub fn ask<E: Send + 'static>(mountpoint: &Path, events: Sender<E>, answers: E) -> io::Result<()> {
    let mountpoint = mountpoint.to_owned();
    let asking = move || {
        // The error of a mount that has ended already: the session tells of it.
        if statfs(&mountpoint).is_ok() {
            // A mount that is used at once may never be seen at rest.
            for _ in 0..MOST_LOOKS {
                if are_waiting() {
                    break;
                }
                thread::sleep(BETWEEN_LOOKS);
            }
            let _ = events.send(answers);
        }
    };
    thread::Builder::new()
        .name("answering".into())
        .spawn(asking)
        .map(drop)
}

/// Whether all event loops sleep, as they do in read(2), and not before they have allocated their buffers.
fn are_waiting() -> bool {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        // Without /proc it cannot be told.
        return true;
    };
    let waiting = tasks
        .filter_map(|task| Some(task.ok()?.path()))
        .filter(|task| is_waiting_event_loop(task))
        .count();
    waiting >= EVENT_LOOPS
}

/// proc_pid_stat(5): `PID (NAME) STATE ...`.
fn is_waiting_event_loop(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(") "))
        .is_some_and(|(name, rest)| name.starts_with(EVENT_LOOP_NAME) && rest.starts_with('S'))
}
