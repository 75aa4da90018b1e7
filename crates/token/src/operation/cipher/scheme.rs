//! What takes all of its data at once: GCM and CCM, key wrapping, RSA.

use slotfs_crypto::{Error, Hash, aead, wrap};
use slotfs_wire::Parameter;
use slotfs_wire::numbers::CKZ_DATA_SPECIFIED;
use slotfs_wire::rv::CKR_MECHANISM_PARAM_INVALID;

use super::super::Prepared;
use crate::error::{Result, Rv};
use crate::mechanism::hash;

/// A mechanism with its parameters.
pub(super) enum Scheme {
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
pub(super) struct Oaep {
    pub(super) hash: Hash,
    mgf: Hash,
    label: Vec<u8>,
}

impl Oaep {
    /// # Errors
    /// `CKR_MECHANISM_PARAM_INVALID`
    pub(super) fn of(parameter: &Parameter) -> Result<Self> {
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
    /// Appends what comes of all the data to `out`.
    pub(super) fn encrypt(
        &self,
        key: &Prepared,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
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

    /// Appends the plaintext to `out`, once it is verified.
    pub(super) fn decrypt(
        &self,
        key: &Prepared,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
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
