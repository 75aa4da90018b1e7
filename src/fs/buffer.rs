//! The bytes that a writer has handed in for one file, and which of them were written.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::hsm::{self, MAX_BLOB_BYTES, Stated};

/// A write or truncation past the largest blob there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The bytes of one file in memory, at most [`MAX_BLOB_BYTES`], and up to an eighth more to note which were written, in
/// any order.
#[derive(Clone, Default)]
pub struct Buffer {
    /// As long as the file; bytes that were never written are zero.
    bytes: Zeroizing<Vec<u8>>,
    /// How many bytes from the start were written without a gap.
    whole: usize,
    /// A bit for each byte that was written; empty until a write leaves a gap.
    scattered: Vec<u64>,
    /// The length that the header states, once it was read.
    stated: Option<usize>,
}

impl Buffer {
    /// Takes `data` at `offset`.
    ///
    /// # Errors
    /// [`TooLarge`]; nothing is taken.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), TooLarge> {
        let range = range(offset, data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        if range.start < self.whole {
            self.stated = None;
        }
        if self.bytes.len() < range.end {
            self.bytes.resize(range.end, 0);
        }
        self.bytes[range.clone()].copy_from_slice(data);
        self.mark(range);
        Ok(())
    }

    /// Cuts the file, or lengthens it by a hole.
    ///
    /// # Errors
    /// [`TooLarge`]
    pub fn truncate(&mut self, length: u64) -> Result<(), TooLarge> {
        let length = range(length, 0)?.end;
        self.bytes.resize(length, 0);
        if length < self.whole {
            self.whole = length;
            self.stated = None;
        }
        if !self.scattered.is_empty() {
            (length..self.scattered.len() * 64)
                .for_each(|at| self.scattered[at / 64] &= !(1 << (at % 64)));
        }
        Ok(())
    }

    fn mark(&mut self, new: Range<usize>) {
        if new.start > self.whole || !self.scattered.is_empty() {
            // Never longer than the file, so it adds at most an eighth to the file's bytes.
            let words = self.bytes.len().div_ceil(64);
            self.scattered.resize(words.max(self.scattered.len()), 0);
            new.clone()
                .for_each(|at| self.scattered[at / 64] |= 1 << (at % 64));
        }
        if new.start <= self.whole {
            self.whole = self.whole.max(new.end);
            while self.whole < self.bytes.len() && self.has(self.whole) {
                self.whole += 1;
            }
        }
    }

    fn has(&self, at: usize) -> bool {
        self.scattered
            .get(at / 64)
            .is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    /// The file's length.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether any byte was written.
    pub fn is_written(&self) -> bool {
        self.whole > 0 || self.scattered.iter().any(|bits| *bits != 0)
    }

    /// The bytes from the start up to the first that was not written.
    pub fn prefix(&self) -> &[u8] {
        &self.bytes[..self.whole]
    }

    /// The length of the whole blob, as its header states it. The header is parsed once, unless it is written again.
    pub fn stated_length(&mut self) -> Stated {
        if let Some(stated) = self.stated {
            return Stated::Bytes(stated);
        }
        let stated = hsm::stated_length(self.prefix());
        if let Stated::Bytes(bytes) = stated {
            self.stated = Some(bytes);
        }
        stated
    }

    /// All bytes, holes as zeros.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Up to `size` bytes at `offset`.
    pub fn read(&self, offset: u64, size: u64) -> &[u8] {
        slice(&self.bytes, offset, size)
    }
}

fn range(offset: u64, length: usize) -> Result<Range<usize>, TooLarge> {
    let start = usize::try_from(offset).map_err(|_| TooLarge)?;
    let end = start.checked_add(length).ok_or(TooLarge)?;
    if end > MAX_BLOB_BYTES {
        return Err(TooLarge);
    }
    Ok(start..end)
}

/// Up to `size` bytes of `bytes` at `offset`; empty past the end.
pub fn slice(bytes: &[u8], offset: u64, size: u64) -> &[u8] {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    &bytes[start..start.saturating_add(size).min(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_make_a_whole() {
        let mut buffer = Buffer::default();
        buffer.write(6, b"ghi").unwrap();
        assert_eq!(buffer.prefix(), b"");
        buffer.write(0, b"abc").unwrap();
        assert_eq!(buffer.prefix(), b"abc");
        assert_ne!(buffer.prefix().len(), buffer.len());
        buffer.write(2, b"cdefg").unwrap();
        assert_eq!(buffer.prefix().len(), buffer.len());
        assert_eq!(buffer.bytes(), b"abcdefghi");
        assert_eq!(buffer.read(7, 100), b"hi");
        assert_eq!(buffer.read(100, 1), b"");
    }

    #[test]
    fn a_hole_is_not_written() {
        let mut buffer = Buffer::default();
        buffer.truncate(8).unwrap();
        assert!(!buffer.is_written());
        buffer.write(0, b"abcd").unwrap();
        assert_eq!(buffer.prefix(), b"abcd");
        assert_eq!(buffer.len(), 8);
        buffer.truncate(2).unwrap();
        assert_eq!(buffer.prefix().len(), buffer.len());
        buffer.truncate(0).unwrap();
        assert!(buffer.len() == 0 && !buffer.is_written());
    }

    /// The same as a plain list of which bytes were written, over random writes and cuts.
    #[test]
    fn it_knows_what_was_written() {
        proptest::proptest!(|(steps: Vec<(bool, u16, u8)>)| {
            let mut buffer = Buffer::default();
            let mut model: Vec<Option<u8>> = Vec::new();
            for (cut, at, length) in steps {
                let at = usize::from(at % 700);
                if cut {
                    buffer.truncate(at as u64).unwrap();
                    model.resize(at, None);
                } else {
                    buffer.write(at as u64, &vec![length; usize::from(length)]).unwrap();
                    let end = at + usize::from(length);
                    if length > 0 {
                        model.resize(model.len().max(end), None);
                        model[at..end].fill(Some(length));
                    }
                }
                let whole = model.iter().take_while(|byte| byte.is_some()).count();
                let bytes: Vec<u8> = model.iter().map(|byte| byte.unwrap_or(0)).collect();
                assert_eq!((buffer.bytes(), buffer.prefix()), (&bytes[..], &bytes[..whole]));
                assert_eq!(buffer.is_written(), model.iter().any(Option::is_some));
            }
        });
    }

    #[test]
    fn nothing_grows_past_the_largest_blob() {
        let mut buffer = Buffer::default();
        let most = MAX_BLOB_BYTES as u64;
        assert_eq!(buffer.write(most, b"x"), Err(TooLarge));
        assert_eq!(buffer.write(u64::MAX, b"x"), Err(TooLarge));
        assert_eq!(buffer.truncate(most + 1), Err(TooLarge));
        assert_eq!(buffer.len(), 0);
        buffer.write(most - 1, b"x").unwrap();
        assert_eq!(buffer.len(), MAX_BLOB_BYTES);
    }
}
