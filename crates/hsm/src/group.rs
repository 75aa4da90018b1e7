//! What an HA group needs of one of its slots: a mark of every object's content, blobs by identity, and blobs taken in by
//! identity (docs/hagroup.md).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::blobs::Coming;
use super::clone::verify;
use super::objects::payload_of;
use super::{
    Arrived, Error, Handle, Object, ObjectFile, Ouid, Partition, Result, RowId, Sealed, SealedBlob,
    SecretBytes, Selection, TrashFile, decode_own,
};
use slotfs_object::revision;

/// Makes marks that can be compared over several stores. Only this process has the key, so a mark tells nothing about a
/// content that can be guessed.
pub struct ContentKey([u8; 32]);

impl ContentKey {
    /// A fresh one.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    fn of_payload(&self, payload: &SecretBytes) -> Content {
        self.of(b"payload", payload.bytes())
    }

    /// The mark of a blob that nobody here can open. It differs from that of the object in it.
    pub fn of_blob(&self, blob: &[u8]) -> Content {
        self.of(b"blob", blob)
    }

    fn of(&self, what: &[u8], bytes: &[u8]) -> Content {
        let digest = Sha256::new().chain_update(self.0).chain_update(what);
        Content(digest.chain_update(bytes).finalize().into())
    }
}

/// A mark of an object's content: two objects with the same mark are the same in every attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content([u8; 32]);

/// A mark of what may change of an object. It holds no value of a key, and all who hold the object make the same one, so that
/// a mount can tell it of what is in its trash, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description([u8; 16]);

impl Description {
    /// That of an object.
    pub fn of(object: &Object) -> Self {
        let digest = Sha256::digest(revision::description(object));
        let mut mark = [0; 16];
        for (to, from) in mark.iter_mut().zip(digest) {
            *to = from;
        }
        Self(mark)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Description {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // Signs are digits to the parser of numbers.
        let is_hex = text.len() == 32 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let number = is_hex
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten();
        Ok(Self(number.ok_or(())?.to_be_bytes()))
    }
}

/// One object of a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Its content.
    pub content: Content,
    /// The number of its revision.
    pub revision: u32,
    /// What may change of it.
    pub description: Description,
    /// When it was described last, seconds since 1970.
    pub changed_secs: u64,
}

/// One row of a survey; what cannot be read of a damaged one is `None`.
pub struct SurveyRow {
    /// Its handle.
    pub handle: Option<Handle>,
    /// Its identity.
    pub ouid: Option<Ouid>,
    /// What it is.
    pub outcome: Result<Surveyed>,
}

/// A blob on its way into a slot.
pub struct Carried {
    /// The object that it must hold.
    pub ouid: Ouid,
    /// The handle that it asks for.
    pub want: Option<Handle>,
    /// The blob.
    pub blob: Vec<u8>,
}

impl Partition<'_> {
    /// Opens every object of the slot; `each` sees one at a time. A damaged one is a row with an error.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`](super::SlotError::NotLoggedIn), a store that cannot be read, or, after all rows, a listing
    /// that was not whole.
    pub fn survey(&self, key: &ContentKey, mut each: impl FnMut(SurveyRow)) -> Result<()> {
        let all = Selection::All;
        for batch in self.batches(&all) {
            let rows = batch?;
            // The slot may have another key by now.
            self.hsm.refresh()?;
            let session = self.reader()?;
            for (handle, row) in rows {
                let (entry, sealed) = match row {
                    Ok(row) => row,
                    Err(error) => {
                        let ouid = match &error {
                            Error::ObjectDamaged(row) => row.ouid,
                            _ => None,
                        };
                        each(SurveyRow {
                            handle: Some(handle),
                            ouid,
                            outcome: Err(error),
                        });
                        continue;
                    }
                };
                let opened = self.hsm.open_listed(&session, &entry, &sealed);
                let surveyed = opened.and_then(|payload| {
                    let object = decode_own(self.slot, handle, payload.bytes())?;
                    Ok(surveyed(key, &object, &payload))
                });
                match surveyed {
                    // Removed since it was listed.
                    Err(Error::Gone) => {}
                    outcome => each(SurveyRow {
                        handle: Some(handle),
                        ouid: Some(entry.ouid),
                        outcome,
                    }),
                }
            }
        }
        for row in self.without_handle()? {
            each(SurveyRow {
                handle: None,
                ouid: row.ouid,
                outcome: Err(Error::ObjectDamaged(row)),
            });
        }
        self.check_count()
    }

    /// The object in the trash.
    ///
    /// # Errors
    /// As [`Hsm::open_trashed`](super::Hsm::open_trashed).
    pub fn survey_trashed(&self, key: &ContentKey, it: &TrashFile) -> Result<Surveyed> {
        let object = self.hsm.open_trashed(it)?;
        // One object has one payload.
        let payload = payload_of(self.slot, &object)?;
        Ok(surveyed(key, &object, &payload))
    }

    /// The object of identity `ouid` that was removed in row `row`; `None` if it is not in the trash, or is in the slot again.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`](super::SlotError::NotLoggedIn), [`SlotFault::Unreadable`](super::SlotFault::Unreadable)
    pub fn removed_identity(&self, ouid: Ouid, row: RowId) -> Result<Option<Object>> {
        self.session()?;
        if self.hsm.store.by_ouid(self.slot, ouid)?.is_some() {
            return Ok(None);
        }
        let opened = self
            .hsm
            .find_trashed_by_id(row)
            .and_then(|it| Ok((it, self.hsm.open_trashed(&it)?)));
        match opened {
            Ok((it, object)) if it.object.slot == self.slot && object.ouid == ouid => {
                Ok(Some(object))
            }
            // The row is another's by now.
            Ok(_) | Err(Error::Gone) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// The object of identity `ouid`, opened. Nothing leaves the slot, so no policy forbids it.
    ///
    /// # Errors
    /// [`SlotError::NoSuchIdentity`](super::SlotError::NoSuchIdentity), and as [`Hsm::open_object`](super::Hsm::open_object).
    pub fn survey_identity(
        &self,
        key: &ContentKey,
        ouid: Ouid,
    ) -> Result<(ObjectFile, Object, Surveyed)> {
        let found = self.find_by_ouid(ouid)?;
        let (_, object) = self.hsm.open_object(found.id)?;
        // One object has one payload.
        let payload = payload_of(self.slot, &object)?;
        let surveyed = surveyed(key, &object, &payload);
        Ok((found, object, surveyed))
    }

    /// The object in `blob`, opened with the slot's own keys. Nothing is stored.
    ///
    /// # Errors
    /// As [`Hsm::import`](super::Hsm::import), as far as the blob alone tells.
    pub fn describe_blob(&self, key: &ContentKey, blob: &[u8]) -> Result<(Object, Surveyed)> {
        let (object, payload) = verify(&*self.reader()?, blob)?;
        let surveyed = surveyed(key, &object, &payload);
        Ok((object, surveyed))
    }

    /// The object of identity `ouid`, and its blob as it leaves the slot.
    ///
    /// # Errors
    /// [`SlotError::NoSuchIdentity`](super::SlotError::NoSuchIdentity), and as [`Hsm::seal`](super::Hsm::seal).
    pub fn seal_identity(&self, ouid: Ouid) -> Result<(Handle, Sealed)> {
        let found = self.find_by_ouid(ouid)?;
        let (file, object) = self.hsm.open_object(found.id)?;
        let (_, blob) = self.hsm.seal(found.id)?;
        let blob = SealedBlob::bytes(&blob).to_vec();
        Ok((file.handle, Sealed { object, blob }))
    }

    /// Takes in blobs in one transaction; each fails by itself. What becomes of one is what
    /// [`Hsm::import`](super::Hsm::import) gives, or [`SlotFault::Removed`](super::SlotFault::Removed) where the object is in
    /// the slot's trash alone.
    ///
    /// # Errors
    /// What fails all of them: as [`Self::clone_list`].
    pub fn import_identities(&self, blobs: &[Carried]) -> Result<Vec<Result<Arrived>>> {
        let coming = blobs.iter().map(|carried| Coming {
            blob: &carried.blob,
            identity: Some(carried.ouid),
            want: carried.want,
            unless_removed: true,
        });
        self.take_in_all(&coming.collect::<Vec<_>>())
    }
}

fn surveyed(key: &ContentKey, object: &Object, payload: &SecretBytes) -> Surveyed {
    Surveyed {
        content: key.of_payload(payload),
        revision: object.revision.number,
        description: Description::of(object),
        changed_secs: object.changed_secs().unwrap_or(object.created_secs),
    }
}
