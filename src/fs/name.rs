//! Names in a slot directory, parsed once at the edge (DESIGN.md 2).

use std::ffi::{OsStr, OsString};
use std::fmt;

use crate::error::{Error, Result};
use crate::object::{Handle, SlotId};

/// The hidden tree, of the mount and of each slot.
pub const HIDDEN: &str = ".slotfs";
/// NAME_MAX.
pub const MOST_BYTES: usize = 255;

/// What a name in a slot directory means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `.slotfs`
    Hidden,
    /// A handle.
    Handle(Handle),
    /// `new`: any free handle, for writing only.
    New,
    /// A staging name: starts with a dot.
    Staging(OsString),
    /// Nothing a slot can hold.
    Other,
}

impl Name {
    /// Parses a file name.
    pub fn parse(name: &OsStr) -> Self {
        let bytes = name.as_encoded_bytes();
        if bytes.len() > MOST_BYTES {
            return Self::Other;
        }
        if let Some(handle) = name.to_str().and_then(|name| name.parse().ok()) {
            return Self::Handle(handle);
        }
        match bytes {
            b".slotfs" => Self::Hidden,
            b"new" => Self::New,
            [b'.', _, ..] => Self::Staging(name.to_owned()),
            _ => Self::Other,
        }
    }
}

/// What an incoming blob is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This handle, or the next free one.
    Handle(Handle),
    /// Any.
    Any,
}

impl Wish {
    /// The handle, when one was named.
    pub fn handle(self) -> Option<Handle> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::Any => None,
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(handle) => handle.fmt(f),
            Self::Any => f.write_str("new"),
        }
    }
}

/// # Errors
/// [`Error::BadName`], the name quoted and escaped so that it can forge no line of a log.
pub fn refuse<T>(slot: SlotId, name: &OsStr) -> Result<T> {
    Err(Error::BadName {
        slot,
        name: format!("{name:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_one_thing_each() {
        let parse = |name: &str| Name::parse(OsStr::new(name));
        assert_eq!(parse("124"), Name::Handle(Handle::new(124).unwrap()));
        assert_eq!(parse(".slotfs"), Name::Hidden);
        assert_eq!(parse("new"), Name::New);
        assert_eq!(parse(".124.Xy3"), Name::Staging(".124.Xy3".into()));
        let long = format!(".{}", "x".repeat(254));
        assert_eq!(parse(&long), Name::Staging(long.clone().into()));
        let longer = format!("{long}x");
        for other in [
            "",
            "0",
            "007",
            "+1",
            "1 ",
            "1\n",
            "NEW",
            "key.pem",
            "4294967296",
            ".",
            &longer,
        ] {
            assert_eq!(parse(other), Name::Other, "{other:?}");
        }
    }
}
