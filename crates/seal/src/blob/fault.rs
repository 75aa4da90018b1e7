//! Why a blob was not accepted.

use thiserror::Error;

use super::Kind;

/// Why a blob was refused. It appears in logs and in `clones`, so it never holds content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Does not start with the magic.
    #[error("it is not a sealed blob")]
    NotABlob,
    /// A header version this build does not know.
    #[error("its header has version {0}, this build knows 1")]
    UnknownVersion(u8),
    /// A kind this build does not know.
    #[error("its kind {0} is unknown")]
    UnknownKind(u8),
    /// A known kind, but not the expected one.
    #[error("it is {0}, which does not belong here")]
    WrongKind(Kind),
    /// A number of stanzas that the kind does not allow.
    #[error("its number of stanzas is not possible")]
    Stanzas,
    /// The reserved bytes are not zero.
    #[error("its reserved bytes are not zero")]
    Reserved,
    /// A payload length that no blob has.
    #[error("its payload length is not possible")]
    PayloadLength,
    /// Fewer bytes than the header states.
    #[error("it is cut short: {have} of {want} bytes")]
    CutShort {
        /// Bytes present.
        have: usize,
        /// Bytes that the header states, or the header's size if the header itself is cut short.
        want: usize,
    },
    /// More bytes than the header states.
    #[error("there are bytes after its end")]
    TooLong,
    /// Stanzas that are out of order or repeated.
    #[error("its stanzas are out of order")]
    StanzaOrder,
    /// No domain of the slot opens it.
    #[error("no domain of this slot opens it")]
    NoDomain,
    /// No storage master key of the slot opens it.
    #[error("no storage master key of this slot opens it")]
    NoSmk,
    /// Sealed under a storage master key; a V0 slot has none.
    #[error("it is {0}, and a V0 slot has none")]
    NotForV0(Kind),
    /// A domain opens it, but it was modified.
    #[error("it was altered")]
    Altered,
    /// A holder of its domains made it: sealing its content gives other bytes.
    #[error("no slot sealed it: sealing its content again gives other bytes")]
    NotAsSealed,
    /// Authentic, but its payload is not an object.
    #[error("its payload is not a well-formed object")]
    Malformed,
    /// Authentic, but not in the canonical encoding of an object.
    #[error("its payload is not in canonical form")]
    NotCanonical,
}
