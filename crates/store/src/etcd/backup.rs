//! A whole store out of a cluster, and into one.

use std::path::Path;

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};

use super::ask::{Place, gets, transact};
use super::client::{Answer, Client};
use super::commit::nested;
use super::fetch::{MOST_OPERATIONS, Pairs, Range};
use super::keys::{Key, Keys, PartKind, Place as At};
use super::location::Location;
use super::pages::Pages;
use super::rows::{object_in, trashed_of};
use super::slots::slot_row;
use super::values::{self, Identity, InTrash, Object, Version, Where, Writes};
use super::{Inner, Store, ask, members};
use crate::error::{Error, Result, SlotFault};
use crate::rows::*;
use slotfs_object::sealed::SealedRow;
use slotfs_object::{RowId, SlotId};

/// Rows that are read together.
const AT_ONCE: usize = 512;
/// The most bytes of one transaction that fills a store.
const MOST_BYTES: usize = 900 << 10;
/// The most operations of one.
const MOST_PUTS: usize = 1024;

impl Store {
    pub(crate) fn backup(
        &self,
        file: &Path,
        replace: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<u64> {
        crate::sqlite::load(file, replace, |to| {
            self.dump(&mut |piece| match stop() {
                true => Err(Error::Stopped(file.to_owned())),
                false => to(piece),
            })
        })
    }

    /// Passes the whole store to `to`, as it is at one revision. That revision stays readable for five minutes at
    /// least; a copy that takes longer may fail, and is then begun again by the user.
    pub(crate) fn dump(&self, to: &mut dyn FnMut(Piece) -> Result<()>) -> Result<About> {
        let inner = &self.inner;
        let first = inner.at_revision(0, &Range::prefix(inner.keys.all_writes()))?;
        let revision = first.1;
        for (key, value) in first.0 {
            let slot = inner.keys.slot_of(&key);
            let slot = slot.ok_or_else(|| Error::Damaged("a key w names no slot".to_owned()))?;
            let writes = Writes::decode(&value).map_err(SlotFault::damaged(slot))?;
            let dump = Dump {
                inner,
                revision,
                slot,
                writes,
            };
            dump.slot(to)?;
            dump.objects(to)?;
            dump.trash(to)?;
        }
        let next = inner.at_revision(revision, &Range::one(inner.keys.next()))?;
        let next = next.0.first().map(|(_, value)| values::to_number(value));
        let next = next.unwrap_or_else(|| Err("it is missing".to_owned()));
        let next =
            next.map_err(|why| Error::Damaged(format!("the counter of row ids (key n): {why}")))?;
        Ok(About {
            created_secs: inner.created_secs,
            next_row: i64::try_from(next).unwrap_or(i64::MAX),
        })
    }
}

/// One slot at one revision.
struct Dump<'a> {
    inner: &'a Inner,
    revision: i64,
    slot: SlotId,
    writes: Writes,
}

impl Dump<'_> {
    fn at(&self) -> At {
        At {
            slot: self.slot,
            epoch: self.writes.epoch,
        }
    }

    fn read(&self, range: &Range) -> Result<Pairs> {
        Ok(self.inner.at_revision(self.revision, range)?.0)
    }

    fn slot(&self, to: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        let (slot, keys) = (self.slot, &self.inner.keys);
        let damaged = |why: String| SlotFault::Damaged(why).at(slot);
        let row = self.read(&Range::one(keys.slot(slot)))?;
        let row = row.first().map(|(_, value)| value.as_slice());
        let row = slot_row(slot, &self.writes, row).map_err(damaged)?;
        let failures = self.read(&Range::prefix(keys.all_failures(slot)))?;
        let mut parts = SlotRows::default();
        for (key, value) in self.read(&Range::prefix(keys.parts(slot)))? {
            let Some((kind, id)) = keys.part_of(slot, &key) else {
                return Err(damaged("a key k names no row".to_owned()));
            };
            match kind {
                PartKind::Credential => {
                    let count = keys.failures(slot, id);
                    let count = failures.iter().find(|it| it.0 == count);
                    let count = count.map_or(Ok(0), |it| values::to_number(&it.1));
                    let count = u32::try_from(count.map_err(damaged)?).unwrap_or(u32::MAX);
                    let row = values::to_credential(id, count, &value).map_err(damaged)?;
                    parts.credentials.push(row);
                }
                PartKind::Domain => parts
                    .domains
                    .push(values::to_domain(id, &value).map_err(damaged)?),
                PartKind::Smk => parts.smks.push(values::to_smk(id, &value)),
            }
        }
        to(Piece::Slot(row, parts))
    }

    fn pages(&self, mut pages: Pages, mut each: impl FnMut(Pairs) -> Result<()>) -> Result<()> {
        while let Some(range) = pages.next() {
            let rows = self.read(&range)?;
            pages.took(&rows);
            each(rows)?;
        }
        Ok(())
    }

    fn objects(&self, to: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        let all = self.inner.keys.handles(self.at());
        let pages = Pages::handles(all, self.writes.objects, AT_ONCE);
        self.pages(pages, |rows| {
            let mut found = Vec::with_capacity(rows.len());
            for (key, value) in &rows {
                let handle = Keys::handle_of(key).ok_or_else(|| self.strange('h'))?;
                found.push(object_in(self.slot, handle, value).map_err(Error::Object)?);
            }
            let ids: Vec<RowId> = found.iter().map(|it| it.entry.id).collect();
            for (object, row) in found.into_iter().zip(self.sealed(&ids)?) {
                to(Piece::Object(object.entry, object.stored_secs, row))?;
            }
            Ok(())
        })
    }

    fn trash(&self, to: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        let all = self.inner.keys.all_trashed(self.at());
        let pages = Pages::rows(all, self.writes.trash, AT_ONCE);
        self.pages(pages, |rows| {
            let mut found = Vec::with_capacity(rows.len());
            for (key, value) in &rows {
                let id = Keys::row_of(key).ok_or_else(|| self.strange('t'))?;
                found.push(trashed_of(self.slot, id, value).map_err(Error::Object)?);
            }
            let ids: Vec<RowId> = found.iter().map(|it| it.it.entry.id).collect();
            for (found, row) in found.into_iter().zip(self.sealed(&ids)?) {
                to(Piece::Trashed(found.it, found.stored_secs, row))?;
            }
            Ok(())
        })
    }

    /// The error of a key that slotfs did not put.
    fn strange(&self, kind: char) -> Error {
        SlotFault::Damaged(format!("a key {kind} names no object")).at(self.slot)
    }

    fn sealed(&self, ids: &[RowId]) -> Result<Vec<SealedRow>> {
        let inner = self.inner;
        let mut rows = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOST_OPERATIONS) {
            let get = |id: &RowId| {
                let key = inner.keys.sealed(self.at(), self.writes.sealing, *id);
                TxnOp::get(key, Some(GetOptions::new().with_revision(self.revision)))
            };
            let txn = Txn::new().and_then(some.iter().map(get).collect::<Vec<_>>());
            let answer = transact(&inner.client, inner.client.deadline().settling, txn);
            let answer = answer.outcome.map_err(|why| inner.failed(why))?;
            for (id, got) in some.iter().zip(gets(&answer)) {
                let row = got.kvs().first().map(|it| it.value().to_vec());
                let row = row.ok_or_else(|| {
                    Error::Damaged(format!(
                        "slot {}: the sealed row of row {id} is missing",
                        self.slot
                    ))
                })?;
                rows.push(SealedRow::stored(row));
            }
        }
        Ok(rows)
    }
}

impl Range {
    /// One key.
    fn one(key: Key) -> Self {
        Self {
            end: super::keys::after(&key),
            start: key,
            limit: 0,
            keys_only: false,
        }
    }
}

impl Inner {
    /// A range as it is at a revision, and that revision; 0 is that of now.
    fn at_revision(&self, revision: i64, range: &Range) -> Result<(Pairs, i64)> {
        let options = GetOptions::new()
            .with_range(range.end.clone())
            .with_limit(range.limit)
            .with_revision(revision);
        let txn = Txn::new().and_then([TxnOp::get(range.start.clone(), Some(options))]);
        let answer = transact(&self.client, self.client.deadline().settling, txn);
        let answer = answer.outcome.map_err(|why| self.failed(why))?;
        let now = answer.header().map_or(0, |it| it.revision());
        let found = gets(&answer);
        let pairs = found.iter().flat_map(|it| it.kvs());
        let pairs = pairs.map(|it| (it.key().to_vec(), it.value().to_vec()));
        Ok((pairs.collect(), now))
    }
}

/// Makes the store `path` of the pieces that `fill` passes on. It has no version before it is complete, so nobody opens it.
///
/// # Errors
/// When there is a store already, or the remains of one that was not completed and that another process may be filling; when
/// the cluster does not answer; those of `fill`.
pub(crate) fn load(
    path: &Path,
    fill: impl FnOnce(&mut dyn FnMut(Piece) -> Result<()>) -> Result<About>,
) -> Result<()> {
    let location = Location::parse(path).map_err(|why| Error::failed(path, why))?;
    let client = Client::start(&location, location.identity.as_ref())?;
    members::check(&client, path)?;
    let keys = Keys::of(&location.name);
    let mut claim = [0; 16];
    getrandom::fill(&mut claim)?;
    let mut filler = Filler {
        path: location.shown(),
        client,
        claim,
        has_claimed: false,
        keys,
        next: 1,
        slots: Vec::new(),
        puts: Vec::new(),
        bytes: 0,
    };
    filler.check_empty()?;
    let about = fill(&mut |piece| filler.put(piece))?;
    filler.end(about)
}

/// A store that is being filled. Its name is claimed by a key of its own (`m`), which every put compares: what arrives late
/// finds it gone, since the last transaction deletes it, and whoever comes second finds it there.
struct Filler {
    path: std::path::PathBuf,
    client: Client,
    keys: Keys,
    claim: [u8; 16],
    has_claimed: bool,
    /// The next epoch or sealing. They come before all row ids and after none.
    next: u64,
    slots: Vec<(SlotId, Writes)>,
    puts: Vec<TxnOp>,
    bytes: usize,
}

impl Filler {
    fn send(&self, txn: Txn) -> Answer<etcd_client::TxnResponse> {
        transact(&self.client, self.client.deadline().settling, txn)
    }

    fn failed(&self, failure: super::client::Failure) -> Error {
        ask::fault(failure).at(&self.path)
    }

    fn check_empty(&self) -> Result<()> {
        match ask::place(&self.client, &self.keys, &self.path)? {
            Place::Empty => Ok(()),
            Place::Remains => Err(ask::remains(&self.path)),
            Place::Store(_) => Err(Error::failed(
                &self.path,
                "there is a store already; name another one",
            )),
        }
    }

    /// Takes the name, as long as nothing is under it.
    fn claim(&mut self) -> Result<()> {
        let key = self.keys.making();
        let txn = Txn::new()
            .when(ask::nothing(&self.keys))
            .and_then([TxnOp::put(key.clone(), self.claim, None)])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.send(txn).outcome.map_err(|why| self.failed(why))?;
        let found = gets(&answer);
        let there = found.first().and_then(|it| it.kvs().first());
        // An earlier copy of the request may have arrived.
        if answer.succeeded() || there.is_some_and(|it| it.value() == self.claim) {
            self.has_claimed = true;
            return Ok(());
        }
        self.check_empty()?;
        Err(ask::remains(&self.path))
    }

    /// That the name is still this copy's, and no store yet.
    fn is_ours(&self) -> [Compare; 2] {
        [
            Compare::value(self.keys.making(), CompareOp::Equal, self.claim),
            Compare::version(self.keys.version(), CompareOp::Equal, 0),
        ]
    }

    fn not_ours(&self) -> Error {
        Error::failed(
            &self.path,
            "another process wrote there meanwhile, or removed what was copied",
        )
    }

    fn set(&mut self, key: Key, value: Vec<u8>) -> Result<()> {
        let bytes = key.len() + value.len();
        if self.bytes + bytes > MOST_BYTES || self.puts.len() >= MOST_PUTS {
            self.flush()?;
        }
        self.bytes += bytes;
        self.puts.push(TxnOp::put(key, value, None));
        Ok(())
    }

    /// A put may arrive twice while the name is this copy's: each key is put once.
    fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let puts = std::mem::take(&mut self.puts);
        if puts.is_empty() {
            return Ok(());
        }
        if !self.has_claimed {
            self.claim()?;
        }
        let txn = Txn::new().when(self.is_ours()).and_then(nested(puts));
        let answer = self.send(txn).outcome.map_err(|why| self.failed(why))?;
        match answer.succeeded() {
            true => Ok(()),
            false => Err(self.not_ours()),
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn writes(&mut self, slot: SlotId) -> Result<&mut Writes> {
        let found = self.slots.iter_mut().find(|it| it.0 == slot);
        let found = found.map(|it| &mut it.1);
        found.ok_or(SlotFault::Missing.at(slot))
    }

    fn put(&mut self, piece: Piece) -> Result<()> {
        match piece {
            Piece::Slot(row, parts) => self.put_slot(&row, &parts),
            Piece::Object(entry, stored_secs, sealed) => {
                let writes = *self.writes(entry.slot)?;
                let at = At {
                    slot: entry.slot,
                    epoch: writes.epoch,
                };
                let (id, handle) = (entry.id, entry.handle.get());
                let place = Where {
                    slot: entry.slot,
                    epoch: writes.epoch,
                    handle,
                    in_trash: false,
                };
                let object = Object { entry, stored_secs };
                self.set(self.keys.handle(at, handle), object.encode())?;
                let identity = self.keys.identity(at, entry.ouid);
                self.set(identity, Identity { id, handle }.encode())?;
                self.set(self.keys.row(id), place.encode())?;
                let key = self.keys.sealed(at, writes.sealing, id);
                self.set(key, sealed.bytes().to_vec())?;
                let writes = self.writes(entry.slot)?;
                writes.objects += 1;
                writes.bytes += u64::from(entry.payload_bytes);
                writes.highest = writes.highest.max(handle);
                Ok(())
            }
            Piece::Trashed(it, stored_secs, sealed) => {
                let entry = it.entry;
                let writes = *self.writes(entry.slot)?;
                let at = At {
                    slot: entry.slot,
                    epoch: writes.epoch,
                };
                let place = Where {
                    slot: entry.slot,
                    epoch: writes.epoch,
                    handle: entry.handle.get(),
                    in_trash: true,
                };
                let found = InTrash { it, stored_secs };
                let id = values::number(entry.id.0.unsigned_abs());
                let keys = self.keys.clone();
                self.set(keys.trashed(at, entry.id), found.encode())?;
                self.set(keys.trash_name(at, entry.handle, it.nth), id)?;
                self.set(keys.trash_identity(at, entry.ouid, entry.id), Vec::new())?;
                self.set(keys.trash_time(at, it.trashed_secs, entry.id), Vec::new())?;
                self.set(keys.row(entry.id), place.encode())?;
                let key = keys.sealed(at, writes.sealing, entry.id);
                self.set(key, sealed.bytes().to_vec())?;
                self.writes(entry.slot)?.trash += 1;
                Ok(())
            }
        }
    }

    fn put_slot(&mut self, row: &SlotRow, parts: &SlotRows) -> Result<()> {
        let (slot, keys) = (row.slot, self.keys.clone());
        super::change::check_number(slot, &self.path)?;
        let writes = Writes {
            serial: row.serial,
            generation: row.generation,
            epoch: self.fresh(),
            sealing: self.fresh(),
            objects: 0,
            bytes: 0,
            trash: 0,
            highest: 0,
            lock: None,
        };
        self.slots.push((slot, writes));
        self.set(keys.slot(slot), values::slot_row(row))?;
        for it in &parts.credentials {
            let key = keys.part(slot, PartKind::Credential, it.id);
            self.set(key, values::credential(it))?;
            if it.failures > 0 {
                let count = values::number(it.failures.into());
                self.set(keys.failures(slot, it.id), count)?;
            }
        }
        for it in &parts.domains {
            self.set(keys.part(slot, PartKind::Domain, it.id), values::domain(it))?;
        }
        for it in &parts.smks {
            self.set(keys.part(slot, PartKind::Smk, it.id), values::smk(it))?;
        }
        Ok(())
    }

    /// Everything that makes it a store, the version last.
    fn end(mut self, about: About) -> Result<()> {
        for (slot, writes) in std::mem::take(&mut self.slots) {
            self.set(self.keys.writes(slot), writes.encode())?;
        }
        // Above the row ids, and above the epochs, which are no row ids.
        let next = about.next_row.unsigned_abs().max(self.next);
        self.set(self.keys.next(), values::number(next))?;
        self.flush()?;
        let version = Version {
            format: values::FORMAT,
            created_secs: about.created_secs,
        };
        let key = self.keys.version();
        let txn = Txn::new()
            .when(self.is_ours())
            .and_then([
                TxnOp::put(key.clone(), version.encode(), None),
                TxnOp::delete(self.keys.making(), None),
            ])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.send(txn);
        let done = answer.outcome.map_err(|why| self.failed(why))?;
        let found = gets(&done);
        let there = found.first().and_then(|it| it.kvs().first());
        // An earlier copy of the request may have arrived: nobody else could put it over the claim.
        let earlier = answer.doubtful && there.is_some_and(|it| it.value() == version.encode());
        match done.succeeded() || earlier {
            true => Ok(()),
            false => Err(self.not_ours()),
        }
    }
}
