//! The first 16 bytes of a blob: its kind and its length.

use std::fmt;

use super::{Fault, blob_bytes};
use slotfs_object::codec::MAX_PAYLOAD_BYTES;

/// Bytes in the header, H in docs/format.md, "The sealed blob".
pub const HEADER_BYTES: usize = 16;
/// The most domains a blob can be sealed under.
pub const MAX_STANZAS: usize = 3;

const MAGIC: &[u8; 7] = b"SLOTFSB";
/// The version of sealed blobs.
pub const VERSION: u8 = 1;

/// The content of a blob, and the keys that it is sealed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object under 1 to 3 domains.
    Object = 1,
    /// An object under one storage master key.
    ObjectUnderSmk = 2,
    /// A storage master key under 1 to 3 domains.
    Smk = 3,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object under domains",
            Self::ObjectUnderSmk => "an object under a storage master key",
            Self::Smk => "a storage master key",
        })
    }
}

/// A well-formed header. Only opening the blob proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    kind: Kind,
    stanzas: usize,
    payload_bytes: usize,
}

impl Header {
    /// # Errors
    /// [`Fault::Stanzas`], [`Fault::PayloadLength`]
    pub fn new(kind: Kind, stanzas: usize, payload_bytes: usize) -> Result<Self, Fault> {
        let most = match kind {
            Kind::Object | Kind::Smk => MAX_STANZAS,
            Kind::ObjectUnderSmk => 1,
        };
        if !(1..=most).contains(&stanzas) {
            return Err(Fault::Stanzas);
        }
        if !(1..=MAX_PAYLOAD_BYTES).contains(&payload_bytes) {
            return Err(Fault::PayloadLength);
        }
        Ok(Self {
            kind,
            stanzas,
            payload_bytes,
        })
    }

    /// Reads the header that `blob` starts with.
    ///
    /// # Errors
    /// A [`Fault`]; [`Fault::CutShort`] only while more bytes could complete a header.
    pub fn parse(blob: &[u8]) -> Result<Self, Fault> {
        let magic = blob.len().min(MAGIC.len());
        if blob[..magic] != MAGIC[..magic] {
            return Err(Fault::NotABlob);
        }
        let Some(head) = blob.first_chunk::<HEADER_BYTES>() else {
            return Err(Fault::CutShort {
                have: blob.len(),
                want: HEADER_BYTES,
            });
        };
        let [
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            version,
            kind,
            n,
            zero @ ..,
            l0,
            l1,
            l2,
            l3,
        ] = *head;
        if version != VERSION {
            return Err(Fault::UnknownVersion(version));
        }
        let kind = match kind {
            1 => Kind::Object,
            2 => Kind::ObjectUnderSmk,
            3 => Kind::Smk,
            other => return Err(Fault::UnknownKind(other)),
        };
        if zero != [0, 0] {
            return Err(Fault::Reserved);
        }
        let payload_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        let payload_bytes = usize::try_from(payload_bytes).map_err(|_| Fault::PayloadLength)?;
        Self::new(kind, usize::from(n), payload_bytes)
    }

    /// The header as bytes.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[..7].copy_from_slice(MAGIC);
        head[7] = VERSION;
        head[8] = self.kind as u8;
        // `new` has checked that both fit into their fields.
        head[9] = self.stanzas as u8;
        head[12..].copy_from_slice(&(self.payload_bytes as u32).to_le_bytes());
        head
    }

    /// # Errors
    /// [`Fault::CutShort`], [`Fault::TooLong`]
    pub fn check_length(self, have: usize) -> Result<(), Fault> {
        let want = self.blob_bytes();
        match have.cmp(&want) {
            std::cmp::Ordering::Less => Err(Fault::CutShort { have, want }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Fault::TooLong),
        }
    }

    /// The kind of the blob's content.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// How many keys it is sealed under.
    pub fn stanzas(self) -> usize {
        self.stanzas
    }

    /// Bytes of its payload.
    pub fn payload_bytes(self) -> usize {
        self.payload_bytes
    }

    /// Bytes of the whole blob.
    pub fn blob_bytes(self) -> usize {
        blob_bytes(self.stanzas, self.payload_bytes)
    }
}
