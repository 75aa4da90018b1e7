//! New keys: generated, derived, encapsulated.

use std::cell::Cell;
use std::sync::Arc;

use slotfs_object::pkcs11::*;
use slotfs_object::usable::{UsableKey, Usage};
use slotfs_object::{Attribute, Object};
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Mechanism, Reply, Template};
use zeroize::Zeroizing;

use crate::Application;
use crate::assemble::{self, Birth};
use crate::attributes::{self, Given};
use crate::error::{Result, Rv};
use crate::material::{self, Material, Wanted};
use crate::owned::Origin;
use crate::session::Session;

/// Attributes of a template that say what value is wanted, and are no settings.
const OF_THE_VALUE: &[u32] = &[
    CKA_VALUE_LEN,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS,
    CKA_PARAMETER_SET,
];

/// The most keys that one derivation makes beside its first.
const MOST_ADDITIONAL_KEYS: usize = 64;

/// What a template wants of a key's value.
pub(crate) fn wanted(given: &Given) -> Wanted<'_> {
    Wanted {
        key_type: given.key_type,
        value_len: given.number(CKA_VALUE_LEN),
        modulus_bits: given.number(CKA_MODULUS_BITS),
        public_exponent: given.bytes(CKA_PUBLIC_EXPONENT),
        ec_params: given.bytes(CKA_EC_PARAMS),
        parameter_set: given.number(CKA_PARAMETER_SET),
    }
}

/// The settings of a template, without what it says of the value.
pub(crate) fn settings_of(mut given: Given) -> Given {
    given
        .attributes
        .retain(|number, _| !OF_THE_VALUE.contains(number));
    given
}

/// Whether what is derived tells the base key, or a part of it, to whoever can read it.
fn shows_base(mechanism: u64) -> bool {
    matches!(
        mechanism,
        CKM_CONCATENATE_BASE_AND_KEY
            | CKM_CONCATENATE_BASE_AND_DATA
            | CKM_CONCATENATE_DATA_AND_BASE
            | CKM_XOR_BASE_AND_DATA
            | CKM_EXTRACT_KEY_FROM_KEY
    )
}

/// Such a key of a token key is sensitive if its base is, and extractable only if its base is (PKCS#11 3.2 section 6.27).
///
/// # Errors
/// `CKR_TEMPLATE_INCONSISTENT` where the template asks for something else.
fn kept_as_closely(object: &mut Object, given: &Given, base: &Object) -> Result<()> {
    for (number, closely) in [(CKA_SENSITIVE, true), (CKA_EXTRACTABLE, false)] {
        let closely = Attribute::Bool(closely);
        if base.attributes.get(&number) != Some(&closely) {
            continue;
        }
        match given.attributes.get(&number) {
            Some(asked) if *asked != closely => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
            _ => object.set(number, closely),
        }
    }
    Ok(())
}

impl Application {
    pub(crate) fn generate_key(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        template: &Template,
    ) -> Result<Reply> {
        let given = Given::parse(template, Some(CKO_SECRET_KEY))?;
        given.must_be(CKO_SECRET_KEY, None)?;
        self.may_make(session, CKO_SECRET_KEY, &given)?;
        let made = material::generate_key(mechanism, &wanted(&given))?;
        let birth = Birth::Generated(mechanism.number);
        let object = assemble::key(CKO_SECRET_KEY, &settings_of(given), made, birth)?;
        self.put_one(session, object, Origin::Session)
            .map(Reply::Handle)
    }

    pub(crate) fn generate_key_pair(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Result<Reply> {
        let public = Given::parse(public, Some(CKO_PUBLIC_KEY))?;
        let private = Given::parse(private, Some(CKO_PRIVATE_KEY))?;
        public.must_be(CKO_PUBLIC_KEY, None)?;
        private.must_be(CKO_PRIVATE_KEY, None)?;
        self.may_make(session, CKO_PUBLIC_KEY, &public)?;
        self.may_make(session, CKO_PRIVATE_KEY, &private)?;
        let (public_made, private_made) =
            material::generate_pair(mechanism, &wanted(&public), &wanted(&private))?;
        let birth = Birth::Generated(mechanism.number);
        let half = |class, given, made| assemble::key(class, &settings_of(given), made, birth);
        let public = half(CKO_PUBLIC_KEY, public, public_made)?;
        let mut private = half(CKO_PRIVATE_KEY, private, private_made)?;
        // The clock may have advanced by a second between the two.
        private.created_secs = public.created_secs;
        match *self.put(session, vec![public, private], Origin::Session)? {
            [public, private] => Ok(Reply::Pair(public, private)),
            _ => Err(Rv(CKR_DEVICE_ERROR)),
        }
    }

    /// Whether an object of that class and template may be made here, asked before its key is.
    pub(crate) fn may_make(&self, session: &Session, class: u32, given: &Given) -> Result<()> {
        let mut like = Object::new(class, None).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
        let token = given.bool(CKA_TOKEN).unwrap_or(false);
        like.set(CKA_TOKEN, Attribute::Bool(token));
        if let Some(private) = given.bool(CKA_PRIVATE) {
            like.set(CKA_PRIVATE, Attribute::Bool(private));
        }
        self.may_put(session, &[like])
    }

    /// One key, or several where the mechanism's parameter has templates of its own: all of them or none.
    pub(crate) fn derive_key(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        base: u64,
        template: &Template,
    ) -> Result<Reply> {
        let additional = mechanism.parameter.additional_keys();
        if additional.len() > MOST_ADDITIONAL_KEYS {
            return Err(Rv(CKR_MECHANISM_PARAM_INVALID));
        }
        // The template that is to blame for a failure.
        let blamed = Cell::new(None);
        let templates = std::iter::once(template).chain(additional);
        let made = self.derived(session, mechanism, base, templates, &blamed);
        let made = made.and_then(|objects| self.put(session, objects, Origin::Session));
        match (made, blamed.get()) {
            (Ok(handles), _) => Ok(match *handles {
                [handle] => Reply::Handle(handle),
                _ => Reply::Handles(handles),
            }),
            (Err(Rv(number)), Some(template)) if !additional.is_empty() => {
                Ok(Reply::NotDerived { number, template })
            }
            (Err(error), _) => Err(error),
        }
    }

    fn derived<'a>(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        base: u64,
        templates: impl Iterator<Item = &'a Template>,
        blamed: &Cell<Option<u64>>,
    ) -> Result<Vec<Object>> {
        let parse = |template| Given::parse(template, Some(CKO_SECRET_KEY));
        let mut given = each(templates, blamed, parse)?;
        // CKM_HKDF_DATA makes a data object.
        let class = match mechanism.number {
            CKM_HKDF_DATA => CKO_DATA,
            _ => CKO_SECRET_KEY,
        };
        let usage = (Usage::Derive, mechanism.number);
        // Session keys derive as their attributes say.
        let found = self.object(session, base);
        let is_of_token = found.is_ok_and(|it| it.origin() == Origin::Token);
        self.with_key(session, base, usage, |key| {
            given = each(std::mem::take(&mut given), blamed, |given| {
                let given = within(key, CKA_DERIVE_TEMPLATE, given)?;
                given.must_be(class, None)?;
                self.may_make(session, class, &given)?;
                Ok(given)
            })?;
            let wanted: Vec<_> = given.iter().map(wanted).collect();
            if wanted.len() > 1 {
                each(&wanted, blamed, material::secret_length)?;
            }
            let other = |handle| self.other_key(session, handle);
            let made = material::derive(mechanism, key, &wanted, &other)?;
            let is =
                |number| key.described().attributes.get(&number) == Some(&Attribute::Bool(true));
            let shows_base = is_of_token && shows_base(mechanism.number);
            let birth = Birth::Derived {
                always_sensitive: is(CKA_ALWAYS_SENSITIVE),
                never_extractable: is(CKA_NEVER_EXTRACTABLE),
            };
            let both = std::mem::take(&mut given).into_iter().zip(made);
            each(both, blamed, |(given, made)| {
                let given = settings_of(given);
                match class {
                    CKO_DATA => data_of(given, made),
                    _ => {
                        let mut object = assemble::key(class, &given, made, birth)?;
                        if shows_base {
                            kept_as_closely(&mut object, &given, key.described())?;
                        }
                        Ok(object)
                    }
                }
            })
        })
    }

    /// A second key of a derivation, which must allow derivation too.
    fn other_key(&self, session: &Session, handle: u64) -> Result<Arc<UsableKey>> {
        let usage = (Usage::Derive, CK_UNAVAILABLE_INFORMATION);
        let copy = |key: &UsableKey| {
            let mut object = key.described().clone();
            for number in key.secret_numbers() {
                if let Some(secret) = key.secret(number) {
                    let secret = slotfs_object::secret::SecretBytes::from(secret);
                    object.set(number, Attribute::Secret(secret));
                }
            }
            Ok(Arc::new(UsableKey::new(object)))
        };
        self.with_key(session, handle, usage, copy)
    }

    pub(crate) fn encapsulate(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        public: u64,
        template: &Template,
        room: Option<u64>,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Reply> {
        let given = Given::parse(template, Some(CKO_SECRET_KEY))?;
        let usage = (Usage::Encapsulate, mechanism.number);
        let (object, ciphertext) = self.with_key(session, public, usage, |key| {
            let given = within(key, CKA_ENCAPSULATE_TEMPLATE, given)?;
            given.must_be(CKO_SECRET_KEY, None)?;
            self.may_make(session, CKO_SECRET_KEY, &given)?;
            let (made, ciphertext) = material::encapsulate(mechanism, key, &wanted(&given))?;
            Ok((shared_secret(settings_of(given), made)?, ciphertext))
        })?;
        let bytes = ciphertext.len() as u64;
        match room {
            None => return Ok(Reply::Output { bytes }),
            Some(room) if room < bytes => return Ok(Reply::TooSmall { bytes }),
            Some(_) => {}
        }
        let key = self.put_one(session, object, Origin::Session)?;
        out.extend_from_slice(&ciphertext);
        Ok(Reply::Encapsulated { key, bytes })
    }

    pub(crate) fn decapsulate(
        &self,
        session: &Session,
        mechanism: &Mechanism,
        private: u64,
        ciphertext: &[u8],
        template: &Template,
    ) -> Result<Reply> {
        let given = Given::parse(template, Some(CKO_SECRET_KEY))?;
        let usage = (Usage::Decapsulate, mechanism.number);
        let object = self.with_key(session, private, usage, |key| {
            let given = within(key, CKA_DECAPSULATE_TEMPLATE, given)?;
            given.must_be(CKO_SECRET_KEY, None)?;
            self.may_make(session, CKO_SECRET_KEY, &given)?;
            let made = material::decapsulate(mechanism, key, ciphertext, &wanted(&given))?;
            shared_secret(settings_of(given), made)
        })?;
        self.put_one(session, object, Origin::Session)
            .map(Reply::Handle)
    }
}

/// What `make` gives for each; `blamed` becomes the number of the one that it fails for.
fn each<T, R>(
    all: impl IntoIterator<Item = T>,
    blamed: &Cell<Option<u64>>,
    make: impl Fn(T) -> Result<R>,
) -> Result<Vec<R>> {
    let one = |(it, number)| make(it).inspect_err(|_| blamed.set(Some(number)));
    all.into_iter().zip(0..).map(one).collect()
}

/// A shared secret: the other side knows it as well (PKCS#11 3.2 section 5.18.8).
fn shared_secret(given: Given, made: Material) -> Result<Object> {
    let birth = Birth::Derived {
        always_sensitive: false,
        never_extractable: false,
    };
    assemble::key(CKO_SECRET_KEY, &given, made, birth)
}

fn data_of(mut given: Given, made: Material) -> Result<Object> {
    given.attributes.extend(made.attributes);
    given.attributes.remove(&CKA_VALUE_LEN);
    assemble::other(CKO_DATA, &given)
}

/// What a key's template asks of every new key that is made with it, added to what the application gives. Where both name an
/// attribute they must agree.
///
/// # Errors
/// `CKR_TEMPLATE_INCONSISTENT`
pub(crate) fn within(key: &UsableKey, number: u32, mut given: Given) -> Result<Given> {
    let Some(stored) = key.described().bytes(number) else {
        return Ok(given);
    };
    let template = attributes::nested_template(stored)?;
    let asked = Given::parse(&template, Some(CKO_SECRET_KEY))?;
    given.must_be(
        asked.class.or(given.class).unwrap_or(CKO_SECRET_KEY),
        asked.key_type,
    )?;
    given.class = given.class.or(asked.class);
    given.key_type = given.key_type.or(asked.key_type);
    for (number, value) in asked.attributes {
        match given.attributes.get(&number) {
            Some(there) if *there != value => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
            Some(_) => {}
            None => {
                given.attributes.insert(number, value);
            }
        }
    }
    Ok(given)
}
