//! The rules below the filesystem, with a real store and no mount: policies, and stores that somebody
//! changed by hand.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use slotfs::credential::Secret;
use slotfs::domain::{DomainKey, new_key_file};
use slotfs::hsm::{
    Access, Arrived, Error, Hsm, NewPartition, Policies, Selection, SlotError, SlotFault, Source,
    Wish, new_serial, wait,
};
use slotfs::object::new::{Naming, SecretKeyType, generate_secret_key};
use slotfs::object::partition::Role;
use slotfs::object::pkcs11::CKA_LABEL;
use slotfs::object::{Attribute, Handle, SlotId};
use slotfs::secret::SecretBytes;

const PASSWORD: &[u8] = b"correct horse";

struct Fixture {
    folder: tempfile::TempDir,
    hsm: Arc<Hsm>,
}

fn password() -> Secret {
    SecretBytes::from(PASSWORD).into()
}

fn handle(number: u32) -> Handle {
    Handle::new(number).unwrap()
}

impl Fixture {
    /// Slots 0, 1, ... of one domain with these policies, logged in, with one AES key each in slot 0.
    fn new(policies: &[Policies]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hsm = Hsm::open_or_create(&folder.path().join("store.db")).unwrap();
        let domain = DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();
        for (number, policies) in (0..).zip(policies) {
            let slot = SlotId(number);
            hsm.init_partition(NewPartition {
                serial: new_serial().unwrap(),
                v1: false,
                slot,
                label: format!("slot {number}"),
                domain: domain.clone(),
                domain_label: "primary".into(),
                secret: password(),
                retention_secs: 7 * 24 * 3600,
                uid: None,
                gid: None,
                capacity_objects: 100,
                policies: *policies,
                replaces: None,
            })
            .unwrap();
            hsm.partition(slot).login(Role::Co, &password()).unwrap();
        }
        Self { folder, hsm }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    fn add_key(&self, slot: SlotId) -> Handle {
        let naming = Naming {
            label: "key".into(),
            id: Vec::new(),
        };
        let object = generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap();
        let arrived: Arrived = wait(|done| self.hsm.partition(slot).add(&object, done)).unwrap();
        arrived.handle
    }

    fn seal(&self, slot: SlotId, handle: Handle) -> Result<Vec<u8>, Error> {
        let found = self.hsm.partition(slot).find(handle)?;
        self.hsm
            .seal(found.id)
            .map(|(_, blob)| blob.bytes().to_vec())
    }

    fn import(&self, slot: SlotId, blob: &[u8]) -> Result<Arrived, Error> {
        wait(|done| {
            let partition = self.hsm.partition(slot).id().unwrap();
            let wish = (Wish::Any, Wish::Any.to_string());
            self.hsm
                .import(partition, None, wish, blob.to_vec(), None, done);
        })
    }

    /// The store changed behind our back, then opened by another process.
    fn tamper(self, change: &str) -> Self {
        let Self { folder, hsm } = self;
        drop(hsm);
        let path = folder.path().join("store.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let hsm = Hsm::open(&path, Access::ReadWrite).unwrap();
        Self { folder, hsm }
    }

    fn login(&self, slot: u32, role: Role) -> Result<(), Error> {
        self.hsm.partition(SlotId(slot)).login(role, &password())
    }
}

#[test]
fn policy_4_off_keeps_secret_keys_in_at_open_and_out_at_the_verdict() {
    let closed = Policies {
        secret_key_cloning: false,
        ..Policies::default()
    };
    let fixture = Fixture::new(&[Policies::default(), closed]);
    let open = fixture.add_key(SlotId(0));
    let blob = fixture.seal(SlotId(0), open).unwrap();
    let refused = fixture.import(SlotId(1), &blob).unwrap_err();
    assert!(matches!(
        refused,
        Error::Slot {
            why: SlotError::PolicyRefuses(_),
            ..
        }
    ));
    assert_eq!(refused.outcome().errno, libc::EACCES);

    let kept = fixture.add_key(SlotId(1));
    let forbidden = fixture.seal(SlotId(1), kept).unwrap_err();
    assert!(matches!(
        forbidden,
        Error::Slot {
            why: SlotError::PolicyForbids(_),
            ..
        }
    ));
    assert_eq!(forbidden.outcome().errno, libc::EPERM);
    let from = Source {
        slot: SlotId(1),
        handle: kept,
    };
    let moved: Result<Arrived, Error> = wait(|done| {
        fixture
            .hsm
            .move_object(from, SlotId(0), Wish::Handle(handle(77)), done);
    });
    assert!(matches!(
        moved,
        Err(Error::Slot {
            why: SlotError::PolicyForbids(_),
            ..
        })
    ));
    assert!(fixture.hsm.partition(SlotId(1)).find(kept).is_ok());
}

#[test]
fn a_full_slot_takes_no_more_and_loses_nothing() {
    let fixture = Fixture::new(&[Policies::default()]);
    for _ in 0..100 {
        fixture.add_key(SlotId(0));
    }
    let naming = Naming::default();
    let object = generate_secret_key(SecretKeyType::Aes, 128, &naming).unwrap();
    let full: Result<Arrived, Error> =
        wait(|done| fixture.hsm.partition(SlotId(0)).add(&object, done));
    assert!(matches!(
        full,
        Err(Error::Slot {
            why: SlotError::Stored(SlotFault::Full),
            ..
        })
    ));
    assert_eq!(fixture.hsm.partition(SlotId(0)).usage().unwrap().0, 100);
}

#[test]
fn a_field_in_clear_that_was_changed_is_noticed_at_login() {
    for change in [
        "UPDATE slots SET label = 'other'",
        "UPDATE slots SET serial = serial + 1",
        "UPDATE slots SET capacity_objects = 1000000",
        "UPDATE slots SET policies = '0:1,4:1,20:1000'",
        "UPDATE slots SET uid = 1000",
        "UPDATE slots SET generation = generation + 1",
        "UPDATE slots SET retention_secs = 0",
        "UPDATE domains SET label = 'other'",
        "UPDATE domains SET kind = 3 - kind",
        "DELETE FROM domains",
        "UPDATE credentials SET id = id + 1 WHERE role = 2",
    ] {
        let fixture = Fixture::new(&[Policies::default()]).tamper(change);
        let login = fixture.login(0, Role::Co);
        assert!(matches!(login, Err(error) if error.is_damage()), "{change}");
        assert!(
            fixture.hsm.partition(SlotId(0)).session().is_err(),
            "{change}"
        );
    }
}

#[test]
fn argon2_costs_outside_the_limits_are_refused() {
    for change in [
        "UPDATE credentials SET memory_kib = 2147483647",
        "UPDATE credentials SET memory_kib = 8",
        "UPDATE credentials SET passes = 1000000",
        "UPDATE credentials SET lanes = 0",
    ] {
        let fixture = Fixture::new(&[Policies::default()]).tamper(change);
        let login = fixture.login(0, Role::Co);
        assert!(matches!(login, Err(error) if error.is_damage()), "{change}");
    }
}

#[test]
fn a_credential_of_another_slot_or_role_opens_nothing() {
    let two = [Policies::default(), Policies::default()];
    let swap = "CREATE TEMP TABLE c AS SELECT * FROM credentials;
         UPDATE credentials SET (salt, commitment, wrapped) =
            (SELECT salt, commitment, wrapped FROM c WHERE c.slot = 1 AND c.role = credentials.role)
         WHERE slot = 0;";
    let fixture = Fixture::new(&two).tamper(swap);
    let login = fixture.login(0, Role::Co);
    assert!(matches!(login, Err(error) if error.is_damage()));
    assert!(fixture.login(1, Role::Co).is_ok());
}

#[test]
fn a_damaged_row_fails_alone_and_is_named() {
    let fixture = Fixture::new(&[Policies::default()]);
    for _ in 0..3 {
        fixture.add_key(SlotId(0));
    }
    let fixture = fixture.tamper(
        "UPDATE objects SET sealed = (SELECT sealed FROM objects WHERE handle = 1) WHERE handle = 2",
    );
    fixture.login(0, Role::Co).unwrap();
    assert!(fixture.seal(SlotId(0), handle(1)).is_ok());
    assert!(fixture.seal(SlotId(0), handle(3)).is_ok());
    let damaged = fixture.seal(SlotId(0), handle(2)).unwrap_err();
    assert_eq!(damaged.outcome().errno, libc::EIO);
    assert!(damaged.to_string().contains("slot 0, object 2"));

    // Under another handle, identity or slot a row does not open either.
    for change in [
        "UPDATE objects SET handle = 9 WHERE handle = 3",
        "UPDATE objects SET ouid = zeroblob(16) WHERE handle = 3",
        "UPDATE objects SET payload_bytes = 50 WHERE handle = 3",
        "UPDATE objects SET created_secs = 0 WHERE handle = 3",
    ] {
        let fixture = Fixture::new(&[Policies::default()]);
        for _ in 0..3 {
            fixture.add_key(SlotId(0));
        }
        let fixture = fixture.tamper(change);
        fixture.login(0, Role::Co).unwrap();
        let object = fixture.hsm.partition(SlotId(0)).list(2, 1).unwrap()[0]
            .clone()
            .unwrap();
        let damaged = fixture.hsm.seal(object.id).unwrap_err();
        assert!(damaged.is_damage(), "{change}");
    }
}

#[test]
fn a_listing_that_is_not_whole_is_an_error() {
    let fixture = Fixture::new(&[Policies::default()]);
    for _ in 0..3 {
        fixture.add_key(SlotId(0));
    }
    fixture.hsm.partition(SlotId(0)).check_listing().unwrap();
    // As when the index by handle lost an entry.
    let fixture = fixture.tamper("UPDATE usage SET objects = 4");
    fixture.login(0, Role::Co).unwrap();
    let damaged = fixture
        .hsm
        .partition(SlotId(0))
        .check_listing()
        .unwrap_err();
    assert_eq!(damaged.outcome().errno, libc::EIO);
    let contents = fixture.hsm.partition(SlotId(0)).contents(|_| {});
    assert!(matches!(contents, Err(error) if error.is_damage()));
}

#[test]
fn stores_that_are_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Hsm::open(&folder.path().join(name), Access::ReadWrite).err();
    let refused = |name: &str| matches!(open(name), Some(Error::Store(slotfs::hsm::StoreError::Store { path, .. })) if path.ends_with(name));

    assert!(refused("missing.db"));
    std::fs::write(
        folder.path().join("text.db"),
        "not a database, but long enough to be read as one".repeat(99),
    )
    .unwrap();
    assert!(refused("text.db"));
    let other = Connection::open(folder.path().join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(refused("other.db"));
    std::fs::create_dir(folder.path().join("folder.db")).unwrap();
    assert!(refused("folder.db"));
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    assert!(refused("empty.db"));
    assert_eq!(std::fs::read(folder.path().join("empty.db")).unwrap(), b"");

    let fixture = Fixture::new(&[Policies::default()]);
    let path = fixture.path();
    drop(fixture.hsm);
    let future = Connection::open(&path).unwrap();
    future.execute_batch("PRAGMA user_version = 4").unwrap();
    let error = Hsm::open(&path, Access::ReadWrite).err().unwrap();
    assert!(error.to_string().contains("schema version 4"), "{error}");
}

#[test]
fn ten_wrong_passwords_lock_the_role_and_a_right_one_before_forgets_them() {
    let fixture = Fixture::new(&[Policies::default()]);
    let wrong = Secret::from(SecretBytes::from(b"wrong horse".as_slice()));
    let slot = SlotId(0);
    for _ in 0..9 {
        let refused = fixture
            .hsm
            .partition(slot)
            .login(Role::Co, &wrong)
            .unwrap_err();
        assert_eq!(refused.outcome().errno, libc::EKEYREJECTED);
    }
    fixture.login(0, Role::Co).unwrap();
    for _ in 0..9 {
        fixture
            .hsm
            .partition(slot)
            .login(Role::Co, &wrong)
            .unwrap_err();
    }
    // Counted in the store: another process counts on.
    let path = fixture.path();
    let again = Hsm::open(&path, Access::ReadWrite).unwrap();
    let locked = again.partition(slot).login(Role::Co, &wrong).unwrap_err();
    assert_eq!(locked.outcome().errno, libc::EKEYREVOKED);
    let locked = again
        .partition(slot)
        .login(Role::Co, &password())
        .unwrap_err();
    assert_eq!(locked.outcome().errno, libc::EKEYREVOKED);
    // The other role is not locked.
    again.partition(slot).login(Role::Po, &password()).unwrap();
}

#[test]
fn a_slot_initialised_elsewhere_is_logged_out_here() {
    let fixture = Fixture::new(&[Policies::default()]);
    let slot = SlotId(0);
    let key = fixture.add_key(slot);
    let elsewhere = Hsm::open(&fixture.path(), Access::ReadWrite).unwrap();
    let there = elsewhere.partition(slot).row().unwrap();
    elsewhere
        .init_partition(NewPartition {
            serial: new_serial().unwrap(),
            v1: false,
            slot,
            label: "anew".into(),
            domain: DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap(),
            domain_label: "primary".into(),
            secret: password(),
            retention_secs: 0,
            uid: None,
            gid: None,
            capacity_objects: 100,
            policies: Policies::default(),
            replaces: Some(there.serial.into()),
        })
        .unwrap();
    // Even before it is noticed, nothing is stored under the old key.
    let naming = Naming::default();
    let object = generate_secret_key(SecretKeyType::Aes, 128, &naming).unwrap();
    let late: Result<Arrived, Error> = wait(|done| fixture.hsm.partition(slot).add(&object, done));
    assert!(matches!(
        late,
        Err(Error::Slot {
            why: SlotError::NotLoggedIn,
            ..
        })
    ));
    let (sender, changed) = std::sync::mpsc::channel();
    fixture
        .hsm
        .on_change(move |slot| sender.send(slot).unwrap());
    fixture.hsm.refresh().unwrap();
    assert_eq!(changed.try_iter().collect::<Vec<_>>(), [slot]);
    let gone = fixture.hsm.partition(slot).find(key).unwrap_err();
    assert!(matches!(
        gone,
        Error::Slot {
            why: SlotError::NotLoggedIn,
            ..
        }
    ));
}

/// "exists with other content": another object claims an identity that the target holds.
#[test]
fn a_list_meets_an_object_that_claims_anothers_identity() {
    let fixture = Fixture::new(&[Policies::default(); 2]);
    let (from, to) = (SlotId(0), SlotId(1));
    let object = generate_secret_key(SecretKeyType::Aes, 128, &Naming::default()).unwrap();
    let mut other = object.clone();
    let label = Attribute::Text("another".into());
    other.attributes.insert(CKA_LABEL, label);
    let add = |slot, object| -> Arrived {
        wait(|done| fixture.hsm.partition(slot).add(object, done)).unwrap()
    };
    let clash = add(from, &object).handle;
    let there = add(to, &other).handle;
    let good = fixture.add_key(from);

    let mut existing = Vec::new();
    fixture
        .hsm
        .partition(from)
        .check_existing(to, &Selection::All, |handle, outcome| {
            existing.push((handle, outcome.is_ok()));
        })
        .unwrap();
    assert_eq!(existing, [(clash, false)]);
    let mut outcomes = Vec::new();
    let list = Selection::These(vec![good, clash]);
    fixture
        .hsm
        .partition(from)
        .clone_list(
            to,
            &list,
            || false,
            |some| {
                outcomes.extend(some.iter().map(|(handle, outcome)| {
                    (
                        *handle,
                        outcome
                            .as_ref()
                            .map_err(|error| error.outcome().errno)
                            .copied(),
                    )
                }));
            },
        )
        .unwrap();
    let stored = Arrived {
        handle: good,
        already: false,
    };
    assert_eq!(outcomes, [(good, Ok(stored)), (clash, Err(libc::EEXIST))]);
    assert_eq!(fixture.hsm.partition(to).usage().unwrap().0, 2);
    assert!(fixture.hsm.partition(to).find(there).is_ok());
}

/// Whoever holds the domain's key can seal anything under any identity: a source is named only where its content is the
/// same, and two objects of one identity are told of, with the one that was here first.
#[test]
fn an_object_with_anothers_identity_is_not_said_to_come_from_it() {
    let fixture = Fixture::new(&[Policies::default(); 3]);
    let slots = [SlotId(0), SlotId(1), SlotId(2)];
    let object = generate_secret_key(SecretKeyType::Aes, 128, &Naming::default()).unwrap();
    let mut forged = object.clone();
    let label = Attribute::Text("another".into());
    forged.attributes.insert(CKA_LABEL, label);
    // Whoever forges an object writes its date as well.
    forged.created_secs = 1;
    let add = |slot, object| -> Arrived {
        wait(|done| fixture.hsm.partition(slot).add(object, done)).unwrap()
    };
    let (genuine, there) = (add(slots[0], &object).handle, add(slots[1], &forged).handle);
    let of = |slot, handle| fixture.hsm.partition(slot).find(handle).unwrap();
    let first = of(slots[0], genuine).id;
    let blob = fixture.seal(slots[1], there).unwrap();
    let clones = || fixture.hsm.journal().text(Some(slots[2]));

    // It is in slot 1 too: that is where it came from, and not slot 0.
    let arrived = fixture.import(slots[2], &blob).unwrap();
    let text = clones();
    let told = format!(
        "Handle {there} on slot 1 is now handle {} on slot 2\n",
        arrived.handle
    );
    assert!(text.contains(&told), "{text}");
    assert!(!text.contains("slot 0 is now"), "{text}");
    let told = format!("handle {genuine} on slot 0 was here first, by its row {first} before ");
    assert!(text.contains(&told), "{text}");

    // It came from nowhere that is known.
    for (slot, handle) in [(slots[1], there), (slots[2], arrived.handle)] {
        let found = of(slot, handle);
        wait(|done| fixture.hsm.remove_found(&found, true, done)).unwrap();
    }
    let before = clones().len();
    fixture.import(slots[2], &blob).unwrap();
    let text = clones().split_off(before);
    assert!(
        text.starts_with(&format!("Object {}", object.ouid)),
        "{text}"
    );
    assert!(text.contains("was here first"), "{text}");

    // The genuine one is what it says.
    let blob = fixture.seal(slots[0], genuine).unwrap();
    fixture.import(slots[1], &blob).unwrap();
    let text = fixture.hsm.journal().text(Some(slots[1]));
    let told = format!("Handle {genuine} on slot 0 is now handle ");
    assert!(text.contains(&told), "{text}");
    // And the forged one is in slot 2, beside it.
    assert!(text.contains("with other content"), "{text}");
}

/// A password that was changed, a domain that was deleted, a policy that was tightened: their old rows put
/// back open nothing.
#[test]
fn what_a_header_no_longer_names_is_not_used() {
    let copy = |table: &str| format!("CREATE TABLE old AS SELECT * FROM {table};");
    let new = Secret::from(SecretBytes::from(b"another horse".as_slice()));
    let key = || DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();

    let fixture = Fixture::new(&[Policies::default()]).tamper(&copy("credentials"));
    let hsm = &fixture.hsm;
    hsm.partition(SlotId(0))
        .change_secret(Role::Co, &password(), &new, false)
        .unwrap();
    let fixture =
        fixture.tamper("DELETE FROM credentials; INSERT INTO credentials SELECT * FROM old;");
    let refused = fixture.login(0, Role::Co).unwrap_err();
    assert!(
        refused.is_damage() && refused.to_string().contains("not the current one"),
        "{refused}"
    );

    let fixture = Fixture::new(&[Policies::default()]);
    fixture.login(0, Role::Po).unwrap();
    fixture
        .hsm
        .partition(SlotId(0))
        .add_domain(&key(), "second", false)
        .unwrap();
    let fixture = fixture.tamper(&copy("domains"));
    fixture.login(0, Role::Po).unwrap();
    fixture
        .hsm
        .partition(SlotId(0))
        .delete_domain("second")
        .unwrap();
    let fixture = fixture.tamper("INSERT OR IGNORE INTO domains SELECT * FROM old;");
    fixture.login(0, Role::Po).unwrap();
    let session = fixture.hsm.partition(SlotId(0)).session().unwrap();
    assert_eq!(session.domains().len(), 1);
    // Nor does the row come back with the next change.
    fixture
        .hsm
        .partition(SlotId(0))
        .change_domain("primary", Some("first"), false)
        .unwrap();
    let labels = fixture.hsm.partition(SlotId(0)).domain_labels().unwrap();
    assert_eq!(labels, ["first"]);

    let fixture = Fixture::new(&[Policies::default()]).tamper(&copy("slots"));
    fixture.login(0, Role::Po).unwrap();
    let policy = slotfs::hsm::Policy::FailedLogins;
    fixture
        .hsm
        .partition(SlotId(0))
        .change_policies(&[(policy, 3)])
        .unwrap();
    let fixture = fixture.tamper(
        "UPDATE slots SET policies = (SELECT policies FROM old WHERE old.slot = slots.slot);",
    );
    let refused = fixture.login(0, Role::Po).unwrap_err();
    assert!(refused.is_damage(), "{refused}");
}

/// After a reset the old password opens nothing, not even with its own credential row from an old copy: the
/// slot key is another.
#[test]
fn a_reset_password_makes_old_copies_of_a_credential_useless() {
    let fixture = Fixture::new(&[Policies::default()]);
    let slot = SlotId(0);
    let key = fixture.add_key(slot);
    let blob = fixture.seal(slot, key).unwrap();
    let fixture = fixture.tamper("CREATE TABLE old AS SELECT * FROM credentials;");
    let new = Secret::from(SecretBytes::from(b"another horse".as_slice()));
    fixture
        .hsm
        .partition(slot)
        .reset_secret(Role::Co, &new, &password(), false)
        .unwrap();
    fixture.hsm.partition(slot).login(Role::Co, &new).unwrap();
    assert_eq!(fixture.seal(slot, key).unwrap(), blob);
    let fixture =
        fixture.tamper("DELETE FROM credentials; INSERT INTO credentials SELECT * FROM old;");
    let refused = fixture.login(0, Role::Co).unwrap_err();
    // Not the header's refusal: there is nothing that this key opens.
    assert!(
        refused.is_damage() && refused.to_string().contains("header does not open"),
        "{refused}"
    );
}

/// A row that does not open could never again after a reset: it stays undone unless that is what is wanted.
#[test]
fn a_damaged_row_survives_a_reset_as_damaged() {
    let fixture = Fixture::new(&[Policies::default()]);
    let slot = SlotId(0);
    let (bad, good) = (fixture.add_key(slot), fixture.add_key(slot));
    let fixture = fixture.tamper(&format!(
        "UPDATE objects SET sealed = zeroblob(length(sealed)) WHERE handle = {bad}"
    ));
    let new = Secret::from(SecretBytes::from(b"another horse".as_slice()));
    let reset = |force| {
        let hsm = &fixture.hsm;
        hsm.partition(slot)
            .reset_secret(Role::Co, &new, &password(), force)
    };
    let refused = reset(false).unwrap_err();
    assert!(refused.is_damage(), "{refused}");
    fixture.login(0, Role::Co).unwrap();
    assert_eq!(reset(true).unwrap().damaged, 1);
    fixture.hsm.partition(slot).login(Role::Co, &new).unwrap();
    assert!(fixture.seal(slot, good).is_ok());
    assert_eq!(
        fixture.seal(slot, bad).unwrap_err().outcome().errno,
        libc::EIO
    );
}

#[test]
fn a_damaged_slot_locks_nobody_out_who_has_the_password() {
    for change in [
        "UPDATE slots SET label = 'other'",
        "UPDATE credentials SET wrapped = zeroblob(60)",
    ] {
        let fixture = Fixture::new(&[Policies::default()]).tamper(change);
        for _ in 0..12 {
            let login = fixture.login(0, Role::Co);
            assert!(matches!(login, Err(error) if error.is_damage()), "{change}");
        }
        let wrong = Secret::from(SecretBytes::from(b"wrong horse".as_slice()));
        for _ in 0..10 {
            fixture
                .hsm
                .partition(SlotId(0))
                .login(Role::Co, &wrong)
                .unwrap_err();
        }
        let login = fixture.login(0, Role::Co);
        assert!(
            matches!(
                login,
                Err(Error::Slot {
                    why: SlotError::RoleLocked(_),
                    ..
                })
            ),
            "{change}"
        );
    }
}

fn keys(count: usize) -> impl Iterator<Item = slotfs::object::Object> {
    let naming = Naming {
        label: "key".into(),
        id: Vec::new(),
    };
    (0..count).map(move |_| generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap())
}

/// Another process changes the slot between and under batches: each key is stored all the same, once, and opens.
#[test]
fn a_slot_that_changes_while_keys_are_generated() {
    let it = Fixture::new(&[Policies::default()]);
    let slot = SlotId(0);
    let elsewhere = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    elsewhere
        .partition(slot)
        .login(Role::Po, &password())
        .unwrap();
    let mut domains = 0;
    let groups = keys(90).enumerate().map(|(index, key)| {
        // Before the first batch is handed over, and while it is written.
        if [30, 70].contains(&index) {
            domains += 1;
            let domain = DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();
            elsewhere
                .partition(slot)
                .add_domain(&domain, &format!("more {domains}"), false)
                .unwrap();
        }
        Ok::<_, Error>(vec![key])
    });
    let mut told = Vec::new();
    it.hsm
        .partition(slot)
        .add_list(groups, 512, |added| {
            for group in added {
                let [there] = group.stored.unwrap()[..] else {
                    panic!("one object, one place");
                };
                told.push((group.objects[0].ouid, there.handle));
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(told.len(), 90);
    for (ouid, handle) in told {
        assert_eq!(it.hsm.partition(slot).object(handle).unwrap().ouid, ouid);
    }
    assert_eq!(it.hsm.partition(slot).usage().unwrap().0, 90);
}

/// The slot is made anew under the list: what was told before is all there was, and the list ends with the reason.
#[test]
fn a_slot_made_anew_while_keys_are_generated() {
    let it = Fixture::new(&[Policies::default()]);
    let slot = SlotId(0);
    let elsewhere = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    elsewhere
        .partition(slot)
        .login(Role::Po, &password())
        .unwrap();
    let groups = keys(90).enumerate().map(|(index, key)| {
        if index == 70 {
            elsewhere.partition(slot).delete().unwrap();
        }
        Ok::<_, Error>(vec![key])
    });
    let mut failed = 0;
    let outcome = it.hsm.partition(slot).add_list(groups, 512, |added| {
        failed += added.iter().filter(|it| it.stored.is_err()).count();
        std::ops::ControlFlow::Continue(())
    });
    assert!(outcome.is_err() || failed > 0);
    assert!(it.hsm.partition(slot).find(handle(1)).is_err());
}
