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
use crate::hsm::{Access, Hsm, briefly};
use crate::logging::{self, Where};
use crate::{hangup, notify, shown};

/// How often the server looks after itself.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a server waits for a connection unless it is told otherwise.
pub(crate) const IDLE_SECS: u64 = 60;
/// How long a server in the background waits for another one, which holds the lock and may just begin or end.
const OTHER_TIMEOUT: Duration = Duration::from_secs(10);

/// What `slotfs serve` is to do.
pub(crate) struct Plan {
    /// The store's file.
    pub(crate) store: PathBuf,
    pub(crate) config: Config,
    /// What the command line says of `config`'s times, which no configuration overrides.
    pub(crate) given: Given,
    /// Where the server logs, resolved.
    pub(crate) log: Where,
    /// Whether `slotfs serve --background` started this process.
    pub(crate) handed_over: bool,
    pub(crate) inherited: Inherited,
}

/// Times of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) linger_secs: Option<u64>,
    pub(crate) idle_secs: Option<u64>,
}

impl Given {
    /// How long the server waits for a connection, once it has none. What lingers for the next command needs the server.
    fn idle(self, config: &Config) -> Duration {
        let idle = self.idle_secs.or(config.idle_secs).unwrap_or(IDLE_SECS);
        Duration::from_secs(idle.max(self.linger_secs(config)))
    }

    fn linger_secs(self, config: &Config) -> u64 {
        self.linger_secs.unwrap_or(config.linger_secs)
    }
}

/// What the thread that waits for signals tells.
enum Event {
    Stop,
    /// SIGHUP, which is no signal to stop without a terminal.
    Reload,
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
    let hangup_stops = !plan.handed_over && hangup::is_a_stop();
    let signals = SigSet::from_iter([
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ]);
    signals.thread_block().map_err(failed("block signals"))?;
    logging::for_daemon(&plan.log, plan.config.log_filter.as_deref())?;
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
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                let stops = signal != Signal::SIGHUP || hangup_stops;
                if events
                    .send(if stops { Event::Stop } else { Event::Reload })
                    .is_err()
                {
                    return;
                }
            }
        })
        .map_err(failed("start a thread"))?;
    match plan.handed_over {
        true => daemon::report_ready()?,
        false => notify::ready(&server.status()),
    }
    let stop = wait(&mut server, &hsm, &queue, &plan)?;
    log::info!(
        "the token server ends: {}",
        match stop {
            Stop::Signal => "a signal was received",
            Stop::Idle => "nobody is connected",
            Stop::Moved => "the socket or the store is not at its path any more",
        }
    );
    notify::stopping("closing connections");
    drop(server);
    hsm.logout_all();
    log::logger().flush();
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
    queue: &mpsc::Receiver<Event>,
    plan: &Plan,
) -> Result<Stop> {
    let mut status = notify::Status::default();
    let mut idle = plan.given.idle(&plan.config);
    loop {
        match queue.recv_timeout(INTERVAL.min(idle)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Reload) => {
                notify::reloading(|| {
                    if let Some(config) = hangup::reload() {
                        server.set_linger(plan.given.linger_secs(&config));
                        idle = plan.given.idle(&config);
                    }
                });
            }
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(Stop::Signal),
        }
        logging::tick();
        // This thread also handles signals.
        let lost = briefly(|| {
            server.house_keeping();
            status.update(|| server.status());
            hsm.forget_old_shares();
            hsm.check_store().is_err_and(|error| error.is_store_lost())
        });
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
