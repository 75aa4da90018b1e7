//! What the keys of a store hold (docs/format.md, "In a cluster").

use super::bytes::{Put, Take};
use crate::rows::{
    CredentialRow, DomainRow, Entry, PAYLOAD_BYTES, ROW_IDS, Seen, SlotRow, SlotVersion, SmkRow,
    Trashed,
};
use slotfs_object::partition::{DomainKind, PartitionVersion, Policies, Role, SlotKind};
use slotfs_object::sealed::{
    Credential, HASH_BYTES, KdfParams, Method, Pair, PartId, Quorum, SealedRow, ShareSet,
};
use slotfs_object::{Handle, Ouid, RowId, SlotId};

/// The start of the value that makes a prefix a store.
const MAGIC: &[u8; 8] = b"slotfs\0\x01";

/// The form of keys and values that this build reads and writes.
pub(super) const FORMAT: u32 = 1;

/// What a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) format: u32,
    pub(super) created_secs: u64,
}

impl Version {
    pub(super) fn encode(self) -> Vec<u8> {
        let put = Put::default().array(MAGIC).u32(self.format);
        put.u64(self.created_secs).end()
    }

    /// The format is read first: a later one may have more after it.
    pub(super) fn decode(value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        if take.array::<8>()? != *MAGIC {
            return Err("what is there is no store".to_owned());
        }
        let format = take.u32()?;
        if format != FORMAT {
            let created_secs = 0;
            return Ok(Self {
                format,
                created_secs,
            });
        }
        let created_secs = take.u64()?;
        take.end(Self {
            format,
            created_secs,
        })
    }
}

/// Who keeps a slot from being written while its rows are sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) client: [u8; 16],
    /// The generation of rows that it stages. Fresh, so it tells two locks apart too.
    pub(super) sealing: u64,
}

/// The one value that every write of a slot changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writes {
    pub(super) serial: u64,
    pub(super) generation: u64,
    /// What the rows lie under.
    pub(super) epoch: u64,
    /// Which of the sealed rows count.
    pub(super) sealing: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) trash: u64,
    /// The highest handle in use; 0 when there is none.
    pub(super) highest: u32,
    pub(super) lock: Option<Lock>,
}

impl Writes {
    pub(super) fn version(&self, slot: SlotId) -> SlotVersion {
        SlotVersion {
            slot,
            serial: self.serial,
            generation: self.generation,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let put = Put::default().u64(self.serial).u64(self.generation);
        let put = put.u64(self.epoch).u64(self.sealing);
        let put = put.u64(self.objects).u64(self.bytes).u64(self.trash);
        put.u32(self.highest)
            .optional(self.lock, |put, lock| {
                put.array(&lock.client).u64(lock.sealing)
            })
            .end()
    }

    pub(super) fn decode(value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        let writes = Self {
            serial: take.u64()?,
            generation: take.u64()?,
            epoch: take.u64()?,
            sealing: take.u64()?,
            objects: take.u64()?,
            bytes: take.u64()?,
            trash: take.u64()?,
            highest: take.u32()?,
            lock: take.optional(|take| {
                Ok(Lock {
                    client: take.array()?,
                    sealing: take.u64()?,
                })
            })?,
        };
        take.end(writes)
    }
}

/// A slot's row without what [`Writes`] has.
pub(super) fn slot_row(row: &SlotRow) -> Vec<u8> {
    Put::default()
        .bytes(row.label.as_bytes())
        .u8(row.kind as u8)
        .u8(row.version as u8)
        .u64(row.capacity_objects)
        .u64(row.capacity_bytes)
        .u64(row.retention_secs)
        .bytes(row.policies.to_stored().as_bytes())
        .optional(row.uid, Put::u32)
        .optional(row.gid, Put::u32)
        .u64(row.created_secs)
        .bytes(row.header.bytes())
        .end()
}

pub(super) fn to_slot_row(slot: SlotId, writes: &Writes, value: &[u8]) -> Seen<SlotRow> {
    let mut take = Take::of(value);
    let row = SlotRow {
        slot,
        serial: writes.serial,
        label: take.text()?,
        kind: take.known("kind", SlotKind::from_number)?,
        version: take.known("version", PartitionVersion::from_number)?,
        capacity_objects: take.u64()?,
        capacity_bytes: take.u64()?,
        retention_secs: take.u64()?,
        policies: Policies::from_stored(&take.text()?).ok_or("its policies are not readable")?,
        uid: take.optional(Take::u32)?,
        gid: take.optional(Take::u32)?,
        created_secs: take.u64()?,
        generation: writes.generation,
        header: SealedRow::stored(take.bytes()?.to_vec()),
    };
    take.end(row)
}

/// A credential without its failed logins, which are counted under a key of their own.
pub(super) fn credential(row: &CredentialRow) -> Vec<u8> {
    let it = &row.credential;
    let put = Put::default().u8(row.role as u8);
    let put = match &it.method {
        Method::Password(cost) => {
            let put = put.u8(0).u32(cost.memory_kib);
            put.u32(cost.passes).u32(cost.lanes)
        }
        Method::Quorum(set) => {
            let put = put.u8(1).u8(set.quorum.m()).u8(set.quorum.n());
            put.array(&set.id).bytes(&set.hashes.concat())
        }
    };
    let put = put.bytes(&it.salt).bytes(&it.commitment).bytes(&it.wrapped);
    put.optional(row.pair.as_ref(), |put, pair| {
        put.u64(pair.generation)
            .bytes(&pair.public_key)
            .bytes(&pair.encapsulation)
            .bytes(&pair.wrapped)
            .bytes(pair.authentication.bytes())
    })
    .end()
}

pub(super) fn to_credential(id: PartId, failures: u32, value: &[u8]) -> Seen<CredentialRow> {
    let mut take = Take::of(value);
    let role = take.known("role", Role::from_number)?;
    let method = match take.u8()? {
        0 => Method::Password(KdfParams {
            memory_kib: take.u32()?,
            passes: take.u32()?,
            lanes: take.u32()?,
        }),
        1 => {
            let (m, n) = (take.u8()?, take.u8()?);
            let quorum =
                Quorum::new(m, n).ok_or_else(|| format!("it asks for {m} of {n} shares"))?;
            let id = take.array()?;
            let (hashes, rest) = take.bytes()?.as_chunks::<HASH_BYTES>();
            if hashes.len() != usize::from(n) || !rest.is_empty() {
                return Err(format!("its shares are not {n} of {HASH_BYTES} bytes"));
            }
            Method::Quorum(ShareSet {
                quorum,
                id,
                hashes: hashes.to_vec(),
            })
        }
        other => {
            return Err(format!(
                "its way to log in, {other}, is not known to this build"
            ));
        }
    };
    let row = CredentialRow {
        id,
        role,
        credential: Credential {
            method,
            salt: take.bytes()?.to_vec(),
            commitment: take.bytes()?.to_vec(),
            wrapped: take.bytes()?.to_vec(),
        },
        pair: take.optional(|take| {
            Ok(Pair {
                generation: take.u64()?,
                public_key: take.bytes()?.to_vec(),
                encapsulation: take.bytes()?.to_vec(),
                wrapped: take.bytes()?.to_vec(),
                authentication: SealedRow::stored(take.bytes()?.to_vec()),
            })
        })?,
        failures,
    };
    take.end(row)
}

pub(super) fn domain(row: &DomainRow) -> Vec<u8> {
    Put::default()
        .u8(row.kind as u8)
        .bytes(row.label.as_bytes())
        .bytes(row.sealed.bytes())
        .end()
}

pub(super) fn to_domain(id: PartId, value: &[u8]) -> Seen<DomainRow> {
    let mut take = Take::of(value);
    let row = DomainRow {
        id,
        kind: take.known("kind", DomainKind::from_number)?,
        label: take.text()?,
        sealed: SealedRow::stored(take.bytes()?.to_vec()),
    };
    take.end(row)
}

pub(super) fn smk(row: &SmkRow) -> Vec<u8> {
    row.sealed.bytes().to_vec()
}

pub(super) fn to_smk(id: PartId, value: &[u8]) -> SmkRow {
    SmkRow {
        id,
        sealed: SealedRow::stored(value.to_vec()),
    }
}

/// What is in clear of an object, and when it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) entry: Entry,
    pub(super) stored_secs: u64,
}

impl Object {
    fn put(self, put: Put) -> Put {
        let it = self.entry;
        put.i64(it.id.0)
            .array(&it.ouid.0)
            .u32(it.payload_bytes)
            .u64(it.created_secs)
            .u64(self.stored_secs)
            .optional(it.changed_secs, Put::u64)
    }

    fn take(slot: SlotId, handle: Handle, take: &mut Take<'_>) -> Seen<Self> {
        let id = take.i64()?;
        let ouid = Ouid(take.array()?);
        let payload_bytes = take.u32()?;
        let created_secs = take.u64()?;
        let stored_secs = take.u64()?;
        let changed_secs = take.optional(Take::u64)?;
        if !ROW_IDS.contains(&id) {
            return Err(format!("its row id is {id}, which is out of range"));
        }
        // The size of a blob follows from it.
        if !PAYLOAD_BYTES.contains(&payload_bytes.into()) {
            return Err(format!(
                "its payload_bytes is {payload_bytes}, which is out of range"
            ));
        }
        let entry = Entry {
            id: RowId(id),
            slot,
            handle,
            ouid,
            payload_bytes,
            created_secs,
            changed_secs,
        };
        Ok(Self { entry, stored_secs })
    }

    /// The value under its handle.
    pub(super) fn encode(self) -> Vec<u8> {
        self.put(Put::default()).end()
    }

    pub(super) fn decode(slot: SlotId, handle: u32, value: &[u8]) -> Seen<Self> {
        let handle = Handle::new(handle).ok_or("its handle is 0, which is out of range")?;
        let mut take = Take::of(value);
        let object = Self::take(slot, handle, &mut take)?;
        take.end(object)
    }
}

/// The row id that such a value begins with, whatever the rest is.
pub(super) fn id_of(value: &[u8]) -> i64 {
    Take::of(value).i64().unwrap_or(i64::MIN)
}

/// An object in the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InTrash {
    pub(super) it: Trashed,
    pub(super) stored_secs: u64,
}

impl InTrash {
    pub(super) fn encode(self) -> Vec<u8> {
        let object = Object {
            entry: self.it.entry,
            stored_secs: self.stored_secs,
        };
        let put = Put::default().u32(self.it.entry.handle.get());
        let put = put.u32(self.it.nth).u64(self.it.trashed_secs);
        object.put(put).end()
    }

    pub(super) fn decode(slot: SlotId, value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        let handle = take.u32()?;
        let handle = Handle::new(handle).ok_or("its handle is 0, which is out of range")?;
        let nth = take.u32()?;
        if nth == 0 {
            return Err("its nth is 0, which is out of range".to_owned());
        }
        let trashed_secs = take.u64()?;
        let object = Object::take(slot, handle, &mut take)?;
        take.end(Self {
            it: Trashed {
                entry: object.entry,
                nth,
                trashed_secs,
            },
            stored_secs: object.stored_secs,
        })
    }
}

/// What an identity leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: RowId,
    pub(super) handle: u32,
}

impl Identity {
    pub(super) fn encode(self) -> Vec<u8> {
        Put::default().i64(self.id.0).u32(self.handle).end()
    }

    pub(super) fn decode(value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        let it = Self {
            id: RowId(take.i64()?),
            handle: take.u32()?,
        };
        take.end(it)
    }
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Where {
    pub(super) slot: SlotId,
    pub(super) epoch: u64,
    pub(super) handle: u32,
    pub(super) in_trash: bool,
}

impl Where {
    pub(super) fn encode(self) -> Vec<u8> {
        let put = Put::default().u32(self.slot.0).u64(self.epoch);
        put.u32(self.handle).u8(self.in_trash.into()).end()
    }

    pub(super) fn decode(value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        let it = Self {
            slot: SlotId(take.u32()?),
            epoch: take.u64()?,
            handle: take.u32()?,
            in_trash: take.u8()? != 0,
        };
        take.end(it)
    }
}

/// A process that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) host: String,
    pub(super) pid: u32,
    /// What its host's clock said, within the last minute.
    pub(super) clock_secs: u64,
}

impl Client {
    pub(super) fn encode(&self) -> Vec<u8> {
        let put = Put::default().bytes(self.host.as_bytes());
        put.u32(self.pid).u64(self.clock_secs).end()
    }

    pub(super) fn decode(value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        let it = Self {
            host: take.text()?,
            pid: take.u32()?,
            clock_secs: take.u64()?,
        };
        take.end(it)
    }
}

/// A number alone.
pub(super) fn number(value: u64) -> Vec<u8> {
    Put::default().u64(value).end()
}

pub(super) fn to_number(value: &[u8]) -> Seen<u64> {
    let mut take = Take::of(value);
    let number = take.u64()?;
    take.end(number)
}

/// What is to be deleted: the rows of an epoch of a slot, or one sealing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbage {
    pub(super) slot: SlotId,
    pub(super) epoch: u64,
    pub(super) sealing: Option<u64>,
}

impl Garbage {
    pub(super) fn encode(self) -> Vec<u8> {
        let put = Put::default().u32(self.slot.0).u64(self.epoch);
        put.optional(self.sealing, Put::u64).end()
    }

    pub(super) fn decode(value: &[u8]) -> Seen<Self> {
        let mut take = Take::of(value);
        let it = Self {
            slot: SlotId(take.u32()?),
            epoch: take.u64()?,
            sealing: take.optional(Take::u64)?,
        };
        take.end(it)
    }
}
