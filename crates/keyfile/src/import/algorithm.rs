//! The algorithms of keys, as `AlgorithmIdentifier`s name them.

use x509_cert::spki::AlgorithmIdentifierRef;

use super::error::ImportError;
use super::{curve25519, ec, rsa};

/// An algorithm and its parameters.
pub(super) enum Algorithm {
    Rsa,
    Ec(&'static ec::Curve),
    Curve25519(&'static curve25519::Curve),
}

impl Algorithm {
    pub(super) fn of(identifier: &AlgorithmIdentifierRef<'_>) -> Result<Self, ImportError> {
        match (identifier.oid, identifier.parameters) {
            // RFC 8017 appendix A.1: the parameters are NULL. Some writers omit them.
            (rsa::OID, None) => Ok(Self::Rsa),
            (rsa::OID, Some(parameters)) if parameters.is_null() => Ok(Self::Rsa),
            (rsa::OID, Some(_)) => Err(ImportError::PARAMETERS),
            (ec::OID, parameters) => ec::curve_of(parameters).map(Self::Ec),
            (oid, parameters) => match (curve25519::of_algorithm(oid), parameters) {
                (None, _) => Err(ImportError::Algorithm(oid)),
                // RFC 8410 section 3: the parameters are absent.
                (Some(curve), None) => Ok(Self::Curve25519(curve)),
                (Some(_), Some(_)) => Err(ImportError::PARAMETERS),
            },
        }
    }
}
