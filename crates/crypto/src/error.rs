//! Why an operation failed.

/// Why an operation failed. It names no secret, and of a failed decryption it does not say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The numbers of a key do not fit together, are out of range, or are not a point of the curve; or a symmetric key
    /// has a wrong length.
    #[error("the key is not valid")]
    BadKey,
    /// The data has a length that the operation does not take.
    #[error("the data has a wrong length")]
    BadLength,
    /// A parameter is out of range.
    #[error("a parameter is not valid")]
    BadParameter,
    /// A signature is not one by this key.
    #[error("the signature is not valid")]
    BadSignature,
    /// A decryption failed: padding, tag or key.
    #[error("decryption failed")]
    DecryptFailed,
    /// The data is longer than the operation takes.
    #[error("the data is too long")]
    TooLong,
    /// The counter of CTR mode would start again.
    #[error("the counter would overflow")]
    Overflow,
    /// aws-lc failed where nothing given to it explains that: no memory, or a fault.
    #[error("the cryptographic library failed")]
    Library,
    /// A known-answer or pairwise test failed: its name.
    #[error("self-test failed: {0}")]
    SelfTest(&'static str),
}
