//! The clone: a blob comes in, is opened with the slot's own domains, and only then exists.

use std::sync::{Arc, OnceLock};

use super::journal::Subject;
use super::objects::{put, seal_for_cloning};
use super::whereabouts::Whereabouts;
use super::{Arrived, Done, Hsm, Origin, Partition, PartitionId, Policies, Session, Source, Wish};
use super::{Error, Result, SlotError};
use slotfs_object::codec::{self, PayloadFault};
use slotfs_object::pkcs11::class_name;
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Object, SlotId};
use slotfs_seal::blob::Fault;
use slotfs_store::{Move, Put, Stored};

impl Hsm {
    /// A row for an object that is to come, and for no other ever; `None` where the store cannot be written.
    pub fn reserve_row(&self) -> Option<i64> {
        self.store.reserve_row()
    }

    /// Takes `blob` into `partition` as `wish` says, for as long as that partition is at its slot. `row` is what
    /// [`Self::reserve_row`] gave for it, if it gave one. Where nothing opens the blob, the name beside the wish is what
    /// it is called. `origin` is the object that it was read from, where that is known.
    ///
    /// Calls `done` with where the object now is, or with [`Error::Gone`] when another partition is there,
    /// [`SlotError::Unverified`], [`SlotError::PayloadVersion`], [`SlotError::OtherIdentity`],
    /// [`SlotFault::IdentityClash`](super::SlotFault), [`SlotError::PolicyRefuses`], [`SlotError::NotLoggedIn`],
    /// [`SlotError::ReadOnly`], or what the disk says. Nothing is stored unless the object is.
    pub fn import(
        self: &Arc<Self>,
        partition: PartitionId,
        row: Option<i64>,
        (wish, name): (Wish, String),
        blob: Vec<u8>,
        origin: Option<Origin>,
        done: impl Done<Arrived>,
    ) {
        let slot = partition.slot;
        let session = self
            .partition(slot)
            .writer()
            .map_err(|error| self.gone_or(partition, error));
        let verified = session.and_then(|session| {
            if partition != session.partition() {
                return Err(Error::Gone);
            }
            let opened = verify(&session, &blob)?;
            wish.check(slot, opened.0.ouid)?;
            Ok((session, opened))
        });
        let hsm = Arc::clone(self);
        match verified {
            Ok((session, (object, payload))) => {
                let fingerprint = self.fingerprints.of(&payload);
                // All of its bytes were read from there, so its content is the same.
                let read_from = origin
                    .filter(|origin| origin.ouid == object.ouid)
                    .map(|origin| origin.place);
                let Whereabouts { source, others } = match read_from {
                    Some(place) => Whereabouts {
                        source: Some(place),
                        others: Vec::new(),
                    },
                    None => self.whereabouts(object.ouid, (&payload, fingerprint), slot),
                };
                let known = source;
                let subject = known.map_or(Subject::Identity(object.ouid), Subject::Known);
                let want = match wish {
                    Wish::Handle(handle) => Some(handle),
                    Wish::Any => None,
                    // As a clone does.
                    Wish::Identity(_) => known.map(|source| source.handle),
                };
                // Where it is stored is known only in the transaction.
                let stored_row = Arc::new(OnceLock::new());
                let put = put(&session, &object, payload, want);
                let (seal, sealed_for) = (put.seal, Arc::clone(&stored_row));
                let put = Put {
                    id: row,
                    seal: Box::new(move |place| {
                        let _ = sealed_for.set(place.id);
                        seal(place)
                    }),
                    ..put
                };
                self.store.put(put, move |stored| match stored {
                    // Its domains may be others by now: verified once more, with those.
                    Err(error) if error.is_changed() && hsm.refresh().is_ok() => {
                        hsm.import(partition, row, (wish, name), blob, origin, done);
                    }
                    stored => {
                        let stored = stored.map_err(|error| hsm.gone_or(partition, error.into()));
                        if let (Ok(Stored::New(_)), Some(row)) = (&stored, stored_row.get()) {
                            hsm.fingerprints.keep(*row, fingerprint);
                        }
                        let outcome = stored.map(Arrived::from);
                        hsm.journal.record(&subject, slot, &outcome);
                        if let Ok(arrived) = &outcome {
                            hsm.partition(slot).tell_clashes(arrived.handle, &others);
                        }
                        done(outcome);
                    }
                });
            }
            Err(error) => {
                let subject = match origin {
                    Some(origin) => Subject::Known(origin.place),
                    None => Subject::Name(name),
                };
                let outcome = Err(error);
                self.journal.record(&subject, slot, &outcome);
                done(outcome);
            }
        }
    }

    /// [`Error::Gone`] in the place of "not logged in" where the partition that the object was for is gone: its login ended
    /// with it.
    fn gone_or(&self, partition: PartitionId, error: Error) -> Error {
        match &error {
            Error::Slot {
                why: SlotError::NotLoggedIn,
                ..
            } if self.refresh().is_ok() => self
                .check_partition_as_known(partition)
                .err()
                .unwrap_or(error),
            _ => error,
        }
    }

    /// Moves the object `from` to another slot as `wish` says, in one transaction: both the clone and the
    /// removal, or neither.
    ///
    /// Calls `done` as [`Self::import`] does, with [`Error::HandleTaken`] when another object has the handle, and
    /// [`Error::NoSuchObject`].
    pub fn move_object(
        self: &Arc<Self>,
        from: Source,
        to: SlotId,
        wish: Wish,
        done: impl Done<Arrived>,
    ) {
        let hsm = Arc::clone(self);
        let finish = move |outcome: Result<Arrived>| {
            // A source that is not there is no verdict.
            let found = |error: &Error| !error.is_no_such_object() && !matches!(error, Error::Gone);
            if outcome.as_ref().err().is_none_or(found) {
                hsm.journal.record(&Subject::Known(from), to, &outcome);
            }
            done(outcome);
        };
        match self.prepare_move(from, to, wish) {
            Ok(it) => self.store.move_object(it, move |stored| {
                finish(stored.map(Arrived::from).map_err(Error::from))
            }),
            Err(error) => finish(Err(error)),
        }
    }

    /// Seals with the source's domains, opens with the target's: a move is a clone in every rule.
    fn prepare_move(&self, from: Source, to: SlotId, wish: Wish) -> Result<Move> {
        let source = self.partition(from.slot).writer()?;
        let target = self.partition(to).writer()?;
        let (entry, payload) = self.open_by_handle(&source, from.handle)?;
        let blob = seal_for_cloning(&source, from.handle, &payload)?;
        let (object, payload) = verify(&target, &blob)?;
        wish.check(to, object.ouid)?;
        let want = match wish {
            Wish::Identity(_) if self.store.by_handle(to, entry.handle)?.is_none() => {
                Some(entry.handle)
            }
            wish => wish.handle(),
        };
        Ok(Move {
            from: entry,
            from_slot: source.row().as_version(),
            put: put(&target, &object, payload, want),
        })
    }
}

impl Partition<'_> {
    /// Writes down that a blob written as `name` was refused before it could be verified.
    pub fn note_refusal(&self, name: &str, source: Option<Source>, why: &dyn std::fmt::Display) {
        let slot = self.slot;
        let subject = source.map_or_else(|| Subject::Name(name.to_owned()), Subject::Known);
        self.hsm.journal.note_refusal(&subject, slot, why);
    }
}

/// Opens a blob with the slot's own keys and decodes what it holds: all of docs/format.md, "The sealed blob", "To open a blob".
pub(super) fn verify(session: &Session, blob: &[u8]) -> Result<(Object, SecretBytes)> {
    let slot = session.slot();
    let refused = |why| SlotError::Unverified(why).at(slot);
    let payload = session.open_blob(blob).map_err(refused)?;
    let object = codec::decode(payload.bytes()).map_err(|why| match why {
        PayloadFault::Version(version) => SlotError::PayloadVersion(version).at(slot),
        PayloadFault::Malformed => refused(Fault::Malformed),
        PayloadFault::NotCanonical => refused(Fault::NotCanonical),
    })?;
    check_taken_in(slot, session.policies(), object.class)?;
    Ok((object, payload))
}

/// Whether the slot `to` takes in objects of `class`.
///
/// # Errors
/// [`Error::PolicyRefuses`]
pub(super) fn check_taken_in(to: SlotId, policies: Policies, class: u32) -> Result<()> {
    if policies.allow_cloning(class) {
        return Ok(());
    }
    Err(SlotError::PolicyRefuses(class_name(class)).at(to))
}
