//! What a word on the command line may be: an option, or an error, and never what nobody meant.

use std::fs;

use super::{USAGE, one_slot};
use crate::fixture::{Out, Store, password, run_with_input, write_private};

/// The line in words, for a command or for the shell.
fn in_the_shell(store: &Store, line: &str) -> Out {
    run_with_input(&mut store.command(&[]), format!("{line}\n").as_bytes())
}

/// What `slot list` and the slot's contents say.
fn everything(store: &Store) -> String {
    let list = store.run("slot list --json").ok().stdout;
    list + &store.run_in(0, "partition contents").ok().stdout
}

/// "`partition init … -defaultdomain`", "`-domainfile=red.pem -force`", "`object delete -handl=1`": an error that
/// suggests the near one, and nothing is changed.
#[test]
fn an_unknown_word_with_a_dash_does_nothing() {
    let store = one_slot();
    store.password_file(0);
    let before = everything(&store);
    let init = "partition init -slot 0 -label new --password-file 0=pw-0 -force";
    for (line, hint) in [
        (&*format!("{init} -defaultdomain"), "'-domain'"),
        (&format!("{init} -domainfile=red.pem"), "'-domainkey'"),
        (
            &format!("{init} -domain=x -passwordfile=pw-0"),
            "'-password-file'",
        ),
        (
            &format!("{init} -domainkey red.pem -psecret-enough"),
            "-p VALUE",
        ),
        (
            &format!("{init} -domainkey red.pem -p=secret-enough"),
            "-p VALUE",
        ),
        (&format!("{init} -domain -force"), "'-domain=VALUE'"),
        (&format!("{init} -domain"), "-domain"),
        (&format!("{init} -dom red"), "'-domain'"),
        (
            &format!("{init} --domainkey=red.pem --version=-1"),
            "--version",
        ),
        ("object delete -handl=1", "'-handle'"),
        ("object delete -handle 1 -destory -force", "'-destroy'"),
        ("object delete -handle 1 -forc", "'-force'"),
        ("object delete -handle 1 -ff", "-force"),
        ("partition clear -fslot 0", "-slot"),
        ("partition delete -s0 -f", "-s VALUE"),
        ("umount mnt -hsm", "-help"),
        ("mount mnt -oro", "-o VALUE"),
        ("role changepw -name co -newpw -oldpw", "'-newpw=VALUE'"),
    ] {
        for out in [store.run(line), in_the_shell(&store, line)] {
            let out = out.fails(USAGE);
            assert!(out.stderr.contains(hint), "{line}: {hint}: {out:?}");
            assert_eq!(out.stdout, "", "{line}: {out:?}");
        }
    }
    assert_eq!(everything(&store), before);
}

/// "Long options, nouns, verbs and role names are matched without regard to case, as lunacm does."
#[test]
fn any_case() {
    let store = one_slot();
    let plain = store.run("partition showinfo -slot 0").ok().stdout;
    for line in [
        "Partition ShowInfo -Slot 0",
        "PARTITION SHOWINFO --SLOT=0",
        "par showi -S 0",
        "PAR ShowI -s 0",
    ] {
        assert_eq!(store.run(line).ok().stdout, plain, "{line}");
        assert_eq!(in_the_shell(&store, line).ok().stdout, plain, "{line}");
    }
    for line in [
        "role login -name CO -slot 0 --Password-File 0:Co=pw-0",
        "ROLE LOGIN -NAME Co -SLOT 0 -PASSWORD-FILE 0=pw-0",
        "object generate -type AES -label k -slot 0 -password-file 0=pw-0",
        "object generate -Type Ec -Curve P384 -Label k -slot 0 -password-file 0=pw-0",
        "object export -handle 3 -form DER -file out.der -slot 0 -password-file 0=pw-0",
    ] {
        store.run(line).ok();
    }
    let out = store.run("HELP Partition INIT").ok();
    assert!(out.stdout.contains("-label, --label"), "{out:?}");
}

/// "A separate value that begins with a dash is an error (`-` alone is not; `-password=-x` works)".
#[test]
fn values_that_begin_with_a_dash() {
    let store = one_slot();
    store
        .run_in(0, "object generate -type aes -label -json")
        .fails(USAGE);
    store
        .run_in(0, "object generate -type aes -label --")
        .fails(USAGE);
    store
        .run_in(0, "object generate -type aes -label=-json")
        .ok();
    let out = store.run_in(0, "object show -handle 2 --json").ok().json();
    assert_eq!(out["object"]["label"], "-json");
    fs::write(store.path("-data"), "bytes").unwrap();
    store
        .run_in(0, "object import -type data -file=-data -label -")
        .ok();
    store
        .run_in(0, "object import -type data -file -data -label x")
        .fails(USAGE);
    store.run("domain newkey -- -key.pem").ok();
    assert!(store.path("-key.pem").exists());
    // The mount's own command line holds what was given.
    let line = "role changepw -name co -slot 0 -newpw=-dashed-password --password-file 0=pw-0";
    store.run(line).ok();
    store
        .run("role login -name co -slot 0 -password=-dashed-password")
        .ok();
    for line in [
        "role login -name co -slot 0 -password -dashed-password",
        "role login -name co -slot 0 -password -force",
    ] {
        let out = store.run(line).fails(USAGE);
        assert!(!out.text().contains("dashed"), "{out:?}");
    }
}

/// "No error repeats what may be a value."
#[test]
fn errors_do_not_repeat_values() {
    let store = one_slot();
    for line in [
        "role login -name co -ps3cret",
        "role login -name co -p=s3cret",
        "role login -name co -passwords3cret",
        "role login -name co -password s3cret s3cret",
        "role login -name co -pasword=s3cret",
        "role login -name co --pasword=s3cret",
        "role login -name co -password -s3cret",
        "role login -name s3cret",
        "role login -slot s3cret -name co",
        "role login -s3cret",
        "role login --s3cret=x",
        "role s3cret",
        "s3cret",
        "-s3cret",
        "slot list s3cret",
        "slot list --json=s3cret",
        "help s3cret",
        "object generate -type s3cret -label x",
        "object show -handle s3cret",
        "partition contents --password-file s3cret",
        "mount mnt --login s3cret",
        "--idle s3cret",
    ] {
        for more in ["", " --json"] {
            let line = format!("{line}{more}");
            let out = store.run_without_terminal(&line).fails(USAGE);
            assert!(!out.text().contains("s3cret"), "{line}: {out:?}");
            if !line.starts_with("--idle") {
                let out = in_the_shell(&store, &line).fails(USAGE);
                assert!(!out.text().contains("s3cret"), "{line}: {out:?}");
            }
        }
    }
}

/// "own options first, lunacm spelling beside the long one, globals in a section of their own, none that does nothing".
#[test]
fn help_lists_what_there_is() {
    let store = one_slot();
    let out = store.run("partition clone --help").ok().stdout;
    let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("{text}: {out}"));
    assert!(at("-o, -objects, --objects <HANDLES>") < at("Global options:"));
    assert!(at("Global options:") < at("-password-file, --password-file"));
    let usage =
        "Usage: slotfs partition clone [OPTIONS] --objects <HANDLES> --slot <SLOT_NUMBER>\n";
    assert!(out.contains(usage), "{out}");
    for (asked, same) in [("help --help", "--help"), ("help umount -h", "umount -h")] {
        assert_eq!(store.run(asked).ok().stdout, store.run(same).ok().stdout);
    }
    let out = store.run("umount --help").ok().stdout;
    for needless in ["password-file", "share-file", "active-slot", "--store"] {
        assert!(!out.contains(needless), "{needless}: {out}");
    }
    let out = store.run("umount mnt --password-file 0=pw-0").fails(USAGE);
    assert!(out.stderr.contains("does nothing"), "{out:?}");
    // What the environment gave is not asked for.
    for line in ["umount", "object show", "partition init -nonsense"] {
        let args: Vec<&str> = line.split(' ').collect();
        let out = crate::fixture::run(store.bare(&args).env("SLOTFS_STORE", "store.db"));
        let out = out.fails(USAGE);
        assert!(!out.stderr.contains("--store"), "{line}: {out:?}");
    }
}

/// A warning is a line of words.
#[test]
fn warnings_are_words() {
    let store = Store::empty();
    write_private(&store.path("pw"), &password(0));
    let line = "partition init -slot 0 -label a -domain weak --password-file 0=pw -force";
    let out = store.run(line).ok();
    let warning = out
        .stderr
        .lines()
        .find(|line| line.starts_with("warning: "));
    assert!(warning.is_some_and(|line| line.contains("bits")), "{out:?}");
    assert!(
        !out.stderr.contains("WARN") && !out.stderr.contains("["),
        "{out:?}"
    );
    let mut command = store.command(&line.split(' ').collect::<Vec<_>>());
    let out = crate::fixture::run(command.env("SLOTFS_LOG", "debug")).ok();
    assert!(out.stderr.contains("warning: "), "{out:?}");
}

/// A file with a secret that no login uses is refused, and the error says what to do instead.
#[test]
fn secrets_that_no_login_uses_are_refused() {
    let store = one_slot();
    let before = everything(&store);
    for (line, instead) in [
        ("slot list", "omit it"),
        ("partition showinfo -slot 0", "omit it"),
        ("role list -slot 0", "omit it"),
        ("store backup copy.db", "omit it"),
        ("mount .", "--login 0:co"),
    ] {
        let out = store
            .run(&format!("{line} --password-file 0=pw-0"))
            .fails(USAGE);
        assert!(out.stderr.contains(instead), "{line}: {out:?}");
    }
    assert_eq!(everything(&store), before);
}

/// An attribute that is not understood is told by its place, for it may be a part of a value.
#[test]
fn attributes_do_not_repeat_values() {
    let store = one_slot();
    for (wrong, says) in [
        ("s3cret", "attribute 1 is not of the form NAME=VALUE"),
        ("application=a,s3cret", "attribute 2 is not of the form"),
        ("application=a,s3cret=b", "attribute 2 is not of the form"),
        ("sign=s3cret", "CKA_SIGN takes"),
        ("start_date=s3cret", "CKA_START_DATE takes"),
        ("subject=s3cret", "CKA_SUBJECT takes"),
        ("local=s3cret", "CKA_LOCAL cannot be chosen"),
    ] {
        for command in ["generate -type aes -label k", "set -handle 1"] {
            let line = format!("object {command} -attribute {wrong}");
            let out = store.run_in(0, &line).code_is_not(0);
            let never =
                command.starts_with("set") && out.stderr.contains("CKA_LOCAL never changes");
            assert!(out.stderr.contains(says) || never, "{line}: {out:?}");
            assert!(!out.text().contains("s3cret"), "{line}: {out:?}");
        }
    }
}
