//! Every query by index: what each statement of the store does where there are many objects, and how SQLite plans it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{
    Access, Hsm, NewPartition, Policies, Policy, Rekey, Selection, Settings, Source, Wish,
    new_serial, wait,
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
    let hsm = Hsm::open_or_create(&path).unwrap();
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
        hsm.partition(slot)
            .login(Role::Co, &secret("correct horse"))
            .unwrap();
    }
    let keys: Vec<Object> = (0..OBJECTS).map(|_| key()).collect();
    let stored = wait(|done| hsm.partition(from).add_all(&keys, done)).unwrap();
    let handle = |at: usize| stored[at].handle;

    // Clones: one by one, all, again, moved; each found by each of its names.
    for at in 0..20 {
        let (_, blob) = hsm
            .seal(hsm.partition(from).find(handle(at)).unwrap().id)
            .unwrap();
        let wish = Wish::Handle(handle(at));
        wait(|done| {
            let partition = hsm.partition(to).id().unwrap();
            hsm.import(
                partition,
                None,
                (wish, wish.to_string()),
                blob.bytes().to_vec(),
                None,
                done,
            )
        })
        .unwrap();
    }
    hsm.partition(from)
        .check_cloneable(to, &Selection::All, |_, _| {})
        .unwrap();
    hsm.partition(from)
        .check_existing(to, &Selection::All, |_, _| {})
        .unwrap();
    for _ in 0..2 {
        hsm.partition(from)
            .clone_list(to, &Selection::All, || false, |_| {})
            .unwrap();
    }
    let these = Selection::These(vec![handle(3), handle(4)]);
    hsm.partition(from)
        .clone_list(third, &these, || false, |_| {})
        .unwrap();
    hsm.partition(from)
        .check_existing(third, &these, |_, _| {})
        .unwrap();
    let source = Source {
        slot: from,
        handle: handle(9),
    };
    wait(|done| hsm.move_object(source, third, Wish::Handle(handle(9)), done)).unwrap();
    let found = hsm.partition(to).find(handle(7)).unwrap();
    hsm.partition(to).find_by_ouid(found.ouid).unwrap();
    hsm.find_by_id(found.id).unwrap();
    hsm.partition(to).object(found.handle).unwrap();
    hsm.partition(to).list(100, 50).unwrap();
    hsm.partition(to).check_listing().unwrap();
    hsm.partition(to)
        .contents(|row| drop(row.object.unwrap()))
        .unwrap();
    hsm.partition(third).object_ids().unwrap();
    hsm.partition(to).usage().unwrap();
    hsm.slots().unwrap();

    // The trash.
    let free = slotfs_object::Handle::new(9_000).unwrap();
    wait(|done| hsm.partition(to).renumber(handle(8), free, done)).unwrap();
    for at in 10..60 {
        wait(|done| hsm.partition(to).remove(handle(at), done)).unwrap();
    }
    let trash: Vec<_> = hsm
        .partition(to)
        .list_trash(slotfs_object::RowId(0), 100)
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(trash.len(), 50);
    hsm.partition(to).trash_count().unwrap();
    hsm.partition(to).find_trashed(trash[0].name).unwrap();
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
        hsm.partition(slot)
            .login(role, &secret("correct horse"))
            .unwrap();
    };
    role(third, Role::Po);
    hsm.partition(third).set(now).unwrap();
    role(third, Role::Co);
    wait(|done| hsm.partition(third).remove(handle(3), done)).unwrap();

    // What is done to a whole slot.
    let other = DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();
    role(to, Role::Po);
    hsm.partition(to)
        .add_domain(&other, "other", false)
        .unwrap();
    hsm.partition(to)
        .change_domain("other", Some("second"), true)
        .unwrap();
    hsm.partition(to).domain_labels().unwrap();
    hsm.partition(to).delete_domain("primary").unwrap();
    hsm.partition(to)
        .change_policies(&[(Policy::from_number(0).unwrap(), 1)])
        .unwrap();
    role(to, Role::Co);
    hsm.partition(to)
        .init_role(Role::Cu, &secret("a crypto user"))
        .unwrap();
    hsm.partition(to).roles().unwrap();
    let (old, new) = (secret("correct horse"), secret("another horse"));
    hsm.partition(to)
        .change_secret(Role::Co, &old, &new, Rekey::quiet(false))
        .unwrap();
    hsm.partition(to)
        .login(Role::Co, &secret("not this one"))
        .unwrap_err();
    hsm.partition(to).login(Role::Po, &old).unwrap();
    hsm.partition(to)
        .reset_secret(Role::Co, &old, &old, Rekey::quiet(true))
        .unwrap();
    hsm.refresh().unwrap();
    hsm.partition(from).login(Role::Co, &old).unwrap();
    hsm.check(&[from, to, third], &mut |_| {}).unwrap();
    hsm.backup(&folder.path().join("copy.db"), false, &|| false)
        .unwrap();
    drop(Hsm::open(&path, Access::ReadOnly).unwrap());
    hsm.partition(third).login(Role::Co, &old).unwrap();
    hsm.partition(third).clear().unwrap();
    hsm.partition(third).login(Role::Po, &old).unwrap();
    hsm.partition(third).delete().unwrap();
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
