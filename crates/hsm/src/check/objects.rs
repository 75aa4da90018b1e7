//! Objects and the trash: each row is read and, where somebody is logged in, opened.

use std::sync::Arc;

use super::super::put::stored_secs;
use super::super::{Error, Result, Session, SlotFault};
use super::Check;
use slotfs_object::sealed::SealedRow;
use slotfs_object::{SlotId, codec};
use slotfs_store::{self as store, Entry, ObjectRow, Seen};

/// Rows between two looks at what other processes did.
const AT_ONCE: u32 = 256;
/// How often one row is read again because its slot changed meanwhile.
const TRIES: usize = 16;

impl Check<'_> {
    /// The login to the slot, where it opens objects.
    pub(super) fn session(&self, slot: SlotId) -> Option<Arc<Session>> {
        self.tallies.get(&slot)?.session.clone()
    }

    /// Every object, a page of rows at a time, around pages that cannot be read.
    pub(super) fn objects(&mut self) -> Result<()> {
        let mut after = i64::MIN;
        loop {
            let (ids, ended) = self.hsm.store.object_rows(after, AT_ONCE)?;
            for &id in &ids {
                self.object(id, None)?;
            }
            after = match (ids.last(), ended) {
                (Some(&last), _) => last,
                (None, Ok(())) => return Ok(()),
                (None, Err(what)) => match self.behind(after, &what)? {
                    Some(next) => next,
                    None => return Ok(()),
                },
            };
        }
    }

    /// Objects in the trash must open too, so that they can be restored.
    pub(super) fn trash(&mut self, slot: SlotId) -> Result<()> {
        // A store of an earlier version, never opened for writing since, has no count yet: that is no finding.
        let wrong = match self.hsm.store.count_trash(slot)? {
            Ok((Some(Ok(kept)), there)) if kept != there => Some(format!(
                "it counts {kept} objects in its trash, but has {there}"
            )),
            Ok((Some(Err(what)), _)) => Some(format!("the count of its trash is damaged: {what}")),
            Ok((None, there)) if there > 0 => Some(format!(
                "the count of the {there} objects in its trash is missing"
            )),
            Ok(_) => None,
            Err(what) => Some(format!("its trash cannot be counted: {what}")),
        };
        if let Some(what) = wrong {
            self.tell(slot, what);
        }
        let mut after = i64::MIN;
        loop {
            self.follow(slot)?;
            let (rows, ended) = self.hsm.store.trash_rows(slot, after, AT_ONCE)?;
            for row in &rows {
                self.trashed(slot, row)?;
            }
            match (rows.last(), ended) {
                (_, Err(what)) => {
                    self.tell(slot, format!("its trash cannot all be read: {what}"));
                    return Ok(());
                }
                (Some(last), Ok(())) => after = last.id,
                (None, Ok(())) => return Ok(()),
            }
        }
    }

    fn trashed(&mut self, slot: SlotId, row: &ObjectRow) -> Result<()> {
        let opened = match (self.session(slot), row.entry()) {
            (Some(session), Some((entry, sealed))) => match examine(&session, &entry, &sealed) {
                // The slot was sealed again meanwhile, as after a password reset.
                Err(_) if !self.is_of_now(&session)? => None,
                outcome => outcome.err(),
            },
            _ => None,
        };
        for what in row.faults().into_iter().chain(opened) {
            self.tell_object(slot, row.handle, row.id, format!("in the trash: {what}"));
        }
        Ok(())
    }

    /// The rows after `after` cannot be read: finds them, and the row where reading continues. `None` at the end.
    fn behind(&mut self, after: i64, why: &str) -> Result<Option<i64>> {
        let (mut stride, mut next) = (1_i64, None);
        // slotfs numbers rows from 1; other rows below end with the first stride.
        let mut from = after.max(0);
        while let Some(further) = from.checked_add(stride) {
            from = further;
            stride = stride.saturating_mul(2);
            if let (ids, Ok(())) = self.hsm.store.object_rows(from, 1)? {
                next = ids.first().copied();
                break;
            }
        }
        let before = next.unwrap_or(i64::MAX);
        match self.hsm.store.indexed_between(after, before)? {
            Ok(objects) => {
                for (id, slot, handle) in objects {
                    self.object(id, slot.ok().zip(handle.ok()))?;
                }
            }
            Err(what) => {
                let what = format!(
                    "objects after row {after} cannot be read ({why}), nor what they are ({what})"
                );
                self.tell_store(None, what);
            }
        }
        // That one is read again as the first of the next page.
        Ok(next.map(|next| next - 1))
    }

    /// One object; `named` is what an index says of a row that may not be readable.
    fn object(&mut self, id: i64, named: Option<(i64, i64)>) -> Result<()> {
        let mut changed = None;
        for _ in 0..TRIES {
            let row = match self.hsm.store.look_object(id)? {
                Ok(Some(row)) => row,
                // Destroyed since it was listed.
                Ok(None) => return Ok(()),
                Err(what) => {
                    self.unreadable(id, named, &what);
                    return Ok(());
                }
            };
            let slot = row.slot.and_then(|slot| u32::try_from(slot).ok());
            let Some(slot) = slot
                .map(SlotId)
                .filter(|slot| self.tallies.contains_key(slot))
            else {
                // In a slot that was not asked for, or an orphan.
                return Ok(());
            };
            let opened = match (self.session(slot), row.entry()) {
                (Some(session), Some((entry, sealed))) => {
                    match examine(&session, &entry, &sealed) {
                        Err(_) if !self.is_still(&session, &row)? => {
                            self.follow(slot)?;
                            changed = Some(slot);
                            continue;
                        }
                        outcome => Some(outcome),
                    }
                }
                _ => None,
            };
            if let Some(tally) = self.tallies.get_mut(&slot) {
                tally.objects += 1;
                tally.opened += u64::from(opened == Some(Ok(())));
            }
            for what in row.faults().into_iter().chain(opened.and_then(Seen::err)) {
                self.tell_object(slot, row.handle, row.id, what);
            }
            return Ok(());
        }
        Err(changed.map_or(Error::Gone, |slot| SlotFault::Changed.at(slot).into()))
    }

    fn unreadable(&mut self, id: i64, named: Option<(i64, i64)>, why: &str) {
        let what = format!("its row cannot be read: {why}");
        let slot = named.and_then(|(slot, _)| u32::try_from(slot).ok().map(SlotId));
        match (slot, named) {
            (Some(slot), _) if !self.tallies.contains_key(&slot) => {}
            (Some(slot), Some((_, handle))) => self.tell_object(slot, Some(handle), id, what),
            _ => self.tell_store(Some(id), format!("object: {what}")),
        }
    }

    fn is_of_now(&self, session: &Session) -> Result<bool> {
        match self.hsm.store.slot(session.slot()) {
            Ok(now) => Ok(now.as_version() == session.row().as_version()),
            Err(store::Error::Slot { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether row and session are of the slot as it is now: only then is a row that does not open damaged.
    fn is_still(&self, session: &Session, row: &ObjectRow) -> Result<bool> {
        Ok(self.is_of_now(session)?
            && self.hsm.store.look_object(row.id)?.as_ref() == Ok(&Some(row.clone())))
    }
}

/// Opens an object as a reader of its file does, then seals it as a blob and opens that.
fn examine(session: &Session, entry: &Entry, sealed: &SealedRow) -> Seen<()> {
    let payload = session
        .open_row(entry.place(), sealed)
        .map_err(|_| "it does not open: its row was changed or moved".to_owned())?;
    let object = codec::decode(payload.bytes())
        .map_err(|why| format!("its payload does not decode: {why:?}"))?;
    let (ouid, bytes) = (object.ouid, payload.bytes().len());
    if ouid != entry.ouid {
        return Err(format!("its payload has the identity {ouid}"));
    }
    if bytes != entry.payload_bytes as usize {
        return Err(format!("its payload has {bytes} bytes"));
    }
    let times = (object.created_secs, object.changed_secs());
    if (stored_secs(times.0), times.1.map(stored_secs)) != (entry.created_secs, entry.changed_secs)
    {
        return Err("its payload has another time".to_owned());
    }
    let blob = session
        .seal_blob(payload.bytes())
        .map_err(|why| format!("it cannot be sealed: {why}"))?;
    match session.open_blob(&blob) {
        Ok(again) if again == payload => Ok(()),
        Ok(_) => Err("sealed and opened again, it is another".to_owned()),
        Err(why) => Err(format!("sealed, it does not open again: {why}")),
    }
}
