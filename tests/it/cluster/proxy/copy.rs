//! A request sent once more, by a connection of its own: what a network does that delivers a packet late.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::frame::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};

/// The largest frame that needs no leave.
const FRAME_BYTES: usize = 16_384;
/// What may be sent before the first WINDOW_UPDATE (RFC 9113, section 6.9.2).
const WINDOW_BYTES: usize = 65_535;

/// Sends a transaction and waits for its answer, whatever that is.
pub fn send(member: SocketAddr, message: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(member)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(PREFACE)?;
    Frame::new(SETTINGS, 0, 0, Vec::new()).write(&mut stream)?;
    Frame::new(HEADERS, END_HEADERS, 1, headers(&member.to_string())).write(&mut stream)?;
    let (mut of_connection, mut of_stream) = (WINDOW_BYTES, WINDOW_BYTES);
    let mut rest = message;
    while !rest.is_empty() {
        let count = rest
            .len()
            .min(FRAME_BYTES)
            .min(of_connection)
            .min(of_stream);
        if count > 0 {
            let (now, later) = rest.split_at(count);
            rest = later;
            (of_connection, of_stream) = (of_connection - count, of_stream - count);
            let flags = if rest.is_empty() { END_STREAM } else { 0 };
            Frame::new(DATA, flags, 1, now.to_vec()).write(&mut stream)?;
            continue;
        }
        let frame = Frame::read(&mut stream)?;
        if frame.kind == WINDOW_UPDATE {
            let more = u32::from_be_bytes(frame.payload[..4].try_into().unwrap()) as usize;
            match frame.stream {
                0 => of_connection += more,
                _ => of_stream += more,
            }
        }
    }
    loop {
        let frame = Frame::read(&mut stream)?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                Frame::new(SETTINGS, ACK, 0, Vec::new()).write(&mut stream)?;
            }
            GOAWAY => return Err(io::Error::other("the member ended the connection")),
            // A refusal is headers alone.
            HEADERS | RST_STREAM if frame.stream == 1 && frame.flags & END_STREAM != 0 => {
                return Ok(());
            }
            RST_STREAM => return Err(io::Error::other("the member ended the request")),
            _ => {}
        }
    }
}

/// Literal fields that no table keeps: RFC 7541, section 6.2.2.
fn headers(authority: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/etcdserverpb.KV/Txn"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}
