//! Message-based operations (PKCS#11 3.2 sections 5.9, 5.11, 5.14 and 5.16): many messages under one key, each with a
//! parameter of its own.
#![allow(non_snake_case)]

use cryptoki_sys::*;
use slotfs_wire::{MAX_DATA_BYTES, Message, MessagePart, Operation, Reply, Request};
use zeroize::Zeroizing;

use crate::client::Needs;
use crate::connection::Sink;
use crate::entry::call;
use crate::memory::{Output, input, poke};
use crate::operations::{given, init, start};
use crate::parameters::{SHORT, bytes, structure};
use crate::slots::NONSENSE;
use crate::state::Inside;
use crate::verify::signature;

/// The most text and associated data of one message, so that the reply fits a frame with its IV and tag.
const MAX_MESSAGE_BYTES: usize = MAX_DATA_BYTES - 1024;

/// The parameter of a message, and where the IV and the tag of an encryption go.
struct Parameter {
    message: Message,
    iv: *mut CK_BYTE,
    tag: *mut CK_BYTE,
}

impl Parameter {
    const NONE: Self = Self {
        message: Message::None,
        iv: std::ptr::null_mut(),
        tag: std::ptr::null_mut(),
    };

    /// The two structures have different lengths, which tell them apart. The tag is an input of a decryption alone.
    fn read(at: CK_VOID_PTR, length: CK_ULONG, encrypts: bool) -> Result<Self, CK_RV> {
        let message = Self::try_read(at.cast_const(), length, encrypts);
        message.ok_or(CKR_MECHANISM_PARAM_INVALID)
    }

    fn try_read(at: *const libc::c_void, length: CK_ULONG, encrypts: bool) -> Option<Self> {
        let tag = |at: *mut CK_BYTE, length| match encrypts || at.is_null() {
            true => Some(Vec::new()),
            false => bytes(at, length, SHORT),
        };
        if length as usize == size_of::<CK_GCM_MESSAGE_PARAMS>() {
            let it: CK_GCM_MESSAGE_PARAMS = structure(at, length)?;
            return Some(Self {
                message: Message::Gcm {
                    iv: bytes(it.pIv, it.ulIvLen, SHORT)?,
                    fixed_bits: it.ulIvFixedBits,
                    generator: it.ivGenerator,
                    tag: tag(it.pTag, it.ulTagBits.div_ceil(8))?,
                    tag_bits: it.ulTagBits,
                },
                iv: it.pIv,
                tag: it.pTag,
            });
        }
        let it: CK_CCM_MESSAGE_PARAMS = structure(at, length)?;
        Some(Self {
            message: Message::Ccm {
                data_bytes: it.ulDataLen,
                nonce: bytes(it.pNonce, it.ulNonceLen, SHORT)?,
                fixed_bits: it.ulNonceFixedBits,
                generator: it.nonceGenerator,
                mac: tag(it.pMAC, it.ulMACLen)?,
                mac_bytes: it.ulMACLen,
            },
            iv: it.pNonce,
            tag: it.pMAC,
        })
    }

    /// How long the IV and the tag may be.
    fn room(&self) -> (usize, usize) {
        let tag = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        match &self.message {
            Message::None => (0, 0),
            Message::Gcm { iv, tag_bits, .. } => (iv.len(), tag(tag_bits.div_ceil(8))),
            Message::Ccm {
                nonce, mac_bytes, ..
            } => (nonce.len(), tag(*mac_bytes)),
        }
    }

    /// Puts the IV as it was used, and the tag, where the application wants them.
    fn put(&self, iv: &[u8], tag: &[u8]) -> Result<(), CK_RV> {
        let (iv_room, tag_room) = self.room();
        if iv.len() > iv_room || tag.len() > tag_room {
            return Err(NONSENSE);
        }
        match poke(self.iv, iv) && poke(self.tag, tag) {
            true => Ok(()),
            false => Err(CKR_MECHANISM_PARAM_INVALID),
        }
    }
}

/// One call of an encryption or decryption.
struct Crypt<'a> {
    session: CK_SESSION_HANDLE,
    operation: Operation,
    part: MessagePart,
    parameter: (CK_VOID_PTR, CK_ULONG),
    aad: &'a [u8],
    text: &'a [u8],
}

impl Crypt<'_> {
    /// The parameter, if it and the data make sense.
    fn parameter(&self) -> Result<Parameter, CK_RV> {
        let encrypts = self.operation == Operation::MessageEncrypt;
        if self.aad.len().saturating_add(self.text.len()) > MAX_MESSAGE_BYTES {
            return Err(match encrypts {
                true => CKR_DATA_LEN_RANGE,
                false => CKR_ENCRYPTED_DATA_LEN_RANGE,
            });
        }
        Parameter::read(self.parameter.0, self.parameter.1, encrypts)
    }

    fn run(self, state: &Inside, out: Option<Output<'_>>) -> Result<(), CK_RV> {
        let encrypts = self.operation == Operation::MessageEncrypt;
        let place = (self.session, self.operation);
        let parameter = given(state, place, self.parameter())?;
        let room = match &out {
            // Nothing comes out of the beginning.
            None => Some(0),
            // The end of a message without text has no use for a buffer.
            Some(out) if self.part == MessagePart::Last && self.text.is_empty() => {
                Some(out.room().unwrap_or(0))
            }
            Some(out) => out.room(),
        };
        let request = Request::Message {
            session: self.session,
            operation: self.operation,
            part: self.part,
            parameter: parameter.message.clone(),
            aad_bytes: self.aad.len() as u64,
            room,
            signature: Vec::new(),
        };
        let mut came = Zeroizing::new(Vec::new());
        let reply = {
            let mut sink = Sink::Vector(&mut came);
            state.call_with(Needs::Session, &request, [self.aad, self.text], &mut sink)?
        };
        let (text, iv, tag) = match reply {
            Reply::Output { bytes } => return finish(out, bytes),
            Reply::TooSmall { bytes } => {
                let mut out = out.ok_or(NONSENSE)?;
                return match out.room() {
                    None => finish(Some(out), bytes),
                    Some(_) => Err(out.too_small(bytes)),
                };
            }
            Reply::Message {
                bytes,
                iv_bytes,
                tag_bytes,
            } => split(&came, bytes, iv_bytes, tag_bytes).ok_or(NONSENSE)?,
            Reply::Done => (&[][..], &[][..], &[][..]),
            _ => return Err(NONSENSE),
        };
        if let Some(mut out) = out {
            let place = out.buffer().get_mut(..text.len()).ok_or(NONSENSE)?;
            place.copy_from_slice(text);
            out.set_length(text.len() as u64);
        }
        match encrypts {
            true => parameter.put(iv, tag),
            false => Ok(()),
        }
    }
}

fn finish(out: Option<Output<'_>>, bytes: u64) -> Result<(), CK_RV> {
    if let Some(mut out) = out {
        out.set_length(bytes);
    }
    Ok(())
}

/// Text, IV and tag of a reply.
fn split(data: &[u8], text: u64, iv: u64, tag: u64) -> Option<(&[u8], &[u8], &[u8])> {
    let (text, rest) = data.split_at_checked(usize::try_from(text).ok()?)?;
    let (iv, rest) = rest.split_at_checked(usize::try_from(iv).ok()?)?;
    let tag = rest.get(..usize::try_from(tag).ok()?)?;
    (rest.len() == tag.len()).then_some((text, iv, tag))
}

/// The functions that encrypt and decrypt.
macro_rules! crypt {
    ($operation:ident: $whole:ident, $begin:ident, $next:ident) => {
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $whole(
            hSession: CK_SESSION_HANDLE,
            pParameter: CK_VOID_PTR,
            ulParameterLen: CK_ULONG,
            pAssociatedData: CK_BYTE_PTR,
            ulAssociatedDataLen: CK_ULONG,
            pText: CK_BYTE_PTR,
            ulTextLen: CK_ULONG,
            pOutput: CK_BYTE_PTR,
            pulOutputLen: CK_ULONG_PTR,
        ) -> CK_RV {
            call(|inside| {
                let place = (hSession, Operation::$operation);
                // SAFETY: the caller vouches for data, text, buffer and length.
                let (aad, text, out) = unsafe {
                    (
                        input(pAssociatedData, ulAssociatedDataLen),
                        input(pText, ulTextLen),
                        Output::new(pOutput, pulOutputLen),
                    )
                };
                let aad = given(inside, place, aad)?;
                let (text, out) = (given(inside, place, text)?, given(inside, place, out)?);
                let crypt = Crypt {
                    session: hSession,
                    operation: Operation::$operation,
                    part: MessagePart::Whole,
                    parameter: (pParameter, ulParameterLen),
                    aad,
                    text,
                };
                crypt.run(inside, Some(out))
            })
        }

        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $begin(
            hSession: CK_SESSION_HANDLE,
            pParameter: CK_VOID_PTR,
            ulParameterLen: CK_ULONG,
            pAssociatedData: CK_BYTE_PTR,
            ulAssociatedDataLen: CK_ULONG,
        ) -> CK_RV {
            call(|inside| {
                // SAFETY: the caller vouches for the data.
                let aad = unsafe { input(pAssociatedData, ulAssociatedDataLen) };
                let crypt = Crypt {
                    session: hSession,
                    operation: Operation::$operation,
                    part: MessagePart::Begin,
                    parameter: (pParameter, ulParameterLen),
                    aad: given(inside, (hSession, Operation::$operation), aad)?,
                    text: &[],
                };
                crypt.run(inside, None)
            })
        }

        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $next(
            hSession: CK_SESSION_HANDLE,
            pParameter: CK_VOID_PTR,
            ulParameterLen: CK_ULONG,
            pText: CK_BYTE_PTR,
            ulTextLen: CK_ULONG,
            pOutput: CK_BYTE_PTR,
            pulOutputLen: CK_ULONG_PTR,
            flags: CK_FLAGS,
        ) -> CK_RV {
            call(|inside| {
                let place = (hSession, Operation::$operation);
                // SAFETY: the caller vouches for text, buffer and length.
                let both = unsafe { (input(pText, ulTextLen), Output::new(pOutput, pulOutputLen)) };
                let (text, out) = both;
                let (text, out) = (given(inside, place, text)?, given(inside, place, out)?);
                let crypt = Crypt {
                    session: hSession,
                    operation: Operation::$operation,
                    part: match flags & CKF_END_OF_MESSAGE {
                        0 => MessagePart::Next,
                        _ => MessagePart::Last,
                    },
                    parameter: (pParameter, ulParameterLen),
                    aad: &[],
                    text,
                };
                crypt.run(inside, Some(out))
            })
        }
    };
}

macro_rules! end {
    ($($operation:ident: $final:ident),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $final(hSession: CK_SESSION_HANDLE) -> CK_RV {
            call(|inside| {
                let request = Request::Cancel {
                    session: hSession,
                    flags: Operation::$operation.flag(),
                };
                inside.ask(Needs::Session, &request).map(drop)
            })
        })+
    };
}

init! {
    C_MessageEncryptInit => MessageEncrypt,
    C_MessageDecryptInit => MessageDecrypt,
    C_MessageSignInit => MessageSign,
    C_MessageVerifyInit => MessageVerify,
}
crypt!(MessageEncrypt: C_EncryptMessage, C_EncryptMessageBegin, C_EncryptMessageNext);
crypt!(MessageDecrypt: C_DecryptMessage, C_DecryptMessageBegin, C_DecryptMessageNext);
end! {
    MessageEncrypt: C_MessageEncryptFinal,
    MessageDecrypt: C_MessageDecryptFinal,
    MessageSign: C_MessageSignFinal,
    MessageVerify: C_MessageVerifyFinal,
}

/// One call of a signature or its verification. No mechanism here has a parameter per message.
struct Sign<'a> {
    session: CK_SESSION_HANDLE,
    operation: Operation,
    data: &'a [u8],
}

impl Sign<'_> {
    fn request(&self, part: MessagePart, room: Option<u64>, signature: &[u8]) -> Request {
        Request::Message {
            session: self.session,
            operation: self.operation,
            part,
            parameter: Parameter::NONE.message,
            aad_bytes: 0,
            room,
            signature: signature.to_vec(),
        }
    }

    /// Sends data that ends no message.
    fn feed(&self, state: &Inside, part: MessagePart, data: &[u8]) -> Result<(), CK_RV> {
        let request = self.request(part, Some(0), &[]);
        let came = state.call(Needs::Session, &request, data, &mut Sink::None)?;
        match came {
            Reply::Message { .. } | Reply::Output { .. } | Reply::Done => Ok(()),
            _ => Err(NONSENSE),
        }
    }

    /// Sends all but the last frame of data, as the beginning of a message; the last, and what part of the message it is.
    fn feed_long(&self, state: &Inside, part: MessagePart) -> Result<(MessagePart, &[u8]), CK_RV> {
        let mut data = self.data;
        let is_long = data.len() > MAX_DATA_BYTES;
        if is_long && part == MessagePart::Whole {
            self.feed(state, MessagePart::Begin, &[])?;
        }
        while let Some((frame, rest)) = data.split_at_checked(MAX_DATA_BYTES)
            && !rest.is_empty()
        {
            self.feed(state, MessagePart::Next, frame)?;
            data = rest;
        }
        let part = match part {
            MessagePart::Whole if is_long => MessagePart::Last,
            part => part,
        };
        Ok((part, data))
    }

    fn sign(&self, state: &Inside, part: MessagePart, mut out: Output<'_>) -> Result<(), CK_RV> {
        let is_long = self.data.len() > MAX_DATA_BYTES;
        let room = out.room();
        if is_long {
            // Too little room must leave no message half done.
            let query = self.request(part, None, &[]);
            match state.ask(Needs::Session, &query)? {
                Reply::Output { bytes } if room.is_none() => {
                    out.set_length(bytes);
                    return Ok(());
                }
                Reply::Output { bytes } if room < Some(bytes) => return Err(out.too_small(bytes)),
                Reply::Output { .. } => {}
                _ => return Err(NONSENSE),
            }
        }
        let (part, last) = match room {
            None => (part, self.data),
            Some(_) => self.feed_long(state, part)?,
        };
        let request = self.request(part, room, &[]);
        let reply = {
            let mut sink = Sink::Buffer(out.buffer());
            state.call(Needs::Session, &request, last, &mut sink)?
        };
        match reply {
            Reply::Output { bytes } | Reply::Message { bytes, .. } => {
                out.set_length(bytes);
                Ok(())
            }
            Reply::TooSmall { bytes } => Err(out.too_small(bytes)),
            _ => Err(NONSENSE),
        }
    }

    fn verify(&self, state: &Inside, part: MessagePart, signature: &[u8]) -> Result<(), CK_RV> {
        let (part, last) = self.feed_long(state, part)?;
        let request = self.request(part, Some(0), signature);
        state
            .call(Needs::Session, &request, last, &mut Sink::None)
            .map(drop)
    }
}

/// What a signature or a verification of a message is given: no parameter, and its data.
///
/// # Safety
/// As [`input`].
unsafe fn sign<'a>(
    state: &Inside,
    (session, operation): (CK_SESSION_HANDLE, Operation),
    (parameter, parameter_bytes): (CK_VOID_PTR, CK_ULONG),
    (data, bytes): (CK_BYTE_PTR, CK_ULONG),
) -> Result<Sign<'a>, CK_RV> {
    // SAFETY: as the caller vouches.
    let data = unsafe { input(data, bytes) };
    let data = match parameter.is_null() || parameter_bytes == 0 {
        true => data,
        false => Err(CKR_MECHANISM_PARAM_INVALID),
    };
    Ok(Sign {
        session,
        operation,
        data: given(state, (session, operation), data)?,
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SignMessage(
    hSession: CK_SESSION_HANDLE,
    pParameter: CK_VOID_PTR,
    ulParameterLen: CK_ULONG,
    pData: CK_BYTE_PTR,
    ulDataLen: CK_ULONG,
    pSignature: CK_BYTE_PTR,
    pulSignatureLen: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        let place = (hSession, Operation::MessageSign);
        let parameter = (pParameter, ulParameterLen);
        // SAFETY: the caller vouches for data, buffer and length.
        let (sign, out) = unsafe {
            (
                sign(inside, place, parameter, (pData, ulDataLen))?,
                Output::new(pSignature, pulSignatureLen),
            )
        };
        sign.sign(inside, MessagePart::Whole, given(inside, place, out)?)
    })
}

/// Without a place for the length, more of the message is to come.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SignMessageNext(
    hSession: CK_SESSION_HANDLE,
    pParameter: CK_VOID_PTR,
    ulParameterLen: CK_ULONG,
    pData: CK_BYTE_PTR,
    ulDataLen: CK_ULONG,
    pSignature: CK_BYTE_PTR,
    pulSignatureLen: CK_ULONG_PTR,
) -> CK_RV {
    call(|inside| {
        let place = (hSession, Operation::MessageSign);
        let parameter = (pParameter, ulParameterLen);
        // SAFETY: the caller vouches for the data.
        let sign = unsafe { sign(inside, place, parameter, (pData, ulDataLen)) }?;
        if pulSignatureLen.is_null() {
            let (part, last) = sign.feed_long(inside, MessagePart::Next)?;
            return sign.feed(inside, part, last);
        }
        // SAFETY: the caller vouches for buffer and length.
        let out = unsafe { Output::new(pSignature, pulSignatureLen) };
        sign.sign(inside, MessagePart::Last, given(inside, place, out)?)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_VerifyMessage(
    hSession: CK_SESSION_HANDLE,
    pParameter: CK_VOID_PTR,
    ulParameterLen: CK_ULONG,
    pData: CK_BYTE_PTR,
    ulDataLen: CK_ULONG,
    pSignature: CK_BYTE_PTR,
    ulSignatureLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let place = (hSession, Operation::MessageVerify);
        let parameter = (pParameter, ulParameterLen);
        // SAFETY: the caller vouches for data and signature.
        let (verify, signature) = unsafe {
            (
                sign(inside, place, parameter, (pData, ulDataLen))?,
                signature(pSignature, ulSignatureLen),
            )
        };
        verify.verify(inside, MessagePart::Whole, given(inside, place, signature)?)
    })
}

/// Without a signature, more of the message is to come.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_VerifyMessageNext(
    hSession: CK_SESSION_HANDLE,
    pParameter: CK_VOID_PTR,
    ulParameterLen: CK_ULONG,
    pData: CK_BYTE_PTR,
    ulDataLen: CK_ULONG,
    pSignature: CK_BYTE_PTR,
    ulSignatureLen: CK_ULONG,
) -> CK_RV {
    call(|inside| {
        let place = (hSession, Operation::MessageVerify);
        let parameter = (pParameter, ulParameterLen);
        // SAFETY: the caller vouches for the data.
        let verify = unsafe { sign(inside, place, parameter, (pData, ulDataLen)) }?;
        if pSignature.is_null() {
            let (part, last) = verify.feed_long(inside, MessagePart::Next)?;
            return verify.feed(inside, part, last);
        }
        // SAFETY: the caller vouches for the signature.
        let signature = unsafe { signature(pSignature, ulSignatureLen) };
        verify.verify(inside, MessagePart::Last, given(inside, place, signature)?)
    })
}

macro_rules! begin {
    ($($operation:ident: $begin:ident),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $begin(
            hSession: CK_SESSION_HANDLE,
            pParameter: CK_VOID_PTR,
            ulParameterLen: CK_ULONG,
        ) -> CK_RV {
            call(|inside| {
                let place = (hSession, Operation::$operation);
                let parameter = (pParameter, ulParameterLen);
                // SAFETY: there is no data.
                let sign = unsafe { sign(inside, place, parameter, (std::ptr::null_mut(), 0)) }?;
                sign.feed(inside, MessagePart::Begin, &[])
            })
        })+
    };
}

begin! {
    MessageSign: C_SignMessageBegin,
    MessageVerify: C_VerifyMessageBegin,
}
