//! The thread that sees processes end, and connections come through doors.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::door::{Came, Door};
use super::process::Process;
use super::{Shared, failed, listener};
use crate::error::Result;
use crate::hsm::asker;

/// The pause after an error of poll(2).
const PAUSE: Duration = Duration::from_millis(50);

/// What is watched.
pub(crate) struct Watch {
    changed: OwnedFd,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    processes: Vec<(Process, Arc<OwnedFd>)>,
    doors: Vec<Arc<Door>>,
}

impl Watch {
    pub(crate) fn new() -> Result<Self> {
        let changed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(failed("make an eventfd"))?;
        Ok(Self {
            changed,
            watched: Mutex::default(),
        })
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches for the end of a process.
    pub(crate) fn add_process(&self, process: Process, descriptor: OwnedFd) {
        let mut watched = self.watched();
        if watched.processes.iter().all(|(it, _)| *it != process) {
            watched.processes.push((process, Arc::new(descriptor)));
            drop(watched);
            self.wake();
        }
    }

    /// Forgets a process that has no application any more.
    pub(crate) fn forget(&self, process: Process) {
        self.watched().processes.retain(|(it, _)| *it != process);
    }

    /// Watches a door, unless its user has `most` already.
    pub(crate) fn add_door(&self, door: Door, most: usize) -> bool {
        let mut watched = self.watched();
        let uid = door.admitted.uid;
        let doors = watched.doors.iter();
        if doors.filter(|it| it.admitted.uid == uid).count() >= most {
            return false;
        }
        watched.doors.push(Arc::new(door));
        drop(watched);
        self.wake();
        true
    }

    pub(crate) fn wake(&self) {
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }
}

/// Logs what a client of user `uid` did wrong. The log limits what it takes of one user.
pub(crate) fn complain(uid: u32, text: &str) {
    asker::on_behalf(Some(uid), || log::warn!("refused: {text}"));
}

/// Starts the thread.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<JoinHandle<()>> {
    let shared = Arc::downgrade(shared);
    std::thread::Builder::new()
        .name("watch-processes".into())
        .spawn(move || {
            while let Some(shared) = shared.upgrade() {
                if shared.closing.load(std::sync::atomic::Ordering::Acquire) {
                    return;
                }
                once(&shared);
            }
        })
        .map_err(failed("start a thread"))
}

/// Waits until something happens, and takes it in.
fn once(shared: &Arc<Shared>) {
    let watch = &shared.watch;
    let (processes, doors) = {
        let watched = watch.watched();
        (watched.processes.clone(), watched.doors.clone())
    };
    let mut polled = vec![PollFd::new(&watch.changed, PollFlags::IN)];
    let ends = processes.iter().map(|(_, descriptor)| &**descriptor);
    polled.extend(ends.map(|it| PollFd::new(it, PollFlags::IN)));
    let knocks = doors.iter().map(|door| door.as_fd());
    polled.extend(knocks.map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN)));
    let second = rustix::event::Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    if let Err(error) = poll(&mut polled, Some(&second)) {
        log::debug!("poll: {error}");
        std::thread::sleep(PAUSE);
        return;
    }
    let happened: Vec<bool> = polled.iter().map(|it| !it.revents().is_empty()).collect();
    drop(polled);
    let mut number = [0; 8];
    let _ = rustix::io::read(watch.changed.as_fd(), &mut number);
    let (of_processes, of_doors) = happened[1..].split_at(processes.len());
    let ended: Vec<Process> = processes
        .iter()
        .zip(of_processes)
        .filter(|(_, happened)| **happened)
        .map(|((process, _), _)| *process)
        .collect();
    let mut closed: Vec<Arc<Door>> = Vec::new();
    for (door, _) in doors
        .iter()
        .zip(of_doors)
        .filter(|(_, happened)| **happened)
    {
        match door.take() {
            Came::Connection(stream) => {
                listener::take(stream, Some(door.admitted.clone()), shared);
            }
            Came::Nothing => {}
            Came::End => closed.push(Arc::clone(door)),
        }
    }
    {
        let mut watched = watch.watched();
        watched.processes.retain(|(it, _)| !ended.contains(it));
        watched
            .doors
            .retain(|it| !closed.iter().any(|closed| Arc::ptr_eq(closed, it)));
    }
    for process in ended {
        shared.applications.end_process(process);
    }
}
