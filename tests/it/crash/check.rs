//! Looks at what a disk kept, with the real binary in a fresh folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;

use super::base::Base;
use crate::disk::Image;
use crate::fixture::{Store, contents, names};

pub type Blobs = BTreeMap<String, Vec<u8>>;

/// What both slots hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    pub zero: Blobs,
    pub one: Blobs,
    /// What is in slot 0's trash.
    pub trash: Vec<String>,
    /// Whether the changed role logs in to slot 0 with its new secret.
    pub new_secret: bool,
}

/// Opens the store, has it checked, reads every object, writes to it once more. Where the secret of a role in slot 0 was
/// `changed`, that role logs in with the new one or with the old one, and never with both; the other roles log in.
pub fn look(base: &Base, image: &Image, changed: Option<&str>, new_shares: &Blobs) -> Seen {
    let store = base.beside();
    for (name, bytes) in image {
        // The last owner of SQLite's shared memory is gone: it is empty at the latest when it is opened.
        write(&store, name, bytes);
    }
    if !new_shares.is_empty() {
        fs::create_dir(store.path("new")).unwrap();
    }
    for (name, bytes) in new_shares {
        write(&store, &format!("new/{name}"), bytes);
    }
    let login = |role: &str, with_new: bool| {
        let how = base.login(role, with_new);
        let out = store.run(&format!("role login -name {role} -slot 0 {how}"));
        if out.code != 0 {
            eprintln!("{role}: {out:?}");
        }
        out.code
    };
    let mut new_secret = false;
    if let Some(role) = changed {
        let (old, new) = (login(role, false), login(role, true));
        new_secret = new == 0;
        assert_eq!(
            (old, new),
            if new_secret { (3, 0) } else { (0, 3) },
            "exactly one secret of {role} opens slot 0"
        );
    }
    let has_new = |role| new_secret && changed.is_some_and(|it| base.is_shared(it, role));
    for role in base.roles().filter(|it| Some(*it) != changed) {
        assert_eq!(login(role, has_new(role)), 0, "{role} still logs in");
    }
    let both = format!("{} --password-file 1=pw-1", base.login("co", has_new("co")));
    assert_eq!(check(&store, &both), 0, "the store is clean");
    let words = format!("--login 0 --login 1 {both}");
    let words: Vec<&str> = words.split_whitespace().collect();
    let mount = store.start_at("mnt", &[], &words);
    let (zero, one) = (mount.point.join("0"), mount.point.join("1"));
    let seen = Seen {
        zero: contents(&zero),
        one: contents(&one),
        trash: names(&zero.join(".slotfs/trash")),
        new_secret,
    };
    // What is in the trash comes back whole.
    for name in &seen.trash {
        let back = || fs::rename(zero.join(".slotfs/trash").join(name), zero.join("3999999"));
        if let Err(error) = back() {
            // An earlier revision does not come back over the later one.
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            fs::remove_file(zero.join(name)).unwrap();
            back().unwrap();
        }
        fs::read(zero.join("3999999")).unwrap();
        fs::rename(zero.join("3999999"), zero.join(".slotfs/trash/3999999")).unwrap();
    }
    // It takes writes again.
    let full = match (seen.zero.is_empty(), seen.one.is_empty()) {
        (false, _) => &zero,
        (true, false) => &one,
        // All in the trash.
        (true, true) => return seen,
    };
    let first = names(full).remove(0);
    fs::rename(full.join(&first), full.join("4000000")).unwrap();
    assert!(names(full).contains(&"4000000".to_owned()));
    drop(mount);
    seen
}

fn write(store: &Store, name: &str, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600);
    let mut file = file.open(store.path(name)).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
}

/// The exit status of `store check` with both slots logged in. What it prints goes to the test's output.
fn check(store: &Store, logins: &str) -> i32 {
    let out = store.run(&format!("--json store check {logins}"));
    if out.code == 0 {
        let said = out.json();
        assert_eq!(said["clean"], true, "{said}");
        for slot in [0, 1] {
            let slot = &said["slots"][slot];
            assert_eq!(slot["opened"], slot["objects"], "{said}");
            assert!(slot["opened"].is_u64(), "{said}");
        }
    } else {
        eprintln!("{out:?}");
    }
    out.code
}
