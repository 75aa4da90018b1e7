//! The trash of every member is respected, and -delete takes removals from the first one's trash alone.

use super::*;

/// "An OUID in a member's trash is not put back there: otherwise a timer would undo every `rm`."
#[test]
fn what_was_removed_is_not_put_back() {
    let sites = Sites::group(&[A, B, C]);
    let ouid = sites.keys(A, &["gone"]).remove(0);
    sites.sync("").ok();
    sites.delete(B, "gone");
    for _ in 0..2 {
        let out = sites.sync("").ok();
        let lines = line(&out, &ouid);
        let kept = lines.iter().find(|it| it.contains("not put back")).unwrap();
        assert!(kept.contains("removed on slot 1 of "), "{kept}");
        assert!(kept.contains(" at 20"), "{kept}");
        assert_eq!(sites.labels(B), [""; 0]);
        assert_eq!(sites.labels(A), ["gone"]);
        assert_eq!(sites.labels(C), ["gone"]);
    }
    // Nothing is left to do, so the group is in sync.
    assert_eq!(sites.each("needs_sync"), [false; 3]);
    // And the summary says what that hides, also to a timer.
    let out = sites.sync("-quiet").ok();
    assert!(
        out.stdout
            .contains("1 object is on fewer members than take part"),
        "{out:?}"
    );
    assert_eq!(sites.sync("--json").ok().json()["fewer"], 1);
    assert_eq!(sites.listed()["fewer"], 1);
    let out = sites.sync("").ok();
    assert!(
        line(&out, &ouid)
            .iter()
            .any(|it| it.ends_with("; on 2 of 3 members")),
        "{out:?}"
    );
    // Destroyed for good, it comes again: nothing tells any more that it was removed.
    sites.in_slot(B, "object destroy -trash all -force").ok();
    sites.sync("").ok();
    assert_eq!(sites.labels(B), ["gone"]);
}

/// "-delete takes removals from the primary's trash only, never from absence"
#[test]
fn delete_carries_out_removals_of_the_first_member() {
    let sites = Sites::group(&[A, B, C]);
    sites.keys(A, &["stays", "removed", "moved"]);
    sites.sync("").ok();
    sites.delete(A, "removed");
    // It leaves A without a trace in the trash.
    sites.delete(A, "moved");
    let trash = sites.in_slot(A, "object trash --json").ok().json();
    let moved = trash["trash"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["label"] == "moved")
        .unwrap()["trash"]
        .as_str()
        .unwrap()
        .to_owned();
    sites
        .in_slot(A, &format!("object destroy -trash {moved} -force"))
        .ok();
    // Removed from another member only: no other loses it.
    sites.delete(C, "stays");
    // It asks.
    let out = sites.sync("-delete").fails(1);
    assert!(
        out.stderr.contains("2 removals of the first member would"),
        "{out:?}"
    );
    assert_eq!(sites.labels(B), ["moved", "removed", "stays"]);
    let out = sites.sync("-delete -force").ok();
    assert_eq!(
        out.stdout.matches(" is in the trash of ").count(),
        2,
        "{out:?}"
    );
    assert_eq!(sites.labels(A), ["moved", "stays"]);
    assert_eq!(sites.labels(B), ["moved", "stays"]);
    assert_eq!(sites.labels(C), ["moved"]);
    // In the trash, and so to be had back.
    let trash = sites.in_slot(B, "object trash --json").ok().json();
    assert_eq!(trash["trash"][0]["label"], "removed");
    let again = sites.sync("-delete -force --json").ok().json();
    assert_eq!(
        (&again["removed"], &again["copied"]),
        (&0.into(), &0.into())
    );
}

/// An object that was changed elsewhere after it was removed from the first member is not lost.
#[test]
fn what_was_changed_after_its_removal_stays() {
    let sites = Sites::group(&[A, B]);
    let ouid = sites.keys(A, &["key"]).remove(0);
    sites.sync("").ok();
    sites.delete(A, "key");
    sites.rename(B, "key", "in-use");
    let out = sites.sync("-delete -force").ok();
    let lines = line(&out, &ouid);
    assert!(
        lines.iter().any(
            |it| it.contains("it was changed after it was removed on slot 0")
                || it.contains("it is a later revision than what was removed on slot 0")
        ),
        "{lines:?}"
    );
    assert_eq!(sites.labels(B), ["in-use"]);
}

/// "members with retention 0 are named"
#[test]
fn members_without_a_trash_are_named() {
    let sites = Sites::group(&[A, B]);
    sites.keys(A, &["one", "two"]);
    sites.sync("").ok();
    sites.in_slot(B, "partition set -retention 0 -force").ok();
    sites.delete(A, "one");
    let out = sites.sync("-delete -force").ok();
    assert!(out.stdout.contains("slot 1 of "), "{out:?}");
    assert!(
        out.stdout
            .contains("has retention 0: what is removed from it is destroyed at once"),
        "{out:?}"
    );
    assert!(
        out.stdout.contains(" was destroyed on slot 1 of "),
        "{out:?}"
    );
    assert_eq!(sites.labels(B), ["two"]);
    sites.in_slot(A, "partition set -retention 0 -force").ok();
    sites.delete(A, "two");
    let out = sites.sync("-delete -force").ok();
    assert!(
        out.stdout
            .contains("nothing tells what was removed from it"),
        "{out:?}"
    );
    assert_eq!(sites.labels(B), ["two"]);
    assert_eq!(sites.labels(A), ["two"], "absence is no removal");
}

/// "A member that is half listed deletes nothing and loses nothing."
#[test]
fn a_damaged_member_removes_nothing_and_loses_nothing() {
    let spoil = |sites: &Sites, (store, slot): Place, label: &str| {
        let ouid = sites.ouid(
            (
                ["store.db", "other.db"][usize::from(store == "other.db")],
                slot,
            ),
            label,
        );
        let connection = rusqlite::Connection::open(sites.0.path(store)).unwrap();
        let changed = connection
            .execute(
                "UPDATE objects SET sealed = zeroblob(length(sealed)) WHERE slot = ?1 AND hex(ouid) = upper(?2)",
                (slot, &ouid),
            )
            .unwrap();
        assert_eq!(changed, 1);
        ouid
    };
    // The first member is damaged: it removes nothing.
    let sites = Sites::group(&[A, B]);
    sites.keys(A, &["removed", "damaged", "fine"]);
    sites.sync("").ok();
    sites.delete(A, "removed");
    let fresh = sites.keys(B, &["fresh"]).remove(0);
    let ouid = spoil(&sites, A, "damaged");
    let out = sites.sync("-delete -force").fails(1);
    assert!(
        line(&out, &ouid)[0].contains("cannot be read on slot 0"),
        "{out:?}"
    );
    assert!(!out.stdout.contains(" is in the trash of "), "{out:?}");
    assert_eq!(sites.labels(B), ["damaged", "fine", "fresh", "removed"]);
    assert_eq!(line(&out, &fresh).len(), 1, "the rest goes on: {out:?}");
    // Another member is damaged: it loses nothing.
    let sites = Sites::group(&[A, C]);
    sites.keys(A, &["removed", "damaged", "fine"]);
    sites.sync("").ok();
    sites.delete(A, "removed");
    let ouid = spoil(&sites, C, "damaged");
    let out = sites.sync("-delete -force").fails(1);
    assert!(!out.stdout.contains(" is in the trash of "), "{out:?}");
    // As the hint says: destroyed there, it comes from the other.
    assert!(out.stderr.contains("object delete -destroy"), "{out:?}");
    let rows = sites
        .in_slot(C, "partition contents --json")
        .code_is_not(0)
        .json();
    let rows = rows["objects"].as_array().unwrap();
    let damaged = rows.iter().find(|it| it["ouid"] == ouid.as_str()).unwrap();
    let handle = damaged["handle"].as_u64().unwrap();
    sites
        .in_slot(
            C,
            &format!("object delete -destroy -handle {handle} -force"),
        )
        .ok();
    sites.sync("-delete -force").ok();
    assert_eq!(sites.labels(C), ["damaged", "fine"]);
}

/// "half listed": a count that says that there are more objects than the list has.
#[test]
fn a_wrong_count_removes_nothing() {
    for (wrong, table) in [(A, "usage"), (B, "usage"), (A, "trash_usage")] {
        let sites = Sites::group(&[A, B]);
        sites.keys(A, &["removed", "fine"]);
        sites.sync("").ok();
        sites.delete(A, "removed");
        let connection = rusqlite::Connection::open(sites.0.path(wrong.0)).unwrap();
        let sql = format!("UPDATE {table} SET objects = objects + 1 WHERE slot = ?1");
        assert_eq!(connection.execute(&sql, [wrong.1]).unwrap(), 1);
        drop(connection);
        let out = sites.sync("-delete -force").fails(1);
        assert!(
            out.stdout.contains("could not be listed as a whole"),
            "{out:?}"
        );
        assert!(!out.stdout.contains(" is in the trash of "), "{out:?}");
        assert!(out.stderr.contains("slotfs store check"), "{out:?}");
        sites.on("store.db", "store check -repair");
        sites.sync("-delete -force").ok();
        assert_eq!(sites.labels(B), ["fine"]);
    }
}

/// A number says how often an object was described anew on one member, and nothing about when.
#[test]
fn a_change_after_the_removal_is_kept_whatever_its_number_is() {
    let sites = Sites::group(&[A, B, C]);
    let ouid = sites.keys(A, &["key"]).remove(0);
    sites.sync("").ok();
    sites.rename(A, "key", "once");
    sites.rename(A, "once", "twice");
    sites.delete(A, "twice");
    std::thread::sleep(std::time::Duration::from_secs(2));
    sites.rename(B, "key", "in-use");
    let out = sites.sync("-delete -force").ok();
    let lines = line(&out, &ouid);
    assert!(
        lines
            .iter()
            .any(|it| it.contains("it was changed after it was removed on slot 0")),
        "{lines:?}"
    );
    assert_eq!(sites.labels(A), [""; 0]);
    assert_eq!(sites.labels(B), ["in-use"]);
    // The member that neither removed nor changed it holds the copy.
    assert_eq!(sites.labels(C), ["in-use"]);
}

/// "1 removal", and what is restored while the question waits is not removed.
#[test]
fn a_removal_that_is_taken_back_while_the_question_waits() {
    let sites = Sites::group(&[A, B]);
    sites.keys(A, &["gone", "back"]);
    sites.sync("").ok();
    sites.delete(A, "gone");
    let out = sites.sync("-delete").fails(1);
    assert!(
        out.stderr.contains("1 removal of the first member would"),
        "{out:?}"
    );
    sites.delete(A, "back");
    let mut terminal = crate::terminal::Terminal::spawn(
        sites.command_on_terminal("store.db", "hagroup synchronize -group pay -delete"),
    );
    terminal.expect("2 removals of the first member would");
    terminal.expect("'quit' to quit now -> ");
    let trash = sites.in_slot(A, "object trash --json").ok().json();
    let rows = trash["trash"].as_array().unwrap();
    let back = rows.iter().find(|it| it["label"] == "back").unwrap();
    let back = back["trash"].as_str().unwrap();
    sites
        .in_slot(A, &format!("object restore -trash {back}"))
        .ok();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    terminal.send_line("proceed");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(sites.labels(A), ["back"]);
    assert_eq!(sites.labels(B), ["back"]);
}

/// A damaged object in the trash keeps nothing but itself from a member.
#[test]
fn a_damaged_row_of_the_trash_is_one_removal() {
    let sites = Sites::group(&[A, C]);
    let ouid = sites.keys(A, &["damaged"]).remove(0);
    sites.sync("").ok();
    sites.delete(C, "damaged");
    let spoil = |sql: &str| {
        let connection = rusqlite::Connection::open(sites.0.path(C.0)).unwrap();
        connection
            .execute_batch("PRAGMA ignore_check_constraints = ON")
            .unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1);
    };
    // The row is damaged, and its identity is there.
    spoil("UPDATE trash SET created_secs = -5");
    sites.keys(A, &["fresh"]);
    let out = sites.sync("").ok();
    assert!(
        out.stdout.contains("1 object in the trash of slot 0 of "),
        "{out:?}"
    );
    assert!(
        line(&out, &ouid)
            .iter()
            .any(|it| it.contains("at a time that cannot be read")),
        "{out:?}"
    );
    assert_eq!(sites.labels(C), ["fresh"]);
    // It may be anything: then what is not given is named.
    spoil("UPDATE trash SET ouid = x'00'");
    let fresh = sites.keys(A, &["withheld"]).remove(0);
    let out = sites.sync("").fails(1);
    assert!(
        line(&out, &fresh)
            .iter()
            .any(|it| it.contains("was not given to slot 0 of ")),
        "{out:?}"
    );
    assert_eq!(sites.labels(C), ["fresh"]);
}

/// An ordinary `rm` does not fail every later run; what is left out is named, also where only changes are wanted.
#[test]
fn what_was_removed_somewhere_is_not_required() {
    let sites = Sites::group(&[A, B]);
    let ouid = sites.keys(A, &["gone", "stays"]).remove(0);
    sites.sync("-require 2").ok();
    sites.delete(B, "gone");
    let out = sites.sync("-require 2 -quiet").ok();
    let lines = line(&out, &ouid);
    assert!(
        lines
            .iter()
            .any(|it| it.starts_with("Not required, because they were removed on a member")),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|it| it.contains("was not put back on")),
        "{lines:?}"
    );
    // One that is not removed anywhere is required, and the group is not in sync without it.
    let before = sites.listed()["in_sync_secs"].as_u64().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let policy = |value: u32| {
        sites
            .in_slot(
                B,
                &format!("partition changepolicy -policy 4 -value {value} -force"),
            )
            .ok();
    };
    policy(0);
    sites.keys(A, &["refused"]);
    let out = sites.sync("-require 2").fails(1);
    assert!(
        out.stdout
            .contains("was read back from 1 of 2 required members"),
        "{out:?}"
    );
    assert_eq!(sites.listed()["in_sync_secs"], before);
    policy(1);
    sites.sync("-require 2").ok();
    assert!(sites.listed()["in_sync_secs"].as_u64().unwrap() > before);
}
