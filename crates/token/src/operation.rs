//! One running operation of a session: `C_SignInit` to `C_SignFinal` and its like.
//!
//! A length query and `CKR_BUFFER_TOO_SMALL` never end an operation. Where the length follows from the length of the
//! data, neither computes anything. Where it does not, the result is computed once and kept until the application
//! fetches it. Every other error ends the operation.

mod cipher;
mod engine;
mod message;
mod prepared;
mod recover;
mod sign;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use slotfs_crypto::wipe;
use slotfs_object::pkcs11::{CKA_VALUE, CKO_SECRET_KEY};
use slotfs_object::usable::UsableKey;
use slotfs_wire::Operation as Kind;
use slotfs_wire::rv::{
    CKR_FUNCTION_FAILED, CKR_KEY_INDIGESTIBLE, CKR_KEY_NEEDED, CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED,
};
use slotfs_wire::{Mechanism, Message, MessagePart, Parameter};
use zeroize::Zeroizing;

use crate::error::{Result, Rv};
use crate::mechanism::{self, Algorithm};

pub(crate) use cipher::{Cipher, Direction};
use engine::Engine;
pub(crate) use message::MessageOutput;
use message::Messages;
pub(crate) use prepared::{Prepared, SecretKey, dsa_set, kem_set};
use recover::Recovery;
pub(crate) use sign::is_hmac_key;
use sign::{Digester, Signer};

/// The most data of one operation whose output is held or whose input is gathered, bytes.
pub(crate) const MAX_HELD_BYTES: usize = 64 << 20;

/// What the library writes behind an output at most: a block. With room for it, an output is not moved.
const SPARE: usize = 16;

/// How many bytes the application's buffer has; `None`: it asks for the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room(pub Option<u64>);

/// What a call puts out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The output.
    Bytes(Zeroizing<Vec<u8>>),
    /// The application asked for the length; it may be a little too large.
    Length(u64),
    /// `CKR_BUFFER_TOO_SMALL`: the room that it takes.
    TooSmall(u64),
}

/// One running operation.
pub(crate) struct Operation {
    engine: Engine,
    stage: Stage,
    /// Of `C_VerifySignatureInit`; empty otherwise.
    signature: Vec<u8>,
}

/// What was called so far.
enum Stage {
    Start,
    /// Pieces of a single call, and what they put out.
    Pieces(Zeroizing<Vec<u8>>),
    Updated,
    /// The result that the application has yet to fetch by the same call.
    Held(Call, Zeroizing<Vec<u8>>),
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Whole,
    Finish,
}

/// How long an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Exactly(usize),
    AtMost(usize),
}

impl Size {
    fn bytes(self) -> usize {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

impl Operation {
    /// Starts an operation. The caller has checked what the key's attributes allow; `key` is `None` for digests only.
    ///
    /// # Errors
    /// `CKR_MECHANISM_INVALID`, `CKR_MECHANISM_PARAM_INVALID`, `CKR_KEY_TYPE_INCONSISTENT`, `CKR_KEY_SIZE_RANGE`.
    pub(crate) fn start(
        kind: Kind,
        mechanism: &Mechanism,
        key: Option<&UsableKey>,
    ) -> Result<Self> {
        let algorithm =
            mechanism::with_flag(mechanism.number, kind.flag()).ok_or(Rv(CKR_MECHANISM_INVALID))?;
        let parameter = &mechanism.parameter;
        let engine = if let Algorithm::Digest(hash) = algorithm {
            no_parameter(parameter)?;
            Engine::Digest(Digester::new(hash)?)
        } else {
            let key = Prepared::of(key.ok_or(Rv(CKR_KEY_NEEDED))?)?;
            match kind {
                Kind::Sign => Engine::Sign(Box::new(Signer::new(algorithm, parameter, key, true)?)),
                Kind::Verify | Kind::VerifySignature => {
                    Engine::Verify(Box::new(Signer::new(algorithm, parameter, key, false)?))
                }
                Kind::SignRecover | Kind::VerifyRecover => {
                    let signs = kind == Kind::SignRecover;
                    Engine::Recover(Recovery::new(algorithm, parameter, key, signs)?)
                }
                Kind::Encrypt => Engine::Cipher(Box::new(Cipher::new(
                    algorithm,
                    parameter,
                    key,
                    Direction::Encrypt,
                )?)),
                Kind::Decrypt => Engine::Cipher(Box::new(Cipher::new(
                    algorithm,
                    parameter,
                    key,
                    Direction::Decrypt,
                )?)),
                Kind::MessageEncrypt
                | Kind::MessageDecrypt
                | Kind::MessageSign
                | Kind::MessageVerify => {
                    Engine::Messages(Box::new(Messages::new(kind, algorithm, parameter, key)?))
                }
                Kind::Digest => return Err(Rv(CKR_MECHANISM_INVALID)),
            }
        };
        Ok(Self {
            engine,
            stage: Stage::Start,
            signature: Vec::new(),
        })
    }

    /// The operation with the signature that it verifies.
    pub(crate) fn keeping(self, signature: &[u8]) -> Self {
        let signature = signature.to_vec();
        Self { signature, ..self }
    }

    /// Whether it ended: by its last call, or by an error.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// What was gathered, and what waits to be fetched, bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let waiting = match &self.stage {
            Stage::Pieces(out) | Stage::Held(_, out) => out.capacity(),
            Stage::Start | Stage::Updated | Stage::Over => 0,
        };
        waiting + self.engine.held_bytes()
    }

    /// Takes a part of the data of [`Self::whole`] or [`Self::verify`].
    pub(crate) fn piece(&mut self, data: &[u8]) -> Result<()> {
        self.or_end(|this| {
            let mut out = match std::mem::replace(&mut this.stage, Stage::Over) {
                Stage::Start => Zeroizing::new(Vec::new()),
                Stage::Pieces(out) => out,
                // The application repeats its call to fetch the result.
                held @ Stage::Held(Call::Whole, _) => {
                    this.stage = held;
                    return Ok(());
                }
                other => return Err(other.refusal()),
            };
            let bytes = this.engine.update_bytes(data.len())?;
            if out.len().saturating_add(bytes) > MAX_HELD_BYTES {
                return Err(this.engine.too_long());
            }
            reserve(&mut out, bytes);
            this.engine.update(data, &mut out)?;
            this.stage = Stage::Pieces(out);
            Ok(())
        })
    }

    /// `C_Sign`, `C_Encrypt`, `C_Digest` and their like: all the data, or what is left after its pieces.
    pub(crate) fn whole(&mut self, data: &[u8], room: Room) -> Result<Output> {
        self.or_end(|this| {
            let mut out = match std::mem::replace(&mut this.stage, Stage::Over) {
                Stage::Start => {
                    let size = this.engine.whole_bytes(data.len())?;
                    if size.bytes() > MAX_HELD_BYTES + 1024 {
                        return Err(this.engine.too_long());
                    }
                    if let Some(early) = room.early(size) {
                        this.stage = Stage::Start;
                        return Ok(early);
                    }
                    let mut out = Zeroizing::new(Vec::new());
                    reserve(&mut out, size.bytes() + SPARE);
                    out
                }
                Stage::Pieces(mut out) => {
                    let bytes = this.engine.update_bytes(data.len())?;
                    if out.len().saturating_add(bytes) > MAX_HELD_BYTES {
                        return Err(this.engine.too_long());
                    }
                    reserve(&mut out, bytes);
                    out
                }
                Stage::Held(Call::Whole, out) => return Ok(this.give(Call::Whole, out, room)),
                other => return Err(other.refusal()),
            };
            this.engine.last(data, &mut out)?;
            Ok(this.give(Call::Whole, out, room))
        })
    }

    /// `C_SignUpdate`, `C_EncryptUpdate`, `C_DigestUpdate` and their like.
    pub(crate) fn update(&mut self, data: &[u8], room: Room) -> Result<Output> {
        self.or_end(|this| {
            match this.stage {
                Stage::Start | Stage::Updated => {}
                _ => return Err(this.stage.refusal()),
            }
            if !this.engine.takes_parts() {
                return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
            }
            let bytes = this.engine.update_bytes(data.len())?;
            if let Some(early) = room.early(Size::Exactly(bytes))
                && this.engine.puts_out()
            {
                return Ok(early);
            }
            let mut out = Zeroizing::new(Vec::with_capacity(bytes + SPARE));
            this.engine.update(data, &mut out)?;
            this.stage = Stage::Updated;
            Ok(Output::Bytes(out))
        })
    }

    /// `C_SignFinal`, `C_EncryptFinal`, `C_DigestFinal` and their like.
    pub(crate) fn finish(&mut self, room: Room) -> Result<Output> {
        self.or_end(
            |this| match std::mem::replace(&mut this.stage, Stage::Over) {
                stage @ (Stage::Start | Stage::Updated) => {
                    let size = this.engine.finish_bytes()?;
                    if let (Size::Exactly(_), Some(early)) = (size, room.early(size)) {
                        this.stage = stage;
                        return Ok(early);
                    }
                    let mut out = Zeroizing::new(Vec::with_capacity(size.bytes()));
                    this.engine.finish(&mut out)?;
                    Ok(this.give(Call::Finish, out, room))
                }
                Stage::Held(Call::Finish, out) => Ok(this.give(Call::Finish, out, room)),
                other => Err(other.refusal()),
            },
        )
    }

    /// `C_Verify`: ends the operation.
    pub(crate) fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<()> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Start | Stage::Pieces(_) => {}
            other => return Err(other.refusal()),
        }
        match &mut self.engine {
            Engine::Verify(signer) => {
                signer.update(data)?;
                signer.verify(signature)
            }
            _ => Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }

    /// `C_VerifyFinal`: ends the operation.
    pub(crate) fn verify_finish(&mut self, signature: &[u8]) -> Result<()> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Start | Stage::Updated => {}
            other => return Err(other.refusal()),
        }
        match &mut self.engine {
            Engine::Verify(signer) => signer.verify(signature),
            _ => Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }

    /// `C_VerifySignature`: ends the operation.
    pub(crate) fn verify_kept(&mut self, data: &[u8]) -> Result<()> {
        let signature = std::mem::take(&mut self.signature);
        self.verify(data, &signature)
    }

    /// `C_VerifySignatureFinal`: ends the operation.
    pub(crate) fn verify_kept_finish(&mut self) -> Result<()> {
        let signature = std::mem::take(&mut self.signature);
        self.verify_finish(&signature)
    }

    /// `C_DigestKey`
    pub(crate) fn digest_key(&mut self, key: &UsableKey) -> Result<()> {
        self.or_end(|this| {
            match this.stage {
                Stage::Start | Stage::Updated => {}
                _ => return Err(this.stage.refusal()),
            }
            let Engine::Digest(digester) = &mut this.engine else {
                return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
            };
            let value = key
                .secret(CKA_VALUE)
                .filter(|_| key.described().class == CKO_SECRET_KEY);
            digester.update(value.ok_or(Rv(CKR_KEY_INDIGESTIBLE))?)?;
            this.stage = Stage::Updated;
            Ok(())
        })
    }

    /// One call of a message-based operation. Errors end the message, not the operation.
    pub(crate) fn message(
        &mut self,
        part: MessagePart,
        parameter: &Message,
        aad: &[u8],
        text: &[u8],
        room: Room,
        signature: &[u8],
    ) -> Result<MessageOutput> {
        match &mut self.engine {
            Engine::Messages(messages) => {
                messages.call(part, parameter, aad, text, room, signature)
            }
            _ => Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }

    /// Ends the message that has begun, if one has.
    pub(crate) fn end_message(&mut self) {
        if let Engine::Messages(messages) = &mut self.engine {
            messages.end();
        }
    }

    /// Ends the operation if `call` fails.
    fn or_end<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = call(self);
        if result.is_err() {
            self.stage = Stage::Over;
        }
        result
    }

    /// Gives a result, or keeps it until there is room for it.
    fn give(&mut self, call: Call, out: Zeroizing<Vec<u8>>, room: Room) -> Output {
        match room.early(Size::Exactly(out.len())) {
            Some(early) => {
                self.stage = Stage::Held(call, out);
                early
            }
            None => Output::Bytes(out),
        }
    }
}

impl Room {
    /// The answer that needs no output: to a length query, or if the room is certainly too small.
    pub(crate) fn early(self, size: Size) -> Option<Output> {
        let bytes = size.bytes() as u64;
        match (self.0, size) {
            (None, _) => Some(Output::Length(bytes)),
            (Some(room), Size::Exactly(_)) if room < bytes => Some(Output::TooSmall(bytes)),
            _ => None,
        }
    }
}

impl Stage {
    /// What a call answers that does not fit the calls before.
    fn refusal(&self) -> Rv {
        Rv(match self {
            Self::Over => CKR_OPERATION_NOT_INITIALIZED,
            _ => CKR_OPERATION_ACTIVE,
        })
    }
}

/// Makes room for `bytes` more without leaving a copy of what is there behind.
pub(crate) fn reserve(buffer: &mut Zeroizing<Vec<u8>>, bytes: usize) {
    let needed = buffer.len().saturating_add(bytes);
    if needed > buffer.capacity() {
        // Twice as much if it grows again, so that pieces cost no more than one copy each.
        let room = if buffer.is_empty() {
            needed
        } else {
            needed.saturating_mul(2)
        };
        let mut larger = Vec::with_capacity(room);
        larger.extend_from_slice(buffer);
        wipe(&mut std::mem::replace(&mut **buffer, larger));
    }
}

/// Refuses a parameter where the mechanism has none.
pub(crate) fn no_parameter(parameter: &Parameter) -> Result<()> {
    match parameter {
        Parameter::None => Ok(()),
        _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
    }
}

/// A failure of the library that no input explains.
pub(crate) fn failed() -> Rv {
    Rv(CKR_FUNCTION_FAILED)
}

/// A key as an operation holds it.
pub(crate) type Key = Arc<Prepared>;
