//! Sealed blobs of the objects that are open for reading.
//!
//! The kernel has one page cache for all who read a file, and an object has the same blob for all of them until its
//! slot's domains change. Who opens it after that, while others still read the former blob, goes past the page cache: or
//! each would get parts of both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::Result;
use crate::hsm::{Hsm, ObjectFile, SealedBlob};

/// What is open, by row.
#[derive(Default)]
pub struct Seals(Mutex<HashMap<i64, Weak<SealedBlob>>>);

/// An object that was opened for reading.
pub struct Opened {
    /// As it was then.
    pub object: ObjectFile,
    /// What is read.
    pub blob: Arc<SealedBlob>,
    /// Whether all others who read the object read the same.
    pub shared: bool,
}

impl Seals {
    fn map(&self) -> MutexGuard<'_, HashMap<i64, Weak<SealedBlob>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the object in row `id`.
    ///
    /// # Errors
    /// As [`Hsm::seal`].
    pub fn open(&self, hsm: &Hsm, id: i64) -> Result<Opened> {
        if let Some(blob) = self.find(id)
            && let Some(object) = hsm.gives(id, &blob)?
        {
            return Ok(Opened {
                object,
                blob,
                shared: true,
            });
        }
        let (object, blob) = hsm.seal(id)?;
        let blob = Arc::new(blob);
        let mut map = self.map();
        // Another may have been faster; and one that the slot no longer gives is left to who reads it.
        let (blob, shared) = match map.get(&id).and_then(Weak::upgrade) {
            Some(there) if there.bytes() == blob.bytes() => (there, true),
            Some(_) => (blob, false),
            None => {
                map.insert(id, Arc::downgrade(&blob));
                (blob, true)
            }
        };
        Ok(Opened {
            object,
            blob,
            shared,
        })
    }

    fn find(&self, id: i64) -> Option<Arc<SealedBlob>> {
        self.map().get(&id).and_then(Weak::upgrade)
    }

    /// The size, bytes, of what others read of row `id`: while they do, it is the file's.
    pub fn size(&self, id: i64) -> Option<u64> {
        self.find(id).map(|blob| blob.bytes().len() as u64)
    }

    /// After a reader is gone: forgets what nobody reads any more.
    pub fn tidy(&self, id: i64) {
        let mut map = self.map();
        if map.get(&id).is_some_and(|blob| blob.strong_count() == 0) {
            map.remove(&id);
        }
    }
}
