//! The connections of an application: one for each call that runs, kept for later calls.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slotfs_wire::{ApplicationToken, Request, StoreId, frame};

use crate::connection::{Connection, Sink};
use crate::socket::Socket;
use crate::sys::{self, FileId};

/// The most connections that are kept for later calls.
const MOST_KEPT: usize = 64;
/// How long `C_Finalize` waits for the server's last word.
const GOODBYE: Duration = Duration::from_secs(1);

/// The connections of one application.
pub(crate) struct Pool {
    inner: Mutex<Inner>,
    /// Held while the application becomes known to a server, so that it does so once.
    introducing: Mutex<()>,
}

#[derive(Default)]
pub(crate) struct Inner {
    idle: Vec<Connection>,
    /// Every socket that is open, so that all can be shut down.
    open: Vec<(RawFd, FileId)>,
    /// What the server knows the application by, while that server lives.
    pub(crate) application: Option<ApplicationToken>,
    /// Counts the servers that were talked to.
    pub(crate) server: u64,
    pub(crate) door: Option<Socket>,
    /// The parent's door. A child may be unable to get one, so this one stays.
    inherited_door: Option<Socket>,
    /// The store that the server was asked for.
    pub(crate) store: Option<(PathBuf, StoreId)>,
}

impl Inner {
    /// The doors to try.
    pub(crate) fn doors(&self) -> impl Iterator<Item = &Socket> {
        self.door.iter().chain(&self.inherited_door)
    }
}

/// What happens to a connection that is registered while the module is finalised.
pub(crate) struct Closed;

impl Pool {
    pub(crate) fn new(inherited_door: Option<Socket>) -> Self {
        let inner = Inner {
            inherited_door,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            introducing: Mutex::new(()),
        }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn introducing(&self) -> MutexGuard<'_, ()> {
        let guard = self.introducing.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    /// In a child of fork: closes the parent's connections, and gives its door. If another thread of the parent held the
    /// lock, nobody ever releases it here, and everything stays open.
    pub(crate) fn take_inherited(&self) -> Option<Socket> {
        let mut inner = self.inner.try_lock().ok()?;
        inner.idle.clear();
        for (descriptor, id) in std::mem::take(&mut inner.open) {
            if sys::file_id(descriptor) == Some(id) {
                // SAFETY: it is a connection of the parent, and no call of this process uses it.
                unsafe { libc::close(descriptor) };
            }
        }
        inner.door.take().or(inner.inherited_door.take())
    }

    /// The store of the server, for a child of fork.
    pub(crate) fn known_store(&self) -> Option<(PathBuf, StoreId)> {
        self.inner.try_lock().ok()?.store.clone()
    }

    /// Remembers a socket before anything waits for it.
    ///
    /// # Errors
    /// [`Closed`] if `is_closed`: the socket would be missed by [`Self::shut_all`].
    pub(crate) fn register(
        &self,
        socket: &Socket,
        is_closed: impl Fn() -> bool,
    ) -> Result<(), Closed> {
        let mut inner = self.inner();
        if is_closed() {
            return Err(Closed);
        }
        inner.open.push(socket.name());
        Ok(())
    }

    /// Forgets a socket, before it is closed.
    pub(crate) fn forget(&self, (descriptor, id): (RawFd, FileId)) {
        let mut inner = self.inner();
        inner.open.retain(|it| *it != (descriptor, id));
    }

    /// Closes a connection.
    pub(crate) fn discard(&self, connection: Connection) {
        self.forget(connection.socket().name());
    }

    pub(crate) fn take_idle(&self) -> Option<Connection> {
        self.inner().idle.pop()
    }

    /// Whether there is a connection to that server.
    pub(crate) fn is_in_use(&self, server: u64) -> bool {
        let inner = self.inner();
        inner.server == server && !inner.open.is_empty()
    }

    pub(crate) fn give_back(&self, connection: Connection) {
        let mut inner = self.inner();
        if connection.server() == inner.server && inner.idle.len() < MOST_KEPT {
            return inner.idle.push(connection);
        }
        drop(inner);
        self.discard(connection);
    }

    /// Forgets a server: its sessions are gone.
    pub(crate) fn lose(&self, server: u64) {
        let mut inner = self.inner();
        if inner.server != server {
            return;
        }
        inner.application = None;
        inner.server += 1;
        let idle = std::mem::take(&mut inner.idle);
        let gone: Vec<_> = idle.iter().map(|it| it.socket().name()).collect();
        inner.open.retain(|it| !gone.contains(it));
    }

    /// Ends every connection, so that calls that wait wake up.
    pub(crate) fn shut_all(&self) {
        for (descriptor, id) in &self.inner().open {
            if sys::file_id(*descriptor) == Some(*id) {
                sys::shut(*descriptor);
            }
        }
    }

    /// Tells the server that the application ends, if a connection is idle. It would notice anyway.
    pub(crate) fn say_goodbye(&self) {
        let Some(mut connection) = self.take_idle() else {
            return;
        };
        if connection.socket().wait_at_most(GOODBYE).is_ok()
            && let Ok(header) = frame::encode(&Request::Finalize, 0)
        {
            let _ = connection.exchange(&header, [&[], &[]], &mut Sink::None);
        }
        self.discard(connection);
    }

    /// Closes all there is, when no call is inside.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner();
        let server = inner.server + 1;
        let inherited_door = inner.inherited_door.take();
        *inner = Inner {
            server,
            inherited_door,
            ..Inner::default()
        };
    }
}
