//! The first bytes of a connection. No version of the messages changes their form.

/// The version of the messages. It is part of the socket's name too (docs/pkcs11.md).
pub const VERSION: u32 = 3;

/// Bytes in a preamble.
pub const PREAMBLE_BYTES: usize = 12;

const MAGIC: [u8; 8] = *b"slotfs11";

/// What each side sends first: that it is slotfs, and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// The version of its messages.
    pub version: u32,
}

impl Preamble {
    /// Of this build.
    pub const OURS: Self = Self { version: VERSION };

    /// `None` for bytes that are no preamble.
    pub fn parse(bytes: &[u8; PREAMBLE_BYTES]) -> Option<Self> {
        let (magic, version) = bytes.split_first_chunk()?;
        let version = u32::from_le_bytes(version.try_into().ok()?);
        (*magic == MAGIC).then_some(Self { version })
    }

    /// As it is sent: the magic, and the version in 4 bytes, little-endian.
    pub fn to_bytes(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        let (magic, version) = bytes.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        version.copy_from_slice(&self.version.to_le_bytes());
        bytes
    }
}
