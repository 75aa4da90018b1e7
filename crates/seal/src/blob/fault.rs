//! Why a blob was not accepted.

use thiserror::Error;

use super::Kind;

/// Why bytes are not a blob that verifies. Written to logs and `clones`: it never holds content.
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
    /// A known kind, but not the one this place takes.
    #[error("it is {0}, which does not belong here")]
    WrongKind(Kind),
    /// No stanza, too many, or another number than the kind has.
    #[error("its number of stanzas is not possible")]
    Stanzas,
    /// The reserved bytes are not zero.
    #[error("its reserved bytes are not zero")]
    Reserved,
    /// A payload length no blob has.
    #[error("its payload length is not possible")]
    PayloadLength,
    /// Fewer bytes than it states.
    #[error("it is cut short: {have} of {want} bytes")]
    CutShort {
        /// Bytes there are.
        have: usize,
        /// Bytes its header states; the header's size when that is cut.
        want: usize,
    },
    /// More bytes than it states.
    #[error("there are bytes after its end")]
    TooLong,
    /// Stanzas out of order, or one twice.
    #[error("its stanzas are out of order")]
    StanzaOrder,
    /// No key here opens it.
    #[error("no domain of this slot opens it")]
    NoDomain,
    /// No storage master key here opens it.
    #[error("no storage master key of this slot opens it")]
    NoSmk,
    /// Sealed under a storage master key, which a V0 slot has none of.
    #[error("it is {0}, and a V0 slot has none")]
    NotForV0(Kind),
    /// A domain opens it, but something in it was changed.
    #[error("it was altered")]
    Altered,
    /// Authentic, but its payload is not an object.
    #[error("its payload is not a well-formed object")]
    Malformed,
    /// Authentic, but not in the one encoding an object has.
    #[error("its payload is not in canonical form")]
    NotCanonical,
}
