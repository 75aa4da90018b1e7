//! `partition archive`: backups of partitions in a folder (docs/backup.md).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use super::{FAILED, LOGIN, USAGE};
use crate::fixture::{Out, Store, contents, names, wait_for};
use crate::terminal::Terminal;

/// Slots 0 and 1 share a domain, slot 2 has another. Slot 0 has three keys.
fn three_slots() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.slot(2, "blue");
    store.aes(0, 3);
    store
}

/// `partition archive VERB -folder backups -partition monday` in a slot.
#[track_caller]
fn archive(store: &Store, slot: u32, line: &str) -> Out {
    let (verb, more) = line.split_once(' ').unwrap_or((line, ""));
    store.run_in(
        slot,
        &format!("partition archive {verb} -folder backups -partition monday {more}"),
    )
}

/// The same for verbs without a slot.
#[track_caller]
fn look(store: &Store, line: &str) -> Out {
    let (verb, more) = line.split_once(' ').unwrap_or((line, ""));
    store.run(&format!(
        "partition archive {verb} -folder backups -partition monday {more}"
    ))
}

fn index(store: &Store) -> Value {
    let text = fs::read(store.path("backups/monday/index.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Identities with labels.
fn objects(store: &Store, slot: u32) -> Vec<(String, String)> {
    let listed = store.run_in(slot, "partition contents --json").ok().json();
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let mut all: Vec<_> = listed["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (text(it, "ouid"), text(it, "label")))
        .collect();
    all.sort();
    all
}

/// A backup has the blobs that the mount serves, under their handles, for its owner alone; its restoration has the same
/// objects.
#[test]
fn there_and_back() {
    let store = three_slots();
    let out = archive(&store, 0, "backup").ok();
    assert!(
        out.stdout
            .contains("Handle 1 on slot 0 is now 1 in backup 'monday'\n"),
        "{out:?}"
    );
    assert!(out.stdout.ends_with("\nCommand Result : No Error\n"));
    let folder = store.path("backups/monday");
    assert_eq!(names(&folder), ["1", "2", "3", "index.json"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store.path("backups")), 0o700);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("1")), 0o600);
    let mount = store.start(&[0]);
    let mut served = contents(&mount.point.join("0"));
    let mut kept = contents(&folder);
    kept.remove("index.json");
    served.retain(|name, _| kept.contains_key(name));
    assert_eq!(kept, served);
    drop(mount);
    let out = archive(&store, 1, "restore").ok();
    assert!(
        out.stdout
            .contains("Handle 1 in backup 'monday' is now handle 1 on slot 1\n"),
        "{out:?}"
    );
    assert_eq!(objects(&store, 1), objects(&store, 0));
    let again = archive(&store, 1, "restore --json").ok().json();
    assert_eq!(
        (&again["restored"], &again["already"]),
        (&0.into(), &3.into())
    );
    let listed = store
        .run("partition archive list -folder backups --json")
        .ok()
        .json();
    assert_eq!(listed["backups"][0]["source_label"], "slot0");
    assert_eq!(listed["backups"][0]["objects"], 3);
    let shown = look(&store, "contents --json").ok().json();
    assert_eq!(shown["objects"][2]["state"], "whole");
    assert_eq!(shown["extra"], Value::Array(Vec::new()));
}

/// A wrong domain fails each object by itself, with the status of a clone; a later object of another slot is restored.
#[test]
fn each_object_by_itself() {
    let store = three_slots();
    store.aes(2, 1);
    archive(&store, 0, "backup -objects 1").ok();
    archive(&store, 2, "backup -append").ok();
    // Another object with the same handle has another name.
    assert_eq!(
        names(&store.path("backups/monday")),
        ["1", "1.2", "index.json"]
    );
    let out = archive(&store, 1, "restore").fails(FAILED);
    assert!(out.stdout.contains("is now handle 1 on slot 1"), "{out:?}");
    assert!(
        out.stdout.contains("was not cloned to slot 1: the blob"),
        "{out:?}"
    );
    assert!(
        out.stdout.contains("CKR_FAILED_TO_CLONE_AN_OBJECT"),
        "{out:?}"
    );
    let quiet = archive(&store, 1, "restore -q").fails(FAILED);
    let lines: Vec<&str> = quiet.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{quiet:?}");
    assert!(lines[0].contains("was not cloned"), "{quiet:?}");
    assert_eq!(
        lines[1],
        "        0 objects restored, 1 already there, 1 failed."
    );
    let out = archive(&store, 1, "restore -objects 1,9 --json").fails(FAILED);
    assert_eq!(out.json()["failed"], 2, "{out:?}");
}

/// Without -append or -replace, a backup that exists is refused.
#[test]
fn append_and_replace() {
    let store = three_slots();
    archive(&store, 0, "backup -objects 1,2").ok();
    let before = contents(&store.path("backups/monday"));
    let out = archive(&store, 0, "backup").fails(FAILED);
    assert!(out.text().contains("CKR_OBJECT_ALREADY_EXISTS"), "{out:?}");
    assert!(out.stderr.contains("-append"), "{out:?}");
    archive(&store, 0, "backup -append -replace").fails(USAGE);
    let out = archive(&store, 0, "backup -replace").fails(FAILED);
    assert!(out.stderr.contains("-force"), "{out:?}");
    assert_eq!(contents(&store.path("backups/monday")), before);

    // Append: what is there stays, a later revision takes its place.
    store.run_in(0, "object set -handle 2 -label changed").ok();
    let out = archive(&store, 0, "backup -append").ok();
    assert!(out.stdout.contains("Handle 1 on slot 0 is already 1"));
    assert!(
        out.stdout
            .contains("is now 2.2 in backup 'monday', as revision 1")
    );
    assert!(out.stdout.contains("Handle 3 on slot 0 is now 3"));
    assert_eq!(
        names(&store.path("backups/monday")),
        ["1", "2.2", "3", "index.json"]
    );
    assert_eq!(index(&store)["objects"][1]["label"], "changed");

    // Replace: what the slot does not have goes.
    store.aes(1, 1);
    archive(&store, 1, "backup -replace -force").ok();
    let index = index(&store);
    assert_eq!(index["objects"].as_array().unwrap().len(), 1);
    assert_eq!(index["source"]["label"], "slot1");
    assert_eq!(names(&store.path("backups/monday")).len(), 2);
}

/// A backup that gets nothing leaves no folder, and does not take what an earlier one had.
#[test]
fn a_backup_of_nothing_leaves_nothing() {
    let store = three_slots();
    archive(&store, 0, "backup -objects 77").fails(FAILED);
    assert_eq!(names(&store.path("backups")), Vec::<String>::new());
    archive(&store, 0, "backup").ok();
    let before = contents(&store.path("backups/monday"));
    archive(&store, 0, "backup -objects 77 -replace -force").fails(FAILED);
    assert_eq!(contents(&store.path("backups/monday")), before);
    store
        .run("partition archive backup -folder backups -partition x -slot 0 --password-file 0=pw-1")
        .fails(LOGIN);
    assert_eq!(names(&store.path("backups")), ["monday"]);
}

/// -replace destroys what the target has, after a question, and only if every object of the backup can be restored.
#[test]
fn restore_with_replace() {
    let store = three_slots();
    store.aes(1, 2);
    let own = objects(&store, 1);
    archive(&store, 2, "backup").ok();
    archive(&store, 0, "backup -append").ok();
    let out = archive(&store, 2, "restore -replace -force").fails(FAILED);
    assert!(out.stderr.contains("nothing was destroyed"), "{out:?}");
    let out = archive(&store, 1, "restore -replace").fails(FAILED);
    assert!(out.stderr.contains("-force"), "{out:?}");
    assert_eq!(objects(&store, 1), own);
    let line = "partition archive restore -folder backups -partition monday -slot 1 -replace --password-file 1=pw-1";
    let mut terminal = Terminal::spawn(store.command(&line.split(' ').collect::<Vec<_>>()));
    terminal.expect("all 2 objects on slot 1 would be destroyed");
    terminal.expect("->");
    terminal.send_line("proceed");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(objects(&store, 1), objects(&store, 0));
}

/// Before -replace destroys anything, the backup has objects, and the slot has room for them.
#[test]
fn restore_with_replace_checks_what_there_is_to_restore() {
    let store = three_slots();
    store.domain("red");
    store.password_file(3);
    store
        .run("partition init -slot 3 -label small -domainkey red.pem -capacity 1 --password-file 3=pw-3")
        .ok();
    let own = |slot| {
        store.aes(slot, 1);
        objects(&store, slot)
    };
    let (small, plain) = (own(3), own(1));
    archive(&store, 0, "backup").ok();
    let out = archive(&store, 3, "restore -replace -force").fails(FAILED);
    assert!(
        out.stderr.contains("slot 3 has no room for 3 objects"),
        "{out:?}"
    );
    assert!(out.stderr.contains("nothing was destroyed"), "{out:?}");
    assert_eq!(objects(&store, 3), small);
    // Whoever can write the folder can write its index.
    let path = store.path("backups/monday/index.json");
    let mut empty = index(&store);
    empty["objects"] = Value::Array(Vec::new());
    fs::write(&path, empty.to_string()).unwrap();
    let out = archive(&store, 1, "restore -replace -force").fails(FAILED);
    assert!(
        out.stderr
            .contains("the backup has no objects, so nothing was destroyed"),
        "{out:?}"
    );
    assert_eq!(objects(&store, 1), plain);
}

/// The blobs that were verified are the ones that are restored: the folder may be gone by then.
#[test]
fn restore_with_replace_needs_the_folder_no_more() {
    let store = three_slots();
    store.aes(1, 1);
    archive(&store, 0, "backup").ok();
    let line = "partition archive restore -folder backups -partition monday -slot 1 -replace --password-file 1=pw-1";
    let mut terminal = Terminal::spawn(store.command(&line.split(' ').collect::<Vec<_>>()));
    terminal.expect("->");
    for name in ["1", "2", "3"] {
        fs::remove_file(store.path(format!("backups/monday/{name}"))).unwrap();
    }
    terminal.send_line("proceed");
    let (code, shown) = terminal.wait();
    assert_eq!(code, FAILED, "{shown}");
    assert!(shown.contains("nothing was destroyed"), "{shown}");
    assert_eq!(objects(&store, 1).len(), 1);
}

/// A backup that cannot be opened is a row and a failure, and no silence.
#[test]
fn a_backup_that_cannot_be_opened_is_listed() {
    let store = three_slots();
    archive(&store, 0, "backup").ok();
    // A label that a terminal would take for ages is no label.
    let path = store.path("backups/monday/index.json");
    let mut long = index(&store);
    long["source"]["label"] = "x".repeat(100_000).into();
    fs::write(&path, long.to_string()).unwrap();
    let out = store
        .run("partition archive list -folder backups")
        .fails(FAILED);
    assert!(out.stdout.contains("(damaged)"), "{out:?}");
}

/// What is missing, altered or extra is named; an altered file alone fails; -append mends it.
#[test]
fn files_are_compared_with_the_index() {
    let store = three_slots();
    archive(&store, 0, "backup").ok();
    let folder = store.path("backups/monday");
    fs::remove_file(folder.join("1")).unwrap();
    fs::write(folder.join("2"), b"other").unwrap();
    fs::write(folder.join("a\u{1b}[2J"), b"extra").unwrap();
    let out = look(&store, "contents").fails(FAILED);
    for line in [
        "Handle 1, file 1: its file is missing",
        "Handle 2, file 2: its file has changed since the backup",
        "Not in the index: a\\u{1b}[2J",
    ] {
        assert!(out.stdout.contains(line), "{line}: {out:?}");
    }
    assert!(!out.text().contains('\u{1b}'), "{out:?}");
    let shown = look(&store, "contents --json").fails(FAILED).json();
    assert_eq!(shown["objects"][0]["state"], "missing");
    assert_eq!(shown["objects"][1]["state"], "altered");
    let out = archive(&store, 1, "restore").fails(FAILED);
    assert!(out.stdout.contains("Handle 3 in backup 'monday' is now"));
    assert_eq!(objects(&store, 1).len(), 1);
    archive(&store, 0, "backup -append").ok();
    look(&store, "contents").ok();
    archive(&store, 1, "restore").ok();
    assert_eq!(objects(&store, 1), objects(&store, 0));
}

/// Nothing in the folder leads out of it: neither links nor names in an index.
#[test]
fn nothing_leads_out_of_the_folder() {
    let store = three_slots();
    archive(&store, 0, "backup").ok();
    let folder = store.path("backups/monday");
    let outside = store.path("outside");
    fs::create_dir(&outside).unwrap();
    let blob = fs::read(folder.join("1")).unwrap();
    fs::write(outside.join("1"), &blob).unwrap();
    let before = contents(&outside);

    // A link in place of a blob, although its target has the right bytes.
    fs::remove_file(folder.join("1")).unwrap();
    symlink(outside.join("1"), folder.join("1")).unwrap();
    let out = archive(&store, 1, "restore").fails(FAILED);
    assert!(out.stdout.contains("Handle 1 in backup 'monday' was not"));
    archive(&store, 0, "backup -append").ok();
    // A link in place of a backup.
    symlink(&outside, store.path("backups/linked")).unwrap();
    for line in [
        "partition archive contents -folder backups -partition linked",
        "partition archive delete -folder backups -partition linked -force",
        "partition archive backup -folder backups -partition linked -append -slot 0 --password-file 0=pw-0",
        "partition archive restore -folder backups -partition linked -slot 1 --password-file 1=pw-1",
    ] {
        let out = store.run(line).fails(FAILED);
        assert!(out.stderr.contains("not a folder"), "{line}: {out:?}");
    }
    let listed = store.run("partition archive list -folder backups").ok();
    assert!(!listed.stdout.contains("linked"), "{listed:?}");
    // Names.
    for name in ["..", "../outside", "a/b", ".hidden", "/"] {
        let line = format!("partition archive delete -folder backups -partition {name} -force");
        store.run(&line).fails(USAGE);
    }
    // A link in place of the index, and an index with names of its own.
    let good = fs::read_to_string(folder.join("index.json")).unwrap();
    for hostile in [
        good.replace("\"file\":\"3\"", "\"file\":\"../../outside/1\""),
        good.replace("\"file\":\"3\"", "\"file\":\"/etc/passwd\""),
        good.replace("\"version\": 1", "\"version\": 2"),
        good[..good.len() / 2].to_owned(),
        "[".repeat(1 << 20),
        "\u{1b}[2J".to_owned(),
    ] {
        assert_ne!(hostile, good);
        fs::write(folder.join("index.json"), hostile).unwrap();
        for verb in ["contents", "delete -force"] {
            let out = look(&store, verb).fails(FAILED);
            assert!(out.stderr.contains("index"), "{verb}: {out:?}");
            assert!(!out.text().contains('\u{1b}'), "{out:?}");
        }
        let out = archive(&store, 0, "backup -replace -force").fails(FAILED);
        assert!(out.stderr.contains("index"), "{out:?}");
        archive(&store, 1, "restore").fails(FAILED);
        store
            .run("partition archive list -folder backups")
            .fails(FAILED);
    }
    fs::remove_file(folder.join("index.json")).unwrap();
    let elsewhere = outside.join("index.json");
    symlink(&elsewhere, folder.join("index.json")).unwrap();
    look(&store, "contents").fails(FAILED);
    archive(&store, 0, "backup -append").fails(FAILED);
    // Neither does a pipe keep a command waiting.
    fs::remove_file(folder.join("index.json")).unwrap();
    nix::unistd::mkfifo(&folder.join("index.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    look(&store, "contents").fails(FAILED);
    assert_eq!(contents(&outside), before);
}

/// A folder without an index, as a crash before the first one leaves it: nothing of it is replaced, and what is the same is
/// taken over. What a killed command had begun to write goes.
#[test]
fn after_a_crash() {
    let store = three_slots();
    archive(&store, 0, "backup").ok();
    let folder = store.path("backups/monday");
    fs::remove_file(folder.join("index.json")).unwrap();
    fs::write(folder.join("2"), b"torn").unwrap();
    fs::write(folder.join(".slotfs-archive-0123456789abcdef"), b"begun").unwrap();
    let out = look(&store, "contents").fails(FAILED);
    assert!(out.stderr.contains("no backup of this name"), "{out:?}");
    let listed = store.run("partition archive list -folder backups").ok();
    assert!(listed.stdout.contains("(no index)"), "{listed:?}");
    archive(&store, 0, "backup").ok();
    assert_eq!(names(&folder), ["1", "2", "2.2", "3", "index.json"]);
    assert_eq!(fs::read(folder.join("2")).unwrap(), b"torn");
    let shown = look(&store, "contents --json").ok().json();
    assert_eq!(shown["extra"], serde_json::json!(["2"]));
}

/// A backup that is killed leaves the earlier one, with every file; the next one goes on.
#[test]
fn a_killed_backup_leaves_the_earlier_one() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 400);
    archive(&store, 0, "backup -objects 1,2").ok();
    let folder = store.path("backups/monday");
    let mut earlier = index(&store);
    for (files, how) in [(20, "-append"), (120, "-replace -force")] {
        let line = format!(
            "partition archive backup -folder backups -partition monday -slot 0 {how} --password-file 0=pw-0"
        );
        let mut child = store
            .command(&line.split(' ').collect::<Vec<_>>())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let far = wait_for(|| (names(&folder).len() > files).then_some(()));
        assert!(far.is_some(), "the backup wrote no files");
        child.kill().unwrap();
        child.wait().unwrap();
        // Killed, or as far as its own index.
        let now = index(&store);
        let count = now["objects"].as_array().unwrap().len();
        assert!(now == earlier || count == 400, "{count}");
        earlier = now;
        look(&store, "contents").ok();
    }
    archive(&store, 0, "backup -append -q").ok();
    let shown = look(&store, "contents --json").ok().json();
    assert_eq!(shown["objects"].as_array().unwrap().len(), 400);
    assert_eq!(shown["extra"], serde_json::json!([]));
}

/// "delete" asks, and removes what the index names and the index; then the folder if nothing is left in it.
#[test]
fn delete() {
    let store = three_slots();
    archive(&store, 0, "backup").ok();
    let out = look(&store, "delete").fails(FAILED);
    assert!(out.stderr.contains("-force"), "{out:?}");
    fs::write(store.path("backups/monday/4"), b"somebody's").unwrap();
    let out = look(&store, "delete -force").ok();
    assert!(out.stdout.contains("its index did not name: 4."), "{out:?}");
    assert_eq!(names(&store.path("backups/monday")), ["4"]);
    fs::remove_dir_all(store.path("backups/monday")).unwrap();
    archive(&store, 0, "backup").ok();
    let deleted = look(&store, "delete -force --json").ok().json();
    assert_eq!(deleted["deleted"], 3);
    assert_eq!(names(&store.path("backups")), Vec::<String>::new());
    look(&store, "delete -force").fails(FAILED);
}

/// Blobs of a V1 slot need its storage master key: it is in the backup, and comes to a slot before them.
#[test]
fn a_v1_slot_goes_with_its_key() {
    let store = Store::empty();
    store.domain("red");
    for slot in [0, 1] {
        let file = store.password_file(slot);
        store
            .run(&format!(
                "partition init -slot {slot} -label v1 -version 1 -domainkey red.pem --password-file {slot}={file}"
            ))
            .ok();
    }
    store.aes(0, 2);
    archive(&store, 0, "backup").ok();
    assert_eq!(
        names(&store.path("backups/monday")),
        ["1", "2", "index.json", "smk"]
    );
    let out = archive(&store, 1, "restore -replace -force").ok();
    assert!(
        out.stdout
            .contains("Slot 1 has the storage master key of the backup"),
        "{out:?}"
    );
    assert_eq!(objects(&store, 1), objects(&store, 0));
    // Another slot's objects do not keep it.
    store.slot(2, "red");
    store.aes(2, 1);
    archive(&store, 2, "backup -replace -force").ok();
    assert_eq!(names(&store.path("backups/monday")), ["1.2", "index.json"]);
}
