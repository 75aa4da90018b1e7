//! Templates inside an attribute, as the attribute stores them: a number and a value for each, both little-endian.
//!
//! ```text
//! 4 bytes  CKA number
//! 4 bytes  length of the value
//! value
//! ```

use slotfs_wire::rv::{CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID};
use slotfs_wire::{NestedAttribute, RawAttribute, Template};

use crate::error::{Result, Rv};

/// # Errors
/// `CKR_ATTRIBUTE_TYPE_INVALID`, `CKR_ATTRIBUTE_VALUE_INVALID`
pub(crate) fn encode(template: &[NestedAttribute]) -> Result<Vec<u8>> {
    let mut encoded = Vec::new();
    for it in template {
        let value = it.bytes.bytes();
        let number = u32::try_from(it.kind).map_err(|_| Rv(CKR_ATTRIBUTE_TYPE_INVALID))?;
        let length = u32::try_from(value.len());
        let length = length.map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
        encoded.extend_from_slice(&number.to_le_bytes());
        encoded.extend_from_slice(&length.to_le_bytes());
        encoded.extend_from_slice(value);
    }
    Ok(encoded)
}

/// # Errors
/// `CKR_ATTRIBUTE_VALUE_INVALID` for bytes that [`encode`] does not make.
pub(crate) fn decode(mut encoded: &[u8]) -> Result<Vec<NestedAttribute>> {
    let mut template = Vec::new();
    while !encoded.is_empty() {
        let (it, rest) = one(encoded).ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
        template.push(it);
        encoded = rest;
    }
    Ok(template)
}

/// The attributes of a stored template as a template of their own.
///
/// # Errors
/// As [`decode`].
pub(crate) fn template(encoded: &[u8]) -> Result<Template> {
    let nested = decode(encoded)?.into_iter();
    let plain = nested.map(|it| RawAttribute::bytes(it.kind, it.bytes.bytes()));
    Ok(plain.collect())
}

fn one(encoded: &[u8]) -> Option<(NestedAttribute, &[u8])> {
    let (number, rest) = encoded.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    let it = NestedAttribute {
        kind: u64::from(u32::from_le_bytes(*number)),
        bytes: value.into(),
    };
    Some((it, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_and_back() {
        let it = |kind, bytes: &[u8]| NestedAttribute {
            kind,
            bytes: bytes.into(),
        };
        let template = [it(3, b"label"), it(0x162, &[0]), it(0x102, &[])];
        let encoded = encode(&template).unwrap();
        assert_eq!(decode(&encoded).unwrap(), template);
        for cut in 1..encoded.len() {
            let there = decode(&encoded[..cut]);
            assert!(
                there.is_err() || there.is_ok_and(|it| it.len() < 3),
                "{cut}"
            );
        }
    }
}
