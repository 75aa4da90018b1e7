//! The token server: applications connect to a socket and use the keys of a store where they lie (docs/pkcs11.md).
//!
//! `slotfs serve` and the daemon of a mount run the same server. A lock on a file beside the socket chooses the one server
//! of a store. Each connection has a thread; one more thread watches for processes that end, and for connections that come
//! through doors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotfs_config::{Config, place};
use slotfs_token::{Options, Provider};
use slotfs_wire::StoreId;

use crate::error::{Error, Result};
use crate::hsm::{Hsm, Logins};
use crate::shown;

mod admission;
mod applications;
mod background;
mod budget;
mod client;
mod command;
mod connection;
mod door;
mod figures;
mod listener;
mod lock;
mod process;
mod running;
mod seats;
mod stream;
mod watch;

/// For [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub(crate) use super::budget::Budget;
    pub(crate) use super::stream::Frames;
}

pub(crate) use background::start as start_in_background;
pub(crate) use client::Client;
pub(crate) use command::{Given, IDLE_SECS, Plan, run};
pub(crate) use figures::figures;
pub(crate) use running::{Running, running};

use applications::Applications;
use budget::Budget;
use listener::{Accepting, Listener};
use lock::Lock;
use seats::Seats;
use watch::Watch;

/// How long the end of a server waits for calls that compute: a large RSA key takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every connection of one server shares.
pub(crate) struct Shared {
    store: StoreId,
    path: PathBuf,
    hsm: Arc<Hsm>,
    provider: Arc<Provider>,
    applications: Applications,
    seats: Seats,
    budget: Budget,
    watch: Watch,
    /// Requests since the server began.
    requests: AtomicU64,
    /// The server ends.
    closing: AtomicBool,
}

/// A server that listens.
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// `None` only while it stops.
    accepting: Option<Accepting>,
    /// The thread that watches; `None` only while it stops.
    watching: Option<JoinHandle<()>>,
    /// Held as long as the server listens.
    _lock: Option<Lock>,
}

/// Where a server is to listen.
pub(crate) enum At {
    /// At the place where clients look for it.
    Usual,
    /// At this path.
    Path(PathBuf),
}

/// Who holds the lock of a store's server, by number of process where it says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldBy(pub(crate) Option<u32>);

impl At {
    /// As the configuration says.
    pub(crate) fn configured(config: &Config) -> Self {
        match &config.socket {
            Some(path) => Self::Path(path.clone()),
            None => Self::Usual,
        }
    }

    /// The socket and the file of its lock.
    fn paths(self, store: &Path) -> Result<(PathBuf, PathBuf)> {
        match self {
            Self::Path(socket) => {
                let lock = lock_beside(&socket);
                Ok((socket, lock))
            }
            Self::Usual => {
                let folder = place::server_folder().map_err(|why| {
                    serve_error(format!("there is no folder for the socket: {why}"))
                })?;
                let id = place::id(store);
                let socket = folder.join(place::socket_name(&id));
                Ok((socket, folder.join(place::lock_name(&id))))
            }
        }
    }
}

impl Server {
    /// Starts to serve the store of `hsm`; the error in the answer says that another server does already.
    ///
    /// # Errors
    /// [`Error::Serve`] when there can be no socket.
    pub(crate) fn start(hsm: &Arc<Hsm>, config: &Config, at: At) -> Result<Result<Self, HeldBy>> {
        let path = canonical(hsm.path())?;
        let (socket, lock) = at.paths(&path)?;
        let lock = match Lock::take(&lock)? {
            Ok(lock) => lock,
            Err(held) => return Ok(Err(held)),
        };
        let Some(listener) = Listener::bind(&socket)? else {
            return Ok(Err(HeldBy(None)));
        };
        let shared = Self::prepare(hsm, config, path)?;
        Self::listen(shared, listener, Some(lock)).map(Ok)
    }

    /// Starts to serve the store of `hsm` at a socket that systemd opened. There is no lock: systemd runs one server.
    ///
    /// # Errors
    /// [`Error::Serve`]
    pub(crate) fn start_given(
        hsm: &Arc<Hsm>,
        config: &Config,
        socket: std::os::unix::net::UnixListener,
    ) -> Result<Self> {
        let shared = Self::prepare(hsm, config, canonical(hsm.path())?)?;
        Self::listen(shared, Listener::given(socket)?, None)
    }

    fn prepare(hsm: &Arc<Hsm>, config: &Config, path: PathBuf) -> Result<Arc<Shared>> {
        slotfs_crypto::self_test().map_err(|why| {
            serve_error(format!("the cryptographic library fails its tests: {why}"))
        })?;
        let logins = Logins::new(hsm);
        logins.set_linger(Duration::from_secs(config.linger_secs));
        let options = Options {
            uninitialized_slot: config.uninitialized_slot,
        };
        Ok(Arc::new(Shared {
            store: slotfs_config::store::identify(&path)
                .map_err(file_error(&path))?
                .1,
            path,
            hsm: Arc::clone(hsm),
            provider: Provider::new(hsm, logins, options)?,
            applications: Applications::default(),
            seats: Seats::new(),
            budget: Budget::default(),
            watch: Watch::new()?,
            requests: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }))
    }

    fn listen(shared: Arc<Shared>, listener: Listener, lock: Option<Lock>) -> Result<Self> {
        let watching = watch::start(&shared)?;
        let accepting = Arc::new(listener).start(&shared)?;
        figures::show(&shared);
        log::info!(
            "store {} is served at {}",
            shown::path(&shared.path),
            shown::path(accepting.listener().path())
        );
        Ok(Self {
            shared,
            accepting: Some(accepting),
            watching: Some(watching),
            _lock: lock,
        })
    }

    /// Changes how long a slot stays open after its last login.
    pub(crate) fn set_linger(&self, secs: u64) {
        self.shared.provider.set_linger(Duration::from_secs(secs));
    }

    /// For its owner to call every now and then.
    pub(crate) fn house_keeping(&self) {
        self.shared.provider.house_keeping();
    }

    /// A line about the server for `systemctl status`.
    pub(crate) fn status(&self) -> String {
        let store = shown::path(&self.shared.path);
        format!("serving {store}; {} connections", self.shared.seats.count())
    }

    /// Since when nobody is connected and no slot is kept open.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle = self.shared.seats.empty_since()?;
        (!self.shared.provider.is_kept_open()).then_some(idle)
    }

    /// Whether its socket is still the one at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        let accepting = self.accepting.as_ref();
        accepting.is_none_or(|it| it.listener().is_in_place())
    }

    /// Stops listening if nobody came meanwhile; else it listens again. Whether it stopped.
    ///
    /// # Errors
    /// When it cannot listen again.
    pub(crate) fn stop_listening_if_idle(&mut self) -> Result<bool> {
        let Some(listener) = self.accepting.take().map(Accepting::stop) else {
            return Ok(true);
        };
        if self.idle_since().is_some() {
            return Ok(true);
        }
        let listener = match listener.is_given() {
            true => listener,
            false => {
                let path = listener.path().to_owned();
                drop(listener);
                let bound = Listener::bind(&path)?;
                Arc::new(bound.ok_or_else(|| serve_error("another server took the socket"))?)
            }
        };
        self.accepting = Some(listener.start(&self.shared)?);
        Ok(false)
    }
}

impl Drop for Server {
    /// No connection is accepted, those that there are end, and every application is logged out. No thread of the server
    /// uses the store any more: the last one to close it makes it one file again.
    fn drop(&mut self) {
        drop(self.accepting.take().map(Accepting::stop));
        self.shared.seats.close();
        self.shared.applications.close();
        self.shared.closing.store(true, Ordering::Release);
        self.shared.watch.wake();
        if let Some(watching) = self.watching.take()
            && watching.join().is_err()
        {
            log::error!("the thread that watches for processes had failed");
        }
        if !self.shared.seats.wait(PATIENCE) {
            log::warn!("a call of an application goes on after the end of the server");
        }
        log::info!(
            "store {} is not served any more",
            shown::path(&self.shared.path)
        );
    }
}

/// The file of the lock of a server at a socket that was chosen.
fn lock_beside(socket: &Path) -> PathBuf {
    let mut lock = socket.as_os_str().to_owned();
    lock.push(".lock");
    PathBuf::from(lock)
}

/// The path of a store as clients name it.
fn canonical(path: &Path) -> Result<PathBuf> {
    slotfs_config::store::canonical(path).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

fn serve_error(what: impl Into<String>) -> Error {
    Error::Serve {
        what: what.into(),
        hint: None,
    }
}

/// "cannot `what`: reason"
fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Error + '_ {
    move |why| serve_error(format!("cannot {what}: {why}"))
}
