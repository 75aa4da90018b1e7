//! Many operations by many threads and processes on one token, each result checked, while clients and the server are killed.

pub mod coordinator;
mod operations;
pub mod worker;

/// What one operation ended with, if not well.
#[derive(Debug)]
pub enum Trouble {
    /// The session is gone, or the server: allowed soon after something was killed, and only then.
    Lost(&'static str, u64),
    /// A result that is not what it must be.
    Wrong(String),
}

/// The key pairs and secrets that every process uses, by their CKA_ID.
pub const RSA: u8 = 1;
pub const P256: u8 = 2;
pub const ED25519: u8 = 3;
pub const AES: u8 = 4;
pub const HMAC: u8 = 5;

pub const P256_PARAMETERS: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
