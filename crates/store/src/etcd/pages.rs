//! Reading many keys in their order, page by page. etcd counts to the end of what it is asked for, whatever the limit: so
//! each page has an end of its own, not far behind its limit.

use super::Inner;
use super::fetch::{Pairs, Range};
use super::keys::{Key, after, end_of};
use crate::error::Result;

/// So few that etcd may count to the end of all for each page.
const FEW: u64 = 4096;
/// How many numbers the first window has.
const WINDOW: u128 = 4096;
/// How much wider a window is than one before it that was empty.
const WIDER: u128 = 16;
/// After so many empty ones, the next has no end: mostly there is nothing more.
const MOST_EMPTY: u32 = 3;

/// The keys after a prefix that go on with a number: a handle, a row id or an identity. A page ends at its last key, whatever
/// that key is.
pub(super) struct Pages {
    prefix: Key,
    /// How many bytes after the prefix are the number.
    digits: usize,
    /// Where the next page begins; `None` at the end.
    from: Option<Key>,
    /// How many numbers the next page may have.
    window: u128,
    empty: u32,
    few: bool,
    most: usize,
    keys_only: bool,
}

impl Pages {
    /// Pages of at most `most` keys. There are about so many in all, as far as is known.
    pub(super) fn of(prefix: Key, digits: usize, about: u64, most: usize) -> Self {
        Self {
            from: Some(prefix.clone()),
            prefix,
            digits: digits.min(16),
            window: WINDOW,
            empty: 0,
            few: about <= FEW,
            most: most.max(1),
            keys_only: false,
        }
    }

    /// By handle.
    pub(super) fn handles(prefix: Key, about: u64, most: usize) -> Self {
        Self::of(prefix, 4, about, most)
    }

    /// By row id.
    pub(super) fn rows(prefix: Key, about: u64, most: usize) -> Self {
        Self::of(prefix, 8, about, most)
    }

    /// By identity. These are random, so they lie as far apart as they can.
    pub(super) fn identities(prefix: Key, about: u64, most: usize) -> Self {
        let pages = Self::of(prefix, 16, about, most);
        let each = u128::MAX / u128::from(about.max(1));
        Self {
            window: each.saturating_mul(pages.most as u128),
            ..pages
        }
    }

    pub(super) fn keys_only(self) -> Self {
        Self {
            keys_only: true,
            ..self
        }
    }

    /// Only those after a key.
    pub(super) fn after(self, key: &[u8]) -> Self {
        Self {
            from: Some(after(key)),
            ..self
        }
    }

    /// What is to be asked for next; `None` at the end. [`Self::took`] goes on.
    pub(super) fn next(&self) -> Option<Range> {
        let start = self.from.clone()?;
        Some(Range {
            end: self.end(&start),
            start,
            limit: i64::try_from(self.most).unwrap_or(i64::MAX),
            keys_only: self.keys_only,
        })
    }

    /// What was found there. It may be nothing before the end.
    pub(super) fn took(&mut self, found: &Pairs) {
        let Some(start) = self.from.take() else {
            return;
        };
        if let Some((last, _)) = found.last()
            && found.len() >= self.most
        {
            // Twice as many numbers as this page had, which are about two pages.
            let numbers = self.number(last).saturating_sub(self.number(&start));
            self.window = numbers.saturating_add(1).saturating_mul(2);
            self.empty = 0;
            self.from = Some(after(last));
            return;
        }
        let end = self.end(&start);
        if found.is_empty() {
            self.empty += 1;
            self.window = self.window.saturating_mul(WIDER);
        } else {
            self.empty = 0;
            self.window = self.window.saturating_mul(2);
        }
        self.from = (end != end_of(&self.prefix)).then_some(end);
    }

    fn end(&self, start: &[u8]) -> Key {
        let all = end_of(&self.prefix);
        if self.few || self.empty >= MOST_EMPTY {
            return all;
        }
        let highest = u128::MAX >> (128 - 8 * self.digits.max(1));
        match self.number(start).checked_add(self.window) {
            Some(number) if number <= highest => {
                let mut key = self.prefix.clone();
                let bytes = number.to_be_bytes();
                key.extend(bytes.iter().skip(bytes.len() - self.digits));
                key
            }
            _ => all,
        }
    }

    /// The number in a key, or in the start of one.
    fn number(&self, key: &[u8]) -> u128 {
        let number = key.iter().skip(self.prefix.len());
        let padded = number.chain(std::iter::repeat(&0)).take(self.digits);
        padded.fold(0, |number, byte| number << 8 | u128::from(*byte))
    }
}

impl Inner {
    /// Every key of some pages, with its value unless only keys are asked for. Others may write meanwhile.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn each_key(
        &self,
        mut pages: Pages,
        mut each: impl FnMut(&Key, &[u8]),
    ) -> Result<()> {
        while let Some(range) = pages.next() {
            let found = self.raw_range(&range)?;
            pages.took(&found);
            found.iter().for_each(|(key, value)| each(key, value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Asks a set as a cluster is asked; the keys that were found, how many were counted, and how many questions there were.
    fn read(keys: &BTreeSet<Key>, mut pages: Pages) -> (Vec<Key>, usize, usize) {
        let (mut found, mut counted, mut asked) = (Vec::new(), 0, 0);
        while let Some(range) = pages.next() {
            assert!(range.start < range.end);
            let within: Vec<&Key> = keys.range(range.start..range.end).collect();
            let limit = usize::try_from(range.limit).unwrap();
            let page = within.iter().take(limit);
            let page: Pairs = page.map(|it| ((*it).clone(), Vec::new())).collect();
            (counted, asked) = (counted + within.len(), asked + 1);
            pages.took(&page);
            found.extend(page.into_iter().map(|it| it.0));
        }
        (found, counted, asked)
    }

    fn numbered(numbers: impl Iterator<Item = u64>) -> BTreeSet<Key> {
        let key = |number: u64| [b"p/".as_slice(), &number.to_be_bytes()].concat();
        numbers.map(key).collect()
    }

    #[test]
    fn each_key_is_read_once_and_few_are_counted_more_often() {
        let far = (0..300).map(|it| it << 40);
        for (keys, most_asked) in [
            (numbered(0..20_000), 60),
            (numbered((0..20_000).map(|it| 7 + it * 1000)), 80),
            (numbered((1 << 46)..(1 << 46) + 20_000), 70),
            // Blocks far from each other.
            (
                numbered((0..20_000).map(|it| it % 5000 + ((it / 5000) << 30))),
                100,
            ),
            (numbered(far), 20),
            (numbered([0, 1, u64::MAX - 1, u64::MAX].into_iter()), 20),
            (BTreeSet::new(), 5),
        ] {
            let pages = Pages::rows(b"p/".to_vec(), 20_000, 512);
            let (found, counted, asked) = read(&keys, pages);
            assert!(found.iter().eq(&keys));
            assert!(asked <= most_asked, "{asked} questions");
            assert!(counted <= 6 * keys.len() + 20_000, "{counted} counted");
        }
    }

    #[test]
    fn few_keys_take_no_question_more() {
        let keys = numbered(5..800);
        let (found, _, asked) = read(&keys, Pages::rows(b"p/".to_vec(), 795, 512));
        assert!(found.iter().eq(&keys));
        assert_eq!(asked, 2);
        let (found, _, asked) = read(
            &keys,
            Pages::rows(b"p/".to_vec(), 795, 512).after(b"p/\0\0\0\0\0\0\x03\x1e"),
        );
        assert_eq!((found.len(), asked), (1, 1));
    }

    #[test]
    fn keys_of_any_length_are_read() {
        let mut keys = numbered(5000..9000);
        for number in [0_u64, 5000, 8999, u64::MAX] {
            let bytes = number.to_be_bytes();
            keys.insert([b"p/".as_slice(), &bytes, b"and more"].concat());
            keys.insert([b"p/".as_slice(), &bytes[..5]].concat());
        }
        keys.insert(b"p/".to_vec());
        for most in [1, 3, 512, 100_000] {
            let (found, ..) = read(&keys, Pages::rows(b"p/".to_vec(), 5000, most));
            assert!(found.iter().eq(&keys), "{most} at once");
        }
    }

    #[test]
    fn identities_are_asked_for_evenly() {
        let spread = |it: u128| it.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834 | 1);
        let key = |number: u128| [b"p/".as_slice(), &number.to_be_bytes()].concat();
        let keys: BTreeSet<Key> = (0..20_000).map(spread).map(key).collect();
        let (found, counted, asked) = read(&keys, Pages::identities(b"p/".to_vec(), 20_000, 512));
        assert!(found.iter().eq(&keys));
        assert!(asked < 100 && counted < 80_000, "{asked}, {counted}");
    }
}
