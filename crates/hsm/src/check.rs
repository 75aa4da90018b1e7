//! `store check` and `store backup`: is everything there, and does it open?

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::init::is_label;
use super::{Error, Result, SlotFault};
use super::{Hsm, Partition, Session};
use slotfs_object::SlotId;
use slotfs_object::codec;
use slotfs_object::partition::Role;
use slotfs_object::sealed::SealedRow;
use slotfs_seal::blob::MAX_STANZAS;
use slotfs_store::{self as store, Count, Entry, ObjectRow, Part, Seen, SlotParts};

/// Rows between two looks at what other processes did.
const AT_ONCE: u32 = 256;
/// How often one row is read again because its slot changed meanwhile.
const TRIES: usize = 16;

/// One thing that does not hold.
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

/// How far the check of a slot got.
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
    /// `found` hears of everything that does not hold. Nothing is changed, and what others change meanwhile is no
    /// finding.
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
        // Of every slot, whichever are asked for: one that is damaged is told in any case.
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
            if let Err(store::Error::Slot {
                why: SlotFault::Damaged(what),
                ..
            }) = self.store.trash_count(slot)
            {
                check.tell(Some(slot), None, what);
            }
        }
        check.objects()?;
        for &slot in slots {
            check.trash(slot)?;
        }
        // What was looked at must be what is found at the store's path now.
        self.check_store()?;
        Ok(check
            .tallies
            .iter()
            .map(|(&slot, tally)| CheckedSlot {
                slot,
                objects: tally.objects,
                opened: tally.session.is_some().then_some(tally.opened),
            })
            .collect())
    }

    /// Copies the store as it is now to `file`; its size in bytes.
    ///
    /// # Errors
    /// As [`Store::backup`](slotfs_store::Store::backup).
    pub fn backup(&self, file: &Path, replace: bool, stop: &dyn Fn() -> bool) -> Result<u64> {
        Ok(self.store.backup(file, replace, stop)?)
    }
}

impl Partition<'_> {
    /// Counts the objects of a slot anew; whether the count was wrong. Nobody has to be logged in: a count is in clear, and
    /// what it is of stays as it is.
    ///
    /// # Errors
    /// As [`Store::recount`](slotfs_store::Store::recount).
    pub fn recount(&self) -> Result<bool> {
        let slot = self.slot;
        let wrong = self.hsm.store.recount(slot)?;
        if wrong {
            log::warn!("slot {slot}: the count of its objects was wrong, and was put right");
        }
        Ok(wrong)
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
    fn tell(&mut self, slot: Option<SlotId>, row: Option<i64>, what: impl Into<String>) {
        (self.found)(Finding {
            slot,
            handle: None,
            row,
            what: what.into(),
        });
    }

    fn tell_object(
        &mut self,
        slot: SlotId,
        handle: Option<i64>,
        row: i64,
        what: impl Into<String>,
    ) {
        (self.found)(Finding {
            slot: Some(slot),
            handle,
            row: Some(row),
            what: what.into(),
        });
    }

    fn file(&mut self) -> Result<()> {
        for what in self.hsm.store.check_file()? {
            self.tell(None, None, what);
        }
        match self.hsm.store.orphans()? {
            Ok(orphans) => {
                for (id, slot, handle) in orphans {
                    let what = match (slot, handle) {
                        (Ok(slot), Ok(handle)) => format!(
                            "row {id} is object {handle} of slot {slot}, which there is not"
                        ),
                        (Ok(slot), Err(_)) => {
                            format!("row {id} is an object of slot {slot}, which there is not")
                        }
                        (Err(what), _) => format!("row {id} is an object of no slot: {what}"),
                    };
                    self.tell(None, Some(id), what);
                }
            }
            Err(what) => self.tell(
                None,
                None,
                format!("the objects cannot all be read: {what}"),
            ),
        }
        Ok(())
    }

    fn contradictions(&mut self) -> Result<()> {
        for listed in self.hsm.slots()? {
            if let (None, Err(Error::Damaged(what))) = (listed.slot, listed.row) {
                self.tell(None, None, what);
            }
        }
        for it in self.hsm.store.contradictions()? {
            self.tell(it.slot, it.row, it.what);
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

    fn slot(&mut self, slot: SlotId, parts: &SlotParts) {
        let version = match &parts.row {
            Ok(row) => {
                if !is_label(&row.label) {
                    self.tell(
                        Some(slot),
                        None,
                        "its label is not 1 to 32 printable characters",
                    );
                }
                if row.header.bytes().len() <= SealedRow::OVERHEAD_BYTES {
                    self.tell(Some(slot), None, "its header is too short to be one");
                }
                Some(row.as_version())
            }
            Err(what) => {
                self.tell(
                    Some(slot),
                    None,
                    format!("its own row cannot be read: {what}"),
                );
                None
            }
        };
        let header = self
            .tallies
            .get(&slot)
            .and_then(|tally| tally.session.clone())
            // Changed between the two reads: its own process opened it before it wrote it.
            .filter(|session| Some(session.row().as_version()) == version)
            .map(|session| session.header().clone());
        let header = header.as_ref();
        self.parts(
            slot,
            "credential",
            &parts.credentials,
            header.map(|header| &header.credentials),
        );
        self.parts(
            slot,
            "domain",
            &parts.domains,
            header.map(|header| &header.domains),
        );
        self.parts(
            slot,
            "storage master key",
            &parts.smks,
            header.map(|header| &header.smks),
        );
        if let (Ok(row), Ok(smks)) = (&parts.row, &parts.smks)
            && smks.is_empty() == row.is_v1()
        {
            let what = format!(
                "it is {} and has {} storage master keys",
                row.version,
                smks.len()
            );
            self.tell(Some(slot), None, what);
        }
        // As a login reads them, key shares included.
        let readable = |parts: &[Part]| parts.iter().all(|part| part.faults.is_empty());
        if let Ok(rows) = &parts.credentials
            && readable(rows)
            && let Err(store::Error::Slot {
                why: SlotFault::Damaged(what),
                ..
            }) = self.hsm.store.credentials(slot)
        {
            self.tell(Some(slot), None, what);
        }
        match &parts.credentials {
            Ok(rows) if rows.is_empty() => self.tell(Some(slot), None, "it has no credential"),
            _ => {}
        }
        match &parts.domains {
            Ok(rows) if !(1..=MAX_STANZAS).contains(&rows.len()) => {
                let what = format!(
                    "it has {} domains, 1 to {MAX_STANZAS} is possible",
                    rows.len()
                );
                self.tell(Some(slot), None, what);
            }
            _ => {}
        }
    }

    /// `named`: the rows that the slot's opened header says count.
    fn parts(
        &mut self,
        slot: SlotId,
        what: &str,
        parts: &Seen<Vec<Part>>,
        named: Option<&Vec<i64>>,
    ) {
        let parts = match parts {
            Ok(parts) => parts,
            Err(why) => {
                return self.tell(
                    Some(slot),
                    None,
                    format!("its {what}s cannot be read: {why}"),
                );
            }
        };
        for part in parts {
            for fault in &part.faults {
                self.tell(Some(slot), Some(part.id), fault.as_str());
            }
            if named.is_some_and(|named| !named.contains(&part.id)) {
                let text = format!(
                    "its header does not name this {what}: it was put back, and is not used"
                );
                self.tell(Some(slot), Some(part.id), text);
            }
        }
        for id in named.into_iter().flatten() {
            if !parts.iter().any(|part| part.id == *id) {
                let text = format!("a {what} that its header names is missing");
                self.tell(Some(slot), Some(*id), text);
            }
        }
    }

    fn count(&mut self, count: &Count) {
        let slot = Some(count.slot);
        let (objects, bytes) = match &count.table {
            Ok(table) => *table,
            // Said once of the store, and of each object below.
            Err(_) => return,
        };
        match &count.usage {
            Ok(Some(usage)) if *usage == (objects, bytes) => {}
            Ok(Some((kept, kept_bytes))) => {
                let what = format!(
                    "it counts {kept} objects of {kept_bytes} bytes, but has {objects} of {bytes}"
                );
                self.tell(slot, None, what);
            }
            // A slot that is no more has no objects either.
            Ok(None)
                if objects == 0
                    && self
                        .hsm
                        .partition(count.slot)
                        .row()
                        .is_err_and(|error| error.is_no_such_slot()) => {}
            Ok(None) => self.tell(slot, None, "the count of its objects is missing"),
            Err(what) => self.tell(
                slot,
                None,
                format!("the count of its objects cannot be read: {what}"),
            ),
        }
        for (listed, how) in [(&count.by_handle, "handle"), (&count.by_ouid, "identity")] {
            match listed {
                Ok(listed) if *listed == objects => {}
                Ok(listed) => {
                    let what =
                        format!("{listed} objects can be listed by {how}, but it has {objects}");
                    self.tell(slot, None, what);
                }
                Err(what) => {
                    let what = format!("its objects cannot be listed by {how}: {what}");
                    self.tell(slot, None, what);
                }
            }
        }
    }

    /// Every object, a page of rows at a time, around pages that cannot be read.
    fn objects(&mut self) -> Result<()> {
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

    /// What is in the trash opens as well: it is to come back whole.
    fn trash(&mut self, slot: SlotId) -> Result<()> {
        // Not told of a store that was not opened for writing since it has a trash: it has none yet.
        match self.hsm.store.count_trash(slot)? {
            Ok((Some(Ok(kept)), there)) if kept != there => {
                let what = format!("it counts {kept} objects in its trash, but has {there}");
                self.tell(Some(slot), None, what);
            }
            Ok((Some(Err(what)), _)) => {
                let what = format!("the count of its trash is damaged: {what}");
                self.tell(Some(slot), None, what);
            }
            Ok((None, there)) if there > 0 => {
                let what = format!("the count of the {there} objects in its trash is missing");
                self.tell(Some(slot), None, what);
            }
            Ok(_) => {}
            Err(what) => {
                let what = format!("its trash cannot be counted: {what}");
                self.tell(Some(slot), None, what);
            }
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
                    let what = format!("its trash cannot all be read: {what}");
                    self.tell(Some(slot), None, what);
                    return Ok(());
                }
                (Some(last), Ok(())) => after = last.id,
                (None, Ok(())) => return Ok(()),
            }
        }
    }

    fn trashed(&mut self, slot: SlotId, row: &ObjectRow) -> Result<()> {
        let session = self
            .tallies
            .get(&slot)
            .and_then(|tally| tally.session.clone());
        let opened = match (session, row.entry()) {
            (Some(session), Some((entry, sealed))) => match examine(&session, &entry, &sealed) {
                // Sealed anew since, as by a reset password: then all of it was, in one transaction.
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

    /// The rows after `after` cannot be read: finds out which these are and where reading goes on. `None` at the end.
    fn behind(&mut self, after: i64, why: &str) -> Result<Option<i64>> {
        let (mut stride, mut next) = (1_i64, None);
        // Rows are numbered from 1; those below are of nobody's making and end with the first stride.
        let mut from = after.max(0);
        while let Some(further) = from.checked_add(stride) {
            from = further;
            stride = stride.saturating_mul(2);
            match self.hsm.store.object_rows(from, 1)? {
                (ids, Ok(())) => {
                    next = ids.first().copied();
                    break;
                }
                (_, Err(_)) => continue,
            }
        }
        let before = next.unwrap_or(i64::MAX);
        match self.hsm.store.indexed_between(after, before)? {
            Ok(objects) => {
                for (id, slot, handle) in objects {
                    let named = slot.ok().zip(handle.ok());
                    self.object(id, named)?;
                }
            }
            Err(what) => {
                let what = format!(
                    "objects after row {after} cannot be read ({why}), nor what they are ({what})"
                );
                self.tell(None, None, what);
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
            let Some((slot, tally)) = row
                .slot
                .and_then(|slot| u32::try_from(slot).ok())
                .and_then(|slot| Some((SlotId(slot), self.tallies.get(&SlotId(slot))?)))
            else {
                // Another slot than was asked for, or one of the orphans.
                return Ok(());
            };
            let opened = match (&tally.session, row.entry()) {
                (Some(session), Some((entry, sealed))) => match examine(session, &entry, &sealed) {
                    Err(_) if !self.is_still(session, &row)? => {
                        self.follow(slot)?;
                        changed = Some(slot);
                        continue;
                    }
                    outcome => Some(outcome),
                },
                _ => None,
            };
            self.judged(slot, &row, opened);
            return Ok(());
        }
        Err(changed.map_or(Error::Gone, |slot| SlotFault::Changed.at(slot).into()))
    }

    fn judged(&mut self, slot: SlotId, row: &ObjectRow, opened: Option<Seen<()>>) {
        if let Some(tally) = self.tallies.get_mut(&slot) {
            tally.objects += 1;
            tally.opened += u64::from(matches!(opened, Some(Ok(()))));
        }
        for what in row.faults().into_iter().chain(opened.and_then(Seen::err)) {
            self.tell_object(slot, row.handle, row.id, what);
        }
    }

    fn unreadable(&mut self, id: i64, named: Option<(i64, i64)>, why: &str) {
        let what = format!("its row cannot be read: {why}");
        let slot = named.and_then(|(slot, _)| u32::try_from(slot).ok().map(SlotId));
        match (slot, named) {
            (Some(slot), _) if !self.tallies.contains_key(&slot) => {}
            (Some(slot), Some((_, handle))) => self.tell_object(slot, Some(handle), id, what),
            _ => self.tell(None, Some(id), format!("object: {what}")),
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

/// Opens an object as a reader of its file would have it opened, and takes it in again as a clone of itself.
fn examine(session: &Session, entry: &Entry, sealed: &SealedRow) -> Seen<()> {
    let payload = session
        .open_row(entry.place(), sealed)
        .map_err(|_| "it does not open: its row was changed or moved".to_owned())?;
    let object = codec::decode(payload.bytes())
        .map_err(|why| format!("its payload does not decode: {why:?}"))?;
    if object.ouid != entry.ouid {
        return Err(format!("its payload has the identity {}", object.ouid));
    }
    if payload.bytes().len() != entry.payload_bytes as usize {
        return Err(format!("its payload has {} bytes", payload.bytes().len()));
    }
    if object.created_secs.min(i64::MAX as u64) != entry.created_secs {
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
