//! `.slotfs/public`: the public content of each object that has any, as PEM.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::sync::Mutex;

use fuser::FileAttr;
use pem_rfc7468::LineEnding;

use super::attr::{NO_TTL, Seen, time};
use super::lookup::parse;
use super::node::Node;
use super::{Inner, lock};
use crate::error::{Error, Result};
use crate::hsm::{self, ObjectFile, Session};
use crate::keyfile::export::{Exported, export};
use crate::object::{Handle, Object, RowId, SlotId};

/// What follows the handle in a file's name.
const ENDING: &str = ".pem";
/// The most rows in one of the two halves of [`Sizes`]. A half takes about 4.5 MB then.
const MOST_OF_A_HALF: usize = 131_072;

/// The handle of a name in the folder.
///
/// # Errors
/// [`Error::NoSuchFile`]
pub fn handle_of(name: &OsStr) -> Result<Handle> {
    let start = name.to_str().and_then(|name| name.strip_suffix(ENDING));
    parse(OsStr::new(start.ok_or(Error::NoSuchFile)?))
}

/// The name of an object's file.
pub fn name_of(handle: Handle) -> String {
    format!("{handle}{ENDING}")
}

/// The public content of `object` as PEM; `None` if it has none. The value of a data object is not public.
fn pem_of(object: &Object) -> Option<String> {
    let (label, der) = match export(object) {
        Ok(Exported::PublicKey(der)) => ("PUBLIC KEY", der),
        Ok(Exported::Certificate(der)) => ("CERTIFICATE", der),
        Ok(Exported::Data(_)) | Err(_) => return None,
    };
    pem_rfc7468::encode_string(label, LineEnding::LF, &der).ok()
}

/// The size of a row's file, bytes; `None` if the row has no public content.
type Size = Option<NonZeroU32>;

/// The sizes of the files of rows that were opened before. A row never gets another content, so a size stays right until
/// its slot is logged out. What was not asked for longest is forgotten first.
#[derive(Default)]
pub struct Sizes(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    recent: HashMap<RowId, (SlotId, Size)>,
    former: HashMap<RowId, (SlotId, Size)>,
}

impl Sizes {
    fn get(&self, row: RowId) -> Option<Size> {
        let mut halves = lock(&self.0);
        if let Some((_, size)) = halves.recent.get(&row) {
            return Some(*size);
        }
        let (slot, size) = halves.former.remove(&row)?;
        halves.insert(row, slot, size);
        Some(size)
    }

    fn insert(&self, row: RowId, slot: SlotId, size: Size) {
        lock(&self.0).insert(row, slot, size);
    }

    /// Forgets all rows of a slot.
    pub fn clear(&self, slot: SlotId) {
        let mut halves = lock(&self.0);
        halves.recent.retain(|_, (of, _)| *of != slot);
        halves.former.retain(|_, (of, _)| *of != slot);
    }
}

impl Halves {
    fn insert(&mut self, row: RowId, slot: SlotId, size: Size) {
        if self.recent.len() >= MOST_OF_A_HALF {
            self.former = std::mem::take(&mut self.recent);
        }
        self.recent.insert(row, (slot, size));
    }
}

/// How much of an object's public content is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public {
    /// The size of its file, bytes.
    Bytes(u64),
    /// It has none.
    Nothing,
    /// The object cannot be opened, so nobody knows. Its file cannot be read.
    Unreadable,
}

impl Inner {
    /// What the object's file is. The object is opened only if its row was not opened lately.
    ///
    /// # Errors
    /// [`Error::Gone`], [`hsm::SlotError::NotLoggedIn`], or when the store cannot be read.
    pub(super) fn public(&self, object: &ObjectFile) -> Result<Public> {
        let row = object.id;
        let size = match self.public_sizes.get(row) {
            Some(size) => size,
            None => match self.hsm.open_object(row) {
                Ok((_, opened)) => {
                    let bytes = pem_of(&opened).and_then(|pem| u32::try_from(pem.len()).ok());
                    let size = bytes.and_then(NonZeroU32::new);
                    self.public_sizes.insert(row, object.slot, size);
                    size
                }
                Err(error) if error.is_damage() => return Ok(Public::Unreadable),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(size.map_or(Public::Nothing, |bytes| {
            Public::Bytes(u64::from(bytes.get()))
        }))
    }

    /// The file `name` of a slot's folder.
    pub(super) fn lookup_public(&self, slot: SlotId, name: &OsStr) -> Result<Seen> {
        let partition = self.hsm.partition(slot);
        partition.session()?;
        self.public_seen(partition.find(handle_of(name)?))
    }

    /// The attributes of the file of an object. The kernel must not remember them: another object may get the handle.
    pub(super) fn public_seen(&self, found: hsm::Result<ObjectFile>) -> Result<Seen> {
        let attr = match found {
            Ok(object) => {
                let session = self.hsm.partition(object.slot).session()?;
                self.public_attr(&session, &object)?
            }
            Err(hsm::Error::ObjectDamaged(row)) if row.has_inode() => {
                let session = self.hsm.partition(row.slot.ok_or(Error::Gone)?).session()?;
                Some(self.damaged_public_attr(&session, Node::Public(row.id)))
            }
            Err(error) => return Err(error.into()),
        };
        Ok((attr.ok_or(Error::NoSuchFile)?, NO_TTL))
    }

    /// The attributes of the object's file; `None` if it has none.
    ///
    /// # Errors
    /// As [`Self::public`].
    pub(super) fn public_attr(
        &self,
        session: &Session,
        object: &ObjectFile,
    ) -> Result<Option<FileAttr>> {
        let node = Node::Public(object.id);
        let bytes = match self.public(object)? {
            Public::Nothing => return Ok(None),
            Public::Bytes(bytes) => bytes,
            Public::Unreadable => return Ok(Some(self.damaged_public_attr(session, node))),
        };
        let owner = self.owner.of_slot(session.row());
        Ok(Some(owner.file(
            node,
            0o444,
            bytes,
            time(object.time_secs()),
        )))
    }

    /// The attributes of the file of an object that cannot be opened: it may have public content, and a mirror must not take
    /// the file for removed.
    pub(super) fn damaged_public_attr(&self, session: &Session, node: Node) -> FileAttr {
        let damaged = self.damaged_attr(session, node);
        FileAttr {
            perm: damaged.perm & 0o444,
            ..damaged
        }
    }

    /// The object in `row` as a file, and the content of its file here.
    ///
    /// # Errors
    /// [`Error::Gone`]; [`hsm::SlotError::NotForUsers`] of a private object that is a public key or a certificate, for a
    /// crypto user; whatever keeps the object from being opened.
    pub(super) fn public_content(&self, row: RowId) -> Result<(ObjectFile, Vec<u8>)> {
        let (file, object) = self.hsm.open_object_to_export(row)?;
        let pem = pem_of(&object).ok_or(Error::NoSuchFile)?;
        Ok((file, pem.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_handle_has_one_name() {
        let handle = Handle::new(124).unwrap();
        assert_eq!(name_of(handle), "124.pem");
        assert_eq!(handle_of(OsStr::new("124.pem")).unwrap(), handle);
        for other in [
            "124",
            "0124.pem",
            "0.pem",
            ".pem",
            "124.PEM",
            "124.pem.pem",
            "124.pem~",
        ] {
            assert!(handle_of(OsStr::new(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn sizes_are_bounded_and_what_is_asked_for_stays() {
        let (sizes, slot) = (Sizes::default(), SlotId(3));
        let size = NonZeroU32::new(113);
        let row = |number: usize| RowId(i64::try_from(number).unwrap());
        for number in 1..=3 * MOST_OF_A_HALF {
            sizes.insert(row(number), slot, size);
            assert_eq!(sizes.get(row(1)), Some(size));
        }
        {
            let halves = lock(&sizes.0);
            assert!(halves.recent.len() <= MOST_OF_A_HALF);
            assert!(halves.former.len() <= MOST_OF_A_HALF);
        }
        assert_eq!(sizes.get(row(2)), None);
        sizes.insert(row(2), SlotId(4), None);
        sizes.clear(slot);
        assert_eq!(sizes.get(row(1)), None);
        assert_eq!(sizes.get(row(2)), Some(None));
    }
}
