//! Post-quantum algorithms: ML-KEM (FIPS 203) and ML-DSA (FIPS 204).
//!
//! aws-lc cannot find the seed of an expanded private key.

pub mod ml_dsa;
pub mod ml_kem;

use zeroize::Zeroizing;

/// A new pair.
pub struct Generated {
    /// The seed: d, z of ML-KEM (64 bytes), xi of ML-DSA (32 bytes).
    pub seed: Zeroizing<Vec<u8>>,
    /// The encoded, expanded private key.
    pub private: Zeroizing<Vec<u8>>,
    /// The encoded public key.
    pub public: Vec<u8>,
}
