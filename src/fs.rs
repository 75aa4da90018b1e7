//! The filesystem over one HSM. `fuse` decodes the kernel's requests; every rule is in [`crate::hsm`].

use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::INodeNo;

use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, Origin};
use crate::object::SlotId;
use alias::Aliases;
use asker::Visitor;
use control::ControlFile;
use handles::{OpenFiles, Seats};
use incoming::IncomingFile;
use metrics::{Asked, Metrics};
use node::Node;
use public::Sizes;
use seals::Seals;
use staging::Staging;
use stats::Stats;
use told::ToldSizes;

/// The value of a fallible step. If it fails, answers the request with the error and returns.
macro_rules! or_answer {
    ($answer:ident, $step:expr) => {
        match $step {
            Ok(value) => value,
            Err(error) => return $answer(Err(error.into())),
        }
    };
}

mod alias;
mod asker;
mod attr;
mod buffer;
mod control;
mod fuse;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handles;
mod incoming;
mod invalidate;
mod listing;
mod lookup;
mod message;
mod metrics;
#[cfg(test)]
mod model;
mod name;
mod node;
mod open;
mod public;
mod rename;
mod seals;
mod staging;
mod stats;
mod text;
mod told;
mod write;

pub use attr::Owner;
pub(crate) use fuse::kernel_features;
pub use invalidate::Invalidator;

/// The filesystem over one HSM.
pub struct SlotFs {
    inner: Arc<Inner>,
}

/// The state that requests share, also those that are answered later on another thread.
struct Inner {
    hsm: Arc<Hsm>,
    owner: Owner,
    files: OpenFiles,
    metrics_seats: Seats,
    seals: Seals,
    told_sizes: ToldSizes,
    staging: Staging,
    aliases: Aliases,
    public_sizes: Sizes,
    stats: Stats,
    metrics: Arc<Metrics>,
    invalidator: Invalidator,
}

impl SlotFs {
    /// A filesystem over `hsm`. Files that belong to no slot's owner belong to `owner`.
    pub fn new(hsm: Arc<Hsm>, owner: Owner, invalidator: Invalidator) -> Self {
        let inner = Arc::new(Inner {
            hsm: Arc::clone(&hsm),
            owner,
            files: OpenFiles::default(),
            metrics_seats: Seats::default(),
            seals: Seals::default(),
            told_sizes: ToldSizes::default(),
            staging: Staging::of(Arc::clone(&hsm)),
            aliases: Aliases::default(),
            public_sizes: Sizes::default(),
            stats: Stats::default(),
            metrics: Arc::default(),
            invalidator,
        });
        inner.count_first_logins();
        let listener = Arc::downgrade(&inner);
        inner.hsm.on_change(move |slot| {
            if let Some(inner) = listener.upgrade() {
                inner.slot_changed(slot);
            }
        });
        inner.hsm.on_loss(report_loss);
        Self { inner }
    }

    /// Sets the mount's id in `.slotfs/stats`, by which `slotfs umount` tells the mount from bind mounts of it.
    pub fn is_mounted_as(&self, id: u64) {
        self.inner.stats.mount_id.store(id, Ordering::Relaxed);
    }

    /// Starts a request: counts it, reads what other processes changed in the store, and decodes the inode.
    fn begin(&self, counter: &AtomicU64, ino: INodeNo) -> Result<Node> {
        let node = self.begin_look(counter, ino)?;
        match node {
            // Whatever is in a slot is reached by one of these.
            Node::Slot(slot) | Node::Control(Some(slot), ControlFile::Folder) => {
                self.inner.must_be_own(slot)?;
            }
            _ => {}
        }
        Ok(node)
    }

    /// The same for a request that looks at attributes alone.
    fn begin_look(&self, counter: &AtomicU64, ino: INodeNo) -> Result<Node> {
        Stats::count(counter);
        let node = Node::of(ino).ok_or(Error::Gone);
        // What is said of the mount itself is in memory: it is there, and at once, also when the store is not.
        if !matches!(node, Ok(Node::Control(None, _))) {
            self.inner.hsm.refresh_unless_fresh()?;
        }
        node
    }

    /// The same for a name in a folder.
    fn begin_name(&self, counter: &AtomicU64, parent: INodeNo, name: &OsStr) -> Result<Node> {
        match Node::of(parent) {
            Some(Node::Root) if name == name::HIDDEN => {
                Stats::count(counter);
                Ok(Node::Root)
            }
            _ => self.begin(counter, parent),
        }
    }
}

impl Inner {
    /// Logs that a blob was refused before its slot was asked.
    fn note_refused_file(&self, file: &IncomingFile, origin: Option<Origin>, why: &Error) {
        let source = origin.map(|origin| origin.place);
        self.hsm
            .partition(file.slot())
            .note_refusal(&file.name(), source, &why.reason());
    }

    /// Counts a slot's verdict.
    fn count_verdict<T, E>(&self, slot: SlotId, verdict: &std::result::Result<T, E>) {
        Stats::count(match verdict {
            Ok(_) => &self.stats.verdicts_good,
            Err(_) => &self.stats.verdicts_bad,
        });
        self.metrics.verdict(slot, verdict.is_ok());
    }

    /// Counts the logins that there were before the mount.
    fn count_first_logins(&self) {
        let slots = self.hsm.slot_numbers().unwrap_or_default();
        for slot in slots {
            if let Some(role) = self.hsm.partition(slot).role() {
                self.metrics.login(slot, role, true);
            }
        }
    }

    /// The content of `.slotfs/metrics` for `visitor`.
    fn metrics(&self, visitor: &Visitor) -> Result<String> {
        self.metrics.text(&Asked {
            hsm: &self.hsm,
            may_enter: &|slot| self.may_enter(slot, visitor),
        })
    }
}

/// Refuses a request that slots do not support.
fn unsupported<T>(what: &'static str) -> Result<T> {
    Err(Error::NotSupported { what })
}

/// Locks `mutex`, also after another thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called once with the outcome of a request, after the outcome is durable, on any thread.
trait Done<T>: FnOnce(Result<T>) + Send + 'static {}
impl<T, F: FnOnce(Result<T>) + Send + 'static> Done<T> for F {}

/// Called once with the outcome of a request on an open file: `Err` holds the errno. Like [`Done`] otherwise.
trait Answer<T = ()>: FnOnce(Result<T, i32>) + Send + 'static {}
impl<T, F: FnOnce(Result<T, i32>) + Send + 'static> Answer<T> for F {}

/// An error as the errno of an answer.
trait OrErrno<T> {
    fn errno(self) -> Result<T, i32>;
}

impl<T, E: Into<Error>> OrErrno<T> for Result<T, E> {
    fn errno(self) -> Result<T, i32> {
        self.map_err(|error| error.into().errno())
    }
}

/// `done` as a callback for the HSM.
fn for_hsm<T>(done: impl Done<T>) -> impl hsm::Done<T> {
    move |outcome: hsm::Result<T>| done(outcome.map_err(Error::from))
}

/// Logs that the store is lost. Every later request fails without a word of its own.
fn report_loss(error: hsm::Error) {
    let error = Error::from(error);
    let pid = std::process::id();
    let hint = error.hint().unwrap_or_default();
    hsm::asker::for_itself(|| {
        log::error!(
            "{error}; every slot is logged out, and logins are refused until this mount has ended; {hint}; before the unmount, files that were removed can be copied from /proc/{pid}/fd"
        )
    });
}
