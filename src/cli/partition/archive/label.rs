//! The name of a backup, which is also the name of its folder.

use std::fmt;
use std::str::FromStr;

use crate::object::show;

/// The most characters.
const MOST_CHARS: usize = 32;

/// A name that is one component of a path, is shown as it is, and is not hidden.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label(String);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_taken = (1..=MOST_CHARS).contains(&text.chars().count())
            && !text.starts_with('.')
            && !text.contains(|c: char| c == '/' || show::is_hazardous(c));
        match is_taken {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "not 1 to {MOST_CHARS} printable characters without '/' that begin with another one than '.'"
            )),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Label {
    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_harmless_component() {
        for good in [
            "monday",
            "a b",
            "Schlüssel",
            "ä".repeat(32).as_str(),
            "-x",
            "a.b",
        ] {
            assert_eq!(good.parse::<Label>().map(|it| it.0), Ok(good.to_owned()));
        }
        let long = "l".repeat(33);
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            &long,
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }
}
