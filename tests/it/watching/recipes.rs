//! The recipes of docs/watching.md: scripts and units of `packaging`, run for real.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::exposition::Page;
use crate::fixture::{Out, Store, contents, names, run, sh, two_slots};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name)
}

/// A script of `packaging/examples` on a store, with `slotfs` in the path.
#[track_caller]
fn example(store: &Store, name: &str, args: &[&str]) -> Out {
    let folder = Path::new(env!("CARGO_BIN_EXE_slotfs")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(packaging("examples").join(name));
    command
        .args(args)
        .current_dir(store.path(""))
        .env("PATH", path)
        .env("HOME", store.path(""))
        .env("SLOTFS_STORE", store.location());
    run(&mut command)
}

/// A copy that is made beside older ones, while the store is mounted, and the ones that are too old go.
#[test]
fn backups_are_made_checked_and_kept_for_some_days() {
    let hsm = two_slots(3);
    let folder = hsm.store.path("backups");
    fs::create_dir(&folder).unwrap();
    let old = |name: &str, days: u64| {
        let path = folder.join(name);
        fs::write(&path, "").unwrap();
        let age = std::time::Duration::from_secs((days * 24 + 12) * 3600);
        let time = std::time::SystemTime::now() - age;
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    };
    old("store-2020-01-01T000000Z.db", 8);
    old("store-2020-01-06T000000Z.db", 6);
    old("store-2020-01-01T000000Z.db.damaged", 8);
    old("another file.db", 8);
    let out = example(&hsm.store, "slotfs-backup", &["backups", "7"]).ok();
    // Cron would mail it.
    assert_eq!(out.stderr, "");
    let made = out
        .stdout
        .trim()
        .strip_prefix("backups/")
        .unwrap()
        .to_owned();
    let mut expected = vec![
        "another file.db".to_owned(),
        "store-2020-01-01T000000Z.db.damaged".into(),
        "store-2020-01-06T000000Z.db".into(),
        made.clone(),
    ];
    expected.sort();
    assert_eq!(names(&folder), expected);
    let copy = folder.join(&made);
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
    // It is a store with the same objects.
    let mut copied = Store::empty();
    fs::copy(&copy, copied.path("copy.db")).unwrap();
    copied.use_file("copy.db");
    copied.password_file(0);
    let blobs = hsm.blobs(0);
    let mount = copied.start(&[0]);
    assert_eq!(contents(&mount.point.join("0")), blobs);
}

/// When there is no store, or the copy has findings, no older copy goes and the exit status says so.
#[test]
fn a_backup_that_fails_removes_nothing() {
    let store = Store::empty();
    let folder = store.path("backups");
    fs::create_dir(&folder).unwrap();
    let old = folder.join("store-2020-01-01T000000Z.db");
    fs::write(&old, "").unwrap();
    let age = std::time::Duration::from_secs(90 * 24 * 3600);
    let time = std::time::SystemTime::now() - age;
    fs::File::open(&old).unwrap().set_modified(time).unwrap();
    let out = example(&store, "slotfs-backup", &["backups"]).code_is_not(0);
    assert!(out.stderr.contains("there is no store"), "{out:?}");
    assert!(old.exists());
    store.slot(0, "red");
    let database = rusqlite::Connection::open(store.path("store.db")).unwrap();
    database.execute("DELETE FROM domains", ()).unwrap();
    drop(database);
    let out = example(&store, "slotfs-backup", &["backups"]).fails(1);
    assert!(out.stderr.contains("no older copy was removed"), "{out:?}");
    assert!(old.exists());
    let damaged = |name: &String| name.ends_with("Z.db.damaged");
    assert_eq!(names(&folder).iter().filter(|it| damaged(it)).count(), 1);
    example(&store, "slotfs-backup", &["backups", "x"]).fails(2);
    example(&store, "slotfs-backup", &[]).code_is_not(0);
}

/// The collector's file is whole, readable for the collector, and goes away with the mount.
#[test]
fn the_collector_gets_a_whole_page() {
    let hsm = two_slots(1);
    let folder = hsm.store.path("collector");
    fs::create_dir(&folder).unwrap();
    let point = hsm.mount.point.to_str().unwrap().to_owned();
    let args = [&*point, "collector"];
    for _ in 0..2 {
        example(&hsm.store, "slotfs-textfile", &args).ok();
        assert_eq!(names(&folder), ["slotfs.prom"]);
        let page = fs::read_to_string(folder.join("slotfs.prom")).unwrap();
        assert_eq!(
            Page::read(&page).value("slotfs_slot_objects", &[("slot", "0")]),
            1.0
        );
        let mode = fs::metadata(folder.join("slotfs.prom")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o644);
    }
    let store = hsm.store;
    drop(hsm.mount);
    example(&store, "slotfs-textfile", &args).fails(1);
    assert!(names(&folder).is_empty());
}

/// Two hosts, with the remote shell that rsync's own tests use: a script that runs the command here.
#[test]
fn rsync_mirrors_a_slot_to_another_host() {
    let here = two_slots(3);
    let there = Store::empty();
    fs::copy(here.store.path("red.pem"), there.path("red.pem")).unwrap();
    fs::set_permissions(there.path("red.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    there.slot(0, "red");
    there.slot(1, "blue");
    there.aes(0, 1);
    let there = there.mount(&[0, 1]);
    there.mount.announce_rejections();
    let rsh = here.store.path("rsh");
    fs::write(&rsh, "#!/bin/sh\nshift\nexec sh -c \"$*\"\n").unwrap();
    fs::set_permissions(&rsh, PermissionsExt::from_mode(0o755)).unwrap();
    let sync = |options: &str, from: &str, to: &str| {
        let script = format!(r#"rsync {options} -e "$R" {from} {to}"#);
        let env = [
            ("R", &*rsh),
            ("A", &here.mount.point),
            ("B", &there.mount.point),
        ];
        sh(&script, &env)
    };
    let (a, b) = ("$A/0/.slotfs/ouid/", "other:$B/0/.slotfs/ouid/");
    sync("-a", a, b).ok();
    assert_eq!(there.list(0).len(), 4);
    let folder = |hsm: &crate::fixture::Hsm| contents(&hsm.control(0, "ouid"));
    sync("-a", b, a).ok();
    assert_eq!(folder(&here), folder(&there));
    // The time of the folder is that of its store.
    assert_eq!(sync("-aiO", a, b).ok().stdout, "");
    // A slot of another domain refuses each.
    sync("-a", a, "other:$B/1/.slotfs/ouid/").fails(23);
    assert!(there.list(1).is_empty());
    // A slot that is not logged in to is no empty folder.
    fs::write(here.control(0, "logout"), "x").unwrap();
    sync("-a --delete", a, b).code_is_not(0);
    assert_eq!(there.list(0).len(), 4);
}

/// systemd takes the units, and the service runs the script.
#[test]
fn the_units_run_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let script = packaging("examples/slotfs-backup");
    for name in ["slotfs-backup.service", "slotfs-backup.timer"] {
        let unit = fs::read_to_string(packaging("systemd").join(name)).unwrap();
        let installed = "/usr/lib/slotfs/slotfs-backup";
        assert_eq!(
            unit.contains(&format!("ExecStart={installed}")),
            name.ends_with("service")
        );
        let unit = unit.replace(installed, script.to_str().unwrap());
        fs::write(folder.path().join(name), unit).unwrap();
    }
    let verify =
        r#"systemd-analyze verify --man=no "$U"/slotfs-backup.service "$U"/slotfs-backup.timer"#;
    let out = sh(verify, &[("U", folder.path())]).ok();
    let ours = out.stderr.lines().filter(|line| line.contains("slotfs"));
    assert_eq!(ours.count(), 0, "{out:?}");
}
