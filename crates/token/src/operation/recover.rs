//! Signatures that hold their data: `C_SignRecover` and `C_VerifyRecover`, with RSA.

use slotfs_wire::Parameter;
use slotfs_wire::rv::{
    CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID, CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
};

use super::sign::Signer;
use super::{Key, Prepared, Size, no_parameter};
use crate::error::{Result, Rv};
use crate::mechanism::Algorithm;

/// A running `C_SignRecover` or `C_VerifyRecover`.
pub(super) enum Recovery {
    Sign(Box<Signer>),
    Verify {
        key: Key,
        /// Whether the padding of PKCS#1 is taken away.
        padded: bool,
        signature: Vec<u8>,
    },
}

impl Recovery {
    pub(super) fn new(
        algorithm: Algorithm,
        parameter: &Parameter,
        key: Key,
        signs: bool,
    ) -> Result<Self> {
        let padded = match algorithm {
            Algorithm::RsaPkcs(None) => true,
            Algorithm::RsaRaw => false,
            _ => return Err(Rv(CKR_MECHANISM_INVALID)),
        };
        if signs {
            let signer = Signer::new(algorithm, parameter, key, true)?;
            return Ok(Self::Sign(Box::new(signer)));
        }
        no_parameter(parameter)?;
        match *key {
            Prepared::RsaPublic(_) => Ok(Self::Verify {
                key,
                padded,
                signature: Vec::new(),
            }),
            _ => Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
        }
    }

    pub(super) fn size(&self) -> Size {
        match self {
            Self::Sign(signer) => Size::Exactly(signer.signature_bytes()),
            Self::Verify { key, padded, .. } => match (&**key, padded) {
                (Prepared::RsaPublic(key), true) => Size::AtMost(key.modulus_bytes() - 11),
                (Prepared::RsaPublic(key), false) => Size::Exactly(key.modulus_bytes()),
                _ => Size::Exactly(0),
            },
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Sign(signer) => signer.update(data),
            Self::Verify { key, signature, .. } => {
                signature.extend_from_slice(data);
                match &**key {
                    Prepared::RsaPublic(key) if signature.len() <= key.modulus_bytes() => Ok(()),
                    _ => Err(Rv(CKR_SIGNATURE_LEN_RANGE)),
                }
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Sign(signer) => signer.sign(out),
            Self::Verify {
                key,
                padded,
                signature,
            } => {
                let Prepared::RsaPublic(key) = &**key else {
                    return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
                };
                if signature.len() != key.modulus_bytes() {
                    return Err(Rv(CKR_SIGNATURE_LEN_RANGE));
                }
                let recovered = match padded {
                    true => key.verify_recover(signature),
                    false => key.raw_public(signature),
                };
                out.extend_from_slice(&recovered.map_err(|_| Rv(CKR_SIGNATURE_INVALID))?);
                Ok(())
            }
        }
    }
}
