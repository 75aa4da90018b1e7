//! How much memory large frames take at once. Without it, many clients that each announce a megabyte and send nothing, or
//! never fetch their replies, would take all there is.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Frames up to this size are not counted, bytes.
pub(crate) const SMALL_BYTES: usize = 64 << 10;
/// All requests together, and all replies together, bytes.
const MOST_BYTES: usize = 256 << 20;
/// Those of one user, bytes: one user alone cannot keep the others waiting.
const MOST_OF_ONE: usize = MOST_BYTES / 2;

/// What frames take now.
#[derive(Default)]
pub(crate) struct Budget {
    requests: Account,
    replies: Account,
}

#[derive(Default)]
struct Account {
    taken: Mutex<Sum>,
    given_back: Condvar,
}

#[derive(Default)]
struct Sum {
    all: usize,
    of: HashMap<u32, usize>,
}

/// Memory that a frame may take until this is dropped.
pub(crate) struct Taken<'a> {
    account: &'a Account,
    uid: u32,
    bytes: usize,
}

impl Sum {
    /// Adds that many bytes, if there is room for them.
    fn add(&mut self, uid: u32, bytes: usize) -> bool {
        let own = self.of.get(&uid).copied().unwrap_or(0);
        if self.all + bytes > MOST_BYTES || own + bytes > MOST_OF_ONE {
            return false;
        }
        self.all += bytes;
        self.of.insert(uid, own + bytes);
        true
    }
}

impl Account {
    fn sum(&self) -> MutexGuard<'_, Sum> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, uid: u32, bytes: usize) -> Taken<'_> {
        Taken {
            account: self,
            uid,
            bytes,
        }
    }
}

/// What is counted of a frame.
fn counted(bytes: usize) -> usize {
    match bytes {
        small if small <= SMALL_BYTES => 0,
        large => large,
    }
}

impl Budget {
    /// Waits until there is room for a request of that many bytes; `None` at the deadline.
    pub(crate) fn take(&self, uid: u32, bytes: usize, deadline: Instant) -> Option<Taken<'_>> {
        let account = &self.requests;
        let bytes = counted(bytes);
        if bytes == 0 {
            return Some(account.taken(uid, 0));
        }
        let mut sum = account.sum();
        while !sum.add(uid, bytes) {
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = account.given_back.wait_timeout(sum, left);
            sum = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(account.taken(uid, bytes))
    }

    /// Room for a reply that its client does not fetch at once; `None` when there is none.
    pub(crate) fn take_for_reply(&self, uid: u32, bytes: usize) -> Option<Taken<'_>> {
        let account = &self.replies;
        let bytes = counted(bytes);
        let has_room = bytes == 0 || account.sum().add(uid, bytes);
        has_room.then(|| account.taken(uid, bytes))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut sum = self.account.sum();
        sum.all -= self.bytes;
        let left = sum.of.get(&self.uid).map_or(0, |own| own - self.bytes);
        match left {
            0 => sum.of.remove(&self.uid),
            left => sum.of.insert(self.uid, left),
        };
        drop(sum);
        self.account.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_does_not_take_the_room_of_another() {
        let budget = Budget::default();
        let mebibyte = 1 << 20;
        let mut held = Vec::new();
        while let Some(taken) = budget.take(1, mebibyte, Instant::now()) {
            held.push(taken);
        }
        assert_eq!(held.len(), MOST_OF_ONE / mebibyte);
        assert!(budget.take(1, SMALL_BYTES, Instant::now()).is_some());
        let other = budget.take(2, mebibyte, Instant::now());
        assert!(other.is_some());
        drop(held);
        assert!(budget.take(1, mebibyte, Instant::now()).is_some());
    }
}
