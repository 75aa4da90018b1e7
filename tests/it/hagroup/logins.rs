//! Where passwords come from, and what a wrong one does.

use std::fs;

use super::*;

/// "members may have different passwords": those of options, by slot; -password is for all.
#[test]
fn passwords_come_from_options_files_and_credentials() {
    let sites = Sites::new(&[A, B, C]);
    let both = format!(
        "--password-file 0={} --password-file 1={}",
        file(A),
        file(B)
    );
    sites
        .ha(&format!("creategroup -label pay -slot 0 {both}"))
        .ok();
    sites
        .ha(&format!("addmember -group pay -slot 1 {both}"))
        .ok();
    sites.keys(A, &["a"]);
    // Nobody is asked, and nobody is logged in.
    let out = sites.sync("").fails(1);
    assert!(out.stdout.contains("it is logged out"), "{out:?}");
    assert!(out.stdout.contains("give -password"), "{out:?}");
    assert_eq!(sites.each("status"), ["logged out"; 2]);
    assert_eq!(sites.each("needs_sync"), [Value::Null, Value::Null]);
    sites.sync(&both).ok();
    assert_eq!(sites.labels(B), ["a"]);
    // The number of a slot says nothing about a slot of another store.
    let out = sites
        .on(
            "other.db",
            &format!(
                "hagroup addmember -group pay -slot 0 --password-file 0={}",
                file(C)
            ),
        )
        .fails(1);
    assert!(
        out.stderr
            .contains("no member could be asked whether it fits"),
        "{out:?}"
    );
    // Credentials by serial number, as a unit has them.
    let folder = sites.0.path("credentials");
    fs::create_dir(&folder).unwrap();
    for (place, serial) in [A, B].into_iter().zip(sites.each("serial")) {
        let to = folder.join(format!("serial-{serial}.password"));
        fs::copy(sites.0.path(file(place)), to).unwrap();
    }
    let mut command = sites.command(
        "other.db",
        &format!(
            "hagroup addmember -group pay -slot 0 -memberpasswordfile {}",
            file(C)
        ),
    );
    run(command.env("CREDENTIALS_DIRECTORY", &folder)).ok();
    let mut command = sites.command("other.db", "hagroup synchronize -group pay");
    run(command.env("CREDENTIALS_DIRECTORY", &folder)).ok();
    assert_eq!(sites.labels(C), ["a"]);
}

#[test]
fn one_password_for_all() {
    let sites = Sites::new(&[A, B]);
    for place in [A, B] {
        sites
            .in_slot(place, "role changepw -name co -newpw one-for-all")
            .ok();
    }
    sites
        .ha("creategroup -label pay -slot 0 -password one-for-all")
        .ok();
    sites
        .ha("addmember -group pay -slot 1 -password one-for-all")
        .ok();
    sites.sync("-password one-for-all").ok();
    let listed = sites
        .ha("listgroups -password one-for-all --json")
        .ok()
        .json();
    assert_eq!(listed["groups"][0]["needs_sync"], false);
    let out = sites.sync("-password wrong-for-all").fails(1);
    assert!(out.stdout.contains("wrong password for co"), "{out:?}");
}

/// Ten wrong passwords lock a role, and a timer would try one every hour.
#[test]
fn a_wrong_password_file_is_not_tried_again() {
    let sites = Sites::group(&[A, B, C]);
    sites.keys(A, &["a"]);
    let path = sites.0.path(file(B));
    let right = fs::read(&path).unwrap();
    write_private(&path, "wrong\n");
    let out = sites.sync("").fails(1);
    assert!(
        out.stdout
            .contains("wrong password for co, 9 attempts left"),
        "{out:?}"
    );
    for _ in 0..3 {
        let out = sites.sync("").fails(1);
        assert!(out.stdout.contains("and is not tried again"), "{out:?}");
        assert!(out.stderr.contains("hagroup recover"), "{out:?}");
        assert_eq!(sites.each("status"), ["alive", "logged out", "alive"]);
    }
    assert_eq!(sites.labels(C), ["a"]);
    let out = sites.ha("recover -group pay -slot 1").fails(1);
    assert!(out.stdout.contains("8 attempts left"), "{out:?}");
    fs::write(&path, right).unwrap();
    sites.sync("").fails(1);
    sites.ha("recover -group pay -slot 1").ok();
    assert_eq!(sites.labels(B), ["a"]);
    sites.sync("").ok();
}

/// A password on the command line is wrong once, whoever gave it.
#[test]
fn a_role_that_is_locked_takes_no_part() {
    let sites = Sites::group(&[A, B, C]);
    sites.keys(A, &["a"]);
    for _ in 0..10 {
        sites
            .on("store.db", "role login -name co -slot 1 -password nonsense")
            .code_is_not(0);
    }
    let out = sites.sync("").fails(1);
    assert!(
        out.stdout.contains("locked after too many wrong passwords"),
        "{out:?}"
    );
    assert_eq!(sites.labels(C), ["a"]);
}

/// The shell's logins are used, and stay.
#[test]
fn the_shell_keeps_what_it_has_open() {
    let sites = Sites::new(&[A, B]);
    sites.keys(A, &["a"]);
    let script = format!(
        "slot list\nhagroup creategroup -label pay -slot 0 -memberpasswordfile {a}\nhagroup addmember -group pay -slot 1 -memberpasswordfile {b}\nrole login -name co -slot 0 --password-file 0={a}\nhagroup synchronize -group pay\npartition contents -slot 0\npartition contents -slot 1\n",
        a = file(A),
        b = file(B)
    );
    let mut shell = sites.0.bare(&["--store", "store.db"]);
    let out = crate::fixture::run_with_input(&mut shell, script.as_bytes());
    // Slot 0 stays open. Slot 1 was opened for the command alone.
    assert!(out.stdout.contains("1 object copied"), "{out:?}");
    assert!(
        out.stderr.contains("slot 1: nobody is logged in"),
        "{out:?}"
    );
    assert!(!out.stderr.contains("slot 0"), "{out:?}");
}

/// Key shares of one member, and the password of another.
#[test]
fn a_quorum_slot_is_a_member() {
    let sites = Sites::new(&[A]);
    sites
        .on(
            "store.db",
            "partition init -slot 1 -label quorum -domainkey red.pem -quorum 2/3 -shares shares",
        )
        .ok();
    let shares = "--share-file 1=shares/share-1-of-3 --share-file 1=shares/share-3-of-3";
    sites.create(A).ok();
    let out = sites.ha("addmember -group pay -slot 1").fails(3);
    assert!(
        out.stderr.contains("key shares of co were given"),
        "{out:?}"
    );
    sites
        .ha(&format!("addmember -group pay -slot 1 {shares}"))
        .ok();
    sites.keys(A, &["a"]);
    let out = sites.sync(shares).ok();
    assert!(out.stdout.contains("1 object copied"), "{out:?}");
    // One share is not enough, and no password is.
    let out = sites
        .sync("--share-file 1=shares/share-1-of-3 -password nonsense")
        .fails(1);
    assert!(out.stdout.contains("1 of 2 key shares"), "{out:?}");
    let listed = sites.ha(&format!("listgroups --json {shares}")).ok().json();
    assert_eq!(listed["groups"][0]["needs_sync"], false);
}
