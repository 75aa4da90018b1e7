//! PEM as people have it: one block or several, with text, blanks or a byte order mark around them, lines of any
//! length and ending.
//!
//! What is between BEGIN and END is strict: one label, whole base64. Text outside is not looked at, but for lines
//! that a BEGIN or END line left when it was damaged.

use data_encoding::BASE64;

use super::error::ImportError;
use slotfs_object::secret::SecretBytes;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// A block as it stands in the text.
pub(super) struct Block<'a> {
    /// What the BEGIN line names.
    pub(super) label: &'a [u8],
    /// The line of BEGIN, from 1.
    pub(super) line: usize,
    /// Lines of RFC 1421 between BEGIN and the base64, such as `DEK-Info`.
    pub(super) headers: Vec<&'a [u8]>,
    base64: Vec<&'a [u8]>,
}

impl Block<'_> {
    /// What the base64 says.
    pub(super) fn decode(&self) -> Result<SecretBytes, ImportError> {
        // Of the exact size before anything is put in: a vector that grows leaves unwiped copies.
        let size = self.base64.iter().map(|part| part.len()).sum();
        let mut text = SecretBytes::new(vec![0; size]);
        let mut rest = text.bytes_mut();
        for part in &self.base64 {
            let (start, after) = rest.split_at_mut(part.len());
            start.copy_from_slice(part);
            rest = after;
        }
        let text = text.bytes();
        if text.is_empty() {
            return Err(ImportError::PemEmpty);
        }
        // The decoder takes padded groups anywhere; RFC 7468 has padding at the end alone.
        let padding = text.iter().position(|byte| *byte == b'=');
        if padding.is_some_and(|at| at + 2 < text.len()) {
            return Err(ImportError::PemBase64);
        }
        let most = BASE64
            .decode_len(size)
            .map_err(|_| ImportError::PemBase64)?;
        let mut bytes = SecretBytes::new(vec![0; most]);
        let size = BASE64
            .decode_mut(text, bytes.bytes_mut())
            .map_err(|_| ImportError::PemBase64)?;
        Ok(SecretBytes::from(&bytes.bytes()[..size]))
    }
}

/// The text of a file: without a byte order mark, and of UTF-16, which is known by its mark, the characters that
/// PEM is made of.
pub(super) fn text(file: &[u8]) -> Result<SecretBytes, ImportError> {
    let unit: fn([u8; 2]) -> u16 = match file {
        [0xef, 0xbb, 0xbf, text @ ..] => return Ok(SecretBytes::from(text)),
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Ok(SecretBytes::from(file)),
    };
    let (units, []) = file[2..].as_chunks::<2>() else {
        return Err(ImportError::Unrecognised);
    };
    let mut text = SecretBytes::new(vec![0; units.len()]);
    for (byte, pair) in text.bytes_mut().iter_mut().zip(units) {
        *byte = match unit(*pair) {
            ascii @ 0..0x80 => ascii as u8,
            // Allowed outside of blocks, and no base64 inside.
            _ => b'?',
        };
    }
    Ok(text)
}

/// What was not read, and why.
pub(super) struct Damage {
    /// The number of the block, from 1.
    pub(super) block: usize,
    /// The line of its BEGIN, or where that should be.
    pub(super) line: usize,
    pub(super) error: ImportError,
}

/// All blocks in a text.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, Damage> {
    let mut blocks = Vec::new();
    let mut lines = lines(text);
    while let Some((number, line)) = lines.next() {
        let damage = |error| Damage {
            block: blocks.len() + 1,
            line: number,
            error,
        };
        if let Some(block) = of_one_line(number, line) {
            blocks.push(block);
            continue;
        }
        let Some(label) = between(line, BEGIN) else {
            if !is_remnant(line) {
                continue;
            }
            let is_last = lines.all(|(_, line)| line.is_empty());
            return Err(damage(match is_last && !line.ends_with(DASHES) {
                true => ImportError::PemCutShort,
                false => ImportError::PemBegin,
            }));
        };
        let mut block = Block {
            label,
            line: number,
            headers: Vec::new(),
            base64: Vec::new(),
        };
        let mut part = Part::Start;
        loop {
            let Some((_, line)) = lines.next() else {
                return Err(damage(ImportError::PemCutShort));
            };
            if line.starts_with(DASHES) {
                if between(line, END) == Some(label) {
                    break;
                }
                let is_last = lines.all(|(_, line)| line.is_empty());
                return Err(damage(match line.strip_prefix(END) {
                    None if is_last || line.starts_with(BEGIN) => ImportError::PemCutShort,
                    Some(cut) if is_last && label.starts_with(cut) => ImportError::PemCutShort,
                    _ => ImportError::PemEnd,
                }));
            }
            match part {
                Part::Start if line.is_empty() => continue,
                Part::Start if line.contains(&b':') => part = Part::Headers,
                Part::Headers if line.is_empty() => part = Part::Body,
                Part::Headers => {}
                Part::Start | Part::Body => part = Part::Body,
            }
            match part {
                Part::Headers => block.headers.push(line),
                _ => block.base64.extend(
                    line.split(u8::is_ascii_whitespace)
                        .filter(|run| !run.is_empty()),
                ),
            }
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// A whole block on one line, as it comes out of a variable of the environment.
fn of_one_line(number: usize, line: &[u8]) -> Option<Block<'_>> {
    let find = |text: &[u8], mark: &[u8]| text.windows(mark.len()).position(|it| it == mark);
    let rest = line.strip_prefix(BEGIN)?;
    let (label, rest) = rest.split_at(find(rest, DASHES)?);
    let (base64, end) = rest[DASHES.len()..].split_at(find(&rest[DASHES.len()..], END)?);
    let parts = base64.split(u8::is_ascii_whitespace);
    (between(end, END) == Some(label)).then(|| Block {
        label,
        line: number,
        headers: Vec::new(),
        base64: parts.filter(|part| !part.is_empty()).collect(),
    })
}

/// Where in a block a line is: RFC 1421 has headers above the base64, up to an empty line.
#[derive(Clone, Copy)]
enum Part {
    Start,
    Headers,
    Body,
}

/// The label of a BEGIN or END line.
fn between<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(DASHES)
}

/// Whether a line outside of blocks is what is left of a BEGIN or END line: the block would be overlooked.
fn is_remnant(line: &[u8]) -> bool {
    let has = |mark: &[u8]| line.windows(mark.len()).any(|window| window == mark);
    let starts = line.strip_prefix(DASHES).and_then(|rest| rest.first());
    has(BEGIN) || has(END) || starts.is_some_and(u8::is_ascii_alphabetic)
}

/// Lines with their numbers, without the blanks around them. They end in LF, CR LF or CR.
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

/// Without what editors and other systems leave at the ends of lines and files: blanks, also those that do not break,
/// byte order marks in the middle of files that were put together, zeros, and CP/M's end of file.
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
