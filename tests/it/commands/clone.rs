//! `partition clone`: its session, what becomes of each object, when it asks.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{FAILED, LOGIN, USAGE};
use crate::fixture::{Out, Store, contents, names, password, run, sh};
use crate::terminal::Terminal;

/// Both passwords by file.
const PASSWORDS: &str = "--password-file 0=pw-0 --password-file 1=pw-1";

/// Slots 0 and 1 of one domain, 2 of another; slot 0 with that many AES keys.
fn slots(keys: u32) -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.slot(2, "blue");
    if keys > 0 {
        store.aes(0, keys);
    }
    store
}

/// `partition clone` from slot 0 with every password on file.
fn clone(store: &Store, options: &str) -> Out {
    store.run_without_terminal(&format!(
        "{PASSWORDS} --password-file 2=pw-2 partition clone {options}"
    ))
}

/// The handles of a slot.
fn handles_of(store: &Store, slot: u32) -> Vec<u64> {
    let out = store.run_in(slot, "partition contents --json").ok().json();
    let objects = out["objects"].as_array().unwrap();
    objects
        .iter()
        .map(|object| object["handle"].as_u64().unwrap())
        .collect()
}

/// docs/commands.md, "partition clone on a terminal": "Its session reads exactly". Slot 1 chooses handles within its capacity of 141 and has all
/// but 28 and 141, so that what asks for 124 and 140 gets 141 and 28.
fn prepared_for_the_transcript() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    crate::fixture::write_private(&store.path("pw-1"), "horse-12\n");
    store
        .run("partition init -slot 1 -label beta -domainkey red.pem -capacity 141 --password-file 1=pw-1")
        .ok();
    store.aes(0, 2);
    store.aes(1, 139);
    let mount = store.start(&[0, 1]);
    sh(
        r#"mv "$MNT/0/1" "$MNT/0/124" && mv "$MNT/0/2" "$MNT/0/140" && mv "$MNT/1/28" "$MNT/1/140""#,
        &[("MNT", &mount.point)],
    )
    .ok();
    drop(mount);
    store
}

const TRANSCRIPT: &str = "
        Option -password was not supplied.  It is required.

        Enter the password for the target slot: ********

        Verifying that the specified objects can be cloned.

        All objects can be cloned.

        Logging in to target slot 1

        Checking if objects already exist on target slot 1.

        Cloning the objects.
                Handle 124 on slot 0 is now handle 141 on slot 1
                Handle 140 on slot 0 is now handle 28 on slot 1

Command Result : No Error
";

#[test]
fn the_session_to_the_letter() {
    let store = prepared_for_the_transcript();
    let command = store.command(&[
        "--password-file",
        "0=pw-0",
        "partition",
        "clone",
        "-objects",
        "124,140",
        "-slot",
        "1",
    ]);
    let mut terminal = Terminal::spawn(command);
    terminal.expect("Enter the password for the target slot: ");
    terminal.send_hidden("horse-12");
    let (code, shown) = terminal.wait();
    assert_eq!(shown.replace("\r\n", "\n"), TRANSCRIPT);
    assert_eq!(code, 0);
}

/// The same in the shell, by who is logged in there.
#[test]
fn the_session_in_the_shell() {
    let store = prepared_for_the_transcript();
    let mut terminal = Terminal::spawn(store.command(&[]));
    terminal.expect("slotfs:>");
    terminal.send_line("role login -name co");
    terminal.expect("Enter the password for co of slot 0: ");
    terminal.send_hidden(&password(0));
    terminal.expect("Command Result : No Error\r\n");
    terminal.expect("slotfs:>");
    terminal.send_line("partition clone -objects 124,140 -slot 1");
    // The line editor puts the terminal back.
    terminal.expect("-slot 1\u{1b}[?2004l\r\n");
    let mut shown = terminal.expect("Enter the password for the target slot: ");
    terminal.send_hidden("horse-12");
    let (asked, rest) = TRANSCRIPT.split_once("********").unwrap();
    shown += "Enter the password for the target slot: ";
    assert_eq!(shown.replace("\r\n", "\n"), asked);
    terminal.expect("********");
    let shown = terminal.expect("\u{1b}[").replace("\r\n", "\n");
    assert_eq!(shown, rest);
    // The source is logged in, the target was for that command alone.
    terminal.send_line("role list -slot 1");
    let shown = terminal.expect("Command Result : No Error");
    assert!(!shown.contains("yes"), "{shown:?}");
    terminal.send_line("exit");
    assert_eq!(terminal.wait().0, 0);
}

/// With the password at hand nothing is asked, whatever stands on standard input; the shortcuts are lunacm's.
#[test]
fn the_shortcuts_and_no_terminal() {
    let store = prepared_for_the_transcript();
    let out = store
        .run_without_terminal(
            "--password-file 0=pw-0 partition clone -o 124,140 -p horse-12 -s 1 -f",
        )
        .ok();
    let (_, rest) = TRANSCRIPT.split_once("********\n\n").unwrap();
    assert_eq!(out.stdout, rest);
    assert_eq!(out.stderr, "");
}

/// "Works with and without a mount; what it stores shows in a live mount at once."
#[test]
fn shows_in_a_live_mount_at_once() {
    let store = slots(3);
    let large = store.data(0, 50_000);
    let mount = store.start(&[0, 1]);
    let (from, to) = (mount.point.join("0"), mount.point.join("1"));
    assert_eq!(names(&to), [""; 0]);
    clone(&store, &format!("-objects 1,{large} -slot 1")).ok();
    assert_eq!(names(&to), ["1".to_owned(), large.to_string()]);
    clone(&store, "-objects all -slot 1 -force").ok();
    assert_eq!(contents(&from), contents(&to));
    // And back: what the mount stored is there for the command.
    sh(
        r#"rm "$MNT/0/1" && cp "$MNT/1/1" "$MNT/0/77""#,
        &[("MNT", &mount.point)],
    )
    .ok();
    let out = store
        .run_without_terminal(&format!(
            "{PASSWORDS} --active-slot 1 partition clone -objects 1 -slot 0 -force"
        ))
        .ok();
    assert!(
        out.stdout
            .contains("Handle 1 on slot 1 is already handle 77 on slot 0"),
        "{out:?}"
    );
}

/// A whole list against a wrong domain gives one error per object.
#[test]
fn one_error_per_object() {
    let store = slots(3);
    let out = clone(&store, "-objects 0 -slot 2").fails(FAILED);
    for handle in 1..=3 {
        let line = format!(
            "                Handle {handle} on slot 0 was not cloned to slot 2: the blob was not accepted: no domain of this slot opens it\n"
        );
        assert!(out.stdout.contains(&line), "{out:?}");
    }
    assert!(
        out.stdout
            .ends_with("\nCommand Result : 0x80000106 (CKR_FAILED_TO_CLONE_AN_OBJECT)\n"),
        "{out:?}"
    );
    assert!(out.stderr.contains("3 of 3 objects of slot 0"), "{out:?}");
    assert!(out.stderr.contains("hint: "), "{out:?}");
    assert_eq!(handles_of(&store, 2), [0u64; 0]);
}

/// What cannot be cloned is said before anything moves, and again in its place in the list.
#[test]
fn a_list_goes_on_after_a_failure() {
    let store = slots(3);
    let out = clone(&store, "-objects 3,99,1 -slot 1 -force").fails(FAILED);
    let at = |text: &str| {
        out.stdout
            .find(text)
            .unwrap_or_else(|| panic!("no {text:?} in {out:?}"))
    };
    assert!(
        at("Handle 99 on slot 0 cannot be cloned: there is no object 99")
            < at("2 of 3 objects can be cloned."),
    );
    assert!(
        at("Handle 3 on slot 0 is now handle 3 on slot 1")
            < at("Handle 99 on slot 0 was not cloned to slot 1: there is no object 99"),
    );
    assert!(
        at("Handle 99 on slot 0 was not cloned to slot 1")
            < at("Handle 1 on slot 0 is now handle 1 on slot 1"),
    );
    assert_eq!(handles_of(&store, 1), [1, 3]);
    // Without -force and nobody to ask: before anything is done.
    let out = clone(&store, "-objects 2,99 -slot 1").fails(FAILED);
    assert!(out.stdout.contains("CKR_FUNCTION_CANCELED"), "{out:?}");
    assert!(out.stderr.contains("-force"), "{out:?}");
    assert_eq!(handles_of(&store, 1), [1, 3]);
    // None at all: said, and not attempted.
    let out = clone(&store, "-objects 98,99 -slot 1 -force").fails(FAILED);
    assert!(
        out.stdout
            .ends_with("Command Result : 0x80000107 (CKR_CLONE_NOT_ATTEMPTED)\n"),
        "{out:?}"
    );
}

#[test]
fn an_empty_slot_has_nothing_to_clone() {
    let store = slots(0);
    let out = clone(&store, "-objects all -slot 1").ok();
    assert!(
        out.stdout.contains("There are no objects on slot 0."),
        "{out:?}"
    );
}

/// The rules for existing objects and handles are those of the mount.
#[test]
fn existing_objects_and_taken_handles() {
    let store = slots(2);
    store.aes(1, 2);
    let out = clone(&store, "-objects all -slot 1").ok();
    assert!(
        out.stdout
            .contains("Handle 1 on slot 0 is now handle 3 on slot 1\n"),
        "{out:?}"
    );
    assert!(
        out.stdout
            .contains("Handle 2 on slot 0 is now handle 4 on slot 1\n"),
        "{out:?}"
    );
    // A second run stores nothing, and says so; it asks first.
    clone(&store, "-objects all -slot 1").fails(FAILED);
    let out = clone(&store, "-objects all -slot 1 -force").ok();
    assert!(
        out.stdout
            .contains("Handle 1 on slot 0 is already handle 3 on slot 1"),
        "{out:?}"
    );
    assert_eq!(handles_of(&store, 1), [1, 2, 3, 4]);
}

/// "Type 'proceed' to continue, or 'quit' to quit now ->"
#[test]
fn it_asks_when_objects_exist() {
    let store = slots(2);
    clone(&store, "-objects 1 -slot 1").ok();
    let ask = |answer: &str| {
        let line = format!("{PASSWORDS} partition clone -objects all -slot 1");
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut terminal = Terminal::spawn(store.command(&words));
        terminal.expect("1 of the objects already exist on slot 1");
        terminal.expect("        Type 'proceed' to continue, or 'quit' to quit now -> ");
        terminal.send_line(answer);
        terminal.wait()
    };
    for answer in ["quit", "", "yes", "PROCEED"] {
        let (code, shown) = ask(answer);
        assert_eq!(code, FAILED, "{answer:?}: {shown}");
        assert!(shown.contains("CKR_FUNCTION_CANCELED"), "{shown}");
        assert_eq!(handles_of(&store, 1), [1]);
    }
    let (code, shown) = ask("proceed");
    assert_eq!(code, 0, "{shown}");
    assert_eq!(handles_of(&store, 1), [1, 2]);
}

/// "slot full": what fits is there, the rest has its line.
#[test]
fn a_full_slot() {
    let store = slots(3);
    crate::fixture::write_private(&store.path("pw-3"), &password(3));
    store
        .run("partition init -slot 3 -label small -domainkey red.pem -capacity 2 --password-file 3=pw-3")
        .ok();
    let out = store
        .run_without_terminal(
            "--password-file 0=pw-0 --password-file 3=pw-3 partition clone -o all -s 3",
        )
        .fails(FAILED);
    assert!(
        out.stdout
            .contains("Handle 3 on slot 0 was not cloned to slot 3: the slot is full"),
        "{out:?}"
    );
    assert_eq!(handles_of(&store, 3), [1, 2]);
}

/// Policy 4 at the source is found before, at the target by its verdict.
#[test]
fn policies() {
    let store = slots(2);
    let data = store.data(0, 100);
    for slot in [0, 1] {
        fs::copy(store.path(format!("pw-{slot}")), store.path("po")).unwrap();
        let policy = |value: u32| {
            store
                .run(&format!(
                    "--password-file {slot}:po=po --active-slot {slot} partition changepolicy -policy 4 -value {value} -force"
                ))
                .ok()
        };
        policy(0);
        let out = clone(&store, "-objects all -slot 1 -force").fails(FAILED);
        let words = if slot == 0 {
            "Handle 1 on slot 0 cannot be cloned: policy forbids cloning a secret key"
        } else {
            "Handle 1 on slot 0 was not cloned to slot 1: policy forbids taking in a secret key"
        };
        assert!(out.stdout.contains(words), "{out:?}");
        // Data is not what that policy is about.
        assert_eq!(handles_of(&store, 1), [u64::from(data)]);
        // From off to on it clears the slot.
        let out = policy(1);
        assert!(out.stdout.contains("objects on slot"), "{out:?}");
        assert_eq!(handles_of(&store, slot), [0u64; 0]);
        if slot == 0 {
            store.aes(0, 2);
            store.data(0, 100);
            store.run_in(1, "partition clear -force").ok();
        }
    }
}

#[test]
fn bad_command_lines() {
    let store = slots(1);
    for options in [
        "-objects all -slot 0",
        "-objects all",
        "-slot 1",
        "-objects x -slot 1",
        "-objects 0,1 -slot 1",
        "-objects -1 -slot 1",
        "-objects 1 -slot x",
        "-objects 1 -slot 1 -nonsense",
    ] {
        clone(&store, options).fails(USAGE);
    }
    let out = clone(&store, "-objects all -slot 7").fails(FAILED);
    assert!(
        out.stderr.contains("slot 7: there is no such slot"),
        "{out:?}"
    );
    let out = clone(&store, "-objects all -slot 1 -password wrong-wrong").fails(LOGIN);
    assert!(out.stdout.contains("CKR_PIN_INCORRECT"), "{out:?}");
    assert!(!out.text().contains("wrong-wrong"), "{out:?}");
    // Nobody to ask for the target's password.
    let out = store
        .run_without_terminal("--password-file 0=pw-0 partition clone -objects all -slot 1")
        .fails(USAGE);
    assert!(
        out.stderr.contains("-password") && out.stderr.contains("slot 1"),
        "{out:?}"
    );
    assert_eq!(handles_of(&store, 1), [0u64; 0]);
}

/// Standard input closed altogether, as some CI does it.
#[test]
fn standard_input_closed() {
    let store = slots(2);
    let slotfs = store.bare(&["x"]);
    let out = sh(
        r#"cd "$DIR" && "$SLOTFS" --store "$STORE" --password-file 0=pw-0 --password-file 1=pw-1 partition clone -objects all -slot 1 <&-"#,
        &[
            ("DIR", &store.path("")),
            ("SLOTFS", slotfs.get_program().as_ref()),
            ("STORE", &store.location()),
        ],
    )
    .ok();
    assert!(
        out.stdout.ends_with("Command Result : No Error\n"),
        "{out:?}"
    );
}

/// More than a batch by number and by size: each arrives, byte for byte what cp would read.
#[test]
fn many_and_large() {
    let store = slots(1500);
    fs::write(store.path("large"), vec![7; 60_000]).unwrap();
    for _ in 0..40 {
        store
            .run_in(0, "object import -type data -file large -label large")
            .ok();
    }
    let out = clone(&store, "-objects all -slot 1").ok();
    assert_eq!(out.stdout.matches(" is now handle ").count(), 1540);
    let mount = store.start(&[0, 1]);
    assert_eq!(
        contents(&mount.point.join("0")),
        contents(&mount.point.join("1"))
    );
}

/// "Ctrl-C stops between objects and says how far it got."
#[test]
fn ctrl_c_stops_between_objects() {
    let store = slots(8000);
    let mut child = store
        .command(
            &format!("{PASSWORDS} partition clone -o all -s 1")
                .split(' ')
                .collect::<Vec<_>>(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads on: the command cannot run ahead of what a pipe holds.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains(" is now handle ") {
        assert_ne!(stdout.read_line(&mut shown).unwrap(), 0, "{shown}");
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    stdout.read_to_string(&mut shown).unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
    let told = shown.matches(" is now handle ").count();
    assert!((1..8000).contains(&told), "{told}");
    assert!(
        stderr.contains(&format!("{told} of 8000 objects are on slot 1")),
        "{stderr}"
    );
    assert!(shown.ends_with("CKR_FUNCTION_CANCELED)\n"), "{shown}");
    assert_eq!(handles_of(&store, 1).len(), told);
    // The same command goes on.
    let out = clone(&store, "-o all -s 1 -f").ok();
    assert_eq!(out.stdout.matches(" is now handle ").count(), 8000 - told);
}

/// What to do depends on what happened: only who lacks a domain is told to compare domains.
#[test]
fn hints_fit_what_happened() {
    let store = slots(1);
    store.password_file(3);
    store
        .run(
            "partition init -slot 3 -label v1 -domainkey red.pem -version 1 --password-file 3=pw-3",
        )
        .ok();
    store.aes(3, 1);
    let of_domains = "'slotfs partition domainlist'";
    for (from, options, hint) in [
        (0, "-objects all -slot 2", of_domains),
        (
            0,
            "-objects 1,9 -slot 1 -force",
            "'slotfs partition contents'",
        ),
        (0, "-objects 9 -slot 1", "'slotfs partition contents'"),
        (3, "-objects all -slot 1", "clone to a V1 slot"),
        (3, "-objects 1,9 -slot 1 -force", "clone to a V1 slot"),
    ] {
        let out = store
            .run_without_terminal(&format!(
                "--active-slot {from} {PASSWORDS} --password-file 2=pw-2 --password-file 3=pw-3 partition clone {options}"
            ))
            .fails(FAILED);
        assert!(out.stderr.contains(hint), "{from} {options}: {out:?}");
        assert_eq!(
            out.stderr.contains(of_domains),
            hint == of_domains,
            "{from} {options}: {out:?}"
        );
        assert!(out.stderr.contains("each line says why"), "{out:?}");
    }
}

/// The target is logged in to when the session says so, and not before: where nothing can be cloned no attempt counts.
#[test]
fn the_target_is_logged_in_to_when_it_is_said() {
    let store = slots(1);
    let of_slot_1 = || store.run("role list -slot 1 --json").ok().stdout;
    let before = of_slot_1();
    let out = clone(&store, "-objects 9 -slot 1 -password wrong-wrong").fails(FAILED);
    assert!(!out.stdout.contains("Logging in"), "{out:?}");
    assert!(!out.stderr.contains("wrong password"), "{out:?}");
    assert_eq!(of_slot_1(), before);
    let out = clone(&store, "-objects 1 -slot 1 -password wrong-wrong").fails(LOGIN);
    assert!(
        out.stdout.contains("Logging in to target slot 1"),
        "{out:?}"
    );
    assert_ne!(of_slot_1(), before);
}

/// One JSON document whatever happens, with nothing else on standard output.
#[test]
fn json() {
    let store = slots(2);
    let out = clone(&store, "-objects 1,2,9 -slot 1 -force --json").fails(FAILED);
    let json = out.json();
    assert_eq!(json["source_slot"], 0);
    assert_eq!(json["target_slot"], 1);
    assert_eq!(json["objects"][0]["handle"], 1);
    assert_eq!(json["objects"][0]["new_handle"], 1);
    assert_eq!(json["objects"][0]["already"], false);
    assert_eq!(json["objects"][2]["handle"], 9);
    assert_eq!(
        json["objects"][2]["error"]["name"],
        "CKR_OBJECT_HANDLE_INVALID"
    );
    assert_eq!(json["cloned"], 2);
    assert_eq!(json["failed"], 1);
    assert_eq!(json["error"]["code"], "0x80000106");
    let out = clone(&store, "-objects 1 -slot 1 -force --json")
        .ok()
        .json();
    assert_eq!(out["already"], 1);
    assert_eq!(out["error"], serde_json::Value::Null);
    let out = clone(&store, "-objects 9 -slot 1 --json")
        .fails(FAILED)
        .json();
    assert_eq!(out["error"]["name"], "CKR_CLONE_NOT_ATTEMPTED");
    let out = clone(&store, "-objects 1 -slot 7 --json")
        .fails(FAILED)
        .json();
    assert_eq!(out["error"]["name"], "CKR_SLOT_ID_INVALID");
}

/// "cu reads and clones out but cannot store"
#[test]
fn a_crypto_user_clones_out_and_not_in() {
    let store = slots(1);
    crate::fixture::write_private(&store.path("cu"), "crypto user\n");
    for slot in [0, 1] {
        store
            .run_in(slot, "role init -name cu -newpasswordfile cu")
            .ok();
    }
    store
        .run_without_terminal(
            "--password-file 0:po=pw-0 partition changepolicy -policy 1000 -value 1 -slot 0",
        )
        .ok();
    store
        .run_without_terminal(
            "--password-file 0:cu=cu --password-file 1=pw-1 partition clone -objects 1 -slot 1",
        )
        .ok();
    let out = store
        .run_without_terminal(
            "--password-file 0:cu=cu partition clone -objects 1 -slot 1 -password crypto-user",
        )
        .fails(LOGIN);
    assert!(out.stdout.contains("CKR_PIN_INCORRECT"), "{out:?}");
    let out = run(&mut store.command(&[
        "--password-file",
        "0:cu=cu",
        "object",
        "generate",
        "-type",
        "aes",
        "-label",
        "x",
    ]));
    assert_ne!(out.code, 0, "{out:?}");
}
