//! Arithmetic on large numbers, to check whether the parts of an RSA key match.
//!
//! Not constant-time. It runs once per imported key, on the machine that holds the key in a file, so that an attacker
//! cannot time it repeatedly. Never use it to sign.

use std::cmp::Ordering;

use zeroize::Zeroizing;

use slotfs_object::secret::SecretBytes;

/// A number in 32-bit limbs, least significant first, without zero limbs at the top; wiped on drop.
#[derive(PartialEq)]
pub(super) struct Number(Zeroizing<Vec<u32>>);

impl Number {
    /// The number of big-endian bytes.
    pub(super) fn new(big_endian: &[u8]) -> Self {
        let limbs = big_endian.rchunks(4).map(|chunk| {
            chunk
                .iter()
                .fold(0, |limb, &byte| limb << 8 | u32::from(byte))
        });
        // `rchunks` knows its length, so that the vector gets its final size at once and leaves no copies.
        Self::trimmed(limbs.collect())
    }

    fn trimmed(limbs: Vec<u32>) -> Self {
        let mut limbs = Zeroizing::new(limbs);
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self(limbs)
    }

    /// The big-endian bytes, a multiple of four.
    pub(super) fn big_endian(&self) -> SecretBytes {
        let mut bytes = SecretBytes::new(vec![0; self.0.len() * 4]);
        for (four, limb) in bytes.bytes_mut().rchunks_mut(4).zip(self.0.iter()) {
            four.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    /// Whether this is 1.
    pub(super) fn is_one(&self) -> bool {
        **self.0 == [1]
    }

    /// Whether this is less than `other`.
    pub(super) fn is_below(&self, other: &Self) -> bool {
        match self.0.len().cmp(&other.0.len()) {
            Ordering::Equal => self.0.iter().rev().lt(other.0.iter().rev()),
            unequal => unequal == Ordering::Less,
        }
    }

    /// One less; 0 stays 0.
    pub(super) fn minus_one(&self) -> Self {
        let mut limbs = Zeroizing::new(self.0.to_vec());
        for limb in limbs.iter_mut() {
            let (less, borrow) = limb.overflowing_sub(1);
            *limb = less;
            if !borrow {
                break;
            }
        }
        Self::trimmed(std::mem::take(&mut *limbs))
    }

    /// The product with `other`.
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = vec![0u32; self.0.len() + other.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (j, &b) in other.0.iter().enumerate() {
                // At most (2^32-1)^2 + 2 (2^32-1) = 2^64-1.
                let sum = u64::from(a) * u64::from(b) + u64::from(product[i + j]) + carry;
                product[i + j] = sum as u32;
                carry = sum >> 32;
            }
            product[i + other.0.len()] = carry as u32;
        }
        Self::trimmed(product)
    }

    /// The remainder by `modulus`, bit by bit; 0 by a modulus of 0.
    pub(super) fn modulo(&self, modulus: &Self) -> Self {
        let width = modulus.0.len();
        // One limb more than the modulus: twice a remainder has at most one bit more.
        let mut rest = Zeroizing::new(vec![0u32; width + 1]);
        if width == 0 {
            return Self::trimmed(Vec::new());
        }
        for &limb in self.0.iter().rev() {
            for bit in (0..32).rev() {
                let mut carry = limb >> bit & 1;
                for digit in rest.iter_mut() {
                    let next = *digit >> 31;
                    *digit = *digit << 1 | carry;
                    carry = next;
                }
                if rest[width] != 0 || !rest[..width].iter().rev().lt(modulus.0.iter().rev()) {
                    let mut borrow = false;
                    for (digit, &by) in rest.iter_mut().zip(modulus.0.iter().chain(&[0])) {
                        let (less, first) = digit.overflowing_sub(by);
                        let (less, second) = less.overflowing_sub(u32::from(borrow));
                        *digit = less;
                        borrow = first || second;
                    }
                }
            }
        }
        Self::trimmed(std::mem::take(&mut *rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u128) -> Number {
        Number::new(&number.to_be_bytes())
    }

    #[test]
    fn agrees_with_u128() {
        let numbers = [
            0u128,
            1,
            2,
            0xffff_ffff,
            0x1_0000_0000,
            0x1234_5678_9abc_def0,
            u128::from(u64::MAX),
            1 << 64,
            (1 << 100) + 12345,
            u128::MAX,
        ];
        for a in numbers {
            assert!(of(a.saturating_sub(1)) == of(a).minus_one(), "{a}");
            assert_eq!(of(a).is_one(), a == 1);
            assert!(Number::new(of(a).big_endian().bytes()) == of(a), "{a}");
            for b in numbers {
                assert_eq!(of(a) == of(b), a == b, "{a} {b}");
                assert_eq!(of(a).is_below(&of(b)), a < b, "{a} {b}");
                let rest = a.checked_rem(b).unwrap_or(0);
                assert!(of(a).modulo(&of(b)) == of(rest), "{a} {b}");
                if let Some(product) = a.checked_mul(b) {
                    assert!(of(a).times(&of(b)) == of(product), "{a} {b}");
                }
                // What u128 cannot hold: (a * b + ... ) mod a and mod b are 0.
                let product = of(a).times(&of(b));
                assert!(product.modulo(&of(a)) == of(0), "{a} {b}");
                assert!(product.modulo(&of(b)) == of(0), "{a} {b}");
            }
        }
    }

    #[test]
    fn lengths_that_are_no_multiple_of_a_limb() {
        let seven = [1, 2, 3, 4, 5, 6, 7];
        assert!(Number::new(&seven) == of(0x0001_0203_0405_0607));
        assert!(Number::new(&[]) == of(0));
        assert!(Number::new(&[0, 0, 0, 0, 0]) == of(0));
    }
}
