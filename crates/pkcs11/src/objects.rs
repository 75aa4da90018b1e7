//! Objects and their attributes (PKCS#11 3.2 section 5.7).
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{Got, NestedAttribute, RawValue, Reply, Request};

use crate::client::Needs;
use crate::entry::{call, give, must_be};
use crate::memory::{attributes, template};
use crate::slots::NONSENSE;

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CreateObject(
    hSession: CK_SESSION_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulCount: CK_ULONG,
    phObject: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phObject)?;
        let request = Request::CreateObject {
            session: hSession,
            // SAFETY: the caller vouches for the template.
            template: unsafe { template(pTemplate, ulCount) }?,
        };
        match inside.ask(Needs::Session, &request)? {
            // SAFETY: the caller vouches for the place.
            Reply::Handle(handle) => unsafe { give(phObject, handle) },
            _ => Err(NONSENSE),
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CopyObject(
    hSession: CK_SESSION_HANDLE,
    hObject: CK_OBJECT_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulCount: CK_ULONG,
    phNewObject: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phNewObject)?;
        let request = Request::CopyObject {
            session: hSession,
            object: hObject,
            // SAFETY: the caller vouches for the template.
            template: unsafe { template(pTemplate, ulCount) }?,
        };
        match inside.ask(Needs::Session, &request)? {
            // SAFETY: the caller vouches for the place.
            Reply::Handle(handle) => unsafe { give(phNewObject, handle) },
            _ => Err(NONSENSE),
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DestroyObject(
    hSession: CK_SESSION_HANDLE,
    hObject: CK_OBJECT_HANDLE,
) -> CK_RV {
    call(|inside| {
        let request = Request::DestroyObject {
            session: hSession,
            object: hObject,
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetObjectSize(
    hSession: CK_SESSION_HANDLE,
    hObject: CK_OBJECT_HANDLE,
    pulSize: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(pulSize)?;
        let request = Request::ObjectSize {
            session: hSession,
            object: hObject,
        };
        match inside.ask(Needs::Session, &request)? {
            // SAFETY: the caller vouches for the place.
            Reply::Number(bytes) => unsafe { give(pulSize, bytes) },
            _ => Err(NONSENSE),
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetAttributeValue(
    hSession: CK_SESSION_HANDLE,
    hObject: CK_OBJECT_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulCount: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        must_be(pTemplate)?;
        // SAFETY: the caller vouches for the template.
        let wanted = unsafe { attributes(pTemplate, ulCount) }?;
        let request = Request::GetAttributes {
            session: hSession,
            object: hObject,
            kinds: wanted.iter().map(|it| it.type_).collect(),
        };
        let all = match inside.ask(Needs::Session, &request)? {
            Reply::Attributes(all) if all.len() == wanted.len() => all,
            _ => return Err(NONSENSE),
        };
        let mut outcome = Ok(());
        for (at, got) in all.iter().enumerate() {
            // SAFETY: the caller vouches for the template, which has as many attributes.
            let place = unsafe { &mut *pTemplate.add(at) };
            // SAFETY: the caller vouches for the buffer of each.
            if let Err(number) = unsafe { put(place, got) } {
                outcome = Err(worse(outcome.err(), number));
            }
        }
        outcome
    })
}

/// Which of two failures the whole call reports; the standard leaves it open.
fn worse(one: Option<CK_RV>, other: CK_RV) -> CK_RV {
    match (one, other) {
        (Some(CKR_ATTRIBUTE_SENSITIVE), _) | (_, CKR_ATTRIBUTE_SENSITIVE) => {
            CKR_ATTRIBUTE_SENSITIVE
        }
        (Some(CKR_ATTRIBUTE_TYPE_INVALID), _) | (_, CKR_ATTRIBUTE_TYPE_INVALID) => {
            CKR_ATTRIBUTE_TYPE_INVALID
        }
        (Some(one), _) => one,
        (None, other) => other,
    }
}

/// Puts one attribute where the application wants it.
///
/// # Safety
/// The caller of the C interface vouches for the buffer.
unsafe fn put(place: &mut CK_ATTRIBUTE, got: &Got) -> Result<(), CK_RV> {
    let value = match got {
        Got::Value(RawValue::Bytes(bytes)) => bytes.bytes(),
        // SAFETY: as the caller vouches.
        Got::Value(RawValue::Template(nested)) => return unsafe { put_template(place, nested) },
        Got::Sensitive => {
            place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
            return Err(CKR_ATTRIBUTE_SENSITIVE);
        }
        Got::Invalid => {
            place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
            return Err(CKR_ATTRIBUTE_TYPE_INVALID);
        }
    };
    // SAFETY: as the caller vouches.
    unsafe { put_bytes(place, value) }
}

/// # Safety
/// As [`put`].
unsafe fn put_bytes(place: &mut CK_ATTRIBUTE, value: &[u8]) -> Result<(), CK_RV> {
    let room = place.ulValueLen;
    let bytes = value.len() as CK_ULONG;
    if !place.pValue.is_null() && room < bytes {
        place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return Err(CKR_BUFFER_TOO_SMALL);
    }
    place.ulValueLen = bytes;
    if !place.pValue.is_null() {
        // SAFETY: there is room for as many bytes, as the caller vouches.
        unsafe {
            std::ptr::copy_nonoverlapping(value.as_ptr(), place.pValue.cast::<u8>(), value.len());
        }
    }
    Ok(())
}

/// The attributes inside an attribute: their number first, then their lengths, then their values, each in a call.
///
/// # Safety
/// As [`put`].
unsafe fn put_template(place: &mut CK_ATTRIBUTE, nested: &[NestedAttribute]) -> Result<(), CK_RV> {
    let size = size_of::<CK_ATTRIBUTE>();
    let bytes = (nested.len() * size) as CK_ULONG;
    if place.pValue.is_null() {
        place.ulValueLen = bytes;
        return Ok(());
    }
    if place.ulValueLen < bytes {
        place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return Err(CKR_BUFFER_TOO_SMALL);
    }
    place.ulValueLen = bytes;
    let first = place.pValue.cast::<CK_ATTRIBUTE>();
    let mut outcome = Ok(());
    for (at, it) in nested.iter().enumerate() {
        // SAFETY: there is room for as many attributes, as the caller vouches.
        let inside = unsafe { &mut *first.add(at) };
        inside.type_ = it.kind;
        // SAFETY: as the caller vouches.
        let put = unsafe { put_bytes(inside, it.bytes.bytes()) };
        outcome = outcome.and(put);
    }
    outcome
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SetAttributeValue(
    hSession: CK_SESSION_HANDLE,
    hObject: CK_OBJECT_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulCount: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let request = Request::SetAttributes {
            session: hSession,
            object: hObject,
            // SAFETY: the caller vouches for the template.
            template: unsafe { template(pTemplate, ulCount) }?,
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}
