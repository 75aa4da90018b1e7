//! The only unsafe code of this crate: owners of aws-lc's objects and a safe function for each call that is used.
//!
//! Rules of this file. A pointer from aws-lc is checked for null once and owned by one type, which frees it; aws-lc
//! wipes memory when it frees it. A function gets slices as pointer and length of the same slice, so that aws-lc reads
//! and writes inside them. A failed call clears the thread's error queue and becomes an [`Error`].
//!
//! aws-lc-rs is used where it can be: for random bytes and for comparison. For the rest it lacks hash functions, key
//! types, parameters, or it leaves secrets in memory that it does not wipe.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, null, null_mut};

use aws_lc_sys as lc;
use zeroize::Zeroizing;

use crate::pq::{ml_dsa, ml_kem};
use crate::{Curve, Error, Hash};

/// Turns a status of aws-lc (1 is success) into a result.
fn check(status: c_int, error: Error) -> Result<(), Error> {
    if status == 1 {
        return Ok(());
    }
    clear_errors();
    Err(error)
}

fn clear_errors() {
    // SAFETY: takes no argument; the queue is the thread's own.
    unsafe { lc::ERR_clear_error() }
}

/// The version of aws-lc.
pub fn library_version() -> &'static str {
    let bytes = lc::AWSLC_VERSION_NUMBER_STRING.strip_suffix(b"\0");
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.unwrap_or("unknown")
}

/// Overwrites `bytes` with zeros, as the crate `zeroize` does, but not one byte at a time: that takes 230 us for 1 MiB.
pub fn wipe(bytes: &mut [u8]) {
    // SAFETY: pointer and length of one slice.
    unsafe { lc::OPENSSL_cleanse(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// An owner of an object of aws-lc: made from a pointer that the caller owns, freed once when dropped.
macro_rules! owner {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $free:path) => {
        $(#[$doc])*
        pub(crate) struct $name(NonNull<$raw>);

        impl $name {
            /// Takes `pointer`, which the caller owns; null is the error.
            fn adopt(pointer: *mut $raw, error: Error) -> Result<Self, Error> {
                NonNull::new(pointer).map(Self).ok_or_else(|| {
                    clear_errors();
                    error
                })
            }

            fn as_ptr(&self) -> *mut $raw {
                self.0.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the pointer is owned, was never freed, and is not used again.
                unsafe { $free(self.as_ptr()) }
            }
        }

        // SAFETY: aws-lc binds no object to the thread that made it.
        unsafe impl Send for $name {}
    };
}

// ---------------------------------------------------------------------------------------------------------------- hashes

impl Hash {
    fn md(self) -> *const lc::EVP_MD {
        // SAFETY: these take no argument and return a pointer to a constant of the library.
        unsafe {
            match self {
                Self::Sha1 => lc::EVP_sha1(),
                Self::Sha224 => lc::EVP_sha224(),
                Self::Sha256 => lc::EVP_sha256(),
                Self::Sha384 => lc::EVP_sha384(),
                Self::Sha512 => lc::EVP_sha512(),
                Self::Sha512_256 => lc::EVP_sha512_256(),
                Self::Sha3_224 => lc::EVP_sha3_224(),
                Self::Sha3_256 => lc::EVP_sha3_256(),
                Self::Sha3_384 => lc::EVP_sha3_384(),
                Self::Sha3_512 => lc::EVP_sha3_512(),
            }
        }
    }
}

owner!(
    /// A running digest.
    Digest, lc::EVP_MD_CTX, lc::EVP_MD_CTX_free
);

// SAFETY: a shared reference allows a copy alone, and the call for it takes the source as const and only reads it.
unsafe impl Sync for Digest {}

impl Digest {
    fn empty() -> Result<Self, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        Self::adopt(unsafe { lc::EVP_MD_CTX_new() }, Error::Library)
    }

    fn start(md: *const lc::EVP_MD) -> Result<Self, Error> {
        let made = Self::empty()?;
        // SAFETY: the context is fresh, `md` is a constant of the library, a null engine is the default.
        let status = unsafe { lc::EVP_DigestInit_ex(made.as_ptr(), md, null_mut()) };
        check(status, Error::Library)?;
        Ok(made)
    }

    pub(crate) fn new(hash: Hash) -> Result<Self, Error> {
        Self::start(hash.md())
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        // SAFETY: an initialised context; pointer and length of one slice.
        let status =
            unsafe { lc::EVP_DigestUpdate(self.as_ptr(), data.as_ptr().cast(), data.len()) };
        check(status, Error::Library)
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, Error> {
        let mut out = [0; lc::EVP_MAX_MD_SIZE as usize];
        let mut written = 0;
        // SAFETY: an initialised context; `out` holds the longest digest of the library.
        let status =
            unsafe { lc::EVP_DigestFinal_ex(self.as_ptr(), out.as_mut_ptr(), &mut written) };
        check(status, Error::Library)?;
        Ok(out.iter().take(written as usize).copied().collect())
    }

    pub(crate) fn copy(&self) -> Result<Self, Error> {
        let made = Self::empty()?;
        // SAFETY: both contexts are valid; the source is only read.
        let status = unsafe { lc::EVP_MD_CTX_copy_ex(made.as_ptr(), self.as_ptr()) };
        check(status, Error::Library)?;
        Ok(made)
    }
}

/// A running SHAKE256 (FIPS 202).
pub(crate) struct Shake256(Digest);

impl Shake256 {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: takes no argument and returns a constant of the library.
        Digest::start(unsafe { lc::EVP_shake256() }).map(Self)
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        self.0.update(data)
    }

    /// The first `N` bytes of its output.
    pub(crate) fn finish<const N: usize>(self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        // SAFETY: an initialised context of an extendable function; `out` has the length given.
        let status = unsafe { lc::EVP_DigestFinalXOF(self.0.as_ptr(), out.as_mut_ptr(), N) };
        check(status, Error::Library)?;
        Ok(out)
    }
}

/// SHAKE256 of `data`, `N` bytes of it.
pub(crate) fn shake256<const N: usize>(data: &[u8]) -> Result<[u8; N], Error> {
    let mut state = Shake256::new()?;
    state.update(data)?;
    state.finish()
}

// ------------------------------------------------------------------------------------------------------------------ MACs

owner!(
    /// A running HMAC.
    HmacState, lc::HMAC_CTX, lc::HMAC_CTX_free
);

// SAFETY: a shared reference allows a copy alone, and the call for it takes the source as const and only reads it.
unsafe impl Sync for HmacState {}

impl HmacState {
    fn empty() -> Result<Self, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        Self::adopt(unsafe { lc::HMAC_CTX_new() }, Error::Library)
    }

    pub(crate) fn new(hash: Hash, key: &[u8]) -> Result<Self, Error> {
        let made = Self::empty()?;
        // SAFETY: a fresh context; pointer and length of one slice, never null even if empty; a constant of the
        // library.
        let status = unsafe {
            lc::HMAC_Init_ex(
                made.as_ptr(),
                key.as_ptr().cast(),
                key.len(),
                hash.md(),
                null_mut(),
            )
        };
        check(status, Error::Library)?;
        Ok(made)
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        // SAFETY: an initialised context; pointer and length of one slice.
        let status = unsafe { lc::HMAC_Update(self.as_ptr(), data.as_ptr(), data.len()) };
        check(status, Error::Library)
    }

    pub(crate) fn finish(self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::new(vec![0; lc::EVP_MAX_MD_SIZE as usize]);
        let mut written = 0;
        // SAFETY: an initialised context; `out` holds the longest digest of the library.
        let status = unsafe { lc::HMAC_Final(self.as_ptr(), out.as_mut_ptr(), &mut written) };
        check(status, Error::Library)?;
        out.truncate(written as usize);
        Ok(out)
    }

    pub(crate) fn copy(&self) -> Result<Self, Error> {
        let made = Self::empty()?;
        // SAFETY: both contexts are valid; the source is only read.
        let status = unsafe { lc::HMAC_CTX_copy_ex(made.as_ptr(), self.as_ptr()) };
        check(status, Error::Library)?;
        Ok(made)
    }
}

owner!(
    /// A running AES-CMAC.
    CmacState, lc::CMAC_CTX, lc::CMAC_CTX_free
);

// SAFETY: a shared reference allows a copy alone, and the call for it takes the source as const and only reads it.
unsafe impl Sync for CmacState {}

impl CmacState {
    fn empty() -> Result<Self, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        Self::adopt(unsafe { lc::CMAC_CTX_new() }, Error::Library)
    }

    pub(crate) fn new(key: &[u8]) -> Result<Self, Error> {
        let cipher = AesMode::Cbc.cipher(key.len())?;
        let made = Self::empty()?;
        // SAFETY: a fresh context; `cipher` takes a key of that length; a null engine is the default.
        let status = unsafe {
            lc::CMAC_Init(
                made.as_ptr(),
                key.as_ptr().cast(),
                key.len(),
                cipher,
                null_mut(),
            )
        };
        check(status, Error::Library)?;
        Ok(made)
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        // SAFETY: an initialised context; pointer and length of one slice.
        let status = unsafe { lc::CMAC_Update(self.as_ptr(), data.as_ptr(), data.len()) };
        check(status, Error::Library)
    }

    pub(crate) fn finish(self) -> Result<[u8; 16], Error> {
        let mut out = [0; 16];
        let mut written = 0;
        // SAFETY: an initialised context; `out` holds a block, which is what CMAC writes.
        let status = unsafe { lc::CMAC_Final(self.as_ptr(), out.as_mut_ptr(), &mut written) };
        check(status, Error::Library)?;
        Ok(out)
    }

    pub(crate) fn copy(&self) -> Result<Self, Error> {
        let made = Self::empty()?;
        // SAFETY: both contexts are valid; the source is only read.
        let status = unsafe { lc::CMAC_CTX_copy(made.as_ptr(), self.as_ptr()) };
        check(status, Error::Library)?;
        Ok(made)
    }
}

/// PBKDF2 with HMAC (RFC 8018), `out.len()` bytes.
pub(crate) fn pbkdf2(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    out: &mut [u8],
) -> Result<(), Error> {
    // SAFETY: pointer and length of one slice, three times; a constant of the library.
    let status = unsafe {
        lc::PKCS5_PBKDF2_HMAC(
            password.as_ptr().cast(),
            password.len(),
            salt.as_ptr(),
            salt.len(),
            iterations,
            hash.md(),
            out.len(),
            out.as_mut_ptr(),
        )
    };
    check(status, Error::Library)
}

// ------------------------------------------------------------------------------------------------------------------- AES

/// A mode of AES.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AesMode {
    Ecb,
    Cbc,
    Ctr,
    Gcm,
    Ccm,
}

impl AesMode {
    /// The cipher for a key of that many bytes.
    fn cipher(self, key_bytes: usize) -> Result<*const lc::EVP_CIPHER, Error> {
        // SAFETY: these take no argument and return a pointer to a constant of the library.
        Ok(unsafe {
            match (self, key_bytes) {
                (Self::Ecb, 16) => lc::EVP_aes_128_ecb(),
                (Self::Ecb, 24) => lc::EVP_aes_192_ecb(),
                (Self::Ecb, 32) => lc::EVP_aes_256_ecb(),
                (Self::Cbc, 16) => lc::EVP_aes_128_cbc(),
                (Self::Cbc, 24) => lc::EVP_aes_192_cbc(),
                (Self::Cbc, 32) => lc::EVP_aes_256_cbc(),
                (Self::Ctr, 16) => lc::EVP_aes_128_ctr(),
                (Self::Ctr, 24) => lc::EVP_aes_192_ctr(),
                (Self::Ctr, 32) => lc::EVP_aes_256_ctr(),
                (Self::Gcm, 16) => lc::EVP_aes_128_gcm(),
                (Self::Gcm, 24) => lc::EVP_aes_192_gcm(),
                (Self::Gcm, 32) => lc::EVP_aes_256_gcm(),
                (Self::Ccm, 16) => lc::EVP_aes_128_ccm(),
                (Self::Ccm, 24) => lc::EVP_aes_192_ccm(),
                (Self::Ccm, 32) => lc::EVP_aes_256_ccm(),
                _ => return Err(Error::BadKey),
            }
        })
    }

    /// Bytes of the IV of modes where it is fixed.
    fn iv_bytes(self) -> Option<usize> {
        match self {
            Self::Ecb => Some(0),
            Self::Cbc | Self::Ctr => Some(16),
            Self::Gcm | Self::Ccm => None,
        }
    }
}

/// What the last step of an AEAD needs.
pub(crate) enum Tag<'a> {
    /// Encryption: this many bytes will be made.
    Made(usize),
    /// Decryption: the tag to compare with.
    Expected(&'a [u8]),
}

owner!(
    /// A running AES encryption or decryption.
    AesState, lc::EVP_CIPHER_CTX, lc::EVP_CIPHER_CTX_free
);

/// The longest input of one call: lengths are C `int`, and block modes need room for another block.
const LONGEST_UPDATE: usize = 1 << 30;

impl AesState {
    fn empty() -> Result<Self, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        Self::adopt(unsafe { lc::EVP_CIPHER_CTX_new() }, Error::Library)
    }

    fn init(
        &mut self,
        cipher: *const lc::EVP_CIPHER,
        key: *const u8,
        iv: *const u8,
        encrypt: bool,
    ) -> Result<(), Error> {
        // SAFETY: called by the constructors below only. The context is valid. `cipher` is null (then one was set
        // before) or a constant of the library; `key` and `iv` are null or as long as the context's cipher and settings
        // take.
        let status = unsafe {
            lc::EVP_CipherInit_ex(
                self.as_ptr(),
                cipher,
                null_mut(),
                key,
                iv,
                c_int::from(encrypt),
            )
        };
        check(status, Error::Library)
    }

    /// ECB, CBC or CTR, without padding.
    pub(crate) fn new(mode: AesMode, encrypt: bool, key: &[u8], iv: &[u8]) -> Result<Self, Error> {
        let cipher = mode.cipher(key.len())?;
        if mode.iv_bytes() != Some(iv.len()) {
            return Err(Error::BadParameter);
        }
        let mut made = Self::empty()?;
        let iv = if iv.is_empty() { null() } else { iv.as_ptr() };
        made.init(cipher, key.as_ptr(), iv, encrypt)?;
        // SAFETY: the context is initialised.
        let status = unsafe { lc::EVP_CIPHER_CTX_set_padding(made.as_ptr(), 0) };
        check(status, Error::Library)?;
        Ok(made)
    }

    /// GCM or CCM. With CCM, `data_bytes` is the length of all the data, which must come in one [`Self::update_into`].
    pub(crate) fn new_aead(
        mode: AesMode,
        key: &[u8],
        iv: &[u8],
        tag: &Tag<'_>,
        aad: &[u8],
        data_bytes: usize,
    ) -> Result<Self, Error> {
        let cipher = mode.cipher(key.len())?;
        if mode.iv_bytes().is_some() {
            return Err(Error::BadParameter);
        }
        let encrypt = matches!(tag, Tag::Made(_));
        let mut made = Self::empty()?;
        made.init(cipher, null(), null(), encrypt)?;
        let iv_bytes = c_int::try_from(iv.len()).map_err(|_| Error::BadParameter)?;
        // SAFETY: the context has its cipher; this control takes a number, and a null pointer.
        let status = unsafe {
            lc::EVP_CIPHER_CTX_ctrl(
                made.as_ptr(),
                lc::EVP_CTRL_AEAD_SET_IVLEN,
                iv_bytes,
                null_mut(),
            )
        };
        check(status, Error::BadParameter)?;
        let (bytes, pointer) = match tag {
            Tag::Made(bytes) => (*bytes, null_mut()),
            Tag::Expected(tag) => (tag.len(), tag.as_ptr().cast::<c_void>().cast_mut()),
        };
        if mode == AesMode::Ccm || !pointer.is_null() {
            let bytes = c_int::try_from(bytes).map_err(|_| Error::BadParameter)?;
            // SAFETY: the context has its cipher. The control reads `bytes` bytes at `pointer` if that is not null: the
            // tag.
            let status = unsafe {
                lc::EVP_CIPHER_CTX_ctrl(made.as_ptr(), lc::EVP_CTRL_AEAD_SET_TAG, bytes, pointer)
            };
            check(status, Error::BadParameter)?;
        }
        made.init(null(), key.as_ptr(), iv.as_ptr(), encrypt)?;
        if mode == AesMode::Ccm {
            let bytes = c_int::try_from(data_bytes).map_err(|_| Error::TooLong)?;
            let mut written = 0;
            // SAFETY: the context is initialised. Two null pointers tell CCM the length of the data; nothing is read or
            // written.
            let status = unsafe {
                lc::EVP_CipherUpdate(made.as_ptr(), null_mut(), &mut written, null(), bytes)
            };
            check(status, Error::Library)?;
            if aad.len() > LONGEST_UPDATE {
                return Err(Error::TooLong);
            }
        }
        for part in aad.chunks(LONGEST_UPDATE) {
            let mut written = 0;
            // SAFETY: the context is initialised. A null output means additional data; a chunk's length fits a C int.
            let status = unsafe {
                lc::EVP_CipherUpdate(
                    made.as_ptr(),
                    null_mut(),
                    &mut written,
                    part.as_ptr(),
                    part.len() as c_int,
                )
            };
            check(status, Error::TooLong)?;
        }
        Ok(made)
    }

    /// Appends what comes of `input` to `out`. With GCM and CCM, an error in decryption may leave unverified bytes in
    /// the spare capacity of `out`.
    pub(crate) fn update_into(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        error: Error,
    ) -> Result<(), Error> {
        out.try_reserve(input.len() + 16)
            .map_err(|_| Error::TooLong)?;
        for part in input.chunks(LONGEST_UPDATE) {
            self.update_part(part, out, error)?;
        }
        Ok(())
    }

    /// As [`Self::update_into`] for at most [`LONGEST_UPDATE`] bytes, also for none: CCM needs the call.
    pub(crate) fn update_part(
        &mut self,
        part: &[u8],
        out: &mut Vec<u8>,
        error: Error,
    ) -> Result<(), Error> {
        if part.len() > LONGEST_UPDATE {
            return Err(Error::TooLong);
        }
        out.try_reserve(part.len() + 16)
            .map_err(|_| Error::TooLong)?;
        let mut written: c_int = 0;
        // SAFETY: the context is initialised. The spare capacity holds the input's length and one block more, which is
        // the most that is written; input and output do not overlap, being a shared and a mutable borrow.
        let status = unsafe {
            lc::EVP_CipherUpdate(
                self.as_ptr(),
                out.spare_capacity_mut().as_mut_ptr().cast(),
                &mut written,
                part.as_ptr(),
                part.len() as c_int,
            )
        };
        check(status, error)?;
        let written = usize::try_from(written).map_err(|_| Error::Library)?;
        debug_assert!(written <= part.len() + 16);
        // SAFETY: the call above initialised `written` bytes after the old length, within the capacity.
        unsafe { out.set_len(out.len() + written) };
        Ok(())
    }

    /// Ends GCM: makes the tag, or verifies the expected one.
    pub(crate) fn finish_gcm(&mut self, error: Error) -> Result<(), Error> {
        let mut out = [0; 16];
        let mut written = 0;
        // SAFETY: the context is initialised; GCM writes nothing here, and `out` would hold a block.
        let status =
            unsafe { lc::EVP_CipherFinal_ex(self.as_ptr(), out.as_mut_ptr(), &mut written) };
        check(status, error)
    }

    /// The tag after encryption, 16 bytes at most; with CCM of the length given at the start.
    pub(crate) fn tag(&mut self, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; bytes];
        let bytes = c_int::try_from(bytes).map_err(|_| Error::BadParameter)?;
        // SAFETY: the context is initialised; the control writes `bytes` bytes, the length of `out`.
        let status = unsafe {
            lc::EVP_CIPHER_CTX_ctrl(
                self.as_ptr(),
                lc::EVP_CTRL_AEAD_GET_TAG,
                bytes,
                out.as_mut_ptr().cast(),
            )
        };
        check(status, Error::BadParameter)?;
        Ok(out)
    }
}

/// An expanded AES key, for key wrapping.
pub(crate) struct AesKey(Box<lc::AES_KEY>);

impl Drop for AesKey {
    fn drop(&mut self) {
        let bytes = size_of::<lc::AES_KEY>();
        // SAFETY: overwrites the owned structure, plain numbers, with zeros.
        unsafe { lc::OPENSSL_cleanse(std::ptr::from_mut(&mut *self.0).cast(), bytes) }
    }
}

impl AesKey {
    /// A key of 16, 24 or 32 bytes, expanded for encryption or decryption.
    pub(crate) fn new(key: &[u8], encrypt: bool) -> Result<Self, Error> {
        let bits = match key.len() {
            16 => 128,
            24 => 192,
            32 => 256,
            _ => return Err(Error::BadKey),
        };
        let mut made = Self(Box::new(lc::AES_KEY {
            rd_key: [0; 60],
            rounds: 0,
        }));
        // SAFETY: the key has `bits` bits; the structure is owned.
        let status = unsafe {
            if encrypt {
                lc::AES_set_encrypt_key(key.as_ptr(), bits, &mut *made.0)
            } else {
                lc::AES_set_decrypt_key(key.as_ptr(), bits, &mut *made.0)
            }
        };
        if status != 0 {
            return Err(Error::Library);
        }
        Ok(made)
    }

    /// RFC 3394, with its default IV unless one is given.
    pub(crate) fn wrap(&self, iv: Option<&[u8; 8]>, data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; data.len() + 8];
        // SAFETY: an expanded key; the IV has 8 bytes, or is null for the default one; the output is 8 bytes longer
        // than the input, as it must be.
        let written = unsafe {
            lc::AES_wrap_key(
                &*self.0,
                iv.map_or(null(), |it| it.as_ptr()),
                out.as_mut_ptr(),
                data.as_ptr(),
                data.len(),
            )
        };
        if usize::try_from(written) != Ok(out.len()) {
            clear_errors();
            return Err(Error::BadLength);
        }
        Ok(out)
    }

    /// The inverse of [`Self::wrap`].
    pub(crate) fn unwrap(
        &self,
        iv: Option<&[u8; 8]>,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::new(vec![0; data.len().saturating_sub(8)]);
        // SAFETY: an expanded key; the IV has 8 bytes, or is null for the default one; 8 bytes less than the input are
        // written, and nothing if the input is shorter than 24.
        let written = unsafe {
            lc::AES_unwrap_key(
                &*self.0,
                iv.map_or(null(), |it| it.as_ptr()),
                out.as_mut_ptr(),
                data.as_ptr(),
                data.len(),
            )
        };
        if usize::try_from(written) != Ok(out.len()) {
            clear_errors();
            return Err(Error::DecryptFailed);
        }
        Ok(out)
    }

    /// RFC 5649.
    pub(crate) fn wrap_padded(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; data.len().next_multiple_of(8) + 8];
        let mut written = 0;
        // SAFETY: an expanded key; pointer and length of one slice, twice.
        let status = unsafe {
            lc::AES_wrap_key_padded(
                &*self.0,
                out.as_mut_ptr(),
                &mut written,
                out.len(),
                data.as_ptr(),
                data.len(),
            )
        };
        check(status, Error::BadLength)?;
        out.truncate(written);
        Ok(out)
    }

    /// The inverse of [`Self::wrap_padded`].
    pub(crate) fn unwrap_padded(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::new(vec![0; data.len()]);
        let mut written = 0;
        // SAFETY: an expanded key; pointer and length of one slice, twice.
        let status = unsafe {
            lc::AES_unwrap_key_padded(
                &*self.0,
                out.as_mut_ptr(),
                &mut written,
                out.len(),
                data.as_ptr(),
                data.len(),
            )
        };
        check(status, Error::DecryptFailed)?;
        out.truncate(written);
        Ok(out)
    }
}

// --------------------------------------------------------------------------------------------------------- large numbers

owner!(
    /// A large number, wiped when freed.
    Number, lc::BIGNUM, lc::BN_clear_free
);

impl Number {
    /// From big-endian bytes.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Error> {
        // SAFETY: pointer and length of one slice; a null target allocates, and the caller owns the result.
        let made = unsafe { lc::BN_bin2bn(bytes.as_ptr(), bytes.len(), null_mut()) };
        Self::adopt(made, Error::Library)
    }
}

/// Big-endian bytes of `number`, which is null or valid, padded in front to `width`, or its own width without one.
///
/// # Safety
/// `number` is null or points to a number that lives as long as the call.
unsafe fn number_bytes(
    number: *const lc::BIGNUM,
    width: Option<usize>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if number.is_null() {
        return Ok(Zeroizing::default());
    }
    // SAFETY: not null, and valid by the contract.
    let width = width.unwrap_or_else(|| unsafe { lc::BN_num_bytes(number) } as usize);
    let mut out = Zeroizing::new(vec![0; width]);
    // SAFETY: the same; pointer and length of one slice. It fails if the number is wider.
    let status = unsafe { lc::BN_bn2bin_padded(out.as_mut_ptr(), width, number) };
    check(status, Error::Library)?;
    Ok(out)
}

// ------------------------------------------------------------------------------------------------------------------- RSA

/// A padding that aws-lc adds or takes away itself.
#[derive(Clone, Copy)]
pub(crate) enum RsaPadding {
    /// The caller's block is as long as the modulus.
    None,
    /// PKCS#1 v1.5: type 1 with the private key, type 2 with the public one.
    Pkcs1,
}

impl RsaPadding {
    fn number(self) -> c_int {
        match self {
            Self::None => lc::RSA_NO_PADDING,
            Self::Pkcs1 => lc::RSA_PKCS1_PADDING,
        }
    }
}

owner!(
    /// An RSA key.
    Rsa, lc::RSA, lc::RSA_free
);

// SAFETY: rsa.h calls operations with a key non-mutating and safe to run at once; the blindings and Montgomery values
// that are made on first use are behind the key's own lock (freeze_private_key, rsa_blinding_get and
// BN_MONT_CTX_set_locked in rsa_impl.c). Nothing here changes a key after it was made.
unsafe impl Sync for Rsa {}

impl Rsa {
    /// Any odd exponent below the modulus.
    pub(crate) fn public(n: &[u8], e: &[u8]) -> Result<Self, Error> {
        let (n, e) = (Number::new(n)?, Number::new(e)?);
        // SAFETY: two valid numbers, which are copied; the caller owns the result.
        let made = unsafe { lc::RSA_new_public_key_large_e(n.as_ptr(), e.as_ptr()) };
        Self::adopt(made, Error::BadKey)
    }

    /// From n, e, d, p, q, dp, dq, qinv, which aws-lc checks against each other.
    pub(crate) fn private(numbers: [&[u8]; 8]) -> Result<Self, Error> {
        let [n, e, d, p, q, dp, dq, qinv] = numbers.map(Number::new);
        let (n, e, d, p, q, dp, dq, qinv) = (n?, e?, d?, p?, q?, dp?, dq?, qinv?);
        // SAFETY: eight valid numbers, which are copied; the caller owns the result.
        let made = unsafe {
            lc::RSA_new_private_key_large_e(
                n.as_ptr(),
                e.as_ptr(),
                d.as_ptr(),
                p.as_ptr(),
                q.as_ptr(),
                dp.as_ptr(),
                dq.as_ptr(),
                qinv.as_ptr(),
            )
        };
        Self::adopt(made, Error::BadKey)
    }

    /// From n, e, d. The exponent has at most 33 bits. Nothing compares d with e.
    pub(crate) fn private_without_primes(n: &[u8], e: &[u8], d: &[u8]) -> Result<Self, Error> {
        let (n, e, d) = (Number::new(n)?, Number::new(e)?, Number::new(d)?);
        // SAFETY: three valid numbers, which are copied; the caller owns the result.
        let made = unsafe { lc::RSA_new_private_key_no_crt(n.as_ptr(), e.as_ptr(), d.as_ptr()) };
        Self::adopt(made, Error::BadKey)
    }

    /// A new key; `bits` is a multiple of 128.
    pub(crate) fn generate(bits: u32, e: &[u8]) -> Result<Self, Error> {
        let bits = c_int::try_from(bits).map_err(|_| Error::BadParameter)?;
        let e = Number::new(e)?;
        // SAFETY: takes no argument; the caller owns the result.
        let made = Self::adopt(unsafe { lc::RSA_new() }, Error::Library)?;
        // SAFETY: a fresh key, a valid number, no callback.
        let status =
            unsafe { lc::RSA_generate_key_ex(made.as_ptr(), bits, e.as_ptr(), null_mut()) };
        check(status, Error::BadParameter)?;
        Ok(made)
    }

    /// n, e, d, p, q, dp, dq, qinv; what the key lacks is empty.
    pub(crate) fn numbers(&self) -> Result<[Zeroizing<Vec<u8>>; 8], Error> {
        let mut all: [*const lc::BIGNUM; 8] = [null(); 8];
        let [n, e, d, p, q, dp, dq, qinv] = &mut all;
        // SAFETY: a valid key; each call stores pointers into the key, or null.
        unsafe {
            lc::RSA_get0_key(self.as_ptr(), n, e, d);
            lc::RSA_get0_factors(self.as_ptr(), p, q);
            lc::RSA_get0_crt_params(self.as_ptr(), dp, dq, qinv);
        }
        let mut out: [Zeroizing<Vec<u8>>; 8] = Default::default();
        for (bytes, number) in out.iter_mut().zip(all) {
            // SAFETY: null or a number of the key, which lives as long as `self`.
            *bytes = unsafe { number_bytes(number, None) }?;
        }
        Ok(out)
    }

    /// Bytes of the modulus.
    pub(crate) fn bytes(&self) -> usize {
        // SAFETY: a valid key.
        unsafe { lc::RSA_size(self.as_ptr()) as usize }
    }

    /// The private operation on a block that aws-lc pads: blinded, and checked with the public exponent.
    pub(crate) fn sign_raw(&self, input: &[u8], padding: RsaPadding) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.bytes()];
        let mut written = 0;
        // SAFETY: a valid key; pointer and length of one slice, twice.
        let status = unsafe {
            lc::RSA_sign_raw(
                self.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                input.as_ptr(),
                input.len(),
                padding.number(),
            )
        };
        check(status, Error::BadParameter)?;
        out.truncate(written);
        Ok(out)
    }

    /// The private operation on a block as long as the modulus: blinded, and checked with the public exponent.
    pub(crate) fn decrypt_raw(&self, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::new(vec![0; self.bytes()]);
        let mut written = 0;
        // SAFETY: a valid key; pointer and length of one slice, twice.
        let status = unsafe {
            lc::RSA_decrypt(
                self.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                input.as_ptr(),
                input.len(),
                lc::RSA_NO_PADDING,
            )
        };
        check(status, Error::DecryptFailed)?;
        Ok(out)
    }

    /// The public operation on a signature, and the padding taken away.
    pub(crate) fn verify_raw(
        &self,
        signature: &[u8],
        padding: RsaPadding,
    ) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.bytes()];
        let mut written = 0;
        // SAFETY: a valid key; pointer and length of one slice, twice.
        let status = unsafe {
            lc::RSA_verify_raw(
                self.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                signature.as_ptr(),
                signature.len(),
                padding.number(),
            )
        };
        check(status, Error::BadSignature)?;
        out.truncate(written);
        Ok(out)
    }

    /// The public operation on a message that aws-lc pads.
    pub(crate) fn encrypt(&self, input: &[u8], padding: RsaPadding) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.bytes()];
        let mut written = 0;
        // SAFETY: a valid key; pointer and length of one slice, twice.
        let status = unsafe {
            lc::RSA_encrypt(
                self.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                input.as_ptr(),
                input.len(),
                padding.number(),
            )
        };
        check(status, Error::BadParameter)?;
        Ok(out)
    }

    /// PSS (RFC 8017); `digest` is of `hash`.
    pub(crate) fn sign_pss(
        &self,
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        digest: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let salt_bytes = c_int::try_from(salt_bytes).map_err(|_| Error::BadParameter)?;
        let mut out = vec![0; self.bytes()];
        let mut written = 0;
        // SAFETY: a valid key; pointer and length of one slice, twice; constants of the library. The digest's length is
        // compared with the hash before it is read; the salt's length is not negative, so that it has no special
        // meaning.
        let status = unsafe {
            lc::RSA_sign_pss_mgf1(
                self.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                digest.as_ptr(),
                digest.len(),
                hash.md(),
                mgf.md(),
                salt_bytes,
            )
        };
        check(status, Error::BadParameter)?;
        Ok(out)
    }

    /// Whether `signature` is one by [`Self::sign_pss`].
    pub(crate) fn verify_pss(
        &self,
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        digest: &[u8],
        signature: &[u8],
    ) -> bool {
        let Ok(salt_bytes) = c_int::try_from(salt_bytes) else {
            return false;
        };
        // SAFETY: as in `sign_pss`.
        let status = unsafe {
            lc::RSA_verify_pss_mgf1(
                self.as_ptr(),
                digest.as_ptr(),
                digest.len(),
                hash.md(),
                mgf.md(),
                salt_bytes,
                signature.as_ptr(),
                signature.len(),
            )
        };
        check(status, Error::BadSignature).is_ok()
    }

    /// OAEP (RFC 8017).
    pub(crate) fn encrypt_oaep(
        &self,
        hash: Hash,
        mgf: Hash,
        label: &[u8],
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut block = Zeroizing::new(vec![0; self.bytes()]);
        // SAFETY: pointer and length of one slice, three times; constants of the library.
        let status = unsafe {
            lc::RSA_padding_add_PKCS1_OAEP_mgf1(
                block.as_mut_ptr(),
                block.len(),
                message.as_ptr(),
                message.len(),
                label.as_ptr(),
                label.len(),
                hash.md(),
                mgf.md(),
            )
        };
        check(status, Error::TooLong)?;
        self.encrypt(&block, RsaPadding::None)
    }

    /// The inverse of [`Self::encrypt_oaep`].
    pub(crate) fn decrypt_oaep(
        &self,
        hash: Hash,
        mgf: Hash,
        label: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        let key = Key::adopt(unsafe { lc::EVP_PKEY_new() }, Error::Library)?;
        // SAFETY: both are valid; the reference that this adds to the key is given back with `key`.
        let status = unsafe { lc::EVP_PKEY_set1_RSA(key.as_ptr(), self.as_ptr()) };
        check(status, Error::Library)?;
        let context = key.context()?;
        let mut out = Zeroizing::new(vec![0; self.bytes()]);
        let mut written = out.len();
        // SAFETY: a valid context of an RSA key; constants of the library; pointer and length of one slice, twice. The
        // label is a copy by aws-lc's allocator: set0 owns it after success, and after a failure it is freed here. A
        // null label means an empty one.
        let status = unsafe {
            let copy: *mut u8 = if label.is_empty() {
                null_mut()
            } else {
                lc::OPENSSL_memdup(label.as_ptr().cast(), label.len()).cast()
            };
            if copy.is_null() && !label.is_empty() {
                return Err(Error::Library);
            }
            let set = lc::EVP_PKEY_decrypt_init(context.as_ptr()) == 1
                && lc::EVP_PKEY_CTX_set_rsa_padding(context.as_ptr(), lc::RSA_PKCS1_OAEP_PADDING)
                    == 1
                && lc::EVP_PKEY_CTX_set_rsa_oaep_md(context.as_ptr(), hash.md()) == 1
                && lc::EVP_PKEY_CTX_set_rsa_mgf1_md(context.as_ptr(), mgf.md()) == 1
                && lc::EVP_PKEY_CTX_set0_rsa_oaep_label(context.as_ptr(), copy, label.len()) == 1;
            if !set {
                lc::OPENSSL_free(copy.cast());
                clear_errors();
                return Err(Error::Library);
            }
            lc::EVP_PKEY_decrypt(
                context.as_ptr(),
                out.as_mut_ptr(),
                &mut written,
                ciphertext.as_ptr(),
                ciphertext.len(),
            )
        };
        check(status, Error::DecryptFailed)?;
        out.truncate(written);
        Ok(out)
    }
}

// ------------------------------------------------------------------------------------------------------- elliptic curves

impl Curve {
    fn group(self) -> *const lc::EC_GROUP {
        // SAFETY: these take no argument and return a pointer to a constant of the library.
        unsafe {
            match self {
                Self::P256 => lc::EC_group_p256(),
                Self::P384 => lc::EC_group_p384(),
                Self::P521 => lc::EC_group_p521(),
                Self::Secp256k1 => lc::EC_group_secp256k1(),
            }
        }
    }
}

owner!(
    /// A point of a curve.
    Point, lc::EC_POINT, lc::EC_POINT_free
);

impl Point {
    fn empty(curve: Curve) -> Result<Self, Error> {
        // SAFETY: a constant of the library; the caller owns the result.
        Self::adopt(unsafe { lc::EC_POINT_new(curve.group()) }, Error::Library)
    }

    /// From its encoding, if that is a point of the curve.
    fn decode(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        let made = Self::empty(curve)?;
        // SAFETY: a constant of the library, a valid point of it; pointer and length of one slice; a null context
        // allocates one.
        let status = unsafe {
            lc::EC_POINT_oct2point(
                curve.group(),
                made.as_ptr(),
                bytes.as_ptr(),
                bytes.len(),
                null_mut(),
            )
        };
        check(status, Error::BadKey)?;
        Ok(made)
    }
}

owner!(
    /// A signature by ECDSA.
    EcdsaSignature, lc::ECDSA_SIG, lc::ECDSA_SIG_free
);

owner!(
    /// A key of a curve, with its public point, and the private scalar if it is a private key.
    EcKey, lc::EC_KEY, lc::EC_KEY_free
);

// SAFETY: operations take the key as const and nothing in it is made on first use; nothing here changes a key after it
// was made.
unsafe impl Sync for EcKey {}

impl EcKey {
    fn empty(curve: Curve) -> Result<Self, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        let made = Self::adopt(unsafe { lc::EC_KEY_new() }, Error::Library)?;
        // SAFETY: a fresh key; a constant of the library.
        let status = unsafe { lc::EC_KEY_set_group(made.as_ptr(), curve.group()) };
        check(status, Error::Library)?;
        Ok(made)
    }

    /// From the scalar, 1 to the order less 1.
    pub(crate) fn private(curve: Curve, scalar: &[u8]) -> Result<Self, Error> {
        let made = Self::empty(curve)?;
        let scalar = Number::new(scalar)?;
        // SAFETY: a valid key with its group; a valid number, which is copied.
        let status = unsafe { lc::EC_KEY_set_private_key(made.as_ptr(), scalar.as_ptr()) };
        check(status, Error::BadKey)?;
        let point = Point::empty(curve)?;
        // SAFETY: a point of the same constant group and a valid number; null for the second factor and for the
        // context.
        let status = unsafe {
            lc::EC_POINT_mul(
                curve.group(),
                point.as_ptr(),
                scalar.as_ptr(),
                null(),
                null(),
                null_mut(),
            )
        };
        check(status, Error::BadKey)?;
        // SAFETY: a valid key and a point of its group, which is copied.
        let status = unsafe { lc::EC_KEY_set_public_key(made.as_ptr(), point.as_ptr()) };
        check(status, Error::BadKey)?;
        Ok(made)
    }

    /// From the encoding of a point.
    pub(crate) fn public(curve: Curve, point: &[u8]) -> Result<Self, Error> {
        let made = Self::empty(curve)?;
        let point = Point::decode(curve, point)?;
        // SAFETY: a valid key and a point of its group, which is copied; a key with a public point is checked.
        let status = unsafe { lc::EC_KEY_set_public_key(made.as_ptr(), point.as_ptr()) };
        check(status, Error::BadKey)?;
        // SAFETY: the same key.
        let status = unsafe { lc::EC_KEY_check_key(made.as_ptr()) };
        check(status, Error::BadKey)?;
        Ok(made)
    }

    /// A new key.
    pub(crate) fn generate(curve: Curve) -> Result<Self, Error> {
        let made = Self::empty(curve)?;
        // SAFETY: a valid key with its group.
        let status = unsafe { lc::EC_KEY_generate_key(made.as_ptr()) };
        check(status, Error::Library)?;
        Ok(made)
    }

    /// The private scalar, as wide as the order.
    pub(crate) fn scalar(&self, curve: Curve) -> Result<Zeroizing<Vec<u8>>, Error> {
        // SAFETY: a valid key; the number, or null, belongs to it.
        unsafe {
            let number = lc::EC_KEY_get0_private_key(self.as_ptr());
            number_bytes(number, Some(curve.bytes()))
        }
    }

    /// The public point, uncompressed.
    pub(crate) fn point(&self, curve: Curve) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; 1 + 2 * curve.bytes()];
        // SAFETY: a valid key with a public point of that group; pointer and length of one slice; a null context
        // allocates one.
        let written = unsafe {
            lc::EC_POINT_point2oct(
                curve.group(),
                lc::EC_KEY_get0_public_key(self.as_ptr()),
                lc::point_conversion_form_t::POINT_CONVERSION_UNCOMPRESSED,
                out.as_mut_ptr(),
                out.len(),
                null_mut(),
            )
        };
        check(c_int::from(written == out.len()), Error::Library)?;
        Ok(out)
    }

    /// ECDSA of `digest`, which is cut to the order's bits: r and s, each as wide as the order.
    pub(crate) fn sign(&self, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Error> {
        // SAFETY: a valid private key; pointer and length of one slice; the caller owns the result.
        let signature = unsafe { lc::ECDSA_do_sign(digest.as_ptr(), digest.len(), self.as_ptr()) };
        let signature = EcdsaSignature::adopt(signature, Error::Library)?;
        let (mut r, mut s) = (null(), null());
        let bytes = curve.bytes();
        let mut out = vec![0; 2 * bytes];
        let (r_out, s_out) = out.split_at_mut(bytes);
        // SAFETY: a valid signature, whose numbers live as long as it; each half of `out` has the length given.
        let written = unsafe {
            lc::ECDSA_SIG_get0(signature.as_ptr(), &mut r, &mut s);
            lc::BN_bn2bin_padded(r_out.as_mut_ptr(), bytes, r) == 1
                && lc::BN_bn2bin_padded(s_out.as_mut_ptr(), bytes, s) == 1
        };
        check(c_int::from(written), Error::Library)?;
        Ok(out)
    }

    /// Whether r and s are a signature of `digest`.
    pub(crate) fn verify(&self, digest: &[u8], r: &[u8], s: &[u8]) -> Result<bool, Error> {
        // SAFETY: takes no argument; the caller owns the result.
        let signature = EcdsaSignature::adopt(unsafe { lc::ECDSA_SIG_new() }, Error::Library)?;
        let (r, s) = (Number::new(r)?, Number::new(s)?);
        // SAFETY: all three are valid; the signature owns the numbers after success, which it has with numbers that are
        // not null.
        let status = unsafe { lc::ECDSA_SIG_set0(signature.as_ptr(), r.as_ptr(), s.as_ptr()) };
        check(status, Error::Library)?;
        std::mem::forget((r, s));
        // SAFETY: a valid key and signature; pointer and length of one slice.
        let status = unsafe {
            lc::ECDSA_do_verify(
                digest.as_ptr(),
                digest.len(),
                signature.as_ptr(),
                self.as_ptr(),
            )
        };
        Ok(check(status, Error::BadSignature).is_ok())
    }

    /// The x coordinate of the product of the private scalar and a point.
    pub(crate) fn agree(&self, curve: Curve, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let peer = Point::decode(curve, peer)?;
        let mut out = Zeroizing::new(vec![0; curve.bytes()]);
        // SAFETY: a valid private key and a point of its group; pointer and length of one slice; without a KDF, x is
        // copied.
        let written = unsafe {
            lc::ECDH_compute_key(
                out.as_mut_ptr().cast(),
                out.len(),
                peer.as_ptr(),
                self.as_ptr(),
                None,
            )
        };
        let whole = usize::try_from(written) == Ok(out.len());
        check(c_int::from(whole), Error::BadKey)?;
        Ok(out)
    }
}

// --------------------------------------------------------------------------------------------------- Ed25519 and X25519

/// How a message goes into Ed25519 (RFC 8032).
#[derive(Clone, Copy)]
pub(crate) enum Ed25519<'a> {
    Pure,
    /// `dom2(0, context)`
    Context(&'a [u8]),
    /// `dom2(1, context)`; the message is its SHA-512 digest, 64 bytes.
    Digest(&'a [u8]),
}

/// The public key, and the private key as aws-lc takes it (seed, then public key), of a seed.
pub(crate) fn ed25519_expand(seed: &[u8; 32]) -> ([u8; 32], Zeroizing<[u8; 64]>) {
    let (mut public, mut private) = ([0; 32], Zeroizing::new([0; 64]));
    // SAFETY: reads 32 bytes, writes 32 and 64: the lengths of the arrays.
    unsafe {
        lc::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr());
    }
    (public, private)
}

pub(crate) fn ed25519_sign(
    private: &[u8; 64],
    message: &[u8],
    how: Ed25519<'_>,
) -> Result<[u8; 64], Error> {
    let mut out = [0; 64];
    let (to, from, bytes) = (out.as_mut_ptr(), message.as_ptr(), message.len());
    let key = private.as_ptr();
    let status = match how {
        // SAFETY: writes 64 bytes, reads a key of 64 bytes and the message.
        Ed25519::Pure => unsafe { lc::ED25519_sign(to, from, bytes, key) },
        // SAFETY: the same, and the context, whose length aws-lc checks.
        Ed25519::Context(it) => unsafe {
            lc::ED25519ctx_sign(to, from, bytes, key, it.as_ptr(), it.len())
        },
        // SAFETY: the same; the digest has the 64 bytes that are read.
        Ed25519::Digest(it) if bytes == 64 => unsafe {
            lc::ED25519ph_sign_digest(to, from, key, it.as_ptr(), it.len())
        },
        Ed25519::Digest(_) => return Err(Error::BadLength),
    };
    check(status, Error::BadParameter)?;
    Ok(out)
}

pub(crate) fn ed25519_verify(
    public: &[u8; 32],
    message: &[u8],
    how: Ed25519<'_>,
    signature: &[u8; 64],
) -> bool {
    let (from, bytes) = (message.as_ptr(), message.len());
    let (signature, key) = (signature.as_ptr(), public.as_ptr());
    let status = match how {
        // SAFETY: reads a signature of 64 bytes, a key of 32 and the message.
        Ed25519::Pure => unsafe { lc::ED25519_verify(from, bytes, signature, key) },
        // SAFETY: the same, and the context, whose length aws-lc checks.
        Ed25519::Context(it) => unsafe {
            lc::ED25519ctx_verify(from, bytes, signature, key, it.as_ptr(), it.len())
        },
        // SAFETY: the same; the digest has the 64 bytes that are read.
        Ed25519::Digest(it) if bytes == 64 => unsafe {
            lc::ED25519ph_verify_digest(from, signature, key, it.as_ptr(), it.len())
        },
        Ed25519::Digest(_) => return false,
    };
    check(status, Error::BadSignature).is_ok()
}

pub(crate) fn x25519_public(private: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    // SAFETY: reads 32 bytes and writes 32.
    unsafe { lc::X25519_public_from_private(out.as_mut_ptr(), private.as_ptr()) }
    out
}

/// The shared value; an all-zero one is an error.
pub(crate) fn x25519(private: &[u8; 32], peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut out = Zeroizing::new([0; 32]);
    // SAFETY: reads 32 bytes twice and writes 32.
    let status = unsafe { lc::X25519(out.as_mut_ptr(), private.as_ptr(), peer.as_ptr()) };
    check(status, Error::BadKey)?;
    Ok(out)
}

// ---------------------------------------------------------------------------------------------- keys behind the EVP interface

/// The number of a parameter set of ML-KEM.
pub(crate) fn kem_nid(set: ml_kem::ParameterSet) -> c_int {
    match set {
        ml_kem::ParameterSet::MlKem512 => lc::NID_MLKEM512,
        ml_kem::ParameterSet::MlKem768 => lc::NID_MLKEM768,
        ml_kem::ParameterSet::MlKem1024 => lc::NID_MLKEM1024,
    }
}

// Signatures of mu with random bytes that the caller gives. aws-lc exports these functions and aws-lc-sys does not declare
// them (aws-lc/crypto/fipsmodule/ml_dsa/ml_dsa.h). The number in the names is the version of aws-lc-sys: with another version
// nothing links until the names here follow, and until somebody has looked whether the declarations still fit.
unsafe extern "C" {
    #[link_name = "aws_lc_0_47_0_ml_dsa_extmu_44_sign_internal"]
    fn ml_dsa_extmu_44_sign_internal(
        private: *const u8,
        signature: *mut u8,
        signature_bytes: *mut usize,
        mu: *const u8,
        mu_bytes: usize,
        prefix: *const u8,
        prefix_bytes: usize,
        random: *const u8,
    ) -> c_int;
    #[link_name = "aws_lc_0_47_0_ml_dsa_extmu_65_sign_internal"]
    fn ml_dsa_extmu_65_sign_internal(
        private: *const u8,
        signature: *mut u8,
        signature_bytes: *mut usize,
        mu: *const u8,
        mu_bytes: usize,
        prefix: *const u8,
        prefix_bytes: usize,
        random: *const u8,
    ) -> c_int;
    #[link_name = "aws_lc_0_47_0_ml_dsa_extmu_87_sign_internal"]
    fn ml_dsa_extmu_87_sign_internal(
        private: *const u8,
        signature: *mut u8,
        signature_bytes: *mut usize,
        mu: *const u8,
        mu_bytes: usize,
        prefix: *const u8,
        prefix_bytes: usize,
        random: *const u8,
    ) -> c_int;
}

/// The number of a parameter set of ML-DSA.
pub(crate) fn dsa_nid(set: ml_dsa::ParameterSet) -> c_int {
    match set {
        ml_dsa::ParameterSet::MlDsa44 => lc::NID_MLDSA44,
        ml_dsa::ParameterSet::MlDsa65 => lc::NID_MLDSA65,
        ml_dsa::ParameterSet::MlDsa87 => lc::NID_MLDSA87,
    }
}

owner!(
    /// A key of RSA, ML-KEM or ML-DSA.
    Key, lc::EVP_PKEY, lc::EVP_PKEY_free
);

// SAFETY: operations with a key run in a context of their own, which takes a counted reference; evp.h calls keys safe
// for that from several threads. Nothing here changes a key after it was made.
unsafe impl Sync for Key {}

owner!(
    /// One operation with a key.
    KeyContext, lc::EVP_PKEY_CTX, lc::EVP_PKEY_CTX_free
);

impl Key {
    fn context(&self) -> Result<KeyContext, Error> {
        // SAFETY: a valid key, to which the context adds a reference; a null engine is the default; the caller owns the
        // result.
        let made = unsafe { lc::EVP_PKEY_CTX_new(self.as_ptr(), null_mut()) };
        KeyContext::adopt(made, Error::Library)
    }

    /// What a getter of raw bytes writes.
    fn raw(
        &self,
        get: unsafe extern "C" fn(*const lc::EVP_PKEY, *mut u8, *mut usize) -> c_int,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut bytes = 0;
        // SAFETY: a valid key; with a null output the getter stores the length.
        let status = unsafe { get(self.as_ptr(), null_mut(), &mut bytes) };
        check(status, Error::Library)?;
        let mut out = Zeroizing::new(vec![0; bytes]);
        // SAFETY: a valid key; pointer and length of one slice.
        let status = unsafe { get(self.as_ptr(), out.as_mut_ptr(), &mut bytes) };
        check(status, Error::Library)?;
        out.truncate(bytes);
        Ok(out)
    }

    /// The encoded public key.
    pub(crate) fn public_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut out = self.raw(lc::EVP_PKEY_get_raw_public_key)?;
        Ok(std::mem::take(&mut *out))
    }

    /// The encoded, expanded private key.
    pub(crate) fn private_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.raw(lc::EVP_PKEY_get_raw_private_key)
    }

    /// From PKCS#8 in DER; of a post-quantum key with a seed.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let mut reader = lc::CBS {
            data: der.as_ptr(),
            len: der.len(),
        };
        // SAFETY: the reader has pointer and length of one slice; the caller owns the result.
        let made = unsafe { lc::EVP_parse_private_key(&mut reader) };
        Self::adopt(made, Error::BadKey)
    }

    /// ML-KEM (`nid`) from the encodings of both halves, which must fit together.
    pub(crate) fn kem_pair(nid: c_int, public: &[u8], private: &[u8]) -> Result<Self, Error> {
        // SAFETY: pointer and length of one slice, twice; the lengths are compared with the parameter set's; the caller
        // owns the result.
        let made = unsafe {
            lc::EVP_PKEY_kem_new_raw_key(
                nid,
                public.as_ptr(),
                public.len(),
                private.as_ptr(),
                private.len(),
            )
        };
        Self::adopt(made, Error::BadKey)?.checked_kem()
    }

    /// ML-KEM (`nid`) from the encoding of the public key.
    pub(crate) fn kem_public(nid: c_int, public: &[u8]) -> Result<Self, Error> {
        // SAFETY: as in `kem_pair`.
        let made =
            unsafe { lc::EVP_PKEY_kem_new_raw_public_key(nid, public.as_ptr(), public.len()) };
        Self::adopt(made, Error::BadKey)?.checked_kem()
    }

    /// The checks of FIPS 203, 7.2 and 7.3, and an encapsulation with a decapsulation if there is a private key.
    fn checked_kem(self) -> Result<Self, Error> {
        let context = self.context()?;
        // SAFETY: a valid context of a key of a KEM, which is only read. It also checks the private half if there is
        // one.
        let status = unsafe { lc::EVP_PKEY_public_check(context.as_ptr()) };
        check(status, Error::BadKey)?;
        Ok(self)
    }

    /// A ciphertext of `ciphertext_bytes`, and the 32 bytes of the secret in it.
    pub(crate) fn encapsulate(
        &self,
        ciphertext_bytes: usize,
    ) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Error> {
        let context = self.context()?;
        let (mut ciphertext, mut secret) = (vec![0; ciphertext_bytes], Zeroizing::new(vec![0; 32]));
        let (mut bytes, mut secret_bytes) = (ciphertext.len(), secret.len());
        // SAFETY: a valid context; pointer and length of one slice, twice; the lengths are compared before anything is
        // written.
        let status = unsafe {
            lc::EVP_PKEY_encapsulate(
                context.as_ptr(),
                ciphertext.as_mut_ptr(),
                &mut bytes,
                secret.as_mut_ptr(),
                &mut secret_bytes,
            )
        };
        check(status, Error::Library)?;
        Ok((ciphertext, secret))
    }

    /// The secret in a ciphertext; of a wrong ciphertext, one that nobody knows (implicit rejection).
    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let context = self.context()?;
        let mut secret = Zeroizing::new(vec![0; 32]);
        let mut bytes = secret.len();
        // SAFETY: a valid context; pointer and length of one slice, twice; the ciphertext's length is compared before
        // it is read.
        let status = unsafe {
            lc::EVP_PKEY_decapsulate(
                context.as_ptr(),
                secret.as_mut_ptr(),
                &mut bytes,
                ciphertext.as_ptr(),
                ciphertext.len(),
            )
        };
        check(status, Error::BadLength)?;
        Ok(secret)
    }

    /// ML-DSA (`nid`) from a seed or an expanded private key, told apart by their lengths.
    pub(crate) fn dsa_private(nid: c_int, bytes: &[u8]) -> Result<Self, Error> {
        // SAFETY: pointer and length of one slice; the length is compared with the parameter set's; the caller owns the
        // result.
        let made =
            unsafe { lc::EVP_PKEY_pqdsa_new_raw_private_key(nid, bytes.as_ptr(), bytes.len()) };
        Self::adopt(made, Error::BadKey)
    }

    /// ML-DSA (`nid`) from the encoding of the public key.
    pub(crate) fn dsa_public(nid: c_int, bytes: &[u8]) -> Result<Self, Error> {
        // SAFETY: as in `dsa_private`.
        let made =
            unsafe { lc::EVP_PKEY_pqdsa_new_raw_public_key(nid, bytes.as_ptr(), bytes.len()) };
        Self::adopt(made, Error::BadKey)
    }

    /// ML-DSA, hedged, of the message representative mu (FIPS 204, algorithm 7), 64 bytes.
    pub(crate) fn dsa_sign(&self, signature_bytes: usize, mu: &[u8; 64]) -> Result<Vec<u8>, Error> {
        let context = self.context()?;
        let mut out = vec![0; signature_bytes];
        let mut bytes = out.len();
        // SAFETY: a valid context; pointer and length of one slice, twice; the lengths are compared before anything is
        // read or written.
        let status = unsafe {
            c_int::from(
                lc::EVP_PKEY_sign_init(context.as_ptr()) == 1
                    && lc::EVP_PKEY_sign(
                        context.as_ptr(),
                        out.as_mut_ptr(),
                        &mut bytes,
                        mu.as_ptr(),
                        mu.len(),
                    ) == 1,
            )
        };
        check(status, Error::BadKey)?;
        out.truncate(bytes);
        Ok(out)
    }

    /// ML-DSA without random bytes, of mu (FIPS 204, algorithm 7, with 32 zeros for rnd). The lattice arithmetic takes the same
    /// time as when it is hedged; what is lost is the protection against faults in the computation.
    pub(crate) fn dsa_sign_deterministic(
        &self,
        set: ml_dsa::ParameterSet,
        mu: &[u8; 64],
    ) -> Result<Vec<u8>, Error> {
        const NO_RANDOM_BYTES: [u8; 32] = [0; 32];
        let private = self.private_bytes()?;
        if private.len() != set.private_bytes() {
            return Err(Error::BadKey);
        }
        let sign = match set {
            ml_dsa::ParameterSet::MlDsa44 => ml_dsa_extmu_44_sign_internal,
            ml_dsa::ParameterSet::MlDsa65 => ml_dsa_extmu_65_sign_internal,
            ml_dsa::ParameterSet::MlDsa87 => ml_dsa_extmu_87_sign_internal,
        };
        let mut out = vec![0; set.signature_bytes()];
        let mut bytes = out.len();
        // SAFETY: the function of the parameter set reads the private key of that set, whose length is checked, and 32 random
        // bytes, and writes a signature of that set; mu is pointer and length of one array; no prefix is read with its
        // length 0.
        let status = unsafe {
            sign(
                private.as_ptr(),
                out.as_mut_ptr(),
                &mut bytes,
                mu.as_ptr(),
                mu.len(),
                null(),
                0,
                NO_RANDOM_BYTES.as_ptr(),
            )
        };
        check(status, Error::Library)?;
        if bytes != out.len() {
            return Err(Error::Library);
        }
        Ok(out)
    }

    /// Whether `signature` is one of the message representative mu.
    pub(crate) fn dsa_verify(&self, mu: &[u8; 64], signature: &[u8]) -> Result<bool, Error> {
        let context = self.context()?;
        // SAFETY: a valid context; pointer and length of one slice, twice; the lengths are compared before anything is
        // read.
        let status = unsafe {
            c_int::from(
                lc::EVP_PKEY_verify_init(context.as_ptr()) == 1
                    && lc::EVP_PKEY_verify(
                        context.as_ptr(),
                        signature.as_ptr(),
                        signature.len(),
                        mu.as_ptr(),
                        mu.len(),
                    ) == 1,
            )
        };
        Ok(check(status, Error::BadSignature).is_ok())
    }
}
