//! The process and the user behind a request.

use std::fs;

use fuser::Request;

use super::Inner;
use super::node::Node;
use super::open::Opener;
use crate::error::{Error, Result};
use crate::object::SlotId;

/// Whether process `pid` is an rsync that goes on after a failed ftruncate and loses nothing by it. Its close then need
/// not repeat the refusal.
///
/// `rsync --inplace` reports the failed ftruncate and continues with its next file, but ends its whole run at a failed
/// close. It also takes the file for received: with --remove-source-files the sender would delete the only copy of the
/// refused blob, so in that case the close must fail. It must also fail for every unknown process.
pub fn goes_on_after_ftruncate(pid: u32) -> bool {
    let Ok(command) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    is_rsync(pid) && keeps_its_source(&command)
}

/// Whether a program that creates a file is an rsync, and the file a temporary one, made as mkstemp(3) does.
/// With --temp-dir, the names of these files do not begin with a dot, and an error of write would end the whole run.
/// Files that rsync opens for writing only have their final name (--inplace, --backup).
pub fn makes_temporary(by: Opener) -> bool {
    by.flags & libc::O_ACCMODE == libc::O_RDWR && is_rsync(by.pid())
}

fn is_rsync(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "rsync")
}

/// Without --remove-source-files, its old name --remove-sent-files, or any abbreviation of them.
fn keeps_its_source(command: &[u8]) -> bool {
    !command
        .split(|byte| *byte == 0)
        .any(|word| word.starts_with(b"--remove") || word.starts_with(b"-remove"))
}

/// The user behind a request.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    uid: u32,
    gid: u32,
    /// The process, which is asked for its other groups only when they matter.
    pub(super) pid: u32,
}

impl Visitor {
    /// The user who sent `request`.
    pub fn of(request: &Request) -> Self {
        Self {
            uid: request.uid(),
            gid: request.gid(),
            pid: request.pid(),
        }
    }

    /// User and process of a test.
    #[cfg(test)]
    pub(super) fn known(uid: u32, pid: u32) -> Self {
        Self { uid, gid: uid, pid }
    }

    /// Who it is.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether a folder with that owner, group and mode lets the user in. As in the kernel, only one class counts: an owner
    /// without permission does not get in as a member of the group.
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

/// Whether `gid` is one of the supplementary groups of process `pid`; `false` if that cannot be read.
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
    /// Refuses a slot of another owner where the kernel does not. Root may enter every slot.
    pub(super) fn must_be_own(&self, slot: SlotId) -> Result<()> {
        if !self.owner.alone || self.owner.uid == 0 {
            return Ok(());
        }
        match self.hsm.partition(slot).row()?.uid {
            Some(uid) if uid != self.owner.uid => Err(Error::OtherOwner { slot }),
            _ => Ok(()),
        }
    }

    /// Whether `visitor` may enter `slot`, by the mode of its folder; `false` if the mode cannot be read. For statfs and
    /// `.slotfs/metrics`, where the kernel checks no permission of the slot.
    pub(super) fn may_enter(&self, slot: SlotId, visitor: &Visitor) -> bool {
        self.getattr(Node::Slot(slot))
            .is_ok_and(|(attr, _)| visitor.may_enter(attr.uid, attr.gid, attr.perm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_rsync_that_removes_nothing_is_spared() {
        assert!(keeps_its_source(b"rsync\0-a\0--inplace\0a/\0b/\0"));
        for removes in [
            b"rsync\0--remove-source-files\0a\0b\0".as_slice(),
            b"rsync\0--server\0--remove-sent-files\0.\0b\0",
        ] {
            assert!(!keeps_its_source(removes));
        }
        assert!(!goes_on_after_ftruncate(std::process::id()));
        assert!(!goes_on_after_ftruncate(0));
        let (flags, pid) = (libc::O_RDWR, std::process::id());
        assert!(!makes_temporary(Opener {
            flags,
            visitor: Visitor::known(0, pid)
        }));
    }

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
