//! A store that went back: rows of an old copy, put in place by somebody who has no key.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use slotfs_hsm::{Access, Error, Hsm, NewPartition, Policies, Rekey, Settings, SlotError};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;

use crate::fixture::{Fixture, Slot, assert_slot_error, domain, errno, key, text};

/// Tables whose rows are of objects, or count them.
const OBJECTS: [&str; 4] = ["objects", "trash", "usage", "trash_usage"];

/// A copy of the store as it is.
fn copy(fixture: &Fixture, name: &str) -> PathBuf {
    let copy = fixture.path().with_file_name(name);
    fixture.hsm.backup(&copy, false, &|| false).unwrap();
    copy
}

/// Every table that has rows of slots, objects aside.
fn tables(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut query = connection
        .prepare(
            "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
             WHERE t.type = 'table' AND c.name = 'slot'",
        )
        .unwrap();
    let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut names: Vec<String> = names.map(Result::unwrap).collect();
    names.retain(|name| !OBJECTS.contains(&name.as_str()));
    assert!(names.len() >= 5, "{names:?}");
    names
}

/// Puts rows of slot 0 back as they are in `old`.
fn put_back(fixture: &Fixture, old: &Path, tables: &[String]) {
    let there = Connection::open(fixture.path()).unwrap();
    there.execute("PRAGMA foreign_keys = OFF", []).unwrap();
    there
        .execute("ATTACH ?1 AS old", [old.to_str().unwrap()])
        .unwrap();
    let columns = "label, kind, version, capacity_objects, capacity_bytes, retention_secs, policies, uid, gid,
                   created_secs, serial, generation, header";
    let change: String = tables
        .iter()
        .map(|table| match table.as_str() {
            "slots" => format!(
                "UPDATE slots SET ({columns}) = (SELECT {columns} FROM old.slots WHERE slot = 0) WHERE slot = 0;"
            ),
            table => format!(
                "DELETE FROM {table} WHERE slot = 0;
                 INSERT INTO {table} SELECT * FROM old.{table} WHERE slot = 0;"
            ),
        })
        .collect();
    there
        .execute_batch(&format!("BEGIN IMMEDIATE; {change} COMMIT;"))
        .unwrap();
}

/// Two slots, of which slot 0 has had a second domain that po deleted; and a copy from before that. co is logged in.
fn with_a_deleted_domain(slot: Slot) -> (Fixture, PathBuf) {
    let fixture = Fixture::of([slot, Slot::default()]);
    fixture.login(0, Role::Po).unwrap();
    fixture
        .slot(0)
        .add_domain(&domain(), "leaked", true)
        .unwrap();
    let old = copy(&fixture, "old.db");
    fixture
        .slot(0)
        .change_domain("primary", None, true)
        .unwrap();
    fixture.slot(0).delete_domain("leaked").unwrap();
    fixture.login(0, Role::Co).unwrap();
    (fixture, old)
}

/// The same store in another process, which keeps what it saw in `folder`.
fn open(path: &Path, folder: &Path) -> Arc<Hsm> {
    let hsm = Hsm::open(path, Access::ReadWrite).unwrap();
    hsm.remember_in(Ok(folder.to_owned()));
    hsm
}

#[test]
fn rows_put_back_under_a_session_log_it_out() {
    let all = |old: &Path| tables(old);
    let header = |_: &Path| vec!["slots".to_owned()];
    let whole: [fn(&Path) -> Vec<String>; 2] = [all, header];
    for tables in whole {
        let (fixture, old) = with_a_deleted_domain(Slot::default());
        let added = fixture.add_key(SlotId(0));
        let other = fixture.add_key(SlotId(1));
        put_back(&fixture, &old, &tables(&old));
        // Even before it is noticed, nothing is stored.
        let objects = fixture.slot(0).object_ids().unwrap();
        assert!(fixture.add(0, &key()).unwrap_err().is_changed());
        assert_eq!(fixture.slot(0).object_ids().unwrap(), objects);

        fixture.hsm.refresh().unwrap();
        assert_slot_error!(fixture.seal(SlotId(0), added), SlotError::NotLoggedIn);
        assert_slot_error!(fixture.add(0, &key()), SlotError::NotLoggedIn);
        let told = fixture.hsm.journal().text(Some(SlotId(0)));
        assert!(
            told.contains("Slot 0 was logged out: the store went back"),
            "{told}"
        );
        assert_eq!(fixture.hsm.journal().text(Some(SlotId(1))), "");
        fixture.seal(SlotId(1), other).unwrap();

        // The process remembers, without a state folder.
        if tables(&old).len() > 1 {
            for role in [Role::Co, Role::Po] {
                assert_slot_error!(fixture.login(0, role), SlotError::Older { .. });
            }
        } else {
            // The domain that the old header names is gone.
            assert!(fixture.login(0, Role::Co).unwrap_err().is_damage());
        }
        assert_slot_error!(fixture.slot(0).session(), SlotError::NotLoggedIn);
    }
}

#[test]
fn a_change_prepared_before_goes_nowhere() {
    let (fixture, old) = with_a_deleted_domain(Slot::default());
    fixture.login(0, Role::Po).unwrap();
    put_back(&fixture, &old, &tables(&old));
    let before = fixture.slot(0).row().unwrap();
    let refused = fixture.slot(0).add_domain(&domain(), "third", false);
    assert!(refused.is_err());
    assert_eq!(fixture.slot(0).row().unwrap(), before);
    assert_slot_error!(fixture.slot(0).session(), SlotError::NotLoggedIn);
    // Another password is such a change, and is a login of its own.
    let (secret, _) = Fixture::secret(before.serial);
    let old_secret = fixture.secret_of(0);
    let refused = fixture
        .slot(0)
        .change_secret(Role::Po, old_secret, &secret, Rekey::quiet(false));
    assert_slot_error!(refused, SlotError::Older { .. });
    let refused = fixture
        .slot(0)
        .reset_secret(Role::Co, &secret, old_secret, Rekey::quiet(false));
    assert_slot_error!(refused, SlotError::Older { .. });
    assert_eq!(fixture.slot(0).row().unwrap(), before);
}

/// A refused login is no wrong password, and tells nothing to whoever has none.
#[test]
fn the_refusal_is_not_counted_and_comes_after_the_password() {
    let slot = Slot {
        password: true,
        policies: Policies {
            failed_logins: 2,
            ..Policies::default()
        },
        ..Slot::default()
    };
    let (fixture, old) = with_a_deleted_domain(slot);
    put_back(&fixture, &old, &tables(&old));
    fixture.hsm.refresh().unwrap();
    for _ in 0..3 {
        let refused = fixture.login(0, Role::Co).unwrap_err();
        assert_eq!(refused.outcome().errno, libc::EKEYEXPIRED);
        assert!(
            refused
                .to_string()
                .contains("older than the one seen here on 2"),
            "{refused}"
        );
    }
    let wrong = fixture.slot(0).login(Role::Co, &text("wrong horse"));
    assert_slot_error!(wrong, SlotError::PasswordWrong { left: 1, .. });
}

/// A generation in clear is anybody's: none of them is remembered, so the slot opens again once it is put right.
#[test]
fn a_number_in_clear_closes_nothing_for_ever() {
    for change in [
        "UPDATE slots SET generation = 9223372036854775807 WHERE slot = 0",
        "UPDATE slots SET generation = generation + 1 WHERE slot = 0",
        "UPDATE slots SET generation = 0 WHERE slot = 0",
        "UPDATE slots SET serial = serial + 1 WHERE slot = 0",
    ] {
        let (fixture, _) = with_a_deleted_domain(Slot::default());
        let folder = fixture.path().with_file_name("state");
        fixture.hsm.remember_in(Ok(folder.clone()));
        fixture.login(0, Role::Co).unwrap();
        let there = Connection::open(fixture.path()).unwrap();
        let before: (i64, i64) = there
            .query_row(
                "SELECT generation, serial FROM slots WHERE slot = 0",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        there.execute_batch(change).unwrap();
        fixture.hsm.refresh().unwrap();
        assert_slot_error!(fixture.slot(0).session(), SlotError::NotLoggedIn);
        assert!(fixture.login(0, Role::Co).is_err(), "{change}");
        // Not even if it is accepted.
        fixture.hsm.accept(&[]).unwrap();
        assert!(fixture.login(0, Role::Co).is_err(), "{change}");
        let text = "UPDATE slots SET generation = ?1, serial = ?2 WHERE slot = 0";
        there.execute(text, before).unwrap();
        fixture.hsm.refresh().unwrap();
        fixture.login(0, Role::Co).unwrap();
        open(&fixture.path(), &folder)
            .partition(SlotId(0))
            .login(Role::Co, fixture.secret_of(0))
            .unwrap();
    }
}

#[test]
fn another_process_notices_and_accepts() {
    let (fixture, old) = with_a_deleted_domain(Slot::default());
    let (path, folder) = (fixture.path(), fixture.path().with_file_name("state"));
    let login = |hsm: &Hsm| {
        hsm.partition(SlotId(0))
            .login(Role::Co, fixture.secret_of(0))
    };
    let first = open(&path, &folder);
    login(&first).unwrap();
    put_back(&fixture, &old, &tables(&old));
    let second = open(&path, &folder);
    assert_slot_error!(login(&second), SlotError::Older { .. });
    // The other slot was not seen before, and is not older.
    let of_other = fixture.secret_of(1);
    second
        .partition(SlotId(1))
        .login(Role::Co, of_other)
        .unwrap();
    first.refresh().unwrap();
    assert_slot_error!(login(&first), SlotError::Older { .. });

    assert_slot_error!(second.accept(&[SlotId(9)]), SlotError::Stored(_));
    let accepted = |hsm: &Hsm, slots: &[SlotId]| -> Vec<(u32, bool)> {
        let accepted = hsm.accept(slots).unwrap().into_iter();
        accepted
            .map(|(slot, it)| (slot.0, it.unwrap().seen.is_some()))
            .collect()
    };
    assert_eq!(accepted(&second, &[SlotId(1)]), [(1, false)]);
    assert_slot_error!(login(&second), SlotError::Older { .. });
    assert_eq!(accepted(&second, &[]), [(0, true), (1, false)]);
    assert_eq!(accepted(&second, &[]), [(0, false), (1, false)]);
    // Every process takes it, the one that saw more as well.
    login(&second).unwrap();
    login(&first).unwrap();
    login(&open(&path, &folder)).unwrap();

    // From here on it counts again.
    let older = copy(&fixture, "older.db");
    let po = open(&path, &folder);
    po.partition(SlotId(0))
        .login(Role::Po, fixture.secret_of(0))
        .unwrap();
    po.partition(SlotId(0)).delete_domain("primary").unwrap();
    put_back(&fixture, &older, &tables(&older));
    assert_slot_error!(login(&open(&path, &folder)), SlotError::Older { .. });
    // The first process never saw the change itself, and its own session is as old as the store.
    first.refresh().unwrap();
    assert_slot_error!(first.partition(SlotId(0)).session(), SlotError::NotLoggedIn);
}

#[test]
fn a_copy_elsewhere_and_another_partition_open() {
    let (mut fixture, old) = with_a_deleted_domain(Slot::default());
    let (path, folder) = (fixture.path(), fixture.path().with_file_name("state"));
    let first = open(&path, &folder);
    let secret = fixture.secret_of(0).clone();
    first.partition(SlotId(0)).login(Role::Co, &secret).unwrap();
    // A backup that is looked at.
    open(&old, &folder)
        .partition(SlotId(0))
        .login(Role::Co, &secret)
        .unwrap();
    // Another partition begins at 1 again.
    let mut new = fixture.new_partition(SlotId(0), false);
    new.replaces = first.partition(SlotId(0)).mark().unwrap();
    let again = |new: &NewPartition| new.serial;
    let serial = again(&new);
    open(&path, &folder).init_partition(new).unwrap();
    let hsm = open(&path, &folder);
    hsm.partition(SlotId(0))
        .login(Role::Co, fixture.secret_of(0))
        .unwrap();
    assert_eq!(hsm.partition(SlotId(0)).row().unwrap().serial, serial);
    // The partition that was there before is still known: its old copy is refused.
    put_back(&fixture, &old, &tables(&old));
    let refused = open(&path, &folder)
        .partition(SlotId(0))
        .login(Role::Co, &secret);
    assert_slot_error!(refused, SlotError::Older { .. });
}

/// What is wrong with the state folder closes no slot, and the process itself still notices.
#[test]
fn a_state_folder_that_cannot_be_used_blocks_nothing() {
    type Spoil = fn(&Path);
    let file = |folder: &Path| {
        let mut files = fs::read_dir(folder).unwrap().flatten();
        let file = files.find(|it| it.file_name().to_str().unwrap().ends_with(".json"));
        file.unwrap().path()
    };
    let spoils: [(&str, Spoil); 6] = [
        ("a file in its place", |folder| {
            fs::remove_dir_all(folder).unwrap();
            fs::write(folder, "").unwrap();
        }),
        ("everybody's", |folder| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(folder, mode).unwrap();
        }),
        ("a loop of links", |folder| {
            fs::remove_dir_all(folder).unwrap();
            std::os::unix::fs::symlink(folder, folder).unwrap();
        }),
        ("no lock", |folder| {
            fs::remove_file(folder.join("seen.lock")).unwrap();
            fs::create_dir(folder.join("seen.lock")).unwrap();
        }),
        ("gone", |folder| fs::remove_dir_all(folder).unwrap()),
        ("as it was", |_| {}),
    ];
    for (what, spoil) in spoils {
        let (fixture, old) = with_a_deleted_domain(Slot::default());
        let folder = fixture.path().with_file_name("state");
        let login = |hsm: &Hsm| {
            hsm.partition(SlotId(0))
                .login(Role::Co, fixture.secret_of(0))
        };
        login(&open(&fixture.path(), &folder)).unwrap();
        spoil(&folder);
        let hsm = open(&fixture.path(), &folder);
        login(&hsm).unwrap();
        put_back(&fixture, &old, &tables(&old));
        hsm.refresh().unwrap();
        assert_slot_error!(login(&hsm), SlotError::Older { .. });
        let accepted = hsm.accept(&[]);
        match what {
            "gone" | "as it was" => drop(accepted.unwrap()),
            _ => assert!(matches!(accepted, Err(Error::State(_))), "{what}"),
        }
    }
    for garbage in [
        "",
        "{",
        "[]",
        "{\"version\":1}",
        "{\"version\":1,\"marks\":[{}]}",
    ] {
        let (fixture, _) = with_a_deleted_domain(Slot::default());
        let folder = fixture.path().with_file_name("state");
        let login = |hsm: &Hsm| {
            hsm.partition(SlotId(0))
                .login(Role::Co, fixture.secret_of(0))
        };
        login(&open(&fixture.path(), &folder)).unwrap();
        let whole = fs::read_to_string(file(&folder)).unwrap();
        fs::write(file(&folder), garbage).unwrap();
        login(&open(&fixture.path(), &folder)).unwrap();
        assert_eq!(
            fs::read_to_string(file(&folder)).unwrap().len(),
            whole.len(),
            "made anew"
        );
    }
    // A later version's file is left as it is.
    let (fixture, _) = with_a_deleted_domain(Slot::default());
    let folder = fixture.path().with_file_name("state");
    let login = |hsm: &Hsm| {
        hsm.partition(SlotId(0))
            .login(Role::Co, fixture.secret_of(0))
    };
    login(&open(&fixture.path(), &folder)).unwrap();
    fs::write(file(&folder), "{\"version\":2}").unwrap();
    login(&open(&fixture.path(), &folder)).unwrap();
    assert_eq!(
        fs::read_to_string(file(&folder)).unwrap(),
        "{\"version\":2}"
    );
    // No folder at all.
    let hsm = Hsm::open(&fixture.path(), Access::ReadWrite).unwrap();
    hsm.remember_in(Err("there is none".into()));
    login(&hsm).unwrap();
    assert!(matches!(hsm.accept(&[]), Err(Error::State(_))));
}

/// A store that is open to read only is watched as well.
#[test]
fn a_read_only_store_notices() {
    let (fixture, old) = with_a_deleted_domain(Slot::default());
    let folder = fixture.path().with_file_name("state");
    let hsm = Hsm::open(&fixture.path(), Access::ReadOnly).unwrap();
    hsm.remember_in(Ok(folder));
    let slot = hsm.partition(SlotId(0));
    slot.login(Role::Co, fixture.secret_of(0)).unwrap();
    put_back(&fixture, &old, &tables(&old));
    hsm.refresh().unwrap();
    assert_slot_error!(slot.session(), SlotError::NotLoggedIn);
    let refused = slot.login(Role::Co, fixture.secret_of(0));
    assert_eq!(errno(refused), libc::EKEYEXPIRED);
}

/// Changes by another process, or by another thread, are never taken for a store that went back, whenever they come.
#[test]
fn a_change_under_way_is_no_way_back() {
    let fixture = Fixture::quick(1);
    let (path, folder) = (fixture.path(), fixture.path().with_file_name("state"));
    let secret = fixture.secret_of(0);
    let writer = open(&path, &folder);
    writer.partition(SlotId(0)).login(Role::Po, secret).unwrap();
    let reader = open(&path, &folder);
    reader.partition(SlotId(0)).login(Role::Co, secret).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for hsm in [&writer, &reader] {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    hsm.refresh().unwrap();
                    hsm.partition(SlotId(0)).session().unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let third = open(&path, &folder);
                match third.partition(SlotId(0)).login(Role::Co, secret) {
                    Err(error) if !error.is_changed() => panic!("{error}"),
                    _ => {}
                }
            }
        });
        let outcome = (0..150).try_for_each(|retention_secs| {
            let settings = Settings {
                retention_secs: Some(retention_secs),
                ..Settings::default()
            };
            writer.partition(SlotId(0)).set(settings).map(drop)
        });
        // Also after an error: the others wait for it.
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert_eq!(writer.journal().text(None), "");
    assert_eq!(reader.journal().text(None), "");
}
