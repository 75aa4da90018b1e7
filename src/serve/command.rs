//! `slotfs serve`: opens a store, serves it, and ends when it is told to, or nobody needs it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use slotfs_config::Config;

use super::{At, HeldBy, Server, failed};
use crate::daemon::Inherited;
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{Access, Hsm};
use crate::{logging, shown};

/// How often the server looks after itself.
const INTERVAL: Duration = Duration::from_secs(1);

/// What `slotfs serve` is to do.
pub(crate) struct Plan {
    /// The store's file.
    pub(crate) store: PathBuf,
    pub(crate) config: Config,
    /// Where to listen, if not where clients look.
    pub(crate) socket: Option<PathBuf>,
    /// How long the server waits for a connection, once it has none.
    pub(crate) idle: Duration,
    pub(crate) log_file: Option<PathBuf>,
    /// Whether `slotfs serve --background` started this process.
    pub(crate) handed_over: bool,
    pub(crate) inherited: Inherited,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Signal,
    Idle,
    /// Its socket or its store is not at its path any more.
    Moved,
}

/// Serves until there is a reason to stop.
///
/// # Errors
/// When the store cannot be opened, another server holds its lock, or there can be no socket.
pub(crate) fn run(plan: Plan) -> Result<Stop> {
    let signals = SigSet::from_iter([
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ]);
    signals.thread_block().map_err(failed("block signals"))?;
    let log = plan.log_file.as_deref();
    logging::for_daemon(log.map(crate::daemon::open_log).transpose()?);
    // Before anything else is opened: what systemd passed is among what was inherited.
    let mut given = listenfd::ListenFd::from_env();
    let given = given
        .take_unix_listener(0)
        .map_err(failed("take the socket that systemd passed"))?;
    if given.is_none() {
        plan.inherited.close();
    }
    let hsm = match Hsm::open(&plan.store, Access::ReadWrite) {
        Err(error) if error.is_read_only_store() => Hsm::open(&plan.store, Access::ReadOnly)?,
        opened => opened?,
    };
    hsm.remember_in(environment::state_folder());
    let at = match (given, plan.socket) {
        (Some(listener), _) => At::Given(listener),
        (None, Some(path)) => At::Path(path),
        (None, None) => At::Usual,
    };
    let server = match Server::start(&hsm, &plan.config, at)? {
        Ok(server) => server,
        Err(held) => return Err(held_by(held, &plan.store)),
    };
    let (events, queue) = mpsc::channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(
            move || {
                while signals.wait().is_ok() && events.send(()).is_ok() {}
            },
        )
        .map_err(failed("start a thread"))?;
    if plan.handed_over {
        super::background::report_ready()?;
    }
    let stop = wait(&server, &hsm, &queue, plan.idle);
    log::info!(
        "{}: {}",
        shown::path(server.socket()),
        match stop {
            Stop::Signal => "told to end",
            Stop::Idle => "nobody is connected",
            Stop::Moved => "the socket or the store is not at its path any more",
        }
    );
    server.stop();
    hsm.logout_all();
    Ok(stop)
}

fn wait(server: &Server, hsm: &Arc<Hsm>, queue: &mpsc::Receiver<()>, idle: Duration) -> Stop {
    loop {
        match queue.recv_timeout(INTERVAL.min(idle)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Stop::Signal,
        }
        server.house_keeping();
        hsm.forget_old_shares();
        let lost = hsm.check_store().is_err_and(|error| error.is_store_lost());
        if lost || !server.is_in_place() {
            return Stop::Moved;
        }
        if server
            .idle_since()
            .is_some_and(|since| since.elapsed() >= idle)
        {
            return Stop::Idle;
        }
    }
}

/// The error that another server has the store.
pub(super) fn held_by(HeldBy(pid): HeldBy, store: &std::path::Path) -> Error {
    let who = match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::Serve {
        what: format!("store {} is served by {who} already", shown::path(store)),
        hint: Some("applications use that server; end it first if you want another one".into()),
    }
}

/// Prints that a server is ready, for scripts that start one in the foreground.
pub(crate) fn print_ready() {
    let mut out = std::io::stdout();
    let _ = out.write_all(b"ready\n").and_then(|()| out.flush());
}
