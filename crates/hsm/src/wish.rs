//! What an object that comes in is to be called.

use std::fmt;

use super::{Result, SlotError};
use slotfs_object::{Handle, Ouid, SlotId};

/// The name that a blob is written under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This handle, or the next free one.
    Handle(Handle),
    /// Any handle.
    Any,
    /// Any handle, but only the object of this identity.
    Identity(Ouid),
}

impl Wish {
    /// The handle, when one was named.
    pub fn handle(self) -> Option<Handle> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::Any | Self::Identity(_) => None,
        }
    }

    /// Whether an object of identity `ouid` may come in under this name.
    ///
    /// # Errors
    /// [`SlotError::OtherIdentity`]
    pub fn check(self, slot: SlotId, ouid: Ouid) -> Result<()> {
        match self {
            Self::Identity(named) if named != ouid => {
                Err(SlotError::OtherIdentity { ouid, named }.at(slot))
            }
            Self::Handle(_) | Self::Any | Self::Identity(_) => Ok(()),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(handle) => handle.fmt(f),
            Self::Any => f.write_str("new"),
            Self::Identity(ouid) => ouid.fmt(f),
        }
    }
}
