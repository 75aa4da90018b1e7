//! The keys of a store (docs/format.md, "In a cluster"). Numbers are big-endian, so that their order is that of the keys.

use crate::rows::ROW_IDS;
use slotfs_object::sealed::PartId;
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// A key, or the start of several.
pub(super) type Key = Vec<u8>;

/// What a slot's rows lie under: another one after each `clear` or re-initialisation, so that nothing comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) slot: SlotId,
    pub(super) epoch: u64,
}

/// The keys of one store.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Key,
}

/// What every store's prefix begins with. No name has a slash in it.
const ALL_STORES: &str = "/slotfs/";

/// Which kind of row a key is for, the byte after the prefix.
const VERSION: u8 = b'v';
const CLIENT: u8 = b'c';
const DONE: u8 = b'd';
const NEXT: u8 = b'n';
const SLOT: u8 = b's';
const WRITES: u8 = b'w';
const PART: u8 = b'k';
const FAILURES: u8 = b'f';
const HANDLE: u8 = b'h';
const IDENTITY: u8 = b'i';
const SEALED: u8 = b'o';
const ROW: u8 = b'r';
const TRASH: u8 = b't';
const TRASH_NAME: u8 = b'T';
const TRASH_IDENTITY: u8 = b'j';
const TRASH_EXPIRY: u8 = b'x';
const GARBAGE: u8 = b'z';
const COMPACTED: u8 = b'C';
const MAKING: u8 = b'm';
const CLAIM: u8 = b'q';

/// The kinds of a slot's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Credential = b'c' as isize,
    Domain = b'd' as isize,
    Smk = b's' as isize,
}

impl Keys {
    pub(super) fn of(name: &str) -> Self {
        Self {
            prefix: format!("{ALL_STORES}{name}/").into_bytes(),
        }
    }

    fn key(&self, kind: u8, parts: &[&[u8]]) -> Key {
        let mut key = self.prefix.clone();
        key.push(kind);
        key.push(b'/');
        for part in parts {
            key.extend_from_slice(part);
        }
        key
    }

    /// Every key of the store.
    pub(super) fn all(&self) -> Key {
        self.prefix.clone()
    }

    /// What the store is: its format and age. Without it there is no store.
    pub(super) fn version(&self) -> Key {
        self.key(VERSION, &[])
    }

    /// Who makes a store of a copy, until it is complete.
    pub(super) fn making(&self) -> Key {
        self.key(MAKING, &[])
    }

    /// A process that writes.
    pub(super) fn client(&self, client: &[u8; 16]) -> Key {
        self.key(CLIENT, &[client])
    }

    pub(super) fn clients(&self) -> Key {
        self.key(CLIENT, &[])
    }

    /// The number of the last transaction of a process in a slot.
    pub(super) fn done(&self, slot: SlotId, client: &[u8; 16]) -> Key {
        self.key(DONE, &[&slot.0.to_be_bytes(), client])
    }

    /// The same of every process.
    pub(super) fn all_done(&self) -> Key {
        self.key(DONE, &[])
    }

    /// The next row id and epoch.
    pub(super) fn next(&self) -> Key {
        self.key(NEXT, &[])
    }

    /// The row of a slot.
    pub(super) fn slot(&self, slot: SlotId) -> Key {
        self.key(SLOT, &[&slot.0.to_be_bytes()])
    }

    pub(super) fn slots(&self) -> Key {
        self.key(SLOT, &[])
    }

    /// What orders all writes of a slot.
    pub(super) fn writes(&self, slot: SlotId) -> Key {
        self.key(WRITES, &[&slot.0.to_be_bytes()])
    }

    /// A claim of a process to write to a slot next.
    pub(super) fn claim(&self, slot: SlotId, client: &[u8; 16]) -> Key {
        self.key(CLAIM, &[&slot.0.to_be_bytes(), client])
    }

    pub(super) fn all_claims(&self) -> Key {
        self.key(CLAIM, &[])
    }

    pub(super) fn claims(&self, slot: SlotId) -> Key {
        self.key(CLAIM, &[&slot.0.to_be_bytes()])
    }

    pub(super) fn all_writes(&self) -> Key {
        self.key(WRITES, &[])
    }

    /// A credential, a domain or an SMK of a slot.
    pub(super) fn part(&self, slot: SlotId, kind: PartKind, id: PartId) -> Key {
        self.key(
            PART,
            &[&slot.0.to_be_bytes(), &[kind as u8], &id.0.to_be_bytes()],
        )
    }

    pub(super) fn parts(&self, slot: SlotId) -> Key {
        self.key(PART, &[&slot.0.to_be_bytes()])
    }

    /// The kind and id of a part's key.
    pub(super) fn part_of(&self, slot: SlotId, key: &[u8]) -> Option<(PartKind, PartId)> {
        let rest = key.strip_prefix(self.parts(slot).as_slice())?;
        let (kind, id) = rest.split_first()?;
        let kind = [PartKind::Credential, PartKind::Domain, PartKind::Smk]
            .into_iter()
            .find(|it| *it as u8 == *kind)?;
        Some((kind, PartId(i64::from_be_bytes(id.try_into().ok()?))))
    }

    /// The failed logins with a credential.
    pub(super) fn failures(&self, slot: SlotId, credential: PartId) -> Key {
        self.key(
            FAILURES,
            &[&slot.0.to_be_bytes(), &credential.0.to_be_bytes()],
        )
    }

    pub(super) fn all_failures(&self, slot: SlotId) -> Key {
        self.key(FAILURES, &[&slot.0.to_be_bytes()])
    }

    fn placed(&self, kind: u8, at: Place, rest: &[&[u8]]) -> Key {
        let (slot, epoch) = (at.slot.0.to_be_bytes(), at.epoch.to_be_bytes());
        let mut parts: Vec<&[u8]> = vec![&slot, &epoch];
        parts.extend_from_slice(rest);
        self.key(kind, &parts)
    }

    /// An object by its handle: what a listing reads.
    pub(super) fn handle(&self, at: Place, handle: u32) -> Key {
        self.placed(HANDLE, at, &[&handle.to_be_bytes()])
    }

    pub(super) fn handles(&self, at: Place) -> Key {
        self.placed(HANDLE, at, &[])
    }

    /// The handle at the end of such a key, or the number at the end of a name in the trash. `None` of a key that has not
    /// exactly its fields: slotfs puts none, and its last bytes are no handle.
    pub(super) fn handle_of(key: &[u8]) -> Option<u32> {
        let (kind, fields) = fields_of(key)?;
        let expected = match kind {
            HANDLE => 4 + 8 + 4,
            TRASH_NAME => 4 + 8 + 4 + 4,
            _ => return None,
        };
        let (_, end) = fields.split_last_chunk::<4>()?;
        (fields.len() == expected).then_some(u32::from_be_bytes(*end))
    }

    /// An object by its identity.
    pub(super) fn identity(&self, at: Place, ouid: Ouid) -> Key {
        self.placed(IDENTITY, at, &[&ouid.0])
    }

    pub(super) fn identities(&self, at: Place) -> Key {
        self.placed(IDENTITY, at, &[])
    }

    /// The sealed rows of one generation of the slot's key.
    pub(super) fn sealed(&self, at: Place, sealing: u64, id: RowId) -> Key {
        self.placed(SEALED, at, &[&sealing.to_be_bytes(), &id.0.to_be_bytes()])
    }

    pub(super) fn all_sealed(&self, at: Place, sealing: Option<u64>) -> Key {
        match sealing {
            Some(sealing) => self.placed(SEALED, at, &[&sealing.to_be_bytes()]),
            None => self.placed(SEALED, at, &[]),
        }
    }

    /// Where a row is.
    pub(super) fn row(&self, id: RowId) -> Key {
        self.key(ROW, &[&id.0.to_be_bytes()])
    }

    pub(super) fn rows(&self) -> Key {
        self.key(ROW, &[])
    }

    /// The row id at the end of a key. `None` of a key that has not exactly its fields, or another number there.
    pub(super) fn row_of(key: &[u8]) -> Option<RowId> {
        let (kind, fields) = fields_of(key)?;
        let expected = match kind {
            ROW => 8,
            TRASH => 4 + 8 + 8,
            SEALED | TRASH_EXPIRY => 4 + 8 + 8 + 8,
            TRASH_IDENTITY => 4 + 8 + 16 + 8,
            _ => return None,
        };
        let (_, end) = fields.split_last_chunk::<8>()?;
        let id = i64::from_be_bytes(*end);
        (fields.len() == expected && ROW_IDS.contains(&id)).then_some(RowId(id))
    }

    /// An object in the trash, by its row.
    pub(super) fn trashed(&self, at: Place, id: RowId) -> Key {
        self.placed(TRASH, at, &[&id.0.to_be_bytes()])
    }

    pub(super) fn all_trashed(&self, at: Place) -> Key {
        self.placed(TRASH, at, &[])
    }

    /// By its name there.
    pub(super) fn trash_name(&self, at: Place, handle: Handle, nth: u32) -> Key {
        self.placed(
            TRASH_NAME,
            at,
            &[&handle.get().to_be_bytes(), &nth.to_be_bytes()],
        )
    }

    pub(super) fn trash_names(&self, at: Place, handle: Handle) -> Key {
        self.placed(TRASH_NAME, at, &[&handle.get().to_be_bytes()])
    }

    pub(super) fn all_trash_names(&self, at: Place) -> Key {
        self.placed(TRASH_NAME, at, &[])
    }

    /// By its identity.
    pub(super) fn trash_identity(&self, at: Place, ouid: Ouid, id: RowId) -> Key {
        self.placed(TRASH_IDENTITY, at, &[&ouid.0, &id.0.to_be_bytes()])
    }

    pub(super) fn trash_identities(&self, at: Place, ouid: Ouid) -> Key {
        self.placed(TRASH_IDENTITY, at, &[&ouid.0])
    }

    pub(super) fn all_trash_identities(&self, at: Place) -> Key {
        self.placed(TRASH_IDENTITY, at, &[])
    }

    /// By when it came there.
    pub(super) fn trash_time(&self, at: Place, secs: u64, id: RowId) -> Key {
        self.placed(
            TRASH_EXPIRY,
            at,
            &[&secs.to_be_bytes(), &id.0.to_be_bytes()],
        )
    }

    /// Those that came there before `secs`, as a start and an end.
    pub(super) fn trash_before(&self, at: Place, secs: u64) -> (Key, Key) {
        let start = self.placed(TRASH_EXPIRY, at, &[]);
        let end = self.placed(TRASH_EXPIRY, at, &[&secs.to_be_bytes()]);
        (start, end)
    }

    pub(super) fn all_trash_times(&self, at: Place) -> Key {
        self.placed(TRASH_EXPIRY, at, &[])
    }

    /// What is to be deleted, on which any host may work.
    pub(super) fn garbage(&self, id: u64) -> Key {
        self.key(GARBAGE, &[&id.to_be_bytes()])
    }

    pub(super) fn all_garbage(&self) -> Key {
        self.key(GARBAGE, &[])
    }

    /// What was last compacted.
    pub(super) fn compacted(&self) -> Key {
        self.key(COMPACTED, &[])
    }

    /// The slot in a key whose kind has one.
    pub(super) fn slot_of(&self, key: &[u8]) -> Option<SlotId> {
        let rest = key.get(self.prefix.len() + 2..)?;
        let (slot, _) = rest.split_first_chunk::<4>()?;
        Some(SlotId(u32::from_be_bytes(*slot)))
    }
}

/// The kind of a key of any store, and what comes after it.
fn fields_of(key: &[u8]) -> Option<(u8, &[u8])> {
    let rest = key.strip_prefix(ALL_STORES.as_bytes())?;
    let name = rest.iter().position(|byte| *byte == b'/')?;
    match rest.get(name + 1..)? {
        [kind, b'/', fields @ ..] => Some((*kind, fields)),
        _ => None,
    }
}

/// The first key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Every key: etcd's own sign for it.
    vec![0]
}

/// The key right after this one.
pub(super) fn after(key: &[u8]) -> Key {
    let mut after = key.to_vec();
    after.push(0);
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_has_not_its_length_names_nothing() {
        let keys = Keys::of("a-b.c");
        let at = Place {
            slot: SlotId(3),
            epoch: 7,
        };
        let (id, ouid) = (RowId(5), Ouid([9; 16]));
        let name = keys.trash_name(at, Handle::new(1).unwrap(), 2);
        for (key, number) in [(keys.handle(at, 0x2f), 0x2f), (name, 2)] {
            assert_eq!(Keys::handle_of(&key), Some(number));
            assert_eq!(Keys::row_of(&key), None);
            assert_eq!(Keys::handle_of(&after(&key)), None);
            assert_eq!(Keys::handle_of(&key[..key.len() - 1]), None);
        }
        for key in [
            keys.row(id),
            keys.trashed(at, id),
            keys.sealed(at, 4, id),
            keys.trash_time(at, 8, id),
            keys.trash_identity(at, ouid, id),
        ] {
            assert_eq!(Keys::row_of(&key), Some(id));
            assert_eq!(Keys::row_of(&after(&key)), None);
            assert_eq!(Keys::row_of(&key[..key.len() - 1]), None);
        }
        for id in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(Keys::row_of(&keys.trashed(at, RowId(id))), None);
        }
        assert_eq!(Keys::row_of(&keys.all()), None);
    }
}
