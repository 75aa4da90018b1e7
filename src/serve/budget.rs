//! How much memory large frames take at once. Without it, many clients that each announce a megabyte and send nothing would
//! take all there is.

use std::sync::{Condvar, Mutex, PoisonError};

/// Frames up to this size are not counted, bytes.
pub(crate) const SMALL_BYTES: usize = 64 << 10;
/// All the others together, bytes.
const MOST_BYTES: usize = 256 << 20;

/// What is left.
pub(crate) struct Budget {
    left: Mutex<usize>,
    given_back: Condvar,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: Mutex::new(MOST_BYTES),
            given_back: Condvar::new(),
        }
    }
}

/// Memory that a frame may take until this is dropped.
pub(crate) struct Taken<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    /// Waits until there is room for a frame of that many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Taken<'_> {
        let bytes = match bytes {
            small if small <= SMALL_BYTES => 0,
            large => large.min(MOST_BYTES),
        };
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while *left < bytes {
            let waited = self.given_back.wait(left);
            left = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *left -= bytes;
        Taken {
            budget: self,
            bytes,
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let left = self.budget.left.lock();
            *left.unwrap_or_else(PoisonError::into_inner) += self.bytes;
            self.budget.given_back.notify_all();
        }
    }
}
