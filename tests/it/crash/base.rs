//! The stores that the operations start from.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use slotfs::credential::Binding;
use slotfs::credential::kdf::argon2id;
use slotfs::object::partition::Role;
use slotfs::object::sealed::{Credential, KdfParams, Method};

use crate::disk::Image;
use crate::fixture::{Store, password};

/// The least that a store may ask for: each image is logged in to several times.
const CHEAP: KdfParams = KdfParams {
    memory_kib: 19 * 1024,
    passes: 1,
    lanes: 1,
};

/// A store that nobody has open, with its key and password files beside it.
pub struct Base {
    store: Store,
}

impl Base {
    /// Slots 0 and 1 of domain red, empty. Beside it the domain key blue and the file `new` with another password.
    pub fn empty() -> Self {
        let store = Store::empty();
        store.slot(0, "red");
        store.slot(1, "red");
        store.domain("blue");
        crate::fixture::write_private(&store.path("new"), "another password\n");
        let base = Self { store };
        base.make_logins_cheap();
        base
    }

    /// Slot 0 with `keys` AES keys and one object of 30 kB.
    pub fn with_keys(keys: u32) -> Self {
        let base = Self::empty();
        base.store.aes(0, keys);
        base.store.data(0, 30_000);
        base
    }

    /// Slot 0 with `keys` AES keys, and in its trash the first `removed` of them.
    pub fn with_trash(keys: u32, removed: u32) -> Self {
        let base = Self::with_keys(keys);
        let handles: Vec<String> = (1..=removed).map(|handle| handle.to_string()).collect();
        let line = format!("object delete -force -handle {}", handles.join(","));
        base.store.run_in(0, &line).ok();
        base
    }

    /// Slots 0 and 1 with the same objects, of which slot 1 has later revisions of the first `keys`.
    pub fn with_revisions(keys: u32) -> Self {
        let base = Self::with_keys(keys);
        let clone = "--active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1";
        base.store.run(clone).ok();
        for handle in 1..=keys {
            let line = format!("object set -handle {handle} -label another-label");
            base.store.run_in(1, &line).ok();
        }
        base
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store's file.
    pub fn image(&self) -> Image {
        let wal = self.store.path("store.db-wal");
        assert!(!wal.exists(), "somebody still has the store open");
        let bytes = std::fs::read(self.store.path("store.db")).unwrap();
        Image::from([("store.db".to_owned(), bytes)])
    }

    /// A directory with the same key and password files and no store.
    pub fn beside(&self) -> Store {
        let fresh = Store::empty();
        for name in ["pw-0", "pw-1", "new", "red.pem", "blue.pem"] {
            std::fs::copy(self.store.path(name), fresh.path(name)).unwrap();
        }
        fresh
    }

    /// Wraps each pair anew under the same password at the lowest cost (docs/format.md, "Credentials").
    fn make_logins_cheap(&self) {
        let db = rusqlite::Connection::open(self.store.path("store.db")).unwrap();
        let rows: Vec<(u32, u64, i64, u8, Credential)> = db
            .prepare(
                "SELECT slot, serial, credentials.id, role, memory_kib, passes, lanes, salt, commitment, wrapped
                 FROM credentials JOIN slots USING (slot)",
            )
            .unwrap()
            .query_map([], |row| {
                let serial: i64 = row.get(1)?;
                let params = KdfParams {
                    memory_kib: row.get(4)?,
                    passes: row.get(5)?,
                    lanes: row.get(6)?,
                };
                let credential = Credential {
                    method: Method::Password(params),
                    salt: row.get(7)?,
                    commitment: row.get(8)?,
                    wrapped: row.get(9)?,
                };
                Ok((row.get(0)?, serial.cast_unsigned(), row.get(2)?, row.get(3)?, credential))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for (slot, serial, id, role, credential) in rows {
            let role = Role::from_number(role).unwrap();
            let binding = Binding {
                serial,
                role,
                id: slotfs::object::sealed::PartId(id),
            };
            let cheap = rewrap(&credential, slot, binding);
            db.execute(
                "UPDATE credentials SET memory_kib = ?2, passes = ?3, lanes = ?4, commitment = ?5, wrapped = ?6
                 WHERE id = ?1",
                rusqlite::params![id, CHEAP.memory_kib, CHEAP.passes, CHEAP.lanes, cheap.commitment, cheap.wrapped],
            )
            .unwrap();
        }
    }
}

fn rewrap(old: &Credential, slot: u32, binding: Binding) -> Credential {
    let (nonce, rest) = old.wrapped.split_first_chunk::<12>().unwrap();
    let (mut pair, tag) = rest
        .split_first_chunk::<64>()
        .map(|(k, t)| (*k, t))
        .unwrap();
    let Method::Password(params) = old.method else {
        panic!("a password slot");
    };
    let (cipher, _) = wrapping(slot, params, &old.salt);
    cipher
        .decrypt_inout_detached(
            &Nonce::from(*nonce),
            &aad(binding, params, &old.salt),
            pair.as_mut_slice().into(),
            &Tag::try_from(tag).unwrap(),
        )
        .unwrap();
    let (cipher, commitment) = wrapping(slot, CHEAP, &old.salt);
    let tag = cipher
        .encrypt_inout_detached(
            &Nonce::from(*nonce),
            &aad(binding, CHEAP, &old.salt),
            pair.as_mut_slice().into(),
        )
        .unwrap();
    Credential {
        method: Method::Password(CHEAP),
        salt: old.salt.clone(),
        commitment,
        wrapped: [&nonce[..], &pair, &tag].concat(),
    }
}

fn wrapping(slot: u32, cost: KdfParams, salt: &[u8]) -> (Aes256Gcm, Vec<u8>) {
    let stretched = argon2id(password(slot).as_bytes(), salt, cost).unwrap();
    let mut keys = [0; 64];
    Hkdf::<Sha256>::new(None, stretched.bytes())
        .expand(b"slotfs 1 wrap", &mut keys)
        .unwrap();
    let (key, commitment) = keys.split_first_chunk::<32>().unwrap();
    (Aes256Gcm::new(key.into()), commitment.to_vec())
}

fn aad(binding: Binding, cost: KdfParams, salt: &[u8]) -> Vec<u8> {
    let mut aad = b"slotfs 2 credential".to_vec();
    aad.extend(binding.serial.to_le_bytes());
    aad.push(binding.role as u8);
    aad.extend(binding.id.0.to_le_bytes());
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        aad.extend(number.to_le_bytes());
    }
    aad.extend(salt);
    aad
}
