//! What a member holds and what it removed, as it was listed once.

use std::collections::HashMap;

use crate::hsm::Content;
use crate::object::{Handle, Ouid};

/// One listing of a member.
#[derive(Default)]
pub(super) struct Survey {
    /// What it holds.
    pub(super) objects: HashMap<Ouid, Live>,
    /// What it holds and cannot be read.
    pub(super) damaged: HashMap<Ouid, String>,
    /// What is in its trash, the latest removal of each.
    pub(super) removed: HashMap<Ouid, Gone>,
    /// Why its objects could not all be listed.
    pub(super) objects_cut: Option<String>,
    /// Why its trash could not all be listed.
    pub(super) trash_cut: Option<String>,
}

/// An object that a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) content: Content,
    /// `None` if nobody here can open it: then its content is that of its blob.
    pub(super) revision: Option<u32>,
    pub(super) handle: Option<Handle>,
    /// When it was described last, seconds since 1970.
    pub(super) changed_secs: u64,
}

/// An object in a member's trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    /// When it was removed, seconds since 1970.
    pub(super) at_secs: u64,
    /// `None` if it cannot be opened.
    pub(super) revision: Option<u32>,
    /// `None` where the member does not tell: a mount shows no content of its trash.
    pub(super) content: Option<Content>,
}

/// What an object is to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The member takes no part, or its listing does not tell.
    Unknown,
    /// It is neither there nor in the trash.
    Absent,
    /// It is there and cannot be read.
    Damaged,
    Removed(Gone),
    Live(Live),
}

impl Survey {
    /// Whether all of the member was listed and can be read.
    pub(super) fn is_whole(&self) -> bool {
        self.cut().is_none() && self.damaged.is_empty()
    }

    /// Why not all of it was listed.
    pub(super) fn cut(&self) -> Option<&str> {
        let cut = self.objects_cut.as_ref().or(self.trash_cut.as_ref());
        cut.map(String::as_str)
    }

    pub(super) fn standing(&self, ouid: Ouid) -> Standing {
        if let Some(live) = self.objects.get(&ouid) {
            return Standing::Live(*live);
        }
        if self.damaged.contains_key(&ouid) {
            return Standing::Damaged;
        }
        match self.removed.get(&ouid) {
            Some(gone) => Standing::Removed(*gone),
            // It may be in the part of the trash that was not listed.
            None if self.trash_cut.is_some() => Standing::Unknown,
            None => Standing::Absent,
        }
    }

    /// Adds what is in the trash. Of two entries of one object the later removal counts, and the later revision.
    pub(super) fn add_removed(&mut self, ouid: Ouid, gone: Gone) {
        let there = self.removed.entry(ouid).or_insert(gone);
        there.at_secs = there.at_secs.max(gone.at_secs);
        if gone.revision > there.revision {
            (there.revision, there.content) = (gone.revision, gone.content);
        }
    }
}
