//! The engine of several hosts: a prefix of an etcd cluster that holds every slot (docs/cluster.md).
//!
//! Every write of a slot is one transaction that compares the slot's key `w` with what the write was decided on. So hosts
//! need no lock, and a read that found `w` unchanged is a read of one state.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotfs_object::{RowId, SlotId, now_secs};

mod around;
mod ask;
mod backup;
mod bytes;
mod cache;
mod change;
mod check;
mod client;
mod commit;
mod committer;
mod credentials;
mod fetch;
mod garbage;
mod gate;
mod keys;
mod list;
mod location;
mod lost;
mod members;
mod objects;
mod pages;
mod presence;
mod reseal;
mod rows;
mod slots;
mod tally;
mod trash;
mod turns;
mod tx;
mod upkeep;
mod values;
mod write;

use crate::error::{Error, Result, StoreFault};
use crate::mark::{State, StateMark};
use crate::{Access, CommitStats};
use cache::Cache;
use client::{Client, Failure};
use committer::Committer;
use gate::Gate;
use keys::Keys;
use location::Location;
use presence::Presence;

pub(crate) use backup::load;

/// How old a read of another host's commit may be, counted from when the cluster was asked.
pub(crate) const FRESH_FOR: Duration = Duration::from_millis(5);

/// See [`crate::check_location`].
pub(crate) fn check_location(store: &Path) -> Result<()> {
    let location = Location::parse(store);
    location.map(drop).map_err(|why| Error::failed(store, why))
}

/// A store in a cluster.
pub(crate) struct Store {
    inner: Arc<Inner>,
    /// `None` when the store is open read-only.
    committer: Option<Committer>,
    upkeep: Option<upkeep::Upkeep>,
}

/// What the threads of an open store share.
pub(crate) struct Inner {
    keys: Keys,
    location: Location,
    path: PathBuf,
    created_secs: u64,
    client: Client,
    identity: lost::Identity,
    cache: Mutex<Cache>,
    /// For the question for all `w`.
    refreshing: Gate,
    /// For what only an administrator of the cluster may ask.
    admin: Option<Client>,
    /// Row ids and epochs that are reserved and not yet given out.
    reserved: Mutex<Range<u64>>,
    /// For the reservation of more.
    reserving: Gate,
    presence: Presence,
    counters: Mutex<CommitStats>,
    /// What [`Store::if_slots_changed`] last took in.
    taken_in: Mutex<Option<u64>>,
    /// Why no new object is taken, where the quota is almost used up.
    full: Mutex<Option<String>>,
    /// Where rows were seen.
    guesses: Mutex<HashMap<RowId, (SlotId, u32)>>,
    /// Whose sealed row was read last.
    last_read: Mutex<Option<(SlotId, u32)>>,
    /// A part of a listing.
    ahead: Mutex<Option<list::Ahead>>,
    /// How many the last listings found.
    tallies: tally::Tallies,
    /// Whether the user was told that the cluster refuses to compact.
    told_refusal: Mutex<bool>,
    /// Whether the user was told that the quota cannot be watched.
    told_quota: Mutex<bool>,
    /// The host whose clock the user was told about.
    told_clock: Mutex<Option<String>>,
    /// Locks of this process that are to be given up.
    given_up: Mutex<Vec<(SlotId, values::Lock)>>,
    /// The lowest clock of all hosts, as it was found.
    clocks: Mutex<Option<upkeep::Clocks>>,
}

impl Store {
    /// Opens the store at `path`, or, with `create`, makes an empty one there.
    ///
    /// # Errors
    /// [`Error::Store`] when there is none, when it is of a later version or when the cluster does not answer.
    pub(crate) fn open(path: &Path, access: Access, create: bool) -> Result<Self> {
        let location = Location::parse(path).map_err(|why| Error::failed(path, why))?;
        let shown = location.shown();
        let client = Client::start(&location, location.identity.as_ref())?;
        let admin = location.admin.as_ref();
        let admin = admin.map(|admin| Client::start(&location, Some(admin)));
        let admin = admin.transpose()?;
        let keys = Keys::of(&location.name);
        members::check(admin.as_ref().unwrap_or(&client), &shown)?;
        let version = ask::version(&client, &keys, &shown, create)?;
        let inner = Arc::new(Inner {
            keys,
            path: shown,
            created_secs: version.created_secs,
            client,
            identity: lost::Identity::default(),
            cache: Mutex::default(),
            refreshing: Gate::default(),
            admin,
            reserved: Mutex::new(0..0),
            reserving: Gate::default(),
            presence: Presence::new()?,
            counters: Mutex::default(),
            taken_in: Mutex::default(),
            full: Mutex::default(),
            guesses: Mutex::default(),
            last_read: Mutex::default(),
            ahead: Mutex::default(),
            tallies: tally::Tallies::default(),
            told_refusal: Mutex::default(),
            told_quota: Mutex::default(),
            told_clock: Mutex::default(),
            given_up: Mutex::default(),
            clocks: Mutex::default(),
            location,
        });
        inner.refresh(Instant::now())?;
        let writes = access == Access::ReadWrite;
        Ok(Self {
            committer: writes.then(|| Committer::new(Arc::clone(&inner))),
            upkeep: writes.then(|| upkeep::Upkeep::new(Arc::clone(&inner))),
            inner,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.inner.path
    }

    pub(crate) fn created_secs(&self) -> u64 {
        self.inner.created_secs
    }

    pub(crate) fn schema_version(&self) -> Result<u32> {
        Ok(values::FORMAT)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.committer.is_none()
    }

    /// What became of the store is told by every answer.
    pub(crate) fn check_identity_for_reading(&self) -> Result<()> {
        self.inner.not_lost()
    }

    pub(crate) fn not_lost(&self) -> Result<()> {
        self.inner.not_lost()
    }

    pub(crate) fn on_loss(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        self.inner.on_loss(tell);
    }

    /// The cluster, and the highest revision of it that was seen.
    pub(crate) fn cluster(&self) -> Option<(u64, i64)> {
        self.inner.client.seen()
    }

    /// The same, asked for now.
    ///
    /// # Errors
    /// When it does not answer, or went back since this process first saw it.
    pub(crate) fn ask_cluster(&self) -> Result<(u64, i64)> {
        self.inner.refresh(Instant::now())?;
        self.cluster().ok_or_else(|| {
            let what = "its cluster went back since this process began";
            self.inner.fault(crate::StoreFault::WentBack(what.into()))
        })
    }

    /// Each request asks; most are answered by what was read a few milliseconds ago.
    pub(crate) fn fresh_for(&self) -> Duration {
        Duration::ZERO
    }

    pub(crate) fn commit_stats(&self) -> CommitStats {
        *lock(&self.inner.counters)
    }

    pub(crate) fn if_slots_changed<E: From<Error>>(
        &self,
        take_in: impl FnOnce() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.inner.fresh()?;
        let mut taken_in = lock(&self.inner.taken_in);
        let now = lock(&self.inner.cache).slot_changes;
        if *taken_in != Some(now) {
            take_in()?;
            *taken_in = Some(now);
        }
        Ok(())
    }

    pub(crate) fn mark_of_state(&self) -> Result<StateMark> {
        self.inner.fresh()?;
        let changes = lock(&self.inner.cache).changes;
        Ok(StateMark(State::Cluster(changes)))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Both are told before one is waited for, so that together they take no longer than a deadline.
        if let Some(upkeep) = &self.upkeep {
            upkeep.stop();
        }
        self.committer = None;
        self.upkeep = None;
        self.inner.leave();
    }
}

impl Inner {
    fn fault(&self, why: StoreFault) -> Error {
        why.at(&self.path)
    }

    /// The error of an unanswered read, or of a write that was certainly not done.
    fn failed(&self, failure: Failure) -> Error {
        ask::fault(failure).at(&self.path)
    }

    /// Who is asked what only an administrator may ask: without one, some of it is refused.
    fn admin(&self) -> &Client {
        self.admin.as_ref().unwrap_or(&self.client)
    }

    fn now_secs(&self) -> u64 {
        now_secs()
    }

    /// An id that nothing in this store ever had: of a row, an epoch or a sealing.
    ///
    /// # Errors
    /// When the cluster does not answer.
    fn fresh_id(&self, until: Instant) -> Result<u64> {
        let next = || lock(&self.reserved).next();
        if let Some(id) = next() {
            return Ok(id);
        }
        self.reserving.pass(Duration::ZERO, next, || {
            let mut more = self.reserve(until)?;
            let first = more.next();
            *lock(&self.reserved) = more;
            first.ok_or_else(|| Error::failed(&self.path, "no row ids are left"))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
