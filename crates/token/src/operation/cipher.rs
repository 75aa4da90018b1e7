//! Encryption and decryption. AES without authentication and the encryption of GCM stream. Everything else is gathered:
//! a plaintext leaves only after its tag or padding was verified.

mod scheme;
mod start;

use slotfs_crypto::aead::GcmEncrypt;
use slotfs_crypto::aes;
pub(crate) use slotfs_crypto::aes::Direction;
use slotfs_crypto::{Error, wipe};
use slotfs_wire::Parameter;
use slotfs_wire::rv::{
    CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_KEY_SIZE_RANGE, CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID,
};
use zeroize::Zeroizing;

use super::{Key, MAX_HELD_BYTES, Prepared, Size, failed, no_parameter, reserve};
use crate::error::{Result, Rv};
use crate::mechanism::{AesMode, Algorithm};
use scheme::{Oaep, Scheme};
use start::aes_work;
pub(super) use start::{check_ccm, gcm_tag_bytes};

const BLOCK: usize = aes::BLOCK_BYTES;

/// A running encryption or decryption.
pub(crate) struct Cipher {
    direction: Direction,
    work: Work,
}

enum Work {
    /// ECB, CBC, CTR.
    Stream {
        cipher: Option<aes::Cipher>,
        mode: AesMode,
        /// Bytes taken so far.
        taken: u64,
    },
    /// GCM, encrypting.
    Gcm {
        running: Option<GcmEncrypt>,
        tag_bytes: usize,
        taken: usize,
    },
    /// What takes all of its data at once.
    Gathered {
        scheme: Scheme,
        key: Key,
        data: Zeroizing<Vec<u8>>,
    },
}

impl Cipher {
    pub(crate) fn new(
        algorithm: Algorithm,
        parameter: &Parameter,
        key: Key,
        direction: Direction,
    ) -> Result<Self> {
        let work = match algorithm {
            Algorithm::Aes(mode) => aes_work(mode, parameter, key, direction)?,
            Algorithm::RsaPkcs(None) | Algorithm::RsaRaw | Algorithm::RsaOaep => {
                let scheme = match algorithm {
                    Algorithm::RsaOaep => Scheme::RsaOaep(Oaep::of(parameter)?),
                    _ => {
                        no_parameter(parameter)?;
                        match algorithm {
                            Algorithm::RsaRaw => Scheme::RsaRaw,
                            _ => Scheme::RsaPkcs,
                        }
                    }
                };
                let modulus = modulus_bytes(&key, direction)?;
                if let Scheme::RsaOaep(oaep) = &scheme
                    && modulus < 2 * oaep.hash.bytes() + 2
                {
                    return Err(Rv(CKR_KEY_SIZE_RANGE));
                }
                Work::gathered(scheme, key)
            }
            _ => return Err(Rv(CKR_MECHANISM_INVALID)),
        };
        Ok(Self { direction, work })
    }

    /// How many bytes an update with `data` bytes puts out.
    pub(super) fn update_bytes(&self, data: usize) -> Result<usize> {
        Ok(match &self.work {
            Work::Stream { mode, taken, .. } => {
                let total = taken
                    .checked_add(data as u64)
                    .ok_or(Rv(CKR_DATA_LEN_RANGE))?;
                let out = |total| self.put_out(*mode, total);
                usize::try_from(out(total) - out(*taken)).map_err(|_| Rv(CKR_DATA_LEN_RANGE))?
            }
            Work::Gcm { .. } => data,
            Work::Gathered { .. } => 0,
        })
    }

    /// How many bytes updates put out in all, after so many.
    fn put_out(&self, mode: AesMode, taken: u64) -> u64 {
        let block = BLOCK as u64;
        match (mode, self.direction) {
            (AesMode::Ctr, _) => taken,
            // Of whole blocks the last one may be padding.
            (AesMode::CbcPad, Direction::Decrypt) => taken.saturating_sub(1) / block * block,
            _ => taken / block * block,
        }
    }

    /// What is left to put out.
    pub(super) fn finish_bytes(&self) -> Result<Size> {
        Ok(match &self.work {
            Work::Stream { mode, .. } => match (mode, self.direction) {
                // The begun block filled up, or a block of padding alone.
                (AesMode::CbcPad, Direction::Encrypt) => Size::Exactly(BLOCK),
                (AesMode::CbcPad, Direction::Decrypt) => Size::AtMost(BLOCK),
                _ => Size::Exactly(0),
            },
            Work::Gcm { tag_bytes, .. } => Size::Exactly(*tag_bytes),
            Work::Gathered { data, .. } => self.whole_bytes(data.len())?,
        })
    }

    /// The output for `data` bytes at once.
    pub(super) fn whole_bytes(&self, data: usize) -> Result<Size> {
        let encrypts = self.direction == Direction::Encrypt;
        let size = match &self.work {
            Work::Stream { mode, .. } => match (mode, encrypts) {
                (AesMode::CbcPad, true) => Size::Exactly(data / BLOCK * BLOCK + BLOCK),
                (AesMode::CbcPad, false) => Size::AtMost(data),
                _ => Size::Exactly(data),
            },
            Work::Gcm { tag_bytes, .. } => Size::Exactly(data.saturating_add(*tag_bytes)),
            Work::Gathered { scheme, key, .. } => match (scheme, encrypts) {
                (Scheme::GcmOpen { tag_bytes, .. }, _) => {
                    Size::Exactly(data.saturating_sub(*tag_bytes))
                }
                (Scheme::Ccm { mac_bytes, .. }, true) => Size::Exactly(data + mac_bytes),
                (Scheme::Ccm { mac_bytes, .. }, false) => {
                    Size::Exactly(data.saturating_sub(*mac_bytes))
                }
                (Scheme::KeyWrap(_), true) => Size::Exactly(data + 8),
                (Scheme::KeyWrap(_), false) => Size::Exactly(data.saturating_sub(8)),
                (Scheme::KeyWrapPkcs7(_), true) => Size::Exactly(data / 8 * 8 + 16),
                (Scheme::Kwp(_), true) => Size::Exactly(data.div_ceil(8) * 8 + 8),
                (Scheme::KeyWrapPkcs7(_) | Scheme::Kwp(_), false) => {
                    Size::AtMost(data.saturating_sub(8))
                }
                (Scheme::RsaRaw, _) | (Scheme::RsaPkcs | Scheme::RsaOaep(_), true) => {
                    Size::Exactly(modulus_bytes(key, self.direction)?)
                }
                (Scheme::RsaPkcs | Scheme::RsaOaep(_), false) => {
                    Size::AtMost(modulus_bytes(key, self.direction)?)
                }
            },
        };
        Ok(size)
    }

    /// Takes a part of the data and appends what is ready to `out`, which has room for it.
    pub(super) fn update(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let too_long = self.too_long();
        match &mut self.work {
            Work::Stream { cipher, taken, .. } => {
                let cipher = cipher.as_mut().ok_or_else(failed)?;
                *taken += data.len() as u64;
                cipher.update_into(data, out).map_err(|error| match error {
                    Error::Overflow | Error::TooLong => too_long,
                    _ => failed(),
                })
            }
            Work::Gcm { running, taken, .. } => {
                *taken = taken.saturating_add(data.len());
                if *taken > MAX_HELD_BYTES {
                    return Err(too_long);
                }
                let running = running.as_mut().ok_or_else(failed)?;
                running.update_into(data, out).map_err(|_| failed())
            }
            Work::Gathered { data: gathered, .. } => {
                // Tag and padding are not counted among the data.
                if gathered.len().saturating_add(data.len()) > MAX_HELD_BYTES + BLOCK {
                    return Err(too_long);
                }
                reserve(gathered, data.len());
                gathered.extend_from_slice(data);
                Ok(())
            }
        }
    }

    /// Appends the rest to `out`, once.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.end(None, out)
    }

    /// Takes the last data and appends the rest to `out`, once. Data that comes at once is not copied first.
    pub(super) fn last(&mut self, data: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Result<()> {
        if let Work::Gathered { data: gathered, .. } = &self.work
            && gathered.is_empty()
        {
            return self.end(Some(data), out);
        }
        self.update(data, out)?;
        reserve(out, self.finish_bytes()?.bytes());
        self.end(None, out)
    }

    /// Appends the rest to `out`: of `data`, or else of what was gathered.
    fn end(&mut self, data: Option<&[u8]>, out: &mut Vec<u8>) -> Result<()> {
        let (direction, bad_length) = (self.direction, self.too_long());
        let error = |error: Error| match error {
            Error::BadLength | Error::TooLong => bad_length,
            Error::DecryptFailed => Rv(CKR_ENCRYPTED_DATA_INVALID),
            Error::BadParameter => Rv(match direction {
                Direction::Encrypt => CKR_DATA_LEN_RANGE,
                Direction::Decrypt => CKR_ENCRYPTED_DATA_INVALID,
            }),
            _ => failed(),
        };
        match &mut self.work {
            Work::Stream { cipher, .. } => {
                let cipher = cipher.take().ok_or_else(failed)?;
                let rest = Zeroizing::new(cipher.finish().map_err(error)?);
                out.extend_from_slice(&rest);
            }
            Work::Gcm { running, .. } => {
                let running = running.take().ok_or_else(failed)?;
                out.extend_from_slice(&running.finish().map_err(error)?);
            }
            Work::Gathered {
                scheme,
                key,
                data: gathered,
            } => {
                let made = match (data, direction) {
                    (Some(data), _) if data.len() > MAX_HELD_BYTES + BLOCK => {
                        return Err(bad_length);
                    }
                    (Some(data), Direction::Encrypt) => scheme.encrypt(key, data, out),
                    (Some(data), Direction::Decrypt) => scheme.decrypt(key, data, out),
                    (None, Direction::Encrypt) => scheme.encrypt(key, gathered, out),
                    (None, Direction::Decrypt) => scheme.decrypt(key, gathered, out),
                };
                wipe(gathered);
                // Nothing is left that its own wiping, byte by byte, would have to go over.
                drop(std::mem::take(&mut **gathered));
                made.map_err(error)?;
            }
        }
        Ok(())
    }

    /// The output of all of `data` at once.
    pub(crate) fn all(&mut self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(Vec::new());
        reserve(&mut out, self.whole_bytes(data.len())?.bytes() + BLOCK);
        self.last(data, &mut out)?;
        Ok(out)
    }

    /// Bytes that were gathered.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.work {
            Work::Gathered { data, .. } => data.capacity(),
            Work::Stream { .. } | Work::Gcm { .. } => 0,
        }
    }

    /// The answer to more data than is taken.
    pub(super) fn too_long(&self) -> Rv {
        Rv(match self.direction {
            Direction::Encrypt => CKR_DATA_LEN_RANGE,
            Direction::Decrypt => CKR_ENCRYPTED_DATA_LEN_RANGE,
        })
    }
}

impl Work {
    fn gathered(scheme: Scheme, key: Key) -> Self {
        let data = Zeroizing::new(Vec::new());
        Self::Gathered { scheme, key, data }
    }
}

/// Bytes of the modulus of the half that a direction takes.
fn modulus_bytes(key: &Prepared, direction: Direction) -> Result<usize> {
    match (key, direction) {
        (Prepared::RsaPrivate(key), Direction::Decrypt) => Ok(key.modulus_bytes()),
        (Prepared::RsaPublic(key), Direction::Encrypt) => Ok(key.modulus_bytes()),
        _ => Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    }
}
