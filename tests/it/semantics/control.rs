//! The `.slotfs` trees.

use std::fs;

use crate::fixture::{
    Hsm, assert_errno, errno, names, sh, spoiled, store_excl, three_slots, two_slots,
};

fn read(hsm: &Hsm, slot: u32, name: &str) -> String {
    fs::read_to_string(hsm.control(slot, name)).unwrap()
}

/// "status | `key: value` lines: label, serial, kind, state, free, domain labels".
#[test]
fn status() {
    let hsm = two_slots(2);
    let status = read(&hsm, 0, "status");
    for key in ["label", "serial", "kind", "state", "free"] {
        let value = hsm.status(0, key);
        assert!(value.is_some_and(|v| !v.is_empty()), "no {key} in {status}");
    }
    for line in status.lines() {
        assert!(line.contains(": ") || line.ends_with(':'), "{line:?}");
    }
    assert_eq!(hsm.status(0, "label").as_deref(), Some("slot0"));
    assert!(status.contains("domain"), "{status}");
    assert_ne!(hsm.status(0, "serial"), hsm.status(1, "serial"));
    let free = hsm.status(1, "free");
    hsm.copy((0, 1), (1, 1));
    assert_ne!(hsm.status(1, "free"), free);
}

/// "contents | a table: handle, class, key type, label, OUID".
#[test]
fn contents() {
    let hsm = three_slots(2);
    let table = read(&hsm, 0, "contents");
    let row = |handle: &str| {
        table
            .lines()
            .find(|line| line.split_whitespace().next() == Some(handle))
            .unwrap_or_else(|| panic!("no row for {handle} in {table}"))
            .to_owned()
    };
    assert!(
        row("1").contains("secret key") && row("1").contains("AES"),
        "{table}"
    );
    assert!(row("3").contains("data"), "{table}");
    let ouid = |row: &str| {
        let mut words = row.split_whitespace();
        let ouid = words.rfind(|word| word.len() == 32);
        ouid.unwrap_or_else(|| panic!("no OUID in {row}"))
            .to_owned()
    };
    // The same identity in the other slot.
    hsm.copy((0, 1), (1, 70));
    let there = read(&hsm, 1, "contents");
    assert!(there.contains(&ouid(&row("1"))), "{there}");
    assert!(!there.contains(&ouid(&row("2"))), "{there}");
}

/// "objects/124 | one object's attributes, never a secret value".
#[test]
fn objects() {
    let hsm = three_slots(2);
    assert_eq!(names(&hsm.control(0, "objects")), ["1", "2", "3"]);
    let text = read(&hsm, 0, "objects/1");
    for attribute in [
        "class",
        "key type",
        "label",
        "CKA_VALUE_LEN",
        "CKA_SENSITIVE",
    ] {
        assert!(text.contains(attribute), "no {attribute} in {text}");
    }
    let data = fs::read(hsm.store.path("data-50000")).unwrap();
    let text = read(&hsm, 0, "objects/3").to_lowercase();
    let secret: String = data[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(!text.contains(&secret));
    assert_errno!(fs::read(hsm.control(0, "objects/99")), ENOENT);
    assert_errno!(fs::read(hsm.control(0, "objects/01")), ENOENT);
    fs::remove_file(hsm.file(0, 1)).unwrap();
    assert_eq!(names(&hsm.control(0, "objects")), ["2", "3"]);
    // Not a way to destroy or to make one.
    assert!(fs::remove_file(hsm.control(0, "objects/2")).is_err());
    assert!(fs::write(hsm.control(0, "objects/2"), b"x").is_err());
    assert!(fs::write(hsm.control(0, "objects/9"), b"x").is_err());
    assert_eq!(hsm.list(0), ["2", "3"]);
}

/// "clones | verdicts with this slot as target: `Handle 124 on slot 0 is now handle 141 on slot 1`, or the
/// reason why not"; and the mount's own: "every verdict of this mount, newest last".
#[test]
fn clones() {
    let hsm = three_slots(3);
    hsm.mount.announce_rejections();
    assert_eq!(hsm.clones(1), "");
    sh(
        r#"cp "$M"/0/1 "$M"/1/141; cp "$M"/0/2 "$M"/2/5; cp "$M"/0/3 "$M"/1/3"#,
        &[("M", &hsm.mount.point)],
    )
    .ok();
    let lines: Vec<String> = hsm.clones(1).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("Handle 1 on slot 0 is now handle 141 on slot 1"));
    assert!(lines[1].ends_with("Handle 3 on slot 0 is now handle 3 on slot 1"));
    let refused = hsm.clones(2);
    assert!(
        refused.contains("Handle 2 on slot 0 was not cloned to slot 2: "),
        "{refused}"
    );
    assert_errno!(
        store_excl(&hsm.file(1, 9), &spoiled(&hsm.blob(0, 2))),
        EACCES
    );
    let last = hsm.clones(1).lines().last().unwrap().to_owned();
    assert!(
        last.contains("A blob written as 9 was not cloned to slot 1: "),
        "{last}"
    );
    let all = fs::read_to_string(hsm.mount.point.join(".slotfs/clones")).unwrap();
    let order: Vec<_> = [
        "handle 141",
        "to slot 2",
        "handle 3 on slot 1",
        "written as 9",
    ]
    .iter()
    .map(|words| all.find(words).unwrap_or_else(|| panic!("{words}: {all}")))
    .collect();
    assert!(order.is_sorted(), "newest last: {all}");
    assert_eq!(all.lines().count(), 4, "{all}");
}

/// A blob from outside whose object is in another slot names its source; one that is nowhere names its OUID.
#[test]
fn clones_of_blobs_from_outside() {
    let hsm = two_slots(2);
    let blob = hsm.blob(0, 1);
    store_excl(&hsm.file(1, 5), &blob).unwrap();
    assert!(
        hsm.clones(1)
            .contains("Handle 1 on slot 0 is now handle 5 on slot 1"),
        "{}",
        hsm.clones(1)
    );
    let blob = hsm.blob(0, 2);
    fs::remove_file(hsm.file(0, 2)).unwrap();
    store_excl(&hsm.file(1, 6), &blob).unwrap();
    let last = hsm.clones(1).lines().last().unwrap().to_owned();
    assert!(
        last.contains("Object ") && last.contains("is now handle 6 on slot 1"),
        "{last}"
    );
}

/// "stats | counters as `name value` lines".
#[test]
fn stats() {
    let hsm = two_slots(2);
    hsm.mount.announce_rejections();
    let look = || {
        let text = fs::read_to_string(hsm.mount.point.join(".slotfs/stats")).unwrap();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            assert!(
                words.len() == 2 && words[1].parse::<u64>().is_ok(),
                "{line:?}"
            );
        }
        assert!(!text.is_empty());
        text
    };
    let before = look();
    hsm.copy((0, 1), (1, 1));
    let _ = store_excl(&hsm.file(1, 2), &spoiled(&hsm.blob(0, 2)));
    assert_ne!(look(), before);
}

/// Text files of the control tree are read whole by the usual tools, whatever size they state.
#[test]
fn control_files_read_by_tools() {
    let hsm = two_slots(2);
    hsm.copy((0, 1), (1, 1));
    for name in ["status", "contents", "clones", "objects/1"] {
        let file = hsm.control(1, name);
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.is_empty(), "{name}");
        for tool in [
            r#"cat "$F""#,
            r#"head -c 1000000 "$F""#,
            r#"dd if="$F" bs=3 status=none"#,
        ] {
            let out = sh(tool, &[("F", &file)]).ok();
            assert_eq!(out.stdout, text, "{tool} of {name}");
        }
        let copy = hsm.store.path("copy");
        sh(r#"cp "$F" "$C""#, &[("F", &file), ("C", &copy)]).ok();
        assert_eq!(fs::read_to_string(copy).unwrap(), text, "cp of {name}");
    }
}

/// Read-only control files cannot be written, passwords cannot be read, nothing can be made or removed.
#[test]
fn the_control_tree_is_fixed() {
    let hsm = two_slots(1);
    for name in ["status", "contents", "clones"] {
        assert!(fs::write(hsm.control(0, name), b"x").is_err(), "{name}");
        let error = errno(fs::remove_file(hsm.control(0, name)));
        assert_eq!(error, libc::EPERM, "{name}");
    }
    for name in ["login", "logout"] {
        let text = fs::read(hsm.control(0, name));
        assert!(text.is_err() || text.unwrap().is_empty(), "{name}");
        assert!(fs::remove_file(hsm.control(0, name)).is_err(), "{name}");
    }
    assert!(fs::write(hsm.control(0, "other"), b"x").is_err());
    assert_errno!(fs::metadata(hsm.control(0, "other")), ENOENT);
    assert_errno!(fs::create_dir(hsm.control(0, "dir")), EPERM);
    assert!(fs::rename(hsm.control(0, "status"), hsm.control(0, "s")).is_err());
    assert!(fs::read_to_string(hsm.mount.point.join(".slotfs/stats")).is_ok());
    assert!(hsm.status(0, "label").is_some());
    hsm.mount.announce("");
}
