//! One blob for one object: what an opened blob is compared with (docs/format.md, "To open a blob").
//!
//! Whoever holds all the domains of a blob could seal its payload under a key K of their own choice, with every salt and
//! tag right. Such a blob is the same object in other bytes. Slots refuse it as far as they can tell.

use super::{Fault, Root, derive};
use slotfs_object::secret::Key;

/// Requires that sealing `payload` under domains of `roots` does not give another blob than the one that was opened.
///
/// `held` are the roots that open a stanza, one for each; `missing` stanzas open under none of `roots`.
///
/// - `missing` is 0: K is computed again and must be the same. K, the header and the payload determine every salt and
///   wrapped key, and with them the ciphertext and the tag, so only one blob is left.
/// - Otherwise the blob should be of a set of domains that the slot has only in part, and its K cannot be computed.
///   But if K is that of domains that the slot has, then one of their holders put something else into a stanza.
///
/// # Errors
/// [`Fault::NotAsSealed`]
pub(super) fn check(
    roots: &[Root],
    held: &[&Root],
    missing: usize,
    head: &[u8],
    payload: &[u8],
    key: &Key,
) -> Result<(), Fault> {
    let gives_key = |others: &[&Root]| {
        let set = held.iter().chain(others).copied();
        derive::object_key(set, head, payload) == *key
    };
    let others: Vec<&Root> = roots
        .iter()
        .filter(|root| !held.iter().any(|it| std::ptr::eq(*it, *root)))
        .collect();
    // At most MAX_STANZAS, one of which is held.
    let as_sealed = match missing {
        0 => gives_key(&[]),
        1 => !others.iter().any(|other| gives_key(&[other])),
        _ => !others.iter().enumerate().any(|(at, first)| {
            let rest = &others[at + 1..];
            rest.iter().any(|second| gives_key(&[first, second]))
        }),
    };
    match as_sealed {
        true => Ok(()),
        false => Err(Fault::NotAsSealed),
    }
}
