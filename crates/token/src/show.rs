//! `C_GetAttributeValue`, `C_SetAttributeValue`, `C_GetObjectSize`.

use slotfs_object::partition::Role;
use slotfs_object::pkcs11::*;
use slotfs_object::revision::Change;
use slotfs_object::usable::UsableKey;
use slotfs_object::{Attribute, codec, now_secs};
use slotfs_wire::rv::*;
use slotfs_wire::{Got, RawValue, Reply, Secret, Template};

use crate::Application;
use crate::access::{Found, token_handle};
use crate::attributes::{self, Given};
use crate::error::{Result, Rv};
use crate::owned::{self, Origin, SessionObject};
use crate::session::Session;

/// The most attributes that one call may ask for.
const MOST_KINDS: usize = 4_096;

impl Application {
    pub(crate) fn get_attributes(
        &self,
        session: &Session,
        handle: u64,
        kinds: &[u64],
    ) -> Result<Reply> {
        if kinds.len() > MOST_KINDS {
            return Err(Rv(CKR_ARGUMENTS_BAD));
        }
        let found = self.object(session, handle)?;
        let all = kinds.iter().map(|kind| {
            let number = u32::try_from(*kind).unwrap_or(u32::MAX);
            self.attribute(session, handle, &found, number)
        });
        Ok(Reply::Attributes(all.collect::<Result<_>>()?))
    }

    fn attribute(&self, session: &Session, handle: u64, found: &Found, number: u32) -> Result<Got> {
        let object = found.object();
        if is_secret(object.class, number) {
            return self.secret(session, handle, found, number);
        }
        if let (CKA_TRUSTED, Found::Token(handle, _)) = (number, found) {
            if attributes::encode(object, number).is_none() {
                return Ok(Got::Invalid);
            }
            let reader = self.reader(session).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
            let trusted = reader.hsm.partition(session.slot).is_trusted(*handle)?;
            let value = RawValue::Bytes(Secret::from(vec![u8::from(trusted)]));
            return Ok(Got::Value(value));
        }
        Ok(attributes::shown(object, number).map_or(Got::Invalid, Got::Value))
    }

    /// An attribute that may be secret: of a data object shown, of keys only where it may leave the token.
    fn secret(&self, session: &Session, handle: u64, found: &Found, number: u32) -> Result<Got> {
        let object = found.object();
        let shows = match (object.class, found) {
            (CKO_DATA, _) => !self.is_confined(session) || !object.is_private(),
            (_, Found::Session(it)) => is_readable(it),
            // The value of a token key never leaves the server.
            (_, Found::Token(..)) => false,
        };
        let has = |key: &UsableKey| Ok(key.secret(number).map(|it| RawValue::Bytes(it.into())));
        if !shows {
            let has = self.with_any_key(session, handle, has)?;
            return Ok(has.map_or(Got::Invalid, |_| Got::Sensitive));
        }
        let value = self.with_any_key(session, handle, has)?;
        Ok(value.map_or(Got::Invalid, Got::Value))
    }

    /// Whether the application is logged in as a crypto user who may not take objects out (policy 1000).
    pub(crate) fn is_confined(&self, session: &Session) -> bool {
        let login = self.login_of(session.slot);
        login.is_some_and(|login| {
            login.role() == Role::Cu
                && login
                    .partition()
                    .session()
                    .is_ok_and(|session| session.is_confined())
        })
    }

    pub(crate) fn object_size(&self, session: &Session, handle: u64) -> Result<Reply> {
        let found = self.object(session, handle)?;
        let bytes = match &found {
            Found::Token(handle, _) => {
                let reader = self.reader(session).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
                reader.hsm.partition(session.slot).find(*handle)?.size
            }
            Found::Session(it) => codec::encode(it.object())
                .map_or(CK_UNAVAILABLE_INFORMATION, |it| it.bytes().len() as u64),
        };
        Ok(Reply::Number(bytes))
    }

    pub(crate) fn set_attributes(
        &self,
        session: &Session,
        handle: u64,
        template: &Template,
    ) -> Result<Reply> {
        if self.role(session.slot) == Some(Role::Po) && handle <= u64::from(u32::MAX) {
            return self.set_trusted(session, handle, template);
        }
        let found = self.object(session, handle)?;
        let object = found.object();
        let given = Given::parse(template, Some(object.class))?;
        // Neither ever changes.
        if given.class.is_some() || given.key_type.is_some() {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
        let is_token = matches!(found, Found::Token(..));
        if is_token && !session.read_write {
            return Err(Rv(CKR_SESSION_READ_ONLY));
        }
        if given.attributes.contains_key(&CKA_TRUSTED) {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
        let mut changes: Vec<Change> = Vec::new();
        for it in template {
            let number = u32::try_from(it.kind).map_err(|_| Rv(CKR_ATTRIBUTE_TYPE_INVALID))?;
            let value = attributes::read(Some(object.class), number, &it.value)?;
            // What slotfs stores as absent is empty to applications.
            let value = match value {
                Some(Attribute::Bytes(bytes)) if bytes.is_empty() && number != CKA_ID => None,
                value => value,
            };
            if attributes::encode(object, number).is_none() && !is_secret(object.class, number) {
                return Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID));
            }
            changes.push((number, value));
        }
        match &found {
            Found::Token(handle, _) => {
                let login = self.login_of(session.slot);
                let login = login.ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
                login.partition().set_attributes(*handle, &changes)?;
            }
            Found::Session(it) => self.revise(it, &changes)?,
        }
        Ok(Reply::Done)
    }

    /// A session object described anew.
    fn revise(&self, object: &SessionObject, changes: &[Change]) -> Result<()> {
        let revised = object.object().revised(changes, now_secs())?;
        let Some(mut revised) = revised else {
            return Ok(());
        };
        for number in object.key.secret_numbers() {
            if let Some(secret) = object.key.secret(number) {
                let secret = slotfs_object::secret::SecretBytes::from(secret);
                revised.set(number, Attribute::Secret(secret));
            }
        }
        let key = UsableKey::new(revised);
        let new = SessionObject {
            handle: object.handle,
            session: object.session,
            slot: object.slot,
            _memory: owned::memory(&self.account, &key)?,
            key,
            origin: object.origin,
        };
        let mut state = self.state_mut();
        match state.objects.contains_key(&object.handle) {
            true => {
                state
                    .objects
                    .insert(object.handle, std::sync::Arc::new(new));
                Ok(())
            }
            false => Err(Rv(CKR_OBJECT_HANDLE_INVALID)),
        }
    }

    /// `CKA_TRUSTED` is po's to set, by the handle of a key that po need not see.
    fn set_trusted(&self, session: &Session, handle: u64, template: &Template) -> Result<Reply> {
        if !session.read_write {
            return Err(Rv(CKR_SESSION_READ_ONLY));
        }
        let given = Given::parse(template, None)?;
        let trusted = given.bool(CKA_TRUSTED).filter(|_| template.len() == 1);
        let trusted = trusted.ok_or(Rv(CKR_ATTRIBUTE_READ_ONLY))?;
        let handle = token_handle(handle).ok_or(Rv(CKR_OBJECT_HANDLE_INVALID))?;
        let login = self.login_of(session.slot);
        let login = login.ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        login.partition().set_trusted(handle, trusted)?;
        Ok(Reply::Done)
    }
}

/// Whether the value of a session key may be read.
fn is_readable(it: &SessionObject) -> bool {
    let is = |number| it.object().attributes.get(&number) == Some(&Attribute::Bool(true));
    it.origin == Origin::Session && is(CKA_EXTRACTABLE) && !is(CKA_SENSITIVE)
}
