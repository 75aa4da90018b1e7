//! The daemon: mounts, says when it is ready, serves until it is told to stop, unmounts.
//!
//! To go to the background, `slotfs mount` runs itself again with a readiness pipe: a fork would need
//! unsafe code, and a child that execs shares nothing with its parent but what it is handed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{Config, Session, SessionACL};
use nix::sys::signal::{SigSet, Signal};

use crate::credential::{KeyShare, Secret};
use crate::error::{Error, Result};
use crate::fs::{Invalidator, Owner, SlotFs};
use crate::hsm::{Access, Hsm};
use crate::logging;
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;
use crate::shown;

mod attach;
mod fusermount;
mod hand_over;
mod holders;
mod inherited;
mod limits;
mod log_file;
mod mountpoint;
mod options;
mod own;
mod table;

pub(crate) use hand_over::{receive_logins, start};
pub use inherited::Inherited;
pub(crate) use limits::lacking;
pub(crate) use mountpoint::{check as check_mountpoint, umount};
pub(crate) use options::MountOptions;

use own::{OwnMount, Unmounted};

/// Event-loop threads: a few more than cores, so that one that opens a blob keeps nobody waiting.
const EVENT_LOOPS: usize = 4;
/// How long requests under way may take to end after a forced unmount.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long the event loops may take to start on a loaded machine.
const UNTIL_READY: Duration = Duration::from_secs(60);

/// A mount to be made.
pub(crate) struct Plan {
    /// The store, absolute.
    pub(crate) store: PathBuf,
    /// Where.
    pub(crate) mountpoint: PathBuf,
    /// What `-o` said.
    pub(crate) options: MountOptions,
    /// The same as it was said.
    pub(crate) options_text: String,
    /// Where to log.
    pub(crate) log_file: Option<PathBuf>,
    /// Who to log in before it is ready, with a password, or with one of the key shares that it takes.
    pub(crate) logins: Vec<(SlotId, Role, SecretBytes)>,
    /// Descriptors that the caller left open, closed before the mount is ready.
    pub(crate) inherited: Inherited,
}

/// Where the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// On a terminal, or under a supervisor.
    Fore,
    /// Started by [`start`].
    Back,
}

/// The signals that unmount: those that ask for it, and those that would end the process and leave a dead mount.
const ENDING: [Signal; 12] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGXCPU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGPWR,
    Signal::SIGIO,
];

/// How often the daemon looks for what is past its time in the trash.
const TRASH_EVERY: Duration = Duration::from_secs(2);

fn log_in(hsm: &Hsm, logins: Vec<(SlotId, Role, SecretBytes)>) -> Result<()> {
    for (slot, role, shown) in logins {
        if KeyShare::looks_like(shown.bytes()) {
            hsm.partition(slot).present(role, &shown)?;
        } else {
            hsm.partition(slot).login(role, &Secret::Password(shown))?;
        }
    }
    Ok(())
}

/// Why the daemon stops.
enum Event {
    Signal(Signal),
    /// The session ended: unmounted from outside, or failed.
    Ended(io::Result<()>),
    /// The mount that the daemon made is gone; a bind mount or another namespace may have the filesystem still.
    Gone,
}

/// Serves a mount until it is unmounted or the process is told to stop.
///
/// # Errors
/// Whatever keeps it from being ready: [`Error::Mount`], login errors, store errors.
pub(crate) fn serve(plan: Plan, ground: Ground) -> Result<()> {
    // Before any thread: all of them inherit the mask, and one waits for the signals.
    let signals = SigSet::from_iter(ENDING);
    signals.thread_block().map_err(system("block signals"))?;
    logging::for_daemon(match ground {
        Ground::Fore => plan.log_file.as_deref().map(log_file::open).transpose()?,
        Ground::Back => Some(log_file::of_background(
            plan.log_file.as_deref(),
            &plan.store,
        )?),
    });
    plan.inherited.close();
    let mountpoint = mountpoint::check(&plan.mountpoint)?;
    mountpoint::must_not_hide(&plan.store, &mountpoint)?;
    limits::try_out()?;

    let hsm = open(&plan)?;
    if let Some(time) = plan.options.share_timeout {
        hsm.forget_shares_after(time);
    }
    log_in(&hsm, plan.logins)?;

    let invalidator = Invalidator::default();
    let owner = Owner {
        uid: plan.options.uid.unwrap_or(nix::unistd::getuid().as_raw()),
        gid: plan.options.gid.unwrap_or(nix::unistd::getgid().as_raw()),
        umask: plan.options.umask,
        others: plan.options.allow_other,
    };
    let filesystem = SlotFs::new(Arc::clone(&hsm), owner, invalidator.clone());
    let (device, own) = attach::attach(&mountpoint, &plan.options)?;
    filesystem.is_mounted_as(own.id);
    let (events, queue) = mpsc::channel();
    let begun = begin(
        filesystem,
        device.into(),
        &plan.options,
        &invalidator,
        &own,
        &events,
    )
    .and_then(|()| {
        let of_signals = events.clone();
        start_thread("signals", move || {
            while let Ok(signal) = signals.wait() {
                // A closed channel means that the daemon ends already.
                let _ = of_signals.send(Event::Signal(signal));
            }
        })
    })
    .and_then(|()| ready(&queue));
    let mut early = match begun {
        Ok(early) => early,
        Err(why) => {
            // The folder is as it was before, whatever failed; the reason is what failed first.
            let _ = own.unmount();
            return Err(why);
        }
    };

    log::info!(
        "store {} is mounted at {}",
        shown::path(&plan.store),
        shown::path(&mountpoint)
    );
    if ground == Ground::Back
        && early.is_none()
        && let Err(why) = hand_over::ready()
    {
        let _ = own.unmount();
        return Err(why);
    }

    // Whether it was told that the store's files cannot be looked at.
    let mut unseen = false;
    let event = loop {
        match early
            .take()
            .map_or_else(|| queue.recv_timeout(TRASH_EVERY), Ok)
        {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                hsm.forget_old_shares();
                // Also while nobody asks for anything: the sooner it is told, the more can be saved.
                match hsm.check_store() {
                    Ok(()) => unseen = false,
                    // It was told when it was found.
                    Err(error) if error.is_store_lost() => continue,
                    Err(why) => {
                        if !std::mem::replace(&mut unseen, true) {
                            log::warn!("{why}");
                        }
                        continue;
                    }
                }
                if !plan.options.read_only
                    && let Err(why) = hsm.empty_expired_trash()
                {
                    log::warn!("what is past its time in the trash is still there: {why}");
                }
            }
            Ok(Event::Gone) => {
                // Before the end of the session, which may be long in coming when something else holds the mount.
                if hsm.logout_all() {
                    log::info!(
                        "the mount at {} is gone: every slot is logged out",
                        shown::path(&mountpoint)
                    );
                }
            }
            event => break event,
        }
    };
    let ended = match event {
        Ok(Event::Ended(outcome)) => outcome,
        Ok(Event::Signal(signal)) => {
            log::info!("{signal}: unmounting {}", shown::path(&mountpoint));
            match own.unmount()? {
                Unmounted::Done | Unmounted::Before => {}
                Unmounted::Detached => {
                    log::warn!("{} is in use: detached", shown::path(&mountpoint));
                }
                Unmounted::Covered => log::warn!(
                    "another mount lies on top of the one at {}, and was left alone; once that is unmounted, 'slotfs umount' clears the folder",
                    shown::path(&mountpoint)
                ),
            }
            wait_for_end(&queue, &hsm)
        }
        Ok(Event::Gone) | Err(_) => Ok(()),
    };
    hsm.logout_all();
    log::info!("{} is unmounted", shown::path(&mountpoint));
    ended.map_err(|why| failed("serve the mount", &why))
}

/// How a session ended. A thread whose read of a request meets the unmount (files that their process left open are
/// still being released then) gets ECONNABORTED where the others get ENODEV, and fuser takes only the latter for the end.
fn end_of(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|why| match why.raw_os_error() {
        Some(libc::ECONNABORTED) => Ok(()),
        _ => Err(why),
    })
}

/// Waits for the session after an unmount. Keys are wiped first where a detached mount may still be in use.
fn wait_for_end(queue: &mpsc::Receiver<Event>, hsm: &Hsm) -> io::Result<()> {
    for patience in [Duration::from_millis(200), LAST_REQUESTS] {
        match queue.recv_timeout(patience) {
            Ok(Event::Ended(outcome)) => return outcome,
            // A second signal: now.
            Ok(Event::Signal(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Ok(Event::Gone) | Err(mpsc::RecvTimeoutError::Timeout) => {
                hsm.logout_all();
            }
        }
    }
    Ok(())
}

fn open(plan: &Plan) -> Result<Arc<Hsm>> {
    match Hsm::open(&plan.store, Access::ReadWrite) {
        Err(error) if error.is_read_only_store() && plan.options.read_only => {
            Ok(Hsm::open(&plan.store, Access::ReadOnly)?)
        }
        opened => Ok(opened?),
    }
}

/// Starts the session and the watch over the mount.
fn begin(
    filesystem: SlotFs,
    device: OwnedFd,
    options: &MountOptions,
    invalidator: &Invalidator,
    own: &OwnMount,
    events: &mpsc::Sender<Event>,
) -> Result<()> {
    let config = config(options);
    let session = Session::from_fd(filesystem, device, config.acl, config)
        .map_err(|why| failed("speak with the kernel over /dev/fuse", &why))?;
    invalidator.connect(session.notifier());
    let of_session = events.clone();
    start_thread("session", move || {
        // Whoever stopped listening is on the way out.
        let _ = of_session.send(Event::Ended(end_of(session.run())));
    })?;
    let (own, of_watch) = (own.clone(), events.clone());
    start_thread("watch", move || match own.wait_until_gone() {
        Ok(()) => {
            let _ = of_watch.send(Event::Gone);
        }
        Err(why) => log::warn!("cannot watch the table of mounts: {why}"),
    })
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(|why| limits::lacking("start a thread", &why))
}

/// Waits until every event loop runs. An unmount or a signal before that is no failure: it is returned.
fn ready(queue: &mpsc::Receiver<Event>) -> Result<Option<Event>> {
    let deadline = Instant::now() + UNTIL_READY;
    while event_loops() < EVENT_LOOPS {
        match queue.recv_timeout(Duration::from_millis(2)) {
            Ok(Event::Ended(Err(why))) => return Err(limits::lacking("serve the mount", &why)),
            Ok(event) => return Ok(Some(event)),
            Err(_) if Instant::now() > deadline => {
                return Err(failed("start the event loops", &"no time was left"));
            }
            Err(_) => {}
        }
    }
    // The parent asks for an answer. A daemon must never wait for its own mount: killed then, it could not end, because
    // its threads would wait for each other.
    Ok(None)
}

/// fuser's threads that run.
fn event_loops() -> usize {
    std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|task| {
            std::fs::read(task.path().join("comm")).is_ok_and(|name| name.starts_with(b"fuser-"))
        })
        .count()
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    config.n_threads = Some(EVENT_LOOPS);
    config.clone_fd = true;
    config
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Mount {
        what: format!("cannot {what}: {why}"),
        hint: None,
    }
}

fn system(what: &'static str) -> impl Fn(nix::errno::Errno) -> Error {
    move |why| failed(what, &why)
}
