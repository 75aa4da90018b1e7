//! Where passwords come from, and what a wrong one does.

use std::fs;

use super::*;

/// "members may have different passwords": those of options, by slot.
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
    // It is the new member's; the first one has a file for this command.
    write_private(&sites.0.path("one"), "one-for-all\n");
    sites
        .ha("addmember -group pay -slot 1 -password one-for-all --password-file 0=one")
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
    // A file that was changed is tried again.
    fs::write(&path, right).unwrap();
    sites.sync("").ok();
    assert_eq!(sites.labels(B), ["a"]);
}

/// How many attempts a member has left is what a wrong password says.
fn attempts_left(sites: &Sites, (store, slot): Place) -> String {
    let out = sites
        .on(
            store,
            &format!("role login -name co -slot {slot} -password nonsense"),
        )
        .code_is_not(0);
    let (_, left) = out.stderr.split_once("wrong password for co, ").unwrap();
    left.split_once(" attempts").unwrap().0.to_owned()
}

/// `-password` of a new member is no password of those that are there.
#[test]
fn the_password_of_a_new_member_is_not_tried_on_others() {
    let sites = Sites::new(&[A, B, C]);
    sites.create(A).ok();
    // B has no file, so it could be logged in to with nothing but the option.
    let password = fs::read_to_string(sites.0.path(file(B))).unwrap();
    let password = password.trim();
    let add = |store: &str, slot: u32, password: &str| {
        let mut command =
            sites.command(store, &format!("hagroup addmember -group pay -slot {slot}"));
        run(command.args(["-password", password]))
    };
    add("store.db", 1, password).ok();
    let other = fs::read_to_string(sites.0.path(file(C))).unwrap();
    add("other.db", 0, other.trim()).ok();
    assert_eq!(attempts_left(&sites, A), "9");
    assert_eq!(attempts_left(&sites, B), "9");
}

/// A member's own file comes before `-password`, and one that is wrong for a member is not tried on the next.
#[test]
fn a_password_for_all_is_wrong_once() {
    let sites = Sites::new(&[A, B, C]);
    sites.create(A).ok();
    for (store, slot) in [B, C] {
        let password = fs::read_to_string(sites.0.path(file((store, slot)))).unwrap();
        let mut command =
            sites.command(store, &format!("hagroup addmember -group pay -slot {slot}"));
        run(command.args(["-password", password.trim()])).ok();
    }
    let out = sites.sync("-password wrong").fails(1);
    assert_eq!(
        out.stdout.matches("wrong password for co").count(),
        1,
        "{out:?}"
    );
    assert!(
        out.stdout
            .contains("-password was wrong for another member, and is not tried on this one"),
        "{out:?}"
    );
    assert_eq!(attempts_left(&sites, A), "9");
    assert_eq!(attempts_left(&sites, C), "9");
    assert_eq!(attempts_left(&sites, B), "8");
}

/// What was mistyped for one command says nothing about the password that a timer reads.
#[test]
fn a_wrong_file_of_an_option_disables_nothing() {
    let sites = Sites::group(&[A, B]);
    sites.keys(A, &["a"]);
    write_private(&sites.0.path("typo"), "wrong\n");
    let out = sites.sync("--password-file 1=typo").fails(1);
    assert!(
        out.stdout
            .contains("wrong password for co, 9 attempts left"),
        "{out:?}"
    );
    sites.sync("").ok();
    assert_eq!(sites.labels(B), ["a"]);
    // And an option is tried where the file was wrong before.
    write_private(&sites.0.path(file(B)), "wrong\n");
    sites.sync("").fails(1);
    let out = sites.sync("").fails(1);
    assert!(out.stdout.contains("and is not tried again"), "{out:?}");
    write_private(
        &sites.0.path("right"),
        &format!("correct horse {}\n", file(B)),
    );
    sites.sync("--password-file 1=right").ok();
    // The file is as wrong as before.
    let out = sites.sync("").fails(1);
    assert!(out.stdout.contains("and is not tried again"), "{out:?}");
}

/// A store that cannot be used is down: no password would help.
#[test]
fn a_store_that_is_damaged_is_down() {
    let sites = Sites::group(&[A, C]);
    let connection = rusqlite::Connection::open(sites.0.path(C.0)).unwrap();
    connection
        .execute("UPDATE credentials SET salt = x''", [])
        .unwrap();
    drop(connection);
    let statuses = sites.each("status");
    assert_eq!(statuses, ["alive", "down"]);
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
    let mut shell = sites.0.bare(&["--store", &sites.location("store.db")]);
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
