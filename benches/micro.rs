//! Measures the parts of a clone without a mount: the sealed blob, the store, the listing. `cargo bench --bench micro`.
//!
//! The store lies on the filesystem of $TMPDIR. `store_put` waits for its fsync, so it mostly measures the disk.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use divan::Bencher;
use slotfs::blob::{self, Kind, Root};
use slotfs::codec;
use slotfs::credential::Secret;
use slotfs::domain::{DomainKey, new_key_file};
use slotfs::hsm::{Hsm, NewPartition, Policies, Wish, new_serial, wait};
use slotfs::object::new::{Naming, SecretKeyType, generate_secret_key};
use slotfs::object::partition::Role;
use slotfs::object::usable::Usage;
use slotfs::object::{Handle, Object, SlotId};
use slotfs::secret::SecretBytes;

const OBJECTS: u32 = 10_000;
const SLOT: SlotId = SlotId(0);
const OTHER: SlotId = SlotId(1);

fn main() {
    divan::main();
}

fn domain() -> DomainKey {
    DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap()
}

fn roots(domains: usize) -> Vec<Root> {
    (0..domains)
        .map(|_| Root::of_domain(domain().key()))
        .collect()
}

fn key() -> Object {
    let naming = Naming {
        label: "bench".into(),
        id: Vec::new(),
    };
    generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap()
}

#[divan::bench(args = [1, 3])]
fn blob_seal(bencher: Bencher<'_, '_>, domains: usize) {
    let (roots, payload) = (roots(domains), codec::encode(&key()).unwrap());
    bencher.bench(|| blob::seal(Kind::Object, &roots, payload.bytes()).unwrap());
}

#[divan::bench(args = [1, 3])]
fn blob_open(bencher: Bencher<'_, '_>, domains: usize) {
    let (roots, payload) = (roots(domains), codec::encode(&key()).unwrap());
    let sealed = blob::seal(Kind::Object, &roots, payload.bytes()).unwrap();
    bencher.bench(|| blob::open(Kind::Object, &roots, &sealed).unwrap());
}

/// Two slots of one domain. The first slot holds [`OBJECTS`] objects.
struct Fixture {
    _folder: tempfile::TempDir,
    hsm: Arc<Hsm>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let hsm = Hsm::open_or_create(&path).unwrap();
        let (domain, password) = (
            domain(),
            Secret::from(SecretBytes::from(b"correct horse".as_slice())),
        );
        for slot in [SLOT, OTHER] {
            hsm.init_partition(NewPartition {
                serial: new_serial().unwrap(),
                v1: false,
                slot,
                label: format!("slot {slot}"),
                domain: domain.clone(),
                domain_label: "primary".into(),
                secret: password.clone(),
                retention_secs: 0,
                uid: None,
                gid: None,
                capacity_objects: 1_000_000,
                policies: Policies::default(),
                replaces: None,
            })
            .unwrap();
            hsm.partition(slot).login(Role::Co, &password).unwrap();
        }
        let keys: Vec<Object> = (0..OBJECTS).map(|_| key()).collect();
        wait(|done| hsm.partition(SLOT).add_all(&keys, done)).unwrap();
        Self {
            _folder: folder,
            hsm,
        }
    }

    fn blob(&self, handle: u32) -> Vec<u8> {
        let found = self
            .hsm
            .partition(SLOT)
            .find(Handle::new(handle).unwrap())
            .unwrap();
        self.hsm.seal(found.id).unwrap().1.bytes().to_vec()
    }
}

/// Verifies one object, seals it for the slot, and commits it.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn store_put(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::new();
    let mut next = 0;
    bencher
        .with_inputs(|| {
            next += 1;
            fixture.blob(next)
        })
        .bench_local_values(|blob| {
            wait(|done| {
                fixture.hsm.import(
                    fixture.hsm.partition(OTHER).id().unwrap(),
                    None,
                    (Wish::Any, String::new()),
                    blob,
                    None,
                    done,
                )
            })
            .unwrap()
        });
}

/// Looks up a handle.
#[divan::bench]
fn store_lookup(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::new();
    let mut next = 0;
    bencher.bench_local(|| {
        next = next % OBJECTS + 1;
        fixture
            .hsm
            .partition(SLOT)
            .find(Handle::new(next).unwrap())
            .unwrap()
    });
}

/// Reads an object's row, opens it, and seals it under the domain, as an open of a file does.
#[divan::bench]
fn store_get(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::new();
    let ids = fixture.hsm.partition(SLOT).object_ids().unwrap();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % ids.len();
        fixture.hsm.seal(ids[next]).unwrap()
    });
}

/// Reads one page of a listing: 512 entries.
#[divan::bench]
fn readdir_512(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::new();
    let mut after = 0;
    bencher.bench_local(|| {
        after = (after + 512) % (OBJECTS - 512);
        fixture.hsm.partition(SLOT).list(after, 512).unwrap()
    });
}

/// Uses a key that is kept open.
#[divan::bench]
fn key_use(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::new();
    let slot = fixture.hsm.partition(SLOT);
    let handle = Handle::new(1).unwrap();
    bencher.bench_local(|| slot.with_key(handle, Usage::Encrypt, 1, |_| ()).unwrap());
}
