//! Aliases: names that are neither handles nor staging names, for tools that write beside and rename, and for people.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::fixture::{
    Hsm, Open, assert_errno, close, names, open_excl, open_flags, open_plain, open_trunc, sh,
    spoiled, store_excl, store_trunc, three_slots, two_slots,
};

fn rename_flags(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, flags).map_err(io::Error::from)
}

fn write(open: Open, path: &Path, blob: &[u8]) -> io::Result<()> {
    let file = open(path)?;
    file.write_all_at(blob, 0)?;
    close(file)
}

fn trash(hsm: &Hsm, slot: u32) -> Vec<String> {
    names(&hsm.control(slot, "trash"))
}

/// "`H.anything` and `H~` ask for handle H, any other name for any free handle." "The verdict comes as for a handle name,
/// success means durable under a handle".
#[test]
fn an_alias_asks_for_a_handle() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    for (alias, handle) in [
        ("124.ee61fb1f.partial", Some("124")),
        ("124.8d9CBc4C", Some("124")),
        ("124.part", Some("124")),
        ("124.filepart", Some("124")),
        ("124.", Some("124")),
        ("124.2", Some("124")),
        ("124~", Some("124")),
        ("124.~1~", Some("124")),
        ("4294967295.tmp", Some("4294967295")),
        ("tmpk3x9a_0b", None),
        ("payments-2026.blob", None),
        ("124 copy", None),
        ("0124.part", None),
        ("4294967296.part", None),
        ("~", None),
        ("-rf", None),
        ("sch\u{f6}n", None),
    ] {
        for open in [open_excl as Open, open_trunc, open_plain] {
            let path = hsm.file(1, alias);
            assert_errno!(fs::metadata(&path), ENOENT, "{alias}");
            write(open, &path, &blob).unwrap();
            let list = hsm.list(1);
            assert_eq!(list.len(), 1, "{alias}: {list:?}");
            assert!(
                handle.is_none_or(|handle| list[0] == handle),
                "{alias}: {list:?}"
            );
            assert_eq!(fs::read(hsm.file(1, &list[0])).unwrap(), blob, "{alias}");
            // The same file by either name, but for the inode.
            let there = fs::metadata(&path).unwrap();
            let object = fs::metadata(hsm.file(1, &list[0])).unwrap();
            assert_eq!(there.len(), object.len());
            assert_eq!(there.mode(), object.mode());
            assert_eq!(there.mtime(), object.mtime());
            assert_ne!(
                there.ino(),
                object.ino(),
                "or the kernel would answer renames"
            );
            assert_eq!(fs::read(&path).unwrap(), blob);
            assert_errno!(open_excl(&path), EEXIST, "{alias}");
            fs::remove_file(&path).unwrap();
            assert_errno!(fs::metadata(&path), ENOENT, "{alias}");
            assert!(hsm.list(1).is_empty(), "{alias}: its own write stored it");
        }
    }
    assert!(!trash(&hsm, 1).is_empty());
}

/// "content that is no blob of this slot is EACCES for it alone", "and no tool can report success for an object that is
/// not stored".
#[test]
fn what_is_refused_leaves_no_alias() {
    let hsm = three_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    for (slot, content) in [
        (1, spoiled(&blob)),
        (1, b"-----BEGIN PRIVATE KEY-----".to_vec()),
        (1, blob[..100].to_vec()),
        (1, [&blob[..], b"more"].concat()),
        (2, blob.clone()),
    ] {
        for alias in ["7~", "key", "1.part"] {
            for open in [open_excl as Open, open_trunc, open_plain] {
                let path = hsm.file(slot, alias);
                assert_errno!(write(open, &path, &content), EACCES, "{alias}");
                assert_errno!(fs::metadata(&path), ENOENT, "{alias}");
                assert_errno!(fs::remove_file(&path), ENOENT, "{alias}");
                assert_errno!(fs::rename(&path, hsm.file(slot, 7)), ENOENT, "{alias}");
                assert!(hsm.list(slot).is_empty(), "{alias}");
            }
        }
    }
    let clones = hsm.clones(1);
    let told = r#"A blob written as "1.part" was not cloned to slot 1:"#;
    assert!(clones.contains(told), "{clones}");
    // By copy_file_range: cp hears it once, and says it once.
    let env: &[(&str, &Path)] = &[
        ("A", &hsm.slot(0)),
        ("B", &hsm.slot(1)),
        ("C", &hsm.slot(2)),
    ];
    let out = sh("cp $A/1 $C/key.blob", env).fails(1);
    assert_eq!(out.stderr.lines().count(), 1, "{out:?}");
    assert!(out.stderr.contains("Permission denied"), "{out:?}");
    sh(
        "cp $A/1 $B/key.blob && cmp $A/1 $B/key.blob && cp $A/1 $B/key.blob && rm $B/key.blob",
        env,
    )
    .ok();
    assert_eq!(hsm.list(1), ["1"], "the second cp named it");
    fs::remove_file(hsm.file(1, 1)).unwrap();
    // Sticky, and past the largest blob.
    let file = open_trunc(&hsm.file(1, "1.part")).unwrap();
    assert_errno!(file.write_all_at(&[0; 100], 0), EACCES);
    assert_errno!(file.write_all_at(&blob, 0), EACCES);
    assert_errno!(fs::metadata(hsm.file(1, "1.part")), ENOENT);
    assert_errno!(close(file), EACCES);
    let large = open_plain(&hsm.file(1, "big")).unwrap();
    assert_errno!(large.write_all_at(b"x", 1 << 30), EFBIG);
    drop(large);
    // Nothing handed in is no object, and no name.
    close(open_trunc(&hsm.file(1, "1.part")).unwrap()).unwrap();
    assert_errno!(close(open_excl(&hsm.file(1, "1.part")).unwrap()), EACCES);
    sh(r#"touch "$D/x""#, &[("D", &hsm.slot(1))]);
    for alias in ["1.part", "big", "x"] {
        assert_errno!(fs::metadata(hsm.file(1, alias)), ENOENT, "{alias}");
    }
    assert!(hsm.list(1).is_empty());
}

/// A tool that writes asks for its file by name meanwhile: there it is, as long as it is now.
#[test]
fn an_alias_is_found_while_it_is_written() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let path = hsm.file(1, "1.part");
    let file = open_excl(&path).unwrap();
    let look = |length: usize| {
        let (by_path, by_file) = (fs::metadata(&path).unwrap(), file.metadata().unwrap());
        assert_eq!(by_path.len(), length as u64);
        assert_eq!(
            (by_path.ino(), by_path.dev()),
            (by_file.ino(), by_file.dev())
        );
        assert!(hsm.list(1).is_empty(), "aliases are not listed");
    };
    look(0);
    file.write_all_at(&blob[..100], 0).unwrap();
    look(100);
    assert_errno!(open_excl(&path), EEXIST);
    // Another writer of the same name is as private as for a handle.
    let other = open_flags(&path, 0).unwrap();
    other.write_all_at(b"never a blob", 0).unwrap();
    drop(other);
    look(100);
    let other = open_flags(&path, libc::O_TRUNC).unwrap();
    assert_errno!(
        other.write_all_at(&spoiled(&blob), 0),
        EACCES,
        "at the write"
    );
    drop(other);
    look(100);
    sh(
        r#"chmod 600 "$F" && touch -d 2001-02-03 "$F""#,
        &[("F", &path)],
    )
    .ok();
    look(100);
    file.write_all_at(&blob[100..], 100).unwrap();
    assert_eq!(file.metadata().unwrap().len(), blob.len() as u64);
    assert_eq!(fs::read(&path).unwrap(), blob, "stored, and still open");
    assert_eq!(hsm.list(1), ["1"]);
    file.sync_all().unwrap();
    // Renamed while it is open: a descriptor still has attributes, and closes well.
    fs::rename(&path, hsm.file(1, 1)).unwrap();
    assert_eq!(file.metadata().unwrap().len(), blob.len() as u64);
    close(file).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
    // The like for one that reads.
    store_trunc(&path, &blob).unwrap();
    let reader = fs::File::open(&path).unwrap();
    fs::rename(&path, hsm.file(1, 1)).unwrap();
    assert_eq!(reader.metadata().unwrap().len(), blob.len() as u64);
    let mut bytes = vec![0; blob.len()];
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, blob);
}

/// "rename(alias, handle): the same object: success, and the alias is gone. Free: renumbered. Taken by another object: the
/// object stays where it is, success, `clones` says so. RENAME_NOREPLACE onto a taken name: EEXIST."
#[test]
fn an_alias_is_renamed_to_a_handle() {
    let hsm = two_slots(3);
    let blobs: Vec<_> = (1..=3).map(|handle| hsm.blob(0, handle)).collect();
    let alias = hsm.file(1, "1.ee61fb1f.partial");
    let gone = || assert_errno!(fs::metadata(&alias), ENOENT);
    let noreplace = RenameFlags::RENAME_NOREPLACE;
    // The same object.
    store_excl(&alias, &blobs[0]).unwrap();
    assert_errno!(rename_flags(&alias, &hsm.file(1, 1), noreplace), EEXIST);
    fs::rename(&alias, hsm.file(1, 1)).unwrap();
    gone();
    assert_eq!(
        (hsm.list(1), hsm.blob(1, 1)),
        (vec!["1".into()], blobs[0].clone())
    );
    // A free handle, with and without the flag.
    for (to, flags) in [(5, RenameFlags::empty()), (6, noreplace)] {
        store_trunc(&alias, &blobs[0]).unwrap();
        rename_flags(&alias, &hsm.file(1, to), flags).unwrap();
        gone();
        assert_eq!(hsm.list(1), [to.to_string()]);
        assert_eq!(hsm.blob(1, to), blobs[0]);
    }
    // Taken by another object.
    fs::rename(hsm.file(1, 6), hsm.file(1, 1)).unwrap();
    store_excl(&alias, &blobs[1]).unwrap();
    assert_eq!(hsm.list(1), ["1", "2"]);
    assert_errno!(rename_flags(&alias, &hsm.file(1, 1), noreplace), EEXIST);
    assert_eq!(fs::read(&alias).unwrap(), blobs[1]);
    fs::rename(&alias, hsm.file(1, 1)).unwrap();
    gone();
    assert_eq!(
        (hsm.blob(1, 1), hsm.blob(1, 2)),
        (blobs[0].clone(), blobs[1].clone())
    );
    assert_eq!(
        fs::read(hsm.file(1, 1)).unwrap(),
        blobs[0],
        "nothing is remembered wrongly"
    );
    let clones = hsm.clones(1);
    let told = "Handle 2 on slot 1 is still handle 2: another object has handle 1";
    assert!(clones.contains(told), "{clones}");
    assert!(trash(&hsm, 1).is_empty());
    // Nothing is exchanged, in either direction.
    hsm.mount.announce_names();
    store_excl(&alias, &blobs[2]).unwrap();
    let exchange = RenameFlags::RENAME_EXCHANGE;
    assert_errno!(rename_flags(&alias, &hsm.file(1, 1), exchange), EINVAL);
    assert_errno!(rename_flags(&hsm.file(1, 1), &alias, exchange), EINVAL);
    assert_eq!(fs::read(&alias).unwrap(), blobs[2]);
    let store = hsm.store;
    drop(hsm.mount);
    let hsm = store.mount(&[0, 1]);
    assert_errno!(
        fs::metadata(hsm.file(1, "1.ee61fb1f.partial")),
        ENOENT,
        "not after the mount"
    );
    assert_eq!(hsm.list(1), ["1", "2", "3"]);
}

/// "To another slot: as `mv` of the object."
#[test]
fn an_alias_is_renamed_to_another_slot() {
    let hsm = three_slots(3);
    hsm.mount.announce_rejections();
    let blobs: Vec<_> = (1..=3).map(|handle| hsm.blob(0, handle)).collect();
    let (one, other) = (hsm.file(1, "key"), hsm.file(1, "9~"));
    store_excl(&one, &blobs[0]).unwrap();
    store_excl(&other, &blobs[0]).unwrap();
    fs::remove_file(hsm.file(0, 1)).unwrap();
    // Taken by another object: as there, nothing changes.
    let held = hsm.list(1);
    assert_errno!(fs::rename(&one, hsm.file(0, 2)), EEXIST);
    assert_errno!(fs::rename(&one, hsm.file(2, 1)), EACCES);
    assert_eq!(
        (hsm.list(1), fs::read(&one).unwrap()),
        (held, blobs[0].clone())
    );
    fs::rename(&one, hsm.file(0, 70)).unwrap();
    assert_eq!(hsm.blob(0, 70), blobs[0]);
    assert!(hsm.list(1).is_empty());
    for alias in [&one, &other] {
        assert_errno!(fs::metadata(alias), ENOENT, "its object left");
    }
    // There already: only the source goes.
    store_excl(&one, &blobs[1]).unwrap();
    fs::rename(&one, hsm.file(0, 2)).unwrap();
    assert!(hsm.list(1).is_empty());
    assert_eq!(hsm.blob(0, 2), blobs[1]);
    // By mv, which looks at the result.
    store_excl(&one, &blobs[2]).unwrap();
    let env: &[(&str, &Path)] = &[("F", &one), ("D", &hsm.slot(0))];
    sh(r#"mv "$F" "$D/3""#, env).ok();
    assert_eq!((hsm.blob(0, 3), hsm.list(1).len()), (blobs[2].clone(), 0));
}

/// "rename *to* such a name, from anything, stays EINVAL: `cp --backup`, editors, and `mv trash/124.2 .` must not take an
/// object's name away."
#[test]
fn nothing_is_renamed_to_an_alias() {
    let hsm = two_slots(3);
    hsm.mount.announce_names();
    let blob = hsm.blob(0, 1);
    store_excl(&hsm.file(1, 1), &blob).unwrap();
    store_excl(&hsm.file(1, "there"), &hsm.blob(0, 2)).unwrap();
    fs::write(hsm.file(1, ".staged"), &blob).unwrap();
    store_excl(&hsm.file(1, 3), &hsm.blob(0, 3)).unwrap();
    fs::remove_file(hsm.file(1, 3)).unwrap();
    let before = hsm.blobs(1);
    for from in [
        hsm.file(1, 1),
        hsm.file(1, "there"),
        hsm.file(1, ".staged"),
        hsm.file(0, 1),
        hsm.control(1, "trash/3"),
    ] {
        for to in ["1~", "3.2", "key", "there", "new.part"] {
            if from.ends_with(to) {
                continue;
            }
            let what = format!("{} to {to}", from.display());
            assert_errno!(fs::rename(&from, hsm.file(1, to)), EINVAL, "{what}");
        }
    }
    // An alias becomes no staging file either, nor a control file.
    assert_errno!(fs::rename(hsm.file(1, "there"), hsm.file(1, ".x")), EINVAL);
    assert_errno!(fs::rename(hsm.file(1, "there"), hsm.file(1, "new")), EINVAL);
    assert_errno!(fs::rename(hsm.file(1, "there"), hsm.file(1, "007")), EINVAL);
    assert_errno!(
        fs::rename(hsm.file(1, "there"), hsm.control(1, "login")),
        EPERM
    );
    assert_errno!(fs::hard_link(hsm.file(1, "there"), hsm.file(1, 9)), EPERM);
    assert_errno!(std::os::unix::fs::symlink("1", hsm.file(1, "link")), EPERM);
    assert_errno!(fs::create_dir(hsm.file(1, "folder")), EPERM);
    let env: &[(&str, &Path)] = &[("A", &hsm.slot(0)), ("B", &hsm.slot(1))];
    hsm.mount
        .logged(r#"as the target of this rename, "1~" is not a file name that a slot can hold"#);
    for script in [
        "cp --backup $A/2 $B/1",
        "cp --backup=numbered $A/2 $B/1",
        "mv --backup $A/2 $B/1",
        "install --backup $A/2 $B/1",
        "mv $B/.slotfs/trash/3 $B/3.2",
    ] {
        sh(script, env).code_is_not(0);
        assert_eq!(hsm.blobs(1), before, "{script}");
    }
    assert_eq!(trash(&hsm, 1), ["3"]);
    assert_eq!(hsm.list(0), ["1", "2", "3"]);
}

/// "unlink(alias) moves the object to the trash only if this alias's own write stored it and no later success named it (a
/// write, a move that found it there, a rename, a restore). Otherwise only the alias goes".
#[test]
fn an_alias_takes_only_what_it_brought() {
    let hsm = two_slots(2);
    let blob = hsm.blob(0, 1);
    let alias = hsm.file(1, "124.part");
    let staged = hsm.file(1, ".124.x");
    let ouid = names(&hsm.control(0, "ouid"))
        .into_iter()
        .find(|ouid| fs::read(hsm.control(0, "ouid").join(ouid)).unwrap() == blob);
    let identity = hsm.control(1, "ouid").join(ouid.unwrap());
    // Its own.
    store_excl(&alias, &blob).unwrap();
    fs::remove_file(&alias).unwrap();
    assert_eq!((hsm.list(1).len(), trash(&hsm, 1)), (0, vec!["124".into()]));
    // A restore of it does not bring the alias back.
    fs::rename(hsm.control(1, "trash/124"), hsm.file(1, 124)).unwrap();
    assert_errno!(fs::metadata(&alias), ENOENT);
    // What was there before.
    store_excl(&alias, &blob).unwrap();
    fs::remove_file(&alias).unwrap();
    assert_eq!(
        hsm.list(1),
        ["124"],
        "`cp 0/124 1/124~; rm 1/124~` leaves it"
    );
    type Later<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let later: Vec<Later<'_>> = vec![
        (
            "a write to the handle",
            Box::new(|| store_trunc(&hsm.file(1, 124), &blob).unwrap()),
        ),
        (
            "a write to another",
            Box::new(|| store_excl(&hsm.file(1, 7), &blob).unwrap()),
        ),
        (
            "a write to new",
            Box::new(|| store_excl(&hsm.file(1, "new"), &blob).unwrap()),
        ),
        (
            "a write to the identity",
            Box::new(|| store_trunc(&identity, &blob).unwrap()),
        ),
        (
            "a write to another alias",
            Box::new(|| store_excl(&hsm.file(1, "7~"), &blob).unwrap()),
        ),
        (
            "a write to the alias",
            Box::new(|| store_trunc(&alias, &blob).unwrap()),
        ),
        (
            "a staging file",
            Box::new(|| {
                fs::write(&staged, &blob).unwrap();
                fs::rename(&staged, hsm.file(1, 124)).unwrap();
            }),
        ),
        (
            "a move that found it there",
            Box::new(|| {
                fs::rename(hsm.file(0, 1), hsm.file(1, 124)).unwrap();
                store_excl(&hsm.file(0, 1), &blob).unwrap();
            }),
        ),
        (
            "a rename",
            Box::new(|| fs::rename(hsm.file(1, 124), hsm.file(1, 9)).unwrap()),
        ),
        (
            "a rename there and back",
            Box::new(|| {
                fs::rename(hsm.file(1, 124), hsm.file(1, 9)).unwrap();
                fs::rename(hsm.file(1, 9), hsm.file(1, 124)).unwrap();
            }),
        ),
        (
            "another alias that was renamed",
            Box::new(|| {
                store_excl(&hsm.file(1, "x"), &blob).unwrap();
                fs::rename(hsm.file(1, "x"), hsm.file(1, 124)).unwrap();
            }),
        ),
    ];
    for (what, later) in later {
        for name in hsm.list(1) {
            fs::remove_file(hsm.file(1, name)).unwrap();
        }
        store_excl(&alias, &blob).unwrap();
        later();
        fs::remove_file(&alias).unwrap();
        assert_errno!(fs::metadata(&alias), ENOENT, "{what}");
        assert_eq!(hsm.list(1).len(), 1, "{what}: the object stays");
        let _ = fs::remove_file(hsm.file(1, "7~"));
    }
    // A restore that found it there.
    fs::remove_file(hsm.file(1, 124)).unwrap();
    store_excl(&alias, &blob).unwrap();
    fs::rename(hsm.control(1, "trash/124"), hsm.file(1, 124)).unwrap();
    fs::remove_file(&alias).unwrap();
    assert_eq!((hsm.list(1), trash(&hsm, 1).len()), (vec!["124".into()], 0));
    // What only read it, or failed, named nothing.
    fs::remove_file(hsm.file(1, 124)).unwrap();
    store_excl(&alias, &blob).unwrap();
    hsm.mount.announce_rejections();
    fs::read(hsm.file(1, 124)).unwrap();
    assert_errno!(
        write(open_trunc, &hsm.file(1, 124), &spoiled(&blob)),
        EACCES
    );
    assert_errno!(write(open_trunc, &alias, &spoiled(&blob)), EACCES);
    assert_eq!(
        fs::read(&alias).unwrap(),
        blob,
        "a refused write touches nothing"
    );
    fs::remove_file(&alias).unwrap();
    assert!(hsm.list(1).is_empty());
}

/// "Opening an alias for writing touches nothing; success points it at the new object."
#[test]
fn an_alias_is_written_again() {
    let hsm = two_slots(3);
    hsm.mount.announce_rejections();
    let blobs: Vec<_> = (1..=3).map(|handle| hsm.blob(0, handle)).collect();
    let alias = hsm.file(1, "key");
    store_excl(&alias, &blobs[0]).unwrap();
    let first = hsm.list(1);
    for open in [open_trunc as Open, open_plain] {
        let file = open(&alias).unwrap();
        assert_eq!(fs::read(&alias).unwrap(), blobs[0]);
        file.write_all_at(&blobs[1][..100], 0).unwrap();
        assert_eq!(fs::read(&alias).unwrap(), blobs[0]);
        assert_errno!(close(file), EACCES);
        assert_eq!(fs::read(&alias).unwrap(), blobs[0]);
    }
    assert_eq!(hsm.list(1), first);
    let reader = fs::File::open(&alias).unwrap();
    store_trunc(&alias, &blobs[1]).unwrap();
    assert_eq!(fs::read(&alias).unwrap(), blobs[1]);
    let mut bytes = vec![0; blobs[0].len()];
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, blobs[0], "who has it open reads what was opened");
    assert_eq!(
        hsm.list(1).len(),
        2,
        "the first object stays under its handle"
    );
    write(open_plain, &alias, &blobs[2]).unwrap();
    assert_eq!(fs::read(&alias).unwrap(), blobs[2]);
    assert_eq!(hsm.list(1).len(), 3);
    fs::remove_file(&alias).unwrap();
    assert_eq!(hsm.list(1).len(), 2, "it takes the last one alone");
    // truncate(2) of a path and appending are what they are for a handle.
    store_excl(&alias, &blobs[2]).unwrap();
    assert_errno!(nix::unistd::truncate(&alias, 0), EPERM);
    sh(r#"printf x >> "$F""#, &[("F", &alias)]);
    assert_eq!(fs::read(&alias).unwrap(), blobs[2]);
}

/// "An alias ends when its object leaves the slot, at logout, re-initialisation and unmount".
#[test]
fn how_an_alias_ends() {
    let hsm = two_slots(2);
    let blob = hsm.blob(0, 1);
    let alias = hsm.file(1, "key");
    let handle = || hsm.list(1)[0].clone();
    let back = |why: &str| {
        assert_errno!(fs::metadata(&alias), ENOENT, "{why}");
        for name in hsm.list(1) {
            fs::remove_file(hsm.file(1, name)).unwrap();
        }
        store_excl(&alias, &blob).unwrap();
        assert_eq!(fs::read(&alias).unwrap(), blob);
    };
    back("before");
    fs::remove_file(hsm.file(1, handle())).unwrap();
    assert_errno!(fs::metadata(&alias), ENOENT);
    fs::rename(hsm.control(1, "trash/1"), hsm.file(1, 1)).unwrap();
    back("its object was in the trash");
    fs::rename(hsm.file(1, handle()), hsm.file(0, 1)).unwrap();
    back("its object was moved");
    fs::rename(
        hsm.file(1, handle()),
        hsm.control(1, "trash").join(handle()),
    )
    .unwrap();
    back("its object was moved to the trash");
    // By its own alias.
    let name = handle();
    hsm.mount.announce_names();
    assert_errno!(fs::rename(&alias, hsm.control(1, "trash/77")), EINVAL);
    assert_errno!(fs::rename(&alias, hsm.control(1, "trash/key")), EINVAL);
    fs::rename(&alias, hsm.control(1, "trash").join(&name)).unwrap();
    assert!(hsm.list(1).is_empty() && trash(&hsm, 1).contains(&name));
    back("it was moved to the trash");
    // By another process.
    let line = format!("object delete -handle {} -force", handle());
    hsm.store.run_in(1, &line).ok();
    assert!(hsm.list(1).is_empty());
    back("another process removed its object");
    // Renumbered by another name it stays.
    fs::rename(hsm.file(1, handle()), hsm.file(1, 500)).unwrap();
    assert_eq!(fs::read(&alias).unwrap(), blob);
    // Logged out and in.
    let open = open_excl(&hsm.file(1, "other")).unwrap();
    open.write_all_at(&blob[..50], 0).unwrap();
    fs::write(hsm.control(1, "logout"), b"x").unwrap();
    assert_errno!(fs::metadata(&alias), ENOKEY);
    assert_errno!(open_excl(&hsm.file(1, "third")), ENOKEY);
    fs::write(hsm.control(1, "login"), crate::fixture::password(1)).unwrap();
    hsm.mount.announce_rejections();
    assert_errno!(fs::metadata(hsm.file(1, "other")), ENOENT);
    assert_errno!(close(open), EACCES);
    back("a logout");
    // Initialised anew.
    hsm.mount.announce("its partition was replaced");
    let again =
        "partition init -slot 1 -label again -domainkey red.pem -force --password-file 1=pw-1";
    hsm.store.run(again).ok();
    assert_errno!(fs::metadata(&alias), ENOKEY);
    fs::write(hsm.control(1, "login"), crate::fixture::password(1)).unwrap();
    back("its slot is another partition");
}

/// Who may not write makes none.
#[test]
fn a_crypto_user_makes_no_alias() {
    let hsm = two_slots(1);
    let blob = hsm.blob(0, 1);
    hsm.mount.announce("a crypto user reads and never writes");
    fs::write(hsm.store.path("cu"), "a crypto user").unwrap();
    hsm.store
        .run_in(1, "role init -name cu -newpasswordfile cu")
        .ok();
    fs::write(hsm.control(1, "logout"), b"x").unwrap();
    fs::write(hsm.control(1, "login-cu"), "a crypto user").unwrap();
    assert_errno!(store_excl(&hsm.file(1, "1~"), &blob), EROFS);
    assert_errno!(fs::metadata(hsm.file(1, "1~")), ENOENT);
}

/// "In `.slotfs/ouid`, `OUID.anything` asks for that identity; other names are EINVAL."
#[test]
fn an_alias_of_an_identity() {
    let hsm = two_slots(2);
    hsm.mount.announce_rejections();
    hsm.mount.announce_names();
    let (from, to) = (hsm.control(0, "ouid"), hsm.control(1, "ouid"));
    let ouids = names(&from);
    let blobs: Vec<_> = ouids
        .iter()
        .map(|ouid| fs::read(from.join(ouid)).unwrap())
        .collect();
    let part = to.join(format!("{}.ee61fb1f.partial", ouids[0]));
    assert_errno!(store_excl(&part, &blobs[1]), EACCES);
    assert_errno!(store_excl(&part, &spoiled(&blobs[0])), EACCES);
    assert_errno!(fs::metadata(&part), ENOENT);
    store_excl(&part, &blobs[0]).unwrap();
    assert_eq!(fs::read(&part).unwrap(), blobs[0]);
    assert_eq!(names(&to), [ouids[0].clone()]);
    assert_errno!(fs::rename(&part, to.join(&ouids[1])), EACCES);
    fs::rename(&part, to.join(&ouids[0])).unwrap();
    assert_errno!(fs::metadata(&part), ENOENT);
    assert_eq!(names(&to), [ouids[0].clone()]);
    // Named again by that: it stays when an alias of it goes.
    store_excl(&part, &blobs[0]).unwrap();
    fs::remove_file(&part).unwrap();
    assert_eq!(names(&to), [ouids[0].clone()]);
    // To a handle of the slot, and to another slot.
    store_excl(&part, &blobs[0]).unwrap();
    fs::rename(&part, hsm.file(1, 70)).unwrap();
    assert_eq!(hsm.list(1), ["70"]);
    let other = to.join(format!("{}.part", ouids[1]));
    store_excl(&other, &blobs[1]).unwrap();
    fs::rename(&other, from.join(&ouids[1])).unwrap();
    assert_eq!(
        (names(&to), names(&from)),
        (vec![ouids[0].clone()], ouids.clone())
    );
    for name in [
        format!("{}~", ouids[0]),
        format!("{}.\n", ouids[0]),
        format!("{}part", ouids[0]),
        "1.part".into(),
        "key".into(),
    ] {
        let path = to.join(&name);
        assert_errno!(open_excl(&path), EINVAL, "{name:?}");
        assert_errno!(fs::metadata(&path), ENOENT, "{name:?}");
        assert_errno!(fs::rename(to.join(&ouids[0]), &path), EINVAL, "{name:?}");
    }
    let path = to.join(format!("{}.part", ouids[0]));
    assert_errno!(fs::rename(to.join(&ouids[0]), &path), EINVAL);
}

/// A tool that opens without O_TRUNC and renames before it closes hears the verdict at the rename.
#[test]
fn an_alias_that_is_renamed_before_it_is_closed() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let alias = hsm.file(1, "1.part");
    let begin = |bytes: &[u8]| {
        let file = open_plain(&alias).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    };
    let file = begin(&blob);
    fs::rename(&alias, hsm.file(1, 1)).unwrap();
    assert_eq!(hsm.blob(1, 1), blob);
    close(file).unwrap();
    fs::remove_file(hsm.file(1, 1)).unwrap();
    let file = begin(&blob[..100]);
    assert_errno!(fs::rename(&alias, hsm.file(1, 1)), EACCES);
    assert_errno!(fs::metadata(hsm.file(1, 1)), ENOENT);
    file.write_all_at(&blob[100..], 100).unwrap();
    fs::rename(&alias, hsm.file(1, 1)).unwrap();
    close(file).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
    fs::remove_file(hsm.file(1, 1)).unwrap();
    let file = begin(&spoiled(&blob));
    assert!(fs::rename(&alias, hsm.file(1, 1)).is_err());
    assert_errno!(close(file), EACCES);
    assert!(hsm.list(1).is_empty());
}

/// mktemp(1) and Java make a file, close it, and have others write to it by its name: until then it is an empty file.
#[test]
fn an_alias_that_is_made_first_and_written_later() {
    let hsm = two_slots(1);
    hsm.mount.announce_rejections();
    let blob = hsm.blob(0, 1);
    let alias = hsm.file(1, "tmp.k3x9");
    let make = || {
        let mut how = fs::OpenOptions::new();
        close(
            how.read(true)
                .write(true)
                .create_new(true)
                .open(&alias)
                .unwrap(),
        )
        .unwrap();
        let there = fs::metadata(&alias).unwrap();
        assert_eq!((there.len(), there.is_file()), (0, true));
        assert_eq!(fs::read(&alias).unwrap(), b"");
        assert_errno!(open_excl(&alias), EEXIST);
        assert!(hsm.list(1).is_empty(), "it is not listed");
    };
    make();
    assert_errno!(
        fs::rename(&alias, hsm.file(1, 5)),
        EACCES,
        "nothing is stored"
    );
    sh(r#"chmod 600 "$F""#, &[("F", &alias)]).ok();
    fs::remove_file(&alias).unwrap();
    assert_errno!(fs::metadata(&alias), ENOENT);
    for open in [open_trunc as Open, open_plain] {
        make();
        write(open, &alias, &blob).unwrap();
        fs::rename(&alias, hsm.file(1, 5)).unwrap();
        assert_eq!(
            (hsm.list(1), hsm.blob(1, 5)),
            (vec!["5".into()], blob.clone())
        );
        fs::remove_file(hsm.file(1, 5)).unwrap();
        make();
        assert_errno!(write(open, &alias, &spoiled(&blob)), EACCES);
        assert_errno!(fs::metadata(&alias), ENOENT, "refused");
    }
    make();
    close(open_trunc(&alias).unwrap()).unwrap();
    assert_errno!(
        fs::metadata(&alias),
        ENOENT,
        "nothing was written the second time either"
    );
    make();
    fs::write(hsm.control(1, "logout"), b"x").unwrap();
    fs::write(hsm.control(1, "login"), crate::fixture::password(1)).unwrap();
    assert_errno!(fs::metadata(&alias), ENOENT);
    let env: &[(&str, &Path)] = &[("F", &hsm.file(0, 1)), ("D", &hsm.slot(1))];
    let idiom = r#"set -e; T=$(mktemp --tmpdir="$D"); chmod 600 "$T"; cat "$F" > "$T"; test -s "$T"; mv "$T" "$D/1""#;
    sh(idiom, env).ok();
    assert_eq!((hsm.list(1), hsm.blob(1, 1)), (vec!["1".into()], blob));
}

/// Many tools at once, several of them with the same object: each ends well, every object is there once and under its
/// handle, and no alias is left.
#[test]
fn many_aliases_at_once() {
    const OBJECTS: u32 = 24;
    let hsm = two_slots(OBJECTS);
    let blobs = hsm.blobs(0);
    std::thread::scope(|threads| {
        for thread in 0..6 {
            let (slot, blobs) = (hsm.slot(1), &blobs);
            threads.spawn(move || {
                for n in 0..OBJECTS {
                    let handle = (n + thread * 5) % OBJECTS + 1;
                    let alias = slot.join(format!("{handle}.{thread}.part"));
                    let blob = &blobs[&handle.to_string()];
                    write(
                        [open_excl as Open, open_trunc, open_plain][thread as usize % 3],
                        &alias,
                        blob,
                    )
                    .unwrap();
                    assert_eq!(fs::read(&alias).unwrap(), *blob);
                    fs::rename(&alias, slot.join(handle.to_string())).unwrap();
                    assert_errno!(fs::metadata(&alias), ENOENT);
                    // Not the one that stored it, or named again: the object stays.
                    write(open_trunc, &alias, blob).unwrap();
                    fs::remove_file(&alias).unwrap();
                }
            });
        }
    });
    assert_eq!(hsm.blobs(1), blobs);
    assert!(trash(&hsm, 1).is_empty());
}
