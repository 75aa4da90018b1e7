//! Generated IVs.

use slotfs_crypto::random;
use slotfs_wire::numbers::{
    CKG_GENERATE, CKG_GENERATE_COUNTER, CKG_GENERATE_COUNTER_XOR, CKG_GENERATE_RANDOM,
    CKG_NO_GENERATE,
};
use slotfs_wire::rv::{CKR_KEY_EXHAUSTED, CKR_MECHANISM_PARAM_INVALID};

use super::super::failed;
use super::Iv;
use crate::error::{Result, Rv};

/// The IVs that an operation has generated.
#[derive(Default)]
pub(super) struct Ivs {
    /// The last number of a counter, and how many were given.
    counter: Option<(u128, u128)>,
}

impl Ivs {
    /// The IV of the next message: what the application gave, with its last bits generated if it asks for that.
    ///
    /// A counter begins at a random number. From 0 it would repeat IVs when two operations use one key with the same
    /// fixed bits, and a repeated IV gives away GCM's authentication key.
    pub(super) fn next(&mut self, given: &[u8], fixed_bits: u64, generator: u64) -> Result<Iv> {
        let invalid = Rv(CKR_MECHANISM_PARAM_INVALID);
        if generator == CKG_NO_GENERATE {
            return Ok(given.to_vec());
        }
        let all_bits = given.len() as u64 * 8;
        // Fewer bits soon repeat; more than a counter of 128 bits nobody needs.
        let bits = all_bits.checked_sub(fixed_bits).ok_or(invalid)?;
        if !(32..=128).contains(&bits) {
            return Err(invalid);
        }
        let mask = u128::MAX >> (128 - bits);
        let fresh = || -> Result<u128> {
            let mut bytes = [0; 16];
            random::fill(&mut bytes).map_err(|_| failed())?;
            Ok(u128::from_be_bytes(bytes) & mask)
        };
        let number = match generator {
            CKG_GENERATE_RANDOM => fresh()?,
            CKG_GENERATE | CKG_GENERATE_COUNTER | CKG_GENERATE_COUNTER_XOR => {
                let (number, given) = match self.counter {
                    None => (fresh()?, 1),
                    Some((last, given)) if given <= mask => {
                        (last.wrapping_add(1) & mask, given.saturating_add(1))
                    }
                    Some(_) => return Err(Rv(CKR_KEY_EXHAUSTED)),
                };
                self.counter = Some((number, given));
                number
            }
            _ => return Err(invalid),
        };
        let mut iv = given.to_vec();
        let start = iv.len().saturating_sub(16);
        let end = iv.get_mut(start..).ok_or(invalid)?;
        let mut block = [0; 16];
        let gap = block.len() - end.len();
        block[gap..].copy_from_slice(end);
        let block = u128::from_be_bytes(block);
        let mixed = match generator {
            CKG_GENERATE_COUNTER_XOR => block ^ number,
            _ => block & !mask | number,
        };
        end.copy_from_slice(&mixed.to_be_bytes()[gap..]);
        Ok(iv)
    }
}
