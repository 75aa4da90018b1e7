//! Connections to the token server: made, kept for the next call, and given up when the server is gone.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cryptoki_sys::{
    CK_RV, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_DEVICE_ERROR, CKR_SESSION_HANDLE_INVALID,
};
use slotfs_config::place;
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{
    ApplicationToken, Hello, PREAMBLE_BYTES, Preamble, Reply, Request, StoreId, Welcome,
};
use zeroize::Zeroize;

use crate::state::{Settings, State};
use crate::sys::{self, FileId};
use crate::{door, spawn};

/// Bytes that one receive takes in: most replies whole.
const BUFFER_BYTES: usize = 8 << 10;
/// The most connections that are kept for later calls.
const MOST_KEPT: usize = 64;
/// How often a server that is just ending or starting is asked for again, and the pause between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A connection.
pub(crate) struct Connection {
    socket: Socket,
    /// Which incarnation of the server it is to.
    server: u64,
    buffer: Vec<u8>,
}

/// A socket that some application may have closed and opened something else under its number.
struct Socket {
    descriptor: RawFd,
    id: FileId,
}

impl Socket {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let descriptor = sys::above_standard(descriptor)?;
        let id = sys::file_id(descriptor.as_raw_fd());
        let id = id.ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            descriptor: descriptor.into_raw_fd(),
            id,
        })
    }

    fn is_ours(&self) -> bool {
        sys::file_id(self.descriptor) == Some(self.id)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Closing what an application opened under the number would take its file away.
        if self.is_ours() {
            // SAFETY: the descriptor is this socket's, and nothing else closes it.
            unsafe { libc::close(self.descriptor) };
        }
    }
}

/// The connections of one initialisation.
pub(crate) struct Pool {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    idle: Vec<Connection>,
    /// Every socket that is open, for those who end them all.
    open: Vec<(RawFd, FileId)>,
    /// What the server knows the application by, while that server lives.
    application: Option<ApplicationToken>,
    /// Counts the servers that were talked to.
    server: u64,
    door: Option<OwnedFd>,
}

/// Where the data of a reply goes.
pub(crate) enum Sink<'a> {
    /// No data is expected.
    None,
    /// Into the application's buffer, as far as it reaches.
    Buffer(&'a mut [u8]),
    /// Into a vector.
    Vector(&'a mut Vec<u8>),
}

/// Whether a call can do without a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A server: one is found, or started.
    Slots,
    /// The server that gave the session: another one would not know it.
    Session,
}

/// A failure of the connection, and whether the request may have arrived.
struct Broken;

impl Pool {
    pub(crate) fn new(door: Option<OwnedFd>) -> Self {
        let inner = Inner {
            door,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In a child of fork: closes the parent's connections, and gives its door. A lock that a thread of the parent held is
    /// held here for ever, so that everything then stays open.
    pub(crate) fn take_inherited(&self) -> Option<OwnedFd> {
        let mut inner = self.inner.try_lock().ok()?;
        inner.idle.clear();
        for (descriptor, id) in std::mem::take(&mut inner.open) {
            if sys::file_id(descriptor) == Some(id) {
                // SAFETY: it is a connection of the parent, and no call of this process uses it.
                unsafe { libc::close(descriptor) };
            }
        }
        inner.door.take()
    }

    /// Ends every connection, so that calls that wait wake up.
    pub(crate) fn shut_all(&self) {
        for (descriptor, id) in &self.inner().open {
            if sys::file_id(*descriptor) == Some(*id) {
                sys::shut(*descriptor);
            }
        }
    }

    /// Tells the server that the application ends, if a connection is idle; it would notice anyway.
    pub(crate) fn say_goodbye(&self) {
        let idle = self.inner().idle.pop();
        if let Some(mut connection) = idle {
            let _ = connection.exchange(&Request::Finalize, [&[], &[]], &mut Sink::None);
        }
    }

    pub(crate) fn clear(&self) {
        *self.inner() = Inner::default();
    }

    /// Forgets a server: its sessions are gone.
    fn lose(&self, server: u64) {
        let mut inner = self.inner();
        if inner.server == server {
            inner.application = None;
            inner.server += 1;
            inner.idle.clear();
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut inner = self.inner();
        if connection.server == inner.server && inner.idle.len() < MOST_KEPT {
            inner.idle.push(connection);
        } else {
            inner.forget(&connection);
        }
    }
}

impl Inner {
    fn forget(&mut self, connection: &Connection) {
        let descriptor = connection.socket.descriptor;
        self.open.retain(|(it, _)| *it != descriptor);
    }
}

impl Connection {
    fn new(stream: OwnedFd, server: u64) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(stream)?,
            server,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Sends a request and receives its reply.
    fn exchange(
        &mut self,
        request: &Request,
        data: [&[u8]; 2],
        sink: &mut Sink<'_>,
    ) -> Result<Reply, Broken> {
        if !self.socket.is_ours() {
            return Err(Broken);
        }
        let data_bytes = data[0].len() + data[1].len();
        let header = frame::encode(request, data_bytes).map_err(|_| Broken)?;
        let socket = self.socket.descriptor;
        sys::send_all(socket, [&header, data[0], data[1]]).map_err(|_| Broken)?;
        let mut have = 0;
        while have < LENGTHS_BYTES {
            have += self.receive(have)?;
        }
        self.rest_of_reply(have, sink)
    }

    fn receive(&mut self, have: usize) -> Result<usize, Broken> {
        let into = &mut self.buffer[have..];
        match sys::receive(self.socket.descriptor, into) {
            Ok(0) | Err(_) => Err(Broken),
            Ok(bytes) => Ok(bytes),
        }
    }

    /// Reads a reply of which `have` bytes are in the buffer.
    fn rest_of_reply(&mut self, mut have: usize, sink: &mut Sink<'_>) -> Result<Reply, Broken> {
        let mut lengths = [0; LENGTHS_BYTES];
        lengths.copy_from_slice(&self.buffer[..LENGTHS_BYTES]);
        let Lengths { header, data } = Lengths::parse(lengths).map_err(|_| Broken)?;
        let before_data = LENGTHS_BYTES + header;
        if self.buffer.len() < before_data {
            self.buffer.resize(before_data, 0);
        }
        while have < before_data {
            have += self.receive(have)?;
        }
        let reply = frame::decode(&self.buffer[LENGTHS_BYTES..before_data]).map_err(|_| Broken)?;
        let there = &self.buffer[before_data..have];
        if there.len() > data {
            // More than the reply: the two sides no longer agree.
            return Err(Broken);
        }
        let socket = self.socket.descriptor;
        let into = match sink {
            Sink::None => &mut [][..],
            Sink::Buffer(buffer) => &mut **buffer,
            Sink::Vector(vector) => {
                let start = vector.len();
                vector.resize(start + data, 0);
                &mut vector[start..]
            }
        };
        if into.len() < data {
            return Err(Broken);
        }
        let (first, mut rest) = into[..data].split_at_mut(there.len());
        first.copy_from_slice(there);
        while !rest.is_empty() {
            match sys::receive(socket, rest) {
                Ok(0) | Err(_) => return Err(Broken),
                Ok(bytes) => rest = &mut rest[bytes..],
            }
        }
        self.buffer[..have].zeroize();
        self.buffer.truncate(BUFFER_BYTES);
        Ok(reply)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl State {
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
        let mut again = needs == Needs::Slots;
        loop {
            let mut connection = self.connection(needs)?;
            let server = connection.server;
            match connection.exchange(request, data, sink) {
                Ok(reply) => {
                    self.pool.give_back(connection);
                    return match reply {
                        Reply::Failed(number) => Err(number),
                        reply => Ok(reply),
                    };
                }
                Err(Broken) => {
                    self.pool.inner().forget(&connection);
                    drop(connection);
                    if self.is_closed() {
                        return Err(CKR_CRYPTOKI_NOT_INITIALIZED);
                    }
                    self.pool.lose(server);
                    // A server that ended while nobody asked it: the next one is asked.
                    if !std::mem::take(&mut again) {
                        return Err(CKR_DEVICE_ERROR);
                    }
                }
            }
        }
    }

    /// An idle connection, or a new one.
    fn connection(&self, needs: Needs) -> Result<Connection, CK_RV> {
        let application = {
            let mut inner = self.pool.inner();
            if let Some(idle) = inner.idle.pop() {
                return Ok(idle);
            }
            inner.application
        };
        match (application, needs) {
            (Some(application), _) => match self.connect(Some(application)) {
                Ok(Some(connection)) => Ok(connection),
                // Another server, or none.
                Ok(None) | Err(_) => {
                    let server = self.pool.inner().server;
                    self.pool.lose(server);
                    match needs {
                        Needs::Session => Err(CKR_SESSION_HANDLE_INVALID),
                        Needs::Slots => self.first_connection(true),
                    }
                }
            },
            (None, Needs::Session) => Err(CKR_SESSION_HANDLE_INVALID),
            (None, Needs::Slots) => self.first_connection(true),
        }
    }

    /// Makes the application known to a server; with `start`, one is started if none listens.
    ///
    /// # Errors
    /// `CKR_DEVICE_ERROR`
    pub(crate) fn first_connection(&self, start: bool) -> Result<Connection, CK_RV> {
        let mut started = false;
        for _ in 0..TRIES {
            match self.connect(None) {
                Ok(Some(connection)) => return Ok(connection),
                Err(Refused) => return Err(CKR_DEVICE_ERROR),
                Ok(None) if !start || !spawn::may_start(&self.settings) => break,
                // It may be just ending, or just starting.
                Ok(None) if started => std::thread::sleep(PAUSE),
                Ok(None) => {
                    let store = self.settings.store.as_deref().ok_or(CKR_DEVICE_ERROR)?;
                    spawn::start(&self.settings, store).map_err(|_| CKR_DEVICE_ERROR)?;
                    started = true;
                }
            }
        }
        Err(CKR_DEVICE_ERROR)
    }

    /// Connects to the server that listens, if one does: at its socket, or through the door that a child inherited.
    fn connect(
        &self,
        application: Option<ApplicationToken>,
    ) -> Result<Option<Connection>, Refused> {
        let Some(store) = self.settings.store_id() else {
            return Ok(None);
        };
        let mut inner = self.pool.inner();
        if application.is_none() && inner.application.is_some() {
            // Another thread was faster.
            let application = inner.application;
            drop(inner);
            return self.connect(application);
        }
        let server = inner.server;
        let (path, id) = store;
        let mut refused = false;
        let at_socket = place::sockets(
            &self.settings.config,
            &path,
            self.settings.trusts_environment,
        );
        let streams = at_socket.iter().map(|socket| {
            let stream = UnixStream::connect(socket).ok().map(OwnedFd::from)?;
            is_trusted(&stream, &self.settings).then_some(stream)
        });
        let door = inner.door.as_ref().map(AsRawFd::as_raw_fd);
        let through_door = std::iter::once_with(|| door.and_then(|door| door::connect(door).ok()));
        for stream in streams.chain(through_door).flatten() {
            let hello = Hello {
                store: id,
                application,
                user: self.settings.who,
                wants_door: application.is_none() && inner.door.is_none(),
            };
            match introduce(stream, server, hello) {
                Ok((connection, welcome, door)) => {
                    inner.application = Some(welcome.application);
                    if door.is_some() {
                        inner.door = door;
                    }
                    let socket = &connection.socket;
                    inner.open.push((socket.descriptor, socket.id));
                    return Ok(Some(connection));
                }
                Err(IntroductionError::Refused) => refused = true,
                Err(IntroductionError::Ended) => {}
            }
        }
        match refused {
            true => Err(Refused),
            false => Ok(None),
        }
    }

    /// Connects if a server listens already, so that children of fork get its door. `C_Initialize` needs none.
    pub(crate) fn connect_if_listening(&self) {
        if let Ok(Some(connection)) = self.connect(None) {
            self.pool.give_back(connection);
        }
    }
}

/// A server is there and does not let the application in, or speaks another version.
struct Refused;

enum IntroductionError {
    Refused,
    /// It ended before it answered: it is just going, or this is no way in.
    Ended,
}

/// Whether a PIN may be told to the server at the other end: root's, one's own, or the configured owner's.
fn is_trusted(stream: &OwnedFd, settings: &Settings) -> bool {
    match sys::peer_uid(stream.as_raw_fd()) {
        Some(uid) => uid == 0 || uid == sys::effective_uid() || Some(uid) == settings.config.owner,
        None => false,
    }
}

/// Preambles, hello and welcome.
fn introduce(
    stream: OwnedFd,
    server: u64,
    hello: Hello,
) -> Result<(Connection, Welcome, Option<OwnedFd>), IntroductionError> {
    let ended = |_| IntroductionError::Ended;
    let mut connection = Connection::new(stream, server).map_err(ended)?;
    let socket = connection.socket.descriptor;
    let hello = frame::encode(&Request::Hello(hello), 0).map_err(|_| IntroductionError::Ended)?;
    sys::send_all(socket, [&Preamble::OURS.to_bytes(), &hello, &[]]).map_err(ended)?;
    let (mut have, mut door) = (0, None);
    // The door comes with the first byte of the reply; one receive may end at any byte.
    while have < PREAMBLE_BYTES + LENGTHS_BYTES {
        let into = &mut connection.buffer[have..];
        let (bytes, descriptor) = sys::receive_with_descriptor(socket, into).map_err(ended)?;
        if bytes == 0 {
            return Err(match have >= PREAMBLE_BYTES {
                true => other_version(&connection.buffer),
                false => IntroductionError::Ended,
            });
        }
        have += bytes;
        door = descriptor.or(door);
    }
    let mut preamble = [0; PREAMBLE_BYTES];
    preamble.copy_from_slice(&connection.buffer[..PREAMBLE_BYTES]);
    if Preamble::parse(&preamble) != Some(Preamble::OURS) {
        return Err(IntroductionError::Refused);
    }
    connection.buffer.copy_within(PREAMBLE_BYTES..have, 0);
    let reply = connection.rest_of_reply(have - PREAMBLE_BYTES, &mut Sink::None);
    match reply {
        Ok(Reply::Welcome(welcome)) => {
            let door = door.and_then(|door| sys::above_standard(door).ok());
            Ok((connection, welcome, door))
        }
        Ok(_) => Err(IntroductionError::Refused),
        Err(Broken) => Err(IntroductionError::Ended),
    }
}

/// A server that closes after its preamble speaks another version.
fn other_version(buffer: &[u8]) -> IntroductionError {
    let mut preamble = [0; PREAMBLE_BYTES];
    preamble.copy_from_slice(&buffer[..PREAMBLE_BYTES]);
    match Preamble::parse(&preamble) {
        Some(theirs) if theirs == Preamble::OURS => IntroductionError::Ended,
        _ => IntroductionError::Refused,
    }
}

impl Settings {
    /// The store, by its path and by what the path names now; `None` when it is not there.
    pub(crate) fn store_id(&self) -> Option<(PathBuf, StoreId)> {
        use std::os::unix::fs::MetadataExt;
        let path = self.store.as_deref()?;
        let path: PathBuf = std::fs::canonicalize(Path::new(path)).ok()?;
        let there = std::fs::metadata(&path).ok()?;
        let id = StoreId {
            device: there.dev(),
            inode: there.ino(),
        };
        there.is_file().then_some((path, id))
    }
}
