//! Rows as the store keeps them: sealed data, and the data in clear that is needed to open it.

use std::fmt;
use std::str::FromStr;

use crate::secret::KEY_BYTES;

/// The id of a credential, a domain or a storage master key: random, so that no two in a store are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartId(pub i64);

/// Bytes in the id of a set of shares.
pub const SET_BYTES: usize = 16;
/// Bytes in the hash that identifies a share of a set.
pub const HASH_BYTES: usize = 32;

/// Bytes in a credential's salt.
pub const SALT_BYTES: usize = 16;
/// Bytes in the commitment to the wrapping key.
pub const COMMITMENT_BYTES: usize = 32;
/// Bytes in a wrapped slot key: nonce, key, tag.
pub const WRAPPED_BYTES: usize = KEY_BYTES + SealedRow::OVERHEAD_BYTES;
/// Bytes in a wrapped pair: nonce, seed, authentication key, tag.
pub const WRAPPED_PAIR_BYTES: usize = 2 * KEY_BYTES + SealedRow::OVERHEAD_BYTES;
/// Bytes in the public key of a role's pair (X-Wing: ML-KEM-768, then X25519).
pub const PUBLIC_KEY_BYTES: usize = 1184 + 32;
/// Bytes in an encapsulation to such a key.
pub const ENCAPSULATION_BYTES: usize = 1088 + 32;
/// Bytes in a slot key that is wrapped under an encapsulated secret: key, tag.
pub const ENCAPSULATED_KEY_BYTES: usize = KEY_BYTES + 16;

/// A row as the store keeps it: nonce, ciphertext, tag. Only sealing makes one from plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow(Vec<u8>);

impl SealedRow {
    /// How much longer a row is than its plaintext: nonce and tag.
    pub const OVERHEAD_BYTES: usize = 12 + 16;

    /// Bytes from the store. Only opening proves that they are a sealed row.
    pub fn stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Cost of one Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParams {
    /// m, KiB.
    pub memory_kib: u32,
    /// t.
    pub passes: u32,
    /// p.
    pub lanes: u32,
}

impl KdfParams {
    /// The cost of new credentials. Those of the program's own tests cost the least that is accepted.
    pub const NEW: Self = match cfg!(feature = "light") {
        false => Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
        },
        true => Self {
            memory_kib: 19 * 1024,
            passes: 1,
            lanes: 4,
        },
    };

    /// Stored for a credential that takes no password; never accepted for a password.
    pub const NONE: Self = Self {
        memory_kib: 0,
        passes: 0,
        lanes: 0,
    };

    /// Whether a row may demand this cost: not so low that a guess is cheap, and not so high that a forged row stops the
    /// machine.
    pub fn is_sane(self) -> bool {
        (19 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

/// The most shares of a set.
const MOST_SHARES: u8 = 16;

/// M of N shares are needed: 2 <= M <= N <= 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    m: u8,
    n: u8,
}

impl Quorum {
    /// `None` outside the limits.
    pub fn new(m: u8, n: u8) -> Option<Self> {
        (2 <= m && m <= n && n <= MOST_SHARES).then_some(Self { m, n })
    }

    /// How many shares are needed.
    pub fn m(self) -> u8 {
        self.m
    }

    /// How many shares there are.
    pub fn n(self) -> u8 {
        self.n
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.m, self.n)
    }
}

impl FromStr for Quorum {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(m, n)| Self::new(m.parse().ok()?, n.parse().ok()?))
            .filter(|quorum| quorum.to_string() == text)
            .ok_or_else(|| {
                format!("it has the form M/N, such as 2/3, with 2 <= M <= N <= {MOST_SHARES}")
            })
    }
}

/// A set of shares as the store keeps it, in clear: enough to recognise each share, and useless without the shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSet {
    /// How many shares are needed.
    pub quorum: Quorum,
    /// Random, one per set ever made.
    pub id: [u8; SET_BYTES],
    /// The hash of each share, by index.
    pub hashes: Vec<[u8; HASH_BYTES]>,
}

/// What a credential takes, all of it in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// A password, at this cost of its Argon2id.
    Password(KdfParams),
    /// Shares of this set.
    Quorum(ShareSet),
}

/// What a role has instead of the slot key itself: a key pair, and the slot key encapsulated to it (docs/format.md, "Role
/// key pairs"). No part of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The slot's generation when the slot key was encapsulated.
    pub generation: u64,
    /// Of [`PUBLIC_KEY_BYTES`].
    pub public_key: Vec<u8>,
    /// Of [`ENCAPSULATION_BYTES`].
    pub encapsulation: Vec<u8>,
    /// The slot key under the encapsulated secret and the role's authentication key; after a renewal of that key, once
    /// more under the key before it. Each of [`ENCAPSULATED_KEY_BYTES`].
    pub wrapped: Vec<u8>,
    /// The role's authentication key, sealed under the slot key.
    pub authentication: SealedRow,
}

/// A slot key, or the secret half of a role's pair, wrapped under a password or a quorum's secret, as it is stored. No part
/// of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What it takes.
    pub method: Method,
    /// Salt of the wrapping key.
    pub salt: Vec<u8>,
    /// The commitment to the wrapping key, compared in constant time before unwrapping.
    pub commitment: Vec<u8>,
    /// Nonce, what is wrapped, tag.
    pub wrapped: Vec<u8>,
}

impl Credential {
    /// The memory of one attempt, in KiB.
    pub fn memory_kib(&self) -> u32 {
        match &self.method {
            Method::Password(params) => params.memory_kib,
            Method::Quorum(_) => 0,
        }
    }
}
