//! Sessions and logins (PKCS#11 3.2 section 5.6).
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{Reply, Request};

use crate::client::Needs;
use crate::entry::{call, give, must_be};
use crate::memory::input;
use crate::slots::{NONSENSE, pin};

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_OpenSession(
    slotID: CK_SLOT_ID,
    flags: CK_FLAGS,
    _pApplication: CK_VOID_PTR,
    _Notify: CK_NOTIFY,
    phSession: CK_SESSION_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phSession)?;
        let request = Request::OpenSession {
            slot: slotID,
            flags,
        };
        match inside.ask(Needs::Slots, &request)? {
            // SAFETY: the caller vouches for the place.
            Reply::Handle(handle) => unsafe { give(phSession, handle) },
            _ => Err(NONSENSE),
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CloseSession(hSession: CK_SESSION_HANDLE) -> CK_RV {
    call(|inside| {
        let session = hSession;
        inside
            .ask(Needs::Session, &Request::CloseSession { session })
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CloseAllSessions(slotID: CK_SLOT_ID) -> CK_RV {
    call(|inside| {
        let slot = slotID;
        inside
            .ask(Needs::Slots, &Request::CloseAllSessions { slot })
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetSessionInfo(
    hSession: CK_SESSION_HANDLE,
    pInfo: CK_SESSION_INFO_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pInfo)?;
        let session = hSession;
        match inside.ask(Needs::Session, &Request::SessionInfo { session })? {
            Reply::Session(it) => {
                let info = CK_SESSION_INFO {
                    slotID: it.slot,
                    state: it.state,
                    flags: it.flags,
                    ulDeviceError: 0,
                };
                // SAFETY: the caller vouches for the place.
                unsafe { give(pInfo, info) }
            }
            _ => Err(NONSENSE),
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Login(
    hSession: CK_SESSION_HANDLE,
    userType: CK_USER_TYPE,
    pPin: CK_UTF8CHAR_PTR,
    ulPinLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let request = Request::Login {
            session: hSession,
            user: userType,
            // SAFETY: the caller vouches for the PIN.
            pin: unsafe { pin(pPin, ulPinLen) }?,
            name: None,
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_LoginUser(
    hSession: CK_SESSION_HANDLE,
    userType: CK_USER_TYPE,
    pPin: CK_UTF8CHAR_PTR,
    ulPinLen: CK_ULONG,
    pUsername: CK_UTF8CHAR_PTR,
    ulUsernameLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        if ulUsernameLen > 256 {
            return Err(CKR_ARGUMENTS_BAD);
        }
        // SAFETY: the caller vouches for the PIN and for the name.
        let (pin, name) = unsafe { (pin(pPin, ulPinLen)?, input(pUsername, ulUsernameLen)?) };
        let request = Request::Login {
            session: hSession,
            user: userType,
            pin,
            name: Some(name.to_vec()),
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Logout(hSession: CK_SESSION_HANDLE) -> CK_RV {
    call(|inside| {
        let session = hSession;
        inside
            .ask(Needs::Session, &Request::Logout { session })
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SessionCancel(
    hSession: CK_SESSION_HANDLE,
    flags: CK_FLAGS,
) -> CK_RV {
    call(|inside| {
        let session = hSession;
        inside
            .ask(Needs::Session, &Request::Cancel { session, flags })
            .map(drop)
    })
}
