//! What a process that writes does for the store beside its writes: it keeps its lease, deletes garbage, compacts, and looks
//! at the quota.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::ask::{gets, transact};
use super::bytes::{Put, Take};
use super::client::Failure;
use super::fetch::Range;
use super::values::{Client, Garbage};
use super::{Inner, lock, members};
use crate::error::Result;

/// How often the lease is kept: a third of it.
const BEAT: Duration = Duration::from_secs(5);
/// How often everything else is done.
const ROUND: Duration = Duration::from_secs(60);
/// What is older may be compacted: backups and copies read a state for that long.
const COMPACT_AFTER: Duration = Duration::from_secs(300);
/// Hosts whose clocks differ by more purge nothing.
const MOST_SKEW_SECS: u64 = 300;
/// A clock was told up to a minute ago.
const TOLD_SECS: u64 = 90;
/// How long the clocks that were read serve.
const CLOCKS_FOR: Duration = Duration::from_secs(10);
/// The part of the quota that may be used by new objects.
const MOST_OF_QUOTA: f64 = 0.8;

/// The clocks of all hosts that write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    read: Instant,
    /// How far the lowest is behind this host's, seconds; `None` where they differ too much.
    behind_secs: Option<u64>,
}

/// The threads: one keeps the lease, and nothing makes it wait; the other one does everything else.
pub(super) struct Upkeep {
    stopping: Arc<Stopping>,
    threads: Vec<JoinHandle<()>>,
}

/// What a thread does until it has to end.
type Work = fn(&Inner, &Stopping);

#[derive(Default)]
struct Stopping(Mutex<bool>, Condvar);

impl Stopping {
    /// Waits; whether the thread has to end.
    fn within(&self, time: Duration) -> bool {
        let stopping = lock(&self.0);
        let waited = self
            .1
            .wait_timeout_while(stopping, time, |stopping| !*stopping);
        *waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn now(&self) -> bool {
        *lock(&self.0)
    }
}

impl Upkeep {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let stopping = Arc::<Stopping>::default();
        let threads: [(&str, Work); 2] = [("lease", keep), ("upkeep", tend)];
        let threads = threads.into_iter().filter_map(|(name, work)| {
            let (inner, stopping) = (Arc::clone(&inner), Arc::clone(&stopping));
            let thread = thread::Builder::new().name(name.into());
            let thread = thread.spawn(move || work(&inner, &stopping));
            thread
                .inspect_err(|why| log::error!("the thread '{name}' for the cluster: {why}"))
                .ok()
        });
        Self {
            threads: threads.collect(),
            stopping,
        }
    }

    /// Tells the threads to end.
    pub(super) fn stop(&self) {
        *lock(&self.stopping.0) = true;
        self.stopping.1.notify_all();
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread that keeps the store in the cluster panicked");
            }
        }
    }
}

fn told(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        log::debug!("{what}: {error}");
    }
}

fn keep(inner: &Inner, stopping: &Stopping) {
    while !stopping.within(BEAT) && inner.not_lost().is_ok() {
        told("the lease was not kept", inner.keep_lease());
        told("a lock was not given up", inner.let_all_go());
    }
}

/// The first round comes when a command has ended.
fn tend(inner: &Inner, stopping: &Stopping) {
    let mut history = VecDeque::new();
    let mut first = true;
    while !stopping.within(ROUND) && inner.not_lost().is_ok() {
        if std::mem::take(&mut first) {
            for warning in members::warnings(inner.admin()) {
                log::warn!("{warning}");
            }
        }
        let go_on = || !stopping.now();
        let works: [(&str, &mut dyn FnMut() -> Result<()>); 4] = [
            ("the clock was not told", &mut || inner.tell_clock()),
            ("garbage stays", &mut || inner.sweep(&go_on).map(drop)),
            ("old transaction numbers stay", &mut || inner.forget_dead()),
            ("nothing was compacted", &mut || inner.compact(&mut history)),
        ];
        for (what, work) in works {
            if stopping.now() || inner.not_lost().is_err() {
                return;
            }
            told(what, work());
        }
        inner.look_at_quota();
    }
}

impl Inner {
    /// The clock by which the trash is purged: the lowest of all hosts, so that none destroys what others still keep. `None`
    /// where they differ too much.
    pub(super) fn purging_clock(&self, until: Instant) -> Option<u64> {
        let now = self.now_secs();
        let known = *lock(&self.clocks);
        if let Some(known) = known.filter(|it| it.read.elapsed() < CLOCKS_FOR) {
            return known.behind_secs.map(|behind| now.saturating_sub(behind));
        }
        let behind_secs = match self.read_clocks(now, until) {
            Ok(behind) => behind,
            Err(error) => {
                log::debug!("the clocks of the hosts are not known: {error}");
                return None;
            }
        };
        *lock(&self.clocks) = Some(Clocks {
            read: Instant::now(),
            behind_secs,
        });
        behind_secs.map(|behind| now.saturating_sub(behind))
    }

    fn read_clocks(&self, now: u64, until: Instant) -> Result<Option<u64>> {
        let mut behind = 0;
        let clients = Range::prefix(self.keys.clients());
        for (_, value) in self.raw_range_until(&clients, until)? {
            let Ok(client) = Client::decode(&value) else {
                continue;
            };
            let differs = match client.clock_secs.checked_sub(now) {
                Some(ahead) => ahead,
                // It was told up to a minute ago.
                None => {
                    let since = now - client.clock_secs;
                    let late = if since <= TOLD_SECS { 0 } else { since };
                    behind = behind.max(late);
                    late
                }
            };
            if differs > MOST_SKEW_SECS {
                let told = lock(&self.told_clock).replace(client.host.clone());
                if told.as_ref() != Some(&client.host) {
                    log::error!(
                        "the clock of host {} differs by {differs} seconds from that of this host; the trash is not purged until it is set",
                        slotfs_object::shown::path(std::path::Path::new(&client.host))
                    );
                }
                return Ok(None);
            }
        }
        *lock(&self.told_clock) = None;
        Ok(Some(behind))
    }

    /// Removes the numbers and claims of processes that are gone. One that lives on without a lease is in doubt at the worst.
    fn forget_dead(&self) -> Result<()> {
        // In this order: who announces itself in between keeps its numbers.
        let mut left = self.raw_range(&Range::keys(self.keys.all_done()))?;
        left.extend(self.raw_range(&Range::keys(self.keys.all_claims()))?);
        let clients = self.raw_range(&Range::keys(self.keys.clients()))?;
        let alive = |client: &[u8]| clients.iter().any(|(key, _)| key.ends_with(client));
        let dead = left.into_iter().filter(|(key, _)| {
            let client = key.split_last_chunk::<16>();
            client.is_some_and(|(_, client)| !alive(client))
        });
        let gone: Vec<TxnOp> = dead
            .take(super::fetch::MOST_OPERATIONS)
            .map(|(key, _)| TxnOp::delete(key, None))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let txn = Txn::new().and_then(gone);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }

    /// Compacts to a state that is five minutes old, if no host did so within the last ones: destroyed rows then leave the
    /// database of the members. Never to the state of now: it is that of the whole cluster, which others may be reading.
    fn compact(&self, history: &mut VecDeque<(Instant, i64)>) -> Result<()> {
        let key = self.keys.compacted();
        let txn = Txn::new().and_then([TxnOp::get(key.clone(), None)]);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let now = answer.header().map_or(0, |it| it.revision());
        history.push_back((Instant::now(), now));
        // The newest of those that are old enough.
        while history
            .get(1)
            .is_some_and(|(at, _)| at.elapsed() >= COMPACT_AFTER)
        {
            history.pop_front();
        }
        let old = history
            .front()
            .filter(|(at, _)| at.elapsed() >= COMPACT_AFTER);
        let Some(&(_, revision)) = old else {
            return Ok(());
        };
        let found = gets(&answer);
        let pair = found.first().and_then(|it| it.kvs().first());
        let (before, last, secs) = match pair {
            None => (0, 0, 0),
            Some(pair) => {
                let mut take = Take::of(pair.value());
                let last = take.i64().unwrap_or(0);
                (pair.mod_revision(), last, take.u64().unwrap_or(0))
            }
        };
        let now_secs = self.now_secs();
        let recent = now_secs.saturating_sub(secs) < COMPACT_AFTER.as_secs() && secs <= now_secs;
        if recent || revision <= last {
            return Ok(());
        }
        let until = self.client.deadline().settling;
        let compacted = self.admin().ask(until, move |client| {
            Box::pin(async move { client.kv_client().compact(revision, None).await })
        });
        match compacted.outcome {
            // Somebody else did.
            Err(Failure::Compacted) | Ok(_) => {}
            // Later versions let an administrator alone do it.
            Err(Failure::Refused(why)) => {
                if !std::mem::replace(&mut *lock(&self.told_refusal), true) {
                    log::warn!(
                        "{}: destroyed rows stay in the cluster, as it refuses to compact ({why}); name an administrator's certificate with admin-cert, or start its members with --auto-compaction-mode periodic --auto-compaction-retention 10m",
                        slotfs_object::shown::path(&self.path)
                    );
                }
                return Ok(());
            }
            Err(why) => return Err(self.failed(why)),
        }
        // Noted afterwards: a host that is refused must not take the turn of one that is not.
        let note = Put::default().i64(revision).u64(now_secs).end();
        let txn = Txn::new()
            .when([Compare::mod_revision(key.clone(), CompareOp::Equal, before)])
            .and_then([TxnOp::put(key, note, None)]);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }

    /// No new object is taken while most of the quota is used: nobody could log in or remove anything once it is used up.
    fn look_at_quota(&self) {
        let Some(quota) = self.location.quota else {
            return;
        };
        let until = Instant::now() + Duration::from_secs(2);
        let sizes = self.admin().ask_all(until, |client| {
            Box::pin(async move {
                let status = client.maintenance_client().status().await?;
                Ok(status.db_size())
            })
        });
        let refused = sizes.iter().find_map(|(_, size)| match size {
            Err(Failure::Refused(why)) => Some(why.clone()),
            _ => None,
        });
        let largest = sizes.into_iter().filter_map(|(_, size)| size.ok()).max();
        let Some(largest) = largest else {
            if let Some(why) = refused
                && !std::mem::replace(&mut *lock(&self.told_quota), true)
            {
                log::warn!(
                    "{}: quota= has no effect, as the cluster does not say how large its database is ({why}); name an administrator's certificate with admin-cert",
                    slotfs_object::shown::path(&self.path)
                );
            }
            return;
        };
        let largest = u64::try_from(largest).unwrap_or(0);
        let is_full = largest as f64 > quota as f64 * MOST_OF_QUOTA;
        *lock(&self.full) = is_full.then(|| {
            format!("the cluster's database has {largest} bytes of its quota of {quota}; no new object is taken until it is compacted and defragmented")
        });
    }

    /// How many notes of garbage there are, for a check.
    pub(super) fn garbage(&self) -> Result<Vec<Garbage>> {
        let notes = self.raw_range(&Range::prefix(self.keys.all_garbage()))?;
        let notes = notes.iter();
        Ok(notes
            .filter_map(|(_, value)| Garbage::decode(value).ok())
            .collect())
    }
}
