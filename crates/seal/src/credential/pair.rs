//! The key pair of a role, and the slot key encapsulated to it (docs/format.md, "Role key pairs").
//!
//! A new slot key reaches every role without its password: it is encapsulated to the role's public key with X-Wing
//! (draft-connolly-cfrg-xwing-kem: X25519 and ML-KEM-768). Public keys are in clear, so the key that wraps the slot key also
//! depends on the role's authentication key, as in the PSK mode of HPKE (RFC 9180, 5.1.2). Without it, whoever writes the
//! file could invent a slot key and encapsulate it to the real roles.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use x_wing::{
    Decapsulate, DecapsulationKey, Decapsulator, Encapsulate, EncapsulationKey, KeyExport,
};
use zeroize::{Zeroize, Zeroizing};

use slotfs_object::SlotId;
use slotfs_object::sealed::{ENCAPSULATED_KEY_BYTES, Pair};
use slotfs_object::secret::{KEY_BYTES, Key};

use super::{Binding, SlotKey};
use crate::primitives::{NONCE_BYTES, TAG_BYTES, decrypt, encrypt, expand, extract, hmac};

const LABEL: &[u8] = b"slotfs 2 slot key";

/// The secret half of a role's pair.
#[derive(Clone, Debug)]
pub struct PairSecret {
    seed: Key,
    authentication: Key,
}

/// What an encapsulated slot key is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The slot.
    pub slot: SlotId,
    /// The partition, the role and its credential.
    pub binding: Binding,
    /// The slot's generation when the key was encapsulated.
    pub generation: u64,
}

/// A slot key, encapsulated to a role.
pub struct Encapsulated {
    /// As [`Pair::encapsulation`].
    pub encapsulation: Vec<u8>,
    /// As [`Pair::wrapped`].
    pub wrapped: Vec<u8>,
}

impl PairSecret {
    /// A new pair.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self {
            seed: Key::random()?,
            authentication: Key::random()?,
        })
    }

    /// The same pair with another authentication key.
    pub fn with_authentication(&self, authentication: Key) -> Self {
        Self {
            seed: self.seed.clone(),
            authentication,
        }
    }

    /// What its holder recognizes new slot keys by.
    pub fn authentication(&self) -> &Key {
        &self.authentication
    }

    /// The public key, [`slotfs_object::sealed::PUBLIC_KEY_BYTES`] long.
    pub fn public_key(&self) -> Vec<u8> {
        self.key().encapsulation_key().to_bytes().to_vec()
    }

    /// The slot key in `pair`; `None` when it was not encapsulated to this pair, at this place, by a holder of the
    /// authentication key.
    pub fn decapsulate(&self, pair: &Pair, place: Place) -> Option<SlotKey> {
        let key = self.key();
        if pair.public_key != key.encapsulation_key().to_bytes().as_slice() {
            return None;
        }
        let mut shared = key.decapsulate_slice(&pair.encapsulation).ok()?;
        let info = info(place, &pair.public_key, &pair.encapsulation);
        let (wrapped, rest) = pair.wrapped.as_chunks::<ENCAPSULATED_KEY_BYTES>();
        let opened = wrapped
            .iter()
            .find_map(|it| open(it, &self.authentication, &shared, &info));
        shared.as_mut_slice().zeroize();
        opened.filter(|_| rest.is_empty())
    }

    /// Seed, authentication key.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * KEY_BYTES));
        bytes.extend_from_slice(self.seed.bytes());
        bytes.extend_from_slice(self.authentication.bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seed, authentication) = bytes.split_at_checked(KEY_BYTES)?;
        Some(Self {
            seed: Key::from_slice(seed)?,
            authentication: Key::from_slice(authentication)?,
        })
    }

    fn key(&self) -> DecapsulationKey {
        DecapsulationKey::from(*self.seed.bytes())
    }
}

/// Encapsulates `slot_key` to `public_key`, for holders of any of these authentication keys. `None` when that is no public
/// key.
///
/// # Errors
/// When the system has no random numbers to give.
pub fn encapsulate(
    slot_key: &SlotKey,
    public_key: &[u8],
    authentication: &[&Key],
    place: Place,
) -> Result<Option<Encapsulated>, getrandom::Error> {
    let Ok(key) = EncapsulationKey::try_from(public_key) else {
        return Ok(None);
    };
    let mut random = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *random)?;
    // A machine that is resumed twice from one snapshot may get the same random bytes: other slot keys, roles and places give
    // other encapsulations all the same.
    let mut hedge = Zeroizing::new([0; KEY_BYTES]);
    expand(
        slot_key.key().bytes(),
        &[b"slotfs 2 encapsulation"],
        &mut hedge,
    );
    let place_bytes = info(place, public_key, &[]);
    let seed = Zeroizing::new(hmac(&hedge, &[&*random, &place_bytes]));
    let (encapsulation, mut shared) = key.encapsulate_with_rng(&mut ChaCha20Rng::from_seed(*seed));
    let info = info(place, public_key, &encapsulation);
    let mut wrapped = Vec::with_capacity(authentication.len() * ENCAPSULATED_KEY_BYTES);
    let mut sealed = Ok(());
    for authentication in authentication {
        sealed = sealed.and(seal(&mut wrapped, slot_key, authentication, &shared, &info));
    }
    shared.as_mut_slice().zeroize();
    sealed.map(|()| {
        Some(Encapsulated {
            encapsulation: encapsulation.to_vec(),
            wrapped,
        })
    })
}

/// Identifies a public key or an encapsulation in the slot's header.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// serial, slot, role, credential id, generation, the hashes of public key and encapsulation.
fn info(place: Place, public_key: &[u8], encapsulation: &[u8]) -> Vec<u8> {
    let Binding { serial, role, id } = place.binding;
    let mut info = LABEL.to_vec();
    info.extend_from_slice(&serial.to_le_bytes());
    info.extend_from_slice(&place.slot.0.to_le_bytes());
    info.push(role as u8);
    info.extend_from_slice(&id.0.to_le_bytes());
    info.extend_from_slice(&place.generation.to_le_bytes());
    info.extend_from_slice(&hash(public_key));
    info.extend_from_slice(&hash(encapsulation));
    info
}

/// The key for one encapsulation, and its nonce. Both come from a secret that is used once, as in HPKE.
fn key_and_nonce(
    authentication: &Key,
    shared: &[u8],
    info: &[u8],
) -> (Zeroizing<[u8; KEY_BYTES]>, [u8; NONCE_BYTES]) {
    let mut okm = Zeroizing::new([0; KEY_BYTES + NONCE_BYTES]);
    let prk = extract(authentication.bytes(), &[shared]);
    expand(&prk, &[info], &mut okm);
    let (mut key, mut nonce) = (Zeroizing::new([0; KEY_BYTES]), [0; NONCE_BYTES]);
    key.copy_from_slice(&okm[..KEY_BYTES]);
    nonce.copy_from_slice(&okm[KEY_BYTES..]);
    (key, nonce)
}

fn seal(
    wrapped: &mut Vec<u8>,
    slot_key: &SlotKey,
    authentication: &Key,
    shared: &[u8],
    info: &[u8],
) -> Result<(), getrandom::Error> {
    let mut body = Zeroizing::new(*slot_key.key().bytes());
    let (key, nonce) = key_and_nonce(authentication, shared, info);
    let tag = encrypt(&key, nonce, &[], &mut *body).ok_or(getrandom::Error::UNEXPECTED)?;
    wrapped.extend_from_slice(&*body);
    wrapped.extend_from_slice(&tag);
    Ok(())
}

fn open(
    wrapped: &[u8; ENCAPSULATED_KEY_BYTES],
    authentication: &Key,
    shared: &[u8],
    info: &[u8],
) -> Option<SlotKey> {
    let (body, tag) = wrapped.split_last_chunk::<TAG_BYTES>()?;
    let (key, nonce) = key_and_nonce(authentication, shared, info);
    let mut opened = None;
    let slot_key = Key::make(|place| {
        place.copy_from_slice(body);
        opened = decrypt(&key, nonce, &[], place, *tag);
    });
    opened.map(|()| SlotKey::new(slot_key))
}

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use slotfs_object::partition::Role;
    use slotfs_object::sealed::{ENCAPSULATION_BYTES, PUBLIC_KEY_BYTES, PartId, SealedRow};

    use super::*;

    const PLACE: Place = Place {
        slot: SlotId(3),
        binding: Binding {
            serial: 7,
            role: Role::Co,
            id: PartId(1),
        },
        generation: 5,
    };

    fn row(secret: &PairSecret, slot_key: &SlotKey, keys: &[&Key]) -> Pair {
        let public_key = secret.public_key();
        let made = encapsulate(slot_key, &public_key, keys, PLACE);
        let Encapsulated {
            encapsulation,
            wrapped,
        } = made.unwrap().unwrap();
        Pair {
            generation: PLACE.generation,
            public_key,
            encapsulation,
            wrapped,
            authentication: SealedRow::stored(Vec::new()),
        }
    }

    #[test]
    fn a_slot_key_reaches_its_role_at_its_place() {
        let (secret, slot_key) = (PairSecret::random().unwrap(), SlotKey::random().unwrap());
        let pair = row(&secret, &slot_key, &[secret.authentication()]);
        assert_eq!(pair.public_key.len(), PUBLIC_KEY_BYTES);
        assert_eq!(pair.encapsulation.len(), ENCAPSULATION_BYTES);
        assert_eq!(pair.wrapped.len(), ENCAPSULATED_KEY_BYTES);
        let opened = secret.decapsulate(&pair, PLACE).unwrap();
        assert!(opened.key() == slot_key.key());

        let binding = PLACE.binding;
        for moved in [
            Place {
                slot: SlotId(4),
                ..PLACE
            },
            Place {
                generation: 6,
                ..PLACE
            },
            Place {
                binding: Binding {
                    serial: 8,
                    ..binding
                },
                ..PLACE
            },
            Place {
                binding: Binding {
                    role: Role::Cu,
                    ..binding
                },
                ..PLACE
            },
            Place {
                binding: Binding {
                    id: PartId(2),
                    ..binding
                },
                ..PLACE
            },
        ] {
            assert!(secret.decapsulate(&pair, moved).is_none(), "{moved:?}");
        }
        let parts: [fn(&mut Pair) -> &mut Vec<u8>; 3] = [
            |pair| &mut pair.public_key,
            |pair| &mut pair.encapsulation,
            |pair| &mut pair.wrapped,
        ];
        for (at, part) in parts.into_iter().enumerate() {
            let mut changed = pair.clone();
            part(&mut changed)[7] ^= 1;
            assert!(secret.decapsulate(&changed, PLACE).is_none(), "{at}");
            let mut longer = pair.clone();
            part(&mut longer).push(0);
            assert!(secret.decapsulate(&longer, PLACE).is_none(), "{at}");
        }
    }

    /// Without the authentication key, the public key alone lets nobody give the role a slot key.
    #[test]
    fn only_a_holder_of_the_authentication_key_encapsulates() {
        let (secret, slot_key) = (PairSecret::random().unwrap(), SlotKey::random().unwrap());
        let forged = row(&secret, &slot_key, &[&Key::random().unwrap()]);
        assert!(secret.decapsulate(&forged, PLACE).is_none());
        // After a renewal, a session that has the key from before still takes the slot key in; nobody else does.
        let renewed = secret.with_authentication(Key::random().unwrap());
        let both = [renewed.authentication(), secret.authentication()];
        let pair = row(&secret, &slot_key, &both);
        for holder in [&secret, &renewed] {
            let opened = holder.decapsulate(&pair, PLACE).unwrap();
            assert!(opened.key() == slot_key.key());
        }
        let stranger = secret.with_authentication(Key::random().unwrap());
        assert!(stranger.decapsulate(&pair, PLACE).is_none());
        let other = PairSecret::random().unwrap();
        assert!(other.decapsulate(&pair, PLACE).is_none());
        assert!(
            encapsulate(&slot_key, &[0; 7], &both, PLACE)
                .unwrap()
                .is_none()
        );
    }
}
