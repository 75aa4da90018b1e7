//! The label of a group.

use std::fmt;
use std::str::FromStr;

use crate::object::show;

/// 1 to 32 printable characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(String);

impl Label {
    /// As it was given.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=32).contains(&text.chars().count());
        match fits && !text.chars().any(show::is_hazardous) {
            true => Ok(Self(text.to_owned())),
            false => Err("a label has 1 to 32 printable characters".into()),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
