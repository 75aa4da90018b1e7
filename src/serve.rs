//! The token server: applications connect to a socket and use the keys of a store where they lie (docs/pkcs11.md).
//!
//! `slotfs serve` and the daemon of a mount run the same server. A lock on a file beside the socket chooses the one server
//! of a store. Each connection has a thread; one more thread watches for processes that end, and for connections that come
//! through doors.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
mod listener;
mod lock;
mod process;
mod stream;
mod watch;

pub(crate) use background::start as start_in_background;
pub(crate) use client::Client;
pub(crate) use command::{Plan, Stop, run};

use applications::Applications;
use budget::Budget;
use listener::Listener;
use lock::Lock;
use watch::Watch;

/// What every connection of one server shares.
pub(crate) struct Shared {
    store: StoreId,
    path: PathBuf,
    hsm: Arc<Hsm>,
    provider: Arc<Provider>,
    applications: Applications,
    budget: Budget,
    watch: Watch,
    /// No connection is accepted any more.
    closing: AtomicBool,
}

/// A server that listens.
pub(crate) struct Server {
    shared: Arc<Shared>,
    listener: Listener,
    /// Held as long as the server listens.
    _lock: Option<Lock>,
}

/// Where a server is to listen.
pub(crate) enum At {
    /// At the place where clients look for it.
    Usual,
    /// At this path.
    Path(PathBuf),
    /// At a socket that systemd opened.
    Given(std::os::unix::net::UnixListener),
}

/// Who holds the lock of a store's server, by number of process where it says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldBy(pub(crate) Option<u32>);

impl Server {
    /// Starts to serve the store of `hsm`; the error in the answer says that another server does already.
    ///
    /// # Errors
    /// [`Error::Serve`] when there can be no socket.
    pub(crate) fn start(hsm: &Arc<Hsm>, config: &Config, at: At) -> Result<Result<Self, HeldBy>> {
        let path = canonical(hsm.path())?;
        let id = place::id(&path);
        let (listener, lock) = match at {
            At::Given(listener) => (Listener::given(listener)?, None),
            At::Path(socket) => {
                let mut lock = socket.clone().into_os_string();
                lock.push(".lock");
                match Lock::take(Path::new(&lock))? {
                    Ok(lock) => (Listener::bind(&socket)?, Some(lock)),
                    Err(held) => return Ok(Err(held)),
                }
            }
            At::Usual => {
                let folder = place::server_folder().map_err(|why| {
                    serve_error(format!("there is no folder for the socket: {why}"))
                })?;
                match Lock::take(&folder.join(place::lock_name(&id)))? {
                    Ok(lock) => {
                        let socket = folder.join(place::socket_name(&id));
                        (Listener::bind(&socket)?, Some(lock))
                    }
                    Err(held) => return Ok(Err(held)),
                }
            }
        };
        slotfs_crypto::self_test().map_err(|why| {
            serve_error(format!("the cryptographic library fails its tests: {why}"))
        })?;
        let store = fs::metadata(&path).map_err(file_error(&path))?;
        let logins = Logins::new(hsm);
        logins.set_linger(Duration::from_secs(config.linger_secs));
        let options = Options {
            uninitialized_slot: config.uninitialized_slot,
        };
        let shared = Arc::new(Shared {
            store: StoreId {
                device: store.dev(),
                inode: store.ino(),
            },
            path,
            hsm: Arc::clone(hsm),
            provider: Provider::new(hsm, logins, options)?,
            applications: Applications::default(),
            budget: Budget::default(),
            watch: Watch::new()?,
            closing: AtomicBool::new(false),
        });
        watch::start(&shared)?;
        listener.start(&shared)?;
        log::info!(
            "store {} is served at {}",
            shown::path(&shared.path),
            shown::path(listener.path())
        );
        Ok(Ok(Self {
            shared,
            listener,
            _lock: lock,
        }))
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &Path {
        self.listener.path()
    }

    /// For its owner to call every now and then.
    pub(crate) fn house_keeping(&self) {
        self.shared.provider.house_keeping();
    }

    /// Since when nobody is connected and no slot is kept open.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle = self.shared.applications.idle_since()?;
        (!self.shared.provider.is_kept_open()).then_some(idle)
    }

    /// Whether its socket is still the one at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        self.listener.is_in_place()
    }

    /// Ends: no connection is accepted, those that there are end, and every application is logged out.
    pub(crate) fn stop(self) {
        self.shared.closing.store(true, Ordering::Release);
        self.listener.stop();
        self.shared.applications.end_all();
        self.shared.watch.wake();
        log::info!(
            "store {} is not served any more",
            shown::path(&self.shared.path)
        );
    }
}

/// The path of a store as clients name it.
fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(file_error(path))
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
