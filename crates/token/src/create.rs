//! Objects come and go: `C_CreateObject`, `C_DestroyObject`, and where every new object is put.

use slotfs_hsm::wait;
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::*;
use slotfs_object::usable::UsableKey;
use slotfs_object::{Attribute, Object};
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Template};

use crate::access::Found;
use crate::assemble::{self, Birth, is_private, is_token};
use crate::attributes::Given;
use crate::error::{Result, Rv};
use crate::mechanism::LEAST_TOKEN_RSA_BITS;
use crate::owned::{self, Origin, SessionObject};
use crate::session::Session;
use crate::{Application, material};

impl Application {
    pub(crate) fn create_object(&self, session: &Session, template: &Template) -> Result<Reply> {
        let given = Given::parse(template, None)?;
        let class = given.class()?;
        let object = match class {
            CKO_DATA | CKO_CERTIFICATE => assemble::other(class, &given)?,
            CKO_PUBLIC_KEY | CKO_PRIVATE_KEY | CKO_SECRET_KEY => {
                let key_type = given.key_type.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
                let made = material::create(class, key_type, &given.attributes)?;
                assemble::key(class, &given, made, Birth::Imported)?
            }
            _ => return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
        };
        self.put_one(session, object, Origin::Session)
            .map(Reply::Handle)
    }

    /// Stores a new object, or keeps it for the session; its handle.
    pub(crate) fn put_one(&self, session: &Session, object: Object, origin: Origin) -> Result<u64> {
        let handles = self.put(session, vec![object], origin)?;
        handles.first().copied().ok_or(Rv(CKR_DEVICE_ERROR))
    }

    /// Stores new objects, or keeps them for the session: all of them or none. Their handles.
    ///
    /// # Errors
    /// `CKR_USER_NOT_LOGGED_IN`, `CKR_SESSION_READ_ONLY`, `CKR_KEY_SIZE_RANGE`, and what the slot says.
    pub(crate) fn put(
        &self,
        session: &Session,
        objects: Vec<Object>,
        origin: Origin,
    ) -> Result<Vec<u64>> {
        self.may_put(session, &objects)?;
        if objects.iter().any(is_short_to_last) {
            return Err(Rv(CKR_KEY_SIZE_RANGE));
        }
        let are_tokens: Vec<bool> = objects.iter().map(is_token).collect();
        let (tokens, others): (Vec<Object>, Vec<Object>) = objects.into_iter().partition(is_token);
        // What the session keeps is taken back easily, so it comes first.
        let mut kept = Vec::new();
        let stored = self
            .keep_all(session, others, origin, &mut kept)
            .and_then(|()| self.store(session, &tokens));
        let stored = stored.inspect_err(|_| {
            let mut state = self.state_mut();
            for handle in &kept {
                state.objects.remove(handle);
            }
        })?;
        let (mut stored, mut kept) = (stored.into_iter(), kept.into_iter());
        let handles = are_tokens.into_iter().map(|is_token| {
            let handle = match is_token {
                true => stored.next(),
                false => kept.next(),
            };
            handle.ok_or(Rv(CKR_DEVICE_ERROR))
        });
        handles.collect()
    }

    /// Stores objects in the slot, in one transaction.
    fn store(&self, session: &Session, objects: &[Object]) -> Result<Vec<u64>> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let login = self.login_of(session.slot);
        let login = login.ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let partition = login.partition();
        let stored = wait(|done| partition.add_all(objects, done))?;
        let handles = stored.into_iter().map(|it| u64::from(it.handle.get()));
        Ok(handles.collect())
    }

    /// Keeps objects for the session; the handles of those that it kept are in `kept`, also after an error.
    fn keep_all(
        &self,
        session: &Session,
        objects: Vec<Object>,
        origin: Origin,
        kept: &mut Vec<u64>,
    ) -> Result<()> {
        for object in objects {
            kept.push(self.keep_new(session, object, origin)?);
        }
        Ok(())
    }

    /// Whether these objects may be made in this session. Asked before a key is generated, too.
    pub(crate) fn may_put(&self, session: &Session, objects: &[Object]) -> Result<()> {
        let role = self.role(session.slot);
        for object in objects {
            if is_token(object) {
                if !session.read_write {
                    return Err(Rv(CKR_SESSION_READ_ONLY));
                }
                // Every object of a slot is sealed under its key, a public one too.
                if role.is_none() {
                    return Err(Rv(CKR_USER_NOT_LOGGED_IN));
                }
            }
            if is_private(object) && !matches!(role, Some(Role::Co | Role::Cu)) {
                return Err(Rv(CKR_USER_NOT_LOGGED_IN));
            }
        }
        Ok(())
    }

    fn keep_new(&self, session: &Session, object: Object, origin: Origin) -> Result<u64> {
        let key = UsableKey::new(object);
        self.keep(SessionObject {
            handle: self.provider.next_object(),
            session: session.handle,
            slot: session.slot,
            _memory: owned::memory(&self.account, &key)?,
            key,
            origin,
        })
    }

    pub(crate) fn destroy_object(&self, session: &Session, handle: u64) -> Result<Reply> {
        let found = self.object(session, handle)?;
        let destroyable = found.object().attributes.get(&CKA_DESTROYABLE);
        if destroyable == Some(&Attribute::Bool(false)) {
            return Err(Rv(CKR_ACTION_PROHIBITED));
        }
        match found {
            Found::Session(object) => {
                self.state_mut().objects.remove(&object.handle);
            }
            Found::Token(handle, _) => {
                if !session.read_write {
                    return Err(Rv(CKR_SESSION_READ_ONLY));
                }
                let login = self.login_of(session.slot);
                let login = login.ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
                let partition = login.partition();
                wait(|done| partition.remove(handle, done))?;
            }
        }
        Ok(Reply::Done)
    }
}

/// Whether a slot refuses it: an RSA key that was generated here, or a copy of one, and is too short to last. Short keys
/// that others made can be imported, to go on with what they signed and encrypted.
fn is_short_to_last(object: &Object) -> bool {
    let is_local = object.attributes.get(&CKA_LOCAL) == Some(&Attribute::Bool(true));
    let bits = |modulus: &[u8]| 8 * modulus.len() as u64;
    is_token(object)
        && is_local
        && object.key_type == Some(CKK_RSA)
        && object
            .bytes(CKA_MODULUS)
            .is_some_and(|modulus| bits(modulus) < LEAST_TOKEN_RSA_BITS)
}
