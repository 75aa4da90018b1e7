//! Cryptographic operations of PKCS#11 mechanisms, over aws-lc, behind a safe interface. It knows nothing of PKCS#11.
//!
//! Bytes go in, `Vec<u8>` comes out, `Zeroizing<Vec<u8>>` where it is secret. Keys are prepared once and then serve
//! many threads at once by shared reference; they have no `Debug`, and they are wiped when dropped. All unsafe code is
//! in `sys.rs`.

pub mod aead;
pub mod aes;
pub mod ec;
pub mod edwards;
mod error;
mod hash;
pub mod kdf;
pub mod mac;
pub mod montgomery;
pub mod pq;
pub mod random;
pub mod rsa;
mod self_test;
mod sys;
pub mod wrap;

#[cfg(test)]
mod tests;

pub use ec::Curve;
pub use error::Error;
pub use hash::{Hash, Hasher, digest};
pub use self_test::self_test;
pub use sys::{library_version, wipe};

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
