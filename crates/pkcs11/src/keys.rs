//! Keys made, wrapped and derived, random numbers (PKCS#11 3.2 sections 5.18 and 5.19).
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{MAX_DATA_BYTES, Operation, Reply, Request};

use crate::client::Needs;
use crate::connection::Sink;
use crate::entry::{call, give, must_be};
use crate::memory::{Output, input, needed_mechanism, poke, probe, template};
use crate::operations::fetch;
use crate::parameters::kdf;
use crate::slots::NONSENSE;
use crate::state::Inside;

fn ask_for_handle(state: &Inside, request: &Request, data: &[u8]) -> Result<u64, CK_RV> {
    match state.call(Needs::Session, request, data, &mut Sink::None)? {
        Reply::Handle(handle) => Ok(handle),
        _ => Err(NONSENSE),
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GenerateKey(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulCount: CK_ULONG,
    phKey: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phKey)?;
        // SAFETY: the caller vouches for mechanism, template and place.
        unsafe {
            let request = Request::GenerateKey {
                session: hSession,
                mechanism: needed_mechanism(pMechanism)?,
                template: template(pTemplate, ulCount)?,
            };
            give(phKey, ask_for_handle(inside, &request, &[])?)
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GenerateKeyPair(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    pPublicKeyTemplate: CK_ATTRIBUTE_PTR,
    ulPublicKeyAttributeCount: CK_ULONG,
    pPrivateKeyTemplate: CK_ATTRIBUTE_PTR,
    ulPrivateKeyAttributeCount: CK_ULONG,
    phPublicKey: CK_OBJECT_HANDLE_PTR,
    phPrivateKey: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phPublicKey)?;
        must_be(phPrivateKey)?;
        // SAFETY: the caller vouches for mechanism, templates and places.
        unsafe {
            let request = Request::GenerateKeyPair {
                session: hSession,
                mechanism: needed_mechanism(pMechanism)?,
                public: template(pPublicKeyTemplate, ulPublicKeyAttributeCount)?,
                private: template(pPrivateKeyTemplate, ulPrivateKeyAttributeCount)?,
            };
            match inside.ask(Needs::Session, &request)? {
                Reply::Pair(public, private) => {
                    give(phPublicKey, public)?;
                    give(phPrivateKey, private)
                }
                _ => Err(NONSENSE),
            }
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_WrapKey(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    hWrappingKey: CK_OBJECT_HANDLE,
    hKey: CK_OBJECT_HANDLE,
    pWrappedKey: CK_BYTE_PTR,
    pulWrappedKeyLen: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for mechanism, buffer and length.
        let (mechanism, mut out) = unsafe {
            (
                needed_mechanism(pMechanism)?,
                Output::new(pWrappedKey, pulWrappedKeyLen)?,
            )
        };
        let request = Request::WrapKey {
            session: hSession,
            mechanism,
            wrapping: hWrappingKey,
            key: hKey,
            room: out.room(),
        };
        // A wrapped key fits a frame.
        let whose = (hSession, Operation::Encrypt);
        fetch(inside, whose, &request, &[], &mut out)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_UnwrapKey(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    hUnwrappingKey: CK_OBJECT_HANDLE,
    pWrappedKey: CK_BYTE_PTR,
    ulWrappedKeyLen: CK_ULONG,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulAttributeCount: CK_ULONG,
    phKey: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phKey)?;
        // SAFETY: the caller vouches for mechanism, bytes, template and place.
        unsafe {
            let wrapped = input(pWrappedKey, ulWrappedKeyLen)?;
            if wrapped.len() > MAX_DATA_BYTES {
                return Err(CKR_WRAPPED_KEY_LEN_RANGE);
            }
            let request = Request::UnwrapKey {
                session: hSession,
                mechanism: needed_mechanism(pMechanism)?,
                unwrapping: hUnwrappingKey,
                template: template(pTemplate, ulAttributeCount)?,
            };
            give(phKey, ask_for_handle(inside, &request, wrapped)?)
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DeriveKey(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    hBaseKey: CK_OBJECT_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulAttributeCount: CK_ULONG,
    phKey: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phKey)?;
        // SAFETY: the caller vouches for mechanism and template.
        let (request, more) = unsafe {
            let request = Request::DeriveKey {
                session: hSession,
                mechanism: needed_mechanism(pMechanism)?,
                base: hBaseKey,
                template: template(pTemplate, ulAttributeCount)?,
            };
            (request, kdf::places(&*pMechanism))
        };
        let mut places = vec![phKey];
        places.extend(more.ok_or(CKR_MECHANISM_PARAM_INVALID)?);
        // Before keys are made whose handles would be lost.
        if !places[1..].iter().all(|it| is_writable(*it)) {
            return Err(CKR_MECHANISM_PARAM_INVALID);
        }
        let (first, others) = match inside.ask(Needs::Session, &request)? {
            Reply::Handle(handle) => (handle, Vec::new()),
            Reply::Handles(mut all) if !all.is_empty() => (all.remove(0), all),
            // The standard marks the template that is to blame.
            Reply::NotDerived { number, template } => {
                let at = usize::try_from(template).ok().and_then(|at| places.get(at));
                put(*at.ok_or(NONSENSE)?, CK_INVALID_HANDLE)?;
                return Err(number);
            }
            _ => return Err(NONSENSE),
        };
        if others.len() + 1 != places.len() {
            return Err(NONSENSE);
        }
        for (place, handle) in places[1..].iter().zip(others) {
            put(*place, handle)?;
        }
        // SAFETY: the caller vouches for the place.
        unsafe { give(phKey, first) }
    })
}

/// Whether the kernel finds a place for a handle there. What is there stays.
fn is_writable(place: *mut CK_OBJECT_HANDLE) -> bool {
    let place = place.cast::<u8>();
    let there = probe(place, size_of::<CK_OBJECT_HANDLE>());
    there.is_some_and(|there| poke(place, &there))
}

fn put(place: *mut CK_OBJECT_HANDLE, handle: CK_OBJECT_HANDLE) -> Result<(), CK_RV> {
    match poke(place.cast(), &handle.to_ne_bytes()) {
        true => Ok(()),
        false => Err(CKR_MECHANISM_PARAM_INVALID),
    }
}

/// PKCS#11 3.2 section 5.18.8
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_EncapsulateKey(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    hPublicKey: CK_OBJECT_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulAttributeCount: CK_ULONG,
    pCiphertext: CK_BYTE_PTR,
    pulCiphertextLen: CK_ULONG_PTR,
    phKey: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for mechanism, template, buffer, length and place.
        let (request, mut out) = unsafe {
            let out = Output::new(pCiphertext, pulCiphertextLen)?;
            if out.room().is_some() {
                must_be(phKey)?;
            }
            let request = Request::Encapsulate {
                session: hSession,
                mechanism: needed_mechanism(pMechanism)?,
                public: hPublicKey,
                template: template(pTemplate, ulAttributeCount)?,
                room: out.room(),
            };
            (request, out)
        };
        let reply = {
            let mut sink = Sink::Buffer(out.buffer());
            inside.call(Needs::Session, &request, &[], &mut sink)?
        };
        match reply {
            Reply::Output { bytes } => {
                out.set_length(bytes);
                Ok(())
            }
            Reply::TooSmall { bytes } => Err(out.too_small(bytes)),
            Reply::Encapsulated { key, bytes } => {
                out.set_length(bytes);
                // SAFETY: the caller vouches for the place.
                unsafe { give(phKey, key) }
            }
            _ => Err(NONSENSE),
        }
    })
}

/// PKCS#11 3.2 section 5.18.9
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DecapsulateKey(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
    hPrivateKey: CK_OBJECT_HANDLE,
    pTemplate: CK_ATTRIBUTE_PTR,
    ulAttributeCount: CK_ULONG,
    pCiphertext: CK_BYTE_PTR,
    ulCiphertextLen: CK_ULONG,
    phKey: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call(|inside| {
        must_be(phKey)?;
        // SAFETY: the caller vouches for mechanism, template, bytes and place.
        unsafe {
            let ciphertext = input(pCiphertext, ulCiphertextLen)?;
            if ciphertext.len() > MAX_DATA_BYTES {
                return Err(CKR_ENCRYPTED_DATA_LEN_RANGE);
            }
            let request = Request::Decapsulate {
                session: hSession,
                mechanism: needed_mechanism(pMechanism)?,
                private: hPrivateKey,
                template: template(pTemplate, ulAttributeCount)?,
            };
            give(phKey, ask_for_handle(inside, &request, ciphertext)?)
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SeedRandom(
    hSession: CK_SESSION_HANDLE,
    pSeed: CK_BYTE_PTR,
    ulSeedLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        // SAFETY: the caller vouches for the seed.
        let seed = unsafe { input(pSeed, ulSeedLen) }?;
        let seed = &seed[..seed.len().min(MAX_DATA_BYTES)];
        let request = Request::SeedRandom { session: hSession };
        inside
            .call(Needs::Session, &request, seed, &mut Sink::None)
            .map(drop)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GenerateRandom(
    hSession: CK_SESSION_HANDLE,
    RandomData: CK_BYTE_PTR,
    ulRandomLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let mut length = ulRandomLen;
        if RandomData.is_null() && ulRandomLen > 0 {
            return Err(CKR_ARGUMENTS_BAD);
        }
        // SAFETY: the caller vouches for as many bytes.
        let mut out = unsafe { Output::new(RandomData, &raw mut length) }?;
        let mut parts = out.buffer().chunks_mut(MAX_DATA_BYTES);
        // A session that is none is an error also without a byte.
        let first = parts.next().unwrap_or_default();
        for part in std::iter::once(first).chain(parts) {
            let request = Request::Random {
                session: hSession,
                bytes: part.len() as u64,
            };
            match inside.call(Needs::Session, &request, &[], &mut Sink::Buffer(part))? {
                Reply::Output { .. } => {}
                _ => return Err(NONSENSE),
            }
        }
        Ok(())
    })
}
