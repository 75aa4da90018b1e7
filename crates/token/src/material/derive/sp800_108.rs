//! Counter and feedback mode of SP 800-108, with HMAC or CMAC.

use slotfs_crypto::Hash;
use slotfs_crypto::mac::{Cmac, Hmac};
use slotfs_object::pkcs11::CKK_AES;
use slotfs_object::usable::UsableKey;
use slotfs_wire::numbers::CKM_AES_CMAC;
use slotfs_wire::rv::CKR_MECHANISM_PARAM_INVALID;
use slotfs_wire::{KdfPart, Parameter};
use zeroize::Zeroizing;

use super::super::{Material, Wanted, secret_length};
use crate::error::{Result, Rv};
use crate::mechanism::{Derive, hash};
use crate::operation::{Prepared, failed, is_hmac_key};

const INVALID: Rv = Rv(CKR_MECHANISM_PARAM_INVALID);
/// `CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS`
const SUM_OF_KEYS: u64 = 1;
/// `CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS`
const SUM_OF_SEGMENTS: u64 = 2;

#[derive(Clone)]
enum Prf {
    Hmac(Hmac, Hash),
    Cmac(Cmac),
}

impl Prf {
    fn new(number: u64, base: &UsableKey) -> Result<Self> {
        let prepared = Prepared::of(base)?;
        if number == CKM_AES_CMAC {
            let key = prepared.secret(|key_type| key_type == CKK_AES)?;
            return Ok(Self::Cmac(Cmac::new(key)?));
        }
        let hash = hash::of_prf(number).ok_or(INVALID)?;
        let key = prepared.secret(|key_type| key_type == CKK_AES || is_hmac_key(key_type, hash))?;
        Ok(Self::Hmac(Hmac::new(hash, key), hash))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Hmac(_, hash) => hash.bytes(),
            Self::Cmac(_) => 16,
        }
    }

    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Hmac(hmac, _) => hmac.update(data),
            Self::Cmac(cmac) => cmac.update(data),
        }
    }

    fn finish(self) -> Result<Zeroizing<Vec<u8>>> {
        let made = match self {
            Self::Hmac(hmac, _) => hmac.finish(),
            Self::Cmac(cmac) => cmac.finish(),
        };
        made.map_err(|_| failed())
    }
}

/// Keys of one derivation. Each begins with a segment of its own: no two are cut from one output of the function (PKCS#11 3.2,
/// "Deriving Additional Keys").
pub(super) fn derive(
    kind: Derive,
    parameter: &Parameter,
    base: &UsableKey,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Material>> {
    // The IV is what feedback mode takes for the output before the first.
    let (prf, parts, feedback) = match (kind, parameter) {
        (
            Derive::Counter,
            Parameter::CounterKdf {
                prf,
                parts,
                additional_keys: _,
            },
        ) => (prf, parts, None),
        (
            Derive::Feedback,
            Parameter::FeedbackKdf {
                prf,
                parts,
                additional_keys: _,
                iv,
            },
        ) => (prf, parts, Some(iv)),
        _ => return Err(INVALID),
    };
    check(parts, feedback.is_some())?;
    let prf = Prf::new(*prf, base)?;
    let keys = wanted
        .iter()
        .map(secret_length)
        .collect::<Result<Vec<_>>>()?;
    let segments_of = |bytes: usize| bytes.div_ceil(prf.bytes());
    let lengths = Lengths {
        of_keys: keys.iter().map(|(_, bytes)| bytes).sum(),
        of_segments: keys
            .iter()
            .map(|(_, bytes)| segments_of(*bytes))
            .sum::<usize>()
            * prf.bytes(),
    };
    let read: usize = parts
        .iter()
        .map(|part| match part {
            KdfPart::Bytes(bytes) => bytes.len(),
            _ => size_of::<u64>(),
        })
        .sum();
    let segments = lengths.of_segments / prf.bytes();
    if segments.saturating_mul(read) > MOST_READ_BYTES {
        return Err(INVALID);
    }
    let mut last = Zeroizing::new(feedback.cloned().unwrap_or_default());
    let mut count = 0;
    let mut made = Vec::with_capacity(keys.len());
    for (key_type, bytes) in keys {
        let segments = segments_of(bytes);
        let mut value = Zeroizing::new(Vec::with_capacity(segments * prf.bytes()));
        for _ in 0..segments {
            count += 1;
            let previous = feedback.is_some().then_some(last.as_slice());
            last = segment(prf.clone(), parts, count, previous, &lengths)?;
            value.extend_from_slice(&last);
        }
        value.truncate(bytes);
        made.push(Material::secret(key_type, value));
    }
    Ok(made)
}

/// What the function reads for one derivation at most, bytes: a part of a second.
const MOST_READ_BYTES: usize = 64 << 20;

/// What one derivation makes in all, bytes.
struct Lengths {
    of_keys: usize,
    of_segments: usize,
}

/// One output of the function: number `count`, from 1, after `previous` in feedback mode.
fn segment(
    mut prf: Prf,
    parts: &[KdfPart],
    count: u64,
    previous: Option<&[u8]>,
    lengths: &Lengths,
) -> Result<Zeroizing<Vec<u8>>> {
    for part in parts {
        match (part, previous) {
            (KdfPart::Iteration { .. }, Some(previous)) => prf.update(previous),
            (
                KdfPart::Iteration {
                    little_endian,
                    bits,
                }
                | KdfPart::Counter {
                    little_endian,
                    bits,
                },
                _,
            ) => {
                // SP 800-108 section 4.1: 8, 16, 24 or 32 bits.
                if *bits > 32 {
                    return Err(INVALID);
                }
                prf.update(&number(count, *bits, *little_endian)?);
            }
            (
                KdfPart::Length {
                    method,
                    little_endian,
                    bits,
                },
                _,
            ) => {
                let all = match *method {
                    SUM_OF_KEYS => lengths.of_keys,
                    SUM_OF_SEGMENTS => lengths.of_segments,
                    _ => return Err(INVALID),
                };
                prf.update(&number(8 * all as u64, *bits, *little_endian)?);
            }
            (KdfPart::Bytes(bytes), _) => prf.update(bytes),
        }
    }
    prf.finish()
}

/// Refuses parts that a mode does not have. Both have one iteration variable: in counter mode the counter, in feedback
/// mode the output before, which has no format. A counter of its own is for feedback mode.
fn check(parts: &[KdfPart], feedback: bool) -> Result<()> {
    let counts = |is: fn(&KdfPart) -> bool| parts.iter().filter(|part| is(part)).count();
    let iterations = counts(|part| matches!(part, KdfPart::Iteration { .. }));
    let counted = counts(|part| matches!(part, KdfPart::Iteration { bits: 1.., .. }));
    let lengths = counts(|part| matches!(part, KdfPart::Length { .. }));
    let counters = counts(|part| matches!(part, KdfPart::Counter { .. }));
    let fits = match feedback {
        false => (iterations, counted, counters) == (1, 1, 0),
        true => (iterations, counted) == (1, 0) && counters <= 1,
    };
    (fits && lengths <= 1).then_some(()).ok_or(INVALID)
}

/// A number of so many bits, 8 to 64 in whole bytes, which must hold it.
fn number(value: u64, bits: u64, little_endian: bool) -> Result<Vec<u8>> {
    if !(8..=64).contains(&bits) || !bits.is_multiple_of(8) {
        return Err(INVALID);
    }
    if bits < 64 && value >> bits != 0 {
        return Err(INVALID);
    }
    let bytes = (bits / 8) as usize;
    Ok(match little_endian {
        true => value.to_le_bytes()[..bytes].to_vec(),
        false => value.to_be_bytes()[8 - bytes..].to_vec(),
    })
}
