//! Slots, with what their headers name.

use etcd_client::{Txn, TxnOp};

use super::ask::{gets, transact};
use super::fetch::Range;
use super::keys::PartKind;
use super::rows::missing;
use super::values::{self, Writes};
use super::{Inner, Store, lock};
use crate::error::{Error, Result, SlotFault};
use crate::rows::*;
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::sealed::PartId;

impl Store {
    pub(crate) fn slots(&self) -> Result<Vec<ListedSlot>> {
        let inner = &self.inner;
        let operation =
            |prefix| TxnOp::get(prefix, Some(etcd_client::GetOptions::new().with_prefix()));
        let txn = Txn::new().and_then([
            operation(inner.keys.all_writes()),
            operation(inner.keys.slots()),
        ]);
        let answer = transact(&inner.client, inner.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| inner.failed(why))?;
        let found = gets(&answer);
        let [writes, rows] = found.as_slice() else {
            return Err(Error::failed(
                &inner.path,
                "the cluster gave no answer that fits",
            ));
        };
        let row_of = |slot: SlotId| {
            let key = inner.keys.slot(slot);
            rows.kvs().iter().find(|it| it.key() == key.as_slice())
        };
        let listed = writes.kvs().iter().map(|it| {
            let slot = inner.keys.slot_of(it.key());
            let row = || -> Seen<SlotRow> {
                let slot = slot.ok_or("a key w names no slot")?;
                let writes = Writes::decode(it.value())?;
                let row = row_of(slot).ok_or("its row (key s) is missing")?;
                values::to_slot_row(slot, &writes, row.value())
            };
            let row = row().map_err(|what| match slot {
                Some(slot) => SlotFault::Damaged(what).at(slot),
                None => Error::Damaged(what),
            });
            ListedSlot { slot, row }
        });
        Ok(listed.collect())
    }

    pub(crate) fn slot(&self, slot: SlotId) -> Result<SlotRow> {
        let key = |_: &Writes| vec![self.inner.keys.slot(slot)];
        let found = self.inner.values(slot, key)?.ok_or(missing(slot))?;
        slot_row(slot, &found.0, found.1.first().and_then(|it| it.as_deref()))
            .map_err(SlotFault::damaged(slot))
    }

    /// A serial that can be read marks it; damage does not hide that there is something.
    pub(crate) fn mark(&self, slot: SlotId) -> Result<Option<PartitionMark>> {
        self.inner.fresh()?;
        let cache = lock(&self.inner.cache);
        let there = cache.writes(slot);
        Ok(there.map(|(revision, writes)| match writes {
            Ok(writes) => PartitionMark::from(writes.serial),
            Err(_) => PartitionMark(format!("damaged, revision {revision}")),
        }))
    }

    pub(crate) fn slot_versions(&self) -> Result<Vec<(SlotId, Result<SlotVersion>)>> {
        self.inner.fresh()?;
        let cache = lock(&self.inner.cache);
        let versions = cache.slots().map(|(slot, _, writes)| {
            let version = writes.as_ref().map(|it| it.version(slot));
            (
                slot,
                version.map_err(|what| SlotFault::Damaged(what.clone()).at(slot)),
            )
        });
        Ok(versions.collect())
    }

    pub(crate) fn domains(&self, slot: SlotId) -> Result<Vec<DomainRow>> {
        let parts = self.inner.parts(slot)?.map(|(_, parts)| parts);
        let mut domains = Vec::new();
        for part in parts.unwrap_or_default() {
            if let Part::Domain(domain) = part {
                domains.push(domain.map_err(|(_, why)| SlotFault::Damaged(why).at(slot))?);
            }
        }
        Ok(domains)
    }

    pub(crate) fn slot_with_parts(&self, slot: SlotId) -> Result<(SlotRow, SlotRows)> {
        let (row, parts) = self.inner.parts(slot)?.ok_or(missing(slot))?;
        let row = row.map_err(SlotFault::damaged(slot))?;
        let mut rows = SlotRows::default();
        for part in parts {
            let unreadable = match part {
                Part::Credential(it) => it.map(|it| rows.credentials.push(it)).err(),
                Part::Domain(it) => it.map(|it| rows.domains.push(it)).err(),
                Part::Smk(it) => {
                    rows.smks.push(it);
                    None
                }
            };
            rows.unreadable.extend(unreadable);
        }
        rows.credentials.sort_by_key(|it| it.role as u8);
        Ok((row, rows))
    }

    pub(crate) fn usage(&self, slot: SlotId) -> Result<(u64, u64)> {
        let (_, writes) = self.inner.writes(slot)?.ok_or(missing(slot))?;
        Ok((writes.objects, writes.bytes))
    }

    pub(crate) fn credentials(&self, slot: SlotId) -> Result<Vec<CredentialRow>> {
        all_credentials(slot, self.readable(slot)?)
    }

    pub(crate) fn credential(&self, slot: SlotId, role: Role) -> Result<Option<CredentialRow>> {
        credential_of(slot, role, self.readable(slot)?)
    }

    fn readable(&self, slot: SlotId) -> Result<Vec<PartRow<CredentialRow>>> {
        let parts = self.inner.parts(slot)?.map(|(_, parts)| parts);
        let mut found = Vec::new();
        for part in parts.unwrap_or_default() {
            if let Part::Credential(it) = part {
                found.push(it);
            }
        }
        Ok(found)
    }
}

/// One of the rows that a header may name.
pub(super) enum Part {
    Credential(PartRow<CredentialRow>),
    Domain(PartRow<DomainRow>),
    Smk(SmkRow),
}

/// A slot's row, and the rows that its header may name.
pub(super) type Parts = (Seen<SlotRow>, Vec<Part>);

pub(super) fn slot_row(slot: SlotId, writes: &Writes, value: Option<&[u8]>) -> Seen<SlotRow> {
    let value = value.ok_or("its row (key s) is missing")?;
    values::to_slot_row(slot, writes, value)
}

impl Inner {
    /// A slot with its credentials and keys, in one state; `None` when there is no such slot. Failed logins are counted
    /// apart, so this is always asked anew.
    pub(super) fn parts(&self, slot: SlotId) -> Result<Option<Parts>> {
        let ranges = [
            (slot, Range::prefix(self.keys.parts(slot))),
            (slot, Range::prefix(self.keys.all_failures(slot))),
        ];
        let mut found = self.fetch(&[(slot, self.keys.slot(slot))], &ranges)?;
        let Some((_, writes)) = found.writes.remove(&slot) else {
            return Ok(None);
        };
        let row = writes.and_then(|writes| {
            let value = found.values.first().and_then(|it| it.as_deref());
            slot_row(slot, &writes, value)
        });
        let failures = found.ranges.pop().unwrap_or_default();
        let failures_of = |id: PartId| -> Seen<u32> {
            let key = self.keys.failures(slot, id);
            let value = failures.iter().find(|it| it.0 == key);
            let count = value.map_or(Ok(0), |(_, value)| values::to_number(value))?;
            u32::try_from(count)
                .map_err(|_| format!("its failures is {count}, which is out of range"))
        };
        let mut parts = Vec::new();
        for (key, value) in found.ranges.pop().unwrap_or_default() {
            let Some((kind, id)) = self.keys.part_of(slot, &key) else {
                continue;
            };
            let named = |what: &str, why: String| (id, format!("{what} (row {}): {why}", id.0));
            parts.push(match kind {
                PartKind::Credential => {
                    let row = failures_of(id)
                        .and_then(|failures| values::to_credential(id, failures, &value));
                    Part::Credential(row.map_err(|why| named("a credential", why)))
                }
                PartKind::Domain => {
                    let row = values::to_domain(id, &value);
                    Part::Domain(row.map_err(|why| named("a domain", why)))
                }
                PartKind::Smk => Part::Smk(values::to_smk(id, &value)),
            });
        }
        Ok(Some((row, parts)))
    }
}
