//! Every rule: who may log in, and which objects may be read, taken in, moved and destroyed. Only this crate combines
//! blobs, credentials and the store. It knows nothing of files or of the kernel.
//!
//! Calls that write take a `done`. It runs once the outcome is durable, or the call was refused before that. It runs on
//! the caller's thread or on that of another writer, so the caller must not hold a lock that `done` takes. [`wait`]
//! turns such a call into a blocking one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::Instant;

// Most modules take these names from here.
use shared::Shared;
use slotfs_object::partition::{Role, SlotKind};
use slotfs_object::sealed::SealedRow;
use slotfs_object::secret::{Key, SecretBytes};
use slotfs_object::{Handle, Object, Ouid, RowId, SlotId, codec, now_secs};
use slotfs_seal::blob;
use slotfs_seal::credential::Secret;
use slotfs_store::{self as store, CommitStats, Entry, Store, Stored};

mod add_list;
mod amend;
pub mod asker;
mod batch;
mod blobs;
mod check;
mod clone;
mod clone_check;
mod clone_list;
mod counts;
mod domains;
mod done;
mod error;
pub mod formats;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gather;
mod group;
mod header;
mod init;
mod journal;
mod keys;
mod login;
mod logins;
mod objects;
mod partition;
#[cfg(test)]
mod plans;
mod policy;
mod put;
mod refresh;
mod rekey;
mod revise;
mod roles;
mod seen;
mod session;
mod shared;
mod smk;
mod state_folder;
mod trash;
mod trash_name;
mod trusted;
mod whereabouts;

pub use add_list::Added;
pub use blobs::Sealed;
pub use check::{CheckedSlot, Finding};
pub use clone::Wish;
pub use clone_list::Selection;
pub use domains::DomainFault;
pub use done::{Done, wait};
pub use error::{Error, Outcome, Result, ResultCode, SlotError, code, exit, of_attribute};
pub use gather::{Gathering, Presented};
pub use group::{Carried, Content, ContentKey, Description, SurveyRow, Surveyed};
pub use init::{
    DEFAULT_CAPACITY_OBJECTS, DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, NewPartition,
    check_label, check_password, new_serial,
};
pub use journal::{Journal, Origin, Source, reason, verdict_line, verdict_words};
pub use logins::{Login, Logins};
pub use objects::{ContentsRow, ObjectFile, SealedBlob};
pub use partition::{PartitionId, Settings};
pub use policy::{Capability, Policies, Policy, PolicyFault};
pub use rekey::Rekey;
pub use revise::Described;
pub use roles::{Reissued, RoleState, check_resettable, makers};
pub use seen::Accepted;
pub use session::{Session, Smk};
pub use slotfs_store::{
    Access, DamagedRow, Error as StoreError, PartitionMark, Read, SlotFault, SlotRow, StateMark,
    StoreFault, briefly, check_location,
};
pub use smk::{Received, SmkFault, SmkFile};
pub use state_folder::StateFolder;
pub use trash::{Removed, TrashFile};
pub use trash_name::TrashName;

/// The largest blob there can be, bytes.
pub const MAX_BLOB_BYTES: usize = blob::MAX_BLOB_BYTES;

/// One HSM: a store, and who is logged in to it through this view of it.
pub struct Hsm {
    sessions: RwLock<HashMap<SlotId, Arc<Session>>>,
    /// The listener for slots that other processes changed.
    on_change: OnceLock<OnChange>,
    /// Key shares of those who are logging in.
    gathered: gather::Gathered,
    shared: Arc<Shared>,
}

impl std::ops::Deref for Hsm {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// One slot of the store.
pub struct ListedSlot {
    /// Its number, where that can be read.
    pub slot: Option<SlotId>,
    /// Its row, or what is wrong with it.
    pub row: Result<SlotRow>,
}

/// One partition of an HSM, and the place for one.
#[derive(Clone, Copy)]
pub struct Partition<'a> {
    hsm: &'a Hsm,
    slot: SlotId,
}

/// Called with a slot whose objects' blobs may have changed.
type OnChange = Box<dyn Fn(SlotId) + Send + Sync>;

/// Where an object now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its handle in the target slot.
    pub handle: Handle,
    /// How it comes to be there.
    pub became: Became,
}

/// What became of an object that came to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is new there.
    New,
    /// It was there before, with the same content.
    Already,
    /// It replaced an earlier revision of itself.
    Revised {
        /// The number of its own revision.
        revision: u32,
        /// A row that no object has any more.
        replaced: RowId,
    },
    /// A later revision of it is there: nothing was stored.
    Outdated,
}

impl Became {
    /// The number of the revision that replaced an earlier one.
    pub fn revision(self) -> Option<u32> {
        match self {
            Self::Revised { revision, .. } => Some(revision),
            Self::New | Self::Already | Self::Outdated => None,
        }
    }
}

impl Arrived {
    /// Whether it was stored, and not there before in this or a later revision.
    pub fn is_stored(&self) -> bool {
        matches!(self.became, Became::New | Became::Revised { .. })
    }

    /// The row that it took the place of.
    pub fn replaced(&self) -> Option<RowId> {
        match self.became {
            Became::Revised { replaced, .. } => Some(replaced),
            Became::New | Became::Already | Became::Outdated => None,
        }
    }
}

impl Hsm {
    /// Opens the store at `path`; nobody is logged in.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(path: &Path, access: Access) -> Result<Arc<Self>> {
        Ok(Self::over(Store::open(path, access)?))
    }

    /// Opens the store at `path`, or makes an empty one there.
    ///
    /// # Errors
    /// As [`Store::open_or_create`].
    pub fn open_or_create(path: &Path) -> Result<Arc<Self>> {
        Ok(Self::over(Store::open_or_create(path)?))
    }

    fn over(store: Store) -> Arc<Self> {
        Self::of(Arc::new(Shared {
            store,
            refreshing: Mutex::default(),
            refreshed: AtomicU64::new(0),
            opened: Instant::now(),
            journal: Journal::default(),
            fingerprints: whereabouts::Fingerprints::default(),
            seen: seen::Seen::default(),
            located: seen::Seen::default(),
            keys: Arc::default(),
            views: Mutex::default(),
        }))
    }

    fn of(shared: Arc<Shared>) -> Arc<Self> {
        let view = Arc::new(Self {
            sessions: RwLock::default(),
            on_change: OnceLock::new(),
            gathered: gather::Gathered::default(),
            shared,
        });
        let mut views = view.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|it| it.strong_count() > 0);
        views.push(Arc::downgrade(&view));
        drop(views);
        view
    }

    /// Another view of the same store, with logins of its own: who is logged in there is not here. Both see what either
    /// writes.
    pub fn view(&self) -> Arc<Self> {
        Self::of(Arc::clone(&self.shared))
    }

    /// Every view of the store in this process.
    fn views(&self) -> Vec<Arc<Self>> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.iter().filter_map(Weak::upgrade).collect()
    }

    fn sessions(&self) -> RwLockReadGuard<'_, HashMap<SlotId, Arc<Session>>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions_mut(&self) -> RwLockWriteGuard<'_, HashMap<SlotId, Arc<Session>>> {
        let sessions = self.sessions.write();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition in `slot`, or the place for one. Each call finds out whether it is there, since another process may
    /// make or delete it at any time.
    pub fn partition(&self, slot: SlotId) -> Partition<'_> {
        Partition { hsm: self, slot }
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// When the store was made, seconds since 1970.
    pub fn created_secs(&self) -> u64 {
        self.store.created_secs()
    }

    /// The version of the store's schema.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn schema_version(&self) -> Result<u32> {
        Ok(self.store.schema_version()?)
    }

    /// Whether the store is open read-only.
    pub fn is_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    /// Counters of the committer.
    pub fn commit_stats(&self) -> CommitStats {
        self.store.commit_stats()
    }

    /// Every verdict of this process.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Every slot, by number; a damaged one has an error in place of its row.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn slots(&self) -> Result<Vec<ListedSlot>> {
        let listed = self.store.slots()?.into_iter().map(|it| ListedSlot {
            slot: it.slot,
            row: it.row.map_err(Error::from),
        });
        Ok(listed.collect())
    }
}

impl Partition<'_> {
    /// One slot.
    ///
    /// # Errors
    /// [`SlotFault::Missing`], or when the store cannot be read.
    pub fn row(&self) -> Result<SlotRow> {
        Ok(self.hsm.store.slot(self.slot)?)
    }

    /// The role that is logged in, if there is one. The store is not asked.
    pub fn role(&self) -> Option<Role> {
        let sessions = self.hsm.sessions();
        sessions.get(&self.slot).map(|session| session.role())
    }

    /// Who is logged in to the slot.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`]; [`StoreFault::Lost`]; [`SlotFault::Damaged`] where nobody can log in.
    pub fn session(&self) -> Result<Arc<Session>> {
        self.hsm.store.not_lost()?;
        let session = self.hsm.sessions().get(&self.slot).cloned();
        session.ok_or_else(|| match self.row() {
            Err(error) if error.is_slot_damaged() => error,
            _ => SlotError::NotLoggedIn.at(self.slot),
        })
    }

    /// Whether the role that is logged in, and the store, take writes.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::ReadOnly`]
    pub fn may_write(&self) -> Result<()> {
        self.writer().map(drop)
    }

    /// The rows of every object of a slot, whoever is logged in.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn object_ids(&self) -> Result<Vec<RowId>> {
        Ok(self.hsm.store.ids(self.slot)?)
    }

    /// The session, if its role may read objects.
    fn reader(&self) -> Result<Arc<Session>> {
        let session = self.session()?;
        let (role, needed) = (session.role(), Role::Co);
        match role {
            Role::Co | Role::Cu => Ok(session),
            Role::Po => Err(SlotError::RoleNeeded { role, needed }.at(self.slot)),
        }
    }

    /// The session, if its role and the store let it write objects.
    fn writer(&self) -> Result<Arc<Session>> {
        let session = self.reader()?;
        let why = match session.role() {
            _ if self.hsm.store.is_read_only() => "the store is read-only",
            Role::Co => return Ok(session),
            Role::Cu | Role::Po => "a crypto user reads and never writes",
        };
        Err(SlotError::ReadOnly(why).at(self.slot))
    }
}

/// What the bytes at the start of a blob say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// Too few bytes to tell.
    Unknown,
    /// The whole blob's length.
    Bytes(usize),
    /// No blob starts like this.
    NotABlob(blob::Fault),
}

/// How long the blob that starts with `start` says it is.
pub fn stated_length(start: &[u8]) -> Stated {
    match blob::Header::parse(start) {
        Ok(header) => Stated::Bytes(header.blob_bytes()),
        Err(blob::Fault::CutShort { .. }) => Stated::Unknown,
        Err(why) => Stated::NotABlob(why),
    }
}

/// The error of a blob that ends before it is complete: `start` is all there is without a gap.
pub fn cut_short(slot: SlotId, start: &[u8]) -> Error {
    let have = start.len();
    let cut_short = |want| blob::Fault::CutShort { have, want };
    let why = match stated_length(start) {
        Stated::Bytes(want) => cut_short(want),
        Stated::Unknown => cut_short(blob::HEADER_BYTES),
        Stated::NotABlob(why) => why,
    };
    SlotError::Unverified(why).at(slot)
}

/// The error of bytes after a blob's end.
pub fn too_long(slot: SlotId) -> Error {
    SlotError::Unverified(blob::Fault::TooLong).at(slot)
}

/// Decodes a payload from a slot's own rows, where any fault is damage.
fn decode_own(slot: SlotId, handle: Handle, payload: &[u8]) -> Result<Object> {
    codec::decode(payload).map_err(|why| {
        let what = format!("its payload does not decode: {why:?}");
        SlotFault::Unreadable { handle, what }.at(slot).into()
    })
}
