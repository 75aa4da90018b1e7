//! Parameters of SP 800-108: the parts of the input, and the keys that one derivation makes beside its first (PKCS#11 3.2,
//! "SP800-108 key derivation").

use cryptoki_sys::*;
use slotfs_wire::{
    KdfPart, MAX_HEADER_BYTES, NestedAttribute, Parameter, RawAttribute, RawValue, Secret, Template,
};

use super::{LONG, SHORT, at, bytes, structure};
use crate::memory::{MOST_ATTRIBUTES, is_template};

/// Most parts of the input.
const MOST_PARTS: usize = 64;
/// Most additional keys.
const MOST_KEYS: usize = 64;

pub(super) fn counter(it: CK_SP800_108_KDF_PARAMS) -> Option<Parameter> {
    let keys = keys(it.pAdditionalDerivedKeys, it.ulAdditionalDerivedKeys)?;
    Some(Parameter::CounterKdf {
        prf: it.prfType,
        parts: parts(it.pDataParams, it.ulNumberOfDataParams)?,
        additional_keys: templates(&keys)?,
    })
}

pub(super) fn feedback(it: CK_SP800_108_FEEDBACK_KDF_PARAMS) -> Option<Parameter> {
    let keys = keys(it.pAdditionalDerivedKeys, it.ulAdditionalDerivedKeys)?;
    Some(Parameter::FeedbackKdf {
        prf: it.prfType,
        parts: parts(it.pDataParams, it.ulNumberOfDataParams)?,
        additional_keys: templates(&keys)?,
        iv: bytes(it.pIV, it.ulIVLen, SHORT)?,
    })
}

/// Where the handles of the additional keys go; none for other mechanisms.
pub(crate) fn places(it: &CK_MECHANISM) -> Option<Vec<*mut CK_OBJECT_HANDLE>> {
    let (address, length) = (it.pParameter.cast_const(), it.ulParameterLen);
    let keys = match it.mechanism {
        CKM_SP800_108_COUNTER_KDF => {
            let it: CK_SP800_108_KDF_PARAMS = structure(address, length)?;
            keys(it.pAdditionalDerivedKeys, it.ulAdditionalDerivedKeys)?
        }
        CKM_SP800_108_FEEDBACK_KDF => {
            let it: CK_SP800_108_FEEDBACK_KDF_PARAMS = structure(address, length)?;
            keys(it.pAdditionalDerivedKeys, it.ulAdditionalDerivedKeys)?
        }
        _ => Vec::new(),
    };
    Some(keys.iter().map(|it| it.phKey).collect())
}

/// So many structures that follow each other.
fn array<T: super::Plain>(first: *const T, count: CK_ULONG, most: usize) -> Option<Vec<T>> {
    let count = usize::try_from(count).ok()?;
    if count > most {
        return None;
    }
    (0..count)
        .map(|index| at(first.wrapping_add(index)))
        .collect()
}

fn keys(first: *const CK_DERIVED_KEY, count: CK_ULONG) -> Option<Vec<CK_DERIVED_KEY>> {
    array(first, count, MOST_KEYS)
}

fn parts(first: *const CK_PRF_DATA_PARAM, count: CK_ULONG) -> Option<Vec<KdfPart>> {
    let all = array(first, count, MOST_PARTS)?;
    all.into_iter().map(part).collect()
}

fn part(it: CK_PRF_DATA_PARAM) -> Option<KdfPart> {
    let (address, length) = (it.pValue.cast_const(), it.ulValueLen);
    let format = || structure::<CK_SP800_108_COUNTER_FORMAT>(address, length);
    Some(match it.type_ {
        // Where the iteration variable is the output before, it has no format.
        CK_SP800_108_ITERATION_VARIABLE if address.is_null() && length == 0 => KdfPart::Iteration {
            little_endian: false,
            bits: 0,
        },
        CK_SP800_108_ITERATION_VARIABLE => {
            let it = format()?;
            KdfPart::Iteration {
                little_endian: it.bLittleEndian != 0,
                bits: it.ulWidthInBits,
            }
        }
        CK_SP800_108_COUNTER => {
            let it = format()?;
            KdfPart::Counter {
                little_endian: it.bLittleEndian != 0,
                bits: it.ulWidthInBits,
            }
        }
        CK_SP800_108_DKM_LENGTH => {
            let it: CK_SP800_108_DKM_LENGTH_FORMAT = structure(address, length)?;
            KdfPart::Length {
                method: it.dkmLengthMethod,
                little_endian: it.bLittleEndian != 0,
                bits: it.ulWidthInBits,
            }
        }
        CK_SP800_108_BYTE_ARRAY => KdfPart::Bytes(bytes(address.cast(), length, LONG)?),
        _ => return None,
    })
}

/// The templates of keys: no more bytes of them than a message takes.
fn templates(keys: &[CK_DERIVED_KEY]) -> Option<Vec<Template>> {
    let mut left = MAX_HEADER_BYTES;
    let of = |it: &CK_DERIVED_KEY| {
        let all = array(
            it.pTemplate.cast_const(),
            it.ulAttributeCount,
            MOST_ATTRIBUTES,
        )?;
        all.iter().map(|it| attribute(it, &mut left)).collect()
    };
    keys.iter().map(of).collect()
}

fn attribute(it: &CK_ATTRIBUTE, left: &mut usize) -> Option<RawAttribute> {
    let value = match is_template(it) {
        true => RawValue::Template(nested(it, left)?),
        false => RawValue::Bytes(value(it, left)?),
    };
    let kind = it.type_;
    Some(RawAttribute { kind, value })
}

fn nested(it: &CK_ATTRIBUTE, left: &mut usize) -> Option<Vec<NestedAttribute>> {
    let size = size_of::<CK_ATTRIBUTE>() as CK_ULONG;
    if !it.ulValueLen.is_multiple_of(size) {
        return None;
    }
    let all = array(
        it.pValue.cast_const().cast::<CK_ATTRIBUTE>(),
        it.ulValueLen / size,
        MOST_ATTRIBUTES,
    )?;
    let one = |it: &CK_ATTRIBUTE| {
        let bytes = value(it, left)?;
        let kind = it.type_;
        Some(NestedAttribute { kind, bytes })
    };
    all.iter().map(one).collect()
}

fn value(it: &CK_ATTRIBUTE, left: &mut usize) -> Option<Secret> {
    let value = bytes(it.pValue.cast_const().cast(), it.ulValueLen, *left)?;
    // An attribute costs something without a value, too.
    *left = left.checked_sub(value.len() + 1)?;
    Some(Secret::from(value))
}
