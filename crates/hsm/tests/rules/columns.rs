//! Every clear column of every table but `pairs` (see secrets.rs), set to each kind of wrong value: the damage is named, and stays where it is
//! (docs/damage.md). One login serves many changes.

use std::path::Path;

use rusqlite::Connection;
use slotfs_hsm::{Access, Finding, Hsm, Selection, SlotFault, TrashName, wait};
use slotfs_object::pkcs11::CKA_LABEL;
use slotfs_object::{Attribute, Handle, RowId, SlotId};

use crate::fixture::{Fixture, Slot, handle, key};
use crate::without_types::without_types;

const BAD: SlotId = SlotId(0);
const GOOD: SlotId = SlotId(1);

/// Values as SQL writes them, and what they are called here.
const VALUES: [(&str, &str); 6] = [
    ("negative", "-1"),
    ("too big", "9223372036854775807"),
    ("nothing", "NULL"),
    ("text", "'text'"),
    ("a short blob", "x'07'"),
    ("real", "1.5"),
];

/// What a column may hold, as far as that shows without a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A number that SQLite keeps, 0 or more.
    Count,
    /// The same, or none.
    CountOrNone,
    /// A number of 32 bits or fewer.
    Small,
    /// The same, or none.
    SmallOrNone,
    /// Any text: a number becomes one.
    Text,
    /// Text of a form of its own.
    Form,
    /// A blob of a certain length.
    Blob,
}

/// Whether the value is wrong in such a column.
fn is_wrong(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Count => value != "too big",
        Kind::CountOrNone => !matches!(value, "too big" | "nothing"),
        Kind::Small => true,
        Kind::SmallOrNone => value != "nothing",
        Kind::Text => matches!(value, "nothing" | "a short blob"),
        Kind::Form | Kind::Blob => true,
    }
}

impl Fixture {
    /// Two slots of one domain, each with three keys and one more in its trash.
    fn two(bad_is_v1: bool) -> Self {
        let it = Self::of([bad_is_v1, false].map(|v1| Slot {
            v1,
            retention_secs: 3600,
            password: true,
            ..Slot::default()
        }));
        for slot in [BAD, GOOD] {
            for _ in 0..4 {
                it.add_key(slot);
            }
            it.remove(slot.0, handle(4)).unwrap();
        }
        it
    }

    /// Describes an object of the bad slot anew, and destroys its former revision.
    fn describe(&self, handle: Handle) {
        let label = Attribute::Text("described".into());
        let bad = self.hsm.partition(BAD);
        bad.set_attributes(handle, &[(CKA_LABEL, Some(label))])
            .unwrap();
        let former = bad.find_trashed(TrashName { handle, nth: 1 }).unwrap();
        wait(|done| self.hsm.destroy_trashed(&former, done)).unwrap();
    }

    /// Whatever is found of `slot`, or of the store as a whole, in words.
    fn findings(&self, slot: Option<SlotId>) -> Vec<String> {
        let mut found = Vec::new();
        let mut each = |finding: Finding| {
            if finding.slot == slot {
                found.push(finding.to_string());
            }
        };
        // The slot that is damaged is not the one that is asked about.
        self.hsm.check(&[GOOD], &mut each).unwrap();
        found
    }

    /// How many objects of a slot open, and what is said of the others.
    fn contents(&self, slot: SlotId) -> (usize, Vec<String>) {
        let (mut whole, mut said) = (0, Vec::new());
        let outcome = self.hsm.partition(slot).contents(|row| match row.object {
            Ok(_) => whole += 1,
            Err(error) => said.push(error.to_string()),
        });
        said.extend(outcome.err().map(|error| error.to_string()));
        (whole, said)
    }

    /// The other slot is as it was.
    fn other_slot_works(&self, what: &str) {
        assert_eq!(self.contents(GOOD), (3, Vec::new()), "{what}");
        let stored = self
            .add(GOOD.0, &key())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = self.hsm.partition(GOOD).find(stored.handle).unwrap();
        wait(|done| self.hsm.remove_found(&found, true, done)).unwrap();
        let listed = self.hsm.slots().unwrap();
        let other = listed.iter().find(|it| it.slot == Some(GOOD));
        assert!(other.is_some_and(|it| it.row.is_ok()), "{what}");
    }
}

/// The tables as they were, put back.
fn put_back(path: &Path, whole: &Path) {
    let tables = [
        "store",
        "slots",
        "credentials",
        "domains",
        "smks",
        "quorums",
        "usage",
        "trash_usage",
        "objects",
        "trash",
    ];
    // The counters last: triggers count while the others come back.
    let text: String = tables
        .iter()
        .map(|table| format!("DELETE FROM {table};"))
        .chain(["DELETE FROM usage; DELETE FROM trash_usage;".to_owned()])
        .chain(
            tables
                .iter()
                .filter(|table| !table.contains("usage"))
                .map(|table| format!("INSERT INTO {table} SELECT * FROM whole.{table};")),
        )
        .collect();
    Connection::open(path)
        .unwrap()
        .execute_batch(&format!(
            "ATTACH '{}' AS whole; PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; {}
             DELETE FROM usage; INSERT INTO usage SELECT * FROM whole.usage;
             DELETE FROM trash_usage; INSERT INTO trash_usage SELECT * FROM whole.trash_usage;
             UPDATE sqlite_sequence SET seq = (SELECT seq FROM whole.sqlite_sequence WHERE name = 'objects')
             WHERE name = 'objects';",
            whole.to_str().unwrap(),
            // A damaged row may not be counted out.
            text.replacen("DELETE FROM store;", "DELETE FROM usage; DELETE FROM trash_usage; DELETE FROM store;", 1)
        ))
        .unwrap();
}

/// Runs `look` after each change of a column; `look` gets the change and whether the value is wrong.
fn for_each_value(
    it: &Fixture,
    table: &str,
    place: &str,
    columns: &[(&str, Kind)],
    mut look: impl FnMut(&str, &str, bool),
) {
    let whole = it.path().with_file_name("whole.db");
    it.hsm.backup(&whole, true, &|| false).unwrap();
    for &(column, kind) in columns {
        for (name, value) in VALUES {
            let change = format!("UPDATE {table} SET {column} = {value} WHERE {place}");
            without_types(&it.path(), &change);
            look(&change, column, is_wrong(kind, name));
            put_back(&it.path(), &whole);
        }
    }
}

/// An object's row: it alone fails, by name; the others are listed, read and cloned, and it can be destroyed.
#[test]
fn a_damaged_row_of_an_object_takes_nothing_with_it() {
    let it = Fixture::two(false);
    let columns = [
        ("slot", Kind::Small),
        ("handle", Kind::Small),
        ("ouid", Kind::Blob),
        ("payload_bytes", Kind::Small),
        ("created_secs", Kind::Count),
        ("changed_secs", Kind::CountOrNone),
        ("sealed", Kind::Blob),
    ];
    it.describe(handle(2));
    let id = it.hsm.partition(BAD).find(handle(2)).unwrap().id;
    for_each_value(
        &it,
        "objects",
        "slot = 0 AND handle = 2",
        &columns,
        |change, column, _| {
            it.hsm.refresh().unwrap();
            let (whole, said) = it.contents(BAD);
            assert_eq!(whole, 2, "{change}: {said:?}");
            // A trigger counts a row that went to no slot out of its own.
            assert!(!said.is_empty() || column == "slot", "{change}");
            // A row of another slot, or of none, is missed here; a value of the right type does not open.
            let named = said.iter().any(|line| {
                line.contains(column) && line.contains(&format!("row {id}"))
                    || line.contains("does not open")
            });
            assert!(named || column == "slot", "{change}: {said:?}");
            // The list is cloned but for this one.
            it.hsm.partition(GOOD).clear().unwrap();
            let mut cloned = Vec::new();
            let (can, _) = it
                .hsm
                .partition(BAD)
                .check_cloneable(GOOD, &Selection::All, |_, _| {})
                .unwrap();
            assert!(can >= 2, "{change}: {can}");
            let _ = it.hsm.partition(BAD).clone_list(
                GOOD,
                &Selection::All,
                || false,
                |some| {
                    let whole = some.iter().filter(|(_, outcome)| outcome.is_ok());
                    cloned.extend(whole.map(|(handle, _)| handle.get()));
                },
            );
            assert_eq!(cloned, [1, 3], "{change}");
            // It is found by a check of its slot, and can be destroyed by its row; then nothing is wrong.
            let mut found = Vec::new();
            it.hsm
                .check(&[BAD], &mut |finding| found.push(finding.to_string()))
                .unwrap();
            assert!(!found.is_empty(), "{change}");
            match it.hsm.damaged_row(id) {
                Ok(row) => {
                    wait(|done| it.hsm.partition(BAD).destroy_damaged(row.clone(), done)).unwrap();
                    if column == "slot" {
                        // No slot's count says that it is gone.
                        it.hsm.partition(BAD).recount().unwrap();
                    }
                    let (whole, said) = it.contents(BAD);
                    assert_eq!((whole, said), (2, Vec::new()), "{change}");
                    it.add(BAD.0, &key())
                        .unwrap_or_else(|error| panic!("{change}: {error}"));
                }
                // Whole in the clear: it goes as any other does.
                Err(error) if matches!(error.slot_fault(), Some(SlotFault::NotDamaged { .. })) => {
                    wait(|done| it.hsm.partition(BAD).remove(handle(2), done)).unwrap();
                    assert_eq!(it.contents(BAD).0, 2, "{change}");
                }
                Err(error) => panic!("{change}: {error}"),
            }
        },
    );
}

/// The same of a row in the trash.
#[test]
fn a_damaged_row_in_the_trash_takes_nothing_with_it() {
    let it = Fixture::two(false);
    let columns = [
        ("handle", Kind::Small),
        ("ouid", Kind::Blob),
        ("payload_bytes", Kind::Small),
        ("created_secs", Kind::Count),
        ("changed_secs", Kind::CountOrNone),
        ("trashed_secs", Kind::Count),
        ("nth", Kind::Small),
    ];
    it.describe(handle(3));
    wait(|done| it.hsm.partition(BAD).remove(handle(3), done)).unwrap();
    let trash: Vec<_> = it
        .hsm
        .partition(BAD)
        .list_trash(RowId(0), 10)
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    let id = trash
        .iter()
        .find(|it| it.object.handle == handle(3))
        .unwrap()
        .object
        .id;
    for_each_value(
        &it,
        "trash",
        "slot = 0 AND handle = 3",
        &columns,
        |change, column, wrong| {
            it.hsm.refresh().unwrap();
            // Nothing expires by a value that is none.
            it.hsm.empty_expired_trash().unwrap();
            let (whole, damaged): (Vec<_>, Vec<_>) = it
                .hsm
                .partition(BAD)
                .list_trash(RowId::BELOW_ALL, 10)
                .unwrap()
                .into_iter()
                .partition(Result::is_ok);
            assert!(
                whole
                    .iter()
                    .flatten()
                    .any(|it| it.object.handle == handle(4)),
                "{change}"
            );
            if !wrong {
                return;
            }
            let row = damaged
                .into_iter()
                .find_map(Result::err)
                .unwrap_or_else(|| panic!("{change}"));
            assert!(row.id == id && row.what.contains(column), "{change}: {row}");
            let mut found = Vec::new();
            it.hsm
                .check(&[BAD], &mut |finding| found.push(finding.to_string()))
                .unwrap();
            assert!(
                found.iter().any(|line| line.contains("in the trash")),
                "{change}: {found:?}"
            );
            wait(|done| it.hsm.partition(BAD).destroy_damaged(row.clone(), done)).unwrap();
            assert_eq!(it.hsm.partition(BAD).trash_count().unwrap(), 1, "{change}");
            assert_eq!(
                it.hsm
                    .partition(BAD)
                    .list_trash(RowId::BELOW_ALL, 10)
                    .unwrap()
                    .len(),
                1,
                "{change}"
            );
        },
    );
}

/// A slot's own rows: the slot is named with the column, the others work, and it can be deleted.
#[test]
fn a_damaged_slot_takes_no_other_with_it() {
    let it = Fixture::two(true);
    for (table, columns) in [
        (
            "slots",
            vec![
                ("serial", Kind::Count),
                ("label", Kind::Text),
                ("kind", Kind::Small),
                ("version", Kind::Small),
                ("capacity_objects", Kind::Count),
                ("capacity_bytes", Kind::Count),
                ("retention_secs", Kind::Count),
                ("policies", Kind::Form),
                ("uid", Kind::SmallOrNone),
                ("gid", Kind::SmallOrNone),
                ("created_secs", Kind::Count),
                ("generation", Kind::Count),
                ("header", Kind::Blob),
            ],
        ),
        (
            "credentials",
            vec![
                ("role", Kind::Small),
                ("memory_kib", Kind::Small),
                ("passes", Kind::Small),
                ("lanes", Kind::Small),
                ("salt", Kind::Blob),
                ("commitment", Kind::Blob),
                ("wrapped", Kind::Blob),
                ("failures", Kind::Small),
            ],
        ),
        (
            "domains",
            vec![
                ("kind", Kind::Small),
                ("label", Kind::Text),
                ("sealed", Kind::Blob),
            ],
        ),
        ("smks", vec![("sealed", Kind::Blob)]),
        (
            "usage",
            vec![("objects", Kind::Small), ("bytes", Kind::Small)],
        ),
        ("trash_usage", vec![("objects", Kind::Small)]),
    ] {
        let place = match table {
            "credentials" => "slot = 0 AND role = 2",
            _ => "slot = 0",
        };
        for_each_value(&it, table, place, &columns, |change, column, wrong| {
            it.hsm
                .refresh()
                .unwrap_or_else(|error| panic!("{change}: {error}"));
            it.other_slot_works(change);
            if wrong {
                // Its counters are counted where its objects are read.
                let found = match table {
                    "usage" | "trash_usage" => {
                        let mut found = Vec::new();
                        it.hsm
                            .check(&[BAD], &mut |finding| found.push(finding.to_string()))
                            .unwrap();
                        found
                    }
                    _ => it.findings(Some(BAD)),
                };
                // In a check's words, or by the column's name.
                let words = match column {
                    "memory_kib" | "passes" | "lanes" => "cost",
                    "failures" => "failed logins",
                    "wrapped" => "wrapped key",
                    "sealed" => "sealed key",
                    _ => column,
                };
                assert!(
                    found
                        .iter()
                        .any(|line| line.contains(words) || line.contains(column)),
                    "{change}: {found:?}"
                );
            }
            let mark = it.hsm.partition(BAD).mark().unwrap().unwrap();
            it.hsm
                .partition(BAD)
                .delete_damaged(mark)
                .unwrap_or_else(|error| panic!("{change}: {error}"));
            assert_eq!(it.hsm.slots().unwrap().len(), 1, "{change}");
            assert_eq!(it.findings(None), Vec::<String>::new(), "{change}");
            assert_eq!(it.findings(Some(BAD)), Vec::<String>::new(), "{change}");
        });
    }
}

/// What is wrong with the store and with no slot: it opens, works, and says so.
#[test]
fn a_damaged_row_of_the_store_closes_nothing() {
    let it = Fixture::two(false);
    for_each_value(
        &it,
        "store",
        "TRUE",
        &[("created_secs", Kind::Count)],
        |change, _, wrong| {
            let again = Hsm::open(&it.path(), Access::ReadWrite)
                .unwrap_or_else(|error| panic!("{change}: {error}"));
            assert_eq!(again.slots().unwrap().len(), 2, "{change}");
            it.other_slot_works(change);
            assert_eq!(it.findings(None).is_empty(), !wrong, "{change}");
        },
    );
}

/// AUTOINCREMENT's counter, missing or lying: it is found, and the next write puts it right.
#[test]
fn a_damaged_counter_of_rows_gives_no_row_twice() {
    let it = Fixture::two(false);
    for change in [
        "DELETE FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = 0",
        "UPDATE sqlite_sequence SET seq = 2",
        "UPDATE sqlite_sequence SET seq = -7",
        "UPDATE sqlite_sequence SET seq = NULL",
        "UPDATE sqlite_sequence SET seq = 'many'",
        "UPDATE sqlite_sequence SET seq = x'07'",
        "UPDATE sqlite_sequence SET seq = 2.5",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('objects', 3)",
    ] {
        Connection::open(it.path())
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let found = it.findings(None);
        assert!(
            found.iter().any(|line| line.contains("sqlite_sequence")),
            "{change}: {found:?}"
        );
        let before = it.hsm.partition(GOOD).object_ids().unwrap();
        let stored = it
            .add(GOOD.0, &key())
            .unwrap_or_else(|error| panic!("{change}: {error}"));
        let object = it.hsm.partition(GOOD).find(stored.handle).unwrap();
        assert!(!before.contains(&object.id), "{change}");
        let trash: Vec<_> = it.hsm.partition(BAD).list_trash(RowId(0), 10).unwrap();
        assert!(
            trash.iter().flatten().all(|it| it.object.id != object.id),
            "{change}"
        );
        assert_eq!(it.findings(None), Vec::<String>::new(), "{change}");
    }
    // Rows can be reserved as well.
    Connection::open(it.path())
        .unwrap()
        .execute_batch("DELETE FROM sqlite_sequence")
        .unwrap();
    let again = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    let row = again.reserve_row().unwrap();
    assert!(!again.partition(GOOD).object_ids().unwrap().contains(&row));
}

/// A row that is in a slot and in its trash at once.
#[test]
fn a_row_in_two_places_is_found() {
    let it = Fixture::two(false);
    Connection::open(it.path())
        .unwrap()
        .execute_batch(
            "INSERT INTO trash (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed, trashed_secs, nth)
             SELECT id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed, unixepoch(), 1
             FROM objects WHERE slot = 0 AND handle = 2",
        )
        .unwrap();
    let found = it.findings(Some(BAD));
    assert!(
        found
            .iter()
            .any(|line| line.contains("both in the slot and in the trash")),
        "{found:?}"
    );
    // It goes to the trash, where it takes the place of its double.
    wait(|done| it.hsm.partition(BAD).remove(handle(2), done)).unwrap();
    assert_eq!(it.findings(Some(BAD)), Vec::<String>::new());
    let mut found = Vec::new();
    it.hsm
        .check(&[BAD], &mut |finding| found.push(finding.to_string()))
        .unwrap();
    assert_eq!(found, Vec::<String>::new());
}

/// A count that lies: all that is there is listed, and that it lies is an error in the end; never "no objects".
#[test]
fn a_count_that_lies_is_told() {
    let it = Fixture::two(false);
    for count in [0, 2, 4, 4_000_000] {
        Connection::open(it.path())
            .unwrap()
            .execute_batch(&format!(
                "UPDATE usage SET objects = {count} WHERE slot = 1"
            ))
            .unwrap();
        let (whole, said) = it.contents(GOOD);
        assert_eq!(whole, 3);
        assert!(
            said.len() == 1 && said[0].contains("can be listed"),
            "{count}: {said:?}"
        );
        let (can, _) = it
            .hsm
            .partition(GOOD)
            .check_cloneable(BAD, &Selection::All, |_, _| {})
            .unwrap();
        assert_eq!(can, 3, "{count}");
        let mut cloned = 0;
        let outcome = it.hsm.partition(GOOD).clone_list(
            BAD,
            &Selection::All,
            || false,
            |some| cloned += some.len(),
        );
        assert!(outcome.is_err() && cloned == 3, "{count}: {cloned}");
        assert!(!it.findings(Some(GOOD)).is_empty(), "{count}");
        // It can be counted anew.
        assert!(it.hsm.partition(GOOD).recount().unwrap(), "{count}");
        assert!(!it.hsm.partition(GOOD).recount().unwrap(), "{count}");
        assert_eq!(it.findings(Some(GOOD)), Vec::<String>::new(), "{count}");
    }
}
