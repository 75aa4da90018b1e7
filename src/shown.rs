//! Paths in messages. A path is bytes: whatever is no text, or would disturb a terminal or a log, is escaped.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as messages show it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(&'a [u8]);

/// `path` as messages show it.
pub fn path<P: AsRef<Path> + ?Sized>(path: &P) -> Shown<'_> {
    Shown(path.as_ref().as_os_str().as_bytes())
}

/// A word that may be no text, as messages show it.
pub fn word(word: &OsStr) -> Shown<'_> {
    Shown(word.as_bytes())
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_disturbing(c) {
                    write!(f, "{}", c.escape_unicode())?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, line separators, and what changes the direction of text (Unicode TR 36, 3.2).
fn is_disturbing(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_controls_are_escaped() {
        let shown = |bytes: &[u8]| word(OsStr::from_bytes(bytes)).to_string();
        assert_eq!(shown(b"/mnt/caf\xe9"), "/mnt/caf\\xE9");
        assert_eq!(shown("/mnt/café x".as_bytes()), "/mnt/café x");
        assert_eq!(shown(b"a\nb\x1b[2J"), "a\\u{a}b\\u{1b}[2J");
        assert_eq!(shown("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(path("/a/b").to_string(), "/a/b");
    }
}
