//! `object generate` of many: one line for each, batches, and what ends it before the last.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::FAILED;
use crate::fixture::{Store, handles, run};

/// More keys than one batch, and than the pipe of a reader who does not read holds.
const MANY: usize = 20_000;

fn store_of(capacity: usize) -> Store {
    let store = Store::empty();
    store.domain("red");
    store.password_file(0);
    store
        .run(&format!(
            "partition init -slot 0 -label many -domainkey red.pem -capacity {capacity} --password-file 0=pw-0"
        ))
        .ok();
    store
}

fn start(store: &Store, line: &str) -> Child {
    let line = format!("--password-file 0=pw-0 object generate -slot 0 {line}");
    store
        .command(&line.split(' ').collect::<Vec<_>>())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn stored(store: &Store) -> usize {
    let out = store.run_in(0, "partition contents --json").ok().json();
    out["objects"].as_array().unwrap().len()
}

/// Batches do not show: handles ascend without a gap, in text and in JSON, for keys and for pairs.
#[test]
fn many_at_once() {
    let store = store_of(10_000);
    let out = store
        .run_in(0, "object generate -type aes -label k -count 1500")
        .ok();
    assert_eq!(handles(&out.stdout), (1..=1500).collect::<Vec<_>>());
    assert!(out.stderr.is_empty(), "{out:?}");
    let out = store
        .run_in(
            0,
            "object generate -type ed25519 -label k -count 300 --json",
        )
        .ok()
        .json();
    assert_eq!(out["slot"], 0);
    assert!(out["error"].is_null());
    let listed = out["objects"].as_array().unwrap();
    assert_eq!(listed.len(), 600);
    for (index, object) in listed.iter().enumerate() {
        assert_eq!(object["handle"], 1501 + index);
        let class = ["private key", "public key"][index % 2];
        assert_eq!(object["class"], class, "{index}");
    }
    // A handle that is free again is not in the way.
    store
        .run_in(0, "object delete -handle 7 -destroy -force")
        .ok();
    let out = store
        .run_in(0, "object generate -type aes -label k -count 3")
        .ok();
    assert_eq!(handles(&out.stdout), [2101, 2102, 2103]);
    assert_eq!(stored(&store), 2102);
}

/// What was made until the slot was full is told, and a pair is never half there.
#[test]
fn a_slot_that_becomes_full() {
    let store = store_of(205);
    let out = store
        .run_in(0, "object generate -type ed25519 -label pair -count 200")
        .fails(FAILED);
    assert_eq!(handles(&out.stdout), (1..=204).collect::<Vec<_>>());
    assert!(
        out.stderr
            .contains("slot 0: the slot is full; 102 of 200 were made and are on slot 0"),
        "{out:?}"
    );
    assert!(
        out.stdout
            .ends_with("Command Result : 0x8000002c (CKR_CONTAINER_OBJECT_STORAGE_FULL)\n"),
        "{out:?}"
    );
    assert_eq!(stored(&store), 204);
    // There is room for one more, and its handle was not spent by the half of a pair.
    let out = store
        .run_in(0, "object generate -type aes -label k -count 2 --json")
        .fails(FAILED)
        .json();
    assert_eq!(out["objects"].as_array().unwrap().len(), 1);
    assert_eq!(out["objects"][0]["handle"], 205);
    assert_eq!(out["error"]["name"], "CKR_CONTAINER_OBJECT_STORAGE_FULL");
    let out = store
        .run_in(0, "object generate -type aes -label k -count 2")
        .fails(FAILED);
    assert!(
        out.stderr.contains("slot 0: the slot is full\n"),
        "nothing was made: {out:?}"
    );
    let out = store.run_in(0, "store check").ok();
    assert!(out.stdout.contains("clean"), "{out:?}");
}

/// "Ctrl-C between batches": it says what was made, and that is what is there.
#[test]
fn ctrl_c_says_what_was_made() {
    let store = store_of(MANY);
    let mut child = start(&store, &format!("-type aes -label k -count {MANY}"));
    // Nobody reads on: the command cannot run ahead of what a pipe holds.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    assert_ne!(stdout.read_line(&mut shown).unwrap(), 0);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    stdout.read_to_string(&mut shown).unwrap();
    let (code, stderr) = end(child);
    assert_eq!(code, Some(130), "{stderr}");
    let made = handles(&shown).len();
    assert!((1..MANY).contains(&made), "{made}");
    assert!(
        stderr.contains(&format!(
            "interrupted: {made} of {MANY} were made and are on slot 0"
        )),
        "{stderr}"
    );
    assert!(shown.ends_with("CKR_FUNCTION_CANCELED)\n"), "{shown}");
    assert_eq!(stored(&store), made);
}

/// A reader who goes away ends it: nobody would learn of the other keys.
#[test]
fn no_reader_no_keys() {
    for json in ["", " --json"] {
        let store = store_of(MANY);
        let mut child = start(&store, &format!("-type aes -label k -count {MANY}{json}"));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        assert_ne!(stdout.read_line(&mut String::new()).unwrap(), 0);
        drop(stdout);
        let (code, stderr) = end(child);
        assert_eq!(code, Some(FAILED), "{stderr}");
        let made = stored(&store);
        assert!(made < MANY, "{made}");
        if made > 0 {
            assert!(
                stderr.contains(&format!("{made} of {MANY} were made")),
                "{stderr}"
            );
        }
    }
}

/// Standard output that takes nothing: not exit 0, and what is there all the same is said.
#[test]
fn lines_that_cannot_be_written() {
    let store = store_of(100);
    for json in ["", " --json"] {
        let line = format!(
            "--password-file 0=pw-0 object generate -slot 0 -type aes -label k -count 3{json}"
        );
        let mut command = store.command(&line.split(' ').collect::<Vec<_>>());
        command
            .stdin(Stdio::null())
            .stdout(File::create("/dev/full").unwrap())
            .stderr(Stdio::piped());
        let out = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_ne!(out.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("No space left on device"), "{stderr}");
    }
    let out = store.run_in(0, "partition contents").ok();
    assert_eq!(out.stdout.matches("secret key").count(), stored(&store));
    let out = run(store.command(&["store", "check"]).stdin(Stdio::null())).ok();
    assert!(out.stdout.contains("clean"), "{out:?}");
}

#[track_caller]
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    (child.wait().unwrap().code(), stderr)
}
