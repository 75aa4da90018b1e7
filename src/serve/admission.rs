//! Who may connect: the server's own user, root, holders of a door, and the owner and group of a slot, for that slot.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, getgrouplist};
use slotfs_token::Peer;

use super::Shared;
use super::process::Credentials;

/// The rights of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// The slots that it sees.
    pub(crate) peer: Peer,
}

impl Admitted {
    /// The rights of a process that connected at the socket; `None` for one that has none.
    pub(crate) fn at_the_socket(credentials: Credentials, shared: &Shared) -> Option<Self> {
        let uid = Uid::from_raw(credentials.uid);
        if uid.is_root() || uid == Uid::effective() {
            return Some(Self { peer: Peer::All });
        }
        let peer = Peer::Slots {
            uid: credentials.uid,
            gids: groups(uid, Gid::from_raw(credentials.gid)),
        };
        let slots = shared.hsm.slots().ok()?;
        let admits = slots
            .iter()
            .any(|it| it.row.as_ref().is_ok_and(|row| peer.admits(row)));
        admits.then_some(Self { peer })
    }
}

/// The groups of a user, as the system's files have them; the process cannot add to them.
fn groups(uid: Uid, gid: Gid) -> Vec<u32> {
    let user = User::from_uid(uid).ok().flatten();
    let name = user.and_then(|user| CString::new(user.name).ok());
    let all = name.and_then(|name| getgrouplist(&name, gid).ok());
    let all = all.unwrap_or_else(|| vec![gid]);
    all.into_iter().map(Gid::as_raw).collect()
}
