//! Writes on their way: those that wait for one slot become one transaction, and only one is on its way per slot. Hosts
//! meet in the compare of `w`.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::Deadline;
use super::commit::Done;
use super::fetch::Range;
use super::keys::{Key, Keys};
use super::turns::let_others_go;
use super::tx::{Stop, Tx};
use super::values::{Lock, Writes};
use super::{Inner, lock};
use crate::Reply;
use crate::error::{Error, Result, SlotFault};
use slotfs_object::{Ouid, SlotId};

/// Threads that commit: as many slots can be written at the same time.
const MOST_THREADS: usize = 4;
/// The most of one transaction: objects, and bytes of payload. etcd refuses a request of 1.5 MiB.
pub(super) const MOST_OBJECTS: usize = 512;
pub(super) const MOST_PAYLOAD_BYTES: usize = 900 << 10;
/// How long a locked slot is left alone before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Tries that follow each other at once. Whoever is first makes room soon (turns.rs).
const AT_ONCE: u32 = 4;
/// The pause after more of them.
const BACK_OFF: Duration = Duration::from_millis(2);

/// What a write is going to read, so that it is asked for in one question.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints {
    pub(super) identities: Vec<(SlotId, Ouid)>,
    pub(super) keys: Vec<(SlotId, Key)>,
    pub(super) ranges: Vec<(SlotId, Range)>,
}

/// Says what a write will read, given `w` of its slots.
pub(super) type Hint = Box<dyn Fn(&Keys, &dyn Fn(SlotId) -> Option<Writes>) -> Hints + Send>;

/// What a write does in its transaction, as often as it takes.
pub(super) trait Work<T>: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static {}
impl<T, F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static> Work<T> for F {}

/// A write with the reply that its caller waits for.
trait Job: Send {
    /// Does the work; whether to keep it.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Replies with the work's own outcome, or with the error of the transaction around it.
    fn finish(self: Box<Self>, committed: Result<()>);
}

struct Write<T, W, R> {
    work: W,
    outcome: Option<Result<T>>,
    reply: R,
}

impl<T, W, R> Job for Write<T, W, R>
where
    T: Send,
    W: FnMut(&mut Tx<'_>) -> Result<T> + Send,
    R: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let outcome = (self.work)(tx);
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => (self.reply)(outcome),
            (Err(error), _) => (self.reply)(Err(error)),
            (Ok(()), None) => log::error!("a write was committed without being done"),
        }
    }
}

/// A write that waits.
struct Queued {
    slots: Vec<SlotId>,
    objects: usize,
    bytes: usize,
    deadline: Deadline,
    hint: Option<Hint>,
    /// The lock that it may write under.
    key_to: Option<Lock>,
    job: Box<dyn Job>,
}

impl Weight {
    /// Of a write that takes an object out: up to ten keys, whose values are small.
    pub(super) const REMOVAL: Self = Self {
        objects: 1,
        bytes: 1024,
    };
    /// Of a write that nothing else is committed with.
    pub(super) const ALONE: Self = Self {
        objects: MOST_OBJECTS,
        bytes: 0,
    };
}

/// How much a write is, for the limits of a transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) objects: usize,
    pub(super) bytes: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    /// Slots with a transaction on its way.
    busy: Vec<SlotId>,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
}

struct Shared {
    inner: Arc<Inner>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// Commits writes.
pub(super) struct Committer {
    shared: Arc<Shared>,
}

impl Committer {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            shared: Arc::new(Shared {
                inner,
                queue: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// Queues a write to `slots`; `reply` is called with its outcome, on a thread of the committer.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        mut slots: Vec<SlotId>,
        weight: Weight,
        (hint, key_to): (Option<Hint>, Option<Lock>),
        work: impl Work<T>,
        reply: impl Reply<T>,
    ) {
        slots.sort();
        slots.dedup();
        let job = Write {
            work,
            outcome: None,
            reply,
        };
        let mut queue = lock(&self.shared.queue);
        queue.waiting.push_back(Queued {
            slots,
            objects: weight.objects,
            bytes: weight.bytes,
            deadline: self.shared.inner.client.deadline(),
            hint,
            key_to,
            job: Box::new(job),
        });
        queue.threads.retain(|it| !it.is_finished());
        // One that was told to wake up is idle until it does.
        if queue.waiting.len() > queue.idle && queue.threads.len() < MOST_THREADS {
            let shared = Arc::clone(&self.shared);
            let name = format!("committer {}", queue.threads.len());
            match thread::Builder::new()
                .name(name)
                .spawn(move || shared.tend())
            {
                Ok(thread) => queue.threads.push(thread),
                Err(why) if queue.threads.is_empty() => {
                    let lost = queue.waiting.pop_back();
                    drop(queue);
                    let error = Error::failed(&self.shared.inner.path, why);
                    if let Some(lost) = lost {
                        lost.job.finish(Err(error));
                    }
                    return;
                }
                // The others do it.
                Err(_) => {}
            }
        }
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        let threads = {
            let mut queue = lock(&self.shared.queue);
            queue.stopping = true;
            std::mem::take(&mut queue.threads)
        };
        self.shared.wake.notify_all();
        for thread in threads {
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                log::error!("a thread of the committer panicked");
            }
        }
    }
}

impl Shared {
    fn tend(&self) {
        loop {
            let batch = {
                let mut queue = lock(&self.queue);
                loop {
                    if let Some(batch) = queue.next_batch() {
                        break batch;
                    }
                    if queue.stopping && queue.waiting.is_empty() {
                        return;
                    }
                    queue.idle += 1;
                    let waited = self.wake.wait(queue);
                    queue = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
                    queue.idle -= 1;
                }
            };
            let slots = batch.first().map(|it| it.slots.clone()).unwrap_or_default();
            let _freed = Freed {
                shared: self,
                slots,
            };
            self.inner.write_batch(batch);
        }
    }
}

/// Lets the next writes to these slots go, also after a panic.
struct Freed<'a> {
    shared: &'a Shared,
    slots: Vec<SlotId>,
}

impl Drop for Freed<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.shared.queue);
        queue.busy.retain(|slot| !self.slots.contains(slot));
        drop(queue);
        self.shared.wake.notify_all();
    }
}

impl Queue {
    /// The next writes that have the same slots, none of which has a transaction on its way; those slots are busy then.
    fn next_batch(&mut self) -> Option<Vec<Queued>> {
        let mut passed: Vec<SlotId> = self.busy.clone();
        let first = self.waiting.iter().position(|it| {
            let free = it.slots.iter().all(|slot| !passed.contains(slot));
            if !free {
                // No later write overtakes this one on another of its slots.
                passed.extend(&it.slots);
            }
            free
        })?;
        let first = self.waiting.remove(first)?;
        let (mut objects, mut bytes) = (first.objects, first.bytes);
        let slots = first.slots.clone();
        let mut batch = vec![first];
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        let mut full = false;
        for it in self.waiting.drain(..) {
            let same = it.slots == slots;
            let fits = objects + it.objects <= MOST_OBJECTS
                && bytes + it.bytes <= MOST_PAYLOAD_BYTES
                && it.key_to.is_none();
            if same && fits && !full {
                objects += it.objects;
                bytes += it.bytes;
                batch.push(it);
            } else {
                full |= it.slots.iter().any(|slot| slots.contains(slot));
                kept.push_back(it);
            }
        }
        self.waiting = kept;
        self.busy.extend(slots);
        Some(batch)
    }
}

impl Inner {
    fn write_batch(&self, mut batch: Vec<Queued>) {
        let (outcome, done) = match self.try_batch(&mut batch) {
            Ok(done) => (Ok(()), done),
            Err(why) => (Err(why), Done::default()),
        };
        for it in batch {
            it.job.finish(outcome.clone());
        }
        if let Some(took) = done.others_wait {
            let_others_go(took);
        }
    }

    /// Runs every write and commits what they decided, as often as other hosts are first.
    fn try_batch(&self, batch: &mut [Queued]) -> Result<Done> {
        let deadline = batch.iter().map(|it| it.deadline.settling).min();
        let deadline = self.client.deadline_after(deadline);
        let (mut tries, mut assume) = (0u32, true);
        loop {
            let mut tx = Tx::new(self, deadline.sending);
            tx.again = tries > 0;
            tx.key_to = batch.iter().find_map(|it| it.key_to);
            let began = Instant::now();
            let mut kept = 0u64;
            let planned = self.plan(&mut tx, batch, assume, &mut kept);
            let assumed = !tx.assumed.is_empty();
            assume = false;
            let stop = tx.stop;
            match (planned, stop) {
                // It had nothing to send that could leave a claim.
                (_, Some(Stop::Conflict(_))) if tx.again => self.put_claims(&tx, deadline.sending),
                (_, Some(Stop::Conflict(_))) => {}
                (_, Some(Stop::Locked(slot, held))) => {
                    if self.take_over(slot, held, deadline.settling)? {
                        continue;
                    }
                    if Instant::now() + LOOK_AGAIN >= deadline.settling {
                        return Err(SlotFault::Resealing.at(slot));
                    }
                    thread::sleep(LOOK_AGAIN);
                    self.refresh_until(Instant::now(), deadline.settling)?;
                    continue;
                }
                (Err(error), None) => return Err(error),
                // It was decided on what nobody looked at.
                (Ok(()), None) if tx.is_empty() && assumed => continue,
                (Ok(()), None) if tx.is_empty() => {
                    // Nothing is written. What was decided has to be true of a state after the writes were asked for.
                    if self.still_holds(&tx, began)? {
                        return Ok(Done::default());
                    }
                }
                (Ok(()), None) => {
                    if let Some(done) = self.commit(&tx, deadline)? {
                        let mut counters = lock(&self.counters);
                        counters.writes += kept;
                        return Ok(done);
                    }
                }
            }
            // An object that was taken for new is not.
            if assumed {
                continue;
            }
            tries += 1;
            if Instant::now() >= deadline.sending {
                return Err(self.too_busy());
            }
            if tries > AT_ONCE {
                thread::sleep(BACK_OFF);
            }
        }
    }

    fn plan(
        &self,
        tx: &mut Tx<'_>,
        batch: &mut [Queued],
        assume: bool,
        kept: &mut u64,
    ) -> Result<()> {
        let mut hints = Hints::default();
        for it in batch.iter() {
            for slot in &it.slots {
                tx.planned(*slot)?;
            }
            let Some(hint) = &it.hint else { continue };
            let writes = |slot| tx.slots.get(&slot).map(|it| it.writes);
            let more = hint(&self.keys, &writes);
            hints.identities.extend(more.identities);
            hints.keys.extend(more.keys);
            hints.ranges.extend(more.ranges);
        }
        tx.prefetch(hints.keys, hints.ranges)?;
        tx.prefetch_identities(&hints.identities, assume)?;
        for it in batch.iter_mut() {
            let mark = tx.mark();
            let keep = it.job.run(tx);
            if let Some(failure) = tx.failure.take() {
                return Err(failure);
            }
            if tx.stop.is_some() {
                return Ok(());
            }
            match keep {
                true => *kept += 1,
                false => {
                    tx.go_back(mark);
                    tx.runs.clear();
                }
            }
        }
        Ok(())
    }
}
