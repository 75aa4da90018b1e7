//! Spelling, environment, --json, exit statuses.

use std::fs;

use super::{FAILED, LOGIN, STORE, USAGE, one_slot};
use crate::fixture::{Store, password, run};

/// "`-objects` and `--objects` are the same option".
#[test]
fn one_dash_or_two() {
    let store = Store::empty();
    store.run("domain newkey red.pem").ok();
    store.password_file(0);
    store.password_file(1);
    store
        .run("partition init --slot 0 --label a --domainkey red.pem --password-file 0=pw-0")
        .ok();
    store
        .run("partition init -slot=1 -label=b -domainkey=red.pem -password-file=1=pw-1")
        .ok();
    store
        .run("object generate --type aes --bits 128 --label k --count 2 --slot 0 -password-file 0=pw-0")
        .ok();
    let one = store
        .run("object show -handle 2 -slot 0 -password-file 0=pw-0")
        .ok();
    let two = store
        .run("object show --handle 2 --slot 0 --password-file 0=pw-0")
        .ok();
    assert_eq!(one.stdout, two.stdout);
    store.run("slot list -json").ok();
    // A value that looks like an option is a value.
    store
        .args(&[
            "object",
            "generate",
            "-type",
            "aes",
            "-label",
            "-json",
            "-slot",
            "0",
            "--password-file",
            "0=pw-0",
        ])
        .code_is_not(-1);
}

/// Global options stand before or after the noun and verb; the environment stands in for them.
#[test]
fn global_options_and_environment() {
    let store = one_slot();
    let path = store.path("store.db");
    let lines: [&[&str]; 3] = [
        &["--store", "store.db", "slot", "list"],
        &["slot", "--store", "store.db", "list"],
        &["slot", "list", "--store", "store.db"],
    ];
    for line in lines {
        run(&mut store.bare(line)).ok();
    }
    let out = run(store.bare(&["slot", "list"]).env("SLOTFS_STORE", &path)).ok();
    assert!(out.stdout.contains("slot0"));
    // "else `$XDG_DATA_HOME/slotfs/store.db`"
    fs::create_dir_all(store.path("xdg/slotfs")).unwrap();
    fs::copy(&path, store.path("xdg/slotfs/store.db")).unwrap();
    let out = run(store
        .bare(&["slot", "list"])
        .env("XDG_DATA_HOME", store.path("xdg")))
    .ok();
    assert!(out.stdout.contains("slot0"));
}

/// "--active-slot N ($SLOTFS_ACTIVE_SLOT, else the lowest)".
#[test]
fn the_active_slot() {
    let store = Store::empty();
    store.slot(2, "red");
    store.slot(3, "red");
    store.aes(3, 1);
    let line = [
        "--store",
        "store.db",
        "partition",
        "contents",
        "--password-file",
        "2=pw-2",
        "--password-file",
        "3=pw-3",
    ];
    let out = run(&mut store.bare(&line)).ok();
    assert!(!out.stdout.contains("AES"), "the lowest is slot 2: {out:?}");
    let out = run(store.bare(&line).args(["--active-slot", "3"])).ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    let out = run(store.bare(&line).env("SLOTFS_ACTIVE_SLOT", "3")).ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    let out = run(store
        .bare(&line)
        .env("SLOTFS_ACTIVE_SLOT", "3")
        .args(["-slot", "2"]))
    .ok();
    assert!(!out.stdout.contains("AES"), "-slot goes first: {out:?}");
    let out = run(store.bare(&line).args(["--active-slot", "7"]));
    assert_ne!(out.code, 0, "{out:?}");
}

/// "else `$CREDENTIALS_DIRECTORY/slot-N.password`".
#[test]
fn the_credentials_directory() {
    let store = one_slot();
    let dir = store.path("credentials");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("slot-0.password"), password(0)).unwrap();
    let line = ["--store", "store.db", "partition", "contents"];
    let out = run(store.bare(&line).env("CREDENTIALS_DIRECTORY", &dir)).ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    fs::write(dir.join("slot-0.password"), "something else").unwrap();
    run(store.bare(&line).env("CREDENTIALS_DIRECTORY", &dir)).fails(LOGIN);
    let out = run(store
        .bare(&line)
        .env("CREDENTIALS_DIRECTORY", &dir)
        .args(["--password-file", "0=pw-0"]));
    out.ok();
}

/// "--password-file N[:ROLE]=PATH": the password is po's and co's alike until they are separated.
#[test]
fn password_files() {
    let store = one_slot();
    store
        .run("partition contents -slot 0 --password-file 0:co=pw-0")
        .ok();
    for (content, works) in [
        (password(0), true),
        (password(0) + "\n", true),
        (password(0) + "\r\n", true),
        (password(0) + "\n\n", false),
        (password(0) + " ", false),
        (String::new(), false),
    ] {
        crate::fixture::write_private(&store.path("pw"), &content);
        let out = store.run("partition contents -slot 0 --password-file 0=pw");
        assert_eq!(out.code == 0, works, "{content:?}: {out:?}");
        assert!(!out.text().contains("horse"), "{out:?}");
    }
    for option in ["0:xx=pw-0", "x=pw-0", "0", "=pw-0", "0=", ""] {
        let out = store.args(&[
            "partition",
            "contents",
            "-slot",
            "0",
            "--password-file",
            option,
        ]);
        assert_ne!(out.code, 0, "{option:?}: {out:?}");
    }
    // A file with a path that holds `=` is a path.
    crate::fixture::write_private(&store.path("a=b"), &password(0));
    store
        .run("partition contents -slot 0 --password-file 0=a=b")
        .ok();
}

/// "--json on every command that prints facts": one document, no `Command Result` line.
#[test]
fn json() {
    let store = one_slot();
    fs::write(store.path("raw"), [7; 16]).unwrap();
    let slot = "-slot 0 --password-file 0=pw-0";
    for line in [
        "slot list".to_owned(),
        format!("partition contents {slot}"),
        format!("object show -handle 1 {slot}"),
        format!("object generate -type aes -bits 128 -label j -count 2 {slot}"),
        format!("object import -type aes -file raw -label j {slot}"),
    ] {
        let out = store.run(&format!("{line} --json")).ok();
        out.json();
        assert!(!out.stdout.contains("Command Result"), "{out:?}");
        let before = store.run(&format!("--json {line}")).ok();
        before.json();
    }
    let list = store.run("slot list --json").ok().json();
    assert!(list.to_string().contains("slot0"), "{list}");
    // An error is no fact: stderr and the exit status say it.
    crate::fixture::write_private(&store.path("wrong"), "not the password\n");
    let out = store.run("partition contents -slot 0 --json --password-file 0=wrong");
    assert_eq!(out.code, LOGIN, "{out:?}");
    assert!(!out.stderr.is_empty());
    if !out.stdout.is_empty() {
        out.json();
    }
}

/// Exit 2, and help goes where it is asked for.
#[test]
fn usage() {
    let store = one_slot();
    for line in [
        "nonsense",
        "slot nonsense",
        "slot list extra",
        "partition",
        "object show",
        "mount",
        "umount",
        "object generate -type",
    ] {
        let out = store.run_without_terminal(line).fails(USAGE);
        assert!(!out.stderr.is_empty(), "{line}: {out:?}");
        assert_eq!(out.stdout, "", "{line}: {out:?}");
    }
    for line in ["--help", "slot --help", "mount --help", "-help"] {
        let out = store.run(line).ok();
        assert!(out.stdout.contains("Usage"), "{line}: {out:?}");
    }
    let out = store.run("--version").ok();
    assert!(out.stdout.contains(env!("CARGO_PKG_VERSION")), "{out:?}");
}

/// "exit statuses are one documented table": the same failure, the same status, whatever the command.
#[test]
fn exit_statuses() {
    let store = one_slot();
    crate::fixture::write_private(&store.path("wrong"), "not the password\n");
    fs::write(store.path("raw"), [7; 16]).unwrap();
    for line in [
        "partition contents",
        "object show -handle 1",
        "object generate -type aes -label a",
        "object import -type aes -file raw -label a",
    ] {
        let out = store.run(&format!("{line} -slot 0 --password-file 0=wrong"));
        assert_eq!(out.code, LOGIN, "{line}: {out:?}");
        assert!(out.text().contains("CKR_PIN_INCORRECT"), "{line}: {out:?}");
        let elsewhere = ["--store", "elsewhere.db"];
        let words: Vec<_> = elsewhere
            .into_iter()
            .chain(line.split(' '))
            .chain(["-slot", "0", "--password-file", "0=pw-0"])
            .collect();
        let out = run(&mut store.bare(&words));
        assert_eq!(out.code, STORE, "{line}: {out:?}");
    }
    let out = store.run_in(0, "object show -handle 5").fails(FAILED);
    assert!(out.text().contains("CKR_OBJECT_HANDLE_INVALID"), "{out:?}");
    assert!(!store.path("elsewhere.db").exists());
}

/// A closed pipe is no crash: `slotfs slot list | head -1`.
#[test]
fn a_closed_pipe() {
    let store = one_slot();
    let out = crate::fixture::sh(
        r#""$X" --store "$B" slot list | true; "$X" --store "$B" --help | head -1"#,
        &[
            ("X", env!("CARGO_BIN_EXE_slotfs").as_ref()),
            ("B", &store.path("store.db")),
        ],
    );
    assert!(!out.stderr.contains("panicked"), "{out:?}");
}

/// After ten wrong passwords the role is locked, and the message says so.
#[test]
fn a_locked_role() {
    let store = one_slot();
    crate::fixture::write_private(&store.path("wrong"), "not the password\n");
    for _ in 0..10 {
        store
            .run("partition contents -slot 0 --password-file 0=wrong")
            .fails(LOGIN);
    }
    let out = store.run_in(0, "partition contents").fails(LOGIN);
    assert!(out.stderr.contains("locked"), "{out:?}");
    assert!(!out.text().contains("CKR_PIN_INCORRECT"), "{out:?}");
}
