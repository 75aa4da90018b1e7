//! Arithmetic on large numbers, to check whether the parts of an RSA key match, and to compute those that are missing.
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

    /// The primes of this modulus of an RSA key, the larger one first, of its exponents (NIST SP 800-56B revision 2,
    /// appendix C.1); `None` if the exponents do not belong to it.
    pub(super) fn primes(&self, public: &Self, private: &Self) -> Option<(Self, Self)> {
        let one = Self::new(&[1]);
        let multiple = public.times(private).minus_one();
        let twos = multiple.trailing_zeros()?;
        // The group's order divides `multiple`. Even multiples have roots of 1 to find.
        if twos == 0 {
            return None;
        }
        let odd = multiple.shifted_right(twos);
        // Each base fails with a probability of at most one half.
        for base in 2..102u8 {
            let mut root = Self::new(&[base]).power(&odd, self)?;
            let mut is_order = false;
            for _ in 0..twos {
                let square = root.power(&Self::new(&[2]), self)?;
                if square.is_one() {
                    let (p, q) = (root.minus_one().gcd(self), root.plus_one().gcd(self));
                    if p != one && q != one && p.times(&q) == *self {
                        return Some(if p.is_below(&q) { (q, p) } else { (p, q) });
                    }
                    is_order = true;
                    break;
                }
                root = square;
            }
            // The exponents belong to another modulus.
            if !is_order {
                return None;
            }
        }
        None
    }

    /// The inverse modulo a prime, by Fermat's theorem; `None` if `prime` is even.
    pub(super) fn inverse_modulo_prime(&self, prime: &Self) -> Option<Self> {
        self.power(&prime.minus_one().minus_one(), prime)
    }

    /// This to the power of `exponent` modulo an odd `modulus`, in Montgomery's form; `None` for an even one.
    fn power(&self, exponent: &Self, modulus: &Self) -> Option<Self> {
        let limbs = modulus.0.as_slice();
        let lowest = *limbs.first()?;
        if lowest & 1 == 0 {
            return None;
        }
        // Newton's iteration: each step doubles the number of right bits, from 3 on.
        let mut inverse = lowest;
        for _ in 0..4 {
            let product = lowest.wrapping_mul(inverse);
            inverse = inverse.wrapping_mul(2u32.wrapping_sub(product));
        }
        let negated = inverse.wrapping_neg();
        // R, R^2 modulo the modulus: R is 2 to the power of its limbs' bits.
        let mut r = vec![0u32; limbs.len()];
        r.push(1);
        let r = Self(Zeroizing::new(r));
        let one = r.modulo(modulus);
        let square = r.times(&r).modulo(modulus);
        let multiply = |a: &Self, b: &Self| a.montgomery(b, modulus, negated);
        let base = multiply(&self.modulo(modulus), &square);
        let mut result = one;
        for &limb in exponent.0.iter().rev() {
            for bit in (0..32).rev() {
                result = multiply(&result, &result);
                if limb >> bit & 1 == 1 {
                    result = multiply(&result, &base);
                }
            }
        }
        Some(multiply(&result, &Self::new(&[1])))
    }

    /// The product with `other`, divided by R, modulo `modulus` (Montgomery 1985). `negated` is minus the inverse of
    /// the lowest limb.
    fn montgomery(&self, other: &Self, modulus: &Self, negated: u32) -> Self {
        let width = modulus.0.len();
        let mut sum = Zeroizing::new(vec![0u32; width + 2]);
        for i in 0..width {
            let a = self.0.get(i).copied().unwrap_or(0);
            add_product(&mut sum, &other.0, a);
            let factor = sum[0].wrapping_mul(negated);
            add_product(&mut sum, &modulus.0, factor);
            sum.copy_within(1.., 0);
            sum[width + 1] = 0;
        }
        let sum = Self::trimmed(std::mem::take(&mut *sum));
        if sum.is_below(modulus) {
            sum
        } else {
            sum.minus(modulus)
        }
    }

    /// The greatest common divisor with an odd number.
    fn gcd(&self, odd: &Self) -> Self {
        let (mut a, mut b) = (Self(self.0.clone()), Self(odd.0.clone()));
        while let Some(twos) = a.trailing_zeros() {
            a = a.shifted_right(twos);
            if a.is_below(&b) {
                std::mem::swap(&mut a, &mut b);
            }
            a = a.minus(&b);
        }
        b
    }

    /// Less `other`, which is not more than this.
    fn minus(&self, other: &Self) -> Self {
        let mut limbs = Zeroizing::new(self.0.to_vec());
        let mut borrow = false;
        for (i, limb) in limbs.iter_mut().enumerate() {
            let by = other.0.get(i).copied().unwrap_or(0);
            let (less, first) = limb.overflowing_sub(by);
            let (less, second) = less.overflowing_sub(u32::from(borrow));
            *limb = less;
            borrow = first || second;
        }
        Self::trimmed(std::mem::take(&mut *limbs))
    }

    fn plus_one(&self) -> Self {
        let mut limbs = vec![0; self.0.len() + 1];
        limbs[..self.0.len()].copy_from_slice(&self.0);
        for limb in &mut limbs {
            let (more, carry) = limb.overflowing_add(1);
            *limb = more;
            if !carry {
                break;
            }
        }
        Self::trimmed(limbs)
    }

    /// How often 2 divides it; `None` for 0.
    fn trailing_zeros(&self) -> Option<u32> {
        let limb = self.0.iter().position(|limb| *limb != 0)?;
        Some(32 * limb as u32 + self.0[limb].trailing_zeros())
    }

    fn shifted_right(&self, bits: u32) -> Self {
        let (limbs, bits) = ((bits / 32) as usize, bits % 32);
        let at = |i: usize| u64::from(self.0.get(i).copied().unwrap_or(0));
        let shifted = (limbs..self.0.len()).map(|i| ((at(i + 1) << 32 | at(i)) >> bits) as u32);
        Self::trimmed(shifted.collect())
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

/// Adds `number` times `factor` to `sum`, which has room for it.
fn add_product(sum: &mut [u32], number: &[u32], factor: u32) {
    let mut carry = 0u64;
    for (i, digit) in sum.iter_mut().enumerate() {
        let limb = number.get(i).copied().unwrap_or(0);
        // At most (2^32-1)^2 + 2 (2^32-1) = 2^64-1.
        let next = u64::from(limb) * u64::from(factor) + u64::from(*digit) + carry;
        *digit = next as u32;
        carry = next >> 32;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn powers_and_divisors() {
        let numbers = [
            1u128,
            2,
            3,
            12,
            255,
            0xffff_ffff,
            (1 << 40) + 7,
            u64::MAX.into(),
        ];
        for modulus in [
            3u128,
            5,
            255,
            0xffff_fffb,
            0xffff_ffff_ffff_ffc5,
            (1 << 61) - 1,
        ] {
            for a in numbers {
                let mut power = 1 % modulus;
                for exponent in 0..40u128 {
                    let made = of(a).power(&of(exponent), &of(modulus)).unwrap();
                    assert!(made == of(power), "{a}^{exponent} mod {modulus}");
                    power = power * (a % modulus) % modulus;
                }
                let (mut x, mut y) = (a, modulus);
                while y != 0 {
                    (x, y) = (y, x % y);
                }
                assert!(of(a).gcd(&of(modulus)) == of(x), "{a} {modulus}");
            }
        }
        assert!(of(3).power(&of(2), &of(4)).is_none());
        assert!(of(3).power(&of(2), &of(0)).is_none());
        assert!(of(3).inverse_modulo_prime(&of(7)).unwrap() == of(5));
    }

    #[test]
    fn primes_of_exponents() {
        let (p, q) = (1_000_003u128, 998_244_353u128);
        let modulus = of(p * q);
        let lcm = (p - 1) * (q - 1) / 2;
        let d = (1..5).map(|k| k * lcm + 1).find(|it| it % 5 == 0).unwrap() / 5;
        let (large, small) = modulus.primes(&of(5), &of(d)).unwrap();
        assert!(large == of(q) && small == of(p));
        assert!(modulus.primes(&of(5), &of(d + 2)).is_none());
        assert!(modulus.primes(&of(1), &of(1)).is_none());
    }

    #[test]
    fn lengths_that_are_no_multiple_of_a_limb() {
        let seven = [1, 2, 3, 4, 5, 6, 7];
        assert!(Number::new(&seven) == of(0x0001_0203_0405_0607));
        assert!(Number::new(&[]) == of(0));
        assert!(Number::new(&[0, 0, 0, 0, 0]) == of(0));
    }
}
