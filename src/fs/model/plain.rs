//! The model: what slots, trashes and open files are, in a few lines of plain data.

use std::collections::BTreeMap;

use super::{ALIASES, OBJECTS, PIECES, SLOTS, Way};
use crate::fs::incoming::Ends;

/// Success, or the errno.
pub type Verdict = Result<(), i32>;

/// Everything that can be seen.
pub struct Model {
    pub slots: Vec<Slot>,
    pub files: Vec<File>,
}

/// Objects by handle, aliases by number, and the trash in no order.
#[derive(Clone, Default)]
pub struct Slot {
    pub objects: BTreeMap<u32, usize>,
    pub aliases: BTreeMap<usize, Alias>,
    pub trash: Vec<Trashed>,
}

impl Slot {
    fn named(&mut self, object: usize) {
        for alias in self.aliases.values_mut() {
            alias.owns &= alias.object != object;
        }
    }

    fn left(&mut self, object: usize) {
        self.aliases.retain(|_, alias| alias.object != object);
    }
}

/// What an alias leads to, and whether that goes with it.
#[derive(Clone, Copy)]
pub struct Alias {
    pub object: usize,
    pub owns: bool,
}

#[derive(Clone)]
pub struct Trashed {
    pub handle: u32,
    pub nth: u32,
    pub object: usize,
}

impl Trashed {
    pub fn name(&self) -> String {
        match self.nth {
            1 => self.handle.to_string(),
            nth => format!("{}.{nth}", self.handle),
        }
    }
}

/// A file open for writing one object's blob, in pieces.
pub struct File {
    slot: u32,
    wish: u32,
    pub object: usize,
    way: Way,
    /// ftruncate(0) came.
    cut: bool,
    /// Which pieces were written, and whether as they should be.
    pieces: [Option<bool>; PIECES],
    /// Once there was a verdict.
    verdict: Option<Verdict>,
}

impl File {
    pub fn new(slot: u32, wish: u32, object: usize, way: Way) -> Self {
        Self {
            slot,
            wish,
            object,
            way,
            cut: false,
            pieces: [None; PIECES],
            verdict: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.pieces.iter().all(Option::is_some)
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS as usize],
            files: Vec::new(),
        }
    }
}

impl Model {
    fn slot(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    pub fn handle_of(&self, slot: u32, object: usize) -> Option<u32> {
        let objects = &self.slots[slot as usize].objects;
        objects
            .iter()
            .find(|(_, it)| **it == object)
            .map(|(handle, _)| *handle)
    }

    fn shares_domain(object: usize, slot: u32) -> bool {
        (object < OBJECTS) == (slot < 2)
    }

    /// A good blob of `object` comes in under the handle `wish`.
    pub fn import(&mut self, object: usize, slot: u32, wish: u32) -> Verdict {
        if !Self::shares_domain(object, slot) {
            return Err(libc::EACCES);
        }
        if self.handle_of(slot, object).is_none() {
            let objects = &mut self.slot(slot).objects;
            let free = (wish..).find(|handle| !objects.contains_key(handle));
            objects.insert(free.unwrap(), object);
        }
        self.slot(slot).named(object);
        Ok(())
    }

    fn after_all(&self, slot: u32) -> u32 {
        let objects = &self.slots[slot as usize].objects;
        objects.keys().last().copied().unwrap_or(0) + 1
    }

    /// A blob of `object` comes in under an alias.
    pub fn write_alias(&mut self, slot: u32, alias: usize, object: usize, good: bool) -> Verdict {
        if !good {
            return Err(libc::EACCES);
        }
        let owns = self.handle_of(slot, object).is_none();
        let wish = ALIASES[alias].1.unwrap_or_else(|| self.after_all(slot));
        self.import(object, slot, wish)?;
        let leads_to = Alias { object, owns };
        self.slot(slot).aliases.insert(alias, leads_to);
        Ok(())
    }

    pub fn rename_alias(&mut self, (slot, alias): (u32, usize), (to, wish): (u32, u32)) -> Verdict {
        let there = self.slots[slot as usize].aliases.get(&alias).copied();
        let Alias { object, .. } = there.ok_or(libc::ENOENT)?;
        let handle = self.handle_of(slot, object).unwrap();
        if slot != to {
            return self.rename((slot, handle), (to, wish));
        }
        if !self.slots[slot as usize].objects.contains_key(&wish) {
            self.rename((slot, handle), (slot, wish))?;
        }
        self.slot(slot).named(object);
        self.slot(slot).aliases.remove(&alias);
        Ok(())
    }

    pub fn unlink_alias(&mut self, slot: u32, alias: usize) -> Verdict {
        let Alias { object, owns } = self.slot(slot).aliases.remove(&alias).ok_or(libc::ENOENT)?;
        match owns {
            true => self.unlink(slot, self.handle_of(slot, object).unwrap()),
            false => Ok(()),
        }
    }

    /// The same under an identity: the handle that it has at another slot that is logged in, or the one after all.
    pub fn import_as(&mut self, object: usize, named: usize, slot: u32) -> Verdict {
        if !Self::shares_domain(object, slot) || object != named {
            return Err(libc::EACCES);
        }
        let elsewhere = (0..SLOTS)
            .filter(|other| *other != slot)
            .find_map(|other| self.handle_of(other, object));
        let after_all = self.after_all(slot);
        self.import(object, slot, elsewhere.unwrap_or(after_all))
    }

    fn judge(&mut self, file: usize) -> Verdict {
        let it = &self.files[file];
        let good = it.pieces.iter().all(|piece| *piece == Some(true));
        let (object, slot, wish) = (it.object, it.slot, it.wish);
        let verdict = match good {
            true => self.import(object, slot, wish),
            false => Err(libc::EACCES),
        };
        self.files[file].verdict = Some(verdict);
        verdict
    }

    pub fn write(&mut self, file: usize, piece: usize, good: bool) -> Verdict {
        let it = &mut self.files[file];
        match it.verdict {
            None => {
                it.pieces[piece] = Some(good);
                match it.way {
                    Way::Plain if !it.cut => Ok(()),
                    _ if it.is_complete() => self.judge(file),
                    _ => Ok(()),
                }
            }
            // The same bytes again change nothing; others are not what was stored.
            Some(Ok(())) if good => Ok(()),
            Some(Ok(())) => {
                it.verdict = Some(Err(libc::EACCES));
                Err(libc::EACCES)
            }
            Some(refused) => refused,
        }
    }

    /// ftruncate to nothing.
    pub fn cut(&mut self, file: usize) -> Verdict {
        let it = &mut self.files[file];
        match it.verdict {
            Some(Err(errno)) => Err(errno),
            _ => {
                it.pieces = [None; PIECES];
                it.verdict = None;
                it.cut = true;
                Ok(())
            }
        }
    }

    pub fn flush(&mut self, file: usize, ends: Ends) -> Verdict {
        let it = &self.files[file];
        let nothing = it.pieces.iter().all(Option::is_none);
        match it.verdict {
            Some(verdict) => verdict,
            // No object is made empty.
            None if nothing && it.way == Way::Plain && it.cut => Err(libc::EPERM),
            None if nothing && it.way != Way::Excl => Ok(()),
            None if it.is_complete() => self.judge(file),
            None if ends == Ends::Sync => Ok(()),
            None => Err(libc::EACCES),
        }
    }

    pub fn rename(&mut self, (slot, handle): (u32, u32), (to, wish): (u32, u32)) -> Verdict {
        let there = self.slots[slot as usize].objects.get(&handle).copied();
        let object = there.ok_or(libc::ENOENT)?;
        if (slot, handle) == (to, wish) {
            self.slot(slot).named(object);
            return Ok(());
        }
        let taken = self.slots[to as usize].objects.get(&wish);
        if slot == to {
            if taken.is_some() {
                return Err(libc::EEXIST);
            }
        } else if !Self::shares_domain(object, to) {
            return Err(libc::EACCES);
        } else if self.handle_of(to, object).is_some() {
            self.slot(slot).objects.remove(&handle);
            self.slot(slot).left(object);
            self.slot(to).named(object);
            return Ok(());
        } else if taken.is_some() {
            return Err(libc::EEXIST);
        }
        if slot != to {
            self.slot(slot).left(object);
        }
        self.slot(slot).objects.remove(&handle);
        self.slot(to).objects.insert(wish, object);
        self.slot(to).named(object);
        Ok(())
    }

    pub fn move_by_identity(&mut self, slot: u32, to: u32, object: usize) -> Verdict {
        let handle = self.handle_of(slot, object).ok_or(libc::ENOENT)?;
        if slot == to {
            self.slot(slot).named(object);
            return Ok(());
        }
        // The handle it has where that is free, else the one after all.
        let objects = &self.slots[to as usize].objects;
        let last = objects.keys().last().copied().unwrap_or(0);
        let wish = match objects.contains_key(&handle) {
            true => last + 1,
            false => handle,
        };
        self.rename((slot, handle), (to, wish))
    }

    pub fn unlink(&mut self, slot: u32, handle: u32) -> Verdict {
        let here = self.slot(slot);
        let object = here.objects.remove(&handle).ok_or(libc::ENOENT)?;
        here.left(object);
        // The same object, removed before, makes place.
        here.trash.retain(|it| it.object != object);
        let others = here.trash.iter().filter(|it| it.handle == handle);
        let nth = others.map(|it| it.nth).max().unwrap_or(0) + 1;
        here.trash.push(Trashed {
            handle,
            nth,
            object,
        });
        Ok(())
    }

    pub fn restore(&mut self, slot: u32, number: usize, wish: u32) -> Verdict {
        let object = self.slots[slot as usize].trash[number].object;
        if self.handle_of(slot, object).is_none() {
            let objects = &mut self.slot(slot).objects;
            if objects.contains_key(&wish) {
                return Err(libc::EEXIST);
            }
            objects.insert(wish, object);
        }
        self.slot(slot).named(object);
        self.slot(slot).trash.remove(number);
        Ok(())
    }
}
