//! Turns of hosts that write to the same slot.
//!
//! One that writes all the time is always the first, as it knows what it has just written, and another has to ask. So a write
//! that lost leaves a claim with its next try: in the branch of the transaction that is done when it loses again, which costs
//! no request. Every commit is told of the claims, and takes them away; its process waits for a moment before it writes to
//! that slot again. A claim is a wish: nothing is wrong when it is lost, late, or of a process that is gone.

use std::thread;
use std::time::{Duration, Instant};

use etcd_client::{DeleteOptions, GetResponse, Txn, TxnOp};

use super::Inner;
use super::ask::transact;
use super::fetch::Range;
use super::keys::end_of;
use super::tx::Tx;
use slotfs_object::SlotId;

/// What a write that lost needs for its next try: a question and a commit. In times that a commit took.
const A_TRY: u32 = 3;
/// The longest pause, whatever a commit took.
const MOST_PATIENCE: Duration = Duration::from_millis(50);

impl Inner {
    /// Puts this process's claim to each slot.
    pub(super) fn claim(&self, slots: &[SlotId]) -> impl Iterator<Item = TxnOp> {
        let keys = slots
            .iter()
            .map(|slot| self.keys.claim(*slot, self.presence.id()));
        keys.map(|key| TxnOp::put(key, [], None))
    }

    /// The same by a request of its own, for a transaction that lost before it was sent.
    pub(super) fn put_claims(&self, tx: &Tx<'_>, until: Instant) {
        let slots: Vec<SlotId> = tx.slots.keys().copied().collect();
        let txn = Txn::new().and_then(self.claim(&slots).collect::<Vec<_>>());
        if let Err(why) = transact(&self.client, until, txn).outcome {
            log::debug!("a claim was not put: {why:?}");
        }
    }

    /// Asks for the claims to a slot, and takes them away.
    pub(super) fn take_claims(&self, slot: SlotId) -> [TxnOp; 2] {
        let all = self.keys.claims(slot);
        let options = DeleteOptions::new().with_range(end_of(&all));
        [
            Range::keys(all.clone()).operation(),
            TxnOp::delete(all, Some(options)),
        ]
    }

    /// Whether another process claims a turn, by the answer to [`Self::take_claims`].
    pub(super) fn is_claimed(&self, slot: SlotId, got: &GetResponse) -> bool {
        let own = self.keys.claim(slot, self.presence.id());
        got.kvs().iter().any(|it| it.key() != own)
    }
}

/// Lets others write first, after a commit that took so long.
pub(super) fn let_others_go(took: Duration) {
    thread::sleep((took * A_TRY).min(MOST_PATIENCE));
}
