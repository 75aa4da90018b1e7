//! The edge of every function of the interface: a panic ends here, and no call goes on in a process that has not initialised
//! the module.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cryptoki_sys::{CK_RV, CKR_GENERAL_ERROR, CKR_OK};

use crate::state::{self, Inside};

/// Runs a function of the interface.
pub(crate) fn call(work: impl FnOnce(&Inside) -> Result<(), CK_RV>) -> CK_RV {
    outside(|| work(&state::enter()?))
}

/// Runs one that works without initialisation.
pub(crate) fn outside(work: impl FnOnce() -> Result<(), CK_RV>) -> CK_RV {
    // What a panic leaves half done is in the state, whose locks go on after one.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(number)) => number,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// Writes a value where the application wants it.
///
/// # Errors
/// `CKR_ARGUMENTS_BAD` for null.
///
/// # Safety
/// The caller of the C interface vouches for the place, if it is not null.
pub(crate) unsafe fn give<T>(place: *mut T, value: T) -> Result<(), CK_RV> {
    if place.is_null() {
        return Err(cryptoki_sys::CKR_ARGUMENTS_BAD);
    }
    // SAFETY: as the caller vouches.
    unsafe { place.write(value) };
    Ok(())
}

/// Whether a place that will be written to is there.
///
/// # Errors
/// `CKR_ARGUMENTS_BAD`
pub(crate) fn must_be<T>(place: *const T) -> Result<(), CK_RV> {
    match place.is_null() {
        true => Err(cryptoki_sys::CKR_ARGUMENTS_BAD),
        false => Ok(()),
    }
}
