//! Wrapping and unwrapping: the one way for a key to leave the token in another form than a blob.
//!
//! A token key, or a session copy of one, is wrapped only by a token key with `CKA_WRAP` and without `CKA_DECRYPT`, which was
//! generated here or which po trusts, where a policy of the slot lets keys out. Otherwise anybody who is logged in could wrap
//! a key with one that he chose, and read it (Clulow 2003, Bortolozzo and others 2010). A token key with `CKA_ENCRYPT`
//! does not unwrap into a token object: its user could make one of a known value. Session keys do by their attributes: NSS
//! imports PKCS#12 with a key of PBKDF2 that has every use.

use slotfs_object::pkcs11::*;
use slotfs_object::usable::{UsableKey, Usage};
use slotfs_object::{Attribute, Object};
use slotfs_wire::rv::*;
use slotfs_wire::{Mechanism, Reply, Template};
use zeroize::Zeroizing;

use crate::Application;
use crate::access::Found;
use crate::assemble::{self, Birth, is_token};
use crate::attributes::{self, Given};
use crate::error::{Result, Rv};
use crate::make::{settings_of, wanted, within};
use crate::material;
use crate::owned::Origin;
use crate::provider::FIRST_SESSION_OBJECT;
use crate::session::Session;

fn is(object: &Object, number: u32) -> bool {
    object.attributes.get(&number) == Some(&Attribute::Bool(true))
}

impl Application {
    pub(crate) fn wrap_key(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        wrapping: u64,
        key: u64,
        room: Option<u64>,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        let by = self.object(session, wrapping).map_err(wrapping_handle)?;
        let what = self.object(session, key).map_err(|error| match error {
            Rv(CKR_OBJECT_HANDLE_INVALID) => Rv(CKR_KEY_HANDLE_INVALID),
            other => other,
        })?;
        self.may_wrap(session, &by, &what)?;
        let usage = (Usage::Wrap, mechanism.number);
        let wrapped = self.with_any_key(session, key, |key| {
            self.with_key(session, wrapping, usage, |by| {
                fits_template(by, key)?;
                material::wrap(mechanism, by, key)
            })
            .map_err(wrapping_handle)
        })?;
        let bytes = wrapped.len() as u64;
        match room {
            None => return Ok(Reply::Output { bytes }),
            Some(room) if room < bytes => return Ok(Reply::TooSmall { bytes }),
            Some(_) => {}
        }
        *out = wrapped;
        Ok(Reply::Output { bytes })
    }

    /// Whether the attributes of both keys, the policies of the slot and the role let the one be wrapped by the other.
    fn may_wrap(&self, session: &Session, by: &Found, what: &Found) -> Result<()> {
        let key = what.object();
        if ![CKO_PRIVATE_KEY, CKO_SECRET_KEY].contains(&key.class) {
            return Err(Rv(CKR_KEY_NOT_WRAPPABLE));
        }
        if !is(key, CKA_EXTRACTABLE) {
            return Err(Rv(CKR_KEY_UNEXTRACTABLE));
        }
        let trusted = |handle| {
            let reader = self.reader(session)?;
            reader.hsm.partition(session.slot).is_trusted(handle).ok()
        };
        let (by_token, is_trusted) = match by {
            Found::Token(handle, _) => (true, trusted(*handle) == Some(true)),
            Found::Session(_) => (false, false),
        };
        if is(key, CKA_WRAP_WITH_TRUSTED) && !is_trusted {
            return Err(Rv(CKR_KEY_NOT_WRAPPABLE));
        }
        if what.origin() == Origin::Session {
            return Ok(());
        }
        let reader = self.reader(session).ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let keys = reader.hsm.partition(session.slot).session()?;
        let lets_out = keys.policies().allow_wrapping(key.class);
        let is_safe =
            by_token && !is(by.object(), CKA_DECRYPT) && (is(by.object(), CKA_LOCAL) || is_trusted);
        match lets_out && is_safe && !keys.is_confined() {
            true => Ok(()),
            false => Err(Rv(CKR_KEY_NOT_WRAPPABLE)),
        }
    }

    pub(crate) fn unwrap_key(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        unwrapping: u64,
        wrapped: &[u8],
        template: &Template,
    ) -> Result<Reply> {
        let class = Given::parse(template, None)?.class()?;
        let given = Given::parse(template, Some(class))?;
        let usage = (Usage::Unwrap, mechanism.number);
        let make = |key: &UsableKey| {
            let given = within(key, CKA_UNWRAP_TEMPLATE, given)?;
            given.must_be(class, None)?;
            self.may_make(session, class, &given)?;
            let made = material::unwrap(mechanism, key, wrapped, class, &wanted(&given))?;
            let object = assemble::key(class, &settings_of(given), made, Birth::Imported)?;
            let by_token_key = unwrapping < FIRST_SESSION_OBJECT;
            match by_token_key && is_token(&object) && is(key.described(), CKA_ENCRYPT) {
                true => Err(Rv(CKR_ACTION_PROHIBITED)),
                false => Ok(object),
            }
        };
        let object =
            self.with_key(session, unwrapping, usage, make)
                .map_err(|error| match error {
                    Rv(CKR_KEY_HANDLE_INVALID) => Rv(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
                    other => other,
                })?;
        self.put_one(session, object, Origin::Session)
            .map(Reply::Handle)
    }
}

fn wrapping_handle(error: Rv) -> Rv {
    match error {
        Rv(CKR_KEY_HANDLE_INVALID | CKR_OBJECT_HANDLE_INVALID) => {
            Rv(CKR_WRAPPING_KEY_HANDLE_INVALID)
        }
        other => other,
    }
}

/// Whether the key has all that the wrapping key's `CKA_WRAP_TEMPLATE` asks for.
fn fits_template(by: &UsableKey, key: &UsableKey) -> Result<()> {
    let Some(stored) = by.described().bytes(CKA_WRAP_TEMPLATE) else {
        return Ok(());
    };
    let template = attributes::nested_template(stored)?;
    let asked = attributes::wanted(&template).ok_or(Rv(CKR_KEY_NOT_WRAPPABLE))?;
    let has = |(number, bytes): &(u32, Vec<u8>)| {
        attributes::encode(key.described(), *number).as_ref() == Some(bytes)
    };
    asked
        .iter()
        .all(has)
        .then_some(())
        .ok_or(Rv(CKR_KEY_NOT_WRAPPABLE))
}
