//! Which slots an application may see.

use slotfs_hsm::SlotRow;

/// Who is at the other end, as the kernel reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The server's own user, root, or whom one of their applications let in: every slot.
    All,
    /// Another user: the slots that are its own on the mount.
    Slots {
        /// Its user id.
        uid: u32,
        /// Its group ids.
        gids: Vec<u32>,
    },
}

impl Peer {
    /// Whether it may see a slot.
    pub fn admits(&self, row: &SlotRow) -> bool {
        match self {
            Self::All => true,
            Self::Slots { uid, gids } => {
                row.uid == Some(*uid) || row.gid.is_some_and(|gid| gids.contains(&gid))
            }
        }
    }
}
