//! All identities of a slot, where they were read once: then it takes no question to know that an object is new.

use std::collections::HashSet;

use super::super::keys::Key;

/// The most that are kept for one slot: 16 bytes each.
const MOST: usize = 1 << 20;

/// The keys under `i` of one slot and epoch.
#[derive(Default)]
pub(super) struct Identities {
    prefix: Key,
    there: HashSet<[u8; 16]>,
}

impl Identities {
    /// Of `keys`, which are all that begin with `prefix`; `None` when they are too many, or are no identities.
    pub(super) fn of<'a>(prefix: Key, keys: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut there = HashSet::new();
        for key in keys {
            there.insert(key.strip_prefix(prefix.as_slice())?.try_into().ok()?);
        }
        (there.len() <= MOST).then_some(Self { prefix, there })
    }

    /// Whether there is no such key, for certain.
    pub(super) fn lack(&self, key: &[u8]) -> bool {
        let found = self.named(key);
        found.is_some_and(|it| !self.there.contains(&it))
    }

    /// A change of a key, which need not be one of these; `false` when they are too many now.
    pub(super) fn change(&mut self, key: &[u8], is_there: bool) -> bool {
        if let Some(it) = self.named(key) {
            match is_there {
                true => self.there.insert(it),
                false => self.there.remove(&it),
            };
        }
        self.there.len() <= MOST
    }

    fn named(&self, key: &[u8]) -> Option<[u8; 16]> {
        key.strip_prefix(self.prefix.as_slice())?.try_into().ok()
    }
}
