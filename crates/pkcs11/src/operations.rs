//! Encryption, digests, signatures (PKCS#11 3.2 sections 5.8 to 5.15).
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{MAX_DATA_BYTES, Message, MessagePart, Operation, Reply, Request};
use zeroize::Zeroizing;

use crate::client::Needs;
use crate::connection::Sink;
use crate::entry::call;
use crate::memory::{Output, bare_mechanism, input, mechanism};
use crate::slots::NONSENSE;
use crate::state::Inside;

/// `C_…Init`: starts an operation, or with a null mechanism cancels it (PKCS#11 3.0).
///
/// # Safety
/// The caller of the C interface vouches for the mechanism.
pub(crate) unsafe fn start(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    pMechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> Result<(), CK_RV> {
    // SAFETY: as the caller vouches.
    unsafe { start_with(state, session, operation, pMechanism, key, &[]) }
}

/// The same with data: the signature of `C_VerifySignatureInit`.
///
/// # Safety
/// As [`start`].
pub(crate) unsafe fn start_with(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    pMechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
    data: &[u8],
) -> Result<(), CK_RV> {
    // SAFETY: as the caller vouches.
    let mechanism = unsafe {
        match operation {
            Operation::MessageEncrypt | Operation::MessageDecrypt => bare_mechanism(pMechanism),
            _ => mechanism(pMechanism)?,
        }
    };
    let request = match mechanism {
        Some(mechanism) => Request::Start {
            session,
            operation,
            mechanism,
            key,
        },
        None => {
            let flags = operation.flag();
            let request = Request::Cancel { session, flags };
            return state.ask(Needs::Session, &request).map(drop);
        }
    };
    state
        .call(Needs::Session, &request, data, &mut Sink::None)
        .map(drop)
}

/// What an application gives for an operation. If it makes no sense, the operation ends, as it does with every error but
/// `CKR_BUFFER_TOO_SMALL` (PKCS#11 3.2 sections 5.8 to 5.15); of message-based operations the message that has begun.
pub(crate) fn given<T>(
    state: &Inside,
    (session, operation): (CK_SESSION_HANDLE, Operation),
    given: Result<T, CK_RV>,
) -> Result<T, CK_RV> {
    use Operation as O;
    given.inspect_err(|_| {
        let end = match operation {
            O::MessageEncrypt | O::MessageDecrypt | O::MessageSign | O::MessageVerify => {
                Request::Message {
                    session,
                    operation,
                    part: MessagePart::Abort,
                    parameter: Message::None,
                    aad_bytes: 0,
                    room: Some(0),
                    signature: Vec::new(),
                }
            }
            _ => Request::Cancel {
                session,
                flags: operation.flag(),
            },
        };
        // What is wrong with the arguments is what the application learns.
        let _ = state.ask(Needs::Session, &end);
    })
}

/// Asks for an output, and fetches all of it into the application's buffer.
pub(crate) fn fetch(
    state: &Inside,
    (session, operation): (CK_SESSION_HANDLE, Operation),
    request: &Request,
    data: &[u8],
    out: &mut Output<'_>,
) -> Result<(), CK_RV> {
    let is_query = out.room().is_none();
    let reply = {
        let mut sink = Sink::Buffer(out.buffer());
        state.call(Needs::Session, request, data, &mut sink)?
    };
    let bytes = match reply {
        Reply::Output { bytes } => bytes,
        Reply::TooSmall { bytes } => return Err(out.too_small(bytes)),
        // Operations without output.
        Reply::Done => 0,
        _ => return Err(NONSENSE),
    };
    out.set_length(bytes);
    if is_query {
        return Ok(());
    }
    let mut have = MAX_DATA_BYTES;
    let total = usize::try_from(bytes).map_err(|_| NONSENSE)?;
    while have < total {
        let more = Request::More {
            session,
            operation,
            offset: have as u64,
        };
        let part = out.buffer().get_mut(have..total).ok_or(NONSENSE)?;
        state.call(Needs::Session, &more, &[], &mut Sink::Buffer(part))?;
        have += MAX_DATA_BYTES;
    }
    Ok(())
}

/// Sends all but the last part of data that is too long for a frame; the last part.
pub(crate) fn send_pieces<'a>(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    mut data: &'a [u8],
) -> Result<&'a [u8], CK_RV> {
    while data.len() > MAX_DATA_BYTES {
        let (piece, rest) = data.split_at(MAX_DATA_BYTES);
        let request = Request::Piece { session, operation };
        state.call(Needs::Session, &request, piece, &mut Sink::None)?;
        data = rest;
    }
    Ok(data)
}

/// `C_Encrypt` and its like.
///
/// # Safety
/// The caller of the C interface vouches for data, buffer and length.
unsafe fn whole(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    (data, bytes): (CK_BYTE_PTR, CK_ULONG),
    (buffer, length): (CK_BYTE_PTR, CK_ULONG_PTR),
) -> Result<(), CK_RV> {
    let place = (session, operation);
    // SAFETY: as the caller vouches.
    let (data, out) = unsafe { (input(data, bytes), Output::new(buffer, length)) };
    let (data, mut out) = (given(state, place, data)?, given(state, place, out)?);
    let request = |room| Request::Whole {
        session,
        operation,
        room,
        signature: Vec::new(),
    };
    let room = out.room();
    let last = send_pieces(state, session, operation, data)?;
    fetch(state, (session, operation), &request(room), last, &mut out)
}

/// `C_EncryptUpdate` and its like: data too long for a frame is sent in several updates, whose outputs follow each other.
///
/// # Safety
/// As [`whole`].
unsafe fn update(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    (data, bytes): (CK_BYTE_PTR, CK_ULONG),
    (buffer, length): (CK_BYTE_PTR, CK_ULONG_PTR),
) -> Result<(), CK_RV> {
    let place = (session, operation);
    // SAFETY: as the caller vouches.
    let (data, out) = unsafe { (input(data, bytes), Output::new(buffer, length)) };
    let (mut data, mut out) = (given(state, place, data)?, given(state, place, out)?);
    let request = |room| Request::Update {
        session,
        operation,
        room,
    };
    if data.len() <= MAX_DATA_BYTES {
        let room = out.room();
        return fetch(state, (session, operation), &request(room), data, &mut out);
    }
    // Some of the output would be lost if a later part did not fit, so its length is asked for first.
    let most = update_bytes(state, session, operation, data)?;
    match out.room() {
        None => {
            out.set_length(most);
            return Ok(());
        }
        Some(room) if room < most => return Err(out.too_small(most)),
        Some(_) => {}
    }
    let mut written = 0;
    while !data.is_empty() {
        let (part, rest) = data.split_at(data.len().min(MAX_DATA_BYTES));
        let room = out.buffer().len() - written;
        let mut length = room as CK_ULONG;
        // SAFETY: `written` is within the buffer, and `room` is what is left of it.
        let mut into = unsafe {
            let place = out.buffer().as_mut_ptr().add(written);
            Output::new(place, &raw mut length)?
        };
        fetch(
            state,
            (session, operation),
            &request(Some(room as u64)),
            part,
            &mut into,
        )?;
        written += length as usize;
        data = rest;
    }
    out.set_length(written as u64);
    Ok(())
}

/// How long the output of an update is. Ciphers give what they take in, but for a part of a block at either end, so the
/// length for an end of the data of at most one frame tells that for all of it. What gathers its data gives nothing.
fn update_bytes(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    data: &[u8],
) -> Result<u64, CK_RV> {
    const BLOCK: usize = 16;
    let asked = MAX_DATA_BYTES - BLOCK + data.len() % BLOCK;
    let request = Request::Update {
        session,
        operation,
        room: None,
    };
    let end = &data[..asked.min(data.len())];
    let reply = state.call(Needs::Session, &request, end, &mut Sink::None)?;
    match reply {
        Reply::Output { bytes: 0 } | Reply::Done => Ok(0),
        Reply::Output { bytes } => Ok(bytes + (data.len() - end.len()) as u64),
        _ => Err(NONSENSE),
    }
}

/// Updates without output: digests and signatures.
pub(crate) fn feed(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    data: &[u8],
) -> Result<(), CK_RV> {
    let request = Request::Update {
        session,
        operation,
        room: Some(0),
    };
    let mut parts = data.chunks(MAX_DATA_BYTES);
    let first = parts.next().unwrap_or_default();
    for part in std::iter::once(first).chain(parts) {
        state.call(Needs::Session, &request, part, &mut Sink::None)?;
    }
    Ok(())
}

/// `C_EncryptFinal` and its like.
///
/// # Safety
/// The caller of the C interface vouches for buffer and length.
unsafe fn finish(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    operation: Operation,
    buffer: CK_BYTE_PTR,
    length: CK_ULONG_PTR,
) -> Result<(), CK_RV> {
    // SAFETY: as the caller vouches.
    let out = unsafe { Output::new(buffer, length) };
    let mut out = given(state, (session, operation), out)?;
    let room = out.room();
    let request = Request::Final {
        session,
        operation,
        room,
    };
    fetch(state, (session, operation), &request, &[], &mut out)
}

/// The functions of one operation that all have the same form.
macro_rules! init {
    ($($name:ident => $operation:ident),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(
            hSession: CK_SESSION_HANDLE,
            pMechanism: CK_MECHANISM_PTR,
            hKey: CK_OBJECT_HANDLE,
        ) -> CK_RV {
            // SAFETY: the caller vouches for the mechanism.
            call(|inside| unsafe { start(inside, hSession, Operation::$operation, pMechanism, hKey) })
        })+
    };
}
pub(crate) use init;

macro_rules! whole {
    ($($name:ident => $work:ident $operation:ident),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(
            hSession: CK_SESSION_HANDLE,
            pData: CK_BYTE_PTR,
            ulDataLen: CK_ULONG,
            pOutput: CK_BYTE_PTR,
            pulOutputLen: CK_ULONG_PTR,
        ) -> CK_RV {
            let (data, out) = ((pData, ulDataLen), (pOutput, pulOutputLen));
            // SAFETY: the caller vouches for data, buffer and length.
            call(|inside| unsafe { $work(inside, hSession, Operation::$operation, data, out) })
        })+
    };
}

macro_rules! feed {
    ($($name:ident => $operation:ident),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(
            hSession: CK_SESSION_HANDLE,
            pPart: CK_BYTE_PTR,
            ulPartLen: CK_ULONG,
        ) -> CK_RV {
            call(|inside| {
                // SAFETY: the caller vouches for the data.
                let data = unsafe { input(pPart, ulPartLen) };
                let data = given(inside, (hSession, Operation::$operation), data)?;
                feed(inside, hSession, Operation::$operation, data)
            })
        })+
    };
}

macro_rules! finish {
    ($($name:ident => $operation:ident),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(
            hSession: CK_SESSION_HANDLE,
            pOutput: CK_BYTE_PTR,
            pulOutputLen: CK_ULONG_PTR,
        ) -> CK_RV {
            // SAFETY: the caller vouches for buffer and length.
            call(|inside| unsafe { finish(inside, hSession, Operation::$operation, pOutput, pulOutputLen) })
        })+
    };
}

init! {
    C_EncryptInit => Encrypt,
    C_DecryptInit => Decrypt,
    C_SignInit => Sign,
    C_SignRecoverInit => SignRecover,
    C_VerifyInit => Verify,
    C_VerifyRecoverInit => VerifyRecover,
}

whole! {
    C_Encrypt => whole Encrypt,
    C_EncryptUpdate => update Encrypt,
    C_Decrypt => whole Decrypt,
    C_DecryptUpdate => update Decrypt,
    C_Digest => whole Digest,
    C_Sign => whole Sign,
    C_SignRecover => whole SignRecover,
    C_VerifyRecover => whole VerifyRecover,
}

feed! {
    C_DigestUpdate => Digest,
    C_SignUpdate => Sign,
    C_VerifyUpdate => Verify,
    C_VerifySignatureUpdate => VerifySignature,
}

finish! {
    C_EncryptFinal => Encrypt,
    C_DecryptFinal => Decrypt,
    C_DigestFinal => Digest,
    C_SignFinal => Sign,
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DigestInit(
    hSession: CK_SESSION_HANDLE,
    pMechanism: CK_MECHANISM_PTR,
) -> CK_RV {
    // SAFETY: the caller vouches for the mechanism.
    call(|inside| unsafe { start(inside, hSession, Operation::Digest, pMechanism, 0) })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DigestKey(
    hSession: CK_SESSION_HANDLE,
    hKey: CK_OBJECT_HANDLE,
) -> CK_RV {
    call(|inside| {
        let request = Request::DigestKey {
            session: hSession,
            key: hKey,
        };
        inside.ask(Needs::Session, &request).map(drop)
    })
}

/// One update that encrypts, and one that digests or signs what goes in.
///
/// # Safety
/// As [`whole`].
unsafe fn both_in(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    second: Operation,
    data: (CK_BYTE_PTR, CK_ULONG),
    out: (CK_BYTE_PTR, CK_ULONG_PTR),
) -> Result<(), CK_RV> {
    // A copy: the output may be written over the input.
    // SAFETY: as the caller vouches.
    let clear = unsafe { input(data.0, data.1) };
    let clear = given(state, (session, Operation::Encrypt), clear)?;
    let clear = Zeroizing::new(clear.to_vec());
    // SAFETY: as the caller vouches.
    unsafe { update(state, session, Operation::Encrypt, data, out) }?;
    match out.0.is_null() {
        true => Ok(()),
        false => feed(state, session, second, &clear),
    }
}

/// One update that decrypts, and one that digests or verifies what comes out.
///
/// # Safety
/// As [`whole`].
unsafe fn both_out(
    state: &Inside,
    session: CK_SESSION_HANDLE,
    second: Operation,
    data: (CK_BYTE_PTR, CK_ULONG),
    out: (CK_BYTE_PTR, CK_ULONG_PTR),
) -> Result<(), CK_RV> {
    // SAFETY: as the caller vouches; the update has written as many bytes as the length then says.
    unsafe {
        update(state, session, Operation::Decrypt, data, out)?;
        match (out.0.is_null(), out.1.as_ref()) {
            (false, Some(length)) => {
                // A copy: the application's buffer is its own again after this call only.
                let came = Zeroizing::new(input(out.0, *length)?.to_vec());
                feed(state, session, second, &came)
            }
            _ => Ok(()),
        }
    }
}

whole! {
    C_DigestEncryptUpdate => both_in Digest,
    C_SignEncryptUpdate => both_in Sign,
    C_DecryptDigestUpdate => both_out Digest,
    C_DecryptVerifyUpdate => both_out Verify,
}
