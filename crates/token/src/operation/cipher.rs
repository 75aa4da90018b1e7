//! Encryption and decryption. AES without authentication and the encryption of GCM stream. Everything else is gathered: a plaintext
//! leaves only after its tag or padding was verified.

use slotfs_crypto::aead::{self, GcmEncrypt};
use slotfs_crypto::aes;
pub(crate) use slotfs_crypto::aes::Direction;
use slotfs_crypto::{Error, Hash, wipe, wrap};
use slotfs_object::pkcs11::CKK_AES;
use slotfs_wire::Parameter;
use slotfs_wire::numbers::CKZ_DATA_SPECIFIED;
use slotfs_wire::rv::{
    CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_KEY_SIZE_RANGE, CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
};
use zeroize::Zeroizing;

use super::{Key, MAX_HELD_BYTES, Prepared, Size, failed, no_parameter, reserve};
use crate::error::{Result, Rv};
use crate::mechanism::{AesMode, Algorithm, hash};

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

enum Scheme {
    GcmOpen {
        iv: Vec<u8>,
        aad: Vec<u8>,
        tag_bytes: usize,
    },
    Ccm {
        data_bytes: u64,
        nonce: Vec<u8>,
        aad: Vec<u8>,
        mac_bytes: usize,
    },
    KeyWrap(Option<[u8; 8]>),
    /// PKCS#7 before KW.
    KeyWrapPkcs7(Option<[u8; 8]>),
    /// KWP; with `true`, what PKCS#7 and KW made is unwrapped too.
    Kwp(bool),
    RsaPkcs,
    RsaRaw,
    RsaOaep(Oaep),
}

/// The parameters of OAEP.
pub(crate) struct Oaep {
    hash: Hash,
    mgf: Hash,
    label: Vec<u8>,
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
            Work::Stream { mode, taken, .. } => match (mode, self.direction) {
                (AesMode::CbcPad, Direction::Encrypt) => {
                    Size::Exactly(BLOCK - (taken % BLOCK as u64) as usize)
                }
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

    fn too_long(&self) -> Rv {
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

fn aes_work(mode: AesMode, parameter: &Parameter, key: Key, direction: Direction) -> Result<Work> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let value = key.secret(|key_type| key_type == CKK_AES)?;
    let iv = || match parameter {
        Parameter::Bytes(iv) => iv.as_slice().try_into().map_err(|_| invalid),
        _ => Err(invalid),
    };
    let parts = match mode {
        AesMode::Ecb => {
            no_parameter(parameter)?;
            aes::Mode::Ecb
        }
        AesMode::Cbc => aes::Mode::Cbc { iv: iv()? },
        AesMode::CbcPad => aes::Mode::CbcPad { iv: iv()? },
        AesMode::Ctr => match parameter {
            Parameter::Ctr {
                counter_bits,
                block,
            } => aes::Mode::Ctr {
                block: *block,
                counter_bits: u32::try_from(*counter_bits).map_err(|_| invalid)?,
            },
            _ => return Err(invalid),
        },
        AesMode::Gcm => return gcm_work(parameter, key, direction),
        AesMode::Ccm => {
            let Parameter::Ccm {
                data_bytes,
                nonce,
                aad,
                mac_bytes,
            } = parameter
            else {
                return Err(invalid);
            };
            let mac_bytes = usize::try_from(*mac_bytes).map_err(|_| invalid)?;
            check_ccm(nonce, mac_bytes)?;
            let scheme = Scheme::Ccm {
                data_bytes: *data_bytes,
                nonce: nonce.clone(),
                aad: aad.clone(),
                mac_bytes,
            };
            return Ok(Work::gathered(scheme, key));
        }
        AesMode::KeyWrap => return Ok(Work::gathered(Scheme::KeyWrap(wrap_iv(parameter)?), key)),
        AesMode::KeyWrapPkcs7 => {
            return Ok(Work::gathered(
                Scheme::KeyWrapPkcs7(wrap_iv(parameter)?),
                key,
            ));
        }
        AesMode::Kwp | AesMode::KeyWrapPad => {
            // RFC 5649 section 3: the fixed half of its IV.
            match parameter {
                Parameter::None => {}
                Parameter::Bytes(iv) if iv == &[0xa6, 0x59, 0x59, 0xa6] => {}
                _ => return Err(invalid),
            }
            return Ok(Work::gathered(
                Scheme::Kwp(mode == AesMode::KeyWrapPad),
                key,
            ));
        }
    };
    let cipher = aes::Cipher::new(parts, direction, value).map_err(|error| match error {
        Error::BadKey => Rv(CKR_KEY_SIZE_RANGE),
        Error::BadParameter => invalid,
        _ => failed(),
    })?;
    Ok(Work::Stream {
        cipher: Some(cipher),
        mode,
        taken: 0,
    })
}

fn wrap_iv(parameter: &Parameter) -> Result<Option<[u8; 8]>> {
    match parameter {
        Parameter::None => Ok(None),
        Parameter::Bytes(iv) => {
            let iv = iv.as_slice().try_into();
            iv.map(Some).map_err(|_| Rv(CKR_MECHANISM_PARAM_INVALID))
        }
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}

fn gcm_work(parameter: &Parameter, key: Key, direction: Direction) -> Result<Work> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let Parameter::Gcm {
        iv, aad, tag_bits, ..
    } = parameter
    else {
        return Err(invalid);
    };
    let tag_bytes = gcm_tag_bytes(*tag_bits)?;
    if !(1..=256).contains(&iv.len()) {
        return Err(invalid);
    }
    if direction == Direction::Decrypt {
        let scheme = Scheme::GcmOpen {
            iv: iv.clone(),
            aad: aad.clone(),
            tag_bytes,
        };
        return Ok(Work::gathered(scheme, key));
    }
    let value = key.secret(|key_type| key_type == CKK_AES)?;
    let running = GcmEncrypt::new(value, iv, aad, tag_bytes).map_err(|error| match error {
        Error::BadKey => Rv(CKR_KEY_SIZE_RANGE),
        Error::BadParameter => invalid,
        _ => failed(),
    })?;
    Ok(Work::Gcm {
        running: Some(running),
        tag_bytes,
        taken: 0,
    })
}

/// Bytes of a tag of GCM (SP 800-38D section 5.2.1.2).
pub(super) fn gcm_tag_bytes(bits: u64) -> Result<usize> {
    match bits {
        32 | 64 | 96 | 104 | 112 | 120 | 128 => Ok((bits / 8) as usize),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}

/// Refuses lengths that CCM does not have (SP 800-38C appendix A.1).
pub(super) fn check_ccm(nonce: &[u8], mac_bytes: usize) -> Result<()> {
    let fits = (7..=13).contains(&nonce.len())
        && (4..=16).contains(&mac_bytes)
        && mac_bytes.is_multiple_of(2);
    fits.then_some(()).ok_or(Rv(CKR_MECHANISM_PARAM_INVALID))
}

/// Bytes of the modulus of the half that a direction takes.
fn modulus_bytes(key: &Prepared, direction: Direction) -> Result<usize> {
    match (key, direction) {
        (Prepared::RsaPrivate(key), Direction::Decrypt) => Ok(key.modulus_bytes()),
        (Prepared::RsaPublic(key), Direction::Encrypt) => Ok(key.modulus_bytes()),
        _ => Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    }
}

impl Oaep {
    /// # Errors
    /// `CKR_MECHANISM_PARAM_INVALID`
    pub(crate) fn of(parameter: &Parameter) -> Result<Self> {
        let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
        let Parameter::Oaep(slotfs_wire::Oaep {
            hash: number,
            mgf,
            source,
            label,
        }) = parameter
        else {
            return Err(invalid);
        };
        if *source != CKZ_DATA_SPECIFIED && !(*source == 0 && label.is_empty()) {
            return Err(invalid);
        }
        Ok(Self {
            hash: hash::of_digest(*number).ok_or(invalid)?,
            mgf: hash::of_mgf(*mgf).ok_or(invalid)?,
            label: label.clone(),
        })
    }
}

impl Scheme {
    fn encrypt(&self, key: &Prepared, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let made = match (self, key) {
            (
                Self::Ccm {
                    data_bytes,
                    nonce,
                    aad,
                    mac_bytes,
                },
                Prepared::Secret(key),
            ) => {
                if data.len() as u64 != *data_bytes {
                    return Err(Error::BadLength);
                }
                aead::ccm_seal(&key.value, nonce, aad, data, *mac_bytes)
            }
            (Self::KeyWrap(iv), Prepared::Secret(key)) => {
                wrap::kw_wrap(&key.value, iv.as_ref(), data)
            }
            (Self::KeyWrapPkcs7(iv), Prepared::Secret(key)) => {
                wrap::kw_pad_wrap(&key.value, iv.as_ref(), data)
            }
            (Self::Kwp(_), Prepared::Secret(key)) => wrap::kwp_wrap(&key.value, data),
            (Self::RsaPkcs, Prepared::RsaPublic(key)) => key.encrypt_pkcs1(data),
            (Self::RsaRaw, Prepared::RsaPublic(key)) => key.raw_public(data),
            (Self::RsaOaep(oaep), Prepared::RsaPublic(key)) => {
                key.encrypt_oaep(oaep.hash, oaep.mgf, &oaep.label, data)
            }
            _ => Err(Error::Library),
        };
        out.extend_from_slice(&made?);
        Ok(())
    }

    fn decrypt(&self, key: &Prepared, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let apart = |bytes: usize| {
            let at = data.len().checked_sub(bytes).ok_or(Error::BadLength)?;
            Ok(data.split_at(at))
        };
        let made = match (self, key) {
            (Self::GcmOpen { iv, aad, tag_bytes }, Prepared::Secret(key)) => {
                let (text, tag) = apart(*tag_bytes)?;
                return aead::gcm_open_into(&key.value, iv, aad, text, tag, out);
            }
            (
                Self::Ccm {
                    data_bytes,
                    nonce,
                    aad,
                    mac_bytes,
                },
                Prepared::Secret(key),
            ) => {
                let (text, mac) = apart(*mac_bytes)?;
                // Some applications count the MAC.
                if ![text.len() as u64, data.len() as u64].contains(data_bytes) {
                    return Err(Error::BadLength);
                }
                aead::ccm_open(&key.value, nonce, aad, text, mac)
            }
            (Self::KeyWrap(iv), Prepared::Secret(key)) => {
                wrap::kw_unwrap(&key.value, iv.as_ref(), data)
            }
            (Self::KeyWrapPkcs7(iv), Prepared::Secret(key)) => {
                wrap::kw_pad_unwrap(&key.value, iv.as_ref(), data)
            }
            (Self::Kwp(either), Prepared::Secret(key)) => {
                // The two have different IVs: what one made is never the other's.
                let unwrapped = wrap::kwp_unwrap(&key.value, data);
                match unwrapped {
                    Err(Error::DecryptFailed) if *either => {
                        wrap::kw_pad_unwrap(&key.value, None, data)
                            .map_err(|_| Error::DecryptFailed)
                    }
                    unwrapped => unwrapped,
                }
            }
            (Self::RsaPkcs, Prepared::RsaPrivate(key)) => {
                // One answer, whatever is wrong inside: Bleichenbacher's attack (1998) lives on the difference.
                key.decrypt_pkcs1(data).map_err(|error| match error {
                    Error::BadLength => error,
                    _ => Error::DecryptFailed,
                })
            }
            (Self::RsaRaw, Prepared::RsaPrivate(key)) => {
                if data.len() != key.modulus_bytes() {
                    return Err(Error::BadLength);
                }
                key.raw_private(data)
            }
            (Self::RsaOaep(oaep), Prepared::RsaPrivate(key)) => {
                let opened = key.decrypt_oaep(oaep.hash, oaep.mgf, &oaep.label, data);
                opened.map_err(|error| match error {
                    Error::BadLength => error,
                    _ => Error::DecryptFailed,
                })
            }
            _ => Err(Error::Library),
        };
        out.extend_from_slice(&made?);
        Ok(())
    }
}
