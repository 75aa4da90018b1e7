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
    /// Whether slot 0 was opened by the file `new`.
    pub new_password: bool,
}

/// Opens the store, has it checked, reads every object, writes to it once more. Where `may_have_new`, slot 0
/// opens by the password in `new` or by the old one, and never by both.
pub fn look(base: &Base, image: &Image, may_have_new: bool) -> Seen {
    let store = base.beside();
    for (name, bytes) in image {
        // The last owner of SQLite's shared memory is gone: it is empty at the latest when it is opened.
        let mut file = fs::OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o600);
        let mut file = file.open(store.path(name)).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    }
    let mut new_password = false;
    if may_have_new {
        let old = check(&store);
        new_password = old == 3;
        fs::copy(store.path("pw-0"), store.path("old")).unwrap();
        fs::copy(store.path("new"), store.path("pw-0")).unwrap();
        let new = check(&store);
        assert_eq!(
            (old, new),
            if new_password { (3, 0) } else { (0, 3) },
            "exactly one password opens slot 0, and then the store is clean"
        );
        if !new_password {
            fs::copy(store.path("old"), store.path("pw-0")).unwrap();
        }
    }
    let mount = store.start(&[0, 1]);
    let (zero, one) = (mount.point.join("0"), mount.point.join("1"));
    let seen = Seen {
        zero: contents(&zero),
        one: contents(&one),
        trash: names(&zero.join(".slotfs/trash")),
        new_password,
    };
    if !may_have_new {
        assert_eq!(check(&store), 0, "the store is clean");
    }
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

/// The exit status of `store check` with both slots logged in. What it prints goes to the test's output.
fn check(store: &Store) -> i32 {
    let out = store.run("--json store check --password-file 0=pw-0 --password-file 1=pw-1");
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
