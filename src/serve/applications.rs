//! The applications of a server, each known by a random token and by the process that it is.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slotfs_token::Application;
use slotfs_wire::ApplicationToken;

use super::Shared;
use super::process::Process;

/// The most connections of one application at once.
const MOST_OF_ONE: usize = 512;

/// Every application.
#[derive(Default)]
pub(crate) struct Applications(Mutex<All>);

#[derive(Default)]
struct All {
    registered: HashMap<ApplicationToken, Registered>,
    /// The number of the next connection.
    next: u64,
    /// None is taken in any more.
    closed: bool,
}

/// An application, with its connections.
struct Registered {
    application: Arc<Application>,
    process: Process,
    streams: HashMap<u64, Arc<UnixStream>>,
}

/// A connection of an application, until this is dropped. The last one ends the application.
pub(crate) struct Joined<'a> {
    pub(crate) application: Arc<Application>,
    pub(crate) token: ApplicationToken,
    shared: &'a Shared,
    number: u64,
}

/// Why a connection does not get to its application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no application of this token in this process.
    Unknown,
    TooMany,
    /// The server ends.
    Closed,
}

impl Shared {
    /// Takes in a new application with its first connection.
    pub(crate) fn register(
        &self,
        token: ApplicationToken,
        application: Arc<Application>,
        process: Process,
        stream: &Arc<UnixStream>,
    ) -> Result<Joined<'_>, Refused> {
        let mut all = self.applications.all();
        if all.closed {
            return Err(Refused::Closed);
        }
        let registered = Registered {
            application,
            process,
            streams: HashMap::new(),
        };
        all.registered.insert(token, registered);
        self.join_in(all, token, process, stream)
    }

    /// Adds a connection to the application of that token, if it is of the process that the application is.
    pub(crate) fn join(
        &self,
        token: ApplicationToken,
        process: Process,
        stream: &Arc<UnixStream>,
    ) -> Result<Joined<'_>, Refused> {
        self.join_in(self.applications.all(), token, process, stream)
    }

    fn join_in(
        &self,
        mut all: MutexGuard<'_, All>,
        token: ApplicationToken,
        process: Process,
        stream: &Arc<UnixStream>,
    ) -> Result<Joined<'_>, Refused> {
        let number = all.next;
        let registered = all.registered.get_mut(&token);
        let registered = registered.filter(|it| it.process == process);
        let registered = registered.ok_or(Refused::Unknown)?;
        if registered.streams.len() >= MOST_OF_ONE {
            return Err(Refused::TooMany);
        }
        registered.streams.insert(number, Arc::clone(stream));
        let application = Arc::clone(&registered.application);
        all.next += 1;
        Ok(Joined {
            application,
            token,
            shared: self,
            number,
        })
    }
}

impl Applications {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_those(&self, which: impl Fn(&ApplicationToken, &Registered) -> bool) {
        let ended: Vec<Registered> = {
            let mut all = self.all();
            all.registered
                .extract_if(|token, it| which(token, it))
                .map(|(_, it)| it)
                .collect()
        };
        for it in ended {
            it.end();
        }
    }

    /// Ends every application of a process that has ended: a forked child may hold its connections open.
    pub(crate) fn end_process(&self, process: Process) {
        self.end_those(|_, it| it.process == process);
    }

    /// How many applications there are, and how many sessions they have.
    pub(crate) fn count(&self) -> (u64, u64) {
        let all = self.all();
        let there: Vec<_> = all
            .registered
            .values()
            .map(|it| Arc::clone(&it.application))
            .collect();
        drop(all);
        let sessions = there.iter().map(|it| it.session_count() as u64).sum();
        (there.len() as u64, sessions)
    }

    /// Ends every application, and takes in no other.
    pub(crate) fn close(&self) {
        self.all().closed = true;
        self.end_those(|_, _| true);
    }
}

impl Registered {
    fn end(&self) {
        self.application.end();
        for stream in self.streams.values() {
            // Its thread sees the end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Joined<'_> {
    /// Ends the application with all its connections (`C_Finalize`).
    pub(crate) fn finalize(&self) {
        let applications = &self.shared.applications;
        applications.end_those(|token, _| *token == self.token);
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let mut all = self.shared.applications.all();
        let Some(registered) = all.registered.get_mut(&self.token) else {
            return;
        };
        registered.streams.remove(&self.number);
        if !registered.streams.is_empty() {
            return;
        }
        let process = registered.process;
        let ended = all.registered.remove(&self.token);
        if all.registered.values().all(|it| it.process != process) {
            // While the applications are locked: the next one of this process is watched after it is registered.
            self.shared.watch.forget(process);
        }
        drop(all);
        if let Some(ended) = ended {
            ended.end();
        }
    }
}
