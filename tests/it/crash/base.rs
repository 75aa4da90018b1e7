//! The stores that the operations start from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use slotfs::credential::Binding;
use slotfs::credential::kdf::argon2id;
use slotfs::object::sealed::{Credential, KdfParams, Method};

use crate::disk::Image;
use crate::fixture::{Store, names, password, write_private};
use crate::sealed_header;

/// The least that a store may ask for: each image is logged in to several times.
const CHEAP: KdfParams = KdfParams {
    memory_kib: 19 * 1024,
    passes: 1,
    lanes: 1,
};

/// Where the password of each role in slot 0 is.
const PASSWORDS: [(&str, &str); 3] = [("po", "po-0"), ("co", "pw-0"), ("cu", "cu-0")];

/// A store that nobody has open, with its key and password files beside it.
pub struct Base {
    store: Store,
    /// The roles of slot 0 whose logins are looked at, and the file with the password, or the folder with the shares, of each.
    roles: Vec<(&'static str, &'static str)>,
    /// Whether slot 0 takes key shares.
    quorum: bool,
}

impl Base {
    /// Slots 0 and 1 of domain red, empty. Beside it the domain key blue and the file `new` with another password.
    pub fn empty() -> Self {
        let store = Store::empty();
        store.slot(0, "red");
        Self::with_slot_0(store, &[], false)
    }

    /// The same around a slot 0 that is there.
    fn with_slot_0(store: Store, roles: &[(&'static str, &'static str)], quorum: bool) -> Self {
        store.slot(1, "red");
        store.domain("blue");
        if !quorum {
            write_private(&store.path("new"), "another password\n");
        }
        let roles = roles.to_vec();
        let base = Self {
            store,
            roles,
            quorum,
        };
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
        base.remove(removed);
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

    /// Slot 0 with three roles, each with a password of its own; three keys, one of them in the trash.
    pub fn with_roles() -> Self {
        let store = Store::empty();
        store.slot(0, "red");
        for role in ["po", "cu"] {
            write_private(
                &store.path(format!("{role}-0")),
                &format!("{role} {}\n", password(0)),
            );
        }
        store
            .run("role changepw -name po -newpasswordfile po-0 -slot 0 --password-file 0:po=pw-0")
            .ok();
        store
            .run_in(0, "role init -name cu -newpasswordfile cu-0")
            .ok();
        let base = Self::with_slot_0(store, &PASSWORDS, false);
        base.store.aes(0, 3);
        base.remove(1);
        base
    }

    /// The same, where slot 0 takes two of three key shares; po and co have the same ones.
    pub fn with_shares() -> Self {
        let store = Store::empty();
        store.domain("red");
        store
            .run(
                "partition init -slot 0 -label slot0 -domainkey red.pem -quorum 2/3 -shares shares",
            )
            .ok();
        let co = shares("co", "shares");
        store
            .run(&format!(
                "role init -name cu -shares shares-cu -slot 0 {co}"
            ))
            .ok();
        let roles = [("po", "shares"), ("co", "shares"), ("cu", "shares-cu")];
        let base = Self::with_slot_0(store, &roles, true);
        base.store
            .run(&format!(
                "object generate -type aes -bits 256 -label key -count 3 -slot 0 {co}"
            ))
            .ok();
        base.store
            .run(&format!("object delete -force -handle 1 -slot 0 {co}"))
            .ok();
        base
    }

    /// A store of schema 3, whose slot 0 has three roles.
    pub fn of_schema_3() -> Self {
        let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/v3");
        let store = Store::empty();
        for (from, to) in [
            ("store.db", "store.db"),
            ("red.pem", "red.pem"),
            ("blue.pem", "blue.pem"),
            ("pw-0-po", "po-0"),
            ("pw-0-co", "pw-0"),
            ("pw-0-cu", "cu-0"),
            ("pw-1-co", "pw-1"),
        ] {
            let path = store.path(to);
            fs::write(&path, fs::read(formats.join(from)).unwrap()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        write_private(&store.path("new"), "another password\n");
        let base = Self {
            store,
            roles: PASSWORDS.to_vec(),
            quorum: false,
        };
        base.make_logins_cheap();
        base
    }

    /// A role of slot 0 has changed its password.
    pub fn changed(mut self, role: &str) -> Self {
        write_private(&self.store.path("changed"), "a changed password\n");
        let login = self.login(role, false);
        let line = format!("role changepw -name {role} -newpasswordfile changed -slot 0 {login}");
        self.store.run(&line).ok();
        for (it, secret) in &mut self.roles {
            if *it == role {
                *secret = "changed";
            }
        }
        self.make_logins_cheap();
        self
    }

    /// A role of slot 0 has logged in.
    pub fn logged_in(self, role: &str) -> Self {
        let login = self.login(role, false);
        self.store
            .run(&format!("role login -name {role} -slot 0 {login}"))
            .ok();
        self
    }

    fn remove(&self, count: u32) {
        let handles: Vec<String> = (1..=count).map(|handle| handle.to_string()).collect();
        let line = format!("object delete -force -handle {}", handles.join(","));
        self.store.run_in(0, &line).ok();
    }

    /// The roles of slot 0 whose logins are looked at.
    pub fn roles(&self) -> impl Iterator<Item = &'static str> {
        self.roles.iter().map(|(role, _)| *role)
    }

    /// Whether both roles of slot 0 have the same secret.
    pub fn is_shared(&self, one: &str, other: &str) -> bool {
        self.secret(one) == self.secret(other)
    }

    /// How a role of slot 0 logs in, with the secret `new` or with its own.
    pub fn login(&self, role: &str, with_new: bool) -> String {
        let secret = if with_new { "new" } else { self.secret(role) };
        match self.quorum {
            true => shares(role, secret),
            false => format!("--password-file 0:{role}={secret}"),
        }
    }

    fn secret(&self, role: &str) -> &'static str {
        let known = self.roles.iter().find(|(it, _)| *it == role);
        known.map_or("pw-0", |(_, secret)| secret)
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

    /// A directory with the same key, password and share files and no store.
    pub fn beside(&self) -> Store {
        let fresh = Store::empty();
        for name in names(&self.store.path(".")) {
            let from = self.store.path(&name);
            if from.is_dir() && name.starts_with("shares") {
                fs::create_dir(fresh.path(&name)).unwrap();
                for share in names(&from) {
                    let share = Path::new(&name).join(share);
                    fs::copy(self.store.path(&share), fresh.path(&share)).unwrap();
                }
            } else if from.is_file() && !name.starts_with("store.db") {
                fs::copy(from, fresh.path(name)).unwrap();
            }
        }
        fresh
    }

    /// Wraps what the credentials of slots 0 and 1 wrap anew under the same password at the lowest cost (docs/format.md,
    /// "Credentials").
    fn make_logins_cheap(&self) {
        let db = rusqlite::Connection::open(self.store.path("store.db")).unwrap();
        let mut hashes = Vec::new();
        let mut keys = BTreeMap::new();
        for row in sealed_header::credentials(&db, 2) {
            let (slot, role) = (row.slot, row.binding.role);
            let files = [
                format!("{role}-{slot}"),
                format!("pw-{slot}"),
                "changed".to_owned(),
            ];
            let mut files = files.iter().map(|name| self.store.path(name));
            let cheap = files.find_map(|file| {
                let password = fs::read_to_string(file).ok()?;
                let password = password.trim_end();
                let cheap = rewrap(&row.credential, password, row.binding)?;
                Some((cheap, password.to_owned()))
            });
            let (cheap, password) =
                cheap.unwrap_or_else(|| panic!("no password of {role} in slot {slot}"));
            keys.entry(slot).or_insert_with(|| row.slot_key(&password));
            hashes.push((row.hash_of(&row.credential), row.hash_of(&cheap)));
            db.execute(
                "UPDATE credentials SET memory_kib = ?2, passes = ?3, lanes = ?4, commitment = ?5, wrapped = ?6
                 WHERE id = ?1",
                rusqlite::params![
                    row.binding.id.0,
                    CHEAP.memory_kib,
                    CHEAP.passes,
                    CHEAP.lanes,
                    cheap.commitment,
                    cheap.wrapped
                ],
            )
            .unwrap();
        }
        // The header names each credential by its hash. Up to schema 3 it has none.
        for (slot, key) in keys {
            sealed_header::reseal(&db, slot, &key, |plain| {
                for (before, after) in &hashes {
                    let mut at = plain.windows(32).enumerate();
                    if let Some((at, _)) = at.find(|(_, it)| it == before) {
                        plain[at..at + 32].copy_from_slice(after);
                    }
                }
            });
        }
    }
}

/// Options that log a role of slot 0 in with shares of that folder.
fn shares(role: &str, folder: &str) -> String {
    format!(
        "--share-file 0:{role}={folder}/share-1-of-3 --share-file 0:{role}={folder}/share-2-of-3"
    )
}

/// `None` when it is another password. Up to schema 3 a credential wraps the slot key, and since then a pair.
fn rewrap(old: &Credential, password: &str, binding: Binding) -> Option<Credential> {
    let (nonce, rest) = old.wrapped.split_first_chunk::<12>()?;
    let (plain, tag) = rest.split_last_chunk::<16>()?;
    let (mut plain, tag) = (plain.to_vec(), Tag::from(*tag));
    let label = match plain.len() {
        32 => "slotfs 1 credential",
        _ => "slotfs 2 credential",
    };
    let Method::Password(params) = old.method else {
        panic!("a password slot");
    };
    let (cipher, commitment) = wrapping(password, params, &old.salt);
    if commitment != old.commitment {
        return None;
    }
    let before = aad(label, binding, params, &old.salt);
    cipher
        .decrypt_inout_detached(
            &Nonce::from(*nonce),
            &before,
            plain.as_mut_slice().into(),
            &tag,
        )
        .unwrap();
    let (cipher, commitment) = wrapping(password, CHEAP, &old.salt);
    let after = aad(label, binding, CHEAP, &old.salt);
    let tag = cipher
        .encrypt_inout_detached(&Nonce::from(*nonce), &after, plain.as_mut_slice().into())
        .unwrap();
    Some(Credential {
        method: Method::Password(CHEAP),
        salt: old.salt.clone(),
        commitment,
        wrapped: [&nonce[..], &plain, &tag].concat(),
    })
}

fn wrapping(password: &str, cost: KdfParams, salt: &[u8]) -> (Aes256Gcm, Vec<u8>) {
    let stretched = argon2id(password.as_bytes(), salt, cost).unwrap();
    let mut keys = [0; 64];
    Hkdf::<Sha256>::new(None, stretched.bytes())
        .expand(b"slotfs 1 wrap", &mut keys)
        .unwrap();
    let (key, commitment) = keys.split_first_chunk::<32>().unwrap();
    (Aes256Gcm::new(key.into()), commitment.to_vec())
}

fn aad(label: &str, binding: Binding, cost: KdfParams, salt: &[u8]) -> Vec<u8> {
    let mut aad = label.as_bytes().to_vec();
    aad.extend(binding.serial.to_le_bytes());
    aad.push(binding.role as u8);
    aad.extend(binding.id.0.to_le_bytes());
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        aad.extend(number.to_le_bytes());
    }
    aad.extend(salt);
    aad
}
