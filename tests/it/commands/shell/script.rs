//! `slotfs -c` and commands on standard input.

use super::{LOGIN, STORE, USAGE, one_slot};
use crate::fixture::{Out, Store, run_with_input, sh};

/// Runs commands on standard input.
#[track_caller]
fn piped(store: &Store, options: &[&str], text: &str) -> Out {
    run_with_input(&mut store.command(options), text.as_bytes())
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// Who logs in in one command is logged in for the next; `exit` ends it.
#[test]
fn a_login_lasts_from_command_to_command() {
    let store = one_slot();
    let commands = "role login -name co -password 'correct horse 0'; partition contents\nrole list; role logout; exit; nonsense";
    let out = store.args(&["-c", commands]).ok();
    assert_eq!(count(&out.stdout, "Command Result : No Error"), 4);
    assert!(out.stdout.contains("secret key"), "{out:#?}");
    assert_eq!(out.stderr, "");
    store.args(&["-c", "partition contents"]).fails(LOGIN);
    let out = piped(
        &store,
        &["--password-file", "0=pw-0"],
        "# a comment; with a semicolon and 'a quote\n\n  role login -name co\r\npartition contents # more\n",
    )
    .ok();
    assert!(out.stdout.contains("secret key"), "{out:#?}");
}

/// "stop at the first command that does not end with exit status 0, with that status"
#[test]
fn a_script_stops_at_the_first_failure() {
    let store = one_slot();
    let out = store
        .args(&["-c", "slot list; partition contents; slot list"])
        .fails(LOGIN);
    assert_eq!(count(&out.stdout, "Slot Id ->"), 1, "{out:#?}");
    assert!(out.stderr.contains("slotfs: command 2: "), "{out:#?}");
    assert!(out.stderr.contains("--keep-going"), "{out:#?}");
    let script = "slot list\n\n# why not\nrole login -name co hunter2\nslot list\n";
    let out = piped(&store, &[], script).fails(USAGE);
    assert_eq!(count(&out.stdout, "Slot Id ->"), 1, "{out:#?}");
    assert!(out.stderr.contains("slotfs: line 4: "), "{out:#?}");
    assert!(!out.text().contains("hunter2"), "{out:#?}");
}

/// "`--keep-going` goes on with the next and ends with the status of the first failure"
#[test]
fn a_script_goes_on_when_told_to() {
    let store = one_slot();
    let script = "partition contents\nnonsense\nslot list\nexit\nslot list\n";
    let out = piped(&store, &["--keep-going"], script).fails(LOGIN);
    assert_eq!(count(&out.stdout, "Slot Id ->"), 1, "{out:#?}");
    for line in ["line 1: ", "line 2: "] {
        assert!(out.stderr.contains(line), "{out:#?}");
    }
    store
        .args(&["--keep-going", "-c", "slot list; nonsense"])
        .fails(USAGE);
}

/// What cannot be read as a command is a usage error, and says why.
#[test]
fn lines_that_are_none() {
    let store = one_slot();
    for (line, why) in [
        ("role login -name 'co", "quote is not closed"),
        ("slot list --store other.db", "one store"),
        ("slot list \0", "NUL"),
        ("p contents extra", "unexpected argument '...'"),
        (&"x".repeat(70_000), "longer than"),
        ("mount mnt --foreground", "background"),
        ("-c 'slot list'", "unexpected argument"),
    ] {
        let out = piped(&store, &[], line).fails(USAGE);
        assert!(out.stderr.contains(why), "{why}: {out:#?}");
    }
    let long = format!("{}\nslot list\n", "x".repeat(200_000));
    let out = piped(&store, &["--keep-going"], &long).fails(USAGE);
    assert!(out.stdout.contains("Slot Id"), "{out:#?}");
    for args in [
        &["-c", "slot list", "slot", "list"][..],
        &["--keep-going", "slot", "list"],
        &["--idle", "1m", "slot", "list"],
        &["--idle", "soon"],
    ] {
        store.args(args).fails(USAGE);
    }
    let out = run_with_input(&mut store.command(&[]), b"slot list \xff\n");
    assert!(out.code_is_not(0).stderr.contains("UTF-8"));
}

/// The options of slotfs itself hold for every command, and those on a line for that one.
#[test]
fn options_of_the_shell_and_of_a_line() {
    let store = one_slot();
    store.slot(1, "red");
    let script =
        "role list; slot set -slot 0; role list; role list --active-slot 1; role list -slot 1";
    let out = store
        .args(&["--json", "--active-slot", "1", "-c", script])
        .ok();
    let slots: Vec<_> = serde_json::Deserializer::from_str(&out.stdout)
        .into_iter::<serde_json::Value>()
        .map(|document| document.unwrap()["slot"].as_u64().unwrap())
        .collect();
    assert_eq!(slots, [1, 0, 0, 1, 1]);
    let out = store.args(&["-c", "slot list --json; slot list"]).ok();
    assert!(out.stdout.starts_with('{') && out.stdout.contains("Slot Id"));
    // What the environment says is an option of the shell, and not of each line.
    let mut slotfs = store.bare(&["-c", "slot list; slot set -slot 0; role list --json"]);
    slotfs
        .env("SLOTFS_STORE", store.location())
        .env("SLOTFS_ACTIVE_SLOT", "1");
    let out = run_with_input(&mut slotfs, b"").ok();
    assert!(out.stdout.contains("\"slot\": 0"), "{out:#?}");
    let script = "role login -name co; role logout; role login -name co --password-file 0=missing";
    store
        .args(&["--password-file", "0=pw-0", "-c", script])
        .code_is_not(0);
}

/// Nouns and verbs may be cut short, in the shell as outside.
#[test]
fn nouns_and_verbs_may_be_short() {
    let store = one_slot();
    let script = "ro logi -n co; slotfs par con; ?; help par con; partition help";
    let out = store
        .args(&["--password-file", "0=pw-0", "-c", script])
        .ok();
    assert!(out.stdout.contains("secret key"), "{out:#?}");
    assert!(out.stdout.contains("exit"), "{out:#?}");
    assert_eq!(count(&out.stdout, "List the objects of a partition"), 2);
    store.run("help par con").ok();
    store.run("sl li").ok();
    store.run("partition c").fails(USAGE);
    store.run("--help").ok();
}

/// "`slotfs` alone with stdin closed/at EOF ends 0 having done nothing."
#[test]
fn nothing_to_read_is_nothing_to_do() {
    let store = Store::empty();
    let out = store.args(&[]).ok();
    assert_eq!(out.text(), "");
    let slotfs = env!("CARGO_BIN_EXE_slotfs");
    let out = sh(
        "HOME=/nonexistent \"$SLOTFS\" <&-",
        &[("SLOTFS", slotfs.as_ref())],
    )
    .ok();
    assert_eq!(out.text(), "");
    assert!(!store.is_made());
    store.args(&["-c", "slot list"]).fails(STORE);
}
