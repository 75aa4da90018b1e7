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
    let (relative, path) = (store.relative().to_str().unwrap(), store.location());
    let lines: [&[&str]; 3] = [
        &["--store", relative, "slot", "list"],
        &["slot", "--store", relative, "list"],
        &["slot", "list", "--store", relative],
    ];
    for line in lines {
        run(&mut store.bare(line)).ok();
    }
    let out = run(store.bare(&["slot", "list"]).env("SLOTFS_STORE", &path)).ok();
    assert!(out.stdout.contains("slot0"));
    if store.is_in_cluster() {
        return;
    }
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
        "partition",
        "contents",
        "--password-file",
        "2=pw-2",
        "--password-file",
        "3=pw-3",
    ];
    let out = run(&mut store.command(&line)).ok();
    assert!(!out.stdout.contains("AES"), "the lowest is slot 2: {out:?}");
    let out = run(store.command(&line).args(["--active-slot", "3"])).ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    let out = run(store.command(&line).env("SLOTFS_ACTIVE_SLOT", "3")).ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    let out = run(store
        .command(&line)
        .env("SLOTFS_ACTIVE_SLOT", "3")
        .args(["-slot", "2"]))
    .ok();
    assert!(!out.stdout.contains("AES"), "-slot goes first: {out:?}");
    let out = run(store.command(&line).args(["--active-slot", "7"]));
    assert_ne!(out.code, 0, "{out:?}");
}

/// "else `$CREDENTIALS_DIRECTORY/slot-N.password`".
#[test]
fn the_credentials_directory() {
    let store = one_slot();
    let dir = store.path("credentials");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("slot-0.password"), password(0)).unwrap();
    let line = ["partition", "contents"];
    let out = run(store.command(&line).env("CREDENTIALS_DIRECTORY", &dir)).ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    fs::write(dir.join("slot-0.password"), "something else").unwrap();
    run(store.command(&line).env("CREDENTIALS_DIRECTORY", &dir)).fails(LOGIN);
    let out = run(store
        .command(&line)
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
            ("B", &store.location()),
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

/// Runs slotfs on the store with its standard output as the shell makes it; `$X` is slotfs, on the store.
#[track_caller]
fn redirected(store: &crate::fixture::Store, line: &str) -> crate::fixture::Out {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", line])
        .current_dir(store.path(""))
        .env("X", env!("CARGO_BIN_EXE_slotfs"))
        .env("SLOTFS_STORE", store.location())
        .env("HOME", store.path(""));
    run(&mut command)
}

/// Output that cannot be written: `> /dev/full`, `>&-`, a standard output that is open for reading alone.
#[test]
fn output_that_cannot_be_written() {
    let store = one_slot();
    let pw = "-slot 0 --password-file 0=pw-0";
    for line in [
        "domain newstring".to_owned(),
        "slot list".into(),
        "slot list --json".into(),
        "--help".into(),
        "help partition".into(),
        "--version".into(),
        "partition showinfo".into(),
        "-c 'slot list; slot list'".into(),
        format!("partition contents {pw}"),
        format!("object show -handle 1 {pw}"),
        format!("store check {pw}"),
        format!("partition contents {pw} --json"),
    ] {
        for (to, why) in [
            ("> /dev/full", "No space left"),
            (">&-", "Bad file descriptor"),
            ("1< /dev/null", "Bad file descriptor"),
        ] {
            let out = redirected(&store, &format!("\"$X\" {line} {to}")).fails(FAILED);
            let told = out.stderr.contains("standard output") && out.stderr.contains(why);
            assert!(told, "{line} {to}: {out:?}");
            assert!(!out.stderr.contains("panicked"), "{line} {to}: {out:?}");
            // A secret does not go where errors go.
            let said = out.complaints();
            let lines = said.lines().filter(|line| !line.starts_with("  "));
            assert!(lines.count() <= 2, "{line} {to}: {out:?}");
        }
        // Discarded on purpose, or by one who reads no further.
        redirected(&store, &format!("\"$X\" {line} > /dev/null")).ok();
        redirected(&store, &format!("\"$X\" {line} 1<> /dev/null")).ok();
        let out = redirected(&store, &format!("\"$X\" {line} | true"));
        assert_eq!(out.complaints(), "", "{line}: {out:?}");
    }
    // An error of its own goes first.
    redirected(
        &store,
        "\"$X\" object show -handle 9 --password-file 0=pw-0 > /dev/full",
    )
    .fails(FAILED);
    redirected(
        &store,
        "\"$X\" role login -name cu --password-file 0:cu=pw-0 > /dev/full",
    )
    .fails(LOGIN);
    redirected(&store, "\"$X\" nonsense > /dev/full").fails(USAGE);
    redirected(&store, "\"$X\" nonsense --json > /dev/full").fails(USAGE);
    // Nobody is left to tell.
    for line in [
        "slot list > /dev/full 2>&1",
        "slot list >&- 2>&-",
        "nonsense 2> /dev/full",
    ] {
        let out = redirected(&store, &format!("\"$X\" {line}"));
        assert!([FAILED, USAGE].contains(&out.code), "{line}: {out:?}");
    }
}

/// A command that did something says so, and what: handles are not lost.
#[test]
fn what_was_done_is_told_when_the_output_is_lost() {
    let store = one_slot();
    fs::write(store.path("raw"), [7; 16]).unwrap();
    let pw = "-slot 0 --password-file 0=pw-0";
    for (line, to, told) in [
        (
            format!("object generate -type aes -label k -count 3 {pw}"),
            "> /dev/full",
            "Handle 4\n",
        ),
        (
            format!("object generate -type aes -label k {pw} --json"),
            ">&-",
            "\"handle\":5",
        ),
        (
            format!("object import -type aes -file raw -label k {pw}"),
            "> /dev/full",
            "Handle 6\n",
        ),
        (
            format!("object delete -handle 1 -force {pw}"),
            ">&-",
            "Handle 1 is in the trash",
        ),
        (
            "domain newkey other.pem".into(),
            "> /dev/full",
            "the command was done",
        ),
        (
            "partition init -slot 1 -label b -domainkey red.pem --password-file 1=pw-0".into(),
            "> /dev/full",
            "Slot 1 is now partition 'b'",
        ),
        (
            format!(
                "partition clone -objects 4 -slot 1 --password-file 1=pw-0 {}",
                "--active-slot 0 --password-file 0=pw-0"
            ),
            "> /dev/full",
            "Handle 4 on slot 0 is now handle",
        ),
        (
            "store backup copy.db".into(),
            ">&-",
            "was copied to copy.db",
        ),
    ] {
        let out = redirected(&store, &format!("\"$X\" {line} {to}")).fails(FAILED);
        assert!(out.stderr.contains("standard output"), "{line}: {out:?}");
        assert!(out.stderr.contains(told), "{line}: {out:?}");
        assert!(
            out.stderr.contains("the command was done"),
            "{line}: {out:?}"
        );
    }
    let out = store.run_in(0, "partition contents").ok();
    assert_eq!(out.stdout.matches("AES").count(), 5, "{out:?}");
    let out = redirected(
        &store,
        "\"$X\" object show -handle 4 --password-file 0=pw-0 >> full 2> err; cat full",
    )
    .ok();
    assert!(out.stdout.contains("CKA_VALUE"), "{out:?}");
}

/// The documents of an output.
#[track_caller]
fn documents(out: &crate::fixture::Out) -> Vec<serde_json::Value> {
    serde_json::Deserializer::from_str(&out.stdout)
        .into_iter()
        .map(|document| document.unwrap_or_else(|why| panic!("{why}: {out:?}")))
        .collect()
}

/// "always exactly one JSON document on standard output (the shell: one for each command)".
#[test]
fn one_json_document_whatever_happens() {
    let store = one_slot();
    fs::write(store.path("wrong"), "not the password\n").unwrap();
    for (line, code) in [
        ("nonsense", USAGE),
        ("partition", USAGE),
        ("slot nonsense", USAGE),
        ("slot list extra", USAGE),
        ("slot list -nonsense", USAGE),
        ("object show", USAGE),
        ("object show -handle x", USAGE),
        ("object generate -type foo -label x", USAGE),
        (
            "object generate -type aes -label x -bits 1 -curve p256",
            USAGE,
        ),
        ("object delete -handle", USAGE),
        ("mount", USAGE),
        ("umount", USAGE),
        ("-c slot slot list", USAGE),
        ("--idle soon", USAGE),
        ("mount missing", 5),
        ("umount missing", 5),
        ("mount mnt --login 0 --password-file 0=wrong", LOGIN),
        ("mount mnt --login 0 --password-file 0=missing", FAILED),
        ("partition contents --password-file 0=wrong", LOGIN),
        ("help", 0),
        ("--help", 0),
        ("help partition init", 0),
        ("--version", 0),
        ("mount mnt --login 0 --password-file 0=pw-0", 0),
        ("mount mnt", 5),
        ("umount mnt", 0),
        ("umount mnt", 5),
        ("role login -name co -slot 0 --password-file 0=pw-0", 0),
    ] {
        let out = store.run_without_terminal(&format!("{line} --json"));
        assert_eq!(out.code, code, "{line}: {out:?}");
        let documents = documents(&out);
        assert_eq!(documents.len(), 1, "{line}: {out:?}");
        let error = &documents[0]["error"];
        assert_eq!(error.is_object(), code != 0, "{line}: {out:?}");
        if code != 0 {
            assert!(
                error["message"].is_string() && error["code"].is_string(),
                "{out:?}"
            );
            assert!(!out.stderr.is_empty(), "{line}: {out:?}");
        }
    }
    let out = store.run_without_terminal("mount mnt --login 0 --password-file 0=wrong --json");
    assert_eq!(
        documents(&out)[0]["error"]["name"],
        "CKR_PIN_INCORRECT",
        "{out:?}"
    );
    // In the shell one for each.
    let script = "slot list; nonsense; slot list -x; help slot; role login -name; 'open; slot list";
    let out = store
        .args(&["--json", "--keep-going", "-c", script])
        .fails(USAGE);
    assert_eq!(documents(&out).len(), 6, "{out:?}");
    let script = "slot list --json; nonsense --json; help --json; ? --json";
    let out = store.args(&["--keep-going", "-c", script]).fails(USAGE);
    assert_eq!(documents(&out).len(), 4, "{out:?}");
}

/// A label is somebody else's: nothing in it does anything to a terminal, and JSON means the same.
#[test]
fn labels_are_escaped() {
    let store = one_slot();
    let label = "a\u{7f}\u{85}\u{9b}2J\u{2028}\u{202e}b\u{2066}\u{200f}\u{61c}\u{feff}\u{1b}[2J";
    let slot = ["-slot", "0", "--password-file", "0=pw-0"];
    let args = |words: &[&str]| {
        let out = store.args(&[words, &slot].concat()).ok();
        let raw = |c: char| {
            let invisible = [
                '\u{2028}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}', '\u{feff}',
            ];
            c != '\n' && (c.is_control() || invisible.contains(&c))
        };
        assert!(!out.text().contains(raw), "{words:?}: {out:?}");
        out
    };
    args(&["object", "generate", "-type", "aes", "-label", label]);
    args(&["partition", "contents"]);
    args(&["object", "show", "-handle", "2"]);
    let out = args(&["partition", "contents", "--json"]).json();
    assert_eq!(out["objects"][1]["label"], label);
    let out = args(&["object", "show", "-handle", "2", "--json"]).json();
    assert_eq!(out["object"]["label"], label);
    args(&["object", "delete", "-handle", "2", "-force"]);
    let out = args(&["object", "trash", "--json"]).json();
    assert_eq!(out["trash"][0]["label"], label);
    // The partition's own, and what an error quotes.
    let out = store
        .args(&[
            "partition",
            "init",
            "-slot",
            "1",
            "-label",
            "b\\\u{202e}",
            "-domainkey",
            "red.pem",
            "--json",
            "--password-file",
            "1=pw-0",
        ])
        .code_is_not(-1);
    assert!(!out.text().contains('\u{202e}'), "{out:?}");
    let out = store.args(&[
        "object",
        "export",
        "-handle",
        "1",
        "-file",
        "x\u{202e}\u{9b}",
        "-slot",
        "9",
    ]);
    assert!(!out.text().contains(['\u{202e}', '\u{9b}']), "{out:?}");
    // A name forges no line.
    let forged = "pw\nslotfs: all is well";
    let out = store.args(&[
        "role",
        "login",
        "-name",
        "co",
        "-password-file",
        &format!("0={forged}"),
    ]);
    assert!(
        !out.stderr.lines().any(|line| line == "slotfs: all is well"),
        "{out:?}"
    );
    assert_ne!(out.code, 0, "{out:?}");
}
