//! CKR numbers of what the HSM refuses.

use slotfs_hsm::{Error, SlotError, SlotFault, StoreFault};
use slotfs_object::revision::ReviseError;
use slotfs_wire::rv::*;

use crate::error::Rv;

impl From<ReviseError> for Rv {
    fn from(why: ReviseError) -> Self {
        Rv(match why {
            ReviseError::Unmodifiable => CKR_ACTION_PROHIBITED,
            ReviseError::Fixed(_) | ReviseError::OneWay(..) => CKR_ATTRIBUTE_READ_ONLY,
            ReviseError::NotOfClass(..) => CKR_ATTRIBUTE_TYPE_INVALID,
            ReviseError::Type(_) | ReviseError::Attribute(_) => CKR_ATTRIBUTE_VALUE_INVALID,
            ReviseError::Exhausted => CKR_DEVICE_MEMORY,
        })
    }
}

impl From<Error> for Rv {
    /// The number that says it best. What a number cannot say is in the log: there, errors that are nobody's mistake are
    /// warnings.
    fn from(error: Error) -> Self {
        let (number, ordinary) = of_hsm(&error);
        if ordinary {
            log::debug!("{error}");
        } else {
            log::warn!("{error}");
        }
        Rv(number)
    }
}

/// The number, and whether it is what happens to anybody.
fn of_hsm(error: &Error) -> (u64, bool) {
    match error {
        Error::Slot { why, .. } => of_slot(why),
        Error::ObjectDamaged(_) | Error::Damaged(_) | Error::State(_) => (CKR_DEVICE_ERROR, false),
        Error::Gone => (CKR_OBJECT_HANDLE_INVALID, true),
        Error::Store(_) => match error.store_fault() {
            Some(StoreFault::DiskFull | StoreFault::QuotaFull) => (CKR_DEVICE_MEMORY, false),
            Some(StoreFault::ReadOnly | StoreFault::ForeignSchema(_)) => {
                (CKR_TOKEN_WRITE_PROTECTED, false)
            }
            Some(StoreFault::Lost(_)) => (CKR_DEVICE_REMOVED, false),
            Some(
                StoreFault::Missing
                | StoreFault::Failed(_)
                | StoreFault::Unreachable(_)
                | StoreFault::InDoubt
                | StoreFault::WentBack(_),
            )
            | None => (CKR_DEVICE_ERROR, false),
        },
        Error::Random(_) => (CKR_DEVICE_ERROR, false),
        Error::ObjectRefused(_) => (CKR_DEVICE_MEMORY, true),
    }
}

fn of_slot(why: &SlotError) -> (u64, bool) {
    match why {
        SlotError::Stored(fault) => of_stored(fault),
        SlotError::Miscounted(_) => (CKR_DEVICE_ERROR, false),
        SlotError::NotLoggedIn => (CKR_USER_NOT_LOGGED_IN, true),
        SlotError::AlreadyLoggedIn { .. } => (CKR_USER_ALREADY_LOGGED_IN, true),
        SlotError::RoleNeeded { .. } => (CKR_ACTION_PROHIBITED, true),
        SlotError::PasswordWrong { .. } | SlotError::ShareRefused { .. } => {
            (CKR_PIN_INCORRECT, false)
        }
        SlotError::SharesMissing { .. } => (CKR_PIN_INCORRECT, true),
        SlotError::OtherAuthentication(_) => (CKR_PIN_INVALID, true),
        SlotError::RoleLocked(_) => (CKR_PIN_LOCKED, false),
        SlotError::Older { .. } => (CKR_DEVICE_ERROR, false),
        SlotError::RoleMissing(_) => (CKR_USER_PIN_NOT_INITIALIZED, true),
        SlotError::RoleExists(_) => (CKR_FUNCTION_FAILED, true),
        SlotError::NoMemory { .. } | SlotError::NoMemoryForPassword { .. } => {
            (CKR_DEVICE_MEMORY, false)
        }
        SlotError::Malformed(_) => (CKR_ARGUMENTS_BAD, true),
        SlotError::ReadOnly(_) => (CKR_TOKEN_WRITE_PROTECTED, true),
        SlotError::Policy { .. }
        | SlotError::Domain { .. }
        | SlotError::Smk(_)
        | SlotError::PolicyForbids(_)
        | SlotError::NotForUsers(_)
        | SlotError::PolicyRefuses(_) => (CKR_ACTION_PROHIBITED, true),
        SlotError::NotForV0 { .. }
        | SlotError::Unverified(_)
        | SlotError::PayloadVersion(..)
        | SlotError::RevisionTooHigh(_)
        | SlotError::OtherIdentity { .. } => (CKR_DEVICE_ERROR, false),
        SlotError::NotDescribed { why, .. } => (Rv::from(why.clone()).0, true),
        SlotError::NoSuchObject(_) | SlotError::NoSuchIdentity(_) | SlotError::NotInTrash(_) => {
            (CKR_OBJECT_HANDLE_INVALID, true)
        }
        SlotError::TooManyTrusted(_) => (CKR_DEVICE_MEMORY, true),
        SlotError::NotUsable { why, .. } => (Rv::from(why.clone()).0, true),
    }
}

fn of_stored(fault: &SlotFault) -> (u64, bool) {
    match fault {
        SlotFault::Missing => (CKR_TOKEN_NOT_PRESENT, true),
        SlotFault::Exists
        | SlotFault::Changed
        | SlotFault::Resealing
        | SlotFault::Removed(_)
        | SlotFault::HandleTaken(_) => (CKR_FUNCTION_FAILED, false),
        SlotFault::Replaced => (CKR_DEVICE_REMOVED, true),
        SlotFault::Full | SlotFault::TrashFull => (CKR_DEVICE_MEMORY, false),
        SlotFault::IdentityClash { .. } | SlotFault::Outdated(_) => (CKR_FUNCTION_FAILED, true),
        SlotFault::NotDamaged { .. }
        | SlotFault::Damaged(_)
        | SlotFault::WouldLose(_)
        | SlotFault::Unreadable { .. } => (CKR_DEVICE_ERROR, false),
    }
}
