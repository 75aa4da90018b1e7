//! Frames of HTTP/2: RFC 9113, section 4.1.

use std::io::{self, Read, Write};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: Vec<u8>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload,
        }
    }

    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = head;
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        let mut payload = vec![0; length as usize];
        from.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([s1, s2, s3, s4]) & 0x7fff_ffff;
        Ok(Self::new(kind, flags, stream, payload))
    }

    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        to.write_all(&bytes)
    }

    /// What a DATA frame carries.
    pub fn data(&self) -> Option<&[u8]> {
        if self.kind != DATA {
            return None;
        }
        if self.flags & PADDED == 0 {
            return Some(&self.payload);
        }
        let padding = usize::from(self.payload[0]);
        Some(&self.payload[1..self.payload.len() - padding])
    }

    pub fn ends_stream(&self) -> bool {
        self.kind == DATA && self.flags & END_STREAM != 0
    }

    /// Puts another version into an answer to Maintenance/Status: field 2 of a message that is one frame.
    pub fn pretend_version(&mut self, real: &str, other: &str) {
        let field = |version: &str| {
            let mut field = vec![0x12, u8::try_from(version.len()).unwrap()];
            field.extend(version.as_bytes());
            field
        };
        let real = field(real);
        if self.kind != DATA || self.payload.len() < 5 {
            return;
        }
        let Some(at) = self.payload.windows(real.len()).position(|it| it == real) else {
            return;
        };
        self.payload.splice(at..at + real.len(), field(other));
        // gRPC: one byte of flags, four of length.
        let length = u32::try_from(self.payload.len() - 5).unwrap();
        self.payload[1..5].copy_from_slice(&length.to_be_bytes());
    }
}

/// Takes a whole gRPC message from what was sent: one byte of flags, four of length, and so many more.
pub fn take_message(sent: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(sent.get(1..5)?.try_into().unwrap());
    let whole = 5 + usize::try_from(length).unwrap();
    (sent.len() >= whole).then(|| sent.drain(..whole).collect())
}
