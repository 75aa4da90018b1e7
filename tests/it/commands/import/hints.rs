//! What is said about a file that is not imported: every command in it is run, by the tool that it names, and what
//! comes out is imported.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::{FAILED, STORE};
use crate::fixture::{Out, Store, sh};

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys")
}

/// Files of a folder below tests/keys.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(keys().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|it| it != "py"))
        .collect();
    files.sort();
    files
}

/// Imports into a store that is not there: a file is read, and refused, before the store is.
fn look_at(store: &Store, file: &str) -> Out {
    let more = ["-label", "x", "-slot", "0", "-filepassword", "x"];
    store.args(&[&["object", "import", "-file", file][..], &more].concat())
}

/// The line after "hint:".
fn hint(out: &Out) -> &str {
    let lines = out.stderr.lines();
    let mut hints = lines.filter_map(|line| line.trim().strip_prefix("hint: "));
    hints.next().unwrap_or_else(|| panic!("no hint: {out:?}"))
}

/// What stands in quotes and is meant for a shell.
fn commands(hint: &str) -> Vec<&str> {
    let quoted = hint.split('\'').skip(1).step_by(2);
    quoted
        .filter(|text| !text.starts_with("partition "))
        .collect()
}

/// With what a person would type when asked.
fn with_passwords(command: &str) -> String {
    match command {
        _ if command.starts_with("openssl pkcs") => {
            format!("{command} -passin pass:x -passout pass:x")
        }
        _ if command.starts_with("ssh-keygen -p ") => format!("{command} -P x -N x"),
        _ => command.to_owned(),
    }
}

#[test]
fn every_command_in_a_hint_works() {
    let store = Store::empty();
    let mut run = BTreeSet::new();
    for folder in ["bad", "encrypted/bad", "several/bad"] {
        for path in files(folder) {
            let name = path.file_name().unwrap().to_str().unwrap();
            // A name that a shell takes apart when it is not quoted.
            let copy = format!("a key; {name}");
            // openssl would count to it.
            if ["1099511627776", "2147483648", "1208925819614629174706176"]
                .iter()
                .any(|rounds| name.contains(rounds))
            {
                continue;
            }
            fs::copy(&path, store.path(&copy)).unwrap();
            sh(r#"chmod 600 "$F""#, &[("F", &store.path(&copy))]).ok();
            let refused = look_at(&store, &copy).fails(FAILED);
            assert!(refused.stderr.contains(&copy), "{refused:?}");
            let commands = commands(hint(&refused));
            let command = match &commands[..] {
                [] => continue,
                [command] => command,
                [_, of_public] if name.contains(".pub.") => of_public,
                [of_private, _] => of_private,
                _ => panic!("{name}: {commands:?}"),
            };
            let line = with_passwords(command);
            let script = format!("cd \"$DIR\" && {line}");
            let done = sh(&script, &[("DIR", &store.path(""))]);
            assert_eq!(done.code, 0, "{name}: {line}: {done:?}");
            let new = match line.contains("NEWFILE") {
                true => "NEWFILE",
                false => &copy,
            };
            let out = look_at(&store, new);
            // Several blocks can have one that another command is for.
            assert_eq!(out.code, STORE, "{name}: {line}: {out:?}");
            assert!(out.stderr.contains("there is no store"), "{out:?}");
            let words: Vec<_> = command.split_whitespace().take(2).collect();
            run.insert(words.join(" "));
            if new == "NEWFILE" {
                fs::remove_file(store.path("NEWFILE")).unwrap();
            }
        }
    }
    let tools: Vec<_> = run.iter().map(String::as_str).collect();
    assert_eq!(
        tools,
        [
            "base64 -d",
            "openssl pkcs12",
            "openssl pkcs8",
            "openssl pkey",
            "openssl x509",
            "puttygen a\\",
            "ssh-keygen -i",
            "ssh-keygen -p",
        ]
    );
}

/// docs/objects.md has a table of every form: what it says of a file is what is done with it.
#[test]
fn the_table_of_forms_is_true() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/objects.md")).unwrap();
    let table = page
        .split("| form | example | imported as |")
        .nth(1)
        .unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 30, "{rows:?}");
    let store = Store::empty();
    let mut told = BTreeSet::new();
    for row in &rows {
        let [form, example, becomes] = row[..] else {
            panic!("{row:?}")
        };
        let example = example.trim_matches('`');
        fs::copy(keys().join(example), store.path("KEYFILE")).unwrap();
        let out = look_at(&store, "KEYFILE");
        match becomes.strip_prefix("no: ") {
            None => {
                assert_eq!(out.code, STORE, "{form}: {out:?}");
                assert!(out.stderr.contains("there is no store"), "{form}: {out:?}");
            }
            Some(advice) => {
                let out = out.fails(FAILED);
                let said = hint(&out).replace(" KEYFILE", " FILE");
                assert_eq!(said.replace('\'', "`"), advice, "{form}");
                told.insert(said);
            }
        }
    }
    // And what is refused for what it is, is there.
    for folder in ["bad", "encrypted/bad"] {
        for path in files(folder) {
            fs::copy(&path, store.path("KEYFILE")).unwrap();
            let out = look_at(&store, "KEYFILE").fails(FAILED);
            let said = &out.stderr;
            if said.contains("cannot be imported") || said.contains("which is not supported") {
                let said = hint(&out).replace(" KEYFILE", " FILE");
                assert!(told.contains(&said), "{path:?} is not in the table: {said}");
            }
        }
    }
}
