//! Session objects: objects of one application that end with their session.

use slotfs_object::usable::UsableKey;
use slotfs_object::{Object, SlotId};

use crate::assemble;

/// A session object. Its secret attributes are in [`UsableKey`], apart from the rest.
pub(crate) struct SessionObject {
    pub(crate) handle: u64,
    /// The session that it ends with.
    pub(crate) session: u64,
    pub(crate) slot: SlotId,
    pub(crate) key: UsableKey,
    pub(crate) origin: Origin,
}

/// Where a session object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was made in the session.
    Session,
    /// It is a copy of a token object, or of such a copy: it is never more readable than that, and is wrapped as that is.
    Token,
}

impl SessionObject {
    pub(crate) fn object(&self) -> &Object {
        self.key.described()
    }

    pub(crate) fn is_private(&self) -> bool {
        assemble::is_private(self.object())
    }
}
