//! The clone: a blob comes in, is opened with the slot's own domains, and only then exists.

use std::sync::Arc;

use super::journal::Subject;
use super::objects::{put, seal_for_cloning};
use super::{Arrived, Done, Hsm, Session, Source};
use crate::blob::{self, Fault, Kind};
use crate::codec::{self, PayloadFault};
use crate::error::{Error, Result};
use crate::object::pkcs11::class_name;
use crate::object::{Handle, Object, SlotId};
use crate::secret::SecretBytes;
use crate::store::Move;

impl Hsm {
    /// Takes `blob` into `slot` under `want`, or the next free handle when another object has it.
    ///
    /// `source` is where it came from, where that is known; `name` what it was written as.
    /// Calls `done` with where the object now is, or with [`Error::Unverified`], [`Error::PayloadVersion`],
    /// [`Error::IdentityClash`], [`Error::PolicyRefuses`], [`Error::SlotFull`], [`Error::NotLoggedIn`],
    /// [`Error::ReadOnly`], or what the disk says. Nothing is stored unless the object is.
    pub fn import(
        self: &Arc<Self>,
        slot: SlotId,
        want: Option<Handle>,
        blob: Vec<u8>,
        source: Option<Source>,
        name: &str,
        done: impl Done<Arrived>,
    ) {
        let name = name.to_owned();
        let verified = self
            .writer(slot)
            .and_then(|session| verify(&session, &blob).map(|opened| (session, opened)));
        let hsm = Arc::clone(self);
        match verified {
            Ok((session, (object, payload))) => {
                let known = source
                    .filter(|source| self.holds(*source, object.ouid))
                    .or_else(|| self.whereabouts(object.ouid, slot));
                let subject = known.map_or(Subject::Identity(object.ouid), Subject::Known);
                let put = put(&session, &object, payload, want);
                self.store.put(put, move |stored| match stored {
                    // Its domains may be others by now: verified once more, with those.
                    Err(Error::SlotChanged { .. }) if hsm.refresh().is_ok() => {
                        hsm.import(slot, want, blob, source, &name, done);
                    }
                    stored => {
                        let outcome = stored.map(Arrived::from);
                        hsm.journal.record(&subject, slot, &outcome);
                        done(outcome);
                    }
                });
            }
            Err(error) => {
                let subject = source.map_or(Subject::Name(name), Subject::Known);
                let outcome = Err(error);
                self.journal.record(&subject, slot, &outcome);
                done(outcome);
            }
        }
    }

    /// Writes down that a blob written as `name` was refused before it could be verified.
    pub fn note_refusal(
        &self,
        slot: SlotId,
        name: &str,
        source: Option<Source>,
        why: Error,
    ) -> Error {
        let subject = source.map_or_else(|| Subject::Name(name.to_owned()), Subject::Known);
        let outcome = Err(why);
        self.journal.record(&subject, slot, &outcome);
        match outcome {
            Err(why) => why,
            Ok(_) => Error::Gone,
        }
    }

    /// Moves the object `from` to handle `want` of another slot, in one transaction: both the clone and the
    /// removal, or neither.
    ///
    /// Calls `done` as [`Self::import`] does, with [`Error::HandleTaken`] when another object has `want`, and
    /// [`Error::NoSuchObject`].
    pub fn move_object(
        self: &Arc<Self>,
        from: Source,
        to: SlotId,
        want: Handle,
        done: impl Done<Arrived>,
    ) {
        let hsm = Arc::clone(self);
        let finish = move |outcome: Result<Arrived>| {
            // A source that is not there is no verdict.
            if !matches!(outcome, Err(Error::NoSuchObject { .. } | Error::Gone)) {
                hsm.journal.record(&Subject::Known(from), to, &outcome);
            }
            done(outcome);
        };
        match self.prepare_move(from, to, want) {
            Ok(it) => self
                .store
                .move_object(it, move |stored| finish(stored.map(Arrived::from))),
            Err(error) => finish(Err(error)),
        }
    }

    /// Seals with the source's domains, opens with the target's: a move is a clone in every rule.
    fn prepare_move(&self, from: Source, to: SlotId, want: Handle) -> Result<Move> {
        let source = self.writer(from.slot)?;
        let target = self.writer(to)?;
        let (entry, payload) = self.open_by_handle(&source, from.handle)?;
        let blob = seal_for_cloning(&source, from.handle, &payload)?;
        let (object, payload) = verify(&target, &blob)?;
        Ok(Move {
            from: entry,
            from_slot: source.row().as_version(),
            put: put(&target, &object, payload, Some(want)),
        })
    }
}

/// Opens a blob with the slot's own domains and decodes what it holds: all of DESIGN.md 4's "To open".
pub(super) fn verify(session: &Session, blob: &[u8]) -> Result<(Object, SecretBytes)> {
    let slot = session.slot();
    let refused = |why| Error::Unverified { slot, why };
    let payload = blob::open(Kind::Object, session.roots(), blob).map_err(refused)?;
    let object = codec::decode(payload.bytes()).map_err(|why| match why {
        PayloadFault::Version(version) => Error::PayloadVersion { slot, version },
        PayloadFault::Malformed => refused(Fault::Malformed),
        PayloadFault::NotCanonical => refused(Fault::NotCanonical),
    })?;
    if !session.policies().allow_cloning(object.class) {
        return Err(Error::PolicyRefuses {
            slot,
            class: class_name(object.class),
        });
    }
    Ok((object, payload))
}
