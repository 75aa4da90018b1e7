//! Steps through keys that go on with a number after a common prefix, in windows that hold few of them: etcd counts to the end
//! of a range whatever its limit is, and lets nobody write meanwhile.

use super::keys::{Key, end_of};

/// The most keys of a window.
pub(super) const MOST: u64 = 4096;

/// The windows that are left.
pub(super) struct Windows {
    prefix: Key,
    /// Of the number, big-endian.
    bytes: usize,
    next: Option<u64>,
    size: u64,
    /// Up to here there are too many for windows to grow.
    many_until: u64,
}

impl Windows {
    /// All keys that begin with `prefix`, and go on with a number of so many bytes, at most 8. There are `keys` of them.
    pub(super) fn of(prefix: Key, bytes: usize, keys: u64) -> Self {
        Self {
            prefix,
            bytes,
            next: Some(0),
            size: match keys {
                ..=MOST => u64::MAX,
                _ => MOST,
            },
            many_until: 0,
        }
    }

    /// Where the next one begins, and before which key it ends; `None` after the last one.
    pub(super) fn next(&self) -> Option<(Key, Key)> {
        let from = self.next?;
        let end = match self.end(from) {
            Some(end) => self.key(end),
            None => end_of(&self.prefix),
        };
        let start = match from {
            // Also what is shorter than it should be.
            0 => self.prefix.clone(),
            from => self.key(from),
        };
        Some((start, end))
    }

    /// Told how many keys it holds: whether it is to be used, and the next one follows. Else it is smaller now.
    pub(super) fn holds(&mut self, keys: u64) -> bool {
        let Some(from) = self.next else { return true };
        if keys > MOST && self.size > 1 {
            self.many_until = self.many_until.max(from.saturating_add(self.size));
            self.size = (self.size / 2).max(1);
            return false;
        }
        self.next = self.end(from);
        if keys < MOST / 4 && self.next.is_some_and(|next| next >= self.many_until) {
            self.size = self.size.saturating_mul(2);
        }
        true
    }

    fn end(&self, from: u64) -> Option<u64> {
        let last = u64::MAX >> (64 - 8 * self.bytes.clamp(1, 8));
        from.checked_add(self.size).filter(|end| *end < last)
    }

    fn key(&self, number: u64) -> Key {
        let mut key = self.prefix.clone();
        let number = number.to_be_bytes();
        key.extend(number.iter().skip(8 - self.bytes.clamp(1, 8)));
        key
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn count(there: &BTreeSet<Key>, (start, end): &(Key, Key)) -> u64 {
        there.range(start.clone()..end.clone()).count() as u64
    }

    /// Each key is in one window, and no window holds many unless it is the smallest.
    fn steps(there: &BTreeSet<Key>, bytes: usize) -> usize {
        let (mut windows, mut left, mut steps) = (
            Windows::of(b"o/".to_vec(), bytes, there.len() as u64),
            there.clone(),
            0,
        );
        while let Some(window) = windows.next() {
            steps += 1;
            let keys = count(there, &window);
            if windows.holds(keys) {
                assert!(keys <= MOST, "{keys}");
                let (start, end) = &window;
                left.retain(|key| key < start || key >= end);
            }
        }
        assert!(left.is_empty(), "{left:?}");
        steps
    }

    #[test]
    fn each_key_is_in_one_window() {
        let keys = |numbers: &mut dyn Iterator<Item = u64>, bytes: usize| -> BTreeSet<Key> {
            let key = |it: u64| [b"o/", &it.to_be_bytes()[8 - bytes..]].concat();
            numbers.map(key).collect()
        };
        for bytes in [4, 8] {
            let last = u64::MAX >> (64 - 8 * bytes);
            assert!(steps(&BTreeSet::new(), bytes) < 60);
            let dense = keys(&mut (1..20_000), bytes);
            let far = keys(&mut (last - 10_000..=last), bytes);
            let apart = keys(&mut (0..10_000).map(|it| it * (last / 10_000)), bytes);
            for some in [&dense, &far, &apart] {
                assert!(steps(some, bytes) < 200);
            }
            assert_eq!(steps(&keys(&mut (1..100), bytes), bytes), 1);
            let all: BTreeSet<Key> = dense.iter().chain(&far).chain(&apart).cloned().collect();
            assert!(steps(&all, bytes) < 400);
        }
    }
}
