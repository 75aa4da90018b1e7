//! Sealed blobs of the objects that are open for reading.
//!
//! The kernel has one page cache for all readers of a file. All of them read the same blob until the slot's domains
//! change. A reader that opens the object after that, while others still read the former blob, reads past the page cache;
//! otherwise each would get parts of both.

use crate::object::RowId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::lock;
use crate::error::Result;
use crate::hsm::{Hsm, ObjectFile, SealedBlob};

/// The blobs that are open, by row.
#[derive(Default)]
pub struct Seals(Mutex<HashMap<RowId, Weak<SealedBlob>>>);

impl Seals {
    /// Opens the object in `row`: the object as it is now, the bytes to read, and whether all its other readers read the same
    /// bytes.
    ///
    /// # Errors
    /// As [`Hsm::seal`].
    pub fn open(&self, hsm: &Hsm, row: RowId) -> Result<(ObjectFile, Arc<SealedBlob>, bool)> {
        if let Some(blob) = self.find(row)
            && let Some(object) = hsm.gives(row, &blob)?
        {
            return Ok((object, blob, true));
        }
        let (object, blob) = hsm.seal(row)?;
        let blob = Arc::new(blob);
        let mut map = lock(&self.0);
        // Another thread may have been faster. A blob that the slot no longer gives is left to its readers.
        Ok(match map.get(&row).and_then(Weak::upgrade) {
            Some(there) if there.bytes() == blob.bytes() => (object, there, true),
            Some(_) => (object, blob, false),
            None => {
                map.insert(row, Arc::downgrade(&blob));
                (object, blob, true)
            }
        })
    }

    fn find(&self, row: RowId) -> Option<Arc<SealedBlob>> {
        lock(&self.0).get(&row).and_then(Weak::upgrade)
    }

    /// The size in bytes of the blob that is open for `row`. While it is, the file has this size.
    pub fn size(&self, row: RowId) -> Option<u64> {
        self.find(row).map(|blob| blob.bytes().len() as u64)
    }

    /// Forgets the blob of `row` if its last reader is gone.
    pub fn tidy(&self, row: RowId) {
        let mut map = lock(&self.0);
        if map.get(&row).is_some_and(|blob| blob.strong_count() == 0) {
            map.remove(&row);
        }
    }
}
