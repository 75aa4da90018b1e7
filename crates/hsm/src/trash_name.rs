//! What an object in the trash is called.

use std::fmt;
use std::str::FromStr;

use slotfs_object::Handle;

/// The handle that the object had. From the second object with one handle on, a point and its number follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrashName {
    /// The handle.
    pub handle: Handle,
    /// Which of that handle, from 1.
    pub nth: u32,
}

impl FromStr for TrashName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (handle, nth) = match text.split_once('.') {
                // Parsed like a handle, so that each object has exactly one name.
                Some((handle, nth)) => (handle, nth.parse::<Handle>().ok()?.get()),
                None => (text, 1),
            };
            let handle = handle.parse().ok()?;
            Some(Self { handle, nth }).filter(|it| it.to_string() == text)
        };
        parse().ok_or_else(|| "not a name in the trash, such as 124 or 124.2".to_owned())
    }
}

impl fmt::Display for TrashName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            1 => self.handle.fmt(f),
            nth => write!(f, "{}.{nth}", self.handle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for (name, nth) in [("124", 1), ("124.2", 2), ("124.4294967295", u32::MAX)] {
            let parsed: TrashName = name.parse().unwrap();
            assert_eq!((parsed.handle.get(), parsed.nth), (124, nth));
            assert_eq!(parsed.to_string(), name);
        }
        for other in [
            "", ".", "0", "124.", "124.0", "124.1", "124.02", "124.2.3", ".2", "124 .2", "+1",
        ] {
            assert!(other.parse::<TrashName>().is_err(), "{other:?}");
        }
    }
}
