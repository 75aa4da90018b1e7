//! Searches (PKCS#11 3.2 section 5.7.7 to 5.7.9).
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{Reply, Request};

use crate::client::Needs;
use crate::entry::{call, must_be};
use crate::memory::template;
use crate::slots::NONSENSE;

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_FindObjectsInit(
    hSession: CK_SESSION_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulCount: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let request = Request::FindInit {
            session: hSession,
            // SAFETY: the caller vouches for the template.
            template: unsafe { template(pTemplate, ulCount) }?,
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_FindObjects(
    hSession: CK_SESSION_HANDLE,
    phObject: CK_OBJECT_HANDLE_PTR,
    ulMaxObjectCount: CK_ULONG,
    pulObjectCount: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pulObjectCount)?;
        if ulMaxObjectCount > 0 {
            must_be(phObject)?;
        }
        let request = Request::Find {
            session: hSession,
            most: ulMaxObjectCount,
        };
        let found = match inside.ask(Needs::Session, &request)? {
            Reply::Handles(found) if found.len() as CK_ULONG <= ulMaxObjectCount => found,
            _ => return Err(NONSENSE),
        };
        for (at, handle) in found.iter().enumerate() {
            // SAFETY: there is room for as many, as the caller vouches.
            unsafe { phObject.add(at).write(*handle) };
        }
        // SAFETY: the caller vouches for the place.
        unsafe { pulObjectCount.write(found.len() as CK_ULONG) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_FindObjectsFinal(hSession: CK_SESSION_HANDLE) -> CK_RV {
    call(|inside| {
        let session = hSession;
        inside
            .ask(Needs::Session, &Request::FindFinal { session })
            .map(drop)
    })
}
