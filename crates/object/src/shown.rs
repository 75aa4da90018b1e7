//! Paths and texts from other users, as messages and logs show them.
//!
//! A path is bytes. In a message it must neither break the line nor disguise itself.

use std::fmt::{self, Display, Formatter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::show::is_hazardous;

/// `path` for a message: bytes that are not UTF-8 as `\xE9`, control characters as `\n` or `\u{202e}`.
pub fn path(path: &Path) -> impl Display + '_ {
    Shown(path.as_os_str().as_bytes())
}

struct Shown<'a>(&'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_hazardous(c) {
                    write!(f, "{}", c.escape_default())?;
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_stays_on_its_line() {
        for (bytes, shown) in [
            (&b"/mnt/hsm"[..], "/mnt/hsm"),
            ("/mnt/café".as_bytes(), "/mnt/café"),
            (b"/mnt/caf\xe9", "/mnt/caf\\xE9"),
            (b"a\nb\x1b[1m", "a\\nb\\u{1b}[1m"),
            ("a\u{202e}b\u{85}".as_bytes(), "a\\u{202e}b\\u{85}"),
            (b"\\ ", "\\ "),
        ] {
            assert_eq!(path(Path::new(OsStr::from_bytes(bytes))).to_string(), shown);
        }
    }
}
