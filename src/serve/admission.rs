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
    /// The user to whom its connections and its memory are counted. Behind a door that is the one to whom the door was given.
    pub(crate) uid: u32,
}

impl Admitted {
    /// The rights of a process that connected at the socket; `None` for one that has none.
    pub(crate) fn at_the_socket(credentials: Credentials, shared: &Shared) -> Option<Self> {
        let uid = credentials.uid;
        let user = Uid::from_raw(uid);
        if user.is_root() || user == Uid::effective() {
            let peer = Peer::All;
            return Some(Self { peer, uid });
        }
        let gids = groups(user, Gid::from_raw(credentials.gid));
        let peer = Peer::Slots { uid, gids };
        let slots = shared.hsm.slots().ok()?;
        let admits = slots
            .iter()
            .any(|it| it.row.as_ref().is_ok_and(|row| peer.admits(row)));
        admits.then_some(Self { peer, uid })
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
