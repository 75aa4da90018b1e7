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
        blob: &[u8],
        source: Option<Source>,
        name: &str,
        done: impl Done<Arrived>,
    ) {
        let verified = self
            .writer(slot)
            .and_then(|session| verify(&session, blob).map(|opened| (session, opened)));
        let hsm = Arc::clone(self);
        match verified {
            Ok((session, (object, payload))) => {
                let known = source.or_else(|| self.whereabouts(object.ouid, slot));
                let subject = known.map_or(Subject::Identity(object.ouid), Subject::Known);
                let put = put(&session, &object, payload, want);
                self.store.put(put, move |stored| {
                    let outcome = stored.map(Arrived::from);
                    hsm.journal.record(&subject, slot, &outcome);
                    done(outcome);
                });
            }
            Err(error) => {
                let subject = source.map_or_else(|| Subject::Name(name.to_owned()), Subject::Known);
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

    /// Moves the object in row `id` to handle `want` of another slot, in one transaction: both the clone
    /// and the removal, or neither.
    ///
    /// Calls `done` as [`Self::import`] does, with [`Error::HandleTaken`] when another object has `want`.
    pub fn move_object(
        self: &Arc<Self>,
        id: i64,
        to: SlotId,
        want: Handle,
        done: impl Done<Arrived>,
    ) {
        let prepared = (|| {
            let (session, entry, payload) = self.open_by_id(id)?;
            let source = Source {
                slot: entry.slot,
                handle: entry.handle,
            };
            self.writer(entry.slot)?;
            let put = self.writer(to).and_then(|target| {
                let blob = seal_for_cloning(&session, entry.handle, &payload)?;
                let (object, payload) = verify(&target, &blob)?;
                Ok(put(&target, &object, payload, Some(want)))
            });
            Ok((source, session.row().serial, entry, put))
        })();
        let hsm = Arc::clone(self);
        let finish = move |source: Source,
                           outcome: Result<Arrived>,
                           done: Box<dyn FnOnce(Result<Arrived>)>| {
            hsm.journal.record(&Subject::Known(source), to, &outcome);
            done(outcome);
        };
        match prepared {
            Ok((source, from_serial, from, Ok(put))) => {
                let it = Move {
                    from,
                    from_serial,
                    put,
                };
                self.store.move_object(it, move |stored| {
                    finish(source, stored.map(Arrived::from), Box::new(done));
                });
            }
            Ok((source, _, _, Err(error))) => finish(source, Err(error), Box::new(done)),
            Err(error) => done(Err(error)),
        }
    }
}

/// Opens a blob with the slot's own domains and decodes what it holds: all of DESIGN.md 4's "To open".
fn verify(session: &Session, blob: &[u8]) -> Result<(Object, SecretBytes)> {
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
