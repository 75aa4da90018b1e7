//! Slots and tokens (PKCS#11 3.2 section 5.5).
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{Reply, Request, Secret};

use crate::client::Needs;
use crate::entry::{call, give, must_be};
use crate::general::{LIBRARY_VERSION, MANUFACTURER};
use crate::memory::{give_list, input, pad};
use crate::state::Inside;

/// What a reply of another kind than the request's is.
pub(crate) const NONSENSE: CK_RV = CKR_DEVICE_ERROR;

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetSlotList(
    tokenPresent: CK_BBOOL,
    pSlotList: CK_SLOT_ID_PTR,
    pulCount: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pulCount)?;
        // p11-kit loads the module into every process: without a store there is nothing to start a server for.
        let slots = match inside.settings().store_id() {
            None => Vec::new(),
            Some(_) => list(
                inside,
                &Request::Slots {
                    with_token: tokenPresent != 0,
                },
            )?,
        };
        // SAFETY: the caller vouches for the list.
        unsafe { give_list(&slots, pSlotList, pulCount) }
    })
}

fn list(state: &Inside, request: &Request) -> Result<Vec<u64>, CK_RV> {
    match state.ask(Needs::Slots, request)? {
        Reply::Handles(all) => Ok(all),
        _ => Err(NONSENSE),
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetSlotInfo(
    slotID: CK_SLOT_ID,
    pInfo: CK_SLOT_INFO_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pInfo)?;
        let Reply::Slot(slot) = inside.ask(Needs::Slots, &Request::SlotInfo { slot: slotID })?
        else {
            return Err(NONSENSE);
        };
        let mut info = CK_SLOT_INFO {
            slotDescription: [b' '; 64],
            manufacturerID: [b' '; 32],
            flags: slot.flags,
            hardwareVersion: CK_VERSION { major: 0, minor: 0 },
            firmwareVersion: LIBRARY_VERSION,
        };
        pad(&mut info.slotDescription, &slot.description);
        pad(&mut info.manufacturerID, MANUFACTURER);
        // SAFETY: the caller vouches for the place.
        unsafe { give(pInfo, info) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetTokenInfo(
    slotID: CK_SLOT_ID,
    pInfo: CK_TOKEN_INFO_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pInfo)?;
        let Reply::Token(token) = inside.ask(Needs::Slots, &Request::TokenInfo { slot: slotID })?
        else {
            return Err(NONSENSE);
        };
        let mut info = CK_TOKEN_INFO {
            label: [b' '; 32],
            manufacturerID: [b' '; 32],
            model: [b' '; 16],
            serialNumber: [b' '; 16],
            flags: token.flags,
            ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
            ulSessionCount: token.sessions,
            ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
            ulRwSessionCount: token.rw_sessions,
            ulMaxPinLen: token.pin_bytes.1,
            ulMinPinLen: token.pin_bytes.0,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: CK_VERSION { major: 0, minor: 0 },
            firmwareVersion: LIBRARY_VERSION,
            utcTime: [b' '; 16],
        };
        pad(&mut info.label, &token.label);
        pad(&mut info.manufacturerID, MANUFACTURER);
        pad(&mut info.model, &token.model);
        pad(&mut info.serialNumber, &token.serial);
        // SAFETY: the caller vouches for the place.
        unsafe { give(pInfo, info) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetMechanismList(
    slotID: CK_SLOT_ID,
    pMechanismList: CK_MECHANISM_TYPE_PTR,
    pulCount: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pulCount)?;
        let all = list(inside, &Request::Mechanisms { slot: slotID })?;
        // SAFETY: the caller vouches for the list.
        unsafe { give_list(&all, pMechanismList, pulCount) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetMechanismInfo(
    slotID: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    pInfo: CK_MECHANISM_INFO_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pInfo)?;
        let request = Request::MechanismInfo {
            slot: slotID,
            mechanism,
        };
        let Reply::Mechanism(it) = inside.ask(Needs::Slots, &request)? else {
            return Err(NONSENSE);
        };
        let info = CK_MECHANISM_INFO {
            ulMinKeySize: it.min,
            ulMaxKeySize: it.max,
            flags: it.flags,
        };
        // SAFETY: the caller vouches for the place.
        unsafe { give(pInfo, info) }
    })
}

/// A PIN; `None` for null, which asks for a protected authentication path.
///
/// # Safety
/// The caller of the C interface vouches for the bytes.
pub(crate) unsafe fn pin(pin: CK_UTF8CHAR_PTR, length: CK_ULONG) -> Result<Option<Secret>, CK_RV> {
    if pin.is_null() {
        return Ok(None);
    }
    if length > 4096 {
        return Err(CKR_PIN_LEN_RANGE);
    }
    // SAFETY: as the caller vouches.
    Ok(Some(Secret::from(unsafe { input(pin, length) }?)))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_InitToken(
    slotID: CK_SLOT_ID,
    pPin: CK_UTF8CHAR_PTR,
    ulPinLen: CK_ULONG,
    pLabel: CK_UTF8CHAR_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pLabel)?;
        let mut label = [0; 32];
        // SAFETY: the caller vouches for the 32 bytes of the label, and for the PIN.
        let pin = unsafe {
            label.copy_from_slice(input(pLabel, 32)?);
            pin(pPin, ulPinLen)?
        };
        let request = Request::InitToken {
            slot: slotID,
            pin,
            label,
        };
        inside.ask(Needs::SlotsOnce, &request).map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_InitPIN(
    hSession: CK_SESSION_HANDLE,
    pPin: CK_UTF8CHAR_PTR,
    ulPinLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for the PIN.
        let pin = unsafe { pin(pPin, ulPinLen) }?;
        let session = hSession;
        inside
            .ask(Needs::Session, &Request::InitPin { session, pin })
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SetPIN(
    hSession: CK_SESSION_HANDLE,
    pOldPin: CK_UTF8CHAR_PTR,
    ulOldLen: CK_ULONG,
    pNewPin: CK_UTF8CHAR_PTR,
    ulNewLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for both PINs.
        let (old, new) = unsafe { (pin(pOldPin, ulOldLen)?, pin(pNewPin, ulNewLen)?) };
        let session = hSession;
        inside
            .ask(Needs::Session, &Request::SetPin { session, old, new })
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    pSlot: CK_SLOT_ID_PTR,
    pReserved: CK_VOID_PTR,
) -> CK_RV {
    call(|inside| {
        if pSlot.is_null() || !pReserved.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        if flags & CKF_DONT_BLOCK != 0 {
            return Err(CKR_NO_EVENT);
        }
        // Slots are never removed.
        inside.wait_for_end();
        Err(CKR_CRYPTOKI_NOT_INITIALIZED)
    })
}
