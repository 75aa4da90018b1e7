//! A store with slots that are logged in to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use slotfs_hsm::{
    Access, Arrived, DEFAULT_RETENTION_SECS, Error, Hsm, NewPartition, Partition, Policies,
    Removed, Wish, new_serial, wait,
};
use slotfs_object::new::{Naming, SecretKeyType, generate_secret_key};
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::CKA_LABEL;
use slotfs_object::sealed::Quorum;
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Attribute, Handle, Object, SlotId};
use slotfs_seal::credential::{KeyShare, QuorumSecret, Secret};
use slotfs_seal::domain::{DomainKey, new_key_file};

use crate::shared;
use crate::without_types::without_types;

pub struct Fixture {
    folder: tempfile::TempDir,
    /// The store: a file in the folder, or a place in a cluster.
    path: PathBuf,
    pub hsm: Arc<Hsm>,
    secrets: HashMap<SlotId, Secret>,
    pub shares: Vec<KeyShare>,
}

/// What a slot of the fixture is to be.
pub struct Slot {
    pub v1: bool,
    pub policies: Policies,
    pub retention_secs: u64,
    pub domain: Option<DomainKey>,
    /// With a password each login takes a tenth of a second; with key shares none.
    pub password: bool,
    /// The most objects.
    pub capacity: u64,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            v1: false,
            policies: Policies::default(),
            retention_secs: DEFAULT_RETENTION_SECS,
            domain: None,
            password: false,
            capacity: 100,
        }
    }
}

pub fn password() -> Secret {
    text("correct horse")
}

pub fn text(password: &str) -> Secret {
    SecretBytes::from(password.as_bytes()).into()
}

pub fn handle(number: u32) -> Handle {
    Handle::new(number).unwrap()
}

pub fn domain() -> DomainKey {
    DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap()
}

pub fn key() -> Object {
    let naming = Naming {
        label: "key".into(),
        id: Vec::new(),
    };
    generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap()
}

/// Another object that has the identity of `object`.
pub fn forged(object: &Object) -> Object {
    let mut forged = object.clone();
    let label = Attribute::Text("another".into());
    forged.attributes.insert(CKA_LABEL, label);
    forged
}

#[track_caller]
pub fn errno<T>(outcome: Result<T, Error>) -> i32 {
    outcome.err().unwrap().outcome().errno
}

/// Asserts that `outcome` is this error of a slot.
macro_rules! assert_slot_error {
    ($outcome:expr, $error:pat) => {
        let error = $outcome.err().unwrap();
        assert!(matches!(error.slot_error(), Some($error)), "{error:?}");
    };
}
pub(crate) use assert_slot_error;

impl Fixture {
    /// Slots 0, 1, ... of one domain with these policies and a password, where co is logged in.
    pub fn new(policies: &[Policies]) -> Self {
        let slots = policies.iter().map(|policies| Slot {
            policies: *policies,
            password: true,
            ..Slot::default()
        });
        Self::of(slots)
    }

    /// Slots 0, 1, ... of one domain, where co is logged in by key shares.
    pub fn quick(slots: usize) -> Self {
        Self::of((0..slots).map(|_| Slot::default()))
    }

    /// Slots 0, 1, ... of one domain unless they have their own, where co is logged in.
    pub fn of(slots: impl IntoIterator<Item = Slot>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = match shared::location() {
            Some(location) => location.into(),
            None => folder.path().join("store.db"),
        };
        let hsm = Hsm::open_or_create(&path).unwrap();
        let mut fixture = Self {
            folder,
            path,
            hsm,
            secrets: HashMap::new(),
            shares: Vec::new(),
        };
        let common = domain();
        for (number, it) in (0..).map(SlotId).zip(slots) {
            let mut new = fixture.new_partition(number, it.password);
            new.v1 = it.v1;
            new.policies = it.policies;
            new.retention_secs = it.retention_secs;
            new.capacity_objects = it.capacity;
            new.domain = it.domain.unwrap_or_else(|| common.clone());
            fixture.hsm.init_partition(new).unwrap();
            fixture.login(number.0, Role::Co).unwrap();
        }
        fixture
    }

    /// A partition for `slot`, which the fixture can log in to once it is made.
    pub fn new_partition(&mut self, slot: SlotId, with_password: bool) -> NewPartition {
        let serial = new_serial().unwrap();
        let secret = match with_password {
            true => password(),
            false => {
                let (secret, shares) = Self::secret(serial);
                self.shares = shares;
                secret
            }
        };
        self.secrets.insert(slot, secret.clone());
        NewPartition {
            serial,
            v1: false,
            slot,
            label: format!("slot {slot}"),
            domain: domain(),
            domain_label: "primary".into(),
            secret,
            retention_secs: DEFAULT_RETENTION_SECS,
            uid: None,
            gid: None,
            capacity_objects: 100,
            policies: Policies::default(),
            replaces: None,
        }
    }

    /// Two of three key shares.
    pub fn secret(serial: u64) -> (Secret, Vec<KeyShare>) {
        let quorum = Quorum::new(2, 3).unwrap();
        let (secret, shares) = QuorumSecret::random(quorum, serial).unwrap();
        (Secret::Quorum(secret), shares)
    }

    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub fn slot(&self, slot: u32) -> Partition<'_> {
        self.hsm.partition(SlotId(slot))
    }

    pub fn secret_of(&self, slot: u32) -> &Secret {
        &self.secrets[&SlotId(slot)]
    }

    /// From now on the fixture logs in with this secret.
    pub fn set_secret(&mut self, slot: SlotId, secret: Secret) {
        self.secrets.insert(slot, secret);
    }

    pub fn login(&self, slot: u32, role: Role) -> Result<(), Error> {
        self.slot(slot).login(role, self.secret_of(slot))
    }

    pub fn add(&self, slot: u32, object: &Object) -> Result<Arrived, Error> {
        wait(|done| self.slot(slot).add(object, done))
    }

    pub fn add_key(&self, slot: SlotId) -> Handle {
        self.add(slot.0, &key()).unwrap().handle
    }

    pub fn seal(&self, slot: SlotId, handle: Handle) -> Result<Vec<u8>, Error> {
        let found = self.hsm.partition(slot).find(handle)?;
        let (_, blob) = self.hsm.seal(found.id)?;
        Ok(blob.bytes().to_vec())
    }

    pub fn import(&self, slot: SlotId, blob: &[u8]) -> Result<Arrived, Error> {
        self.import_as(slot, Wish::Any, blob)
    }

    pub fn import_as(&self, slot: SlotId, wish: Wish, blob: &[u8]) -> Result<Arrived, Error> {
        let partition = self.hsm.partition(slot).id()?;
        let named = (wish, wish.to_string());
        wait(|done| {
            self.hsm
                .import(partition, None, named, blob.to_vec(), None, done);
        })
    }

    /// A new key of slot `from` as a blob, taken in by slot `to`.
    pub fn clone_key(&self, from: u32, to: u32) -> Result<Arrived, Error> {
        let blob = self.seal(SlotId(from), self.add_key(SlotId(from)))?;
        self.import(SlotId(to), &blob)
    }

    pub fn remove(&self, slot: u32, handle: Handle) -> Result<Removed, Error> {
        wait(|done| self.slot(slot).remove(handle, done))
    }

    pub fn renumber(&self, slot: u32, from: Handle, to: Handle) -> Result<(), Error> {
        wait(|done| self.slot(slot).renumber(from, to, done))
    }

    /// The store changed behind our back, then opened by another process.
    pub fn tamper(self, change: &str) -> Self {
        let (path, secrets, shares) = (self.path(), self.secrets.clone(), self.shares.clone());
        let folder = self.tamper_only(change);
        let hsm = Hsm::open(&path, Access::ReadWrite).unwrap();
        Self {
            folder,
            path,
            hsm,
            secrets,
            shares,
        }
    }

    /// The store closed and changed, to values of any type; the folder that it is in.
    pub fn tamper_only(self, change: &str) -> tempfile::TempDir {
        let path = self.path();
        let Self { folder, hsm, .. } = self;
        drop(hsm);
        without_types(&path, change);
        folder
    }
}
