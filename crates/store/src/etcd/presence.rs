//! This process as the cluster knows it: an id that is never used twice, a lease while it lives, and the number of its last
//! transaction in each slot.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::ask::{gets, transact};
use super::gate::Gate;
use super::values::{self, Client};
use super::{Inner, lock};
use crate::error::Result;
use slotfs_object::SlotId;

/// How long the cluster takes a silent process for alive, seconds.
const LEASE_SECS: i64 = 15;

/// What this process is in the cluster.
pub(super) struct Presence {
    id: [u8; 16],
    /// 0 before there is one.
    lease: AtomicI64,
    next: AtomicU64,
    /// The number under `d`, where it is known.
    last: Mutex<HashMap<SlotId, u64>>,
    /// For the making of the lease.
    announcing: Gate,
}

impl Presence {
    pub(super) fn new() -> Result<Self> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self {
            id,
            lease: AtomicI64::new(0),
            next: AtomicU64::new(1),
            last: Mutex::default(),
            announcing: Gate::default(),
        })
    }

    pub(super) fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// The number of a transaction: each is higher than all before it.
    pub(super) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What `d` of a slot holds.
    pub(super) fn last(&self, slot: SlotId) -> u64 {
        lock(&self.last).get(&slot).copied().unwrap_or(0)
    }

    pub(super) fn committed(&self, slots: &[SlotId], number: u64) {
        let mut last = lock(&self.last);
        for slot in slots {
            last.insert(*slot, number);
        }
    }

    /// It is no longer known what `d` of these slots holds.
    pub(super) fn forget(&self, slots: &[SlotId]) {
        let mut last = lock(&self.last);
        for slot in slots {
            last.remove(slot);
        }
    }

    /// Whether there is a lease.
    pub(super) fn is_announced(&self) -> bool {
        self.lease.load(Ordering::Relaxed) != 0
    }
}

impl Inner {
    /// Makes this process known before its first write to each of `slots`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn announce(&self, slots: &[SlotId], until: Instant) -> Result<()> {
        if !self.presence.is_announced() {
            let announced = || self.presence.is_announced().then_some(());
            let announcing = &self.presence.announcing;
            announcing.pass(Duration::ZERO, announced, || self.take_lease(until))?;
        }
        let new: Vec<SlotId> = {
            let last = lock(&self.presence.last);
            let new = slots.iter().filter(|slot| !last.contains_key(slot));
            new.copied().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        for slot in new {
            let number = self.presence.next_number();
            let key = self.keys.done(slot, self.presence.id());
            // A copy of this may arrive late, and must not take the place of the number of a transaction.
            let txn = Txn::new()
                .when([Compare::version(key.clone(), CompareOp::Equal, 0)])
                .and_then([TxnOp::put(key.clone(), values::number(number), None)])
                .or_else([TxnOp::get(key, None)]);
            let answer = transact(&self.client, until, txn);
            let answer = answer.outcome.map_err(|why| self.failed(why))?;
            let found = gets(&answer);
            let there = found.first().and_then(|it| it.kvs().first());
            let there = there.and_then(|it| values::to_number(it.value()).ok());
            self.presence.committed(&[slot], there.unwrap_or(number));
        }
        Ok(())
    }

    /// A lease, and under it the key that says that this process lives, with its clock.
    fn take_lease(&self, until: Instant) -> Result<()> {
        let granted = self.client.ask(until, |client| {
            Box::pin(async move { client.lease_client().grant(LEASE_SECS, None).await })
        });
        let lease = granted.outcome.map_err(|why| self.failed(why))?.id();
        self.put_client(lease, until)?;
        self.presence.lease.store(lease, Ordering::Relaxed);
        Ok(())
    }

    /// Says under a lease that this process lives, and what its clock shows.
    fn put_client(&self, lease: i64, until: Instant) -> Result<()> {
        let me = Client {
            host: host_name(),
            pid: std::process::id(),
            clock_secs: self.now_secs(),
        };
        let key = self.keys.client(self.presence.id());
        let put = TxnOp::put(key, me.encode(), Some(PutOptions::new().with_lease(lease)));
        let answer = transact(&self.client, until, Txn::new().and_then([put]));
        answer.outcome.map(drop).map_err(|why| self.failed(why))
    }

    /// Keeps the lease. A process that was stopped for longer than that takes another one.
    pub(super) fn keep_lease(&self) -> Result<()> {
        let lease = self.presence.lease.load(Ordering::Relaxed);
        if lease == 0 {
            return Ok(());
        }
        let until = self.client.deadline().settling;
        let kept = self.client.ask(until, move |client| {
            Box::pin(async move {
                let (mut keeper, mut answers) = client.lease_client().keep_alive(lease).await?;
                keeper.keep_alive().await?;
                answers.message().await
            })
        });
        let kept = kept.outcome.map_err(|why| self.failed(why))?;
        match kept.is_some_and(|it| it.ttl() > 0) {
            true => Ok(()),
            false => self.take_lease(until),
        }
    }

    /// Says the clock again. A lease that has ended by now is taken anew with the next beat.
    pub(super) fn tell_clock(&self) -> Result<()> {
        match self.presence.lease.load(Ordering::Relaxed) {
            0 => Ok(()),
            lease => self.put_client(lease, self.client.deadline().settling),
        }
    }

    /// Whether the process of that id lives.
    pub(super) fn is_alive(&self, client: &[u8; 16], until: Instant) -> Result<bool> {
        if client == self.presence.id() {
            return Ok(true);
        }
        let key = self.keys.client(client);
        // Without an operation, a member would answer from its own state, which may be an old one.
        let txn = Txn::new().and_then([TxnOp::get(key, None)]);
        let answer = transact(&self.client, until, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        Ok(gets(&answer).first().is_some_and(|it| !it.kvs().is_empty()))
    }

    /// Takes this process's keys away. If that does not succeed, the lease ends by itself, and a host that keeps the store
    /// removes the rest.
    pub(super) fn leave(&self) {
        if !self.presence.is_announced() || self.not_lost().is_err() {
            return;
        }
        let me = self.presence.id();
        let mut gone = vec![TxnOp::delete(self.keys.client(me), None)];
        let slots: Vec<SlotId> = lock(&self.presence.last).keys().copied().collect();
        let keys = slots.iter().take(40);
        let keys = keys.flat_map(|slot| [self.keys.done(*slot, me), self.keys.claim(*slot, me)]);
        gone.extend(keys.map(|key| TxnOp::delete(key, None)));
        let until = Instant::now() + Duration::from_secs(1);
        let answer = transact(&self.client, until, Txn::new().and_then(gone));
        if let Err(why) = answer.outcome {
            log::debug!("the keys of this process stay in the cluster: {why:?}");
            return;
        }
        let lease = self.presence.lease.load(Ordering::Relaxed);
        let revoked = self.client.ask(until, move |client| {
            Box::pin(async move { client.lease_client().revoke(lease).await })
        });
        if let Err(why) = revoked.outcome {
            log::debug!("the lease of this process ends by itself: {why:?}");
        }
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
