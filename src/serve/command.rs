//! `slotfs serve`: opens a store, serves it, and ends when it is told to, or nobody needs it.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use slotfs_config::Config;

use super::{At, Client, HeldBy, Server, failed};
use crate::daemon::{self, Inherited};
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{Access, Hsm};
use crate::{logging, notify, shown};

/// How often the server looks after itself.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a server in the background waits for another one, which holds the lock and may just begin or end.
const OTHER_TIMEOUT: Duration = Duration::from_secs(10);

/// What `slotfs serve` is to do.
pub(crate) struct Plan {
    /// The store's file.
    pub(crate) store: PathBuf,
    pub(crate) config: Config,
    /// How long the server waits for a connection, once it has none.
    pub(crate) idle: Duration,
    pub(crate) log_file: Option<PathBuf>,
    /// Whether `slotfs serve --background` started this process.
    pub(crate) handed_over: bool,
    pub(crate) inherited: Inherited,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Signal,
    Idle,
    /// Its socket or its store is not at its path any more.
    Moved,
}

/// Serves until there is a reason to stop.
///
/// # Errors
/// When the store cannot be opened, another server holds its lock, or there can be no socket.
pub(crate) fn run(plan: Plan) -> Result<()> {
    let signals = SigSet::from_iter([
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ]);
    signals.thread_block().map_err(failed("block signals"))?;
    let log = plan.log_file.as_deref();
    logging::for_daemon(match plan.handed_over {
        true => Some(daemon::log_of_background(log, &plan.store)?),
        false => log.map(daemon::open_log).transpose()?,
    });
    let given = listenfd::ListenFd::from_env()
        .take_unix_listener(0)
        .map_err(failed("take the socket that systemd passed"))?;
    let number = given.as_ref().map(AsRawFd::as_raw_fd);
    plan.inherited.close_all_but(number);
    daemon::raise_open_files();
    let hsm = match Hsm::open(&plan.store, Access::ReadWrite) {
        Err(error) if error.is_read_only_store() => Hsm::open(&plan.store, Access::ReadOnly)?,
        opened => opened?,
    };
    hsm.remember_in(environment::state_folder());
    let mut server = match given {
        Some(socket) => Server::start_given(&hsm, &plan.config, socket)?,
        None => match start(&hsm, &plan)? {
            Some(server) => server,
            None => return daemon::report_ready(),
        },
    };
    let (events, queue) = mpsc::channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || while signals.wait().is_ok() && events.send(()).is_ok() {})
        .map_err(failed("start a thread"))?;
    match plan.handed_over {
        true => daemon::report_ready()?,
        false => notify::ready(&server.status()),
    }
    // What lingers for the next command needs the server.
    let linger = Duration::from_secs(plan.config.linger_secs);
    let stop = wait(&mut server, &hsm, &queue, plan.idle.max(linger))?;
    log::info!(
        "the token server ends: {}",
        match stop {
            Stop::Signal => "it is told to",
            Stop::Idle => "nobody is connected",
            Stop::Moved => "the socket or the store is not at its path any more",
        }
    );
    notify::stopping("closing connections");
    drop(server);
    hsm.logout_all();
    Ok(())
}

/// Starts the server. In the background, `None` says that another one listens.
fn start(hsm: &Arc<Hsm>, plan: &Plan) -> Result<Option<Server>> {
    let deadline = Instant::now() + OTHER_TIMEOUT;
    loop {
        let held = match Server::start(hsm, &plan.config, At::configured(&plan.config))? {
            Ok(server) => return Ok(Some(server)),
            Err(held) => held,
        };
        if !plan.handed_over || deadline <= Instant::now() {
            return Err(held_by(held, &plan.store));
        }
        if Client::connect(&plan.config, &plan.store)?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait(
    server: &mut Server,
    hsm: &Arc<Hsm>,
    queue: &mpsc::Receiver<()>,
    idle: Duration,
) -> Result<Stop> {
    let mut status = notify::Status::default();
    loop {
        match queue.recv_timeout(INTERVAL.min(idle)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Stop::Signal),
        }
        server.house_keeping();
        status.update(|| server.status());
        hsm.forget_old_shares();
        let lost = hsm.check_store().is_err_and(|error| error.is_store_lost());
        if lost || !server.is_in_place() {
            return Ok(Stop::Moved);
        }
        let since = server.idle_since();
        if since.is_some_and(|since| since.elapsed() >= idle) && server.stop_listening_if_idle()? {
            return Ok(Stop::Idle);
        }
    }
}

/// The error that another server has the store.
pub(super) fn held_by(HeldBy(pid): HeldBy, store: &Path) -> Error {
    let who = match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::Serve {
        what: format!("store {} is served by {who} already", shown::path(store)),
        hint: Some("applications use that server; end it first if you want another one".into()),
    }
}
