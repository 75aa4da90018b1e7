//! Message authentication: HMAC (FIPS 198-1) and AES-CMAC (SP 800-38B).
//!
//! A MAC without data yet is a prepared key: keep it, and clone it for each message. A failure of the library (no
//! memory) is kept and told by `finish`.

use zeroize::Zeroizing;

use crate::{Error, Hash, Result, sys};

/// A running HMAC.
pub struct Hmac {
    hash: Hash,
    state: Option<sys::HmacState>,
}

impl Hmac {
    /// Starts with a key of any length, empty too.
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        let state = sys::HmacState::new(hash, key).ok();
        Self { hash, state }
    }

    /// The hash function.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Takes the next part.
    pub fn update(&mut self, data: &[u8]) {
        if let Some(state) = &mut self.state
            && state.update(data).is_err()
        {
            self.state = None;
        }
    }

    /// The MAC of all parts, as long as a digest.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn finish(self) -> Result<Zeroizing<Vec<u8>>> {
        self.state.ok_or(Error::Library)?.finish()
    }
}

impl Clone for Hmac {
    fn clone(&self) -> Self {
        let state = self.state.as_ref().and_then(|it| it.copy().ok());
        Self {
            hash: self.hash,
            state,
        }
    }
}

/// A running AES-CMAC.
pub struct Cmac {
    state: Option<sys::CmacState>,
}

impl Cmac {
    /// Starts with a key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// [`Error::BadKey`] for other lengths, [`Error::Library`]
    pub fn new(key: &[u8]) -> Result<Self> {
        let state = Some(sys::CmacState::new(key)?);
        Ok(Self { state })
    }

    /// Takes the next part.
    pub fn update(&mut self, data: &[u8]) {
        if let Some(state) = &mut self.state
            && state.update(data).is_err()
        {
            self.state = None;
        }
    }

    /// The MAC of all parts, 16 bytes.
    ///
    /// # Errors
    /// [`Error::Library`]
    pub fn finish(self) -> Result<Zeroizing<Vec<u8>>> {
        let mac = self.state.ok_or(Error::Library)?.finish()?;
        Ok(Zeroizing::new(mac.to_vec()))
    }
}

impl Clone for Cmac {
    fn clone(&self) -> Self {
        let state = self.state.as_ref().and_then(|it| it.copy().ok());
        Self { state }
    }
}

/// Whether `a` and `b` are the same, in a time that depends on their lengths alone.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
