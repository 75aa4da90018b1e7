//! The thread that sees processes end, and connections come through doors.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::door::{Came, Door};
use super::process::Process;
use super::{Shared, failed, listener};
use crate::error::Result;

/// How often the same user is told of in the log.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);

/// What is watched.
pub(crate) struct Watch {
    changed: OwnedFd,
    watched: Mutex<Watched>,
    refusals: Mutex<HashMap<u32, (Instant, u64)>>,
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
            refusals: Mutex::default(),
        })
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a process, and a door of its.
    pub(crate) fn add(&self, process: Process, descriptor: OwnedFd, door: Option<Door>) {
        {
            let mut watched = self.watched();
            if !watched.processes.iter().any(|(it, _)| *it == process) {
                watched.processes.push((process, Arc::new(descriptor)));
            }
            watched.doors.extend(door.map(Arc::new));
        }
        self.wake();
    }

    pub(crate) fn wake(&self) {
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }

    /// Logs that somebody was refused, once a minute for each user; the others are counted.
    pub(crate) fn refusal(&self, uid: u32, text: impl FnOnce() -> String) {
        const MOST_USERS: usize = 1_024;
        let now = Instant::now();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() > MOST_USERS {
            refusals.retain(|_, (last, _)| now.duration_since(*last) < REFUSAL_INTERVAL);
        }
        match refusals.get_mut(&uid) {
            Some((last, more)) if now.duration_since(*last) < REFUSAL_INTERVAL => *more += 1,
            there => {
                let more = there.map_or(0, |(_, more)| *more);
                refusals.insert(uid, (now, 0));
                drop(refusals);
                let text = text();
                match more {
                    0 => log::warn!("refused: {text}"),
                    more => log::warn!("refused: {text}; and {more} times since the last report"),
                }
            }
        }
    }
}

/// Starts the thread.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
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
        .map(drop)
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
    if poll(&mut polled, Some(&second)).is_err() {
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
                listener::take_as(stream, Some(door.admitted.clone()), shared);
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
