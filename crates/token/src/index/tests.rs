#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use slotfs_hsm::{Access, NewPartition, Policies, new_serial, wait};
use slotfs_object::new::{Naming, SecretKeyType, generate_secret_key};
use slotfs_object::partition::Role;
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Attribute, SlotId};
use slotfs_seal::credential::Secret;
use slotfs_seal::domain::{DomainKey, new_key_file};

use super::*;

const SLOT: SlotId = SlotId(0);

fn password() -> Secret {
    SecretBytes::from(b"a password".as_slice()).into()
}

fn store(folder: &tempfile::TempDir) -> Arc<Hsm> {
    let hsm = Hsm::open_or_create(&folder.path().join("store.db")).unwrap();
    hsm.init_partition(NewPartition {
        slot: SLOT,
        serial: new_serial().unwrap(),
        v1: false,
        label: "the token".into(),
        domain: DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap(),
        domain_label: "primary".into(),
        secret: password(),
        retention_secs: 0,
        uid: None,
        gid: None,
        capacity_objects: 200_000,
        policies: Policies::default(),
        replaces: None,
    })
    .unwrap();
    hsm.partition(SLOT).login(Role::Co, &password()).unwrap();
    hsm
}

fn key(id: &[u8]) -> Object {
    let naming = Naming {
        label: "a key".into(),
        id: id.to_vec(),
    };
    generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap()
}

fn add(hsm: &Hsm, id: &[u8]) -> Handle {
    wait(|done| hsm.partition(SLOT).add(&key(id), done))
        .unwrap()
        .handle
}

fn found(index: &mut Index, hsm: &Hsm, number: u32, bytes: &[u8]) -> Vec<Handle> {
    index.refresh(hsm, &hsm.partition(SLOT)).unwrap();
    index.matching(&[(number, bytes.to_vec())], true)
}

#[test]
fn it_follows_what_any_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let hsm = store(&folder);
    let slot = hsm.partition(SLOT);
    let mut index = Index::new();
    let by_id = |index: &mut Index, id: &[u8]| found(index, &hsm, CKA_ID, id);
    assert!(by_id(&mut index, b"1").is_empty());
    let (one, same, two) = (add(&hsm, b"1"), add(&hsm, b"1"), add(&hsm, b"2"));
    assert_eq!(by_id(&mut index, b"1"), [one, same]);
    assert_eq!(by_id(&mut index, b"2"), [two]);
    // What is not the key's is not found, and no prefix of an id is one.
    for none in [b"".as_slice(), b"3", b"11"] {
        assert!(by_id(&mut index, none).is_empty());
    }
    assert_eq!(found(&mut index, &hsm, CKA_LABEL, b"a key").len(), 3);
    let class = u64::from(CKO_SECRET_KEY).to_ne_bytes();
    assert_eq!(found(&mut index, &hsm, CKA_CLASS, &class).len(), 3);
    assert!(index.matching(&[], false).is_empty());

    let changed = [(CKA_ID, Some(Attribute::Bytes(b"3".to_vec())))];
    slot.set_attributes(two, &changed).unwrap();
    assert!(by_id(&mut index, b"2").is_empty());
    assert_eq!(by_id(&mut index, b"3"), [two]);
    let other = Handle::new(77).unwrap();
    wait(|done| slot.renumber(two, other, done)).unwrap();
    assert_eq!(by_id(&mut index, b"3"), [other]);
    wait(|done| slot.remove(one, done)).unwrap();
    assert_eq!(by_id(&mut index, b"1"), [same]);

    // Another process puts another key under a handle that is free.
    let theirs = Hsm::open(hsm.path(), Access::ReadWrite).unwrap();
    theirs.partition(SLOT).login(Role::Co, &password()).unwrap();
    wait(|done| theirs.partition(SLOT).remove(same, done)).unwrap();
    let new = add(&theirs, b"1");
    assert_eq!(by_id(&mut index, b"1"), [new]);
    theirs.partition(SLOT).clear().unwrap();
    assert!(by_id(&mut index, b"1").is_empty());
    assert!(index.objects.is_empty() && index.fast.is_empty());
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// For `cargo test --release -p slotfs-token -- --ignored --nocapture an_index_of`.
#[test]
#[ignore = "it measures"]
fn an_index_of_many_objects() {
    for count in [10_000u32, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let hsm = store(&folder);
        for batch in (0..count).step_by(1_000) {
            let keys: Vec<Object> = (batch..batch + 1_000)
                .map(|id| key(&id.to_be_bytes()))
                .collect();
            wait(|done| hsm.partition(SLOT).add_all(&keys, done)).unwrap();
        }
        let mut index = Index::new();
        let timed = |what: &str, times: u32, work: &mut dyn FnMut()| {
            let begin = std::time::Instant::now();
            (0..times).for_each(|_| work());
            println!("{count} objects: {what}: {:?}", begin.elapsed() / times);
        };
        let before = resident();
        let slot = hsm.partition(SLOT);
        timed("build", 1, &mut || index.refresh(&hsm, &slot).unwrap());
        println!("{count} objects: {} KiB", (resident() - before) / 1024);
        let id = [(CKA_ID, 5_000u32.to_be_bytes().to_vec())];
        timed("refresh and find by id", 10_000, &mut || {
            index.refresh(&hsm, &slot).unwrap();
            assert_eq!(index.matching(&id, true).len(), 1);
        });
        timed("refresh after a commit", 10, &mut || {
            add(&hsm, b"another");
            let begin = std::time::Instant::now();
            index.refresh(&hsm, &slot).unwrap();
            println!("{count} objects: of it the refresh: {:?}", begin.elapsed());
        });
    }
}
