//! What the store needs of an object that comes to a slot: how it is sealed, and what it is to the one that is there.

use std::sync::Arc;

use super::{
    Arrived, Became, Handle, Object, SealedRow, SecretBytes, Session, SlotFault, Stored, codec,
};
use slotfs_object::revision::{Relation, relation};
use slotfs_store::{Leaving, Meeting, Place, Put};

/// What the store needs of a verified object.
pub(super) fn put(
    session: &Arc<Session>,
    object: &Object,
    payload: SecretBytes,
    want: Option<Handle>,
) -> Put {
    let payload = Arc::new(payload);
    let (sealer, comparer) = (Arc::clone(session), Arc::clone(session));
    let (sealed, compared) = (Arc::clone(&payload), Arc::clone(&payload));
    Put {
        slot: session.row().as_version(),
        id: None,
        want,
        ouid: object.ouid,
        // The codec keeps payloads at 64 KiB.
        payload_bytes: payload.bytes().len() as u32,
        created_secs: stored_secs(object.created_secs),
        changed_secs: object.changed_secs().map(stored_secs),
        revision: object.revision.number,
        unless_removed: false,
        seal: Box::new(move |place| Ok(sealer.seal_row(place, &sealed)?)),
        meet: Box::new(move |place, row| {
            let there = comparer.open_row(place, row)?;
            meeting(&compared, &there).map_err(|what| unreadable(place, what).at(comparer.slot()))
        }),
        replaced: leaving(session),
    }
}

/// The largest number that SQLite stores; the sealed row is bound to it.
pub(super) fn stored_secs(secs: u64) -> u64 {
    secs.min(i64::MAX as u64)
}

fn unreadable(place: Place, what: String) -> SlotFault {
    let handle = place.handle;
    SlotFault::Unreadable { handle, what }
}

/// What the object in the payload `new` is to the one in `there`, which has the same identity.
///
/// # Errors
/// In words, when one of them does not decode.
pub(super) fn meeting(new: &SecretBytes, there: &SecretBytes) -> Result<Meeting, String> {
    // Most often, and cheaper than decoding: one object has one payload.
    if new == there {
        return Ok(Meeting::Same);
    }
    let decoded = |payload: &SecretBytes| {
        codec::decode(payload.bytes())
            .map_err(|why| format!("its payload does not decode: {why:?}"))
    };
    Ok(match relation(&decoded(new)?, &decoded(there)?) {
        Relation::Same => Meeting::Same,
        Relation::Successor => Meeting::Newer,
        Relation::Predecessor => Meeting::Older,
        Relation::Other(differs) => Meeting::Clash(differs),
    })
}

/// What becomes of an object that is removed from a slot or replaced in it.
pub(super) fn leaving(session: &Arc<Session>) -> Leaving {
    if session.row().retention_secs == 0 {
        return Leaving::Destroyed;
    }
    let session = Arc::clone(session);
    Leaving::ToTrash(Box::new(
        move |one: (Place, &SealedRow), other: (Place, &SealedRow)| {
            let opened = |(place, row)| session.open_row(place, row);
            matches!((opened(one), opened(other)), (Ok(one), Ok(other)) if one == other)
        },
    ))
}

impl From<Stored> for Arrived {
    fn from(stored: Stored) -> Self {
        let became = match stored {
            Stored::New(_) => Became::New,
            Stored::Already(_) => Became::Already,
            Stored::Revised {
                revision, replaced, ..
            } => Became::Revised { revision, replaced },
            Stored::Outdated(_) => Became::Outdated,
        };
        Self {
            handle: stored.handle(),
            became,
        }
    }
}
