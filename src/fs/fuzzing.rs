//! What the kernel may hand over, without a kernel, for [`crate::fuzzing`]: names, messages, and sequences of requests
//! on incoming and staged files against models of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

mod incoming;
mod staging;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::INodeNo;

use super::control::ControlFile;
use super::name::{MOST_BYTES, Name, refuse};
use super::node::Node;
use super::staging::Folder;
use crate::fuzzing::Input;
use crate::hsm::{TrashName, Wish};
use crate::object::SlotId;
use crate::secret::SecretBytes;

/// The first byte says what the rest is: a name or a message, an inode number, or requests.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => {
            name(input.rest());
            message(data.get(1..).unwrap_or_default());
        }
        1 => inode(input.u64()),
        2 => incoming::run(&mut input),
        _ => staging::run(&mut input),
    }
}

/// A name means one thing, and a thing has one name; what is said of one that is refused is one line.
fn name(bytes: &[u8]) {
    let name = OsStr::from_bytes(bytes);
    match Name::parse(Folder::Slot, name) {
        Name::Hidden => assert_eq!(bytes, b".slotfs"),
        Name::Object(Wish::Any) => assert_eq!(bytes, b"new"),
        Name::Object(wish) => {
            let handle = wish.handle().expect("a handle");
            assert_eq!(handle.to_string().as_bytes(), bytes);
        }
        Name::Staging => {
            assert!(bytes.starts_with(b".") && bytes.len() <= MOST_BYTES);
            assert!(![&b"."[..], b"..", b".slotfs"].contains(&bytes));
        }
        Name::Alias(wish) => {
            let text = name.to_str().expect("aliases are text");
            assert!(!text.contains(char::is_control) && bytes.len() <= MOST_BYTES);
            assert!(!text.bytes().all(|byte| byte.is_ascii_digit()), "a number");
            assert!(!bytes.starts_with(b"."), "a staging name");
            if let Some(handle) = wish.handle() {
                let after = text
                    .strip_prefix(&handle.to_string())
                    .expect("it asks for this");
                assert!(after == "~" || after.starts_with('.'), "{after}");
            }
        }
        Name::Other => {
            let number = name.to_str().and_then(|text| text.parse::<u32>().ok());
            let spelled = number.map(|number| number.to_string());
            assert!(
                number == Some(0) || spelled.as_deref().map(str::as_bytes) != Some(bytes),
                "a handle"
            );
        }
    }
    match Name::parse(Folder::Identities, name) {
        Name::Object(wish) => {
            assert!(matches!(wish, Wish::Identity(_)));
            assert_eq!(wish.to_string().as_bytes(), bytes);
        }
        Name::Staging => assert!(bytes.starts_with(b".") && bytes.len() <= MOST_BYTES),
        Name::Alias(ouid) => {
            assert!(bytes.starts_with(format!("{ouid}.").as_bytes()) && bytes.len() <= MOST_BYTES);
            assert!(
                !name
                    .to_str()
                    .expect("aliases are text")
                    .contains(char::is_control)
            );
        }
        Name::Other => {}
        Name::Hidden => panic!("it is in the slot's own folder"),
    }
    if let Some(trashed) = name
        .to_str()
        .and_then(|text| text.parse::<TrashName>().ok())
    {
        assert_eq!(trashed.to_string().as_bytes(), bytes);
    }
    let refused = refuse::<()>(SlotId(0), name).expect_err("it refuses");
    assert_eq!(refused.errno(), libc::EINVAL);
    assert!(!refused.to_string().contains(char::is_control), "{refused}");

    let Some(text) = name.to_str() else { return };
    for in_slot in [false, true] {
        if let Some(file) = ControlFile::find(text, in_slot) {
            assert_eq!(file.row().name, text);
            assert_eq!(ControlFile::from_id(file.id()), Some(file));
        }
    }
    if let Ok(slot) = text.parse::<SlotId>() {
        assert_eq!(slot.to_string(), text);
    }
}

/// "One trailing LF or CRLF is dropped from a password."
fn message(bytes: &[u8]) {
    let password = SecretBytes::from(bytes).without_newline();
    let kept = password.bytes();
    let dropped = bytes.strip_prefix(kept).expect("its start is kept");
    assert!([&b""[..], b"\n", b"\r\n"].contains(&dropped));
    assert!(!dropped.is_empty() || !bytes.ends_with(b"\n"));
    assert!(dropped != b"\n" || !kept.ends_with(b"\r"));
}

fn inode(number: u64) {
    if let Some(node) = Node::of(INodeNo(number)) {
        assert_eq!(Node::of(node.ino()), Some(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer does for hours, for a moment.
    #[test]
    fn random_requests_on_incoming_and_staged_files() {
        use proptest::prelude::*;

        let bytes = prop::collection::vec(any::<u8>(), 0..400);
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(kind in 2u8..4, mut data in bytes)| {
            data.insert(0, kind);
            run(&data);
        });
    }
}
