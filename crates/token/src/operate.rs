//! Operations of a session: started, fed, finished.

use std::sync::Arc;

use slotfs_hsm::Login;
use slotfs_object::usable::{UsableKey, Usage};
use slotfs_wire::numbers::CKF_FIND_OBJECTS;
use slotfs_wire::rv::*;
use slotfs_wire::{
    MAX_DATA_BYTES, MAX_SIGNATURE_BYTES, Mechanism, Message, MessagePart, Operation as Kind, Reply,
    frame,
};
use zeroize::Zeroizing;

use crate::Application;
use crate::error::{Result, Rv};
use crate::operation::{MessageOutput, Operation, Output, Room};
use crate::session::{OF_AN_OPERATION, Running, Session, Work};

/// How an operation starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// With the data of its request.
    New(&'a [u8]),
    /// As the one before it in its session.
    Known,
}

/// One call of a message-based operation.
pub(crate) struct MessageCall<'a> {
    pub(crate) operation: Kind,
    pub(crate) part: MessagePart,
    pub(crate) parameter: &'a Message,
    pub(crate) aad: &'a [u8],
    pub(crate) text: &'a [u8],
    pub(crate) room: Option<u64>,
    pub(crate) signature: &'a [u8],
}

/// What a key is used for in an operation; `None` for digests.
fn usage(kind: Kind) -> Option<Usage> {
    Some(match kind {
        Kind::Encrypt | Kind::MessageEncrypt => Usage::Encrypt,
        Kind::Decrypt | Kind::MessageDecrypt => Usage::Decrypt,
        Kind::Sign | Kind::MessageSign => Usage::Sign,
        Kind::SignRecover => Usage::SignRecover,
        Kind::Verify | Kind::VerifySignature | Kind::MessageVerify => Usage::Verify,
        Kind::VerifyRecover => Usage::VerifyRecover,
        Kind::Digest => return None,
    })
}

/// Whether an operation runs that one of `kind` would be in the way of: one of its kind, and of the two verifications the
/// other.
fn is_active(work: &Work, kind: Kind) -> bool {
    let other = match kind {
        Kind::Verify => Kind::VerifySignature,
        Kind::VerifySignature => Kind::Verify,
        kind => kind,
    };
    [kind, other]
        .iter()
        .any(|it| work.operations.contains_key(it))
}

impl Application {
    /// Starts an operation; `signature` is that of `C_VerifySignatureInit`. `Known` is a start that the module has told its
    /// application to have succeeded: by this handle, the key must be that of the start before, and no other that took its
    /// place.
    pub(crate) fn start(
        &self,
        session: &Session,
        kind: Kind,
        mechanism: &Mechanism,
        key: u64,
        how: Start<'_>,
    ) -> Result<Reply> {
        let signature = match how {
            Start::New(data) if kind == Kind::VerifySignature => data,
            _ => &[],
        };
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(Rv(CKR_SIGNATURE_LEN_RANGE));
        }
        let parameter_bytes = frame::header_bytes(&mechanism.parameter) + signature.len();
        let before = {
            let mut work = session.work();
            if is_active(&work, kind) {
                return Err(Rv(CKR_OPERATION_ACTIVE));
            }
            work.memory.make_room(OF_AN_OPERATION + parameter_bytes)?;
            work.keys.get(&kind).copied()
        };
        let login = self.state().logins.get(&session.slot).cloned();
        let mut ouid = None;
        let mut begin = |key: Option<&UsableKey>| {
            ouid = key.map(|key| key.described().ouid);
            if how == Start::Known && ouid != before {
                return Err(Rv(CKR_KEY_HANDLE_INVALID));
            }
            Ok(Running {
                operation: Operation::start(kind, mechanism, key)?.keeping(signature),
                awaits_pin: key.is_some_and(UsableKey::always_authenticates),
                is_private: key.is_some_and(|key| key.described().is_private()),
                parameter_bytes,
            })
        };
        let running = match usage(kind) {
            Some(usage) => {
                let usage = (usage, mechanism.number);
                self.with_key(session, key, usage, |key| begin(Some(key)))?
            }
            None => begin(None)?,
        };
        let mut work = session.work();
        work.output = None;
        // Another thread may have been faster.
        if is_active(&work, kind) {
            return Err(Rv(CKR_OPERATION_ACTIVE));
        }
        // Or may have logged out, which ends such operations.
        let same = |there: &Arc<Login>| login.as_ref().is_some_and(|it| Arc::ptr_eq(it, there));
        if running.is_private && !self.state().logins.get(&session.slot).is_some_and(same) {
            return Err(Rv(CKR_USER_NOT_LOGGED_IN));
        }
        if let Some(ouid) = ouid {
            work.keys.insert(kind, ouid);
        }
        work.operations.insert(kind, running);
        Ok(Reply::Done)
    }

    pub(crate) fn cancel(&self, session: &Session, flags: u64) -> Result<Reply> {
        let mut work = session.work();
        work.operations.retain(|kind, _| flags & kind.flag() == 0);
        if flags & CKF_FIND_OBJECTS != 0 {
            work.search = None;
        }
        work.output = None;
        Ok(Reply::Done)
    }

    pub(crate) fn whole(
        &self,
        session: &Session,
        kind: Kind,
        data: &[u8],
        room: Option<u64>,
        signature: &[u8],
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        let mut work = session.work();
        match kind {
            Kind::Verify => step(&mut work, kind, data.len(), out, |operation| {
                operation.verify(data, signature)?;
                Ok(None)
            }),
            Kind::VerifySignature => step(&mut work, kind, data.len(), out, |operation| {
                operation.verify_kept(data)?;
                Ok(None)
            }),
            _ => step(&mut work, kind, data.len(), out, |operation| {
                operation.whole(data, Room(room)).map(Some)
            }),
        }
    }

    pub(crate) fn piece(&self, session: &Session, kind: Kind, data: &[u8]) -> Result<Reply> {
        let mut unused = Zeroizing::default();
        step(
            &mut session.work(),
            kind,
            data.len(),
            &mut unused,
            |operation| {
                operation.piece(data)?;
                Ok(None)
            },
        )
    }

    pub(crate) fn update(
        &self,
        session: &Session,
        kind: Kind,
        data: &[u8],
        room: Option<u64>,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        step(&mut session.work(), kind, data.len(), out, |operation| {
            operation.update(data, Room(room)).map(Some)
        })
    }

    pub(crate) fn finish(
        &self,
        session: &Session,
        kind: Kind,
        data: &[u8],
        room: Option<u64>,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        step(
            &mut session.work(),
            kind,
            data.len(),
            out,
            |operation| match kind {
                Kind::Verify => operation.verify_finish(data).map(|()| None),
                Kind::VerifySignature => operation.verify_kept_finish().map(|()| None),
                _ => operation.finish(Room(room)).map(Some),
            },
        )
    }

    /// More of an output that was too long for a frame.
    pub(crate) fn more(
        &self,
        session: &Session,
        kind: Kind,
        offset: u64,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        let mut work = session.work();
        let there = work.output.as_ref().filter(|(of, _)| *of == kind);
        let (_, output) = there.ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let total = output.len() as u64;
        let offset = usize::try_from(offset).map_err(|_| Rv(CKR_ARGUMENTS_BAD))?;
        let rest = output.get(offset..).ok_or(Rv(CKR_ARGUMENTS_BAD))?;
        let part = &rest[..rest.len().min(MAX_DATA_BYTES)];
        out.extend_from_slice(part);
        if part.len() == rest.len() {
            work.output = None;
        }
        Ok(Reply::Output { bytes: total })
    }

    pub(crate) fn digest_key(&self, session: &Session, key: u64) -> Result<Reply> {
        self.with_any_key(session, key, |key| {
            let mut unused = Zeroizing::default();
            step(
                &mut session.work(),
                Kind::Digest,
                0,
                &mut unused,
                |operation| {
                    operation.digest_key(key)?;
                    Ok(None)
                },
            )
        })
    }

    pub(crate) fn message(
        &self,
        session: &Session,
        call: MessageCall<'_>,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        let mut work = session.work();
        let work = &mut *work;
        let room = work.memory.make_room(call.aad.len() + call.text.len());
        let running = work.operations.get_mut(&call.operation);
        let running = running.ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        room.inspect_err(|_| running.operation.end_message())?;
        if running.awaits_pin {
            return Err(Rv(CKR_USER_NOT_LOGGED_IN));
        }
        // An error ends the message, not the operation: C_MessageEncryptFinal and its like do.
        let done = running.operation.message(
            call.part,
            call.parameter,
            call.aad,
            call.text,
            Room(call.room),
            call.signature,
        )?;
        match done {
            MessageOutput::Length(bytes) => Ok(Reply::Output { bytes }),
            MessageOutput::TooSmall(bytes) => Ok(Reply::TooSmall { bytes }),
            MessageOutput::Message { text, iv, tag } => {
                let (bytes, iv_bytes, tag_bytes) = (text.len(), iv.len(), tag.len());
                // The text as it is: it may be long.
                *out = text;
                out.extend_from_slice(&iv);
                out.extend_from_slice(&tag);
                Ok(Reply::Message {
                    bytes: bytes as u64,
                    iv_bytes: iv_bytes as u64,
                    tag_bytes: tag_bytes as u64,
                })
            }
        }
    }
}

/// One step of an operation, with so many bytes of data. An error ends it, and so does its last output; a length, or too
/// little room, does not.
fn step(
    work: &mut Work,
    kind: Kind,
    data_bytes: usize,
    out: &mut Zeroizing<Vec<u8>>,
    work_on: impl FnOnce(&mut Operation) -> Result<Option<Output>>,
) -> Result<Reply> {
    work.output = None;
    let running = work.operations.get_mut(&kind);
    let running = running.ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
    if running.awaits_pin {
        return Err(Rv(CKR_USER_NOT_LOGGED_IN));
    }
    let room = work.memory.make_room(data_bytes);
    let outcome = room.and_then(|()| work_on(&mut running.operation));
    if outcome.is_err() || running.operation.is_over() {
        work.operations.remove(&kind);
    }
    Ok(match outcome? {
        None => Reply::Done,
        Some(Output::Length(bytes)) => Reply::Output { bytes },
        Some(Output::TooSmall(bytes)) => Reply::TooSmall { bytes },
        Some(Output::Bytes(output)) => {
            let bytes = output.len() as u64;
            if output.len() > MAX_DATA_BYTES {
                out.extend_from_slice(&output[..MAX_DATA_BYTES]);
                work.output = Some((kind, output));
            } else {
                *out = output;
            }
            Reply::Output { bytes }
        }
    })
}
