//! The daemon: mounts, says when it is ready, serves until it is told to stop, unmounts.
//!
//! To go to the background, `slotfs mount` runs itself again with a readiness pipe: a fork would need
//! unsafe code, and a child that execs shares nothing with its parent but what it is handed.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{Config, Session, SessionACL};
use nix::sys::signal::{SigSet, Signal};

use crate::credential::{KeyShare, Role, Secret};
use crate::error::{Error, Result};
use crate::fs::{Invalidator, Owner, SlotFs};
use crate::hsm::{Access, Hsm};
use crate::logging;
use crate::object::SlotId;
use crate::secret::SecretBytes;
use crate::shown;

use self::kernel::CannotMount;
use self::log_file::Log;
use self::own::{OwnMount, Unmounted};

mod answering;
mod hand_over;
mod holders;
mod inherited;
mod kernel;
mod limits;
mod log_file;
mod mount_table;
mod mountpoint;
mod options;
mod own;

pub use hand_over::{receive_logins, start};
pub use inherited::Inherited;
pub use mountpoint::{check as check_mountpoint, umount};
pub use options::MountOptions;

/// Event-loop threads: a few more than cores, so that one that opens a blob keeps nobody waiting.
const EVENT_LOOPS: usize = 4;
/// How long requests under way may take to end after a forced unmount.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// A mount to be made.
pub struct Plan {
    /// The store, absolute.
    pub store: PathBuf,
    /// Where.
    pub mountpoint: PathBuf,
    /// What `-o` said.
    pub options: MountOptions,
    /// The same as it was said.
    pub options_text: String,
    /// Where to log.
    pub log_file: Option<PathBuf>,
    /// Who to log in before it is ready, with a password, or with one of the key shares that it takes.
    pub logins: Vec<(SlotId, Role, SecretBytes)>,
}

/// Where the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// On a terminal, or under a supervisor.
    Fore,
    /// Started by [`start`].
    Back,
}

/// How often the daemon looks for what is past its time in the trash.
const TRASH_EVERY: Duration = Duration::from_secs(2);

fn log_in(hsm: &Hsm, logins: Vec<(SlotId, Role, SecretBytes)>) -> Result<()> {
    for (slot, role, shown) in logins {
        if KeyShare::looks_like(shown.bytes()) {
            hsm.present(slot, role, &shown)?;
        } else {
            hsm.login(slot, role, &Secret::Password(shown))?;
        }
    }
    Ok(())
}

/// What happens while the daemon serves.
enum Event {
    Signal(Signal),
    /// The session ended: unmounted from outside, or failed.
    Ended(io::Result<()>),
    /// The mount answers requests.
    Answers,
    /// The mount is gone from this mount namespace.
    Gone,
}

/// Serves a mount until it is unmounted or the process is told to stop.
///
/// # Errors
/// Whatever keeps it from being ready: [`Error::Mount`], login errors, store errors.
pub fn serve(plan: Plan, ground: Ground) -> Result<()> {
    // Before any thread: all of them inherit the mask, and one waits for the signals.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().map_err(system("block signals"))?;
    limits::raise_open_files();
    let mountpoint = mountpoint::check(&plan.mountpoint, &plan.store)?;
    let no_log = match ground {
        Ground::Fore => {
            let file = plan.log_file.as_deref().map(log_file::open).transpose()?;
            logging::for_daemon(file);
            None
        }
        Ground::Back => match log_file::of_background(plan.log_file.as_deref(), &plan.store)? {
            Log::File(file) => {
                logging::for_daemon(Some(file));
                None
            }
            Log::None(why) => {
                let null = OpenOptions::new().append(true).open("/dev/null");
                logging::for_daemon(Some(null.map_err(|why| failed("open /dev/null", &why))?));
                Some(why)
            }
        },
    };

    let hsm = Arc::new(open(&plan)?);
    if let Some(why) = no_log {
        // Told where a person still sees it, and only where there is a store to be mounted.
        let _ = writeln!(io::stderr(), "slotfs: no log: {why}");
    }
    if let Some(time) = plan.options.share_timeout {
        hsm.forget_shares_after(time);
    }
    log_in(&hsm, plan.logins)?;
    limits::try_memory()?;

    let (events, queue) = mpsc::channel();
    let (session, own) = begin(&hsm, &mountpoint, &plan.options)?;
    // From here on, whatever fails takes its mount away.
    let ready = run(session, &own, signals, &mountpoint, events)
        .and_then(|()| until_answering(&queue, &own))
        .and_then(|first| {
            log::info!(
                "store {} is mounted at {}",
                shown::path(&plan.store),
                shown::path(&mountpoint)
            );
            if ground == Ground::Back {
                hand_over::ready()?;
            }
            Ok(first)
        });
    let first = match ready {
        Ok(first) => first,
        Err(why) => {
            give_up(&own);
            return Err(why);
        }
    };
    let event = first.or_else(|| next_event(&queue, &hsm, plan.options.read_only));
    let ended = match event {
        Some(Event::Ended(outcome)) => outcome,
        Some(Event::Signal(signal)) => {
            log::info!("{signal}: unmounting {}", shown::path(&mountpoint));
            match own.unmount()? {
                Unmounted::Yes => wait_for_end(&queue, &hsm, &mountpoint),
                Unmounted::WasGone => Ok(()),
                Unmounted::Covered => {
                    log::warn!(
                        "something else is mounted over {}: it is left alone, and what is below it answers no more; \
                         'umount' it twice",
                        shown::path(&mountpoint)
                    );
                    Ok(())
                }
            }
        }
        Some(Event::Answers | Event::Gone) | None => Ok(()),
    };
    hsm.logout_all();
    log::info!("{} is unmounted", shown::path(&mountpoint));
    ended.map_err(|why| failed("serve the mount", &why))
}

/// Makes the mount and answers the kernel's first request.
fn begin(
    hsm: &Arc<Hsm>,
    mountpoint: &Path,
    options: &MountOptions,
) -> Result<(Session<SlotFs>, OwnMount)> {
    let owner = Owner {
        uid: options.uid.unwrap_or(nix::unistd::getuid().as_raw()),
        gid: options.gid.unwrap_or(nix::unistd::getgid().as_raw()),
        umask: options.umask,
        others: options.allow_other,
    };
    let table = Path::new(mount_table::OWN);
    let before = mount_table::read(table).map_err(|why| failed("read the mounts", &why))?;
    let device =
        kernel::mount(mountpoint, options).map_err(|why| cannot_mount(mountpoint, &why))?;
    let own = OwnMount::made_at(mountpoint, &before)
        .map_err(|why| failed("find the mount that was made", &why))?;
    crate::fs::name_mount(own.id());
    let invalidator = Invalidator::default();
    let filesystem = SlotFs::new(Arc::clone(hsm), owner, invalidator.clone());
    let (acl, config) = config(options);
    let session = Session::from_fd(filesystem, device, acl, config);
    let session = match session {
        Ok(session) => session,
        Err(why) => {
            give_up(&own);
            return Err(failed("begin to serve the mount", &why));
        }
    };
    invalidator.connect(session.notifier());
    Ok((session, own))
}

/// Takes a mount away that did not become ready.
fn give_up(own: &OwnMount) {
    if let Err(why) = own.unmount() {
        // Whoever started this process clears what it leaves.
        log::warn!("the mount was not taken away: {why}");
    }
}

/// Starts the threads: the session with its event loops, one that waits for signals, one that watches the mount, one
/// that asks whether it answers.
fn run(
    session: Session<SlotFs>,
    own: &OwnMount,
    signals: SigSet,
    mountpoint: &Path,
    events: mpsc::Sender<Event>,
) -> Result<()> {
    let of_session = events.clone();
    thread::Builder::new()
        .name("session".into())
        .spawn(move || {
            // Whoever stopped listening is on the way out.
            let _ = of_session.send(Event::Ended(end_of(session.run())));
        })
        .map_err(no_thread)?;
    let of_signals = events.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                let _ = of_signals.send(Event::Signal(signal));
            }
        })
        .map_err(no_thread)?;
    own.watch(events.clone(), Event::Gone).map_err(no_thread)?;
    answering::ask(mountpoint, events, Event::Answers).map_err(no_thread)?;
    limits::try_descriptors()
}

/// Waits until the mount answers. What came before that and is to be looked at afterwards is returned.
fn until_answering(queue: &mpsc::Receiver<Event>, own: &OwnMount) -> Result<Option<Event>> {
    match queue.recv() {
        Ok(Event::Answers) => Ok(None),
        Ok(Event::Ended(Err(why))) => Err(cannot_serve(&why)),
        Ok(Event::Ended(Ok(()))) | Err(_) => Err(failed(
            "serve the mount",
            &"it was unmounted before it was ready",
        )),
        // Somebody else unmounts or stops it while it starts.
        Ok(Event::Gone) => {
            log::debug!("mount {} is gone before it was ready", own.id());
            Err(failed(
                "serve the mount",
                &"it was unmounted before it was ready",
            ))
        }
        Ok(signal @ Event::Signal(_)) => Ok(Some(signal)),
    }
}

/// The event that ends the daemon. What is due from time to time is done in between.
fn next_event(queue: &mpsc::Receiver<Event>, hsm: &Hsm, read_only: bool) -> Option<Event> {
    let mut gone = None;
    loop {
        match queue.recv_timeout(TRASH_EVERY) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // Most often the session ends at the same time; else somebody holds the mount.
                if gone.take().is_some() {
                    log::warn!(
                        "the mount is gone from this mount namespace, but another one or an open file holds it: every \
                         slot is logged out; the daemon ends when it is let go"
                    );
                }
                hsm.forget_old_shares();
                // Also while nobody asks for anything: the sooner it is told, the more can be saved.
                if hsm.check_store().is_err() {
                    continue;
                }
                if !read_only && let Err(why) = hsm.empty_expired_trash() {
                    log::warn!("what is past its time in the trash is still there: {why}");
                }
            }
            Ok(Event::Answers) => {}
            Ok(Event::Gone) => {
                hsm.logout_all();
                gone = Some(());
            }
            Ok(event) => return Some(event),
            Err(mpsc::RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// How a session ended. A thread whose read of a request meets the unmount (files that their process left open are
/// still being released then) gets ECONNABORTED where the others get ENODEV, and fuser takes only the latter for the end.
fn end_of(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|why| match why.raw_os_error() {
        Some(libc::ECONNABORTED) => Ok(()),
        _ => Err(why),
    })
}

/// Waits for the session after an unmount. Keys are wiped first where the mount is still in use.
fn wait_for_end(queue: &mpsc::Receiver<Event>, hsm: &Hsm, mountpoint: &Path) -> io::Result<()> {
    for patience in [Duration::from_millis(200), LAST_REQUESTS] {
        let until = Instant::now() + patience;
        loop {
            match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::Ended(outcome)) => return outcome,
                // A second signal: now.
                Ok(Event::Signal(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(Event::Answers | Event::Gone) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => break,
            }
        }
        if hsm.logout_all() {
            log::warn!("{} is in use: detached", shown::path(mountpoint));
        }
    }
    Ok(())
}

fn open(plan: &Plan) -> Result<Hsm> {
    match Hsm::open(&plan.store, Access::ReadWrite) {
        Err(Error::StoreReadOnly { .. }) if plan.options.read_only => {
            Hsm::open(&plan.store, Access::ReadOnly)
        }
        opened => opened,
    }
}

fn config(options: &MountOptions) -> (SessionACL, Config) {
    let acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    let mut config = Config::default();
    config.acl = acl;
    config.n_threads = Some(EVENT_LOOPS);
    config.clone_fd = true;
    (acl, config)
}

fn cannot_mount(mountpoint: &Path, why: &CannotMount) -> Error {
    Error::Mount {
        what: format!(
            "cannot mount at {}: {}",
            shown::path(mountpoint),
            why.what()
        ),
        hint: why.hint(),
    }
}

/// Event loops that did not start.
fn cannot_serve(why: &io::Error) -> Error {
    Error::Mount {
        what: format!("cannot serve the mount: {why}"),
        hint: match why.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => Some(limits::OPEN_FILES.into()),
            Some(libc::EAGAIN) => Some(limits::PROCESSES.into()),
            Some(libc::ENOMEM) => Some(limits::MEMORY.into()),
            _ => None,
        },
    }
}

fn no_thread(why: io::Error) -> Error {
    Error::Mount {
        what: format!("cannot start a thread: {why}"),
        hint: Some(limits::PROCESSES.into()),
    }
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
