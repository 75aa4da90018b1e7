//! Writes of objects. Each runs inside a transaction of the committer.

use super::sequence;
use crate::rows::*;
use crate::rules;
use crate::sqlite::committer::Tx;
use crate::sqlite::{Store, lock};
use crate::{Reply, Result};
use slotfs_object::{Handle, RowId};

/// Row ids reserved in one commit. Those that are left when the store is closed stay unused.
const RESERVED_AT_ONCE: i64 = 1024;

impl Store {
    pub fn put(&self, put: Put, reply: impl Reply<Stored>) {
        let work = move |tx: &mut Tx<'_>| {
            tx.spares_slots = true;
            rules::store_object(tx, &put)
        };
        self.write(work, reply);
    }

    pub fn put_many(
        &self,
        puts: Vec<Put>,
        source: SlotVersion,
        reply: impl Reply<Vec<Result<Stored>>>,
    ) {
        self.write_and_go_on(
            move |tx| rules::store_objects(tx, &puts, Some(source)),
            reply,
        );
    }

    pub fn put_all(&self, puts: Vec<Put>, reply: impl Reply<Vec<Stored>>) {
        self.write(move |tx| rules::store_together(tx, &puts), reply);
    }

    pub fn put_groups(&self, groups: Vec<Vec<Put>>, reply: impl Reply<Vec<Result<Vec<Stored>>>>) {
        self.write_and_go_on(move |tx| rules::store_groups(tx, &groups), reply);
    }

    pub fn reserve_row(&self) -> Option<RowId> {
        let mut reserved = lock(&self.reserved);
        if reserved.is_empty() {
            match self.write_now(reserve) {
                Ok(last) => *reserved = last - RESERVED_AT_ONCE + 1..last + 1,
                Err(error) => {
                    log::debug!("no rows can be reserved: {error}");
                    return None;
                }
            }
        }
        reserved.next().map(RowId)
    }

    pub fn move_object(&self, it: Move, reply: impl Reply<Stored>) {
        self.write(move |tx| rules::move_object(tx, &it), reply);
    }

    pub fn revise(&self, from: Entry, put: Put, reply: impl Reply<Stored>) {
        self.write(move |tx| rules::revise_object(tx, from, &put), reply);
    }

    pub fn renumber(
        &self,
        from: Entry,
        slot: SlotVersion,
        to: Handle,
        seal: Seal,
        reply: impl Reply<()>,
    ) {
        self.write(move |tx| rules::renumber(tx, from, slot, to, &seal), reply);
    }

    pub fn destroy(&self, it: Entry, slot: SlotVersion, reply: impl Reply<()>) {
        self.write(move |tx| rules::destroy(tx, it, slot), reply);
    }
}

/// Reserves row ids; the last of them.
fn reserve(tx: &mut Tx<'_>) -> Result<i64> {
    sequence::next_row(tx)?;
    tx.value(
        "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'objects' RETURNING seq",
        [RESERVED_AT_ONCE],
    )
}
