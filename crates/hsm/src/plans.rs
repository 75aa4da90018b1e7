//! Every query by index: what each statement of the store does where there are many objects, and how SQLite plans it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{
    Access, Hsm, NewPartition, Policies, Policy, Selection, Settings, Source, Wish, new_serial,
    wait,
};
use slotfs_object::new::{Naming, SecretKeyType, generate_secret_key};
use slotfs_object::partition::Role;
use slotfs_object::secret::SecretBytes;
use slotfs_object::{Object, SlotId};
use slotfs_seal::credential::Secret;
use slotfs_seal::domain::{DomainKey, new_key_file};
use slotfs_store::traced::{Traced, statements};

const OBJECTS: usize = 500;

/// As many rows as there are slots, or fewer.
const SMALL: [&str; 6] = [
    "CONSTANT",
    "slots",
    "store",
    "sqlite_schema",
    "sqlite_master",
    "sqlite_sequence",
];

/// `store check` reads every row, and trusts no index to find them.
const WALKS: [&str; 4] = [
    "SELECT trash.id, objects.slot FROM trash NOT INDEXED",
    "SELECT count(*) FROM trash NOT INDEXED WHERE slot = ?1",
    "SELECT id, slot, handle FROM objects NOT INDEXED",
    "SELECT slot, payload_bytes FROM objects NOT INDEXED",
];

fn secret(text: &str) -> Secret {
    SecretBytes::from(text.as_bytes()).into()
}

fn key() -> Object {
    let naming = Naming {
        label: "key".into(),
        id: Vec::new(),
    };
    generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap()
}

/// A store that every operation was done to.
fn everything(folder: &tempfile::TempDir) -> Arc<Hsm> {
    let path = folder.path().join("store.db");
    let hsm = Arc::new(Hsm::open_or_create(&path).unwrap());
    let domain = DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();
    let (from, to, third) = (SlotId(0), SlotId(1), SlotId(2));
    for slot in [from, to, third] {
        hsm.init_partition(NewPartition {
            serial: new_serial().unwrap(),
            v1: false,
            slot,
            label: format!("slot {slot}"),
            domain: domain.clone(),
            domain_label: "primary".into(),
            secret: secret("correct horse"),
            retention_secs: 3600,
            uid: None,
            gid: None,
            capacity_objects: 10_000,
            policies: Policies::default(),
            replaces: None,
        })
        .unwrap();
        hsm.login(slot, Role::Co, &secret("correct horse")).unwrap();
    }
    let keys: Vec<Object> = (0..OBJECTS).map(|_| key()).collect();
    let stored = wait(|done| hsm.add_all(from, &keys, done)).unwrap();
    let handle = |at: usize| stored[at].handle;

    // Clones: one by one, all, again, moved; each found by each of its names.
    for at in 0..20 {
        let (_, blob) = hsm.seal(hsm.find(from, handle(at)).unwrap().id).unwrap();
        let wish = Wish::Handle(handle(at));
        wait(|done| hsm.import(to, wish, blob.bytes().to_vec(), None, done)).unwrap();
    }
    hsm.check_cloneable(from, to, &Selection::All, |_, _| {})
        .unwrap();
    hsm.check_existing(from, to, &Selection::All, |_, _| {})
        .unwrap();
    for _ in 0..2 {
        hsm.clone_list(from, to, &Selection::All, || false, |_| {})
            .unwrap();
    }
    let these = Selection::These(vec![handle(3), handle(4)]);
    hsm.clone_list(from, third, &these, || false, |_| {})
        .unwrap();
    hsm.check_existing(from, third, &these, |_, _| {}).unwrap();
    let source = Source {
        slot: from,
        handle: handle(9),
    };
    wait(|done| hsm.move_object(source, third, Wish::Handle(handle(9)), done)).unwrap();
    let found = hsm.find(to, handle(7)).unwrap();
    hsm.find_by_ouid(to, found.ouid).unwrap();
    hsm.find_by_id(found.id).unwrap();
    hsm.object(to, found.handle).unwrap();
    hsm.list(to, 100, 50).unwrap();
    hsm.check_listing(to).unwrap();
    hsm.contents(to, |row| drop(row.object.unwrap())).unwrap();
    hsm.object_ids(third).unwrap();
    hsm.usage(to).unwrap();
    hsm.slots().unwrap();

    // The trash.
    let free = slotfs_object::Handle::new(9_000).unwrap();
    wait(|done| hsm.renumber(to, handle(8), free, done)).unwrap();
    for at in 10..60 {
        wait(|done| hsm.remove(to, handle(at), done)).unwrap();
    }
    let trash: Vec<_> = hsm
        .list_trash(to, 0, 100)
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(trash.len(), 50);
    hsm.trash_count(to).unwrap();
    hsm.find_trashed(to, trash[0].name).unwrap();
    hsm.find_trashed_by_id(trash[0].object.id).unwrap();
    hsm.open_trashed(&trash[0]).unwrap();
    wait(|done| hsm.restore(&trash[0], Some(trash[0].name.handle), done)).unwrap();
    wait(|done| hsm.restore(&trash[1], None, done)).unwrap();
    wait(|done| hsm.destroy_trashed(&trash[2], done)).unwrap();
    hsm.empty_expired_trash().unwrap();
    let now = Settings {
        retention_secs: Some(0),
        uid: None,
        gid: None,
    };
    let role = |slot, role: Role| {
        hsm.login(slot, role, &secret("correct horse")).unwrap();
    };
    role(third, Role::Po);
    hsm.set_partition(third, now).unwrap();
    role(third, Role::Co);
    wait(|done| hsm.remove(third, handle(3), done)).unwrap();

    // What is done to a whole slot.
    let other = DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();
    role(to, Role::Po);
    hsm.add_domain(to, &other, "other", false).unwrap();
    hsm.change_domain(to, "other", Some("second"), true)
        .unwrap();
    hsm.domain_labels(to).unwrap();
    hsm.delete_domain(to, "primary").unwrap();
    hsm.change_policies(to, &[(Policy::from_number(0).unwrap(), 1)])
        .unwrap();
    role(to, Role::Co);
    hsm.init_role(to, Role::Cu, &secret("a crypto user"))
        .unwrap();
    hsm.roles(to).unwrap();
    let (old, new) = (secret("correct horse"), secret("another horse"));
    hsm.change_secret(to, Role::Co, &old, &new, false).unwrap();
    hsm.login(to, Role::Co, &secret("not this one"))
        .unwrap_err();
    hsm.login(to, Role::Po, &old).unwrap();
    hsm.reset_secret(to, Role::Co, &old, &old, true).unwrap();
    hsm.refresh().unwrap();
    hsm.login(from, Role::Co, &old).unwrap();
    hsm.check(&[from, to, third], &mut |_| {}).unwrap();
    hsm.backup(&folder.path().join("copy.db"), false, &|| false)
        .unwrap();
    drop(Hsm::open(&path, Access::ReadOnly).unwrap());
    hsm.login(third, Role::Co, &old).unwrap();
    hsm.clear_partition(third).unwrap();
    hsm.login(third, Role::Po, &old).unwrap();
    hsm.delete_partition(third).unwrap();
    hsm
}

#[test]
fn every_query_is_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let hsm = everything(&folder);
    // Never met, or this test would test nothing.
    let mut walks: Vec<&str> = WALKS.to_vec();
    let mut seen = 0;
    for Traced { sql, did, plan } in statements(hsm.path()) {
        seen += 1;
        assert_eq!(
            did.prepared_again, 0,
            "{sql}\nis compiled again when it runs"
        );
        let whole: Vec<_> = plan
            .iter()
            .filter(|step| step.starts_with("SCAN ") || step.contains("AUTOMATIC"))
            .filter(|step| !SMALL.contains(&step.split(' ').nth(1).unwrap()))
            .collect();
        let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
        assert!(
            !sorts || sql.contains("FROM domains"),
            "{sql}\nsorts: {plan:?}"
        );
        if let Some(at) = walks.iter().position(|walk| sql.starts_with(walk)) {
            walks.remove(at);
        } else {
            assert!(whole.is_empty(), "{sql}\nreads all rows: {whole:?}");
            assert!(
                did.scanned < 200,
                "{sql}\nwent over {} rows without an index",
                did.scanned
            );
        }
    }
    assert!(walks.is_empty(), "nobody asks {walks:?}");
    assert!(seen > 90, "only {seen} statements were seen");
}
