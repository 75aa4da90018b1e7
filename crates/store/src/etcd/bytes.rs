//! Values as bytes: fixed fields, big-endian, and texts with their length before them.

use crate::rows::Seen;

/// Writes a value.
#[derive(Default)]
pub(super) struct Put(Vec<u8>);

impl Put {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Bytes whose number is fixed.
    pub(super) fn array(mut self, value: &[u8]) -> Self {
        self.0.extend(value);
        self
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        // A value of 4 GiB does not come into being: etcd refuses one of 1.5 MiB.
        self.u32(value.len() as u32).array(value)
    }

    pub(super) fn optional<T>(self, value: Option<T>, put: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.u8(0),
            Some(value) => put(self.u8(1), value),
        }
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a value. Errors are texts that say what is wrong.
pub(super) struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    pub(super) fn of(value: &'a [u8]) -> Self {
        Self(value)
    }

    fn some(&mut self, count: usize) -> Seen<&'a [u8]> {
        let (some, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| "its value in the cluster is cut short".to_owned())?;
        self.0 = rest;
        Ok(some)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Seen<[u8; N]> {
        let (some, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| "its value in the cluster is cut short".to_owned())?;
        self.0 = rest;
        Ok(*some)
    }

    pub(super) fn u8(&mut self) -> Seen<u8> {
        self.array::<1>().map(|[value]| value)
    }

    pub(super) fn u32(&mut self) -> Seen<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Seen<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Seen<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn bytes(&mut self) -> Seen<&'a [u8]> {
        let count = self.u32()?;
        self.some(usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub(super) fn text(&mut self) -> Seen<String> {
        let text = self.bytes()?.to_vec();
        String::from_utf8(text).map_err(|_| "a text in its value is not UTF-8".to_owned())
    }

    pub(super) fn optional<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Seen<T>,
    ) -> Seen<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => take(self).map(Some),
            other => Err(format!("its value has {other} where 0 or 1 should be")),
        }
    }

    /// A number that stands for a value that this build knows.
    pub(super) fn known<T>(&mut self, what: &str, from: impl Fn(u8) -> Option<T>) -> Seen<T> {
        let number = self.u8()?;
        from(number).ok_or_else(|| format!("its {what} {number} is not known to this build"))
    }

    /// Refuses bytes that nothing has read.
    pub(super) fn end<T>(self, value: T) -> Seen<T> {
        match self.0.len() {
            0 => Ok(value),
            more => Err(format!(
                "its value in the cluster has {more} bytes too many"
            )),
        }
    }
}
