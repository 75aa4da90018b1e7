//! `store check` and `store backup`: whether everything is there and opens.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Hsm, Result, Role, Session, SlotFault, SlotId, store};

mod objects;
mod slot;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The slot it is in, when it is in one.
    pub slot: Option<SlotId>,
    /// The object's handle, as its row has it.
    pub handle: Option<i64>,
    /// The row of the object, credential or domain.
    pub row: Option<i64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "slot {slot}")?,
            None => f.write_str("store")?,
        }
        if let Some(handle) = self.handle {
            write!(f, ", handle {handle}")?;
        }
        if let Some(row) = self.row {
            write!(f, " (row {row})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What the check of a slot read and opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedSlot {
    /// The slot.
    pub slot: SlotId,
    /// Rows of objects that were read.
    pub objects: u64,
    /// How many of them opened; `None` when nobody is logged in.
    pub opened: Option<u64>,
}

impl Hsm {
    /// The number of every slot, also of those whose own row cannot be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slot_numbers(&self) -> Result<Vec<SlotId>> {
        Ok(self.store.slot_numbers()?)
    }

    /// Reads all of `slots` and of the store around them; opens what is in slots that co or cu is logged in to.
    /// `found` is called with everything that is wrong. Nothing is changed. A change by another process is no finding.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn check(
        &self,
        slots: &[SlotId],
        found: &mut dyn FnMut(Finding),
    ) -> Result<Vec<CheckedSlot>> {
        let mut check = Check {
            hsm: self,
            tallies: slots.iter().map(|&slot| (slot, Tally::default())).collect(),
            found,
        };
        check.file()?;
        check.contradictions()?;
        for &slot in slots {
            check.follow(slot)?;
        }
        // A damaged slot is reported even when the caller did not ask for it.
        for slot in self.store.slot_numbers()? {
            if let Some(parts) = self.store.look_slot(slot)? {
                check.slot(slot, &parts);
            }
        }
        let all = self.store.slot_numbers()?;
        for count in self.store.count(&all)? {
            check.count(&count);
        }
        for slot in all.into_iter().filter(|slot| !slots.contains(slot)) {
            check.tell_damage(slot, self.store.trash_count(slot));
        }
        check.objects()?;
        for &slot in slots {
            check.trash(slot)?;
        }
        // The store's path must still lead to the files that were read.
        self.check_store()?;
        let checked = |(&slot, tally): (&SlotId, &Tally)| CheckedSlot {
            slot,
            objects: tally.objects,
            opened: tally.session.is_some().then_some(tally.opened),
        };
        Ok(check.tallies.iter().map(checked).collect())
    }

    /// Copies the store as it is now to `file`; its size in bytes.
    ///
    /// # Errors
    /// As [`Store::backup`](slotfs_store::Store::backup).
    pub fn backup(&self, file: &Path, replace: bool, stop: &dyn Fn() -> bool) -> Result<u64> {
        Ok(self.store.backup(file, replace, stop)?)
    }
}

impl Hsm {
    /// Copies the store as it is now to `to`, a file or a location in a cluster where nothing is.
    ///
    /// # Errors
    /// As [`Store::copy_to`](slotfs_store::Store::copy_to).
    pub fn copy_to(&self, to: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
        Ok(self.store.copy_to(to, stop)?)
    }
}

#[derive(Default)]
struct Tally {
    objects: u64,
    opened: u64,
    session: Option<Arc<Session>>,
}

struct Check<'a> {
    hsm: &'a Hsm,
    tallies: BTreeMap<SlotId, Tally>,
    found: &'a mut dyn FnMut(Finding),
}

impl Check<'_> {
    /// Something in the slot is wrong.
    fn tell(&mut self, slot: SlotId, what: impl Into<String>) {
        self.find(Some(slot), None, None, what);
    }

    /// One of the slot's objects is wrong.
    fn tell_object(&mut self, slot: SlotId, handle: Option<i64>, row: i64, what: String) {
        self.find(Some(slot), handle, Some(row), what);
    }

    /// Something is wrong that belongs to no slot.
    fn tell_store(&mut self, row: Option<i64>, what: impl Into<String>) {
        self.find(None, None, row, what);
    }

    /// What `read` says of a slot's rows, where it says that they are damaged.
    fn tell_damage<T>(&mut self, slot: SlotId, read: store::Result<T>) {
        let why = read.err();
        if let Some(store::Error::Slot {
            why: SlotFault::Damaged(what),
            ..
        }) = why
        {
            self.tell(slot, what);
        }
    }

    fn find(
        &mut self,
        slot: Option<SlotId>,
        handle: Option<i64>,
        row: Option<i64>,
        what: impl Into<String>,
    ) {
        (self.found)(Finding {
            slot,
            handle,
            row,
            what: what.into(),
        });
    }

    fn file(&mut self) -> Result<()> {
        for what in self.hsm.store.check_file()? {
            self.tell_store(None, what);
        }
        let orphans = match self.hsm.store.orphans()? {
            Ok(orphans) => orphans,
            Err(what) => {
                self.tell_store(None, format!("the objects cannot all be read: {what}"));
                return Ok(());
            }
        };
        for (id, slot, handle) in orphans {
            let whose = match (slot, handle) {
                (Ok(slot), Ok(handle)) => {
                    format!("object {handle} of slot {slot}, which does not exist")
                }
                (Ok(slot), Err(_)) => format!("an object of slot {slot}, which does not exist"),
                (Err(what), _) => format!("an object of no slot: {what}"),
            };
            self.tell_store(Some(id), format!("row {id} is {whose}"));
        }
        Ok(())
    }

    fn contradictions(&mut self) -> Result<()> {
        for listed in self.hsm.slots()? {
            if let (None, Err(Error::Damaged(what))) = (listed.slot, listed.row) {
                self.tell_store(None, what);
            }
        }
        for it in self.hsm.store.contradictions()? {
            self.find(it.slot, None, it.row, it.what);
        }
        Ok(())
    }

    /// Takes in what other processes did to the slot, and who is logged in to it now.
    fn follow(&mut self, slot: SlotId) -> Result<()> {
        self.hsm.refresh()?;
        let session = self.hsm.partition(slot).session().ok();
        if let Some(tally) = self.tallies.get_mut(&slot) {
            tally.session = session.filter(|session| session.role() != Role::Po);
        }
        Ok(())
    }
}
