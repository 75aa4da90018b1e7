//! Quorum slots: key shares written, presented, refused one by one, forgotten, issued again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::{FAILED, LOGIN, USAGE, aes, init, login, mount, run_in, shares};
use crate::fixture::{Mount, Out, Store, assert_errno, names, wait_for};
use crate::terminal::Terminal;

/// Slot 0, two of three, with two keys.
fn store() -> Store {
    let store = Store::empty();
    init(&store, 0, Some("2/3"), 0);
    aes(&store, 0, 2);
    store
}

fn log_in(store: &Store, place: &str, folder: &str, of: usize, which: &[usize]) -> Out {
    let role = place.split_once(':').map_or("co", |(_, role)| role);
    let options = shares(place, folder, of, which);
    store.run_without_terminal(&format!("role login -name {role} -slot 0 {options}"))
}

#[test]
fn shares_are_files_for_their_holders() {
    let store = store();
    let folder = store.path("shares-0");
    assert_eq!(
        names(&folder),
        ["share-1-of-3", "share-2-of-3", "share-3-of-3"]
    );
    let mut texts = Vec::new();
    for name in names(&folder) {
        let path = folder.join(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        texts.push(fs::read_to_string(path).unwrap());
    }
    assert!(
        texts
            .iter()
            .all(|text| text.starts_with("slotfs key share 1\nserial: "))
    );
    assert!(texts[0] != texts[1] && texts[1] != texts[2]);
    let info = store.run("partition showinfo -slot 0").ok();
    assert!(
        info.stdout.contains("quorum, 2 of 3 key shares"),
        "{info:?}"
    );
    let list = store.run("slot list --json").ok().json();
    assert_eq!(list["slots"][0]["kind"], "quorum");

    // Shares that are there are never written over, and then nothing else happens either.
    let again =
        "partition init -slot 0 -label anew -domainkey red.pem -quorum 2/3 -shares shares-0 -force";
    let out = store.run(again).fails(FAILED);
    assert!(out.stderr.contains("share-1-of-3"), "{out:?}");
    log_in(&store, "0", "shares-0", 3, &[1, 2]).ok();
    for (line, code, words) in [
        ("-quorum 1/3 -shares x", USAGE, "2 <= M <= N <= 16"),
        ("-quorum 4/3 -shares x", USAGE, "2 <= M <= N <= 16"),
        ("-quorum 2/17 -shares x", USAGE, "2 <= M <= N <= 16"),
        ("-quorum 2/3", USAGE, "--shares"),
        ("-shares x", USAGE, "--quorum"),
        (
            "-quorum 2/3 -shares x -password correct-horse",
            LOGIN,
            "-password does not apply",
        ),
        (
            "-quorum 2/3 -shares x --password-file 5=red.pem",
            LOGIN,
            "-password does not apply",
        ),
        ("-quorum 2/3 -shares none/x", FAILED, "none/x"),
    ] {
        let out = store
            .run_without_terminal(&format!(
                "partition init -slot 5 -label five -domainkey red.pem {line}"
            ))
            .fails(code);
        assert!(out.stderr.contains(words), "{line}: {out:?}");
        assert!(!store.path("x").exists(), "{line}");
    }
    store.run("partition showinfo -slot 5").fails(FAILED);
}

#[test]
fn any_two_in_any_order_by_option() {
    let store = store();
    for first in 1..=3 {
        for second in 1..=3 {
            let out = log_in(&store, "0", "shares-0", 3, &[first, second]);
            let out = match first == second {
                false => out.ok(),
                true => out.fails(LOGIN),
            };
            assert_eq!(out.stderr.contains("it was given already"), first == second);
        }
    }
    log_in(&store, "0:po", "shares-0", 3, &[3, 1]).ok();
    let out = log_in(&store, "0", "shares-0", 3, &[2]).fails(LOGIN);
    assert!(
        out.stderr.contains("1 of 2 key shares of co were given"),
        "{out:?}"
    );
    // One too many harms nobody.
    log_in(&store, "0", "shares-0", 3, &[1, 2, 3]).ok();
}

#[test]
fn each_bad_share_is_named_and_the_others_count() {
    let store = store();
    init(&store, 1, Some("2/3"), 0);
    let good = fs::read_to_string(store.path("shares-0/share-1-of-3")).unwrap();
    let at = good.find("share: ").unwrap() + 7;
    let mistyped = match &good[at..=at] {
        "0" => good.replacen("share: 0", "share: 1", 1),
        other => good.replacen(&format!("share: {other}"), "share: 0", 1),
    };
    fs::write(store.path("mistyped"), mistyped).unwrap();
    fs::write(
        store.path("typed"),
        good.replace('\n', "\r\n")
            .to_uppercase()
            .replace("SLOTFS KEY SHARE", "slotfs key share")
            .replace("SERIAL", "serial")
            .replace("SET:", "set:")
            .replace("QUORUM", "quorum")
            .replace("INDEX", "index")
            .replace("SHARE:", "share:")
            .replace("CHECKSUM", "checksum"),
    )
    .unwrap();
    let files = [
        ("none", "none: No such file"),
        (
            "red.pem",
            "red.pem was refused as a key share of co: it is not a key share",
        ),
        (
            "mistyped",
            "mistyped was refused as a key share of co: its checksum does not match",
        ),
        (
            "shares-1/share-1-of-3",
            "shares-1/share-1-of-3 (share 1 of 3) was refused as a key share of co: it belongs to another partition",
        ),
        ("typed", ""),
        (
            "shares-0/share-1-of-3",
            "shares-0/share-1-of-3 (share 1 of 3) was refused as a key share of co: it was given already",
        ),
        ("shares-0/share-3-of-3", ""),
    ];
    let options: Vec<String> = files
        .iter()
        .map(|(file, _)| format!("--share-file 0={file}"))
        .collect();
    let out = store
        .run(&format!("partition contents -slot 0 {}", options.join(" ")))
        .ok();
    for (file, words) in files {
        assert!(out.stderr.contains(words), "{file}: {out:?}");
    }
    assert_eq!(out.stderr.matches("was refused").count(), 4, "{out:?}");
    // And none of it was counted: nobody is locked out.
    let roles = store.run("role list -slot 0 --json").ok().json();
    assert!(
        roles["roles"]
            .as_array()
            .unwrap()
            .iter()
            .all(|role| role["failed_logins"] == 0)
    );
}

#[test]
fn a_password_does_not_apply_and_says_so() {
    let store = store();
    store.slot(1, "red");
    crate::fixture::write_private(&store.path("pw"), "correct horse\n");
    let quorum = shares("0", "shares-0", 3, &[1, 2]);
    for line in [
        "role login -name co -slot 0 -password correct-horse".to_owned(),
        "role login -name co -slot 0 --password-file 0=pw".to_owned(),
        "partition contents -slot 0 --password-file 0=pw".to_owned(),
        format!("role changepw -name co -slot 0 -newpw another-horse {quorum}"),
        "role changepw -name co -slot 0 -oldpw correct-horse -shares x".to_owned(),
        format!("role init -name cu -slot 0 -password another-horse {quorum}"),
        "--active-slot 1 partition clone -objects all -slot 0 -password correct-horse --password-file 1=pw-1".to_owned(),
        "mount mnt --login 0 --password-file 0=pw".to_owned(),
    ] {
        let out = store.run_without_terminal(&line).fails(LOGIN);
        let said = format!("{}{}", out.stderr, if line.starts_with("mount") { store.logged() } else { String::new() });
        assert!(said.contains("slot 0: a quorum slot takes key shares; -password does not apply"), "{line}: {out:?}");
    }
    // And the other way.
    let out = store
        .run_without_terminal("partition contents -slot 1 --share-file 1=shares-0/share-1-of-3")
        .fails(LOGIN);
    assert!(out.stderr.contains("key shares do not apply"), "{out:?}");
    let out = store
        .run_without_terminal("role changepw -name co -slot 1 -shares x --password-file 1=pw-1")
        .fails(LOGIN);
    assert!(out.stderr.contains("key shares do not apply"), "{out:?}");
    // Nobody to ask, and no share on file.
    let out = store
        .run_without_terminal("partition contents -slot 0")
        .fails(LOGIN);
    assert!(out.stderr.contains("0 of 2 key shares"), "{out:?}");
}

/// One file name after another, what is refused asked for again.
#[test]
fn the_prompt_asks_for_one_file_after_another() {
    let store = store();
    store.slot(1, "red");
    let mut terminal = Terminal::spawn(store.command(&["partition", "contents", "-slot", "0"]));
    terminal.expect("key share of co of slot 0 (1 of 2): ");
    terminal.send_line("shares-0/share-2-of-3");
    terminal.expect("key share of co of slot 0 (2 of 2): ");
    terminal.send_line("shares-0/share-2-of-3");
    terminal.expect("it was given already");
    terminal.expect("key share of co of slot 0 (2 of 2): ");
    terminal.send_line("shares-0/share-1-of-3");
    terminal.expect("No Error");
    assert_eq!(terminal.wait().0, 0);

    // A clone's target: no word of a password.
    let line = "--active-slot 1 partition clone -objects all -slot 0 --password-file 1=pw-1";
    let words: Vec<&str> = line.split(' ').collect();
    let mut terminal = Terminal::spawn(store.command(&words));
    let before = terminal.expect("key share of co of slot 0 (1 of 2): ");
    assert!(!before.contains("password"), "{before:?}");
    terminal.send_line("");
    terminal.expect("0 of 2 key shares");
    assert_eq!(terminal.wait().0, LOGIN);
}

/// "Domain key files for them are the rule, strings allowed."
#[test]
fn its_domain_is_a_key_file_as_a_rule() {
    let store = Store::empty();
    store.domain("red");
    let line = "partition init -slot 0 -label zero -quorum 2/2 -shares shares-0";
    let words: Vec<&str> = line.split(' ').collect();
    let mut terminal = Terminal::spawn(store.command(&words));
    terminal.expect("Enter the domain key file of slot 0: ");
    terminal.send_line("red.pem");
    terminal.expect("No Error");
    assert_eq!(terminal.wait().0, 0);
    let string = "a domain string of the tests, 4711";
    let line = "partition init -slot 1 -label one -quorum 2/2 -shares shares-1 -domain";
    let words: Vec<&str> = line.split(' ').chain([string]).collect();
    store.args(&words).ok();
    for (slot, kind) in [(0, "key file"), (1, "string")] {
        let login = shares(&slot.to_string(), &format!("shares-{slot}"), 2, &[1, 2]);
        let list = store.run(&format!("partition domainlist -slot {slot} --json {login}"));
        assert_eq!(list.ok().json()["domains"][0]["kind"], kind);
    }
}

fn present(mount: &Mount, store: &Store, share: &str) -> std::io::Result<()> {
    fs::write(
        mount.point.join("0/.slotfs/login"),
        fs::read(store.path(share))?,
    )
}

fn status(mount: &Mount) -> String {
    fs::read_to_string(mount.point.join("0/.slotfs/status")).unwrap()
}

#[test]
fn shares_are_written_to_the_login_file_one_by_one() {
    let store = store();
    init(&store, 1, Some("2/3"), 0);
    let mount = mount(&store, &[]);
    mount.announce("was refused as a key share");
    mount.announce("-password does not apply");
    present(&mount, &store, "shares-0/share-3-of-3").unwrap();
    assert!(status(&mount).contains("state: locked\n"));
    assert!(status(&mount).contains("key shares: co 1 of 2\n"));
    assert_errno!(fs::read_dir(mount.point.join("0")), ENOKEY);
    assert_errno!(present(&mount, &store, "shares-0/share-3-of-3"), EALREADY);
    assert_errno!(
        present(&mount, &store, "shares-1/share-1-of-3"),
        EKEYREJECTED
    );
    assert_errno!(present(&mount, &store, "red.pem"), EKEYREJECTED);
    mount.logged("a quorum slot takes key shares; -password does not apply");
    assert!(status(&mount).contains("key shares: co 1 of 2\n"));
    mount.logged("it belongs to another partition");
    present(&mount, &store, "shares-0/share-2-of-3").unwrap();
    assert!(status(&mount).contains("state: logged in as co\n"));
    assert!(!status(&mount).contains("key shares"));
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    // Logged out, with one share waiting: that is forgotten as well.
    present(&mount, &store, "shares-0/share-1-of-3").unwrap();
    fs::write(mount.point.join("0/.slotfs/logout"), "x").unwrap();
    assert!(!status(&mount).contains("key shares"));
    present(&mount, &store, "shares-0/share-2-of-3").unwrap();
    assert!(status(&mount).contains("state: locked\n"));
    // However it was typed.
    let typed = [
        b"\n  ",
        fs::read(store.path("shares-0/share-1-of-3"))
            .unwrap()
            .as_slice(),
    ]
    .concat();
    fs::write(mount.point.join("0/.slotfs/login"), typed).unwrap();
    assert!(status(&mount).contains("state: logged in as co\n"));
    fs::write(mount.point.join("0/.slotfs/logout"), "x").unwrap();
    present(&mount, &store, "shares-0/share-2-of-3").unwrap();
    // Issued again by another process: what waits is of no use.
    let old = shares("0", "shares-0", 3, &[1, 2]);
    store
        .run(&format!("role changepw -name co -slot 0 -shares new {old}"))
        .ok();
    present(&mount, &store, "new/share-1-of-3").unwrap();
    assert!(status(&mount).contains("key shares: co 1 of 2\n"));
    present(&mount, &store, "new/share-2-of-3").unwrap();
    assert!(status(&mount).contains("state: logged in as co\n"));
}

#[test]
fn a_partial_set_is_forgotten() {
    let store = store();
    let mount = store.start_at("mnt", &[], &["-o", "share_timeout=1"]);
    mount.announce("waited too long");
    present(&mount, &store, "shares-0/share-3-of-3").unwrap();
    wait_for(|| (!status(&mount).contains("key shares")).then_some(())).unwrap();
    mount.logged("1 key shares for co waited too long and are forgotten");
    present(&mount, &store, "shares-0/share-2-of-3").unwrap();
    assert!(status(&mount).contains("state: locked\n"));
}

/// New shares are for all who had the old ones, and those open nothing here any more, also with the rows put back.
#[test]
fn shares_that_were_issued_again_are_useless() {
    let store = store();
    fs::copy(store.path("store.db"), store.path("copy.db")).unwrap();
    let old = shares("0", "shares-0", 3, &[1, 2]);
    let out = store
        .run(&format!(
            "role changepw -name co -slot 0 -quorum 3/4 -shares new {old}"
        ))
        .ok();
    assert!(
        out.stdout
            .contains("New key shares of po and co were issued."),
        "{out:?}"
    );
    for role in ["0", "0:po"] {
        let out = log_in(&store, role, "shares-0", 3, &[1, 2]).fails(LOGIN);
        assert!(
            out.stderr.contains("it belongs to another set of shares"),
            "{out:?}"
        );
        log_in(&store, role, "new", 4, &[4, 2, 1]).ok();
        log_in(&store, role, "new", 4, &[4, 2]).fails(LOGIN);
    }
    let new = shares("0", "new", 4, &[1, 2, 3]);
    let contents = store.run(&format!("partition contents -slot 0 {new} --json"));
    assert_eq!(contents.ok().json()["objects"].as_array().unwrap().len(), 2);
    store.run(&format!("store check {new}")).ok();
    // A copy of the store from before is another store: the old shares open it, as the page says.
    let mut command = store.bare(&["--store", "copy.db", "partition", "contents", "-slot", "0"]);
    command.args(old.split(' '));
    crate::fixture::run(&mut command).ok();
    // The credentials of then, put back into the store of now.
    Connection::open(store.path("store.db"))
        .unwrap()
        .execute_batch(
            "ATTACH 'copy.db' AS old;
             DELETE FROM quorums; DELETE FROM credentials; DELETE FROM pairs;
             INSERT INTO pairs SELECT * FROM old.pairs; INSERT INTO credentials SELECT * FROM old.credentials;
             INSERT INTO quorums SELECT * FROM old.quorums;"
                .replace("copy.db", store.path("copy.db").to_str().unwrap())
                .as_str(),
        )
        .unwrap();
    let out = log_in(&store, "0", "shares-0", 3, &[1, 2]).fails(4);
    assert!(out.stderr.contains("damaged"), "{out:?}");
}

#[test]
fn roles_with_shares_of_their_own() {
    let store = store();
    let all = login(&store, 0);
    let po = shares("0:po", "shares-0", 3, &[2, 3]);
    store
        .run(&format!(
            "role init -name cu -slot 0 -quorum 2/2 -shares cu {all}"
        ))
        .ok();
    log_in(&store, "0:cu", "cu", 2, &[2, 1]).ok();
    // cu has others, and gets the slot's new key too.
    let out = store
        .run(&format!("role changepw -name co -slot 0 -shares new {all}"))
        .ok();
    assert!(out.stdout.contains("Slot 0 has a new key"), "{out:?}");
    log_in(&store, "0:cu", "cu", 2, &[2, 1]).ok();
    log_in(&store, "0:po", "shares-0", 3, &[2, 3]).fails(LOGIN);
    let po_now = po.replace("shares-0", "new");
    let reset = format!("role resetpw -name co -slot 0 -shares newest {po_now}");
    store.run_without_terminal(&reset).ok();
    log_in(&store, "0:cu", "cu", 2, &[2, 1]).ok();
    log_in(&store, "0", "newest", 3, &[1, 3]).ok();
    log_in(&store, "0:po", "new", 3, &[1, 3]).ok();
    log_in(&store, "0", "new", 3, &[1, 3]).fails(LOGIN);
    log_in(&store, "0:cu", "cu", 2, &[1, 2]).ok();
}

/// What stands in clear of a set is bound to the credential: changed, nobody gets in, and nobody is let in for less.
#[test]
fn a_changed_set_opens_nothing() {
    let store = Store::empty();
    init(&store, 0, Some("3/4"), 0);
    let pristine = fs::read(store.path("store.db")).unwrap();
    for (change, code) in [
        ("UPDATE quorums SET m = 2", LOGIN),
        ("UPDATE quorums SET share_set = zeroblob(16)", LOGIN),
        ("UPDATE quorums SET shares = zeroblob(32 * n)", LOGIN),
        (
            "UPDATE quorums SET n = 3, shares = substr(shares, 1, 96)",
            LOGIN,
        ),
        // The kind and the credential contradict each other: damage, and no wrong secret.
        ("DELETE FROM quorums", 4),
        ("UPDATE credentials SET commitment = zeroblob(32)", 4),
        (
            "UPDATE credentials SET wrapped = zeroblob(length(wrapped))",
            4,
        ),
        ("UPDATE credentials SET salt = zeroblob(16)", 4),
        ("UPDATE slots SET kind = 1", 4),
        ("UPDATE slots SET kind = 3", 4),
    ] {
        fs::write(store.path("store.db"), &pristine).unwrap();
        for left in ["store.db-wal", "store.db-shm"] {
            let _ = fs::remove_file(store.path(left));
        }
        let connection = Connection::open(store.path("store.db")).unwrap();
        connection.execute_batch(change).unwrap();
        drop(connection);
        let out = log_in(&store, "0", "shares-0", 4, &[1, 2, 3]);
        assert_eq!(out.code, code, "{change}: {out:?}");
        log_in(&store, "0", "shares-0", 4, &[1, 2]).code_is_not(0);
    }
    fs::write(store.path("store.db"), &pristine).unwrap();
    log_in(&store, "0", "shares-0", 4, &[1, 2, 3]).ok();
}

/// No share, and not what they make, is in the store, the log or a listing.
#[test]
fn shares_are_nowhere_but_in_their_files() {
    let store = store();
    let mount = mount(&store, &[]);
    let mut outputs = Vec::new();
    for share in ["shares-0/share-3-of-3", "shares-0/share-1-of-3"] {
        present(&mount, &store, share).unwrap();
        outputs.push(status(&mount).into_bytes());
    }
    outputs.push(mount.log().into_bytes());
    drop(mount);
    let out = run_in(&store, 0, "store check");
    outputs.push(out.text().into_bytes());
    outputs.push(fs::read(store.path("store.db")).unwrap());
    for index in 1..=3 {
        let text = fs::read_to_string(store.path(format!("shares-0/share-{index}-of-3"))).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("share: "))
            .unwrap();
        let hex: String = line["share: ".len()..].split(' ').collect();
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        for output in &outputs {
            for secret in [bytes.as_slice(), hex.as_bytes(), &hex.as_bytes()[..16]] {
                assert!(
                    !output.windows(secret.len()).any(|at| at == secret),
                    "share {index}"
                );
            }
        }
    }
}
