//! Verification of signatures: those that come last (PKCS#11 3.2 section 5.15), and those that come first (its
//! `C_VerifySignatureInit`). The server keeps what comes first.
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{MAX_SIGNATURE_BYTES, Operation, Request};

use crate::client::Needs;
use crate::connection::Sink;
use crate::entry::call;
use crate::memory::input;
use crate::operations::{given, send_pieces, start_with};

/// A signature that an application gives.
///
/// # Errors
/// `CKR_ARGUMENTS_BAD`, `CKR_SIGNATURE_LEN_RANGE`
///
/// # Safety
/// As [`input`].
pub(crate) unsafe fn signature<'a>(
    pointer: *const CK_BYTE,
    length: CK_ULONG,
) -> Result<&'a [u8], CK_RV> {
    // SAFETY: as the caller vouches.
    let signature = unsafe { input(pointer, length) }?;
    match signature.len() > MAX_SIGNATURE_BYTES {
        true => Err(CKR_SIGNATURE_LEN_RANGE),
        false => Ok(signature),
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Verify(
    hSession: CK_SESSION_HANDLE,
    pData: CK_BYTE_PTR,
    ulDataLen: CK_ULONG,
    pSignature: CK_BYTE_PTR,
    ulSignatureLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let place = (hSession, Operation::Verify);
        // SAFETY: the caller vouches for data and signature.
        let (data, signature) = unsafe {
            (
                input(pData, ulDataLen),
                signature(pSignature, ulSignatureLen),
            )
        };
        let data = given(inside, place, data)?;
        let signature = given(inside, place, signature)?;
        let last = send_pieces(inside, hSession, Operation::Verify, data)?;
        let request = Request::Whole {
            session: hSession,
            operation: Operation::Verify,
            room: None,
            signature: signature.to_vec(),
        };
        inside
            .call(Needs::Session, &request, last, &mut Sink::None)
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_VerifyFinal(
    hSession: CK_SESSION_HANDLE,
    pSignature: CK_BYTE_PTR,
    ulSignatureLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for the signature.
        let signature = unsafe { signature(pSignature, ulSignatureLen) };
        let signature = given(inside, (hSession, Operation::Verify), signature)?;
        let request = Request::Final {
            session: hSession,
            operation: Operation::Verify,
            room: None,
        };
        inside
            .call(Needs::Session, &request, signature, &mut Sink::None)
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_VerifySignatureInit(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    hKey: CK_OBJECT_HANDLE,
    pSignature: CK_BYTE_PTR,
    ulSignatureLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for mechanism and signature.
        unsafe {
            let signature = signature(pSignature, ulSignatureLen)?;
            let operation = Operation::VerifySignature;
            start_with(inside, hSession, operation, pMechanism, hKey, signature)
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_VerifySignature(
    hSession: CK_SESSION_HANDLE,
    pData: CK_BYTE_PTR,
    ulDataLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for the data.
        let data = unsafe { input(pData, ulDataLen) };
        let operation = Operation::VerifySignature;
        let data = given(inside, (hSession, operation), data)?;
        let last = send_pieces(inside, hSession, operation, data)?;
        let request = Request::Whole {
            session: hSession,
            operation,
            room: None,
            signature: Vec::new(),
        };
        inside
            .call(Needs::Session, &request, last, &mut Sink::None)
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_VerifySignatureFinal(hSession: CK_SESSION_HANDLE) -> CK_RV {
    call(|inside| {
        let request = Request::Final {
            session: hSession,
            operation: Operation::VerifySignature,
            room: None,
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}
