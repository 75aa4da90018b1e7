//! What the parameters of signatures say.

use slotfs_crypto::pq::ml_dsa::Hedge;
use slotfs_crypto::{Hash, Hasher};
use slotfs_wire::Parameter;
use slotfs_wire::numbers::{CKH_DETERMINISTIC_REQUIRED, CKH_HEDGE_PREFERRED, CKH_HEDGE_REQUIRED};
use slotfs_wire::rv::{CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_PARAM_INVALID};

use super::super::{MAX_HELD_BYTES, Prepared, failed};
use super::{Input, Scheme};
use crate::error::{Result, Rv};
use crate::mechanism::{Algorithm, hash};

/// PSS; `fixed` is the hash of the mechanism, if it names one.
pub(super) fn pss(
    fixed: Option<Hash>,
    parameter: &Parameter,
    modulus: usize,
) -> Result<(Scheme, Input)> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let Parameter::Pss {
        hash: number,
        mgf,
        salt_bytes,
    } = parameter
    else {
        return Err(invalid);
    };
    let hash = hash::of_digest(*number).ok_or(invalid)?;
    if fixed.is_some_and(|fixed| fixed != hash) {
        return Err(invalid);
    }
    let mgf = hash::of_mgf(*mgf).ok_or(invalid)?;
    let salt_bytes = usize::try_from(*salt_bytes).map_err(|_| invalid)?;
    // RFC 8017 section 9.1.1: the encoded message holds digest, salt and two bytes more.
    if salt_bytes > modulus.saturating_sub(hash.bytes() + 2) {
        return Err(invalid);
    }
    let scheme = Scheme::Pss {
        hash,
        mgf,
        salt_bytes,
    };
    let input = match fixed {
        Some(hash) => Input::Hash(Hasher::new(hash)),
        None => Input::gathered(hash.bytes(), hash.bytes()),
    };
    Ok((scheme, input))
}

/// Ed25519 in its three variants.
pub(super) fn edwards(parameter: &Parameter) -> Result<(Scheme, Input)> {
    let pure = || Input::gathered(0, MAX_HELD_BYTES);
    match parameter {
        Parameter::None => Ok((Scheme::Edwards(Vec::new()), pure())),
        Parameter::Eddsa { context, .. } if context.len() > 255 => {
            Err(Rv(CKR_MECHANISM_PARAM_INVALID))
        }
        Parameter::Eddsa { prehash, context } => Ok(match prehash {
            true => (
                Scheme::EdwardsPrehash(context.clone()),
                Input::Hash(Hasher::new(Hash::Sha512)),
            ),
            false => (Scheme::Edwards(context.clone()), pure()),
        }),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}

/// ML-DSA and HashML-DSA.
pub(super) fn ml_dsa(
    algorithm: Algorithm,
    parameter: &Parameter,
    key: &Prepared,
) -> Result<(Scheme, Input)> {
    let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
    let (hedge, context, named) = match parameter {
        Parameter::None => (CKH_HEDGE_PREFERRED, Vec::new(), None),
        Parameter::SignContext { hedge, context } => (*hedge, context.clone(), None),
        Parameter::HashSignContext {
            hedge,
            context,
            hash,
        } => (*hedge, context.clone(), Some(*hash)),
        _ => return Err(invalid),
    };
    let hedge = match hedge {
        CKH_HEDGE_PREFERRED | CKH_HEDGE_REQUIRED => Hedge::Hedged,
        CKH_DETERMINISTIC_REQUIRED => Hedge::Deterministic,
        _ => return Err(invalid),
    };
    if context.len() > 255 {
        return Err(invalid);
    }
    let (hash, input) = match (algorithm, named) {
        (Algorithm::MlDsa, None) => {
            let mu = match key {
                Prepared::MlDsaPrivate(key) => key.representative(&context),
                Prepared::MlDsaPublic(key) => key.representative(&context),
                _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
            };
            let mu = mu.map_err(|_| failed())?;
            return Ok((Scheme::MlDsa(hedge), Input::Mu(mu)));
        }
        (Algorithm::HashMlDsa(Some(hash)), None) => (hash, Input::Hash(Hasher::new(hash))),
        (Algorithm::HashMlDsa(None), Some(named)) => {
            let hash = hash::of_digest(named).ok_or(invalid)?;
            // FIPS 204 section 5.4 names the hash functions by identifiers that SHA-1 has none of.
            if hash == Hash::Sha1 {
                return Err(invalid);
            }
            (hash, Input::gathered(hash.bytes(), hash.bytes()))
        }
        _ => return Err(invalid),
    };
    let scheme = Scheme::HashMlDsa {
        hash,
        context,
        hedge,
    };
    Ok((scheme, input))
}

/// Bytes of a MAC.
pub(super) fn mac_bytes(parameter: &Parameter, general: bool, most: usize) -> Result<usize> {
    match (parameter, general) {
        (Parameter::None, false) => Ok(most),
        (Parameter::Number(bytes), true) => usize::try_from(*bytes)
            .ok()
            .filter(|bytes| (1..=most).contains(bytes))
            .ok_or(Rv(CKR_MECHANISM_PARAM_INVALID)),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}
