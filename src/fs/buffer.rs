//! What a writer has handed in so far for one file: bytes, and which of them were written.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::hsm::MAX_BLOB_BYTES;

/// A write or truncation past the largest blob there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The bytes of one file, in memory, at most [`MAX_BLOB_BYTES`].
#[derive(Clone, Default)]
pub struct Buffer {
    /// As long as the file; what was never written is zero.
    bytes: Zeroizing<Vec<u8>>,
    /// Written ranges, ascending, with gaps between them.
    written: Vec<Range<usize>>,
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
        self.written.retain_mut(|range| {
            range.end = range.end.min(length);
            range.start < range.end
        });
        Ok(())
    }

    fn mark(&mut self, mut new: Range<usize>) {
        self.written.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                new = new.start.min(old.start)..new.end.max(old.end);
            }
            apart
        });
        let at = self.written.partition_point(|old| old.end < new.start);
        self.written.insert(at, new);
    }

    /// The file's length.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether any byte was written.
    pub fn is_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// The bytes from the start up to the first that was not written.
    pub fn prefix(&self) -> &[u8] {
        match self.written.first() {
            Some(first) if first.start == 0 => &self.bytes[..first.end],
            _ => &[],
        }
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

/// Up to `size` bytes of `bytes` at `offset`; none past the end.
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
