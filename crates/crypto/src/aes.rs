//! AES without authentication: ECB, CBC and CTR (SP 800-38A), in parts.

use std::hint::black_box;

use zeroize::Zeroizing;

use crate::sys::{AesMode, AesState, wipe};
use crate::{Error, Result};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 16;

/// Mode, with its IV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// ECB; the data is a multiple of the block.
    Ecb,
    /// CBC; the data is a multiple of the block.
    Cbc {
        /// IV.
        iv: [u8; BLOCK_BYTES],
    },
    /// CBC with PKCS#7 padding; data of any length.
    CbcPad {
        /// IV.
        iv: [u8; BLOCK_BYTES],
    },
    /// CTR; data of any length.
    Ctr {
        /// The first block.
        block: [u8; BLOCK_BYTES],
        /// How many of its last bits count, 1 to 128. Once they would start again from 0, it is an error.
        counter_bits: u32,
    },
}

/// Encryption or decryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Encryption
    Encrypt,
    /// Decryption
    Decrypt,
}

/// A running encryption or decryption. After an error it is of no more use.
pub struct Cipher {
    state: AesState,
    direction: Direction,
    padded: bool,
    stream: bool,
    /// Bytes taken so far.
    taken: u64,
    /// How many bytes CTR may take; without a limit `None`.
    limit: Option<u64>,
    /// What padded decryption keeps back: the end of the plaintext so far, at most a block.
    held: Zeroizing<Vec<u8>>,
    failed: bool,
}

impl Cipher {
    /// Starts with a key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// [`Error::BadKey`], [`Error::BadParameter`], [`Error::Library`]
    pub fn new(mode: Mode, direction: Direction, key: &[u8]) -> Result<Self> {
        let encrypt = direction == Direction::Encrypt;
        let (mode, iv, padded, limit) = match &mode {
            Mode::Ecb => (AesMode::Ecb, [].as_slice(), false, None),
            Mode::Cbc { iv } => (AesMode::Cbc, iv.as_slice(), false, None),
            Mode::CbcPad { iv } => (AesMode::Cbc, iv.as_slice(), true, None),
            Mode::Ctr {
                block,
                counter_bits,
            } => (
                AesMode::Ctr,
                block.as_slice(),
                false,
                counter_limit(block, *counter_bits)?,
            ),
        };
        Ok(Self {
            state: AesState::new(mode, encrypt, key, iv)?,
            direction,
            padded,
            stream: mode == AesMode::Ctr,
            taken: 0,
            limit,
            held: Zeroizing::default(),
            failed: false,
        })
    }

    /// Takes the next part, and returns what is ready.
    ///
    /// # Errors
    /// [`Error::Overflow`] of the counter, [`Error::TooLong`], [`Error::Library`]
    pub fn update(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.update_into(data, &mut out)?;
        Ok(out)
    }

    /// As [`Self::update`], appending to `out`.
    ///
    /// # Errors
    /// As [`Self::update`]; `out` keeps its length.
    pub fn update_into(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        let result = self.advance(data, out);
        if result.is_err() {
            self.failed = true;
            wipe(out.get_mut(before..).unwrap_or_default());
            out.truncate(before);
        }
        result
    }

    fn advance(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self.failed {
            return Err(Error::Library);
        }
        let taken = self.taken.checked_add(data.len() as u64);
        self.taken = taken.ok_or(Error::TooLong)?;
        if self.limit.is_some_and(|limit| self.taken > limit) {
            return Err(Error::Overflow);
        }
        if data.is_empty() {
            return Ok(());
        }
        if !self.padded || self.direction == Direction::Encrypt {
            return self.state.update_into(data, out, Error::Library);
        }
        let before = out.len();
        out.append(&mut self.held);
        self.state.update_into(data, out, Error::Library)?;
        // aws-lc holds the incomplete block. Of whole blocks the last one may be padding.
        if self.taken.is_multiple_of(BLOCK_BYTES as u64) {
            let keep = out.len().saturating_sub(BLOCK_BYTES).max(before);
            self.held = Zeroizing::new(out.split_off(keep));
        }
        Ok(())
    }

    /// Ends, and returns what is left.
    ///
    /// # Errors
    /// [`Error::BadLength`] if the data is not a multiple of the block where it must be, [`Error::DecryptFailed`] for a
    /// padding that is none, [`Error::Library`]
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if self.failed {
            return Err(Error::Library);
        }
        let partial = (self.taken % BLOCK_BYTES as u64) as usize;
        if self.stream {
            return Ok(Vec::new());
        }
        if !self.padded {
            return match partial {
                0 => Ok(Vec::new()),
                _ => Err(Error::BadLength),
            };
        }
        match self.direction {
            Direction::Encrypt => {
                let count = BLOCK_BYTES - partial;
                let padding = [count as u8; BLOCK_BYTES];
                let mut out = Vec::new();
                let padding = padding.get(..count).unwrap_or_default();
                self.state.update_into(padding, &mut out, Error::Library)?;
                Ok(out)
            }
            Direction::Decrypt if partial != 0 || self.taken == 0 => Err(Error::BadLength),
            Direction::Decrypt => {
                let kept = unpadded(&self.held).ok_or(Error::DecryptFailed)?;
                self.held.truncate(kept);
                Ok(std::mem::take(&mut *self.held))
            }
        }
    }
}

/// Bytes that CTR may take before the counter starts again; `None` if that is more than a `u64` counts.
fn counter_limit(block: &[u8; BLOCK_BYTES], counter_bits: u32) -> Result<Option<u64>> {
    if !(1..=128).contains(&counter_bits) {
        return Err(Error::BadParameter);
    }
    let mask = u128::MAX >> (128 - counter_bits);
    let counter = u128::from_be_bytes(*block) & mask;
    // The blocks for the counters from this one to the last, less 1 to stay in range.
    let more = mask - counter;
    let bytes = more
        .checked_add(1)
        .and_then(|it| it.checked_mul(BLOCK_BYTES as u128));
    Ok(bytes.and_then(|it| u64::try_from(it).ok()))
}

/// The length of `block` without its PKCS#7 padding. Until the verdict, nothing branches on the bytes.
fn unpadded(block: &[u8]) -> Option<usize> {
    let block: &[u8; BLOCK_BYTES] = block.try_into().ok()?;
    let count = u32::from(block[BLOCK_BYTES - 1]);
    // The highest bit tells what is wrong: a count of 0, a count above 16, a byte that is another one.
    let mut bad = count.wrapping_sub(1) | 16_u32.wrapping_sub(count);
    for (from_end, &byte) in (0_u32..).zip(block.iter().rev()) {
        let differs = (u32::from(byte) ^ count).wrapping_neg();
        let inside = from_end.wrapping_sub(count);
        bad |= differs & inside;
    }
    // One masked number carries the verdict: the length and 1, or 0.
    let good = black_box(bad >> 31).wrapping_sub(1);
    match black_box(good & 17_u32.wrapping_sub(count)) {
        0 => None,
        more => usize::try_from(more - 1).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::unpadded;

    /// The same by the definition.
    fn defined(block: &[u8; 16]) -> Option<usize> {
        let kept = 16_usize.checked_sub(block[15].into())?;
        (kept < 16 && block[kept..].iter().all(|&it| it == block[15])).then_some(kept)
    }

    #[test]
    fn paddings_of_every_count_and_with_each_byte_changed() {
        for count in 0..=255_u8 {
            let mut block = [0xaa; 16];
            block[16_usize.saturating_sub(count.into())..].fill(count);
            assert_eq!(unpadded(&block), defined(&block), "{block:?}");
            for at in 0..16 {
                let mut changed = block;
                changed[at] ^= 0x80;
                assert_eq!(unpadded(&changed), defined(&changed), "{changed:?}");
            }
        }
        assert_eq!(unpadded(&[1; 15]), None);
        assert_eq!(unpadded(&[1; 16]), Some(15));
    }
}
