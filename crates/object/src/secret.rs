//! Bytes that are wiped when dropped and never printed.
//!
//! Two types: [`Key`] for 32-byte keys, which live on pages kept out of swap, and
//! [`SecretBytes`] for everything else that must not outlive its use (payloads, passwords, key
//! files). Neither implements `Debug` with its content.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Bytes in a key, 32: every symmetric key of docs/format.md is AES-256 or HMAC-SHA-256.
pub const KEY_BYTES: usize = 32;

/// A 32-byte key on a heap page locked into memory, wiped on drop.
///
/// Its memory is never freed: locks do not nest, so unlocking a page could expose another key on the same page. It stays
/// locked for the next key, which then needs no system call.
pub struct Key(Option<Box<Zeroizing<[u8; KEY_BYTES]>>>);

/// Whether a warning about a failed page lock was given; one is enough.
static LOCK_WARNED: AtomicBool = AtomicBool::new(false);
/// Memory of dropped keys. It is wiped and still locked, so it must not move.
#[allow(clippy::vec_box)]
static FREE: Mutex<Vec<Box<Zeroizing<[u8; KEY_BYTES]>>>> = Mutex::new(Vec::new());

/// Locked memory for one key.
fn locked() -> Box<Zeroizing<[u8; KEY_BYTES]>> {
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    free.unwrap_or_else(|| {
        let boxed = Box::new(Zeroizing::new([0u8; KEY_BYTES]));
        match region::lock(boxed.as_ptr(), KEY_BYTES) {
            Ok(guard) => std::mem::forget(guard),
            Err(why) => {
                if !LOCK_WARNED.swap(true, Ordering::Relaxed) {
                    log::warn!("keys cannot be locked into memory and may be swapped: {why}");
                }
            }
        }
        boxed
    })
}

impl Key {
    /// Makes a key by letting `fill` write into memory that is already locked.
    pub fn make(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> Self {
        let mut boxed = locked();
        fill(&mut boxed);
        Self(Some(boxed))
    }

    /// A random key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut outcome = Ok(());
        let key = Self::make(|bytes| outcome = getrandom::fill(bytes));
        outcome.map(|()| key)
    }

    /// A copy of `bytes`, or `None` when they are not 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEY_BYTES).then(|| Self::make(|key| key.copy_from_slice(bytes)))
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        match &self.0 {
            Some(bytes) => bytes,
            None => used_after_drop(),
        }
    }
}

/// Only [`Key`]'s drop removes the bytes. After that, any value returned here would be a known key.
#[cold]
#[expect(clippy::panic, reason = "there is no key that could be returned")]
fn used_after_drop() -> ! {
    panic!("a key was used after it was wiped")
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Some(mut boxed) = self.0.take() {
            boxed.zeroize();
            FREE.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(boxed);
        }
    }
}

impl Clone for Key {
    /// The copy is on a locked page too.
    fn clone(&self) -> Self {
        Self::make(|key| key.copy_from_slice(self.bytes()))
    }
}

impl PartialEq for Key {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Overwrites the stack below the caller. Hashing and decrypting leave copies of keys there, and nothing else wipes them.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0u8; 64 * 1024];
    below.zeroize();
}

/// Secret bytes of any length, wiped on drop.
///
/// Built at its final size, never grown: a reallocation would leave an unwiped copy behind.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over `bytes`, which are wiped when this is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for changes in place that keep their number.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Drops one trailing LF or CRLF, as for passwords (docs/mount.md, "What each request does").
    pub fn without_newline(mut self) -> Self {
        for end in [b"\r\n".as_slice(), b"\n"] {
            if self.0.ends_with(end) {
                let keep = self.0.len() - end.len();
                self.0[keep..].zeroize();
                self.0.truncate(keep);
                break;
            }
        }
        self
    }
}

impl PartialEq for SecretBytes {
    /// In constant time for equal lengths.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_ending_is_dropped_and_no_more() {
        for (given, kept) in [
            ("pw", "pw"),
            ("pw\n", "pw"),
            ("pw\r\n", "pw"),
            ("pw\n\n", "pw\n"),
            ("pw\r", "pw\r"),
            ("\n", ""),
            ("", ""),
        ] {
            let secret = SecretBytes::from(given.as_bytes()).without_newline();
            assert_eq!(secret.bytes(), kept.as_bytes(), "{given:?}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let key = Key::make(|k| k.fill(0x41));
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(
            format!("{:?}", SecretBytes::from(b"AAAA".as_slice())),
            "SecretBytes(4 bytes)"
        );
    }
}
