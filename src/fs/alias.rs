//! Aliases: names that are no handles and yet lead to objects, for tools that write under a name of their own and rename
//! afterwards. Held in memory, not listed, gone with the mount.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::staging::Place;
use crate::error::{IncomingError, Result};
use crate::hsm::{ObjectFile, Wish};
use crate::object::{Handle, SlotId};

mod requests;
#[cfg(test)]
mod tests;

/// The most aliases of one slot.
const MOST_OF_A_SLOT: usize = 10_000;
/// The most aliases that have ended and whose inode somebody may still hold.
const MOST_ENDED: usize = 10_000;
/// An alias that nobody uses ends after this long.
const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// One alias.
#[derive(Clone)]
pub struct Alias {
    /// Its number, which its inode number is made of.
    pub id: u64,
    /// Where it stands.
    pub place: Place,
    /// The name itself.
    pub name: OsString,
    /// What is written to it is to be called this.
    pub wish: Wish,
    /// The row of the object that it leads to, once one was stored.
    pub row: Option<i64>,
    /// The open files that write to it, in the order in which they were opened.
    pub writers: Vec<u64>,
    /// Made as mkstemp(3) makes a file, and empty since: it stays, for the next who opens it by its name.
    pub placeholder: bool,
    /// The handle under which its own write stored its object, if the table's `owners` still say so.
    owns: Option<Handle>,
    used: Instant,
}

/// Every alias of a mount.
#[derive(Default)]
pub struct Aliases(Mutex<Table>);

#[derive(Default)]
struct Table {
    last_id: u64,
    aliases: BTreeMap<u64, Alias>,
    names: BTreeMap<(Place, OsString), u64>,
    of_slot: HashMap<SlotId, usize>,
    /// The aliases that lead to each row.
    rows: HashMap<i64, BTreeSet<u64>>,
    /// Whose own write stored the object of a handle that no later success named. At most one alias for each.
    owners: HashMap<(SlotId, Handle), u64>,
    /// The rows of aliases that have ended: a descriptor still has attributes.
    ended: BTreeMap<u64, (SlotId, i64)>,
}

impl Table {
    fn find(&mut self, place: Place, name: &OsStr, now: Instant) -> Option<&mut Alias> {
        let id = *self.names.get(&(place, name.to_owned()))?;
        let alias = self.aliases.get(&id)?;
        if alias.writers.is_empty() && now.duration_since(alias.used) > LONGEST_IDLE {
            self.end(id);
        }
        let alias = self.aliases.get_mut(&id)?;
        alias.used = now;
        Some(alias)
    }

    /// Opens `name` for the writer `file`; where all names of the slot are taken, the oldest one that nobody writes to
    /// is forgotten.
    fn open(
        &mut self,
        (place, name, wish): (Place, &OsStr, Wish),
        file: u64,
        placeholder: bool,
        now: Instant,
    ) -> Result<u64> {
        if let Some(there) = self.find(place, name, now) {
            there.writers.push(file);
            there.placeholder = false;
            return Ok(there.id);
        }
        let slot = place.slot;
        if self.of_slot.get(&slot).copied().unwrap_or(0) >= MOST_OF_A_SLOT {
            let mut closed = self
                .aliases
                .values()
                .filter(|it| it.place.slot == slot && it.writers.is_empty());
            let oldest = closed.next().map(|alias| alias.id);
            self.end(oldest.ok_or(IncomingError::StagingFull.at(slot))?);
        }
        self.last_id += 1;
        let id = self.last_id;
        self.names.insert((place, name.to_owned()), id);
        *self.of_slot.entry(slot).or_default() += 1;
        self.aliases.insert(
            id,
            Alias {
                id,
                place,
                name: name.to_owned(),
                wish,
                row: None,
                writers: vec![file],
                placeholder,
                owns: None,
                used: now,
            },
        );
        Ok(id)
    }

    /// The alias leads nowhere, and owns nothing.
    fn detach(&mut self, id: u64) {
        let Some(alias) = self.aliases.get_mut(&id) else {
            return;
        };
        let slot = alias.place.slot;
        if let Some(row) = alias.row.take() {
            if let Some(ids) = self.rows.get_mut(&row) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.rows.remove(&row);
                }
            }
            if let Some(handle) = alias.owns.take()
                && self.owners.get(&(slot, handle)) == Some(&id)
            {
                self.owners.remove(&(slot, handle));
            }
            self.ended.insert(id, (slot, row));
            if self.ended.len() > MOST_ENDED {
                self.ended.pop_first();
            }
        }
    }

    fn end(&mut self, id: u64) {
        self.detach(id);
        if let Some(Alias { place, name, .. }) = self.aliases.remove(&id) {
            self.names.remove(&(place, name));
            if let Some(count) = self.of_slot.get_mut(&place.slot) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Ends an alias that leads nowhere and that nobody writes to.
    fn tidy(&mut self, id: u64) {
        let idle =
            |alias: &Alias| alias.row.is_none() && alias.writers.is_empty() && !alias.placeholder;
        if self.aliases.get(&id).is_some_and(idle) {
            self.end(id);
        }
    }
}

impl Aliases {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The alias of that name.
    pub fn find(&self, place: Place, name: &OsStr) -> Option<Alias> {
        let mut table = self.table();
        table.find(place, name, Instant::now()).cloned()
    }

    /// The alias of that number.
    pub fn by_id(&self, id: u64) -> Option<Alias> {
        let mut table = self.table();
        let alias = table.aliases.get_mut(&id)?;
        alias.used = Instant::now();
        Some(alias.clone())
    }

    /// The slot of the alias, and the row of the object that it leads to, or led to when it ended.
    pub fn target(&self, id: u64) -> Option<(SlotId, i64)> {
        let table = self.table();
        let there = table.aliases.get(&id);
        match there.and_then(|alias| Some((alias.place.slot, alias.row?))) {
            None => table.ended.get(&id).copied(),
            target => target,
        }
    }

    /// The slot in which the alias stands, or stood.
    pub fn slot(&self, id: u64) -> Option<SlotId> {
        let table = self.table();
        let there = table.aliases.get(&id).map(|alias| alias.place.slot);
        there.or_else(|| table.ended.get(&id).map(|(slot, _)| *slot))
    }

    /// Opens an alias, or makes it, for the open file `file`, which writes to it; its number. A new one stays as a
    /// `placeholder` if nothing is written to it.
    ///
    /// # Errors
    /// [`Error::StagingFull`], when every alias of the slot is being written to.
    pub fn open(&self, alias: (Place, &OsStr, Wish), file: u64, placeholder: bool) -> Result<u64> {
        self.table().open(alias, file, placeholder, Instant::now())
    }

    /// The open file `file` is closed, and `empty` if nothing was written to it: an alias that it was to make and did not
    /// make is gone.
    pub fn closed(&self, id: u64, file: u64, empty: bool) {
        let mut table = self.table();
        if let Some(alias) = table.aliases.get_mut(&id) {
            alias.placeholder &= empty;
            alias.writers.retain(|writer| *writer != file);
            alias.used = Instant::now();
        }
        table.tidy(id);
    }

    /// A write to the alias succeeded: from now on it leads to `object`, which this very write stored if `stored`.
    pub fn leads_to(&self, id: u64, object: &ObjectFile, stored: bool) {
        let mut table = self.table();
        table.detach(id);
        let Some(alias) = table.aliases.get_mut(&id) else {
            return;
        };
        alias.row = Some(object.id);
        alias.placeholder = false;
        alias.used = Instant::now();
        alias.owns = stored.then_some(object.handle);
        table.ended.remove(&id);
        table.rows.entry(object.id).or_default().insert(id);
        if stored {
            table.owners.insert((object.slot, object.handle), id);
        }
    }

    /// Something else than removing succeeded with the object of that handle: whoever did that relies on it, so that no
    /// alias takes it along any more.
    pub fn named(&self, slot: SlotId, handle: Handle) {
        self.table().owners.remove(&(slot, handle));
    }

    /// Whether the object is there by this alias alone.
    pub fn owns(&self, id: u64, object: &ObjectFile) -> bool {
        self.table().owners.get(&(object.slot, object.handle)) == Some(&id)
    }

    /// Ends an alias.
    pub fn end(&self, id: u64) {
        self.table().end(id);
    }

    /// The object in that row has left its slot: the aliases that lead to it end.
    pub fn left(&self, row: i64) {
        let mut table = self.table();
        for id in table.rows.get(&row).cloned().unwrap_or_default() {
            table.detach(id);
            table.tidy(id);
        }
    }

    /// Forgets all aliases of a slot.
    pub fn clear(&self, slot: SlotId) {
        let mut table = self.table();
        let here = |alias: &&Alias| alias.place.slot == slot;
        let ids: Vec<u64> = table
            .aliases
            .values()
            .filter(here)
            .map(|it| it.id)
            .collect();
        for id in ids {
            table.end(id);
        }
        table.ended.retain(|_, (of, _)| *of != slot);
    }
}
