//! `C_CopyObject`: a new object with the value of another one.

use slotfs_object::pkcs11::*;
use slotfs_object::revision::Revision;
use slotfs_object::secret::SecretBytes;
use slotfs_object::usable::UsableKey;
use slotfs_object::{Attribute, Object, Ouid, codec, now_secs};
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Template};

use crate::Application;
use crate::attributes::Given;
use crate::error::{Result, Rv};
use crate::session::Session;

impl Application {
    pub(crate) fn copy_object(
        &self,
        session: &Session,
        handle: u64,
        template: &Template,
    ) -> Result<Reply> {
        let found = self.object(session, handle)?;
        let source = found.object();
        if source.attributes.get(&CKA_COPYABLE) == Some(&Attribute::Bool(false)) {
            return Err(Rv(CKR_ACTION_PROHIBITED));
        }
        let given = Given::parse(template, Some(source.class))?;
        // Its class and its key type stay, whatever the template says of them.
        given
            .must_be(source.class, source.key_type)
            .map_err(|_| Rv(CKR_ATTRIBUTE_READ_ONLY))?;
        let described = copy_of(source, &given)?;
        // Before the secret is opened.
        self.may_put(session, std::slice::from_ref(&described))?;
        let whole = |key: &UsableKey| whole(described, key);
        let object = self
            .with_any_key(session, handle, whole)
            .map_err(|error| match error {
                Rv(CKR_KEY_HANDLE_INVALID) => Rv(CKR_OBJECT_HANDLE_INVALID),
                other => other,
            })?;
        let origin = found.origin();
        self.put_one(session, object, origin).map(Reply::Handle)
    }
}

/// The copy without its secret attributes.
fn copy_of(source: &Object, given: &Given) -> Result<Object> {
    let mut copy = source.clone();
    copy.ouid = Ouid::random().map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    copy.created_secs = now_secs();
    copy.revision = Revision::FIRST;
    // A copy is a token object only when the template says so, as for every new object.
    copy.set(CKA_TOKEN, Attribute::Bool(false));
    for (&number, value) in &given.attributes {
        let before = source.attributes.get(&number);
        let may = match number {
            CKA_TOKEN | CKA_LABEL | CKA_ID | CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE
            | CKA_MODIFIABLE | CKA_DESTROYABLE => true,
            // Only towards what is kept closer.
            CKA_PRIVATE | CKA_SENSITIVE | CKA_WRAP_WITH_TRUSTED => {
                *value == Attribute::Bool(true) || before == Some(value)
            }
            CKA_EXTRACTABLE | CKA_COPYABLE => {
                *value == Attribute::Bool(false) || before.is_none_or(|it| it == value)
            }
            CKA_ENCRYPT | CKA_DECRYPT | CKA_SIGN | CKA_SIGN_RECOVER | CKA_VERIFY
            | CKA_VERIFY_RECOVER | CKA_WRAP | CKA_UNWRAP | CKA_DERIVE | CKA_ENCAPSULATE
            | CKA_DECAPSULATE => *value == Attribute::Bool(false) || before == Some(value),
            // No secret: it is as if a new one were made.
            CKA_VALUE | CKA_APPLICATION | CKA_OBJECT_ID => {
                source.class == CKO_DATA || before == Some(value)
            }
            CKA_ISSUER | CKA_SERIAL_NUMBER => {
                source.class == CKO_CERTIFICATE || before == Some(value)
            }
            CKA_UNIQUE_ID => return Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID)),
            _ => before == Some(value),
        };
        if !may {
            return Err(Rv(CKR_ATTRIBUTE_READ_ONLY));
        }
        copy.set(number, value.clone());
    }
    Ok(copy)
}

fn whole(mut copy: Object, key: &UsableKey) -> Result<Object> {
    for number in key.secret_numbers() {
        if let Some(secret) = key.secret(number) {
            copy.set(number, Attribute::Secret(SecretBytes::from(secret)));
        }
    }
    match codec::encode(&copy) {
        Some(_) => Ok(copy),
        None => Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
    }
}
