//! A store that went back: scripts/attacks/rollback.py, which has an old copy of the file and no key, against real mounts.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Hsm, Out, STATE, Store, assert_errno, password, run, store_excl};

// Exit statuses (docs/commands.md, "How a command ends").
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const LOGIN: i32 = 3;
const OLD: &str = "the store is older than the one seen here on 2";
const WENT_BACK: &str = "Slot 0 was logged out: the store went back";

/// What the attacker does.
#[track_caller]
fn attack(store: &Store, words: &[&str]) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/attacks/rollback.py");
    run(Command::new("python3")
        .arg(program)
        .args(words)
        .current_dir(store.path("")))
    .ok();
}

/// Slots 0 and 1 of one domain, each with a key. Slot 0 also has the domain `leaked`, and puts it first.
fn with_a_leaked_domain() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 2);
    store.aes(1, 1);
    store.domain("leaked");
    po(
        &store,
        "partition domainadd -domainkey leaked.pem -domainlabel leaked -primary",
    );
    store
}

/// A command of po of slot 0.
#[track_caller]
fn po(store: &Store, line: &str) {
    let line = format!("{line} -slot 0 --password-file 0:po=pw-0");
    store.run(&line).ok();
}

#[track_caller]
fn delete_the_domain(store: &Store) {
    po(
        store,
        "partition domainchangelabel -domainlabel primary -primary",
    );
    po(store, "partition domaindelete -domainlabel leaked -force");
}

/// The number of domains that a blob names (docs/format.md, "The sealed blob").
fn domains(blob: &[u8]) -> u8 {
    blob[9]
}

/// Every request on slot 0 is refused and nothing is stored; slot 1 goes on.
#[track_caller]
fn is_closed(hsm: &Hsm, blob: &[u8]) {
    assert_errno!(fs::read(hsm.file(0, 1)), ENOKEY);
    assert_errno!(fs::read_dir(hsm.slot(0)), ENOKEY);
    assert_errno!(store_excl(&hsm.file(0, 50), blob), ENOKEY);
    assert_errno!(fs::remove_file(hsm.file(0, 1)), ENOKEY);
    assert_errno!(fs::rename(hsm.file(1, 1), hsm.file(0, 51)), ENOKEY);
    let clones = hsm.clones(0);
    assert_eq!(clones.matches(WENT_BACK).count(), 1, "{clones}");
    assert!(clones.contains("'slotfs store accept'"), "{clones}");
    hsm.mount.logged(WENT_BACK);
    let log = hsm.mount.log();
    let line = log.lines().find(|line| line.contains(WENT_BACK)).unwrap();
    assert!(line.contains("ERROR"), "{line}");
    assert_eq!(domains(&hsm.blob(1, 1)), 1);
    store_excl(&hsm.file(1, 90), blob).unwrap();
    fs::remove_file(hsm.file(1, 90)).unwrap();
}

/// A login on the mount.
fn log_in(hsm: &Hsm, slot: u32) -> std::io::Result<()> {
    fs::write(hsm.control(slot, "login"), password(slot))
}

#[track_caller]
fn contents(store: &Store) -> Out {
    store.run_in(0, "partition contents")
}

/// The finding of the review: a daemon that is logged in sealed under a domain that po had deleted, without a log line.
#[test]
fn rows_put_back_under_a_mount_log_the_slot_out() {
    let store = with_a_leaked_domain();
    let hsm = store.mount(&[0, 1]);
    assert_eq!(domains(&hsm.blob(0, 1)), 2);
    attack(&hsm.store, &["copy", "store.db", "old.db"]);
    delete_the_domain(&hsm.store);
    let blob = hsm.blob(0, 1);
    assert_eq!(domains(&blob), 1);

    attack(&hsm.store, &["rows", "store.db", "old.db", "0"]);
    is_closed(&hsm, &blob);
    // Nobody opens it, in this process or another, and the right password is not a wrong one.
    for _ in 0..3 {
        assert_errno!(log_in(&hsm, 0), EKEYEXPIRED);
    }
    hsm.mount.announce(OLD);
    let out = contents(&hsm.store).fails(LOGIN);
    assert!(out.stderr.contains(OLD), "{out:?}");
    assert!(out.stderr.contains("'slotfs store accept'"), "{out:?}");
    let list = hsm.store.run("role list -slot 0 --json").ok();
    assert!(!list.stdout.contains("\"failures\": 1"), "{list:?}");
    is_closed(&hsm, &blob);

    // Accepted: the same mount opens it again, as it was then.
    let out = hsm.store.run("store accept").ok();
    assert!(
        out.stdout
            .contains("slot 0: generation 2 was accepted; generation 4 was seen on 2"),
        "{out:?}"
    );
    assert!(out.stdout.contains("slot 1: nothing to accept"), "{out:?}");
    log_in(&hsm, 0).unwrap();
    assert_eq!(domains(&hsm.blob(0, 1)), 2);
}

/// Other ways to put back, under a mount.
#[test]
fn whatever_is_put_back_is_noticed() {
    let store = with_a_leaked_domain();
    attack(&store, &["copy", "store.db", "old.db"]);
    delete_the_domain(&store);
    attack(&store, &["copy", "store.db", "now.db"]);
    let hsm = store.mount(&[0, 1]);
    let blob = hsm.blob(0, 1);
    hsm.mount.announce(OLD);
    hsm.mount.announce(WENT_BACK);
    hsm.mount.announce("slot 0: logged out");
    hsm.mount.announce("store damaged: slot 0");
    hsm.mount.announce("its partition was replaced");
    let mut told = 0;
    for (words, is_older) in [
        (&["row", "store.db", "old.db", "0", "slots"][..], true),
        (&["whole", "store.db", "old.db"], true),
        (&["set", "store.db", "0", "generation", "1"], true),
        (
            &["set", "store.db", "0", "generation", "9223372036854775807"],
            false,
        ),
        (&["set", "store.db", "0", "serial", "5"], false),
    ] {
        attack(&hsm.store, words);
        assert_errno!(fs::read(hsm.file(0, 1)), ENOKEY, "{words:?}");
        assert_errno!(store_excl(&hsm.file(0, 50), &blob), ENOKEY, "{words:?}");
        assert!(log_in(&hsm, 0).is_err(), "{words:?}");
        assert_eq!(domains(&hsm.blob(1, 1)), 1, "{words:?}");
        told += usize::from(is_older);
        assert_eq!(hsm.clones(0).matches(WENT_BACK).count(), told, "{words:?}");
        // As it should be again: none of this closes the slot for ever.
        attack(&hsm.store, &["whole", "store.db", "now.db"]);
        log_in(&hsm, 0).unwrap();
        assert_eq!(hsm.blob(0, 1), blob, "{words:?}");
    }
    // Rows that the header does not name are none.
    attack(&hsm.store, &["row", "store.db", "old.db", "0", "domains"]);
    attack(&hsm.store, &["rows", "store.db", "now.db", "0"]);
    assert_eq!(hsm.blob(0, 1), blob);
}

/// A mount that is started on an older copy: `store accept` is what tells a restored backup from an attack.
#[test]
fn an_older_copy_is_refused_until_it_is_accepted() {
    let store = with_a_leaked_domain();
    store.run("store backup backup.db").ok();
    delete_the_domain(&store);
    // A backup may be looked at where it is, with a warning.
    let look = "--store backup.db partition contents -slot 0 --password-file 0=pw-0";
    let words: Vec<&str> = look.split_whitespace().collect();
    let out = run(&mut store.bare(&words)).ok();
    assert!(
        out.stderr.contains("one of the two stores is a copy"),
        "{out:?}"
    );
    let out = run(&mut store.bare(&words)).ok();
    assert_eq!(out.stderr, "", "once is enough");

    fs::copy(store.path("backup.db"), store.path("store.db")).unwrap();
    let mount = "mount mnt --login 0 --password-file 0=pw-0";
    let out = store.run(mount).fails(LOGIN);
    assert!(out.stderr.contains(OLD), "{out:?}");
    let out = store.run(&format!("--json {mount}")).fails(LOGIN).json();
    assert_eq!(out["error"]["name"], "CKR_OPERATION_NOT_ALLOWED");
    assert!(
        out["error"]["message"]
            .as_str()
            .unwrap()
            .contains("store accept")
    );
    for line in [
        "role changepw -name po -newpw another-horse -oldpw correct -slot 0",
        "role login -name po -slot 0 --password-file 0:po=pw-0",
        "object generate -type aes -bits 256 -label key -slot 0 --password-file 0=pw-0",
    ] {
        store.run(line).fails(LOGIN);
    }
    // Only what is named; a slot that is not there is an error.
    store.run("store accept -slot 7").fails(FAILED);
    store.run("store accept -slot 1").ok();
    contents(&store).fails(LOGIN);
    store
        .run("store accept --password-file 0=pw-0")
        .fails(USAGE);
    let Value::Array(slots) = store.run("store accept -slot 0 --json").ok().json()["slots"].clone()
    else {
        panic!("not a list")
    };
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0]["accepted"], true);
    assert_eq!(slots[0]["generation"], 2);
    assert_eq!(slots[0]["seen_generation"], 4);
    contents(&store).ok();
    let hsm = store.mount(&[0, 1]);
    assert_eq!(domains(&hsm.blob(0, 1)), 2);
    // From the shell too.
    attack(&hsm.store, &["copy", "store.db", "old.db"]);
    delete_the_domain(&hsm.store);
    assert_eq!(domains(&hsm.blob(0, 1)), 1);
    attack(&hsm.store, &["rows", "store.db", "old.db", "0"]);
    let lines = "role login -name co -slot 0; store accept; role login -name co -slot 0; partition contents -slot 0";
    let out = hsm
        .store
        .args(&["--keep-going", "-c", lines, "--password-file", "0=pw-0"]);
    assert!(out.stderr.contains(OLD), "{out:?}");
    assert!(
        out.stdout.contains("payments") || out.stdout.contains("secret key"),
        "{out:?}"
    );
    hsm.mount.announce(WENT_BACK);
    // Whoever was logged in saw the newer one, and logs in again.
    assert_errno!(fs::read(hsm.file(0, 1)), ENOKEY);
    log_in(&hsm, 0).unwrap();
}

/// A state folder that is read-only, missing, garbage or somebody else's gives a warning and closes nothing.
#[test]
fn a_state_folder_that_cannot_be_used() {
    let store = with_a_leaked_domain();
    attack(&store, &["copy", "store.db", "old.db"]);
    let state = store.path(STATE).join("slotfs");
    let file = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "json"))
        .unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    assert!(whole.contains("store.db"), "the path is inside: {whole}");

    fs::write(&file, "garbage").unwrap();
    let out = contents(&store).ok();
    assert!(out.stderr.contains("it is damaged"), "{out:?}");
    assert_eq!(contents(&store).ok().stderr, "", "it was made anew");

    // Where slotfs cannot write, it warns; what it can read counts.
    delete_the_domain(&store);
    let script = r#"
        set -eu
        mount --bind "$STATE" "$STATE" && mount -o remount,ro,bind "$STATE"
        "$SLOTFS" --store store.db partition contents -slot 0 --password-file 0=pw-0
        python3 "$ATTACK" rows store.db old.db 0
        if "$SLOTFS" --store store.db partition contents -slot 0 --password-file 0=pw-0; then exit 98; fi
        "$SLOTFS" --store store.db store accept || echo "accept ended with $?"
    "#;
    let attack_program = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/attacks/rollback.py");
    let out = run(Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .current_dir(store.path(""))
        .env("SLOTFS", env!("CARGO_BIN_EXE_slotfs"))
        .env("ATTACK", attack_program)
        .env("STATE", &state))
    .ok();
    assert!(out.stderr.contains("will not notice"), "{out:?}");
    assert!(out.stderr.contains("Read-only file system"), "{out:?}");
    assert!(out.stderr.contains(OLD), "{out:?}");
    assert!(out.stdout.contains("accept ended with 1"), "{out:?}");
    store.run("store accept").ok();
    contents(&store).ok();

    // Nothing names a folder: relative paths are ignored, as the XDG specification says.
    let line = "--store store.db partition contents -slot 0 --password-file 0=pw-0";
    let words: Vec<&str> = line.split_whitespace().collect();
    let out = run(store.bare(&words).env("XDG_STATE_HOME", "/dev/null")).ok();
    assert!(
        out.stderr.contains("state folder /dev/null/slotfs"),
        "{out:?}"
    );
    let mut everybodys = store.bare(&words);
    let open = store.path("open/slotfs");
    fs::create_dir_all(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let out = run(everybodys.env("XDG_STATE_HOME", store.path("open"))).ok();
    assert!(out.stderr.contains("others can write it"), "{out:?}");
}
