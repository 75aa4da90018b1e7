//! Message-based operations: one key and mechanism for many messages, each with its own IV (PKCS#11 3.0, sections 5.9,
//! 5.11, 5.15 and 5.17).

mod ivs;

use slotfs_crypto::Error;
use slotfs_crypto::aead;
use slotfs_crypto::aead::GcmEncrypt;
use slotfs_object::pkcs11::CKK_AES;
use slotfs_wire::rv::{
    CKR_AEAD_DECRYPT_FAILED, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
};
use slotfs_wire::{Message, MessagePart, Operation as Kind, Parameter};
use zeroize::Zeroizing;

use super::cipher::{check_ccm, gcm_tag_bytes};
use super::sign::Signer;
use super::{Key, MAX_HELD_BYTES, Output, Room, Size, failed, no_parameter, reserve};
use crate::error::{Result, Rv};
use crate::mechanism::{AesMode, Algorithm};
use ivs::Ivs;

/// What one call puts out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MessageOutput {
    /// The text or signature, the IV as it was used, and the tag.
    Message {
        text: Zeroizing<Vec<u8>>,
        iv: Vec<u8>,
        tag: Vec<u8>,
    },
    /// The application asked for the length.
    Length(u64),
    /// `CKR_BUFFER_TOO_SMALL`
    TooSmall(u64),
}

impl MessageOutput {
    fn text(text: Zeroizing<Vec<u8>>) -> Self {
        Self::Message {
            text,
            iv: Vec::new(),
            tag: Vec::new(),
        }
    }

    fn nothing() -> Self {
        Self::text(Zeroizing::default())
    }

    fn early(room: Room, bytes: usize) -> Option<Self> {
        match room.early(Size::Exactly(bytes))? {
            Output::Length(bytes) => Some(Self::Length(bytes)),
            Output::TooSmall(bytes) => Some(Self::TooSmall(bytes)),
            Output::Bytes(_) => None,
        }
    }
}

/// The longest tag or MAC, bytes.
const MOST_TAG_BYTES: usize = 16;

/// A message-based operation.
pub(super) struct Messages {
    kind: Kind,
    algorithm: Algorithm,
    /// Of signatures.
    parameter: Parameter,
    key: Key,
    ivs: Ivs,
    current: Current,
}

/// The message that has begun.
enum Current {
    None,
    Signer(Box<Signer>),
    Gcm(GcmEncrypt, Iv),
    Gathered {
        iv: Iv,
        aad: Vec<u8>,
        tag: Vec<u8>,
        tag_bytes: usize,
        text: Zeroizing<Vec<u8>>,
    },
}

type Iv = Vec<u8>;

impl Messages {
    pub(super) fn new(
        kind: Kind,
        algorithm: Algorithm,
        parameter: &Parameter,
        key: Key,
    ) -> Result<Self> {
        match kind {
            Kind::MessageSign => drop(Signer::new(algorithm, parameter, key.clone(), true)?),
            Kind::MessageVerify => drop(Signer::new(algorithm, parameter, key.clone(), false)?),
            _ => {
                if !matches!(algorithm, Algorithm::Aes(AesMode::Gcm | AesMode::Ccm)) {
                    return Err(Rv(CKR_MECHANISM_INVALID));
                }
                no_parameter(parameter)?;
                key.secret(|key_type| key_type == CKK_AES)?;
            }
        }
        Ok(Self {
            kind,
            algorithm,
            parameter: parameter.clone(),
            key,
            ivs: Ivs::default(),
            current: Current::None,
        })
    }

    /// Bytes that were gathered.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.current {
            Current::None => 0,
            Current::Gcm(_, iv) => iv.capacity(),
            Current::Signer(signer) => signer.held_bytes(),
            Current::Gathered {
                iv, aad, tag, text, ..
            } => iv.capacity() + aad.capacity() + tag.capacity() + text.capacity(),
        }
    }

    /// Ends the message that has begun.
    pub(super) fn end(&mut self) {
        self.current = Current::None;
    }

    pub(super) fn call(
        &mut self,
        part: MessagePart,
        parameter: &Message,
        aad: &[u8],
        text: &[u8],
        room: Room,
        signature: &[u8],
    ) -> Result<MessageOutput> {
        if part == MessagePart::Abort {
            self.end();
            return Ok(MessageOutput::nothing());
        }
        if matches!(part, MessagePart::Whole | MessagePart::Begin)
            && !matches!(self.current, Current::None)
        {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        if matches!(part, MessagePart::Next | MessagePart::Last)
            && matches!(self.current, Current::None)
        {
            return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
        }
        let result = match self.kind {
            Kind::MessageSign | Kind::MessageVerify => {
                self.sign(part, parameter, text, room, signature)
            }
            _ => self.crypt(part, parameter, aad, text, room),
        };
        if result.is_err() {
            self.current = Current::None;
        }
        result
    }

    fn sign(
        &mut self,
        part: MessagePart,
        parameter: &Message,
        text: &[u8],
        room: Room,
        signature: &[u8],
    ) -> Result<MessageOutput> {
        if *parameter != Message::None {
            return Err(Rv(CKR_MECHANISM_PARAM_INVALID));
        }
        let signs = self.kind == Kind::MessageSign;
        if let Current::None = self.current {
            let signer = Signer::new(self.algorithm, &self.parameter, self.key.clone(), signs)?;
            let bytes = signer.signature_bytes();
            if part == MessagePart::Whole
                && signs
                && let Some(early) = MessageOutput::early(room, bytes)
            {
                return Ok(early);
            }
            self.current = Current::Signer(Box::new(signer));
        }
        let Current::Signer(signer) = &mut self.current else {
            return Err(failed());
        };
        let is_last = matches!(part, MessagePart::Whole | MessagePart::Last);
        if is_last
            && signs
            && let Some(early) = MessageOutput::early(room, signer.signature_bytes())
        {
            return Ok(early);
        }
        signer.update(text)?;
        if !is_last {
            return Ok(MessageOutput::nothing());
        }
        let mut out = Zeroizing::new(Vec::new());
        match signs {
            true => signer.sign(&mut out)?,
            false => signer.verify(signature)?,
        }
        self.current = Current::None;
        Ok(MessageOutput::text(out))
    }

    fn crypt(
        &mut self,
        part: MessagePart,
        parameter: &Message,
        aad: &[u8],
        text: &[u8],
        room: Room,
    ) -> Result<MessageOutput> {
        let encrypts = self.kind == Kind::MessageEncrypt;
        let too_long = Rv(match encrypts {
            true => CKR_DATA_LEN_RANGE,
            false => CKR_ENCRYPTED_DATA_LEN_RANGE,
        });
        if part == MessagePart::Whole
            && let Some(early) = MessageOutput::early(room, text.len())
        {
            return Ok(early);
        }
        let mut begun = None;
        if matches!(part, MessagePart::Whole | MessagePart::Begin) {
            begun = Some(self.begin(parameter, aad)?);
        }
        let is_last = matches!(part, MessagePart::Whole | MessagePart::Last);
        match &mut self.current {
            Current::Gcm(running, ..) if part != MessagePart::Begin => {
                if part != MessagePart::Whole
                    && let Some(early) = MessageOutput::early(room, text.len())
                {
                    return Ok(early);
                }
                let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
                running.update_into(text, &mut out).map_err(|_| too_long)?;
                if !is_last {
                    return Ok(MessageOutput::text(out));
                }
                let Current::Gcm(running, iv) = std::mem::replace(&mut self.current, Current::None)
                else {
                    return Err(failed());
                };
                let tag = running.finish().map_err(|_| failed())?;
                Ok(MessageOutput::Message { text: out, iv, tag })
            }
            Current::Gathered {
                text: gathered,
                tag,
                ..
            } if part != MessagePart::Begin => {
                let total = gathered.len().saturating_add(text.len());
                if total > MAX_HELD_BYTES {
                    return Err(too_long);
                }
                if part == MessagePart::Last
                    && let Some(early) = MessageOutput::early(room, total)
                {
                    return Ok(early);
                }
                reserve(gathered, text.len());
                gathered.extend_from_slice(text);
                if !is_last {
                    return Ok(MessageOutput::nothing());
                }
                // The tag to compare with may come with the last part only.
                match parameter {
                    Message::Gcm { tag: late, .. } | Message::Ccm { mac: late, .. }
                        if !encrypts && !late.is_empty() =>
                    {
                        if late.len() > MOST_TAG_BYTES {
                            return Err(Rv(CKR_MECHANISM_PARAM_INVALID));
                        }
                        tag.clone_from(late);
                    }
                    _ => {}
                }
                self.finish_gathered(encrypts)
            }
            _ => Ok(MessageOutput::Message {
                text: Zeroizing::default(),
                iv: begun.unwrap_or_default(),
                tag: Vec::new(),
            }),
        }
    }

    /// Starts a message; its IV.
    fn begin(&mut self, parameter: &Message, aad: &[u8]) -> Result<Iv> {
        let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
        let encrypts = self.kind == Kind::MessageEncrypt;
        let (iv, fixed_bits, generator, tag, tag_bytes) = match (self.algorithm, parameter) {
            (
                Algorithm::Aes(AesMode::Gcm),
                Message::Gcm {
                    iv,
                    fixed_bits,
                    generator,
                    tag,
                    tag_bits,
                },
            ) => {
                if !(1..=aead::LONGEST_GCM_IV).contains(&iv.len()) {
                    return Err(invalid);
                }
                (iv, fixed_bits, generator, tag, gcm_tag_bytes(*tag_bits)?)
            }
            (
                Algorithm::Aes(AesMode::Ccm),
                Message::Ccm {
                    nonce,
                    fixed_bits,
                    generator,
                    mac,
                    mac_bytes,
                    ..
                },
            ) => {
                let mac_bytes = usize::try_from(*mac_bytes).map_err(|_| invalid)?;
                check_ccm(nonce, mac_bytes)?;
                (nonce, fixed_bits, generator, mac, mac_bytes)
            }
            _ => return Err(invalid),
        };
        if tag.len() > MOST_TAG_BYTES {
            return Err(invalid);
        }
        let iv = match encrypts {
            true => self.ivs.next(iv, *fixed_bits, *generator)?,
            false => iv.clone(),
        };
        self.current = if encrypts && self.algorithm == Algorithm::Aes(AesMode::Gcm) {
            let value = self.key.secret(|key_type| key_type == CKK_AES)?;
            let running = GcmEncrypt::new(value, &iv, aad, tag_bytes).map_err(|_| invalid)?;
            Current::Gcm(running, iv.clone())
        } else {
            Current::Gathered {
                iv: iv.clone(),
                aad: aad.to_vec(),
                tag: tag.clone(),
                tag_bytes,
                text: Zeroizing::default(),
            }
        };
        Ok(iv)
    }

    fn finish_gathered(&mut self, encrypts: bool) -> Result<MessageOutput> {
        let Current::Gathered {
            iv,
            aad,
            tag,
            tag_bytes,
            text,
        } = std::mem::replace(&mut self.current, Current::None)
        else {
            return Err(failed());
        };
        let value = self.key.secret(|key_type| key_type == CKK_AES)?;
        if encrypts {
            let sealed = aead::ccm_seal(value, &iv, &aad, &text, tag_bytes);
            let mut text = sealed.map_err(|error| match error {
                Error::TooLong => Rv(CKR_DATA_LEN_RANGE),
                _ => failed(),
            })?;
            let tag = text.split_off(text.len().saturating_sub(tag_bytes));
            let text = Zeroizing::new(text);
            return Ok(MessageOutput::Message { text, iv, tag });
        }
        if tag.len() < tag_bytes {
            return Err(Rv(CKR_MECHANISM_PARAM_INVALID));
        }
        let tag = &tag[..tag_bytes];
        let opened = match self.algorithm {
            Algorithm::Aes(AesMode::Gcm) => aead::gcm_open(value, &iv, &aad, &text, tag),
            _ => aead::ccm_open(value, &iv, &aad, &text, tag),
        };
        let text = opened.map_err(|error| match error {
            Error::TooLong => Rv(CKR_ENCRYPTED_DATA_LEN_RANGE),
            Error::DecryptFailed => Rv(CKR_AEAD_DECRYPT_FAILED),
            _ => failed(),
        })?;
        Ok(MessageOutput::text(text))
    }
}
