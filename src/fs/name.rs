//! Names in a slot directory, parsed once at the edge (DESIGN.md 2).

use std::ffi::{OsStr, OsString};

use crate::error::{Error, Result};
use crate::object::{Handle, Ouid, SlotId};

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
            // The kernel keeps these two to itself; whoever else sent one would not mean a file.
            b"." | b".." => Self::Other,
            [b'.', _, ..] => Self::Staging(name.to_owned()),
            _ => Self::Other,
        }
    }
}

/// What a name in `.slotfs/ouid` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityName {
    /// An object's identity.
    Ouid(Ouid),
    /// A staging name: starts with a dot.
    Staging(OsString),
    /// Nothing that can be there.
    Other,
}

impl IdentityName {
    /// Parses a file name.
    pub fn parse(name: &OsStr) -> Self {
        if let Some(ouid) = name.to_str().and_then(|name| name.parse().ok()) {
            return Self::Ouid(ouid);
        }
        match name.as_encoded_bytes() {
            bytes if bytes.len() > MOST_BYTES => Self::Other,
            b"." | b".." => Self::Other,
            [b'.', _, ..] => Self::Staging(name.to_owned()),
            _ => Self::Other,
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
    fn an_identity_has_one_name() {
        let hex = "00112233445566778899aabbccddeeff";
        let parse = |name: &str| IdentityName::parse(OsStr::new(name));
        let IdentityName::Ouid(ouid) = parse(hex) else {
            panic!("{hex} is an identity");
        };
        assert_eq!(ouid.to_string(), hex);
        assert_eq!(parse(".x"), IdentityName::Staging(".x".into()));
        let upper = hex.to_uppercase();
        let long = format!(".{}", "x".repeat(255));
        for other in ["", ".", "..", "124", "new", &upper, &hex[1..], &long] {
            assert_eq!(parse(other), IdentityName::Other, "{other:?}");
        }
    }

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
            "..",
            &longer,
        ] {
            assert_eq!(parse(other), Name::Other, "{other:?}");
        }
    }
}
