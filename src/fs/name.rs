//! Names in the folders of a slot, parsed once at the edge (docs/mount.md, "Names").

use std::ffi::OsStr;

use super::staging::Folder;
use crate::error::{IncomingError, Result};
use crate::hsm::Wish;
use crate::object::SlotId;

/// The hidden tree, of the mount and of each slot.
pub const HIDDEN: &str = ".slotfs";
/// NAME_MAX.
pub const MOST_BYTES: usize = 255;

/// What a name in a folder means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `.slotfs`
    Hidden,
    /// An object: a handle, or an identity in `.slotfs/ouid`. `new` stands for any free handle, for writing only.
    Object(Wish),
    /// A staging name: starts with a dot. In a staging folder, any name.
    Staging,
    /// An alias, and what it asks for.
    Alias(Wish),
    /// Nothing that the folder can hold.
    Other,
}

impl Name {
    /// Parses a file name in `folder`.
    pub fn parse(folder: Folder, name: &OsStr) -> Self {
        let bytes = name.as_encoded_bytes();
        match (folder, bytes) {
            (Folder::Staging(_), _) => Self::Staging,
            (_, _) if bytes.len() > MOST_BYTES => Self::Other,
            (Folder::Slot, b".slotfs") => Self::Hidden,
            (Folder::Slot, b"new") => Self::Object(Wish::Any),
            // The kernel never sends these two.
            (_, b"." | b"..") => Self::Other,
            (_, [b'.', _, ..]) => Self::Staging,
            (Folder::Slot, _) => of_handle(name.to_str().unwrap_or_default()),
            (Folder::Identities, _) => of_identity(name.to_str().unwrap_or_default()),
        }
    }
}

/// A handle or an alias.
fn of_handle(name: &str) -> Name {
    match name.parse() {
        Ok(handle) => Name::Object(Wish::Handle(handle)),
        Err(_) if can_be_alias(name) => Name::Alias(wish_of(name)),
        Err(_) => Name::Other,
    }
}

/// An identity, or an alias: an identity, a dot and anything.
fn of_identity(name: &str) -> Name {
    if let Ok(ouid) = name.parse() {
        return Name::Object(Wish::Identity(ouid));
    }
    let start = name.split_once('.').map(|(start, _)| start.parse());
    match start {
        Some(Ok(ouid)) if can_be_alias(name) => Name::Alias(Wish::Identity(ouid)),
        _ => Name::Other,
    }
}

/// Whether a person or a tool may call a file this and read it in a log. A name of digits only is no alias: it is more
/// likely a mistyped handle.
fn can_be_alias(name: &str) -> bool {
    !name.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(char::is_control)
}

/// What an alias asks for: `124.part` and `124~` for handle 124, any other name for any free handle.
fn wish_of(alias: &str) -> Wish {
    let start = match (alias.split_once('.'), alias.strip_suffix('~')) {
        (Some((start, _)), _) | (None, Some(start)) => start,
        (None, None) => return Wish::Any,
    };
    start.parse().map_or(Wish::Any, Wish::Handle)
}

/// Refuses a name, which is quoted and escaped so that it cannot forge a line of a log.
///
/// # Errors
/// [`IncomingError::BadName`], always.
pub fn refuse<T>(slot: SlotId, name: &OsStr) -> Result<T> {
    Err(IncomingError::BadName(format!("{name:?}")).at(slot))
}

/// Refuses a name as the target of a rename; it may be a name that can be written to.
///
/// # Errors
/// [`IncomingError::BadName`], always.
pub fn refuse_target<T>(slot: SlotId, name: &OsStr) -> Result<T> {
    let name = format!("as the target of this rename, {name:?}");
    Err(IncomingError::BadName(name).at(slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Handle;

    #[test]
    fn an_identity_has_one_name() {
        let hex = "00112233445566778899aabbccddeeff";
        let parse = |name: &str| Name::parse(Folder::Identities, OsStr::new(name));
        let Name::Object(Wish::Identity(ouid)) = parse(hex) else {
            panic!("{hex} is an identity");
        };
        assert_eq!(ouid.to_string(), hex);
        assert_eq!(parse(".x"), Name::Staging);
        let upper = hex.to_uppercase();
        let part = format!("{hex}.part");
        assert_eq!(parse(&part), Name::Alias(Wish::Identity(ouid)));
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
            assert_eq!(parse(other), Name::Other, "{other:?}");
        }
    }

    #[test]
    fn names_mean_one_thing_each() {
        let parse = |name: &str| Name::parse(Folder::Slot, OsStr::new(name));
        let wish = Wish::Handle(Handle::new(124).unwrap());
        assert_eq!(parse("124"), Name::Object(wish));
        assert_eq!(parse(".slotfs"), Name::Hidden);
        assert_eq!(parse("new"), Name::Object(Wish::Any));
        assert_eq!(parse(".124.Xy3"), Name::Staging);
        let long = format!(".{}", "x".repeat(254));
        assert_eq!(parse(&long), Name::Staging);
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
        let parse = |name: &str| Name::parse(Folder::Slot, OsStr::new(name));
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
