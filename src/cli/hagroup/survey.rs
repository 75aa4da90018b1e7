//! What a member holds and what it removed, as it was listed once.

use std::collections::HashMap;

use crate::hsm::{Content, Description};
use crate::object::{Handle, Ouid, RowId};

/// One listing of a member.
#[derive(Default)]
pub(super) struct Survey {
    /// What it holds.
    pub(super) objects: HashMap<Ouid, Live>,
    /// What it holds and cannot be read.
    pub(super) unread: HashMap<Ouid, Unread>,
    /// What is in its trash, the latest removal of each.
    pub(super) removed: HashMap<Ouid, Gone>,
    /// Why its objects could not all be listed.
    pub(super) objects_cut: Option<String>,
    /// Why its trash could not all be listed.
    pub(super) trash_cut: Option<String>,
    /// Damaged objects in its trash.
    pub(super) trash_damaged: u64,
}

/// Why an object cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unread {
    pub(super) what: String,
    /// It is as it should be, and the member does not give it.
    pub(super) is_kept_back: bool,
}

/// An object that a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) content: Content,
    /// `None` if nobody here can open it, and the member does not tell.
    pub(super) revision: Option<u32>,
    /// `None` as with the revision.
    pub(super) description: Option<Description>,
    pub(super) handle: Option<Handle>,
    /// When it was described last, seconds since 1970.
    pub(super) changed_secs: u64,
}

/// An object in a member's trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    /// When it was removed, seconds since 1970. `None` if its row is damaged.
    pub(super) at_secs: Option<u64>,
    /// `None` if it cannot be opened.
    pub(super) revision: Option<u32>,
    /// `None` as with the revision.
    pub(super) description: Option<Description>,
    /// Its row, where the store is open here.
    pub(super) row: Option<RowId>,
}

/// What an object is to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The member takes no part.
    Unknown,
    /// It is neither there nor in the trash.
    Absent,
    /// It is not there, and may be in the part of the trash that was not listed.
    Withheld,
    /// It is there and cannot be read.
    Unread,
    Removed(Gone),
    Live(Live),
}

impl Survey {
    /// Whether all of the member was listed and can be read.
    pub(super) fn is_whole(&self) -> bool {
        self.cut().is_none() && self.unread.is_empty()
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
        if self.unread.contains_key(&ouid) {
            return Standing::Unread;
        }
        match self.removed.get(&ouid) {
            Some(gone) => Standing::Removed(*gone),
            None if self.trash_cut.is_some() => Standing::Withheld,
            None => Standing::Absent,
        }
    }

    /// Adds what is in the trash. Of two entries of one object the later revision counts, and of one revision the later
    /// removal.
    pub(super) fn add_removed(&mut self, ouid: Ouid, gone: Gone) {
        let there = self.removed.entry(ouid).or_insert(gone);
        let at_secs = there.at_secs.max(gone.at_secs);
        if (gone.revision, gone.at_secs) > (there.revision, there.at_secs) {
            *there = gone;
        }
        there.at_secs = at_secs;
    }
}
