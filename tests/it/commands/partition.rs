//! Partitions, slots, domains, generated objects.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{FAILED, LOGIN, STORE, USAGE, one_slot};
use crate::fixture::{Store, contents, handles, sh};

/// "`slotfs partition init`": a store is made by the first one, readable by its owner alone.
#[test]
fn init_makes_the_store() {
    let store = Store::empty();
    store.domain("red");
    store.password_file(0);
    let out = store
        .run("partition init -slot 0 -label alpha -domainkey red.pem --password-file 0=pw-0")
        .ok();
    assert!(
        out.stdout
            .contains("Slot 0 is now partition 'alpha', serial "),
        "{out:?}"
    );
    assert!(
        out.stdout.ends_with("Command Result : No Error\n"),
        "{out:?}"
    );
    if !store.is_in_cluster() {
        let mode = fs::metadata(store.path("store.db")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    let out = store.run("slot list").ok();
    assert!(out.stdout.contains("alpha"), "{out:?}");
}

/// -password on the command line, for who wants that.
#[test]
fn init_with_a_password_argument() {
    let store = Store::empty();
    store.domain("red");
    store
        .run("partition init -slot 3 -label alpha -domainkey red.pem -password secret-enough")
        .ok();
    crate::fixture::write_private(&store.path("pw"), "secret-enough\r\n");
    store
        .run("partition contents -slot 3 --password-file 3=pw")
        .ok();
}

/// Labels are 1 to 32 characters, passwords 8 to 255 bytes, domain strings 1 to 128.
#[test]
fn init_checks_its_arguments() {
    let store = Store::empty();
    store.domain("red");
    store.password_file(0);
    let long = "l".repeat(33);
    for label in ["", &*long] {
        let out = store.args(&[
            "partition",
            "init",
            "-slot",
            "0",
            "-label",
            label,
            "-domainkey",
            "red.pem",
            "--password-file",
            "0=pw-0",
        ]);
        assert_ne!(out.code, 0, "label {label:?}: {out:?}");
        assert!(out.stderr.contains("label"), "{out:?}");
    }
    let long = "p".repeat(256);
    for password in ["", "1234567", &*long] {
        let out = store.args(&[
            "partition",
            "init",
            "-slot",
            "0",
            "-label",
            "a",
            "-domainkey",
            "red.pem",
            "-password",
            password,
        ]);
        assert_ne!(out.code, 0, "password of {}: {out:?}", password.len());
        assert!(out.stderr.contains("password"), "{out:?}");
        let said = password.len() > 5 && out.text().contains(password);
        assert!(!said, "the password is repeated: {out:?}");
    }
    let long = "d".repeat(129);
    for domain in ["", &*long] {
        let out = store.args(&[
            "partition",
            "init",
            "-slot",
            "0",
            "-label",
            "a",
            "-domain",
            domain,
            "--password-file",
            "0=pw-0",
        ]);
        assert_ne!(out.code, 0, "domain of {}: {out:?}", domain.len());
    }
    for line in [
        "partition init -label a -domainkey red.pem --password-file 0=pw-0",
        "partition init -slot 0 -label a -domain x -domainkey red.pem --password-file 0=pw-0",
        "partition init -slot x -label a -domainkey red.pem --password-file 0=pw-0",
        "partition init -slot -1 -label a -domainkey red.pem --password-file 0=pw-0",
        "partition init -slot 99999999999 -label a -domainkey red.pem --password-file 0=pw-0",
        "partition init -slot 0 -label a -domainkey red.pem --password-file pw-0",
        "partition init -slot 0 -label a -domainkey red.pem -nonsense --password-file 0=pw-0",
    ] {
        store.run_without_terminal(line).fails(USAGE);
    }
    // What it would ask for, and nobody to ask.
    for line in [
        "partition init -slot 0 -label a --password-file 0=pw-0",
        "partition init -slot 0 -label a -domainkey red.pem",
    ] {
        let out = store.run_without_terminal(line);
        assert_ne!(out.code, 0, "{line}: {out:?}");
    }
    for file in ["missing.pem", "pw-0", "/dev/null", "mnt"] {
        let out = store.run(&format!(
            "partition init -slot 0 -label a -domainkey {file} --password-file 0=pw-0"
        ));
        assert_ne!(out.code, 0, "{file}: {out:?}");
        assert!(out.stderr.contains(file), "{out:?}");
    }
    store
        .run("partition init -slot 0 -label a -domainkey red.pem --password-file 0=missing")
        .code_is_not(0);
    // None of this left a slot behind.
    let out = store.run("slot list");
    assert!(
        out.code == STORE || !out.stdout.contains("initialised"),
        "{out:?}"
    );
}

/// 32 characters are not 32 bytes; the longest of each is taken.
#[test]
fn init_takes_the_longest() {
    let store = Store::empty();
    store.domain("red");
    let label = "ä".repeat(32);
    let password = "p".repeat(255);
    let last = if store.is_in_cluster() {
        // Ranges of keys end at the next slot.
        "4294967294"
    } else {
        "4294967295"
    };
    store
        .args(&[
            "partition",
            "init",
            "-slot",
            last,
            "-label",
            &label,
            "-domainkey",
            "red.pem",
            "-password",
            &password,
        ])
        .ok();
    let out = store.run("slot list").ok();
    assert!(out.stdout.contains(&label), "{out:?}");
    assert!(out.stdout.contains(last), "{out:?}");
}

/// Doing it again destroys: it needs -force or an answer, "with no terminal and no `-force` it stops before
/// anything is done".
#[test]
fn init_again_needs_force() {
    let store = one_slot();
    let again = "partition init -slot 0 -label again -domainkey red.pem --password-file 0=pw-0";
    let out = store.run_without_terminal(again);
    assert_ne!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("force"), "what to do: {out:?}");
    assert!(store.run("slot list").ok().stdout.contains("slot0"));
    let out = store.run_in(0, "partition contents").ok();
    assert!(out.stdout.contains("AES"), "{out:?}");
    store.run_without_terminal(&format!("{again} -force")).ok();
    let out = store.run_in(0, "partition contents").ok();
    assert!(!out.stdout.contains("AES"), "{out:?}");
    assert!(store.run("slot list").ok().stdout.contains("again"));
}

/// -capacity is a number of objects; past it: ENOSPC for who copies, an error for who generates.
#[test]
fn capacity() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 3);
    store.password_file(1);
    store
        .run("partition init -slot 1 -label small -domainkey red.pem -capacity 2 --password-file 1=pw-1")
        .ok();
    let out = store.run_in(1, "object generate -type aes -bits 128 -label k -count 3");
    assert_ne!(out.code, 0, "{out:?}");
    let made = handles(&out.stdout).len();
    assert!(made <= 2, "{out:?}");
    let hsm = store.mount(&[0, 1]);
    hsm.mount.announce("");
    for name in hsm.list(1) {
        fs::remove_file(hsm.file(1, name)).unwrap();
    }
    let out = sh(
        r#"cp "$S"/* "$D"/"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    );
    assert_eq!(out.code, 1, "{out:?}");
    assert_eq!(
        out.stderr.matches("No space left on device").count(),
        1,
        "{out:?}"
    );
    assert_eq!(hsm.list(1), ["1", "2"]);
    fs::remove_file(hsm.file(1, 1)).unwrap();
    hsm.copy((0, 3), (1, 3));
    assert_eq!(hsm.list(1), ["2", "3"]);
}

/// Two slots made with the same domain string share a domain, also in two stores; with another one they
/// do not. (256 MiB and a second each.)
#[test]
fn domain_strings() {
    let string = "correct horse battery staple, said twice";
    let stores = [Store::empty(), Store::empty()];
    for (store, strings) in stores.iter().zip([
        vec![string],
        vec![string, "correct horse battery staple, said once"],
    ]) {
        for (slot, string) in strings.into_iter().enumerate() {
            let file = store.password_file(u32::try_from(slot).unwrap());
            store
                .args(&[
                    "partition",
                    "init",
                    "-slot",
                    &slot.to_string(),
                    "-label",
                    "a",
                    "-domain",
                    string,
                    "--password-file",
                    &format!("{slot}={file}"),
                ])
                .ok();
        }
    }
    let [one, other] = stores;
    one.aes(0, 2);
    let one = one.mount(&[0]);
    let other = other.mount(&[0, 1]);
    other.mount.announce_rejections();
    sh(
        r#"cp "$S"/* "$D"/"#,
        &[("S", &one.slot(0)), ("D", &other.slot(0))],
    )
    .ok();
    assert_eq!(contents(&other.slot(0)), one.blobs(0));
    let out = sh(
        r#"cp "$S"/* "$D"/"#,
        &[("S", &one.slot(0)), ("D", &other.slot(1))],
    );
    assert_eq!(out.code, 1);
    assert!(other.list(1).is_empty());
}

/// "A string that is estimated under 60 bits is refused without -force", wherever one is given.
#[test]
fn a_weak_domain_string_is_refused_without_force() {
    let store = Store::empty();
    store.password_file(0);
    let init = "partition init -slot 0 -label a --password-file 0=pw-0";
    let weak = ["password1", "Tr0ub4dor&3", "ABCDEFGHIJKLMNOP", "x"];
    for string in weak {
        let out = store.run(&format!("{init} -domain {string}")).fails(USAGE);
        assert!(out.stderr.contains("slot 0: the domain string"), "{out:?}");
        assert!(out.stderr.contains("slotfs domain newstring"), "{out:?}");
        assert!(out.stderr.contains("-force"), "{out:?}");
        assert!(!out.text().contains("password1"), "it is a secret: {out:?}");
        assert!(!store.is_made(), "nothing was made");
    }
    // With -force it is taken, with a warning.
    let out = store.run(&format!("{init} -domain password1 -force")).ok();
    assert!(out.stderr.contains("warning: the domain string"), "{out:?}");
    assert!(!out.text().contains("password1"), "it is a secret: {out:?}");

    let add = "partition domainadd -slot 0 --password-file 0:po=pw-0";
    let domains = || {
        let listed = store.run_in(0, "partition domainlist --json").ok().json();
        listed["domains"].as_array().unwrap().len()
    };
    let out = store
        .run(&format!("{add} -domainlabel b -domain password2"))
        .fails(USAGE);
    assert!(out.stderr.contains("slotfs domain newstring"), "{out:?}");
    assert_eq!(domains(), 1);
    let out = store
        .run(&format!("{add} -domainlabel b -domain password2 -force"))
        .ok();
    assert!(out.stderr.contains("warning: the domain string"), "{out:?}");
    // What slotfs makes is strong, and a key file has no string.
    let string = store.run("domain newstring").ok().stdout;
    let out = store
        .run(&format!("{add} -domainlabel c -domain {}", string.trim()))
        .ok();
    assert!(!out.stderr.contains("warning"), "{out:?}");
    assert_eq!(domains(), 3);
    store.domain("red");
    let out = store.run(&format!("{init} -domainkey red.pem -force")).ok();
    assert!(!out.stderr.contains("warning"), "{out:?}");
}

/// "`domain newkey FILE`": PEM, label SLOTFS DOMAIN KEY; never over a file that is there.
#[test]
fn domain_newkey() {
    let store = Store::empty();
    store.run("domain newkey a.pem").ok();
    store.run("domain newkey b.pem").ok();
    let text = fs::read_to_string(store.path("a.pem")).unwrap();
    assert!(
        text.starts_with("-----BEGIN SLOTFS DOMAIN KEY-----\n"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("-----END SLOTFS DOMAIN KEY-----"));
    assert_ne!(text, fs::read_to_string(store.path("b.pem")).unwrap());
    let mode = fs::metadata(store.path("a.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o377, 0, "readable by its owner alone");
    let out = store.run("domain newkey a.pem");
    assert_ne!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("a.pem"), "{out:?}");
    assert_eq!(fs::read_to_string(store.path("a.pem")).unwrap(), text);
    store.run("domain newkey missing/c.pem").code_is_not(0);
    store.run("domain newkey").fails(USAGE);
    assert!(!store.is_made());
}

/// A domain key file that was changed is refused with its name.
#[test]
fn damaged_domain_key_files() {
    let store = Store::empty();
    store.domain("red");
    store.password_file(0);
    let text = fs::read_to_string(store.path("red.pem")).unwrap();
    let short =
        text.lines().next().unwrap().to_owned() + "\nAAAA\n-----END SLOTFS DOMAIN KEY-----\n";
    for (name, bad) in [
        ("label", text.replace("SLOTFS DOMAIN KEY", "PRIVATE KEY")),
        ("short", short),
        ("cut", text[..text.len() / 2].to_owned()),
        ("empty", String::new()),
        ("letters", text.replacen("KEY-----\n", "KEY-----\n!!!!", 1)),
    ] {
        let file = format!("{name}.pem");
        fs::write(store.path(&file), bad).unwrap();
        let out = store.run(&format!(
            "partition init -slot 0 -label a -domainkey {file} --password-file 0=pw-0"
        ));
        assert_ne!(out.code, 0, "{name}: {out:?}");
        assert!(out.stderr.contains(&file), "{name}: {out:?}");
    }
}

/// "`domain newstring` prints 130 random bits in base32".
#[test]
fn domain_newstring() {
    let store = Store::empty();
    let one = store.run("domain newstring").ok().stdout;
    let other = store.run("domain newstring").ok().stdout;
    assert_ne!(one, other);
    let one = one.trim_end();
    assert_eq!(one.len(), 26, "{one:?}");
    assert!(one.chars().all(|c| c.is_ascii_alphanumeric()), "{one:?}");
}

/// "`partition contents`": needs the password, and says when it is wrong.
#[test]
fn partition_contents() {
    let store = one_slot();
    let out = store.run_in(0, "partition contents").ok();
    assert!(
        out.stdout.contains("AES") && out.stdout.contains("secret key"),
        "{out:?}"
    );
    assert!(
        out.stdout.ends_with("Command Result : No Error\n"),
        "{out:?}"
    );
    crate::fixture::write_private(&store.path("wrong"), "not the password\n");
    let out = store.run("partition contents -slot 0 --password-file 0=wrong");
    assert_eq!(out.code, LOGIN, "{out:?}");
    assert!(
        out.text()
            .contains("Command Result : 0xa0 (CKR_PIN_INCORRECT)"),
        "{out:?}"
    );
    assert!(out.stderr.starts_with("slotfs: "), "{out:?}");
    let out = store.run_without_terminal("partition contents -slot 0");
    assert!([USAGE, LOGIN].contains(&out.code), "{out:?}");
    let out = store.run("partition contents -slot 9 --password-file 9=pw-0");
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains('9'), "{out:?}");
}

/// "`slot list`": needs no login, shows every slot.
#[test]
fn slot_list() {
    let store = Store::empty();
    for slot in [4, 0, 11] {
        store.slot(slot, "red");
    }
    let out = store.run_without_terminal("slot list").ok();
    let position = |label: &str| out.stdout.find(label).unwrap_or_else(|| panic!("{out:?}"));
    assert!(position("slot0") < position("slot4"));
    assert!(position("slot4") < position("slot11"), "sorted by number");
    assert!(out.stdout.ends_with("Command Result : No Error\n"));
}

/// No store, or something else at its place.
#[test]
fn no_store() {
    let store = Store::empty();
    let out = store.run("slot list").fails(STORE);
    let shown = store.relative().to_str().unwrap();
    assert!(out.stderr.contains(shown), "{out:?}");
    assert!(!store.is_made(), "looking made a store");
    if store.is_in_cluster() {
        return;
    }
    fs::write(store.path("store.db"), "text").unwrap();
    store.run("slot list").fails(STORE);
    store.password_file(0);
    store.domain("red");
    store
        .run("partition init -slot 0 -label a -domainkey red.pem --password-file 0=pw-0")
        .fails(STORE);
    assert_eq!(fs::read(store.path("store.db")).unwrap(), b"text");
}

/// "`object generate -type aes|generic`": "prints a line `Handle H` for each".
#[test]
fn object_generate() {
    let store = Store::empty();
    store.slot(0, "red");
    let mut made = Vec::new();
    for (line, count) in [
        ("-type aes -bits 128 -label a", 1),
        ("-type aes -bits 192 -label b", 1),
        ("-type aes -bits 256 -label c -id 0a0B", 1),
        ("-type aes -label d", 1),
        ("-type generic -bits 512 -label e", 1),
        ("-type generic -bits 160 -label f -count 4", 4),
    ] {
        let out = store.run_in(0, &format!("object generate {line}")).ok();
        let handles = handles(&out.stdout);
        assert_eq!(handles.len(), count, "{line}: {out:?}");
        assert!(
            out.stdout.ends_with("Command Result : No Error\n"),
            "{out:?}"
        );
        made.extend(handles);
    }
    assert_eq!(made, (1..=9).collect::<Vec<_>>());
    for (handle, words) in [(1, "16"), (2, "24"), (3, "32"), (5, "64"), (6, "20")] {
        let out = store
            .run_in(0, &format!("object show -handle {handle}"))
            .ok();
        let length = out
            .stdout
            .lines()
            .find(|line| line.contains("CKA_VALUE_LEN"));
        assert!(length.is_some_and(|line| line.contains(words)), "{out:?}");
    }
    let out = store.run_in(0, "object show -handle 3").ok();
    assert!(
        out.stdout.to_lowercase().contains("0a0b"),
        "the id: {out:?}"
    );
}

#[test]
fn object_generate_checks_its_arguments() {
    let store = Store::empty();
    store.slot(0, "red");
    for line in [
        "-type aes -bits 100 -label a",
        "-type aes -bits 0 -label a",
        "-type aes -bits 512 -label a",
        "-type generic -bits 0 -label a",
        "-type generic -bits 7 -label a",
        "-type generic -bits 99999999 -label a",
        "-type des -bits 64 -label a",
        "-type aes -bits 128 -label a -id xyz",
        "-type aes -bits 128 -label a -id 123",
        "-type aes -bits 128 -label a -count 0",
        "-type aes -bits 128 -label a -count -1",
        "-type aes -bits 128",
        "-bits 128 -label a",
    ] {
        let out = store.run_in(0, &format!("object generate {line}"));
        assert!([FAILED, USAGE].contains(&out.code), "{line}: {out:?}");
        assert!(!out.stderr.is_empty(), "{line}: {out:?}");
        assert!(handles(&out.stdout).is_empty(), "{line}: {out:?}");
    }
    let out = store.run_in(0, "partition contents").ok();
    assert!(!out.stdout.contains("secret key"), "{out:?}");
}

/// "object show": attributes, "never a secret value"; a handle that is not there.
#[test]
fn object_show() {
    let store = one_slot();
    let out = store.run_in(0, "object show -handle 1").ok();
    for attribute in [
        "class",
        "key type",
        "label",
        "CKA_VALUE_LEN",
        "CKA_SENSITIVE",
    ] {
        assert!(out.stdout.contains(attribute), "no {attribute}: {out:?}");
    }
    for handle in ["2", "4294967295"] {
        let out = store
            .run_in(0, &format!("object show -handle {handle}"))
            .fails(FAILED);
        assert!(out.stderr.contains(handle), "{out:?}");
        assert!(out.text().contains("CKR_OBJECT_HANDLE_INVALID"), "{out:?}");
    }
    for handle in ["0", "x", "-1", "4294967296"] {
        let out = store.run_in(0, &format!("object show -handle {handle}"));
        assert!([FAILED, USAGE].contains(&out.code), "{handle}: {out:?}");
    }
}

/// As in lunacm, a partition is made in the active slot where none is named; never in one that nobody named.
#[test]
fn init_in_the_active_slot() {
    let store = Store::empty();
    store.domain("red");
    store.password_file(4);
    let init = "partition init -label four -domainkey red.pem --password-file 4=pw-4";
    let out = store.run_without_terminal(init).fails(USAGE);
    assert!(out.stderr.contains("-slot"), "{out:?}");
    assert!(!store.is_made());
    let out = store.run(&format!("--active-slot 4 {init}")).ok();
    assert!(
        out.stdout.contains("Slot 4 is now partition 'four'"),
        "{out:?}"
    );
}
