//! What an operation answers when it fails: a CKR number.

use slotfs_keyfile::import::ImportError;
use slotfs_object::usable::UseFault;
use slotfs_wire::rv::{
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_FUNCTION_FAILED, CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_HANDLE_INVALID, CKR_KEY_SIZE_RANGE, CKR_MECHANISM_INVALID,
};

/// A CKR number other than `CKR_OK` ([`slotfs_wire::rv`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rv(pub u64);

/// What functions of this crate return.
pub(crate) type Result<T, E = Rv> = std::result::Result<T, E>;

impl From<UseFault> for Rv {
    fn from(fault: UseFault) -> Self {
        Self(match fault {
            UseFault::NotAKey => CKR_KEY_HANDLE_INVALID,
            UseFault::Mechanism(_) => CKR_MECHANISM_INVALID,
            UseFault::NotPermitted(_) | UseFault::NotYet(_) | UseFault::NoMore(_) => {
                CKR_KEY_FUNCTION_NOT_PERMITTED
            }
        })
    }
}

/// Of the value attributes that an application gives a new key.
impl From<ImportError> for Rv {
    fn from(error: ImportError) -> Self {
        Self(match error {
            ImportError::RsaBits(_) => CKR_KEY_SIZE_RANGE,
            _ => CKR_ATTRIBUTE_VALUE_INVALID,
        })
    }
}

impl From<getrandom::Error> for Rv {
    fn from(_: getrandom::Error) -> Self {
        Self(CKR_FUNCTION_FAILED)
    }
}

/// Where the caller has checked what is given to the library.
impl From<slotfs_crypto::Error> for Rv {
    fn from(_: slotfs_crypto::Error) -> Self {
        Self(CKR_FUNCTION_FAILED)
    }
}
