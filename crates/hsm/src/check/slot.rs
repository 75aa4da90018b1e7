//! The rows of a slot beside its objects, and the counts of these.

use super::super::Session;
use super::super::init::is_label;
use super::Check;
use slotfs_object::SlotId;
use slotfs_object::sealed::{PartId, SealedRow};
use slotfs_seal::blob::MAX_STANZAS;
use slotfs_store::{Count, Part, Seen, SlotParts};

impl Check<'_> {
    pub(super) fn slot(&mut self, slot: SlotId, parts: &SlotParts) {
        let version = parts.row.as_ref().ok().map(|row| row.as_version());
        match &parts.row {
            Ok(row) => {
                if !is_label(&row.label) {
                    self.tell(slot, "its label is not 1 to 32 printable characters");
                }
                if row.header.bytes().len() <= SealedRow::OVERHEAD_BYTES {
                    self.tell(slot, "its header is too short to be one");
                }
            }
            Err(what) => self.tell(slot, format!("its own row cannot be read: {what}")),
        }
        let session = self.session(slot);
        // Where the slot changed between the two reads, the process that changed it opened it before it wrote it.
        let session = session.filter(|session| Some(session.row().as_version()) == version);
        let header = session.as_ref().map(|session| &session.header);
        let named = header.map(|it| it.credentials.iter().map(|it| it.id).collect::<Vec<_>>());
        self.parts(slot, "credential", &parts.credentials, named.as_deref());
        if let Some(session) = &session {
            self.pairs(slot, session);
        }
        let named = header.map(|it| it.domains.as_slice());
        self.parts(slot, "domain", &parts.domains, named);
        let named = header.map(|it| it.smks.as_slice());
        self.parts(slot, "storage master key", &parts.smks, named);
        if let (Ok(row), Ok(smks)) = (&parts.row, &parts.smks)
            && smks.is_empty() == row.is_v1()
        {
            let (version, count) = (row.version, smks.len());
            self.tell(
                slot,
                format!("it is {version} and has {count} storage master keys"),
            );
        }
        if let Ok(rows) = &parts.credentials {
            // As a login reads them, key shares included.
            if rows.iter().all(|part| part.faults.is_empty()) {
                self.tell_damage(slot, self.hsm.store.credentials(slot));
            }
            if rows.is_empty() {
                self.tell(slot, "it has no credential");
            }
        }
        if let Ok(rows) = &parts.domains
            && !(1..=MAX_STANZAS).contains(&rows.len())
        {
            let count = rows.len();
            self.tell(
                slot,
                format!("it has {count} domains, 1 to {MAX_STANZAS} is possible"),
            );
        }
    }

    /// `named`: the rows that count, by the slot's opened header.
    /// Role key pairs that do not fit the header: their roles could not log in.
    fn pairs(&mut self, slot: SlotId, session: &Session) {
        let Ok((row, parts)) = self.hsm.store.slot_with_parts(slot) else {
            return;
        };
        if row.as_version() != session.row().as_version() {
            return;
        }
        for it in &parts.credentials {
            if !session.credential_fits(it) {
                let role = it.role;
                let what = format!("the key pair of {role} is not the one that its header names");
                self.tell(slot, what);
            }
        }
    }

    fn parts(
        &mut self,
        slot: SlotId,
        what: &str,
        parts: &Seen<Vec<Part>>,
        named: Option<&[PartId]>,
    ) {
        let parts = match parts {
            Ok(parts) => parts,
            Err(why) => return self.tell(slot, format!("its {what}s cannot be read: {why}")),
        };
        for Part { id, faults, .. } in parts {
            for fault in faults {
                self.find(Some(slot), None, Some(id.0), fault.as_str());
            }
            if named.is_some_and(|named| !named.contains(id)) {
                let text = format!(
                    "its header does not name this {what}, so it is not used: an old row was put back"
                );
                self.find(Some(slot), None, Some(id.0), text);
            }
        }
        for id in named.unwrap_or_default() {
            if !parts.iter().any(|part| part.id == *id) {
                let text = format!("a {what} that its header names is missing");
                self.find(Some(slot), None, Some(id.0), text);
            }
        }
    }

    pub(super) fn count(&mut self, count: &Count) {
        let slot = count.slot;
        // What cannot be counted is told of the store, and of each object.
        let Ok((objects, bytes)) = count.table else {
            return;
        };
        let gone = || {
            let row = self.hsm.partition(slot).row();
            row.is_err_and(|error| error.is_no_such_slot())
        };
        match &count.usage {
            Ok(Some(usage)) if *usage == (objects, bytes) => {}
            Ok(Some((kept, kept_bytes))) => self.tell(
                slot,
                format!(
                    "it counts {kept} objects of {kept_bytes} bytes, but has {objects} of {bytes}"
                ),
            ),
            // A slot that was deleted meanwhile has no objects either.
            Ok(None) if objects == 0 && gone() => {}
            Ok(None) => self.tell(slot, "the count of its objects is missing"),
            Err(what) => self.tell(
                slot,
                format!("the count of its objects cannot be read: {what}"),
            ),
        }
        for (listed, how) in [(&count.by_handle, "handle"), (&count.by_ouid, "identity")] {
            let what = match listed {
                Ok(listed) if *listed == objects => continue,
                Ok(listed) => {
                    format!("{listed} objects can be listed by {how}, but it has {objects}")
                }
                Err(what) => format!("its objects cannot be listed by {how}: {what}"),
            };
            self.tell(slot, what);
        }
    }
}
