//! Which objects a session sees, and the keys that it may use.

use std::sync::Arc;

use slotfs_hsm::Hsm;
use slotfs_object::partition::Role;
use slotfs_object::usable::{UsableKey, Usage, day_of};
use slotfs_object::{Handle, Object, now_secs};
use slotfs_wire::rv::*;

use crate::Application;
use crate::error::{Result, Rv};
use crate::owned::{Origin, SessionObject};
use crate::session::Session;

/// An object that a session sees.
pub(crate) enum Found {
    /// One of the application's own.
    Session(Arc<SessionObject>),
    /// One of the slot's, under this handle.
    Token(Handle, Arc<UsableKey>),
}

impl Found {
    /// The object without its secret attributes.
    pub(crate) fn object(&self) -> &Object {
        match self {
            Self::Session(it) => it.object(),
            Self::Token(_, it) => it.described(),
        }
    }

    /// Whether it is a token object, or a copy of one.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Session(it) => it.origin,
            Self::Token(..) => Origin::Token,
        }
    }
}

/// Through what a session reads the objects of its slot.
pub(crate) struct Reader {
    pub(crate) hsm: Arc<Hsm>,
    /// Whether it sees private objects: its application is logged in as co or cu.
    pub(crate) sees_private: bool,
}

impl Application {
    /// `None` while nobody has the slot open: public objects are sealed too.
    pub(crate) fn reader(&self, session: &Session) -> Option<Reader> {
        let slot = session.slot;
        let own = self.login_of(slot).filter(|it| it.role() != Role::Po);
        let reader = match own {
            Some(login) => Reader {
                hsm: Arc::clone(login.hsm()),
                sees_private: true,
            },
            None => Reader {
                hsm: self.provider.logins.reader(slot)?,
                sees_private: false,
            },
        };
        // The slot may have been made anew since the session was opened.
        let serial = reader.hsm.partition(slot).id().ok()?.serial;
        (session.serial == Some(serial)).then_some(reader)
    }

    /// The object that `handle` names for a session.
    ///
    /// # Errors
    /// `CKR_OBJECT_HANDLE_INVALID`
    pub(crate) fn object(&self, session: &Session, handle: u64) -> Result<Found> {
        let invalid = Rv(CKR_OBJECT_HANDLE_INVALID);
        if let Some(there) = self.session_object(session, handle) {
            return Ok(Found::Session(there));
        }
        let handle = token_handle(handle).ok_or(invalid)?;
        let reader = self.reader(session).ok_or(invalid)?;
        let partition = reader.hsm.partition(session.slot);
        let key = partition.key(handle).map_err(Rv::from)?;
        match reader.sees_private || !key.described().is_private() {
            true => Ok(Found::Token(handle, key)),
            false => Err(invalid),
        }
    }

    /// One of the application's session objects in the slot of `session`.
    fn session_object(&self, session: &Session, handle: u64) -> Option<Arc<SessionObject>> {
        let state = self.state();
        let object = state.objects.get(&handle)?;
        (object.slot == session.slot).then(|| Arc::clone(object))
    }

    /// Calls `work` with a key, if its attributes let it be used so.
    ///
    /// # Errors
    /// `CKR_KEY_HANDLE_INVALID`, `CKR_KEY_FUNCTION_NOT_PERMITTED`, `CKR_MECHANISM_INVALID` for one that the key does not
    /// allow, and those of `work`.
    pub(crate) fn with_key<T>(
        &self,
        session: &Session,
        handle: u64,
        (usage, mechanism): (Usage, u64),
        work: impl FnOnce(&UsableKey) -> Result<T>,
    ) -> Result<T> {
        let invalid = Rv(CKR_KEY_HANDLE_INVALID);
        if let Some(object) = self.session_object(session, handle) {
            object.key.check(usage, mechanism, day_of(now_secs()))?;
            return work(&object.key);
        }
        let handle = token_handle(handle).ok_or(invalid)?;
        let reader = self.reader(session).ok_or(invalid)?;
        let partition = reader.hsm.partition(session.slot);
        let used = partition.with_key(handle, usage, mechanism, |key| {
            if !reader.sees_private && key.described().is_private() {
                return Err(invalid);
            }
            work(key)
        });
        match used {
            Ok(done) => done,
            Err(error) if error.is_no_such_object() => Err(invalid),
            Err(error) => Err(key_handle(error.into())),
        }
    }

    /// Calls `work` with a key, whatever it may be used for: for copies, and keys that are wrapped or derived from.
    pub(crate) fn with_any_key<T>(
        &self,
        session: &Session,
        handle: u64,
        work: impl FnOnce(&UsableKey) -> Result<T>,
    ) -> Result<T> {
        let invalid = Rv(CKR_KEY_HANDLE_INVALID);
        if let Some(object) = self.session_object(session, handle) {
            return work(&object.key);
        }
        let handle = token_handle(handle).ok_or(invalid)?;
        let reader = self.reader(session).ok_or(invalid)?;
        let key = reader.hsm.partition(session.slot).key(handle);
        let key = key.map_err(|error| match error {
            error if error.is_no_such_object() => invalid,
            error => key_handle(error.into()),
        })?;
        if !reader.sees_private && key.described().is_private() {
            return Err(invalid);
        }
        work(&key)
    }
}

/// What an object's handle that names nothing is where the object is a key.
fn key_handle(error: Rv) -> Rv {
    match error {
        Rv(CKR_OBJECT_HANDLE_INVALID) => Rv(CKR_KEY_HANDLE_INVALID),
        other => other,
    }
}

/// The slot's handle; `None` for those of session objects.
pub(crate) fn token_handle(handle: u64) -> Option<Handle> {
    u32::try_from(handle).ok().and_then(Handle::new)
}
