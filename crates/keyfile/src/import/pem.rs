//! PEM files as users have them: one block or several, with text, blanks or a byte order mark around them, and lines of
//! any length and ending. The pem-rfc7468 crate refuses most of these.
//!
//! Between BEGIN and END the reader is strict: one label, whole base64. It ignores text outside, except the remains of
//! damaged BEGIN and END lines.

use data_encoding::BASE64;

use super::error::ImportError;
use slotfs_object::secret::SecretBytes;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// A block of the text.
pub(super) struct Block<'a> {
    /// The label of the BEGIN line.
    pub(super) label: &'a [u8],
    /// The number of the BEGIN line, from 1.
    pub(super) line: usize,
    /// Header lines of RFC 1421, such as `DEK-Info`.
    pub(super) headers: Vec<&'a [u8]>,
    base64: Vec<&'a [u8]>,
}

impl Block<'_> {
    /// Decodes the base64.
    pub(super) fn decode(&self) -> Result<SecretBytes, ImportError> {
        // `concat` allocates the final size at once, so that no unwiped copies are left.
        let text = SecretBytes::new(self.base64.concat());
        let text = text.bytes();
        if text.is_empty() {
            return Err(ImportError::PEM_EMPTY);
        }
        // The decoder accepts padding anywhere; RFC 7468 allows it only at the end.
        let padding = text.iter().position(|byte| *byte == b'=');
        if padding.is_some_and(|at| at + 2 < text.len()) {
            return Err(ImportError::PEM_BASE64);
        }
        let decode = || {
            let mut bytes = SecretBytes::new(vec![0; BASE64.decode_len(text.len()).ok()?]);
            let size = BASE64.decode_mut(text, bytes.bytes_mut()).ok()?;
            Some(SecretBytes::from(&bytes.bytes()[..size]))
        };
        decode().ok_or(ImportError::PEM_BASE64)
    }
}

/// The text of a file without a byte order mark. A file in UTF-16, recognised by its mark, becomes ASCII, with `?` for
/// other characters.
pub(super) fn text(file: &[u8]) -> Result<SecretBytes, ImportError> {
    let unit: fn([u8; 2]) -> u16 = match file {
        [0xef, 0xbb, 0xbf, text @ ..] => return Ok(SecretBytes::from(text)),
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Ok(SecretBytes::from(file)),
    };
    let (units, []) = file[2..].as_chunks::<2>() else {
        return Err(ImportError::UNRECOGNISED);
    };
    let mut text = SecretBytes::new(vec![0; units.len()]);
    for (byte, pair) in text.bytes_mut().iter_mut().zip(units) {
        *byte = match unit(*pair) {
            ascii @ 0..0x80 => ascii as u8,
            // Allowed outside of blocks, and not base64 inside.
            _ => b'?',
        };
    }
    Ok(text)
}

/// All blocks of a text.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, ImportError> {
    let mut blocks = Vec::new();
    let mut lines = lines(text);
    while let Some((number, line)) = lines.next() {
        let read = match label_of(line, BEGIN) {
            _ if let Some(block) = block_of_one_line(number, line) => Ok(block),
            Some(label) => block_of_lines(number, label, &mut lines),
            None if is_remnant(line) => Err(match ends(&mut lines) && !line.ends_with(DASHES) {
                true => ImportError::PEM_CUT_SHORT,
                false => ImportError::PEM_BEGIN,
            }),
            None => continue,
        };
        let place = (!blocks.is_empty()).then_some((blocks.len() + 1, number));
        blocks.push(read.map_err(|error| error.in_block(place))?);
    }
    Ok(blocks)
}

/// Whether only empty lines follow.
fn ends<'a>(lines: &mut impl Iterator<Item = (usize, &'a [u8])>) -> bool {
    lines.all(|(_, line)| line.is_empty())
}

/// The block whose BEGIN line was read.
fn block_of_lines<'a>(
    number: usize,
    label: &'a [u8],
    lines: &mut impl Iterator<Item = (usize, &'a [u8])>,
) -> Result<Block<'a>, ImportError> {
    let mut block = Block {
        label,
        line: number,
        headers: Vec::new(),
        base64: Vec::new(),
    };
    let mut part = Part::Start;
    while let Some((_, line)) = lines.next() {
        if label_of(line, END) == Some(label) {
            return Ok(block);
        }
        if line.starts_with(DASHES) {
            let is_last = ends(lines);
            return Err(match line.strip_prefix(END) {
                None if is_last || line.starts_with(BEGIN) => ImportError::PEM_CUT_SHORT,
                Some(cut) if is_last && label.starts_with(cut) => ImportError::PEM_CUT_SHORT,
                _ => ImportError::PEM_END,
            });
        }
        part = match part {
            Part::Start if line.is_empty() => continue,
            Part::Start if line.contains(&b':') => Part::Headers,
            Part::Headers if !line.is_empty() => Part::Headers,
            Part::Start | Part::Headers | Part::Body => Part::Body,
        };
        match part {
            Part::Headers => block.headers.push(line),
            _ => block.base64.extend(runs(line)),
        }
    }
    Err(ImportError::PEM_CUT_SHORT)
}

/// A whole block on one line, as environment variables hold it.
fn block_of_one_line(number: usize, line: &[u8]) -> Option<Block<'_>> {
    let find = |text: &[u8], mark: &[u8]| text.windows(mark.len()).position(|it| it == mark);
    let rest = line.strip_prefix(BEGIN)?;
    let (label, rest) = rest.split_at(find(rest, DASHES)?);
    let (base64, end) = rest[DASHES.len()..].split_at(find(&rest[DASHES.len()..], END)?);
    (label_of(end, END) == Some(label)).then(|| Block {
        label,
        line: number,
        headers: Vec::new(),
        base64: runs(base64).collect(),
    })
}

/// The parts of a line label blanks.
fn runs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|run| !run.is_empty())
}

/// The part of a block in which a line is. In RFC 1421, headers precede the base64 and end with an empty line.
#[derive(Clone, Copy)]
enum Part {
    Start,
    Headers,
    Body,
}

/// The label of a BEGIN or END line.
fn label_of<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(DASHES)
}

/// Whether a line outside of blocks is a damaged BEGIN or END line. Without this check the block would be skipped.
fn is_remnant(line: &[u8]) -> bool {
    let has = |mark: &[u8]| line.windows(mark.len()).any(|window| window == mark);
    let starts = line.strip_prefix(DASHES).and_then(|rest| rest.first());
    has(BEGIN) || has(END) || starts.is_some_and(u8::is_ascii_alphabetic)
}

/// The lines, which end in LF, CR LF or CR, with their numbers and without the blanks around them.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        number += 1;
        let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, after) = match end {
            Some(end) if text[end..].starts_with(b"\r\n") => (&text[..end], Some(&text[end + 2..])),
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        rest = after;
        Some((number, trimmed(line)))
    })
}

/// The line without the bytes that editors and other systems leave at the ends of lines and files: blanks, no-break
/// spaces, byte order marks inside concatenated files, zeros, and the end-of-file character of CP/M.
fn trimmed(mut line: &[u8]) -> &[u8] {
    const BLANKS: [&[u8]; 4] = [b"\xef\xbb\xbf", b"\xc2\xa0", b"\0", b"\x1a"];
    loop {
        let before = line.len();
        line = line.trim_ascii();
        for blank in BLANKS {
            line = line.strip_prefix(blank).unwrap_or(line);
            line = line.strip_suffix(blank).unwrap_or(line);
        }
        if line.len() == before {
            return line;
        }
    }
}
