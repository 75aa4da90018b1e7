//! `object export` and `object delete`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::{FAILED, LOGIN, USAGE, one_slot};
use crate::fixture::{Store, handles, names, run};
use crate::terminal::Terminal;

fn mode(store: &Store, name: &str) -> u32 {
    fs::metadata(store.path(name)).unwrap().permissions().mode() & 0o7777
}

/// "public keys, certificates, data", in the form that was asked for.
#[test]
fn forms_and_modes() {
    let store = Store::empty();
    store.slot(0, "red");
    store
        .run_in(0, "object generate -type ec -curve p384 -label k")
        .ok();
    for handle in [1, 2] {
        for (form, options) in [("pem", ""), ("pem", "-form pem"), ("der", "-form der")] {
            let out = store
                .run_in(
                    0,
                    &format!("object export -handle {handle} -file out -force {options}"),
                )
                .ok();
            assert!(out.stdout.contains("No Error"), "{out:?}");
            assert_eq!(mode(&store, "out"), 0o644);
            let shown = run(Command::new("openssl")
                .args([
                    "pkey", "-pubin", "-noout", "-text", "-in", "out", "-inform", form,
                ])
                .current_dir(store.path("")))
            .ok();
            assert!(shown.stdout.contains("P-384"), "{shown:?}");
        }
    }
    // Standard output is the key and nothing else.
    let out = store.run_in(0, "object export -handle 1 -file -").ok();
    assert!(out.stdout.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(out.stdout.ends_with("-----END PUBLIC KEY-----\n"));
    let with_json = store
        .run_in(0, "object export -handle 1 -file - --json")
        .ok();
    assert_eq!(with_json.stdout, out.stdout);
    let json: serde_json::Value = serde_json::from_str(&with_json.stderr).unwrap();
    assert_eq!(json["bytes"], out.stdout.len());
    let json = store
        .run_in(
            0,
            "object export -handle 1 -file out -form der -force --json",
        )
        .ok()
        .json();
    assert_eq!(json["class"], "private key");
    assert_eq!(json["form"], "der");
    let bytes = fs::read(store.path("out")).unwrap();
    assert_eq!(json["bytes"], bytes.len());

    let value: Vec<u8> = (0..=255).collect();
    fs::write(store.path("raw"), &value).unwrap();
    let out = store
        .run_in(0, "object import -type data -file raw -label d")
        .ok();
    let data = handles(&out.stdout)[0];
    store
        .run_in(0, &format!("object export -handle {data} -file note"))
        .ok();
    assert_eq!(fs::read(store.path("note")).unwrap(), value);
    assert_eq!(mode(&store, "note"), 0o600);
    store
        .run_in(
            0,
            &format!("object export -handle {data} -file other -form der"),
        )
        .fails(USAGE);
}

/// Data that goes to standard output is alone there, also when there is none.
#[test]
fn data_is_alone_on_standard_output() {
    let store = one_slot();
    for name in ["-", "/dev/stdout", "/dev/fd/1"] {
        // A secret key, no object, another slot, a form that data does not have.
        for rest in ["-handle 1", "-handle 99999", "-handle 1 -slot 7"] {
            for json in ["", "--json"] {
                let out = store
                    .run(&format!(
                        "object export -file {name} {rest} {json} --password-file 0=pw-0"
                    ))
                    .fails(FAILED);
                assert_eq!(out.stdout, "", "{name} {rest} {json}: {out:?}");
                let said = ["Command Result : 0x", "\"error\""][usize::from(!json.is_empty())];
                assert!(out.stderr.contains(said), "{name} {rest} {json}: {out:?}");
            }
        }
    }
    let wrong = store
        .run("object export -handle 1 -file - --password-file 0=red.pem")
        .fails(LOGIN);
    assert_eq!(wrong.stdout, "", "{wrong:?}");
    let out = store.run("store backup -").fails(USAGE);
    assert_eq!(out.stdout, "", "{out:?}");
    assert!(!store.path("-").exists());
    let out = store.run("domain newkey -").ok();
    assert!(
        out.stdout
            .starts_with("-----BEGIN SLOTFS DOMAIN KEY-----\n"),
        "{out:?}"
    );
    assert!(
        out.stdout.ends_with("-----END SLOTFS DOMAIN KEY-----\n"),
        "{out:?}"
    );
    assert!(!store.path("-").exists());
    // In the shell the next command prints as ever.
    let out = run(&mut store.command(&[
        "-c",
        "object export -handle 9 -file -; slot list",
        "--keep-going",
    ]));
    assert!(out.stdout.contains("Slot"), "{out:?}");
    assert_eq!(
        out.stdout.matches("Command Result : ").count(),
        1,
        "{out:?}"
    );
    assert_eq!(
        out.stderr.matches("Command Result : ").count(),
        1,
        "{out:?}"
    );
}

/// What is no plain file is not replaced, whatever the user says.
#[test]
fn devices_and_pipes_stay() {
    let store = Store::empty();
    store.slot(0, "red");
    store
        .run_in(0, "object generate -type ed25519 -label k")
        .ok();
    nix::unistd::mkfifo(&store.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/null", store.path("null")).unwrap();
    symlink("/proc/self/fd/2", store.path("stderr")).unwrap();
    for name in ["pipe", "null", "stderr"] {
        let before = fs::symlink_metadata(store.path(name)).unwrap().file_type();
        for force in ["", "-force"] {
            store
                .run_in(0, &format!("object export -handle 2 -file {name} {force}"))
                .code_is_not(0);
        }
        let after = fs::symlink_metadata(store.path(name)).unwrap().file_type();
        assert_eq!(before, after, "{name}");
    }
}

/// Secret values stay, whatever their attributes say.
#[test]
fn secret_keys_stay() {
    let store = one_slot();
    store
        .run_in(
            0,
            "object generate -type aes -label open -attribute extractable=true,sensitive=false",
        )
        .ok();
    for handle in [1, 2] {
        let out = store
            .run_in(0, &format!("object export -handle {handle} -file out"))
            .fails(FAILED);
        assert!(out.stdout.contains("CKR_KEY_UNEXTRACTABLE"), "{out:?}");
        assert!(!store.path("out").exists());
    }
    store
        .run_in(0, "object export -handle 9 -file out")
        .fails(FAILED);
}

/// A file that is there is not touched without -force, and with it is replaced in one step; nothing else is left.
#[test]
fn files_that_are_there() {
    let store = Store::empty();
    store.slot(0, "red");
    store
        .run_in(0, "object generate -type ed25519 -label k")
        .ok();
    fs::create_dir(store.path("dir")).unwrap();
    fs::write(store.path("dir/there"), "precious").unwrap();
    symlink("there", store.path("dir/link")).unwrap();
    symlink("nowhere", store.path("dir/dangling")).unwrap();
    for name in ["there", "link", "dangling"] {
        let out = store
            .run_in(0, &format!("object export -handle 2 -file dir/{name}"))
            .fails(FAILED);
        assert!(out.stderr.contains("-force"), "{out:?}");
    }
    assert_eq!(fs::read(store.path("dir/there")).unwrap(), b"precious");
    store
        .run_in(0, "object export -handle 2 -file dir/link -force")
        .ok();
    assert_eq!(fs::read(store.path("dir/there")).unwrap(), b"precious");
    assert!(
        fs::read(store.path("dir/link"))
            .unwrap()
            .starts_with(b"-----BEGIN")
    );
    store
        .run_in(0, "object export -handle 2 -file dir -force")
        .fails(FAILED);
    store
        .run_in(0, "object export -handle 2 -file missing/out")
        .fails(FAILED);
    assert_eq!(names(&store.path("dir")), ["dangling", "link", "there"]);
}

/// "asks for confirmation"; a list; to the trash unless told to destroy; nothing is deleted when one of it is not there.
#[test]
fn delete() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 4);
    let left = |store: &Store| {
        let json = store.run_in(0, "partition contents --json").ok().json();
        let objects = json["objects"].as_array().unwrap().clone();
        objects
            .iter()
            .map(|row| row["handle"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let out = store.run_in(0, "object delete -handle 1").fails(FAILED);
    assert!(out.stderr.contains("-force"), "{out:?}");
    assert!(out.stderr.contains("secret key 'key'"), "{out:?}");
    store
        .run_in(0, "object delete -handle 1,9 -force")
        .fails(FAILED);
    for bad in ["0", "1,", "x", "1,01"] {
        store
            .run_in(0, &format!("object delete -handle {bad} -force"))
            .fails(USAGE);
    }
    let line = "object delete -handle 4,2 -slot 0 --password-file 0=pw-0";
    let words: Vec<_> = line.split(' ').collect();
    let mut terminal = Terminal::spawn(store.command(&words));
    terminal.expect("slot 0: 2 (secret key 'key'), 4 (secret key 'key') would go to the trash");
    terminal.expect("'quit' to quit now -> ");
    terminal.send_line("quit");
    assert_eq!(terminal.wait().0, FAILED);
    assert_eq!(left(&store), [1, 2, 3, 4]);
    let out = store.run_in(0, "object delete -handle 3,1,3 -force").ok();
    assert_eq!(
        out.stdout,
        "Handle 1 is in the trash\nHandle 3 is in the trash\n\nCommand Result : No Error\n"
    );
    assert_eq!(left(&store), [2, 4]);
    let json = store
        .run_in(0, "object delete -handle 2 -force --json")
        .ok()
        .json();
    assert_eq!(json["in_trash"], serde_json::json!([2]));
    let out = store.run_in(0, "object delete -handle 4 -destroy");
    assert!(out.stderr.contains("would be destroyed"), "{out:?}");
    let json = store
        .run_in(0, "object delete -handle 4 -destroy -force --json")
        .ok()
        .json();
    assert_eq!(json["destroyed"], serde_json::json!([4]));
    assert_eq!(left(&store), [0u64; 0]);
}

/// `object trash`, `restore`, `destroy`: the trash for who has no mount.
#[test]
fn the_trash_by_commands() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 4);
    let listed = |store: &Store| -> Vec<String> {
        let json = store.run_in(0, "object trash --json").ok().json();
        let rows = json["trash"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["trash"].as_str().unwrap().to_owned())
            .collect()
    };
    store.run_in(0, "object delete -handle 1,2,3 -force").ok();
    assert_eq!(listed(&store), ["1", "2", "3"]);
    let text = store.run_in(0, "object trash").ok().stdout;
    assert!(text.starts_with("Trash  Class       OUID"), "{text}");
    // A list with a mistake in it does nothing.
    let out = store.run_in(0, "object restore -trash 1,9").fails(FAILED);
    assert!(out.stderr.contains("there is no 9 in the trash"), "{out:?}");
    for bad in ["0", "x", "1.1", "1.", ""] {
        let line = format!("object restore -slot 0 --password-file 0=pw-0 -trash={bad}");
        store.run(&line).fails(USAGE);
    }
    assert_eq!(listed(&store), ["1", "2", "3"]);
    let out = store.run_in(0, "object restore -trash 2,1").ok();
    assert!(
        out.stdout
            .starts_with("1 is handle 1 again\n2 is handle 2 again\n"),
        "{out:?}"
    );
    // Its handle taken meanwhile, it gets another.
    store.aes(0, 1);
    store.run_in(0, "object delete -handle 1 -force").ok();
    let json = store.run_in(0, "partition contents --json").ok().json();
    assert_eq!(json["objects"].as_array().unwrap().len(), 3);
    let out = store.run_in(0, "object destroy -trash all");
    assert!(
        out.stderr
            .contains("slot 0: 2 objects in the trash would be destroyed"),
        "{out:?}"
    );
    let json = store
        .run_in(0, "object destroy -trash 3 -force --json")
        .ok()
        .json();
    assert_eq!(json["destroyed"], serde_json::json!([{ "trash": "3" }]));
    assert_eq!(json["not_destroyed"], serde_json::json!([]));
    store.run_in(0, "object destroy -trash all -force").ok();
    assert_eq!(listed(&store), [""; 0]);
    store.run_in(0, "object destroy -trash all").ok();
}
