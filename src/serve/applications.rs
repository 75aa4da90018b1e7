//! The applications of a server, each known by a random token and by the process that it is.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use slotfs_token::Application;
use slotfs_wire::ApplicationToken;

use super::admission::Admitted;
use super::process::Process;

/// The most connections of one application at once.
const MOST_OF_ONE: usize = 512;

/// Every application.
#[derive(Default)]
pub(crate) struct Applications {
    all: Mutex<HashMap<ApplicationToken, Arc<Registered>>>,
    connections: Arc<Connections>,
}

/// How many connections there are.
struct Connections {
    count: AtomicUsize,
    /// When there was last one.
    last: Mutex<Instant>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        }
    }
}

/// One connection among [`Applications::enter`]'s most.
pub(crate) struct Entered(Arc<Connections>);

/// An application, with its connections.
pub(crate) struct Registered {
    pub(crate) application: Arc<Application>,
    pub(crate) process: Process,
    pub(crate) admitted: Admitted,
    streams: Mutex<HashMap<u64, UnixStream>>,
    next: AtomicUsize,
}

impl Applications {
    fn all(&self) -> MutexGuard<'_, HashMap<ApplicationToken, Arc<Registered>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` when there are too many.
    pub(crate) fn enter(&self, most: usize) -> Option<Entered> {
        let connections = Arc::clone(&self.connections);
        let before = connections.count.fetch_add(1, Ordering::AcqRel);
        let entered = Entered(connections);
        (before < most).then_some(entered)
    }

    /// Since when there is no connection; `None` while there is one.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle = self.connections.count.load(Ordering::Acquire) == 0;
        let last = self.connections.last.lock();
        idle.then(|| *last.unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a new application in.
    pub(crate) fn register(
        &self,
        token: ApplicationToken,
        application: Arc<Application>,
        process: Process,
        admitted: Admitted,
    ) -> Arc<Registered> {
        let registered = Arc::new(Registered {
            application,
            process,
            admitted,
            streams: Mutex::default(),
            next: AtomicUsize::new(0),
        });
        self.all().insert(token, Arc::clone(&registered));
        registered
    }

    /// The application of that token, if it is the process that it was.
    pub(crate) fn find(
        &self,
        token: &ApplicationToken,
        process: Process,
    ) -> Option<Arc<Registered>> {
        let found = self.all().get(token).cloned();
        found.filter(|it| it.process == process)
    }

    /// Ends an application that has no connection any more.
    pub(crate) fn end_if_alone(&self, token: &ApplicationToken) {
        let ended = {
            let mut all = self.all();
            let alone = all.get(token).is_some_and(|it| it.streams().is_empty());
            alone.then(|| all.remove(token)).flatten()
        };
        if let Some(ended) = ended {
            ended.application.end();
        }
    }

    /// Ends every application of a process that has ended: a forked child may hold its connections open.
    pub(crate) fn end_process(&self, process: Process) {
        let ended: Vec<Arc<Registered>> = {
            let mut all = self.all();
            let tokens: Vec<ApplicationToken> = all
                .iter()
                .filter(|(_, it)| it.process == process)
                .map(|(token, _)| *token)
                .collect();
            tokens
                .iter()
                .filter_map(|token| all.remove(token))
                .collect()
        };
        for it in ended {
            it.end();
        }
    }

    /// Ends every application.
    pub(crate) fn end_all(&self) {
        let all: Vec<Arc<Registered>> = self.all().drain().map(|(_, it)| it).collect();
        for it in all {
            it.end();
        }
    }
}

impl Registered {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection; its number. `None` when there are too many, or it cannot be kept.
    pub(crate) fn add(&self, stream: &UnixStream) -> Option<u64> {
        let kept = stream.try_clone().ok()?;
        let mut streams = self.streams();
        if streams.len() >= MOST_OF_ONE {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        streams.insert(number, kept);
        Some(number)
    }

    pub(crate) fn remove(&self, number: u64) {
        self.streams().remove(&number);
    }

    fn end(&self) {
        self.application.end();
        for stream in self.streams().values() {
            // Its thread sees the end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}
