//! An application: what one `C_Initialize` makes, with its sessions, its session objects and its logins.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use slotfs_hsm::Login;
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_wire::rv::*;
use slotfs_wire::{MAX_DATA_BYTES, Reply, Request, Who};
use zeroize::Zeroizing;

use crate::Peer;
use crate::error::{Result, Rv};
use crate::memory::{Account, Owner};
use crate::operate::Start;
use crate::owned::SessionObject;
use crate::provider::{DAMAGED, Provider, Slot};
use crate::session::Session;

/// The most sessions that one application has at once.
const MOST_SESSIONS: usize = 16_384;
/// The most session objects that one application has at once.
const MOST_OBJECTS: usize = 65_536;

/// One application.
pub struct Application {
    pub(crate) provider: Arc<Provider>,
    pub(crate) peer: Peer,
    pub(crate) who: Who,
    pub(crate) account: Account,
    state: RwLock<State>,
}

/// The parts of an application that change.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) sessions: HashMap<u64, Arc<Session>>,
    pub(crate) objects: BTreeMap<u64, Arc<SessionObject>>,
    pub(crate) logins: HashMap<SlotId, Arc<Login>>,
    /// Nothing is opened any more: the application has ended.
    ended: bool,
}

impl Application {
    pub(crate) fn new(provider: Arc<Provider>, owner: Owner, peer: Peer, who: Who) -> Arc<Self> {
        Arc::new(Self {
            account: provider.memory.account(owner),
            provider,
            peer,
            who,
            state: RwLock::default(),
        })
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sessions are open.
    pub fn session_count(&self) -> usize {
        self.state().sessions.len()
    }

    /// Ends the application: its sessions, its objects and its logins.
    pub fn end(&self) {
        let ended = State {
            ended: true,
            ..State::default()
        };
        // Dropped after the lock: a login that ends may have to wait for one that begins.
        let before = std::mem::replace(&mut *self.state_mut(), ended);
        drop(before);
    }

    /// Answers one request; `data` is that of its frame, and `out` takes the data of the reply. Several threads may call
    /// it at once.
    pub fn answer(&self, request: Request, data: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Reply {
        match self.perform(request, data, out) {
            Ok(reply) => reply,
            Err(Rv(number)) => {
                out.clear();
                Reply::Failed(number)
            }
        }
    }

    fn perform(
        &self,
        request: Request,
        data: &[u8],
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        use Request as R;
        match request {
            // The server answers the first.
            R::Hello(_) => Err(Rv(CKR_FUNCTION_FAILED)),
            R::Finalize => {
                self.end();
                Ok(Reply::Done)
            }
            R::Ping => Ok(Reply::Done),
            R::Slots { with_token } => self.slots(with_token),
            R::SlotInfo { slot } => self.slot_info(slot),
            R::TokenInfo { slot } => self.token_info(slot),
            R::Mechanisms { slot } => self.mechanisms(slot),
            R::MechanismInfo { slot, mechanism } => self.mechanism_info(slot, mechanism),
            R::InitToken { slot, pin, label } => self.init_token(slot, pin, &label),
            R::InitPin { session, pin } => self.init_pin(&*self.session(session)?, pin),
            R::SetPin { session, old, new } => self.set_pin(&*self.session(session)?, old, new),
            R::OpenSession { slot, flags } => self.open_session(slot, flags),
            R::CloseSession { session } => self.close_session(session),
            R::CloseAllSessions { slot } => self.close_all_sessions(slot),
            R::SessionInfo { session } => self.session_info(&*self.session(session)?),
            R::Cancel { session, flags } => self.cancel(&*self.session(session)?, flags),
            R::Login {
                session,
                user,
                pin,
                name,
            } => self.login(&*self.session(session)?, user, pin, name),
            R::Logout { session } => self.logout(&*self.session(session)?),
            R::CreateObject { session, template } => {
                self.create_object(&*self.session(session)?, &template)
            }
            R::CopyObject {
                session,
                object,
                template,
            } => self.copy_object(&*self.session(session)?, object, &template),
            R::DestroyObject { session, object } => {
                self.destroy_object(&*self.session(session)?, object)
            }
            R::ObjectSize { session, object } => self.object_size(&*self.session(session)?, object),
            R::GetAttributes {
                session,
                object,
                kinds,
            } => self.get_attributes(&*self.session(session)?, object, &kinds),
            R::SetAttributes {
                session,
                object,
                template,
            } => self.set_attributes(&*self.session(session)?, object, &template),
            R::FindInit { session, template } => {
                self.find_init(&*self.session(session)?, &template)
            }
            R::Find { session, most } => self.find(&*self.session(session)?, most),
            R::FindFinal { session } => self.find_final(&*self.session(session)?),
            R::Start {
                session,
                operation,
                mechanism,
                key,
            } => {
                let session = self.session(session)?;
                self.start(&session, operation, &mechanism, key, Start::New(data))
            }
            R::Whole {
                session,
                operation,
                room,
                signature,
            } => self.whole(
                &*self.session(session)?,
                operation,
                data,
                room,
                &signature,
                out,
            ),
            R::StartWhole {
                session,
                operation,
                mechanism,
                key,
                room,
                signature,
            } => {
                let session = self.session(session)?;
                self.start(&session, operation, &mechanism, key, Start::Known)?;
                self.whole(&session, operation, data, room, &signature, out)
            }
            R::Piece { session, operation } => {
                self.piece(&*self.session(session)?, operation, data)
            }
            R::Update {
                session,
                operation,
                room,
            } => self.update(&*self.session(session)?, operation, data, room, out),
            R::Final {
                session,
                operation,
                room,
            } => self.finish(&*self.session(session)?, operation, data, room, out),
            R::More {
                session,
                operation,
                offset,
            } => self.more(&*self.session(session)?, operation, offset, out),
            R::DigestKey { session, key } => self.digest_key(&*self.session(session)?, key),
            R::Message {
                session,
                operation,
                part,
                parameter,
                aad_bytes,
                room,
                signature,
            } => {
                let aad_bytes = usize::try_from(aad_bytes).unwrap_or(usize::MAX);
                let split = data.split_at_checked(aad_bytes);
                let (aad, text) = split.ok_or(Rv(CKR_ARGUMENTS_BAD))?;
                let session = self.session(session)?;
                let call = crate::operate::MessageCall {
                    operation,
                    part,
                    parameter: &parameter,
                    aad,
                    text,
                    room,
                    signature: &signature,
                };
                self.message(&session, call, out)
            }
            R::GenerateKey {
                session,
                mechanism,
                template,
            } => self.generate_key(&*self.session(session)?, &mechanism, &template),
            R::GenerateKeyPair {
                session,
                mechanism,
                public,
                private,
            } => self.generate_key_pair(&*self.session(session)?, &mechanism, &public, &private),
            R::WrapKey {
                session,
                mechanism,
                wrapping,
                key,
                room,
            } => {
                let session = self.session(session)?;
                self.wrap_key(&session, &mechanism, wrapping, key, room, out)
            }
            R::UnwrapKey {
                session,
                mechanism,
                unwrapping,
                template,
            } => {
                let session = self.session(session)?;
                self.unwrap_key(&session, &mechanism, unwrapping, data, &template)
            }
            R::DeriveKey {
                session,
                mechanism,
                base,
                template,
            } => self.derive_key(&*self.session(session)?, &mechanism, base, &template),
            R::Encapsulate {
                session,
                mechanism,
                public,
                template,
                room,
            } => {
                let session = self.session(session)?;
                self.encapsulate(&session, &mechanism, public, &template, room, out)
            }
            R::Decapsulate {
                session,
                mechanism,
                private,
                template,
            } => {
                let session = self.session(session)?;
                self.decapsulate(&session, &mechanism, private, data, &template)
            }
            R::SeedRandom { session } => {
                self.session(session)?;
                seed(data)
            }
            R::Random { session, bytes } => {
                self.session(session)?;
                let bytes = usize::try_from(bytes)
                    .ok()
                    .filter(|it| *it <= MAX_DATA_BYTES);
                out.resize(bytes.ok_or(Rv(CKR_ARGUMENTS_BAD))?, 0);
                getrandom::fill(out).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
                let bytes = out.len() as u64;
                Ok(Reply::Output { bytes })
            }
            R::OpenSlot { slot, user, secret } => self.open_slot(slot, user, secret),
            R::CloseSlot { slot, user } => self.shut_slot(slot, user),
        }
    }

    /// A session of this application, if its slot still holds the partition that it was opened over.
    ///
    /// # Errors
    /// `CKR_SESSION_HANDLE_INVALID`
    pub(crate) fn session(&self, handle: u64) -> Result<Arc<Session>> {
        let there = self.state().sessions.get(&handle).cloned();
        there.ok_or(Rv(CKR_SESSION_HANDLE_INVALID))
    }

    fn open_session(&self, slot: u64, flags: u64) -> Result<Reply> {
        use slotfs_wire::numbers::{CKF_RW_SESSION, CKF_SERIAL_SESSION};
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Rv(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        let (slot, serial) = match self.provider.slot(&self.peer, slot)? {
            (slot, Slot::Partition(row)) => (slot, Some(row.serial)),
            (_, Slot::Uninitialized) => return Err(Rv(CKR_TOKEN_NOT_RECOGNIZED)),
            (_, Slot::Damaged) => return Err(DAMAGED),
        };
        let read_write = flags & CKF_RW_SESSION != 0;
        if read_write && self.provider.hsm().is_read_only() {
            return Err(Rv(CKR_TOKEN_WRITE_PROTECTED));
        }
        let role = self.role(slot);
        if role == Some(Role::Po) && !read_write {
            return Err(Rv(CKR_SESSION_READ_WRITE_SO_EXISTS));
        }
        let mut state = self.state_mut();
        if state.ended {
            return Err(Rv(CKR_CRYPTOKI_NOT_INITIALIZED));
        }
        if state.sessions.len() >= MOST_SESSIONS {
            return Err(Rv(CKR_SESSION_COUNT));
        }
        let handle = self.provider.next_session();
        let session = Session::new(handle, slot, serial, read_write, &self.account)?;
        state.sessions.insert(handle, Arc::new(session));
        Ok(Reply::Handle(handle))
    }

    fn close_session(&self, handle: u64) -> Result<Reply> {
        let mut state = self.state_mut();
        let closed = state.sessions.remove(&handle);
        let slot = closed.ok_or(Rv(CKR_SESSION_HANDLE_INVALID))?.slot;
        state.objects.retain(|_, object| object.session != handle);
        state.log_out_without_sessions(slot);
        Ok(Reply::Done)
    }

    fn close_all_sessions(&self, slot: u64) -> Result<Reply> {
        let (slot, _) = self.provider.slot(&self.peer, slot)?;
        self.state_mut().close_slot(slot);
        Ok(Reply::Done)
    }

    /// Keeps a session object, and gives its handle.
    pub(crate) fn keep(&self, object: SessionObject) -> Result<u64> {
        let mut state = self.state_mut();
        // The session may have been closed meanwhile.
        if !state.sessions.contains_key(&object.session) {
            return Err(Rv(CKR_SESSION_HANDLE_INVALID));
        }
        if state.objects.len() >= MOST_OBJECTS {
            return Err(Rv(CKR_DEVICE_MEMORY));
        }
        let handle = object.handle;
        state.objects.insert(handle, Arc::new(object));
        Ok(handle)
    }
}

/// Mixes an application's bytes into the kernel's pool, which seeds every generator here. A write to the device credits no
/// entropy, so a seed that an attacker chose makes no number easier to guess. Where the device cannot be written to, nothing
/// is mixed in, and the application hears it.
fn seed(bytes: &[u8]) -> Result<Reply> {
    let device = std::fs::OpenOptions::new().write(true).open("/dev/urandom");
    let mixed = device.and_then(|mut device| device.write_all(bytes));
    mixed.map_err(|_| Rv(CKR_RANDOM_SEED_NOT_SUPPORTED))?;
    Ok(Reply::Done)
}

impl State {
    /// The login ends with the last session of its slot.
    fn log_out_without_sessions(&mut self, slot: SlotId) {
        if !self.sessions.values().any(|it| it.slot == slot) {
            self.logins.remove(&slot);
        }
    }

    /// Closes every session of a slot.
    pub(crate) fn close_slot(&mut self, slot: SlotId) {
        self.sessions.retain(|_, it| it.slot != slot);
        self.objects.retain(|_, it| it.slot != slot);
        self.logins.remove(&slot);
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.end();
    }
}
