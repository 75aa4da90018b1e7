//! What a changed secret means: the old one opens nothing, whatever old rows are put back, and nobody else is locked out
//! (docs/format.md, "Role key pairs").

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use slotfs_hsm::{Access, Hsm, Rekey, TrashName, wait};
use slotfs_object::partition::Role;
use slotfs_object::sealed::PartId;
use slotfs_object::secret::Key;
use slotfs_object::{Handle, SlotId};
use slotfs_seal::credential::pair::{self, Place};
use slotfs_seal::credential::{Binding, Secret, SlotKey};

use crate::fixture::{Fixture, Slot, errno, handle, key};
use crate::without_types::without_types;

pub const SLOT: SlotId = SlotId(0);

/// A slot of key shares with all three roles, each with a secret of its own; co's is the fixture's.
struct Roles {
    it: Fixture,
    po: Secret,
    cu: Secret,
}

impl Roles {
    fn new() -> Self {
        let it = Fixture::quick(1);
        let (serial, shared) = (it.slot(0).row().unwrap().serial, it.secret_of(0).clone());
        let [po, co, cu] = [(); 3].map(|()| Fixture::secret(serial).0);
        let slot = it.slot(0);
        slot.login(Role::Po, &shared).unwrap();
        slot.init_role(Role::Cu, &cu).unwrap();
        // po and co begin with the same secret.
        slot.change_secret(Role::Po, &shared, &po, Rekey::quiet(false))
            .unwrap();
        slot.reset_secret(Role::Co, &co, &po, Rekey::quiet(false))
            .unwrap();
        let mut roles = Self { it, po, cu };
        roles.it.set_secret(SLOT, co);
        roles.it.login(0, Role::Co).unwrap();
        roles
    }

    fn secret(&self, role: Role) -> &Secret {
        match role {
            Role::Po => &self.po,
            Role::Co => self.it.secret_of(0),
            Role::Cu => &self.cu,
        }
    }

    /// A new secret of the same slot.
    fn another(&self) -> Secret {
        Fixture::secret(self.it.slot(0).row().unwrap().serial).0
    }

    /// The store's file, copied while it is open.
    fn copy(&self, name: &str) -> std::path::PathBuf {
        let copy = self.it.path().with_file_name(name);
        self.it.hsm.backup(&copy, true, &|| false).unwrap();
        copy
    }
}

/// Puts these tables of slot 0 in `from` in the place of those in `to`.
pub fn put_back(to: &Path, from: &Path, tables: &[&str]) {
    let mut text = format!(
        "ATTACH '{}' AS old; PRAGMA foreign_keys = OFF; DELETE FROM usage; DELETE FROM trash_usage;",
        from.to_str().unwrap()
    );
    for table in tables {
        text += &format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old.{table};");
    }
    Connection::open(to).unwrap().execute_batch(&text).unwrap();
}

/// For each role: with its old secret and every old row of a credential, in every combination, nobody gets in; the other
/// roles do, with the secrets that they had.
#[test]
fn an_old_secret_with_old_rows_opens_nothing() {
    for role in Role::ALL {
        let roles = Roles::new();
        let before = roles.it.add_key(SLOT);
        let old = roles.copy("old.db");
        let new = roles.another();
        let slot = roles.it.slot(0);
        let changed = slot.change_secret(role, roles.secret(role), &new, Rekey::quiet(false));
        let changed = changed.unwrap();
        assert_eq!((changed.roles, changed.waiting), (vec![role], vec![]));
        for other in Role::ALL.into_iter().filter(|it| *it != role) {
            slot.login(other, roles.secret(other)).unwrap();
        }
        assert!(slot.login(role, roles.secret(role)).is_err());
        slot.login(role, &new).unwrap();
        if role != Role::Po {
            slot.object(before).unwrap();
        }

        let now = roles.copy("now.db");
        for tables in [
            &["credentials", "quorums"][..],
            &["pairs"],
            &["credentials", "quorums", "pairs"],
            &["credentials", "quorums", "pairs", "domains"],
            &["slots"],
            &["slots", "domains", "objects"],
        ] {
            let path = now.with_file_name("tampered.db");
            fs::copy(&now, &path).unwrap();
            put_back(&path, &old, tables);
            let hsm = Hsm::open(&path, Access::ReadWrite).unwrap();
            let opened = hsm.partition(SLOT).login(role, roles.secret(role));
            assert!(opened.is_err(), "{role}, {tables:?}");
            drop(hsm);
            fs::remove_file(path).unwrap();
        }
    }
}

/// Other roles stay logged in wherever they are; the role itself stays where it was changed and ends elsewhere.
#[test]
fn sessions_take_the_new_slot_key_in() {
    let roles = Roles::new();
    let first = roles.it.add_key(SLOT);
    let elsewhere: Vec<(Role, Arc<Hsm>)> = Role::ALL
        .into_iter()
        .map(|role| {
            let hsm = Hsm::open(&roles.it.path(), Access::ReadWrite).unwrap();
            hsm.partition(SLOT).login(role, roles.secret(role)).unwrap();
            (role, hsm)
        })
        .collect();
    let new = roles.another();
    let slot = roles.it.slot(0);
    slot.change_secret(Role::Co, roles.secret(Role::Co), &new, Rekey::quiet(false))
        .unwrap();
    // Here.
    assert_eq!(slot.session().unwrap().role(), Role::Co);
    let second = roles.it.add_key(SLOT);
    for (role, hsm) in &elsewhere {
        hsm.refresh().unwrap();
        let there = hsm.partition(SLOT);
        match role {
            Role::Co => assert_eq!(errno(there.session()), libc::ENOKEY),
            _ => assert_eq!(there.session().unwrap().role(), *role),
        }
        if *role == Role::Cu {
            for each in [first, second] {
                there.object(each).unwrap();
            }
        }
    }

    // cu logs in again, which renews its authentication key. A session that saw neither change takes both in.
    let (_, idle) = &elsewhere[2];
    let po = Hsm::open(&roles.it.path(), Access::ReadWrite).unwrap();
    let before = generation(&roles.it);
    po.partition(SLOT)
        .change_secret(Role::Po, &roles.po, &roles.another(), Rekey::quiet(false))
        .unwrap();
    let cu = Hsm::open(&roles.it.path(), Access::ReadWrite).unwrap();
    cu.partition(SLOT).login(Role::Cu, &roles.cu).unwrap();
    assert_eq!(generation(&roles.it), before + 2);
    idle.refresh().unwrap();
    idle.partition(SLOT).object(second).unwrap();
    // A login is no change where nothing is to be renewed.
    cu.partition(SLOT).login(Role::Cu, &roles.cu).unwrap();
    assert_eq!(generation(&roles.it), before + 2);
    idle.refresh().unwrap();
    idle.partition(SLOT).object(second).unwrap();
}

/// Between the change of another process and the moment when this one takes it in, a row does not open with the keys that
/// are known here. What was asked is then done over the slot as it is now, and no damage is reported.
#[test]
fn a_request_over_a_changed_secret_is_done_again() {
    let roles = Roles::new();
    let [read, moved, renumbered, trashed] = [(); 4].map(|()| roles.it.add_key(SLOT));
    let there = Hsm::open(&roles.it.path(), Access::ReadWrite).unwrap();
    let slot = there.partition(SLOT);
    slot.login(Role::Co, roles.secret(Role::Co)).unwrap();
    let id = slot.find(read).unwrap().id;
    let blob = there.seal(id).unwrap().1;
    let mut po = roles.po.clone();
    let mut change = || {
        let new = roles.another();
        let here = roles.it.slot(0);
        here.change_secret(Role::Po, &po, &new, Rekey::quiet(false))
            .unwrap();
        po = new;
    };
    change();
    assert_eq!(there.seal(id).unwrap().1.bytes(), blob.bytes());
    change();
    slot.object(moved).unwrap();
    change();
    let to = handle(4711);
    wait(|done| slot.renumber(renumbered, to, done)).unwrap();
    slot.object(to).unwrap();
    wait(|done| slot.remove(trashed, done)).unwrap();
    let name = TrashName {
        handle: trashed,
        nth: 1,
    };
    let it = slot.find_trashed(name).unwrap();
    change();
    let arrived = wait(|done| there.restore(&it, None, done)).unwrap();
    slot.object(arrived.handle).unwrap();
}

/// A changed secret changes no blob, so nothing that is known of the objects has to be forgotten. A change of domains does.
#[test]
fn another_slot_key_shows_nowhere() {
    let roles = Roles::new();
    let there = Hsm::open(&roles.it.path(), Access::ReadWrite).unwrap();
    there.partition(SLOT).login(Role::Cu, &roles.cu).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    there.on_change(move |slot| tell.send(slot).unwrap());
    let here = roles.it.slot(0);
    let new = roles.another();
    here.change_secret(Role::Po, &roles.po, &new, Rekey::quiet(false))
        .unwrap();
    there.refresh().unwrap();
    assert_eq!(there.partition(SLOT).session().unwrap().role(), Role::Cu);
    assert_eq!(told.try_iter().count(), 0);
    here.login(Role::Po, &new).unwrap();
    here.add_domain(&crate::fixture::domain(), "second", false)
        .unwrap();
    there.refresh().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [SLOT]);
}

fn generation(it: &Fixture) -> u64 {
    it.slot(0).row().unwrap().generation
}

/// Whoever can write the file and knows no secret makes a slot key of his own and encapsulates it to the real roles: they
/// see that he has not their authentication keys. So it is with an authentication key that an earlier slot key gave away.
#[test]
fn a_forged_slot_key_reaches_nobody() {
    let roles = Roles::new();
    let row = roles.it.slot(0).row().unwrap();
    let path = roles.copy("forged.db");
    let store = Connection::open(&path).unwrap();
    let forged = SlotKey::random().unwrap();
    let mut pairs = store
        .prepare("SELECT pairs.credential, role, public_key FROM pairs JOIN credentials ON id = credential")
        .unwrap();
    let rows: Vec<(i64, u8, Vec<u8>)> = pairs
        .query_map([], |row| row.try_into())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows.len(), 3);
    for (id, role, public_key) in rows {
        let place = Place {
            slot: SLOT,
            binding: Binding {
                serial: row.serial,
                role: Role::from_number(role).unwrap(),
                id: PartId(id),
            },
            generation: row.generation + 1,
        };
        let guess = Key::random().unwrap();
        let made = pair::encapsulate(&forged, &public_key, &[&guess], place);
        let made = made.unwrap().unwrap();
        store
            .execute(
                "UPDATE pairs SET encapsulation = ?2, wrapped = ?3, generation = ?4 WHERE credential = ?1",
                (id, made.encapsulation, made.wrapped, (row.generation + 1).cast_signed()),
            )
            .unwrap();
    }
    drop(pairs);
    drop(store);
    let hsm = Hsm::open(&path, Access::ReadWrite).unwrap();
    for role in Role::ALL {
        let refused = hsm
            .partition(SLOT)
            .login(role, roles.secret(role))
            .unwrap_err();
        assert!(refused.is_slot_damaged(), "{refused}");
        assert!(
            refused.to_string().contains("has a key pair that"),
            "{refused}"
        );
    }
}

/// A public key that somebody put in a role's place gets no slot key: the change is refused and nothing is done.
#[test]
fn a_slot_key_goes_to_no_public_key_that_the_header_does_not_name() {
    for (change, says) in [
        (
            "UPDATE pairs SET public_key = (SELECT public_key FROM pairs p WHERE p.credential <> pairs.credential)",
            "header names",
        ),
        (
            "UPDATE pairs SET encapsulation = zeroblob(1120)",
            "header names",
        ),
        (
            "UPDATE pairs SET authentication = zeroblob(60)",
            "authentication key does not open",
        ),
        ("DELETE FROM pairs", "header names"),
    ] {
        let roles = Roles::new();
        let id = "(SELECT id FROM credentials WHERE role = 3)";
        let change = format!("{change} WHERE credential = {id}");
        Connection::open(roles.it.path())
            .unwrap()
            .execute_batch(&change)
            .unwrap();
        let (slot, new) = (roles.it.slot(0), roles.another());
        let refused =
            slot.change_secret(Role::Co, roles.secret(Role::Co), &new, Rekey::quiet(true));
        let refused = refused.unwrap_err();
        assert!(refused.is_slot_damaged(), "{change}: {refused}");
        assert!(refused.to_string().contains(says), "{change}: {refused}");
        slot.login(Role::Co, roles.secret(Role::Co)).unwrap();
        let mut found = Vec::new();
        roles
            .it
            .hsm
            .check(&[SLOT], &mut |it| found.push(it.to_string()))
            .unwrap();
        assert!(
            found.iter().any(|it| it.contains("cu")),
            "{change}: {found:?}"
        );
        // po gives the role another pair. Then nothing is in the way.
        slot.reset_secret(
            Role::Cu,
            &roles.another(),
            roles.secret(Role::Po),
            Rekey::quiet(true),
        )
        .unwrap();
        let changed =
            slot.change_secret(Role::Co, roles.secret(Role::Co), &new, Rekey::quiet(true));
        assert_eq!(changed.unwrap().waiting, []);
    }
}

/// No role is dropped: while the credential of one cannot be read, nothing changes, and it is there afterwards.
#[test]
fn a_change_keeps_a_credential_that_cannot_be_read() {
    for damage in ["failures = -1", "salt = 'text'", "role = 9"] {
        let roles = Roles::new();
        let path = roles.it.path();
        without_types(
            &path,
            &format!("UPDATE credentials SET {damage} WHERE role = 3"),
        );
        let slot = roles.it.slot(0);
        let refused = slot.new_smk();
        assert!(refused.is_err());
        slot.login(Role::Po, &roles.po).unwrap();
        let refused = slot
            .change_domain("primary", Some("first"), false)
            .unwrap_err();
        assert!(refused.is_slot_damaged(), "{damage}: {refused}");
        assert!(
            refused.to_string().contains("a credential (row "),
            "{refused}"
        );
        let new = roles.another();
        let refused = slot.change_secret(Role::Po, &roles.po, &new, Rekey::quiet(true));
        assert!(refused.is_err_and(|it| it.is_slot_damaged()), "{damage}");
        let store = Connection::open(&path).unwrap();
        let count = store.query_row("SELECT count(*) FROM credentials", [], |row| {
            row.get::<_, i64>(0)
        });
        assert_eq!(count.unwrap(), 3, "{damage}");
    }
}

/// Every part of a pair's row is bound: whatever is changed in it, its role does not get in, and the others do.
#[test]
fn a_damaged_pair_keeps_out_its_own_role_alone() {
    let roles = Roles::new();
    let whole = roles.copy("whole.db");
    for column in [
        "generation",
        "public_key",
        "encapsulation",
        "wrapped",
        "authentication",
    ] {
        for value in [
            "-1",
            "7",
            "NULL",
            "'text'",
            "x'07'",
            "zeroblob(48)",
            "zeroblob(1120)",
            "zeroblob(1216)",
        ] {
            let path = whole.with_file_name("damaged.db");
            fs::copy(&whole, &path).unwrap();
            let id = "(SELECT id FROM credentials WHERE role = 2)";
            let change = format!("UPDATE pairs SET {column} = {value} WHERE credential = {id}");
            without_types(&path, &change);
            let hsm = Hsm::open(&path, Access::ReadWrite).unwrap();
            let refused = hsm.partition(SLOT).login(Role::Co, roles.secret(Role::Co));
            let refused = refused.unwrap_err();
            assert!(refused.is_slot_damaged(), "{change}: {refused}");
            hsm.partition(SLOT).login(Role::Po, &roles.po).unwrap();
            hsm.partition(SLOT).login(Role::Cu, &roles.cu).unwrap();
            drop(hsm);
            fs::remove_file(path).unwrap();
        }
    }
}

/// co is logged in to the process in which po resets it: there it stays, with the new slot key, and another process ends it.
#[test]
fn a_reset_keeps_the_session_of_the_role_in_its_own_process() {
    let roles = Roles::new();
    let object = roles.it.add_key(SLOT);
    let elsewhere = Hsm::open(&roles.it.path(), Access::ReadWrite).unwrap();
    let old = roles.secret(Role::Co).clone();
    elsewhere.partition(SLOT).login(Role::Co, &old).unwrap();
    let (slot, new) = (roles.it.slot(0), roles.another());
    slot.login(Role::Co, &old).unwrap();
    slot.reset_secret(Role::Co, &new, &roles.po, Rekey::quiet(false))
        .unwrap();
    assert_eq!(slot.session().unwrap().role(), Role::Co);
    slot.object(object).unwrap();
    roles.it.add_key(SLOT);
    roles.it.hsm.refresh().unwrap();
    slot.object(object).unwrap();
    elsewhere.refresh().unwrap();
    assert_eq!(errno(elsewhere.partition(SLOT).session()), libc::ENOKEY);
}

/// A role that is given a secret later gets the slot key of then, and is treated like the others.
#[test]
fn a_role_that_is_initialized_later_has_a_pair() {
    let it = Fixture::quick(1);
    let secret = it.secret_of(0).clone();
    let slot = it.slot(0);
    let object = it.add_key(SLOT);
    let (cu, _) = Fixture::secret(slot.row().unwrap().serial);
    slot.init_role(Role::Cu, &cu).unwrap();
    let (new, _) = Fixture::secret(slot.row().unwrap().serial);
    let changed = slot
        .change_secret(Role::Co, &secret, &new, Rekey::quiet(false))
        .unwrap();
    assert_eq!(changed.waiting, []);
    slot.login(Role::Cu, &cu).unwrap();
    slot.object(object).unwrap();
    slot.login(Role::Po, &new).unwrap();
}

/// Progress is told.
#[test]
fn a_change_tells_how_far_it_is() {
    let it = Fixture::of([Slot {
        capacity: 1000,
        ..Slot::default()
    }]);
    let secret = it.secret_of(0).clone();
    for _ in 0..300 {
        it.add(0, &key()).unwrap();
    }
    let (tell, told) = std::sync::mpsc::channel();
    let rekey = Rekey {
        leave_damaged: false,
        progress: Box::new(move |done| tell.send(done).unwrap()),
    };
    let (new, _) = Fixture::secret(it.slot(0).row().unwrap().serial);
    it.slot(0)
        .change_secret(Role::Co, &secret, &new, rekey)
        .unwrap();
    assert_eq!(told.iter().collect::<Vec<_>>(), [256]);
    for number in [1, 300] {
        it.slot(0).object(Handle::new(number).unwrap()).unwrap();
    }
}

/// What somebody who can write the file changes while a role is logged in is not sealed by the next change: not what is in
/// clear, not a row that was taken away, not a credential in which another set of shares was put.
#[test]
fn a_change_seals_nothing_that_was_changed_in_clear() {
    for change in [
        "UPDATE slots SET policies = '0:1,4:1,20:10,1000:1'",
        "UPDATE slots SET uid = 1000",
        "UPDATE slots SET label = 'other'",
        "UPDATE slots SET kind = 1",
        "UPDATE slots SET retention_secs = 0",
        "UPDATE slots SET capacity_objects = 7",
        "DELETE FROM domains WHERE label = 'second'",
        "DELETE FROM smks",
        // Its id is there, of another kind.
        "INSERT INTO smks SELECT id, slot, sealed FROM domains WHERE label = 'second'; DELETE FROM domains WHERE label = 'second'",
        "INSERT INTO domains SELECT id, slot, 2, 'third', sealed FROM smks; DELETE FROM smks",
        "DELETE FROM credentials WHERE role = 3",
        "UPDATE quorums SET share_set = zeroblob(16) WHERE credential = (SELECT id FROM credentials WHERE role = 3)",
        "UPDATE credentials SET salt = zeroblob(16) WHERE role = 3",
        "UPDATE credentials SET wrapped = zeroblob(92) WHERE role = 3",
    ] {
        let roles = Roles::new();
        let slot = roles.it.slot(0);
        slot.login(Role::Po, &roles.po).unwrap();
        slot.upgrade().unwrap();
        slot.add_domain(&crate::fixture::domain(), "second", false)
            .unwrap();
        let before = slot.row().unwrap();
        let store = Connection::open(roles.it.path()).unwrap();
        store
            .execute_batch(&format!("PRAGMA foreign_keys = OFF; {change}"))
            .unwrap();
        let changed = slot.row().unwrap();
        let refused = slot
            .change_domain("primary", Some("first"), false)
            .unwrap_err();
        assert!(refused.is_slot_damaged(), "{change}: {refused}");
        // Nothing was written.
        assert_eq!(slot.row().unwrap(), changed, "{change}");
        assert_eq!(changed.header, before.header, "{change}");
    }
}
