//! Session objects: objects of one application that end with their session.

use slotfs_object::usable::UsableKey;
use slotfs_object::{Attribute, Object, SlotId};

use crate::assemble;
use crate::error::Result;
use crate::memory::{Account, Held};

/// A session object. Its secret attributes are in [`UsableKey`], apart from the rest.
pub(crate) struct SessionObject {
    pub(crate) handle: u64,
    /// The session that it ends with.
    pub(crate) session: u64,
    pub(crate) slot: SlotId,
    pub(crate) key: UsableKey,
    pub(crate) origin: Origin,
    /// What it takes.
    pub(crate) _memory: Held,
}

/// Where a session object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was made in the session.
    Session,
    /// It is a copy of a token object, or of such a copy: it is never more readable than that, and is wrapped as that is.
    Token,
}

/// The memory for a key.
///
/// # Errors
/// `CKR_DEVICE_MEMORY`
pub(crate) fn memory(account: &Account, key: &UsableKey) -> Result<Held> {
    /// The maps, and what the library makes of a key.
    const BESIDE_VALUES: usize = 1 << 10;
    let mut held = account.holder();
    let secrets = key.secret_numbers().filter_map(|it| key.secret(it));
    let secrets: usize = secrets.map(<[u8]>::len).sum();
    let shown = key.described().attributes.values();
    let shown: usize = shown
        .map(|it| match it {
            Attribute::Bytes(bytes) => bytes.len(),
            Attribute::Text(text) => text.len(),
            _ => 0,
        })
        .sum();
    held.make_room(BESIDE_VALUES + shown + secrets)?;
    Ok(held)
}

impl SessionObject {
    pub(crate) fn object(&self) -> &Object {
        self.key.described()
    }

    pub(crate) fn is_private(&self) -> bool {
        assemble::is_private(self.object())
    }
}
