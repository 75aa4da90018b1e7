//! Requests to the token server: which connection a request takes, and what is done when the server is gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cryptoki_sys::{
    CK_RV, CKR_ARGUMENTS_BAD, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_DEVICE_ERROR,
    CKR_SESSION_HANDLE_INVALID, CKR_SLOT_ID_INVALID,
};
use slotfs_config::place;
use slotfs_wire::{ApplicationToken, Hello, Reply, Request, StoreId, frame};

use crate::connection::{Broken, Connection, NoIntroduction, Sink};
use crate::deferred::Plan;
use crate::socket::Socket;
use crate::state::{Inside, Settings};
use crate::{door, spawn, sys};

/// How often a server that is just ending or starting is asked for again, and the pause between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);
/// The pause of a call that waits for a connection of another call.
const SHORT_PAUSE: Duration = Duration::from_millis(1);
/// How long a server may take to welcome the application. `C_Initialize` must not hang every process of a host.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a call can do without a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A server: one is found, or started. A server that ends meanwhile is replaced, and asked again.
    Slots,
    /// The same for a request that must not be made twice.
    SlotsOnce,
    /// The server that gave the session: another one would not know it.
    Session,
}

/// A server is there and does not let the application in, or speaks another version.
struct Refused;

impl Inside {
    /// Asks the server, without data either way.
    pub(crate) fn ask(&self, needs: Needs, request: &Request) -> Result<Reply, CK_RV> {
        self.call(needs, request, &[], &mut Sink::None)
    }

    /// Asks the server. A failure that it reports is an error here.
    ///
    /// # Errors
    /// CKR numbers of the server; `CKR_DEVICE_ERROR` when there is none, or it ended meanwhile;
    /// `CKR_SESSION_HANDLE_INVALID` for a session of a server that is gone.
    pub(crate) fn call(
        &self,
        needs: Needs,
        request: &Request,
        data: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Reply, CK_RV> {
        self.call_with(needs, request, [data, &[]], sink)
    }

    /// The same, with data in two places.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn call_with(
        &self,
        needs: Needs,
        request: &Request,
        data: [&[u8]; 2],
        sink: &mut Sink<'_>,
    ) -> Result<Reply, CK_RV> {
        let reply = match self.deferred.plan(request) {
            Plan::Wait => return Ok(Reply::Done),
            Plan::Instead(both) => self.send(needs, &both, data, sink),
            Plan::Send(starts) => {
                starts.send(|start| {
                    let sent = self.send(Needs::Session, start, [&[], &[]], &mut Sink::None);
                    matches!(sent, Ok(Reply::Done))
                });
                self.send(needs, request, data, sink)
            }
        };
        match reply {
            Ok(reply) => {
                self.deferred.learn(request, &reply);
                match reply {
                    Reply::Failed(number) => Err(number),
                    reply => Ok(reply),
                }
            }
            Err(number) => {
                // The server may be gone, and its sessions with it.
                self.deferred.forget();
                Err(number)
            }
        }
    }

    fn send(
        &self,
        needs: Needs,
        request: &Request,
        data: [&[u8]; 2],
        sink: &mut Sink<'_>,
    ) -> Result<Reply, CK_RV> {
        let data_bytes = data[0].len() + data[1].len();
        // Templates and parameters that are longer than any message.
        let header = frame::encode(request, data_bytes).map_err(|_| CKR_ARGUMENTS_BAD)?;
        let mut again = needs == Needs::Slots;
        for _ in 0..TRIES {
            let mut connection = self.connection(needs)?;
            match connection.exchange(&header, data, sink) {
                Ok(reply) => {
                    self.pool.give_back(connection);
                    return Ok(reply);
                }
                Err(broken) => {
                    self.pool.discard(connection);
                    if self.is_closed() {
                        return Err(CKR_CRYPTOKI_NOT_INITIALIZED);
                    }
                    // The next connection tells whether it was this one alone.
                    if broken == Broken::Lost && !std::mem::take(&mut again) {
                        return Err(CKR_DEVICE_ERROR);
                    }
                }
            }
        }
        Err(CKR_DEVICE_ERROR)
    }

    /// An idle connection, or a new one.
    fn connection(&self, needs: Needs) -> Result<Connection, CK_RV> {
        if let Some(idle) = self.pool.take_idle() {
            return Ok(idle);
        }
        let (application, server) = {
            let inner = self.pool.inner();
            (inner.application, inner.server)
        };
        if let Some(application) = application {
            loop {
                let connected = self.connect(Some(application));
                if self.is_closed() {
                    return Err(CKR_CRYPTOKI_NOT_INITIALIZED);
                }
                match connected {
                    Ok(Some(connection)) => return Ok(connection),
                    // It lets no further connection in, and still knows those that other calls use.
                    Err(Refused) if self.pool.is_in_use(server) => std::thread::sleep(SHORT_PAUSE),
                    Ok(None) | Err(Refused) => break,
                }
                if let Some(idle) = self.pool.take_idle() {
                    return Ok(idle);
                }
            }
            // Another server, or none.
            self.pool.lose(server);
        }
        match needs {
            Needs::Session => Err(CKR_SESSION_HANDLE_INVALID),
            Needs::Slots | Needs::SlotsOnce => self.first_connection(),
        }
    }

    /// Makes the application known to a server. One is started if none listens.
    fn first_connection(&self) -> Result<Connection, CK_RV> {
        let _turn = self.pool.introducing();
        let store = self.settings().store_id().ok_or(CKR_SLOT_ID_INVALID)?;
        let mut started = false;
        for _ in 0..TRIES {
            // Another thread may have been faster.
            let application = self.pool.inner().application;
            match self.connect(application) {
                Ok(Some(connection)) => return Ok(connection),
                Err(Refused) => return Err(CKR_DEVICE_ERROR),
                Ok(None) if self.is_closed() => return Err(CKR_CRYPTOKI_NOT_INITIALIZED),
                // It may be just ending, or just starting.
                Ok(None) if started => std::thread::sleep(PAUSE),
                Ok(None) if spawn::may_start(self.settings(), &store.0) => {
                    spawn::start(self.settings(), &store.0).map_err(|_| CKR_DEVICE_ERROR)?;
                    started = true;
                }
                Ok(None) => return Err(CKR_DEVICE_ERROR),
            }
        }
        Err(CKR_DEVICE_ERROR)
    }

    /// Connects to the server that listens, if one does: at its socket, or through the door that a child inherited.
    fn connect(
        &self,
        application: Option<ApplicationToken>,
    ) -> Result<Option<Connection>, Refused> {
        let settings = self.settings();
        let Some((path, id)) = settings.store_id() else {
            return Ok(None);
        };
        let sockets = place::sockets(&settings.config, &path, settings.trusts_environment);
        let at_socket = sockets.iter().map(|socket| {
            let socket = Socket::connect(socket, PATIENCE).ok()?;
            is_trusted(&socket, settings).then_some(socket)
        });
        let through_door = std::iter::once_with(|| {
            let inner = self.pool.inner();
            let socket = inner.doors().find_map(|it| door::connect(it).ok())?;
            socket.wait_at_most(PATIENCE).ok().map(|()| socket)
        });
        let mut refused = false;
        for socket in at_socket.chain(through_door).flatten() {
            let hello = Hello {
                store: id,
                application,
                user: settings.who,
                wants_door: application.is_none(),
            };
            match self.introduce(socket, hello) {
                Ok(connection) => {
                    self.pool.inner().store = Some((path, id));
                    return Ok(Some(connection));
                }
                Err(NoIntroduction::Refused) => refused = true,
                Err(NoIntroduction::Ended) => {}
            }
        }
        match refused {
            true => Err(Refused),
            false => Ok(None),
        }
    }

    fn introduce(&self, socket: Socket, hello: Hello) -> Result<Connection, NoIntroduction> {
        let ended = NoIntroduction::Ended;
        if self.pool.register(&socket, || self.is_closed()).is_err() {
            return Err(ended);
        }
        let server = self.pool.inner().server;
        let mut connection = Connection::new(socket, server);
        let is_new = hello.application.is_none();
        let introduced = connection.introduce(hello);
        let (welcome, door) = match introduced {
            Ok(it) if connection.socket().wait_for_ever().is_ok() => it,
            failed => {
                self.pool.discard(connection);
                return Err(failed.err().unwrap_or(ended));
            }
        };
        if is_new {
            let mut inner = self.pool.inner();
            inner.application = Some(welcome.application);
            inner.door = door;
        }
        Ok(connection)
    }

    /// Connects if a server listens already, so that children of fork get its door. `C_Initialize` needs none.
    pub(crate) fn connect_if_listening(&self) {
        let _turn = self.pool.introducing();
        if let Ok(Some(connection)) = self.connect(None) {
            self.pool.give_back(connection);
        }
    }
}

/// Whether a PIN may be told to the server at the other end: root's, one's own, or the configured owner's.
fn is_trusted(socket: &Socket, settings: &Settings) -> bool {
    match socket.number().and_then(sys::peer_uid) {
        Some(uid) => uid == 0 || uid == sys::effective_uid() || Some(uid) == settings.config.owner,
        None => false,
    }
}

impl Settings {
    /// The store, by its path and by what the path names now; `None` when it is not there.
    pub(crate) fn store_id(&self) -> Option<(PathBuf, StoreId)> {
        let there = self.store.as_deref().and_then(identify);
        there.or_else(|| self.inherited_store.clone())
    }
}

fn identify(path: &Path) -> Option<(PathBuf, StoreId)> {
    slotfs_config::store::identify(path).ok()
}
