//! M of N: a random secret, split by Shamir's scheme into key shares (docs/kinds.md, "Quorum").

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use vsss_rs::Gf256;
use zeroize::{Zeroize, Zeroizing};

use slotfs_object::sealed::{Quorum, SET_BYTES, ShareSet};
use slotfs_object::secret::{KEY_BYTES, Key};

use super::share::KeyShare;

/// The part of a set that a credential is bound to.
pub(super) fn set_bytes(set: &ShareSet) -> Vec<u8> {
    let mut bytes = vec![set.quorum.m(), set.quorum.n()];
    bytes.extend_from_slice(&set.id);
    bytes.extend(set.hashes.iter().flatten());
    bytes
}

/// The secret that enough shares of a set give, and the set.
#[derive(Clone, Debug)]
pub struct QuorumSecret {
    set: ShareSet,
    secret: Key,
}

impl QuorumSecret {
    /// A new secret for the partition `serial`, with every share of it.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random(quorum: Quorum, serial: u64) -> Result<(Self, Vec<KeyShare>), getrandom::Error> {
        let mut id = [0; SET_BYTES];
        getrandom::fill(&mut id)?;
        let secret = Key::random()?;
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *seed)?;
        let (m, n) = (usize::from(quorum.m()), usize::from(quorum.n()));
        let rng = ChaCha20Rng::from_seed(*seed);
        // The quorum is within the limits of the scheme.
        let impossible = |_| getrandom::Error::UNEXPECTED;
        let split =
            Zeroizing::new(Gf256::split_bytes(m, n, secret.bytes(), rng).map_err(impossible)?);
        let shares: Vec<KeyShare> = split
            .iter()
            .map(|share| {
                let (&index, share) = share.split_first()?;
                Some(KeyShare {
                    serial,
                    set: id,
                    index,
                    quorum,
                    share: Key::from_slice(share)?,
                })
            })
            .collect::<Option<_>>()
            .ok_or(getrandom::Error::UNEXPECTED)?;
        let set = ShareSet {
            quorum,
            id,
            hashes: shares.iter().map(KeyShare::hash).collect(),
        };
        // A share that does not work would be noticed too late.
        for some in [&shares[..m], &shares[n - m..]] {
            let combined = Self::combine(&set, some).filter(|it| it.secret == secret);
            combined.ok_or(getrandom::Error::UNEXPECTED)?;
        }
        Ok((Self { set, secret }, shares))
    }

    /// The secret that `shares` give; `None` when they are too few. [`KeyShare::check`] has accepted each of them.
    pub fn combine(set: &ShareSet, shares: &[KeyShare]) -> Option<Self> {
        if shares.len() != usize::from(set.quorum.m()) {
            return None;
        }
        let plain: Vec<Vec<u8>> = shares
            .iter()
            .map(|share| {
                let mut bytes = Vec::with_capacity(1 + KEY_BYTES);
                bytes.push(share.index);
                bytes.extend_from_slice(share.share.bytes());
                bytes
            })
            .collect();
        let plain = Zeroizing::new(plain);
        let mut bytes = Gf256::combine_bytes(&*plain).ok()?;
        let secret = Key::from_slice(&bytes);
        bytes.zeroize();
        Some(Self {
            set: set.clone(),
            secret: secret?,
        })
    }

    /// The set that it belongs to.
    pub fn set(&self) -> &ShareSet {
        &self.set
    }

    pub(super) fn key(&self) -> &Key {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ShareFault;
    use super::*;

    #[test]
    fn a_quorum_is_m_of_n() {
        for good in ["2/2", "2/3", "16/16", "2/16"] {
            assert_eq!(good.parse::<Quorum>().unwrap().to_string(), good);
        }
        for bad in [
            "", "1/3", "3/2", "2/17", "0/0", "2", "2/", "02/3", "+2/3", "2/3 ",
        ] {
            assert!(bad.parse::<Quorum>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// Any M of them in any order make the secret; each other share, and fewer, do not.
        #[test]
        fn any_m_in_any_order(n in 2u8..=16, m in 2u8..=16, order in any::<prop::sample::Index>(), rotate in 0usize..16) {
            let Some(quorum) = Quorum::new(m.min(n), n) else { return Ok(()) };
            let (secret, mut shares) = QuorumSecret::random(quorum, 7).unwrap();
            let at = order.index(shares.len());
            shares.rotate_left(rotate % usize::from(n));
            shares.swap(0, at);
            for share in &shares {
                prop_assert_eq!(share.check(&secret.set, 7), Ok(()));
            }
            let m = usize::from(quorum.m());
            let combined = QuorumSecret::combine(&secret.set, &shares[..m]).unwrap();
            prop_assert!(combined.secret == secret.secret);
            prop_assert!(QuorumSecret::combine(&secret.set, &shares[..m - 1]).is_none());
            let mut wrong = shares[..m].to_vec();
            wrong[0].share = Key::random().unwrap();
            prop_assert_eq!(wrong[0].check(&secret.set, 7), Err(ShareFault::Altered));
            let wrong = QuorumSecret::combine(&secret.set, &wrong).unwrap();
            prop_assert!(wrong.secret != secret.secret);
        }
    }

    #[test]
    fn a_share_of_elsewhere_is_told_apart() {
        let quorum = Quorum::new(2, 3).unwrap();
        let (secret, shares) = QuorumSecret::random(quorum, 7).unwrap();
        let (_, others) = QuorumSecret::random(quorum, 7).unwrap();
        assert_eq!(
            shares[0].check(&secret.set, 8),
            Err(ShareFault::OtherPartition(7))
        );
        assert_eq!(others[0].check(&secret.set, 7), Err(ShareFault::OtherSet));
        for index in [0, 2, 4, 255] {
            let mut renumbered = shares[0].clone();
            renumbered.index = index;
            assert_eq!(
                renumbered.check(&secret.set, 7),
                Err(ShareFault::Altered),
                "{index}"
            );
        }
    }
}
