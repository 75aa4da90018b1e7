//! Who may enter a slot, where the kernel does not look: statfs of a folder asks for no permission on it.

use std::fs;

use fuser::Request;

use super::Inner;
use super::node::Node;
use crate::object::SlotId;

/// The user behind a request.
pub struct Visitor {
    uid: u32,
    gid: u32,
    /// Their other groups are asked of it only when they matter.
    pid: u32,
}

impl Visitor {
    /// The one who sent `request`.
    pub fn of(request: &Request) -> Self {
        Self {
            uid: request.uid(),
            gid: request.gid(),
            pid: request.pid(),
        }
    }

    /// Whether a folder of that owner, group and mode lets them in. As in the kernel, one class alone counts: an owner
    /// whom the mode shuts out does not come in as another.
    fn may_enter(&self, uid: u32, gid: u32, mode: u16) -> bool {
        let bit = match () {
            () if self.uid == 0 => return true,
            () if self.uid == uid => 0o100,
            () if self.gid == gid || has_group(self.pid, gid) => 0o010,
            () => 0o001,
        };
        mode & bit != 0
    }
}

/// Whether `gid` is one of the supplementary groups of process `pid`. One that cannot be asked has none.
fn has_group(pid: u32, gid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    groups.is_some_and(|groups| {
        groups
            .split_whitespace()
            .any(|group| group.parse() == Ok(gid))
    })
}

impl Inner {
    /// Whether `visitor` may enter `slot`, by the mode of its folder. Not into one whose mode cannot be told.
    pub(super) fn may_enter(&self, slot: SlotId, visitor: &Visitor) -> bool {
        self.getattr(Node::Slot(slot))
            .is_ok_and(|(attr, _)| visitor.may_enter(attr.uid, attr.gid, attr.perm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_of_a_mode_counts() {
        let visitor = |uid, gid| Visitor { uid, gid, pid: 0 };
        assert!(visitor(0, 0).may_enter(1, 1, 0), "root");
        assert!(visitor(1, 9).may_enter(1, 2, 0o700));
        assert!(!visitor(1, 2).may_enter(1, 2, 0o077), "the owner");
        assert!(visitor(9, 2).may_enter(1, 2, 0o710));
        assert!(!visitor(9, 2).may_enter(1, 2, 0o701), "the group");
        assert!(visitor(9, 9).may_enter(1, 2, 0o701));
        assert!(!visitor(9, 9).may_enter(1, 2, 0o776));
    }
}
