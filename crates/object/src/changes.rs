//! Changes of a stored object's attributes, as a user writes them.

use super::Attribute;
use super::attributes::{self, AttributeError, Kind, Part};
use super::pkcs11::{
    CKA_APPLICATION, CKA_END_DATE, CKA_ID, CKA_ISSUER, CKA_LABEL, CKA_SERIAL_NUMBER,
    CKA_START_DATE, CKA_SUBJECT, attribute_name,
};
use super::revision::{Change, ReviseError, one_way};

/// Attributes that may take any value, and how a user writes it. An empty value leaves the attribute out.
const FREE: &[(u32, Kind)] = &[
    (CKA_SUBJECT, Kind::Name),
    (CKA_ISSUER, Kind::Name),
    (CKA_SERIAL_NUMBER, Kind::Hex),
    (CKA_START_DATE, Kind::Date),
    (CKA_END_DATE, Kind::Date),
    (CKA_APPLICATION, Kind::Text),
];

/// The changes that give an object this label and this id, where there is one, and the attributes in texts like
/// `extractable=false,start_date=2026-12-31`: PKCS#11 names with or without `CKA_`, in any case.
///
/// | attribute | value |
/// | --- | --- |
/// | booleans that go one way | `true` or `false` |
/// | dates | `2026-12-31`, or nothing |
/// | `APPLICATION` | text without commas, or nothing |
/// | `SUBJECT`, `ISSUER` | DER of a name in hexadecimal, or nothing |
/// | `SERIAL_NUMBER` | hexadecimal, or nothing |
///
/// # Errors
/// [`ReviseError::Fixed`] for an attribute that never changes, [`ReviseError::Attribute`] for text that is none.
pub fn parse<'a>(
    label: Option<&str>,
    id: Option<Vec<u8>>,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Change>, ReviseError> {
    let label = label.map(|label| (CKA_LABEL, Some(Attribute::Text(label.to_owned()))));
    let id = id.map(|id| (CKA_ID, Some(Attribute::Bytes(id))));
    let mut changes: Vec<Change> = label.into_iter().chain(id).collect();
    for part in attributes::parts(texts) {
        let change = change(part.map_err(ReviseError::Attribute)?)?;
        if changes.iter().any(|other| other.0 == change.0) {
            let twice = AttributeError::Twice(attribute_name(change.0));
            return Err(ReviseError::Attribute(twice));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn change(part: Part<'_>) -> Result<Change, ReviseError> {
    let Part {
        number,
        name,
        value,
    } = part;
    let free = FREE.iter().find(|row| row.0 == number).map(|row| row.1);
    let kind = match (free, one_way(number)) {
        (Some(_), _) if value.is_empty() => return Ok((number, None)),
        (Some(kind), _) => kind,
        (None, Some(_)) => Kind::Bool,
        (None, None) if [CKA_LABEL, CKA_ID].contains(&number) => {
            return Err(ReviseError::Attribute(attributes::fixed(&name)));
        }
        (None, None) => return Err(ReviseError::Fixed(name)),
    };
    let value = attributes::value_of(kind, name, value).map_err(ReviseError::Attribute)?;
    Ok((number, Some(value)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Date;
    use crate::pkcs11::{CKA_SENSITIVE, CKA_SIGN};

    #[test]
    fn what_is_read_and_what_is_refused() {
        let texts = [
            "cka_sign=false, SENSITIVE=true",
            "start_date=2026-12-31,end_date=",
        ];
        let date = Date {
            year: 2026,
            month: 12,
            day: 31,
        };
        assert_eq!(
            parse(Some("new"), Some(vec![7]), texts).unwrap(),
            [
                (CKA_LABEL, Some(Attribute::Text("new".into()))),
                (CKA_ID, Some(Attribute::Bytes(vec![7]))),
                (CKA_SIGN, Some(Attribute::Bool(false))),
                (CKA_SENSITIVE, Some(Attribute::Bool(true))),
                (CKA_START_DATE, Some(Attribute::Date(date))),
                (CKA_END_DATE, None),
            ]
        );
        for (text, says) in [
            ("sign", "attribute 1 is not of the form NAME=VALUE"),
            ("sign=no", "CKA_SIGN takes true or false"),
            ("sign=", "CKA_SIGN takes true or false"),
            ("sing=false", "there is no attribute sing"),
            // It may be a part of a value, which is not repeated.
            (
                "application=a,s3cret=b",
                "attribute 2 is not of the form NAME=VALUE",
            ),
            ("sign=false,cka_sign=false", "CKA_SIGN is given twice"),
            ("label=new", "CKA_LABEL cannot be chosen: -label sets it"),
            ("id=07", "CKA_ID cannot be chosen: -id sets it"),
            ("value=00", "CKA_VALUE never changes"),
            ("private=false", "CKA_PRIVATE never changes"),
            (
                "issuer=00",
                "CKA_ISSUER takes the DER of a distinguished name, in hexadecimal",
            ),
            (
                "serial_number=x",
                "CKA_SERIAL_NUMBER takes bytes in hexadecimal",
            ),
        ] {
            assert_eq!(parse(None, None, [text]).unwrap_err().to_string(), says);
        }
    }
}
