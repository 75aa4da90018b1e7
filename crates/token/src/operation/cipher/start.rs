//! How AES starts: the parameters of each mode.

use slotfs_crypto::Error;
use slotfs_crypto::aead::{self, GcmEncrypt};
use slotfs_crypto::aes::{self, Direction};
use slotfs_object::pkcs11::CKK_AES;
use slotfs_wire::Parameter;
use slotfs_wire::rv::{CKR_KEY_SIZE_RANGE, CKR_MECHANISM_PARAM_INVALID};

use super::super::{Key, failed, no_parameter};
use super::Work;
use super::scheme::Scheme;
use crate::error::{Result, Rv};
use crate::mechanism::AesMode;

/// What a mode does with its key.
pub(super) fn aes_work(
    mode: AesMode,
    parameter: &Parameter,
    key: Key,
    direction: Direction,
) -> Result<Work> {
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
    if !(1..=aead::LONGEST_GCM_IV).contains(&iv.len()) {
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
pub(in super::super) fn gcm_tag_bytes(bits: u64) -> Result<usize> {
    match bits {
        32 | 64 | 96 | 104 | 112 | 120 | 128 => Ok((bits / 8) as usize),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}

/// Refuses lengths that CCM does not have (SP 800-38C appendix A.1).
pub(in super::super) fn check_ccm(nonce: &[u8], mac_bytes: usize) -> Result<()> {
    let fits = (7..=13).contains(&nonce.len())
        && (4..=16).contains(&mac_bytes)
        && mac_bytes.is_multiple_of(2);
    fits.then_some(()).ok_or(Rv(CKR_MECHANISM_PARAM_INVALID))
}
