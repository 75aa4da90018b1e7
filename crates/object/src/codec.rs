//! The payload's encoding, P of docs/format.md, "The payload": the one file that uses `bincode`.
//!
//! `bincode` is neither canonical nor safe by itself, so decoding here accepts only the output of encoding: every length is checked against the bytes that are left before anything is allocated,
//! attributes must ascend, all input must be used, and the result is encoded again and compared.
//!
//! P, in order (integers other than `u8` in bincode's variable-length form, little-endian):
//!
//! | what | form |
//! | --- | --- |
//! | version | one byte, 1 or 2 |
//! | OUID | 16 bytes |
//! | creation time | u64, seconds since 1970 |
//! | class | u32 |
//! | key type | byte 0, or byte 1 and u32 |
//! | version 2: revision | u32, at most 2^31 |
//! | version 2: time of the change | u64, seconds since 1970; 0 if and only if the revision is 0 |
//! | number of attributes | u64 |
//! | each attribute, ascending | u32 CKA number, byte tag, value |
//!
//! Values by tag: 0 boolean, one byte; 1 number, u64; 2 bytes, u64 length and bytes; 3 string, u64
//! length and UTF-8; 4 date, u16 year, byte month, byte day; 5 secret, as bytes.
//!
//! Before version 2, every object was stored with CKA_MODIFIABLE false, and no object could be changed. So in version 1
//! CKA_MODIFIABLE false means true. An object at revision 0 is version 1, unless its CKA_MODIFIABLE is really false.

use std::collections::BTreeMap;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::read::{Reader, SliceReader};
use bincode::de::{Decode, Decoder, DecoderImpl};
use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use crate::pkcs11::CKA_MODIFIABLE;
use crate::revision::{MOST_REVISIONS, Revision};
use crate::secret::SecretBytes;
use crate::{Attribute, Date, Object, Ouid};

#[cfg(test)]
mod properties;

/// The largest payload, bytes.
pub const MAX_PAYLOAD_BYTES: usize = 65536;

/// The version of objects that are as they were born.
const BORN: u8 = 1;
/// The version of all others. Both are written and read.
const DESCRIBED: u8 = 2;
/// Every version that is written and read.
pub const VERSIONS: [u8; 2] = [BORN, DESCRIBED];

/// CKA_MODIFIABLE as the value of a whole attribute.
const MODIFIABLE: Attribute = Attribute::Bool(true);
const UNMODIFIABLE: Attribute = Attribute::Bool(false);

/// bincode counts memory, not input; a payload of 64 KiB can never claim this much.
const MEMORY_LIMIT_BYTES: usize = 1 << 20;

fn config() -> Configuration<LittleEndian, Varint, Limit<MEMORY_LIMIT_BYTES>> {
    bincode::config::standard().with_limit::<MEMORY_LIMIT_BYTES>()
}

/// Why bytes are not a payload. Holds no content except a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFault {
    /// A version this build does not know.
    Version(u8),
    /// A revision above [`MOST_REVISIONS`].
    Revision(u32),
    /// Too short, too long, or malformed.
    Malformed,
    /// It decodes, but encoding would have given other bytes.
    NotCanonical,
}

/// Encodes `object`, or `None` when it would exceed [`MAX_PAYLOAD_BYTES`] or is not well formed.
pub fn encode(object: &Object) -> Option<SecretBytes> {
    if !object.is_well_formed() {
        return None;
    }
    // Measured first, so that the buffer never grows and leaves no unwiped copy.
    let mut size = SizeWriter(0);
    let object = Versioned::of(object);
    bincode::encode_into_writer(&object, &mut size, config()).ok()?;
    if size.0 > MAX_PAYLOAD_BYTES {
        return None;
    }
    let mut exact = ExactWriter(Vec::with_capacity(size.0));
    bincode::encode_into_writer(&object, &mut exact, config()).ok()?;
    Some(SecretBytes::new(exact.0))
}

/// Decodes `payload`, accepting only what [`encode`] writes.
///
/// # Errors
/// [`PayloadFault`]; no part of the payload remains in memory then.
pub fn decode(payload: &[u8]) -> Result<Object, PayloadFault> {
    let version = match payload.first() {
        None => return Err(PayloadFault::Malformed),
        Some(&version @ (BORN | DESCRIBED)) => version,
        // Before the body, which has another meaning in another version.
        Some(&version) => return Err(PayloadFault::Version(version)),
    };
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(PayloadFault::Malformed);
    }
    let mut decoder = DecoderImpl::new(SliceReader::new(&payload[1..]), config(), ());
    let object = decode_body(version, &mut decoder).map_err(|_| PayloadFault::Malformed)?;
    if object.revision.number > MOST_REVISIONS {
        return Err(PayloadFault::Revision(object.revision.number));
    }
    if decoder.reader().peek_read(1).is_some() || !object.is_well_formed() {
        return Err(PayloadFault::Malformed);
    }
    match encode(&object) {
        Some(again) if again.bytes() == payload => Ok(object),
        _ => Err(PayloadFault::NotCanonical),
    }
}

struct Versioned<'a> {
    version: u8,
    object: &'a Object,
}

impl<'a> Versioned<'a> {
    fn of(object: &'a Object) -> Self {
        let modifiable = object.attributes.get(&CKA_MODIFIABLE);
        let version = match object.revision == Revision::FIRST && modifiable != Some(&UNMODIFIABLE)
        {
            true => BORN,
            false => DESCRIBED,
        };
        Self { version, object }
    }
}

impl Encode for Versioned<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let Self { version, object } = *self;
        version.encode(encoder)?;
        encoder.writer().write(&object.ouid.0)?;
        object.created_secs.encode(encoder)?;
        object.class.encode(encoder)?;
        object.key_type.encode(encoder)?;
        if version == DESCRIBED {
            object.revision.number.encode(encoder)?;
            object.revision.changed_secs.encode(encoder)?;
        }
        (object.attributes.len() as u64).encode(encoder)?;
        for (number, value) in &object.attributes {
            number.encode(encoder)?;
            let value = match version == BORN && (*number, value) == (CKA_MODIFIABLE, &MODIFIABLE) {
                true => &UNMODIFIABLE,
                false => value,
            };
            encode_attribute(value, encoder)?;
        }
        Ok(())
    }
}

fn encode_attribute<E: Encoder>(value: &Attribute, encoder: &mut E) -> Result<(), EncodeError> {
    let (tag, bytes): (u8, &[u8]) = match value {
        Attribute::Bool(value) => return (0u8, *value).encode(encoder),
        Attribute::Number(value) => return (1u8, *value).encode(encoder),
        Attribute::Date(d) => return (4u8, d.year, d.month, d.day).encode(encoder),
        Attribute::Bytes(value) => (2, value),
        Attribute::Text(value) => (3, value.as_bytes()),
        Attribute::Secret(value) => (5, value.bytes()),
    };
    tag.encode(encoder)?;
    (bytes.len() as u64).encode(encoder)?;
    encoder.writer().write(bytes)
}

fn decode_body<D: Decoder<Context = ()>>(
    version: u8,
    decoder: &mut D,
) -> Result<Object, DecodeError> {
    let ouid = Ouid(Decode::decode(decoder)?);
    let created_secs = u64::decode(decoder)?;
    let class = u32::decode(decoder)?;
    let key_type = Option::<u32>::decode(decoder)?;
    let revision = match version {
        DESCRIBED => Revision {
            number: u32::decode(decoder)?,
            changed_secs: u64::decode(decoder)?,
        },
        _ => Revision::FIRST,
    };
    let count = u64::decode(decoder)?;
    let mut attributes = BTreeMap::new();
    let mut last = None;
    // `count` causes no allocation: each round consumes input, and fails when there is none.
    for _ in 0..count {
        let number = u32::decode(decoder)?;
        if last.is_some_and(|last| number <= last) {
            return Err(DecodeError::Other("attributes do not ascend"));
        }
        last = Some(number);
        let value = decode_attribute(decoder)?;
        attributes.insert(number, value);
    }
    if version == BORN
        && let Some(value) = attributes.get_mut(&CKA_MODIFIABLE)
        && *value == UNMODIFIABLE
    {
        *value = MODIFIABLE;
    }
    Ok(Object {
        ouid,
        created_secs,
        revision,
        class,
        key_type,
        attributes,
    })
}

fn decode_attribute<D: Decoder>(decoder: &mut D) -> Result<Attribute, DecodeError> {
    Ok(match u8::decode(decoder)? {
        0 => Attribute::Bool(bool::decode(decoder)?),
        1 => Attribute::Number(u64::decode(decoder)?),
        2 => Attribute::Bytes(take(decoder, <[u8]>::to_vec)?),
        3 => Attribute::Text(
            take(decoder, |b| String::from_utf8(b.to_vec()))?
                .map_err(|_| DecodeError::Other("a string is not UTF-8"))?,
        ),
        4 => {
            let (year, month, day) = Decode::decode(decoder)?;
            Attribute::Date(Date { year, month, day })
        }
        // One allocation of the final size. Its type wipes it, also after a later error.
        5 => Attribute::Secret(take(decoder, |bytes| SecretBytes::from(bytes))?),
        _ => return Err(DecodeError::Other("an attribute type is unknown")),
    })
}

/// Reads a length and passes that many bytes of the input to `make`; fails when fewer are left.
fn take<D: Decoder, T>(decoder: &mut D, make: impl FnOnce(&[u8]) -> T) -> Result<T, DecodeError> {
    let length = u64::decode(decoder)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::LimitExceeded)?;
    let reader = decoder.reader();
    let value = reader
        .peek_read(length)
        .map(make)
        .ok_or(DecodeError::UnexpectedEnd { additional: length })?;
    reader.consume(length);
    Ok(value)
}

struct SizeWriter(usize);

impl Writer for SizeWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0 += bytes.len();
        Ok(())
    }
}

struct ExactWriter(Vec<u8>);

impl Writer for ExactWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.0.capacity() - self.0.len() {
            return Err(EncodeError::UnexpectedEnd);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
