//! Names in a slot directory, parsed once at the edge (docs/mount.md, "Names").

use std::ffi::{OsStr, OsString};

use crate::error::{IncomingError, Result};
use crate::hsm::Wish;
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
    /// An alias, and the handle that it asks for.
    Alias(Wish),
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
            _ => alias(name).map_or(Self::Other, |name| Self::Alias(wish_of(name))),
        }
    }
}

/// `name`, if it can be an alias: what a person or a tool may call a file and read in a log. Digits alone are no alias,
/// or a mistyped handle would be taken for one.
fn alias(name: &OsStr) -> Option<&str> {
    let name = name.to_str()?;
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    (!digits && !name.contains(char::is_control)).then_some(name)
}

/// What an alias asks for: `124.part` and `124~` for handle 124, any other name for any free one.
fn wish_of(alias: &str) -> Wish {
    let start = match (alias.split_once('.'), alias.strip_suffix('~')) {
        (Some((start, _)), _) | (None, Some(start)) => start,
        (None, None) => return Wish::Any,
    };
    start.parse().map_or(Wish::Any, Wish::Handle)
}

/// What a name in `.slotfs/ouid` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityName {
    /// An object's identity.
    Ouid(Ouid),
    /// A staging name: starts with a dot.
    Staging(OsString),
    /// An alias: an identity, a dot and anything.
    Alias(Ouid),
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
            _ => alias(name)
                .and_then(|name| name.split_once('.')?.0.parse().ok())
                .map_or(Self::Other, Self::Alias),
        }
    }
}

/// # Errors
/// [`Error::BadName`], the name quoted and escaped so that it can forge no line of a log.
pub fn refuse<T>(slot: SlotId, name: &OsStr) -> Result<T> {
    Err(IncomingError::BadName(format!("{name:?}")).at(slot))
}

/// The same for what a rename was to make: the name may be one that can be written to.
///
/// # Errors
/// [`Error::BadName`]
pub fn refuse_target<T>(slot: SlotId, name: &OsStr) -> Result<T> {
    let name = format!("as the target of this rename, {name:?}");
    Err(IncomingError::BadName(name).at(slot))
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
        let part = format!("{hex}.part");
        assert_eq!(parse(&part), IdentityName::Alias(ouid));
        let long = format!(".{}", "x".repeat(255));
        let tilde = format!("{hex}~");
        let control = format!("{hex}.\n");
        let upper_part = format!("{upper}.part");
        for other in [
            "",
            ".",
            "..",
            "124",
            "124.part",
            "new",
            &upper,
            &hex[1..],
            &long,
            &tilde,
            &control,
            &upper_part,
        ] {
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
        let digits = "9".repeat(255);
        let too_long = "x".repeat(256);
        for other in [
            "",
            "0",
            "007",
            "1\n",
            "1.\u{85}",
            "\u{7f}",
            "4294967296",
            ".",
            "..",
            &longer,
            &digits,
            &too_long,
        ] {
            assert_eq!(parse(other), Name::Other, "{other:?}");
        }
    }

    #[test]
    fn an_alias_asks_for_the_handle_that_it_starts_with() {
        let parse = |name: &str| Name::parse(OsStr::new(name));
        let asks = Name::Alias(Wish::Handle(Handle::new(124).unwrap()));
        for name in [
            "124.ee61fb1f.partial",
            "124.",
            "124.part",
            "124~",
            "124.~1~",
            "124.2",
        ] {
            assert_eq!(parse(name), asks, "{name}");
        }
        let long = "x".repeat(255);
        for name in [
            "+1", "1 ", "NEW", "key.pem", "124-part", "124 .x", "0.x", "0124~", "124~~", "124~1",
            "~", "-1", "1,5", &long,
        ] {
            assert_eq!(parse(name), Name::Alias(Wish::Any), "{name:?}");
        }
    }
}
