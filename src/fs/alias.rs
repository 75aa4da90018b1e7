//! Aliases: names that are not handles and still lead to objects, for tools that write under a name of their own and
//! rename afterwards. Aliases are held in memory, are not listed, and end with the mount.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuser::FileHandle;

use super::lock;
use super::node::AliasId;
use super::staging::Place;
use crate::error::{IncomingError, Result};
use crate::hsm::{ObjectFile, Wish};
use crate::object::{Handle, RowId, SlotId};

mod requests;
#[cfg(test)]
mod tests;

/// The most aliases of one slot.
const MOST_OF_A_SLOT: usize = 10_000;
/// The most aliases to remember after their end, for descriptors that still have their inodes.
const MOST_ENDED: usize = 10_000;
/// An unused alias ends after this long.
const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// One alias.
#[derive(Clone)]
pub struct Alias {
    /// Its number.
    pub id: AliasId,
    /// Its folder.
    pub place: Place,
    /// The name itself.
    pub name: Arc<OsStr>,
    /// The name that an object written to it is to have.
    pub wish: Wish,
    /// The row of the object that it leads to, once one is stored.
    pub row: Option<RowId>,
    /// The open files that write to it, in the order in which they were opened.
    pub writers: Vec<FileHandle>,
    /// Made as mkstemp(3) makes a file, and empty since. It stays for the next program that opens it by its name.
    pub placeholder: bool,
    /// The handle under which a write to it stored its object; valid only while `Table::owners` has the alias too.
    owns: Option<Handle>,
    used: Instant,
}

/// Every alias of a mount.
#[derive(Default)]
pub struct Aliases(Mutex<Table>);

#[derive(Default)]
struct Table {
    last_id: u64,
    aliases: BTreeMap<AliasId, Alias>,
    /// No place in it is empty.
    places: HashMap<Place, HashMap<Arc<OsStr>, AliasId>>,
    of_slot: HashMap<SlotId, usize>,
    /// The aliases that lead to each row.
    rows: HashMap<RowId, BTreeSet<AliasId>>,
    /// The alias whose write stored the object of a handle, until a later request that succeeds names the handle.
    owners: HashMap<(SlotId, Handle), AliasId>,
    /// The rows of aliases that have ended: a descriptor still has attributes.
    ended: BTreeMap<AliasId, (SlotId, RowId)>,
}

impl Table {
    fn find(&mut self, place: Place, name: &OsStr, now: Instant) -> Option<&mut Alias> {
        let id = *self.places.get(&place)?.get(name)?;
        let alias = self.aliases.get(&id)?;
        if alias.writers.is_empty() && now.duration_since(alias.used) > LONGEST_IDLE {
            self.end(id);
        }
        let alias = self.aliases.get_mut(&id)?;
        alias.used = now;
        Some(alias)
    }

    /// From now on the alias leads nowhere and owns nothing.
    fn detach(&mut self, id: AliasId) {
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

    fn end(&mut self, id: AliasId) {
        self.detach(id);
        if let Some(Alias { place, name, .. }) = self.aliases.remove(&id) {
            if let Some(names) = self.places.get_mut(&place) {
                names.remove(&name);
                if names.is_empty() {
                    self.places.remove(&place);
                }
            }
            if let Some(count) = self.of_slot.get_mut(&place.slot) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Ends an alias that leads nowhere and that nobody writes to.
    fn tidy(&mut self, id: AliasId) {
        let idle =
            |alias: &Alias| alias.row.is_none() && alias.writers.is_empty() && !alias.placeholder;
        if self.aliases.get(&id).is_some_and(idle) {
            self.end(id);
        }
    }
}

impl Aliases {
    /// The alias of that name.
    pub fn find(&self, place: Place, name: &OsStr) -> Option<Alias> {
        let mut table = lock(&self.0);
        table.find(place, name, Instant::now()).cloned()
    }

    /// The alias of that number.
    pub fn by_id(&self, id: AliasId) -> Option<Alias> {
        let mut table = lock(&self.0);
        let alias = table.aliases.get_mut(&id)?;
        alias.used = Instant::now();
        Some(alias.clone())
    }

    /// The slot of the alias, and the row of the object that it leads to, or led to when it ended.
    pub fn target(&self, id: AliasId) -> Option<(SlotId, RowId)> {
        let table = lock(&self.0);
        let there = table.aliases.get(&id);
        match there.and_then(|alias| Some((alias.place.slot, alias.row?))) {
            None => table.ended.get(&id).copied(),
            target => target,
        }
    }

    /// The slot in which the alias is, or was.
    pub fn slot(&self, id: AliasId) -> Option<SlotId> {
        let table = lock(&self.0);
        let there = table.aliases.get(&id).map(|alias| alias.place.slot);
        there.or_else(|| table.ended.get(&id).map(|(slot, _)| *slot))
    }

    /// Opens an alias for the open file `file`, which writes to it, and returns its number; makes the alias if there is
    /// none. A new alias stays as a `placeholder` if nothing is written to it. If the slot has too many aliases, the oldest
    /// one that nobody writes to ends.
    ///
    /// # Errors
    /// [`IncomingError::StagingFull`], if every alias of the slot is being written to.
    pub fn open(
        &self,
        (place, name, wish): (Place, &OsStr, Wish),
        file: FileHandle,
        placeholder: bool,
    ) -> Result<AliasId> {
        let (mut table, now) = (lock(&self.0), Instant::now());
        if let Some(there) = table.find(place, name, now) {
            there.writers.push(file);
            there.placeholder = false;
            return Ok(there.id);
        }
        let slot = place.slot;
        if table.of_slot.get(&slot).copied().unwrap_or(0) >= MOST_OF_A_SLOT {
            let closed = |it: &&Alias| it.place.slot == slot && it.writers.is_empty();
            let oldest = table.aliases.values().find(closed).map(|alias| alias.id);
            table.end(oldest.ok_or(IncomingError::StagingFull.at(slot))?);
        }
        table.last_id += 1;
        let id = AliasId(table.last_id);
        let name: Arc<OsStr> = name.into();
        let names = table.places.entry(place).or_default();
        names.insert(Arc::clone(&name), id);
        *table.of_slot.entry(slot).or_default() += 1;
        table.aliases.insert(
            id,
            Alias {
                id,
                place,
                name,
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

    /// The open file `file` is closed, and `empty` if nothing was written to it. If it was to make the alias and did not,
    /// the alias ends.
    pub fn closed(&self, id: AliasId, file: FileHandle, empty: bool) {
        let mut table = lock(&self.0);
        if let Some(alias) = table.aliases.get_mut(&id) {
            alias.placeholder &= empty;
            alias.writers.retain(|writer| *writer != file);
            alias.used = Instant::now();
        }
        table.tidy(id);
    }

    /// A write to the alias succeeded: from now on it leads to `object`. `stored` says that this write stored the object.
    pub fn leads_to(&self, id: AliasId, object: &ObjectFile, stored: bool) {
        let mut table = lock(&self.0);
        table.detach(id);
        let Some(alias) = table.aliases.get_mut(&id) else {
            return;
        };
        let row = object.id;
        alias.row = Some(row);
        alias.placeholder = false;
        alias.used = Instant::now();
        alias.owns = stored.then_some(object.handle);
        table.ended.remove(&id);
        table.rows.entry(row).or_default().insert(id);
        if stored {
            table.owners.insert((object.slot, object.handle), id);
        }
    }

    /// A request other than a removal succeeded with the object of that handle. Its program relies on the object, so no
    /// alias takes it along any more.
    pub fn named(&self, slot: SlotId, handle: Handle) {
        lock(&self.0).owners.remove(&(slot, handle));
    }

    /// Whether only this alias needs the object.
    pub fn owns(&self, id: AliasId, object: &ObjectFile) -> bool {
        lock(&self.0).owners.get(&(object.slot, object.handle)) == Some(&id)
    }

    /// Ends an alias.
    pub fn end(&self, id: AliasId) {
        lock(&self.0).end(id);
    }

    /// The object in that row has left its slot: the aliases that lead to it end.
    pub fn left(&self, row: RowId) {
        let mut table = lock(&self.0);
        for id in table.rows.get(&row).cloned().unwrap_or_default() {
            table.detach(id);
            table.tidy(id);
        }
    }

    /// Ends all aliases of a slot.
    pub fn clear(&self, slot: SlotId) {
        let mut table = lock(&self.0);
        let here = table.aliases.values().filter(|it| it.place.slot == slot);
        let ids: Vec<AliasId> = here.map(|it| it.id).collect();
        for id in ids {
            table.end(id);
        }
        table.ended.retain(|_, (of, _)| *of != slot);
    }
}
