//! The daemon makes the mount, reports that it is ready, serves requests until it is told to stop, and unmounts.
//!
//! To run in the background, `slotfs mount` executes itself again and waits for a message on a pipe. A fork would need
//! unsafe code; an executed child inherits only the descriptors that it is given.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::{Config, Session, SessionACL};
use nix::sys::signal::{SigSet, Signal};

use crate::credential::{KeyShare, Secret};
use crate::environment;
use crate::error::{Error, Result};
use crate::fs::{Invalidator, Owner, SlotFs};
use crate::hangup;
use crate::hsm::{self, Access, Hsm, briefly};
use crate::logging::{self, Where};
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;
use crate::{notify, shown};

mod attach;
mod fusermount;
mod given;
mod hand_over;
mod holders;
mod inherited;
mod limits;
mod mounted;
mod mountpoint;
mod options;
mod own;
mod serving;
mod table;

pub(crate) use hand_over::{receive_logins, remember_program, report_ready, start};
pub use inherited::Inherited;
pub(crate) use limits::{raise_open_files, resource_error};
pub(crate) use mounted::{Daemon as MountDaemon, Mounted, Said, of as mounts_of};
pub(crate) use mountpoint::{check as check_mountpoint, umount};
pub(crate) use options::{MountOptions, SecretFile};

use attach::Attached;
use fusermount::AutoUnmount;
use options::Others;
use own::{OwnMount, Unmounted};
use serving::Serving;

/// Number of event-loop threads. It exceeds the usual number of cores so that a thread that opens a blob does not delay
/// other requests.
const EVENT_LOOPS: usize = 4;
/// How long running requests may take to end after a forced unmount.
const LAST_REQUESTS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the event loops may take to start on a loaded machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the daemon checks the store and purges expired trash.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(2);

/// What `slotfs mount` is to mount, and where.
pub(crate) struct Plan {
    /// The absolute path of the store, or its location with the options of `-o`.
    pub(crate) store: PathBuf,
    /// What the mount table shows: the same as it was given.
    pub(crate) source: PathBuf,
    pub(crate) mountpoint: PathBuf,
    /// The parsed options of `-o`.
    pub(crate) options: MountOptions,
    /// The options of `-o` as the user gave them.
    pub(crate) options_text: String,
    /// Where the daemon logs, resolved.
    pub(crate) log: Where,
    /// What it logs.
    pub(crate) log_filter: Option<String>,
    /// The roles to log in before the mount is ready, each with a password or with one of the required key shares.
    pub(crate) logins: Vec<(SlotId, Role, SecretBytes)>,
    /// Descriptors that the caller left open. The daemon closes them before the mount is ready.
    pub(crate) inherited: Inherited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// On a terminal, or under a supervisor.
    Foreground,
    /// Started by [`start`].
    Background,
}

/// The signals that make the daemon unmount. By default each of them ends the process, which would leave a dead mount.
const STOP_SIGNALS: [Signal; 11] = {
    use Signal::*;
    [
        SIGINT, SIGTERM, SIGQUIT, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGPWR,
        SIGIO,
    ]
};

/// What the threads of the daemon report to its main thread.
enum Event {
    /// A signal to stop.
    Signal(Signal),
    /// SIGHUP, which is no signal to stop without a terminal.
    Reload,
    /// The FUSE session ended: the filesystem was unmounted, or the session failed.
    SessionEnded(io::Result<()>),
    /// The mount that the daemon made is gone. A bind mount or another namespace may still hold the filesystem.
    MountGone,
}

/// Serves a mount until it is unmounted or a signal stops the daemon.
///
/// # Errors
/// Whatever prevents the mount from becoming ready: [`Error::Mount`], login errors, store errors.
pub(crate) fn serve(plan: Plan, mode: Mode) -> Result<()> {
    // A daemon that was started by a descriptor would have the descriptor's number as its name.
    if let Err(why) = nix::sys::prctl::set_name(c"slotfs") {
        log::debug!("prctl: {why}");
    }
    // Block the signals before the first thread starts: every thread inherits the mask, and one thread waits for them.
    let hangup_stops = mode == Mode::Foreground && hangup::is_a_stop();
    let mut signals = SigSet::from_iter(STOP_SIGNALS);
    signals.add(Signal::SIGHUP);
    signals.thread_block().map_err(failed("block signals"))?;
    logging::for_daemon(&plan.log, plan.log_filter.as_deref())?;
    // The descriptor of a mount that another process made is among those that are closed next.
    let given = given::descriptor(&plan.mountpoint)
        .map(|number| attach::take_over(number, &plan.options))
        .transpose()?;
    plan.inherited.close();
    let mountpoint = match given {
        Some(_) => plan.mountpoint.clone(),
        None => mountpoint::check(&plan.mountpoint)?,
    };
    let state = environment::state_folder().ok();
    mountpoint::must_not_hide(&plan.store, state.as_deref(), &mountpoint)?;
    limits::check_resources(&plan.store)?;

    let hsm = open_store(&plan)?;
    let options = plan.options;
    if let Some(time) = options.share_timeout {
        hsm.forget_shares_after(time);
    }
    log_in(&hsm, plan.logins)?;

    let is_given = given.is_some();
    let attached = match given {
        Some(attached) => attached,
        None => attach::attach(&plan.source, &mountpoint, &options)?,
    };
    let Attached {
        device,
        own,
        checks_modes,
        auto_unmount,
    } = attached;
    let invalidator = Invalidator::default();
    let owner = Owner {
        uid: options.uid.unwrap_or(nix::unistd::getuid().as_raw()),
        gid: options.gid.unwrap_or(nix::unistd::getgid().as_raw()),
        umask: options.umask,
        others: options.others == Others::Everybody,
        alone: !checks_modes,
    };
    let filesystem = SlotFs::new(Arc::clone(&hsm), owner, invalidator.clone());
    if let Some(own) = &own {
        filesystem.is_mounted_as(own.id);
    }
    let (events, queue) = mpsc::channel();
    let daemon = Daemon {
        hsm,
        own,
        is_given,
        _auto_unmount: auto_unmount,
        queue,
        mountpoint,
        options,
    };
    let (early_event, mut serving) = daemon
        .start_threads(
            filesystem,
            device,
            &invalidator,
            (signals, hangup_stops),
            &events,
        )
        .and_then(|()| daemon.wait_until_ready())
        .and_then(|early| {
            let serving = Serving::start(&daemon.hsm, &daemon.options);
            let early = daemon.report_ready(&plan.store, mode, early)?;
            Ok((early, serving))
        })
        .inspect_err(|_| {
            // The first error is the one to report.
            let _ = daemon.unmount();
        })?;
    let stop = daemon.wait_for_stop(early_event, &mut serving);
    // The keys of the mount first: a call of an application may take some time yet.
    let outcome = daemon.stop(stop);
    serving.stop();
    log::logger().flush();
    outcome
}

fn open_store(plan: &Plan) -> Result<Arc<Hsm>> {
    let hsm = match Hsm::open(&plan.store, Access::ReadWrite) {
        Err(error) if error.is_read_only_store() && plan.options.is_read_only() => {
            Hsm::open(&plan.store, Access::ReadOnly)?
        }
        opened => opened?,
    };
    hsm.remember_in(environment::state_folder());
    Ok(hsm)
}

fn log_in(hsm: &Hsm, logins: Vec<(SlotId, Role, SecretBytes)>) -> Result<()> {
    for (slot, role, secret) in logins {
        if KeyShare::looks_like(secret.bytes()) {
            hsm.partition(slot).present(role, &secret)?;
        } else {
            hsm.partition(slot).login(role, &Secret::Password(secret))?;
        }
    }
    Ok(())
}

/// What housekeeping keeps from one time to the next.
#[derive(Default)]
struct House {
    /// Whether the log was told that the store could not be looked at, and nothing else since.
    has_warned: bool,
    /// The same of a purge.
    has_warned_of_purge: bool,
    purge: Option<JoinHandle<hsm::Result<()>>>,
}

impl Drop for House {
    /// A purge that is under way may end with the process, but whoever unmounts finds the store's files closed.
    fn drop(&mut self) {
        let is_running = |it: &JoinHandle<_>| !it.is_finished();
        let until = Instant::now() + Duration::from_secs(1);
        while self.purge.as_ref().is_some_and(is_running) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl House {
    /// Purges expired trash on a thread of its own: what a cluster is asked to write may take until its deadline.
    fn purge(&mut self, hsm: &Arc<Hsm>) {
        match self.purge.take().map(|it| (it.is_finished(), it)) {
            None => {}
            Some((false, running)) => {
                self.purge = Some(running);
                return;
            }
            Some((true, ended)) => match ended.join() {
                Ok(Ok(())) => self.has_warned_of_purge = false,
                Ok(Err(why)) => {
                    if !std::mem::replace(&mut self.has_warned_of_purge, true) {
                        log::warn!("expired trash could not be purged: {why}");
                    }
                }
                Err(_) => log::error!("the thread that purges panicked"),
            },
        }
        let hsm = Arc::clone(hsm);
        let thread = thread::Builder::new().name("purge".into());
        match thread.spawn(move || hsm.empty_expired_trash()) {
            Ok(running) => self.purge = Some(running),
            Err(why) => log::debug!("no thread to purge with: {why}"),
        }
    }
}

/// A mount that exists, as the main thread sees it.
struct Daemon {
    hsm: Arc<Hsm>,
    /// `None` if the mount is in another namespace.
    own: Option<OwnMount>,
    /// Another process made the mount, and unmounts it.
    is_given: bool,
    /// Dropped, and so ended, after the mount.
    _auto_unmount: Option<AutoUnmount>,
    queue: mpsc::Receiver<Event>,
    mountpoint: PathBuf,
    options: MountOptions,
}

impl Daemon {
    /// Starts the FUSE session, the watch over the mount, and the thread that waits for signals.
    fn start_threads(
        &self,
        filesystem: SlotFs,
        device: File,
        invalidator: &Invalidator,
        (signals, hangup_stops): (SigSet, bool),
        events: &mpsc::Sender<Event>,
    ) -> Result<()> {
        let mut config = Config::default();
        config.acl = match self.options.others {
            Others::Everybody => SessionACL::All,
            Others::Root => SessionACL::RootAndOwner,
            Others::Nobody => SessionACL::Owner,
        };
        config.n_threads = Some(EVENT_LOOPS);
        // A container that was given a descriptor may have no /dev/fuse; then the event loops share the descriptor.
        config.clone_fd = !self.is_given || attach::is_device_open_to_us();
        let session = Session::from_fd(filesystem, device.into(), config.acl, config)
            .map_err(failed("communicate with the kernel over /dev/fuse"))?;
        invalidator.connect(session.notifier());

        // A send fails only if the daemon already stops; the threads ignore that.
        let to_main = events.clone();
        start_thread("session", move || {
            let _ = to_main.send(Event::SessionEnded(session_outcome(session.run())));
        })?;
        if let Some(own) = self.own.clone() {
            let to_main = events.clone();
            start_thread("watch", move || match own.wait_until_gone() {
                Ok(()) => {
                    let _ = to_main.send(Event::MountGone);
                }
                Err(why) => log::warn!("cannot watch the mount table: {why}"),
            })?;
        }
        let to_main = events.clone();
        start_thread("signals", move || {
            while let Ok(signal) = signals.wait() {
                let _ = to_main.send(match signal {
                    Signal::SIGHUP if !hangup_stops => Event::Reload,
                    signal => Event::Signal(signal),
                });
            }
        })
    }

    /// Waits until every event loop runs. An unmount or a signal that arrives earlier is no error: it is returned.
    ///
    /// The daemon sends no request to its own mount. If it were killed while it waited for the answer, its threads would
    /// wait for each other and the process could not end. The parent process makes that test instead.
    fn wait_until_ready(&self) -> Result<Option<Event>> {
        let deadline = Instant::now() + START_TIMEOUT;
        while running_event_loops() < EVENT_LOOPS {
            match self.queue.recv_timeout(Duration::from_millis(2)) {
                Ok(Event::SessionEnded(Err(why))) => {
                    return Err(resource_error("serve the mount", &why));
                }
                // Everything was read a moment ago.
                Ok(Event::Reload) => {}
                Ok(event) => return Ok(Some(event)),
                Err(_) if Instant::now() > deadline => {
                    return Err(failed("start the event loops")("timed out"));
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Logs that the store is mounted and tells the parent of a background daemon, unless an event already ends the mount.
    fn report_ready(
        &self,
        store: &Path,
        mode: Mode,
        early_event: Option<Event>,
    ) -> Result<Option<Event>> {
        log::info!(
            "store {} is mounted at {}",
            shown::path(store),
            shown::path(&self.mountpoint)
        );
        if early_event.is_none() {
            match mode {
                Mode::Background => hand_over::report_ready()?,
                Mode::Foreground => notify::ready(&self.status()),
            }
        }
        Ok(early_event)
    }

    /// A line about the mount for `systemctl status`.
    fn status(&self) -> String {
        let mountpoint = shown::path(&self.mountpoint);
        let Ok(slots) = briefly(|| self.hsm.slot_numbers()) else {
            return format!("mounted at {mountpoint}; the store cannot be read");
        };
        let is_open = |slot: &&SlotId| briefly(|| self.hsm.partition(**slot).session().is_ok());
        let open = slots.iter().filter(is_open).count();
        format!(
            "mounted at {mountpoint}; {open} of {} slots are open",
            slots.len()
        )
    }

    /// Serves until a signal arrives or the session ends, and returns that event.
    fn wait_for_stop(&self, mut early_event: Option<Event>, serving: &mut Serving) -> Event {
        let mut house = House::default();
        let mut status = notify::Status::default();
        loop {
            let next = match early_event.take() {
                Some(event) => Ok(event),
                None => self.queue.recv_timeout(HOUSEKEEPING_INTERVAL),
            };
            match next {
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // This thread also handles signals.
                    briefly(|| self.keep_house(&mut house, serving));
                    status.update(|| self.status());
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Event::SessionEnded(Ok(())),
                Ok(Event::MountGone) => {
                    // The session may end much later if something else still holds the filesystem.
                    if self.hsm.logout_all() {
                        log::info!(
                            "the mount at {} is gone: every slot is logged out",
                            shown::path(&self.mountpoint)
                        );
                    }
                    serving.stop();
                }
                Ok(Event::Reload) => notify::reloading(|| {
                    if let Some(config) = hangup::reload() {
                        serving.reload(&config);
                    }
                }),
                Ok(event) => return event,
            }
        }
    }

    /// Forgets old key shares, checks the store's files and purges expired trash. A check that cannot be made is logged
    /// once, until a check succeeds again.
    ///
    /// The check also runs while no request arrives: the sooner a lost store is reported, the more can be saved.
    fn keep_house(&self, house: &mut House, serving: &mut Serving) {
        logging::tick();
        self.hsm.forget_old_shares();
        match self.hsm.check_store() {
            Ok(()) => house.has_warned = false,
            // The HSM reported the loss when it found it.
            Err(error) if error.is_store_lost() => return serving.stop(),
            Err(why) => {
                if !std::mem::replace(&mut house.has_warned, true) {
                    log::warn!("{why}");
                }
                return;
            }
        }
        // Logins that another process ended end here too, whether anybody asks or not.
        if let Err(why) = self.hsm.refresh_briefly() {
            log::debug!("{why}");
        }
        serving.tend();
        if !self.options.is_read_only() {
            house.purge(&self.hsm);
        }
    }

    /// Unmounts after a signal and logs every slot out.
    fn stop(&self, event: Event) -> Result<()> {
        let mountpoint = shown::path(&self.mountpoint);
        notify::stopping(&format!("unmounting {mountpoint}"));
        let outcome = match event {
            Event::SessionEnded(outcome) => outcome,
            Event::MountGone | Event::Reload => Ok(()),
            Event::Signal(signal) => {
                log::info!("{signal}: unmounting {mountpoint}");
                match self.unmount()? {
                    // Its maker unmounts it. Without this process, it answers every request with an error.
                    None => {
                        self.hsm.logout_all();
                        log::info!(
                            "stopped serving {mountpoint}; the process that made the mount must unmount it"
                        );
                        return Ok(());
                    }
                    Some(Unmounted::Done | Unmounted::Before) => {}
                    Some(Unmounted::Detached) => log::warn!("{mountpoint} is in use: detached"),
                    Some(Unmounted::Covered) => log::warn!(
                        "another mount lies on top of the one at {mountpoint}, which was not unmounted; unmount the other one, then run 'slotfs umount'"
                    ),
                }
                self.wait_for_session()
            }
        };
        self.hsm.logout_all();
        log::info!("{mountpoint} is unmounted");
        outcome.map_err(failed("serve the mount"))
    }

    /// Unmounts, unless another process made the mount.
    fn unmount(&self) -> Result<Option<Unmounted>> {
        match &self.own {
            Some(own) if !self.is_given => own.unmount().map(Some),
            _ => Ok(None),
        }
    }

    /// Waits for the session after an unmount. If it does not end soon, a detached mount may still be in use: then every
    /// slot is logged out, which wipes the keys, before the wait goes on.
    fn wait_for_session(&self) -> io::Result<()> {
        for timeout in [Duration::from_millis(200), LAST_REQUESTS_TIMEOUT] {
            match self.queue.recv_timeout(timeout) {
                Ok(Event::SessionEnded(outcome)) => return outcome,
                // A second signal ends the wait.
                Ok(Event::Signal(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Ok(Event::MountGone | Event::Reload) | Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.hsm.logout_all();
                }
            }
        }
        Ok(())
    }
}

/// The outcome of a session. fuser treats ENODEV as the end of a session. A thread that reads a request during the unmount
/// can get ECONNABORTED instead, because the kernel is still releasing open files; that is the same end.
fn session_outcome(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|why| match why.raw_os_error() {
        Some(libc::ECONNABORTED) => Ok(()),
        _ => Err(why),
    })
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(|why| resource_error("start a thread", &why))
}

/// Counts fuser's threads that run.
fn running_event_loops() -> usize {
    std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|task| {
            std::fs::read(task.path().join("comm")).is_ok_and(|name| name.starts_with(b"fuser-"))
        })
        .count()
}

fn mount_error(what: impl Into<String>, hint: Option<String>) -> Error {
    let what = what.into();
    Error::Mount { what, hint }
}

/// Makes the error "cannot `what`: reason".
fn failed<E: Display>(what: &str) -> impl Fn(E) -> Error {
    move |why| mount_error(format!("cannot {what}: {why}"), None)
}

/// Opens `/dev/null` for reading and appending.
fn open_null() -> Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .open("/dev/null")
        .map_err(failed("open /dev/null"))
}
