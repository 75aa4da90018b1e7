//! The daemon: mounts, says when it is ready, serves until it is told to stop, unmounts.
//!
//! To go to the background, `slotfs mount` runs itself again with a readiness pipe: a fork would need
//! unsafe code, and a child that execs shares nothing with its parent but what it is handed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use fuser::{Config, MountOption, Session, SessionACL};
use nix::sys::signal::{SigSet, Signal};

use crate::credential::{KeyShare, Role, Secret};
use crate::error::{Error, Result};
use crate::fs::{Invalidator, Owner, SlotFs};
use crate::hsm::{Access, Hsm};
use crate::logging;
use crate::object::SlotId;
use crate::secret::SecretBytes;

mod hand_over;
mod mountpoint;
mod options;

pub use hand_over::{receive_logins, start};
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

/// Why the daemon stops.
enum Event {
    Signal(Signal),
    /// The session ended: unmounted from outside, or failed.
    Ended(io::Result<()>),
}

/// Serves a mount until it is unmounted or the process is told to stop.
///
/// # Errors
/// Whatever keeps it from being ready: [`Error::Mount`], login errors, store errors.
pub fn serve(plan: Plan, ground: Ground) -> Result<()> {
    // Before any thread: all of them inherit the mask, and one waits for the signals.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().map_err(system("block signals"))?;
    logging::for_daemon(match ground {
        Ground::Fore => plan.log_file.as_deref().map(open_log).transpose()?,
        Ground::Back => Some(log_of_background(&plan)?),
    });
    let mountpoint = mountpoint::check(&plan.mountpoint)?;

    let hsm = Arc::new(open(&plan)?);
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
    let mut session = Session::new(filesystem, &mountpoint, &config(&plan.options))
        .map_err(|why| cannot_mount(&mountpoint, &why))?;
    invalidator.connect(session.notifier());
    let mut unmounter = session.unmount_callable();

    let (events, queue) = mpsc::channel();
    let of_session = events.clone();
    thread::Builder::new()
        .name("session".into())
        .spawn(move || {
            // Whoever stopped listening is on the way out.
            let _ = of_session.send(Event::Ended(end_of(session.run())));
        })
        .map_err(|why| failed("start a thread", &why))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                let _ = events.send(Event::Signal(signal));
            }
        })
        .map_err(|why| failed("start a thread", &why))?;

    log::info!(
        "store {} is mounted at {}",
        plan.store.display(),
        mountpoint.display()
    );
    if ground == Ground::Back {
        hand_over::ready()?;
    }

    let event = loop {
        match queue.recv_timeout(TRASH_EVERY) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                hsm.forget_old_shares();
                // Also while nobody asks for anything: the sooner it is told, the more can be saved.
                if hsm.check_store().is_err() {
                    continue;
                }
                if !plan.options.read_only
                    && let Err(why) = hsm.empty_expired_trash()
                {
                    log::warn!("what is past its time in the trash is still there: {why}");
                }
            }
            event => break event,
        }
    };
    let ended = match event {
        Ok(Event::Ended(outcome)) => outcome,
        Ok(Event::Signal(signal)) => {
            log::info!("{signal}: unmounting {}", mountpoint.display());
            if let Err(why) = unmounter.unmount() {
                log::warn!("{} is in use ({why}): detached", mountpoint.display());
                mountpoint::detach(&mountpoint)?;
            }
            wait_for_end(&queue, &hsm)
        }
        Err(_) => Ok(()),
    };
    hsm.logout_all();
    log::info!("{} is unmounted", mountpoint.display());
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
            Err(mpsc::RecvTimeoutError::Timeout) => {
                hsm.logout_all();
            }
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

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        // Never a path: a comma in it would be another option.
        MountOption::FSName(mountpoint::SOURCE.into()),
        MountOption::Subtype(mountpoint::SOURCE.into()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoExec,
        MountOption::NoAtime,
        if options.read_only {
            MountOption::RO
        } else {
            MountOption::RW
        },
    ];
    config.acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    config.n_threads = Some(EVENT_LOOPS);
    config.clone_fd = true;
    config
}

fn cannot_mount(mountpoint: &Path, why: &io::Error) -> Error {
    let device = Path::new("/dev/fuse");
    let is_there = std::fs::metadata(device).is_ok_and(|file| file.file_type().is_char_device());
    let hint = if !is_there {
        "/dev/fuse is missing: load the fuse module, or pass the device into the container"
    } else {
        "a user other than root needs fusermount3, from Debian's package fuse3; allow_other also needs user_allow_other in /etc/fuse.conf"
    };
    Error::Mount {
        what: format!("cannot mount at {}: {why}", mountpoint.display()),
        hint: Some(hint.into()),
    }
}

/// The background daemon's log: the file that was named, else one beside the store, else none.
fn log_of_background(plan: &Plan) -> Result<File> {
    if let Some(path) = &plan.log_file {
        return open_log(path);
    }
    let mut beside = plan.store.clone().into_os_string();
    beside.push(".log");
    open_log(Path::new(&beside)).or_else(|error| {
        // Told where a person still sees it.
        let _ = writeln!(io::stderr(), "slotfs: no log: {error}");
        OpenOptions::new()
            .append(true)
            .open("/dev/null")
            .map_err(|why| failed("open /dev/null", &why))
    })
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })
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
