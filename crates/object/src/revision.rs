//! Revisions: an object that is described anew (docs/objects.md, "Changing"). Its value, class, key type and identity stay
//! for ever; what names it may change, and what restricts it may be added.

use std::collections::BTreeSet;
use std::fmt;

use super::attributes::AttributeError;
use super::pkcs11::{
    CKA_APPLICATION, CKA_COPYABLE, CKA_END_DATE, CKA_EXTRACTABLE, CKA_ID, CKA_ISSUER, CKA_LABEL,
    CKA_MODIFIABLE, CKA_SENSITIVE, CKA_SERIAL_NUMBER, CKA_START_DATE, CKA_SUBJECT,
    CKA_WRAP_WITH_TRUSTED, CKO_CERTIFICATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
    CKO_SECRET_KEY, attribute_name, class_name,
};
use super::template::{KEM_USAGES, USAGES};
use super::{Attribute, Object, Ouid, codec};

#[cfg(test)]
mod tests;

/// The highest number of a revision. A blob with a higher one is refused: whoever holds a domain could otherwise send the
/// last number there is, and nobody could describe the object anew.
pub const MOST_REVISIONS: u32 = 1 << 31;

/// Which description of an object it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision {
    /// 0 at birth, at most [`MOST_REVISIONS`].
    pub number: u32,
    /// When it was made, seconds since 1970; 0 at birth, and only then.
    pub changed_secs: u64,
}

impl Revision {
    /// As every object is born.
    pub const FIRST: Self = Self {
        number: 0,
        changed_secs: 0,
    };

    /// Whether it is one that an object may have.
    pub fn is_well_formed(self) -> bool {
        self.number <= MOST_REVISIONS && (self.number == 0) == (self.changed_secs == 0)
    }
}

/// One attribute and its new value; `None` leaves it out.
pub type Change = (u32, Option<Attribute>);

/// Why an object cannot be described so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviseError {
    /// CKA_MODIFIABLE is false.
    #[error("it cannot be changed: CKA_MODIFIABLE is false")]
    Unmodifiable,
    /// An attribute that never changes: its name.
    #[error("{0} never changes")]
    Fixed(String),
    /// An attribute that goes one way only: its name, and where it goes.
    #[error("{0} can only become {1}")]
    OneWay(String, bool),
    /// An attribute that objects of the class do not have: its name, the class.
    #[error("a {1} has no {0}")]
    NotOfClass(String, String),
    /// A value of another type than the attribute's: its name.
    #[error("the value of {0} has the wrong type")]
    Type(String),
    /// The last revision there is.
    #[error("it has reached its last revision, {MOST_REVISIONS}")]
    Exhausted,
    /// The attributes do not fit together, or are too large.
    #[error(transparent)]
    Attribute(AttributeError),
}

/// What a new description of an object is to an old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both are the same.
    Same,
    /// It replaces the other.
    Successor,
    /// The other replaces it.
    Predecessor,
    /// Neither replaces the other.
    Other(Differences),
}

/// What two objects of one identity differ in: names, no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differences {
    /// What differs: PKCS#11 names of attributes, and words for the rest.
    pub names: Vec<String>,
    /// Whether a revision of one of them can replace the other.
    pub can_be_described: bool,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Bytes,
    Date,
}

const CERTIFIED: &[u32] = &[CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY];
const NAMED: &[u32] = &[
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
];
const ALL: &[u32] = &[
    CKO_DATA,
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
];

/// Attributes that may take any value of their type or be left out, and the classes that have them.
const FREE: &[(u32, Type, &[u32])] = &[
    (CKA_LABEL, Type::Text, ALL),
    (CKA_APPLICATION, Type::Text, &[CKO_DATA]),
    (CKA_ISSUER, Type::Bytes, &[CKO_CERTIFICATE]),
    (CKA_SERIAL_NUMBER, Type::Bytes, &[CKO_CERTIFICATE]),
    (CKA_SUBJECT, Type::Bytes, CERTIFIED),
    (CKA_ID, Type::Bytes, NAMED),
    (CKA_START_DATE, Type::Date, NAMED),
    (CKA_END_DATE, Type::Date, NAMED),
];

/// Where a boolean may go that goes one way; the uses of a key may be taken away too.
const ONE_WAY: &[(u32, bool)] = &[
    (CKA_SENSITIVE, true),
    (CKA_WRAP_WITH_TRUSTED, true),
    (CKA_EXTRACTABLE, false),
    (CKA_MODIFIABLE, false),
    (CKA_COPYABLE, false),
];

/// Where an attribute that goes one way may go; `None` for all others.
pub fn one_way(number: u32) -> Option<bool> {
    let listed = ONE_WAY.iter().find(|row| row.0 == number).map(|row| row.1);
    let mut usages = USAGES.iter().chain(KEM_USAGES);
    let mut usage = || usages.any(|row| row.0 == number).then_some(false);
    listed.or_else(&mut usage)
}

/// Whether an attribute of an object of `class` may go from one value to another.
fn check(
    class: u32,
    number: u32,
    old: Option<&Attribute>,
    new: Option<&Attribute>,
) -> Result<(), ReviseError> {
    if old == new {
        return Ok(());
    }
    let name = || attribute_name(number);
    let not_of_class = || Err(ReviseError::NotOfClass(name(), class_name(class)));
    if let Some(goal) = one_way(number) {
        return match (old, new) {
            (None, _) => not_of_class(),
            (_, Some(Attribute::Bool(new))) if *new == goal => Ok(()),
            (_, Some(Attribute::Bool(_)) | None) => Err(ReviseError::OneWay(name(), goal)),
            (_, Some(_)) => Err(ReviseError::Type(name())),
        };
    }
    let Some((_, kind, classes)) = FREE.iter().find(|row| row.0 == number) else {
        return Err(ReviseError::Fixed(name()));
    };
    if !classes.contains(&class) {
        return not_of_class();
    }
    match (kind, new) {
        (_, None)
        | (Type::Text, Some(Attribute::Text(_)))
        | (Type::Bytes, Some(Attribute::Bytes(_)))
        | (Type::Date, Some(Attribute::Date(_))) => Ok(()),
        _ => Err(ReviseError::Type(name())),
    }
}

/// Whether the description `new` may replace `old`.
fn replaces(new: &Object, old: &Object) -> bool {
    old.is_modifiable()
        && new.revision.number > old.revision.number
        && kept(new) == kept(old)
        && numbers(new, old).into_iter().all(|number| {
            let [old_value, value] = [old, new].map(|object| object.attributes.get(&number));
            check(old.class, number, old_value, value).is_ok()
        })
}

/// What stays beside the attributes.
fn kept(object: &Object) -> (Ouid, u64, u32, Option<u32>) {
    let Object {
        ouid,
        created_secs,
        class,
        key_type,
        ..
    } = *object;
    (ouid, created_secs, class, key_type)
}

/// What may change of an object, with the revision that it is, as bytes that two of one identity have in common only if they
/// are described alike.
pub fn description(object: &Object) -> Vec<u8> {
    let may_change =
        |number: &u32| one_way(*number).is_some() || FREE.iter().any(|row| row.0 == *number);
    let mut bytes = Vec::new();
    bytes.extend(object.ouid.to_string().as_bytes());
    bytes.extend(object.revision.number.to_be_bytes());
    bytes.extend(object.revision.changed_secs.to_be_bytes());
    for (number, value) in &object.attributes {
        if may_change(number) {
            let (kind, value) = match value {
                Attribute::Bool(value) => (0, vec![u8::from(*value)]),
                Attribute::Number(value) => (1, value.to_be_bytes().to_vec()),
                Attribute::Bytes(value) => (2, value.clone()),
                Attribute::Text(value) => (3, value.clone().into_bytes()),
                Attribute::Date(value) => (4, value.to_string().into_bytes()),
                // No secret may change.
                Attribute::Secret(_) => continue,
            };
            bytes.extend(number.to_be_bytes());
            bytes.push(kind);
            bytes.extend((value.len() as u64).to_be_bytes());
            bytes.extend(value);
        }
    }
    bytes
}

/// The attributes that either has.
fn numbers(one: &Object, other: &Object) -> BTreeSet<u32> {
    let all = one.attributes.keys().chain(other.attributes.keys());
    all.copied().collect()
}

/// What the object `new` is to `old`.
pub fn relation(new: &Object, old: &Object) -> Relation {
    if new == old {
        Relation::Same
    } else if replaces(new, old) {
        Relation::Successor
    } else if replaces(old, new) {
        Relation::Predecessor
    } else {
        Relation::Other(differences(new, old))
    }
}

fn differences(one: &Object, other: &Object) -> Differences {
    let mut names: Vec<String> = [
        (one.ouid != other.ouid, "the identity"),
        (one.class != other.class, "the class"),
        (one.key_type != other.key_type, "the key type"),
        (one.created_secs != other.created_secs, "the creation time"),
    ]
    .into_iter()
    .filter(|row| row.0)
    .map(|row| row.1.to_owned())
    .collect();
    let mut differ = numbers(one, other);
    differ.retain(|number| one.attributes.get(number) != other.attributes.get(number));
    // Some revision takes the values of either, or the more restricted one.
    let meets = |number: &u32| {
        let [one_value, value] = [one, other].map(|object| object.attributes.get(number));
        check(one.class, *number, one_value, value).is_ok()
            || check(one.class, *number, value, one_value).is_ok()
    };
    let can_be_described = kept(one) == kept(other)
        && one.is_modifiable()
        && other.is_modifiable()
        && differ.iter().all(meets);
    names.extend(differ.into_iter().map(attribute_name));
    if names.is_empty() {
        names.push("the time of the change".to_owned());
    }
    Differences {
        names,
        can_be_described,
    }
}

impl Object {
    /// Whether it may be described anew: PKCS#11's default of CKA_MODIFIABLE is true.
    pub fn is_modifiable(&self) -> bool {
        self.attributes.get(&CKA_MODIFIABLE) != Some(&Attribute::Bool(false))
    }

    /// When its description was made, seconds since 1970; `None` at birth.
    pub fn changed_secs(&self) -> Option<u64> {
        (self.revision != Revision::FIRST).then_some(self.revision.changed_secs)
    }

    /// The object described anew at `now_secs`; `None` when that would change nothing.
    ///
    /// # Errors
    /// [`ReviseError`]
    pub fn revised(&self, changes: &[Change], now_secs: u64) -> Result<Option<Self>, ReviseError> {
        let mut new = self.clone();
        for (number, value) in changes {
            check(
                self.class,
                *number,
                self.attributes.get(number),
                value.as_ref(),
            )?;
            match value {
                Some(value) => new.set(*number, value.clone()),
                None => drop(new.attributes.remove(number)),
            }
        }
        if new == *self {
            return Ok(None);
        }
        if !self.is_modifiable() {
            return Err(ReviseError::Unmodifiable);
        }
        if self.revision.number >= MOST_REVISIONS {
            return Err(ReviseError::Exhausted);
        }
        let before = self.changed_secs().unwrap_or(self.created_secs);
        new.revision = Revision {
            number: self.revision.number + 1,
            // Later than before whatever the clock says: tools that mirror compare times.
            changed_secs: now_secs.max(before.saturating_add(1)),
        };
        super::attributes::check_dates(&new).map_err(ReviseError::Attribute)?;
        match codec::encode(&new) {
            Some(_) => Ok(Some(new)),
            None => Err(ReviseError::Attribute(AttributeError::TooLarge)),
        }
    }
}
