//! Clones and moves. A slot opens a blob with its own domains, and stores the object only then.

use slotfs_object::RowId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::done::{go_on, pass_on};
use super::journal::Subject;
use super::objects::seal_for_cloning;
use super::put::{leaving, put};
use super::whereabouts::Whereabouts;
use super::{
    Arrived, Done, Error, Handle, Hsm, Object, Origin, Ouid, PartitionId, Policies, Result,
    SecretBytes, Session, SlotError, SlotId, Source, Stored, asker,
};
use slotfs_object::codec::{self, PayloadFault};
use slotfs_object::pkcs11::class_name;
use slotfs_seal::blob::Fault;
use slotfs_store::Move;

/// The name that a blob is written under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This handle, or the next free one.
    Handle(Handle),
    /// Any handle.
    Any,
    /// Any handle, but only the object of this identity.
    Identity(Ouid),
}

impl Wish {
    /// The handle, when one was named.
    pub fn handle(self) -> Option<Handle> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::Any | Self::Identity(_) => None,
        }
    }

    /// Whether an object of identity `ouid` may come in under this name.
    ///
    /// # Errors
    /// [`SlotError::OtherIdentity`]
    pub fn check(self, slot: SlotId, ouid: Ouid) -> Result<()> {
        match self {
            Self::Identity(named) if named != ouid => {
                Err(SlotError::OtherIdentity { ouid, named }.at(slot))
            }
            Self::Handle(_) | Self::Any | Self::Identity(_) => Ok(()),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(handle) => handle.fmt(f),
            Self::Any => f.write_str("new"),
            Self::Identity(ouid) => ouid.fmt(f),
        }
    }
}

impl Hsm {
    /// A row id for an object that is to come. No other object ever gets it. `None` where the store cannot be written.
    pub fn reserve_row(&self) -> Option<RowId> {
        self.store.reserve_row()
    }

    /// Takes `blob` into `partition` as `wish` says, while that partition is at its slot. `row` comes from
    /// [`Self::reserve_row`]. The journal uses the name beside the wish for a blob that does not open. `origin` is the
    /// object that the blob was read from, where that is known.
    ///
    /// A later revision of an object that the slot has takes its place. Of an earlier one nothing is stored, and that is a
    /// success too.
    ///
    /// Calls `done` with where the object now is, or with [`Error::Gone`] when another partition is there,
    /// [`SlotError::Unverified`], [`SlotError::PayloadVersion`], [`SlotError::RevisionTooHigh`], [`SlotError::OtherIdentity`],
    /// [`SlotFault::IdentityClash`](super::SlotFault), [`SlotError::PolicyRefuses`], [`SlotError::NotLoggedIn`],
    /// [`SlotError::ReadOnly`], or when the store cannot be written. Nothing is stored unless the object is.
    pub fn import(
        self: &Arc<Self>,
        partition: PartitionId,
        row: Option<RowId>,
        (wish, name): (Wish, String),
        blob: Vec<u8>,
        origin: Option<Origin>,
        done: impl Done<Arrived>,
    ) {
        let slot = partition.slot;
        let prepare = || {
            // Before the role: who is logged in to another partition says nothing about this one.
            if self.partition(slot).session()?.partition() != partition {
                return Err(Error::Gone);
            }
            let session = self.partition(slot).writer()?;
            let (object, payload) = verify(&session, &blob)?;
            wish.check(slot, object.ouid)?;
            Ok((session, object, payload))
        };
        let prepared = prepare().map_err(|error| self.gone_or(partition, error));
        let (session, object, payload) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let known = origin.map(|origin| Subject::Known(origin.place));
                let outcome = Err(error);
                let subject = known.unwrap_or(Subject::Name(name));
                self.journal.record(&subject, slot, &outcome);
                return done(outcome);
            }
        };
        let fingerprint = self.fingerprints.of(&payload);
        let Whereabouts { source, others } = match origin {
            // All of its bytes were read from there, so its content is the same.
            Some(origin) if origin.ouid == object.ouid => Whereabouts {
                source: Some(origin.place),
                others: Vec::new(),
            },
            _ => self.whereabouts(object.ouid, (&payload, fingerprint), slot),
        };
        let subject = source.map_or(Subject::Identity(object.ouid), Subject::Known);
        let want = match wish {
            // As a clone does.
            Wish::Identity(_) => source.map(|source| source.handle),
            wish => wish.handle(),
        };
        // Where it is stored is known only in the transaction, which may be run more than once.
        let stored_row = Arc::new(AtomicI64::new(0));
        let mut put = put(&session, &object, payload, want);
        let (seal, sealed_for) = (put.seal, Arc::clone(&stored_row));
        put.id = row;
        put.seal = Box::new(move |place| {
            sealed_for.store(place.id.0, Ordering::Release);
            seal(place)
        });
        let hsm = Arc::clone(self);
        // It may run on the thread of another user's request.
        let asker = asker::current();
        self.store.put(put, move |stored| {
            asker::on_behalf(asker, || match stored {
                // The slot's domains may be others by now: the blob is verified once more, with those.
                Err(error) if error.is_changed() && hsm.refresh().is_ok() => {
                    hsm.import(partition, row, (wish, name), blob, origin, done);
                }
                stored => {
                    let stored = stored.map_err(|error| hsm.gone_or(partition, error.into()));
                    if let Ok(Stored::New(_) | Stored::Revised { .. }) = &stored {
                        let row = RowId(stored_row.load(Ordering::Acquire));
                        hsm.fingerprints.keep(row, fingerprint);
                    }
                    let outcome = stored.map(Arrived::from);
                    hsm.journal.record(&subject, slot, &outcome);
                    if let Ok(arrived) = &outcome {
                        hsm.partition(slot).tell_clashes(arrived.handle, &others);
                    }
                    done(outcome);
                }
            })
        });
    }

    /// Replaces "not logged in" by [`Error::Gone`] where the partition that the object was for is gone: the login ended
    /// with the partition.
    fn gone_or(&self, partition: PartitionId, error: Error) -> Error {
        match error.slot_error() {
            Some(SlotError::NotLoggedIn) if self.refresh().is_ok() => {
                let checked = self.check_partition_as_known(partition);
                checked.err().unwrap_or(error)
            }
            _ => error,
        }
    }

    /// Moves the object `from` to another slot as `wish` says, in one transaction: both the clone and the
    /// removal, or neither. Where the target has a later revision, the object only leaves, to its slot's trash.
    ///
    /// Calls `done` as [`Self::import`] does, with [`SlotFault::HandleTaken`](super::SlotFault::HandleTaken) when
    /// another object has the handle, and [`SlotError::NoSuchObject`].
    pub fn move_object(
        self: &Arc<Self>,
        from: Source,
        to: SlotId,
        wish: Wish,
        done: impl Done<Arrived>,
    ) {
        let hsm = Arc::clone(self);
        let asker = asker::current();
        let finish = move |outcome: Result<Arrived>| {
            asker::on_behalf(asker, || {
                // A missing source is not a verdict on a blob.
                let found =
                    |error: &Error| !error.is_no_such_object() && !matches!(error, Error::Gone);
                if outcome.as_ref().err().is_none_or(found) {
                    hsm.journal.record(&Subject::Known(from), to, &outcome);
                }
                done(outcome);
            })
        };
        let prepared = self.again_if_changed(|| self.prepare_move(from, to, wish));
        go_on(prepared, finish, |it, finish| {
            self.store.move_object(it, pass_on(finish));
        });
    }

    /// Seals with the source's domains and opens with the target's: every rule of a clone holds for a move.
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
            outdated: leaving(&source),
        })
    }
}

/// Opens a blob with the slot's own keys and decodes its payload: docs/format.md, "To open a blob".
pub(super) fn verify(session: &Session, blob: &[u8]) -> Result<(Object, SecretBytes)> {
    let slot = session.slot();
    let refused = |why| SlotError::Unverified(why).at(slot);
    let payload = session.open_blob(blob).map_err(refused)?;
    let object = codec::decode(payload.bytes()).map_err(|why| match why {
        PayloadFault::Version(version) => SlotError::PayloadVersion(version, "1 and 2").at(slot),
        PayloadFault::Revision(number) => SlotError::RevisionTooHigh(number).at(slot),
        PayloadFault::Malformed => refused(Fault::Malformed),
        PayloadFault::NotCanonical => refused(Fault::NotCanonical),
    })?;
    check_taken_in(slot, session.policies(), object.class)?;
    Ok((object, payload))
}

/// Whether the slot `to` takes in objects of `class`.
///
/// # Errors
/// [`SlotError::PolicyRefuses`]
pub(super) fn check_taken_in(to: SlotId, policies: Policies, class: u32) -> Result<()> {
    if policies.allow_cloning(class) {
        return Ok(());
    }
    Err(SlotError::PolicyRefuses(class_name(class)).at(to))
}
