//! Frames: how a message lies in the byte stream.
//!
//! ```text
//! 4 bytes  length of the header, little-endian, at most MAX_HEADER_BYTES
//! 4 bytes  length of the data, little-endian, at most MAX_DATA_BYTES
//! header   a Request or a Reply in bincode's standard configuration
//! data     bytes of the application, or for it
//! ```
//!
//! A length is checked before anything is allocated. The data is apart so that it goes from the application's memory to
//! the socket, and back, without a copy.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use zeroize::Zeroizing;

/// The longest header, bytes: a template of an object as large as a slot takes it, many times over.
pub const MAX_HEADER_BYTES: usize = 1 << 20;
/// The most data in a frame, bytes: a megabyte, and what an algorithm puts beside it, a tag or an IV.
pub const MAX_DATA_BYTES: usize = (1 << 20) + 4096;
/// Bytes of the two lengths.
pub const LENGTHS_BYTES: usize = 8;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A header or data longer than allowed.
    #[error("a frame of {0} bytes, which is more than allowed")]
    TooLong(u64),
    /// The header does not decode, or has bytes after its end.
    #[error("a header that does not decode")]
    Header,
}

/// The lengths at the start of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Of the header, bytes.
    pub header: usize,
    /// Of the data, bytes.
    pub data: usize,
}

impl Lengths {
    /// # Errors
    /// [`FrameError::TooLong`]
    pub fn parse(bytes: [u8; LENGTHS_BYTES]) -> Result<Self, FrameError> {
        let all = u64::from_le_bytes(bytes);
        let (header, data) = (all & 0xffff_ffff, all >> 32);
        match (header as usize, data as usize) {
            (header, data) if header <= MAX_HEADER_BYTES && data <= MAX_DATA_BYTES => {
                Ok(Self { header, data })
            }
            _ => Err(FrameError::TooLong(header + data)),
        }
    }
}

type Codec = Configuration<LittleEndian, Varint, Limit<MAX_HEADER_BYTES>>;

fn codec() -> Codec {
    bincode::config::standard().with_limit::<MAX_HEADER_BYTES>()
}

/// How long a message, or a part of one, is in a header, bytes.
pub fn header_bytes(message: &impl Encode) -> usize {
    let mut counter = bincode::enc::write::SizeWriter::default();
    // Nothing of this crate refuses to be encoded.
    match bincode::encode_into_writer(message, &mut counter, bincode::config::standard()) {
        Ok(()) => counter.bytes_written,
        Err(_) => usize::MAX,
    }
}

/// The lengths and the header of a frame, ready to be sent before its `data_bytes` bytes of data. The buffer is wiped
/// when dropped, since a header may hold a PIN or a key.
///
/// # Errors
/// [`FrameError::TooLong`]
pub fn encode(message: &impl Encode, data_bytes: usize) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    // One allocation, so that no copy of a secret stays behind where a vector grew.
    let size = bincode::config::standard();
    let header_bytes = header_bytes(message);
    if header_bytes > MAX_HEADER_BYTES || data_bytes > MAX_DATA_BYTES {
        return Err(FrameError::TooLong(
            header_bytes.saturating_add(data_bytes) as u64
        ));
    }
    let mut frame = Zeroizing::new(vec![0; LENGTHS_BYTES + header_bytes]);
    let (lengths, header) = frame.split_at_mut(LENGTHS_BYTES);
    let both = header_bytes as u64 | (data_bytes as u64) << 32;
    lengths.copy_from_slice(&both.to_le_bytes());
    bincode::encode_into_slice(message, header, size).map_err(|_| FrameError::Header)?;
    Ok(frame)
}

/// Reads a header.
///
/// # Errors
/// [`FrameError::Header`]
pub fn decode<T: Decode<()>>(header: &[u8]) -> Result<T, FrameError> {
    let (message, read) =
        bincode::decode_from_slice(header, codec()).map_err(|_| FrameError::Header)?;
    (read == header.len())
        .then_some(message)
        .ok_or(FrameError::Header)
}
