//! The store's files are removed, replaced or overwritten while they are in use. slotfs reports an object as stored only
//! if the store at its path holds it afterwards (docs/crashes.md).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::fixture::{Out, Store, assert_errno, sh, store_excl, store_trunc, wait_for};

/// The exit status of a command that cannot use the store.
const STORE: i32 = 4;

/// A store in a folder of its own, to be copied for each case.
struct Base {
    store: Store,
    cases: u32,
}

/// Slots 0 and 1 share a domain; slot 0 holds two keys. A backup from before the second one is beside the store.
fn base() -> Base {
    let mut store = Store::empty();
    store.use_file("base/store.db");
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 1);
    store.run("store backup base/backup.db").ok();
    store.aes(0, 1);
    fs::create_dir(store.path("usb")).unwrap();
    assert!(!store.path("base/store.db-wal").exists());
    Base { store, cases: 0 }
}

impl Base {
    /// Mounts a copy of the store, whose log then holds something.
    fn case(&mut self) -> (&Store, crate::fixture::Mount, PathBuf) {
        self.cases += 1;
        let name = format!("case-{}", self.cases);
        let folder = self.store.path(&name);
        let copied = sh(
            r#"cp -r "$BASE" "$NEW""#,
            &[("BASE", &self.store.path("base")), ("NEW", &folder)],
        );
        copied.ok();
        self.store.use_file(format!("{name}/store.db"));
        let point = format!("mnt-{}", self.cases);
        let mount = self.store.start_at(&point, &[0, 1], &[]);
        let blob = fs::read(mount.point.join("0/1")).unwrap();
        store_excl(&mount.point.join("1/1"), &blob).unwrap();
        assert!(fs::metadata(folder.join("store.db-wal")).unwrap().len() > 4096);
        (&self.store, mount, folder)
    }

    /// Does `act` in the folder of a store in use. Nothing is stored, moved or removed from then on, and the log says
    /// `what` happened.
    #[track_caller]
    fn is_lost_after(&mut self, act: &str, what: &str) {
        let (store, mount, folder) = self.case();
        let (m, usb) = (&mount.point, store.path("usb"));
        let second = fs::read(m.join("0/2")).unwrap();
        fs::write(usb.join("7"), &second).unwrap();
        mount.announce(&folder.display().to_string());
        let opened = File::open(m.join("0/2")).unwrap();
        let target = crate::fixture::open_excl(&m.join("1/10")).unwrap();
        let incoming = crate::fixture::open_excl(&m.join("1/8")).unwrap();
        sh(act, &[("D", &folder)]).ok();

        // From another filesystem: the source stays.
        let moved = sh(r#"mv "$USB/7" "$M/1/""#, &[("M", m), ("USB", &usb)]);
        moved.code_is_not(0);
        assert_eq!(fs::read(usb.join("7")).unwrap(), second, "{act}");
        mount.logged("while it was in use");
        let log = mount.log();
        // The daemon looks every two seconds: it may have looked in the middle of the act.
        let between = act.contains(';') && what == "store.db was replaced";
        assert!(
            log.contains(what) || (between && log.contains("store.db was removed or renamed")),
            "{act}: {log}"
        );
        assert!(log.contains("every slot is logged out"), "{act}");

        assert_errno!(store_trunc(&m.join("1/9"), &second), EIO, "{act}: a write");
        assert_errno!(
            store_trunc(&m.join("1/.x"), &second),
            EIO,
            "{act}: a staging file"
        );
        let late = std::os::unix::fs::FileExt::write_all_at(&incoming, &second, 0);
        assert_errno!(late, EIO, "{act}: a file that was open");
        let length = second.len();
        let copied = nix::fcntl::copy_file_range(&opened, None, &target, None, length);
        assert_errno!(copied, EIO, "{act}: a copy between open files");
        drop((opened, target, incoming));
        assert_errno!(
            fs::rename(m.join("0/2"), m.join("1/2")),
            EIO,
            "{act}: a move"
        );
        assert_errno!(fs::remove_file(m.join("0/2")), EIO, "{act}: a removal");
        assert_errno!(fs::read(m.join("0/2")), EIO, "{act}: a read");
        assert_errno!(fs::read_dir(m.join("0")), EIO, "{act}: a list");
        let login = fs::write(m.join("0/.slotfs/login"), "correct horse 0");
        assert_errno!(login, EIO, "{act}: a login");
        assert_errno!(
            fs::write(m.join("0/.slotfs/logout"), "x"),
            EIO,
            "{act}: a logout"
        );
        assert_eq!(
            mount.log().matches("every slot is logged out").count(),
            1,
            "{act}"
        );
    }
}

fn same_files(folder: &Path, before: &[(String, Vec<u8>)]) {
    for (name, bytes) in before {
        assert!(
            fs::read(folder.join(name)).unwrap() == *bytes,
            "{name} was changed"
        );
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    crate::fixture::contents(folder).into_iter().collect()
}

#[test]
fn files_that_are_removed() {
    let mut base = base();
    base.is_lost_after(r#"rm "$D"/store.db*"#, "store.db was removed or renamed");
    base.is_lost_after(r#"rm "$D/store.db""#, "store.db was removed or renamed");
    base.is_lost_after(r#"rm "$D/store.db-wal""#, "store.db-wal was removed");
    base.is_lost_after(r#"rm "$D/store.db-shm""#, "store.db-shm was removed");
    base.is_lost_after(
        r#"mv "$D/store.db" "$D/old.db""#,
        "store.db was removed or renamed",
    );
    base.is_lost_after(r#"mv "$D" "$D-old""#, "store.db was removed or renamed");
}

#[test]
fn files_that_are_replaced() {
    let mut base = base();
    let replaced = "store.db was replaced";
    base.is_lost_after(r#"mv "$D/backup.db" "$D/store.db""#, replaced);
    base.is_lost_after(r#"cd "$D"; rm store.db*; cp backup.db store.db"#, replaced);
    base.is_lost_after(
        r#"cp "$D/store.db" "$D/x"; mv "$D/x" "$D/store.db""#,
        replaced,
    );
    base.is_lost_after(r#"mv "$D" "$D-old"; cp -a "$D-old" "$D""#, replaced);
    base.is_lost_after(
        r#"cd "$D"; cp store.db-wal x; mv x store.db-wal"#,
        "store.db-wal was replaced",
    );
    base.is_lost_after(
        r#"cd "$D"; cp store.db-shm x; mv x store.db-shm"#,
        "store.db-shm was replaced",
    );
    base.is_lost_after(
        r#"cd "$D"; rm store.db; ln -s backup.db store.db"#,
        replaced,
    );
    base.is_lost_after(
        r#"mv "$D" "$D-old"; cp -a "$D-old" "$D-new"; ln -s "$D-new" "$D""#,
        replaced,
    );
    // The same file, but nobody opens a store by a link.
    base.is_lost_after(
        r#"cd "$D"; mv store.db other.db; ln -s other.db store.db"#,
        replaced,
    );
}

#[test]
fn files_that_are_written_over() {
    let mut base = base();
    let short = "store.db-wal was cut short";
    base.is_lost_after(r#": > "$D/store.db-wal""#, short);
    base.is_lost_after(r#"truncate -s 5000 "$D/store.db-wal""#, short);
    base.is_lost_after(
        r#"printf 12345678 | dd of="$D/store.db-wal" bs=1 seek=16 conv=notrunc status=none"#,
        "store.db-wal was written over",
    );
    let over = "store.db was written over";
    base.is_lost_after(r#"cp "$D/backup.db" "$D/store.db""#, over);
    base.is_lost_after(r#": > "$D/store.db""#, over);
    base.is_lost_after(
        r#"dd if="$D/backup.db" of="$D/store.db" conv=notrunc status=none"#,
        over,
    );
}

/// A store that was put in the place of one in use is as it was put there after the mount has ended.
#[test]
fn the_new_store_is_left_alone() {
    let mut base = base();
    for act in [
        r#"cd "$D"; rm store.db*; cp backup.db store.db"#,
        // Opened and closed once by somebody else, who leaves a log of their own.
        r#"cd "$D"; rm store.db*; cp backup.db store.db; echo "not SQLite's" > store.db-wal; echo x > store.db-shm"#,
        r#"mv "$D" "$D-old"; mkdir "$D"; cp "$D-old/backup.db" "$D/store.db""#,
    ] {
        let (_, mount, folder) = base.case();
        mount.announce(&folder.display().to_string());
        sh(act, &[("D", &folder)]).ok();
        let before = files(&folder);
        assert_errno!(fs::read_dir(mount.point.join("0")), EIO, "{act}");
        drop(mount);
        same_files(&folder, &before);
        assert_eq!(files(&folder).len(), before.len(), "{act}");
    }
    // Only the file itself was replaced, so the old log is beside it: emptied, or it would be played into the backup.
    let (store, mount, folder) = base.case();
    mount.announce(&folder.display().to_string());
    sh(
        r#"cd "$D"; mv store.db old.db; mv backup.db store.db"#,
        &[("D", &folder)],
    )
    .ok();
    let backup = fs::read(folder.join("store.db")).unwrap();
    // Whoever opens it now would share the log of the old one.
    let out = store.run_in(0, "object generate -type aes -bits 256 -label new");
    let out = out.fails(STORE);
    assert!(out.stderr.contains("while process "), "{out:#?}");
    store.run("slot list").fails(STORE);
    store.run("store check").fails(STORE);
    drop(mount);
    assert!(fs::read(folder.join("store.db")).unwrap() == backup);
    store.run("store check").ok();
    assert!(holds(store, 0, &[1]));
    // And the old one has all that was acknowledged.
    sh(
        r#"cd "$D"; mv store.db backup.db; mv old.db store.db"#,
        &[("D", &folder)],
    )
    .ok();
    store.run("store check").ok();
    assert!(holds(store, 0, &[1, 2]) && holds(store, 1, &[1]));
}

/// The same when the backup was copied over the file in use, in place.
#[test]
fn a_backup_copied_over_the_store_is_left_alone() {
    let mut base = base();
    let (store, mount, folder) = base.case();
    mount.announce(&folder.display().to_string());
    mount.announce("store.db-wal.lost-1");
    store
        .run_in(0, "object generate -type aes -bits 256 -label k -count 200")
        .ok();
    // All of it into the file, which is larger then than the backup.
    rusqlite::Connection::open(folder.join("store.db"))
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let blob = fs::read(mount.point.join("0/2")).unwrap();
    store_trunc(&mount.point.join("1/2"), &blob).unwrap();
    sh(r#"cp "$D/backup.db" "$D/store.db""#, &[("D", &folder)]).ok();
    mount.logged("store.db was written over");
    mount.logged("store.db-wal.lost-1");
    drop(mount);
    let backup = fs::read(folder.join("backup.db")).unwrap();
    assert!(fs::read(folder.join("store.db")).unwrap() == backup);
    assert!(folder.join("store.db-wal.lost-1").exists());
    store.run("store check").ok();
    assert!(holds(store, 0, &[1]) && holds(store, 1, &[]));
}

/// Nobody asks the mount for anything, and then it is killed: the backup in the store's place is not mixed with the old
/// store's log all the same.
#[test]
fn a_killed_mount_leaves_no_log_beside_a_backup() {
    let mut base = base();
    let (store, mut mount, folder) = base.case();
    sh(
        // In one act: the daemon may look at any time.
        r#"cd "$D"; ln store.db old.db; mv backup.db store.db"#,
        &[("D", &folder)],
    )
    .ok();
    mount.logged("store.db was replaced");
    let log = folder.join("store.db-wal");
    let empty = || (fs::metadata(&log).unwrap().len() == 0).then_some(());
    assert!(wait_for(empty).is_some());
    mount.crash();
    store.run("store check").ok();
    assert!(holds(store, 0, &[1]) && holds(store, 1, &[]));
    sh(
        r#"cd "$D"; mv store.db backup.db; mv old.db store.db"#,
        &[("D", &folder)],
    )
    .ok();
    store.run("store check").ok();
    assert!(holds(store, 0, &[1, 2]) && holds(store, 1, &[1]));
}

/// Whether a slot holds these handles and no others.
fn holds(store: &Store, slot: u32, handles: &[u32]) -> bool {
    let out = store.run_in(slot, "partition contents --json").ok();
    let listed: Vec<u64> = out.json()["objects"]
        .as_array()
        .unwrap_or_else(|| panic!("{out:#?}"))
        .iter()
        .map(|it| it["handle"].as_u64().unwrap())
        .collect();
    listed == handles.iter().map(|it| u64::from(*it)).collect::<Vec<_>>()
}

/// What was acknowledged before is in the file after the mount has ended, when only what is beside it went.
#[test]
fn what_was_acknowledged_before_is_there_afterwards() {
    let mut base = base();
    for act in [
        r#"rm "$D/store.db-wal""#,
        r#"rm "$D/store.db-shm""#,
        r#"rm "$D"/store.db-*"#,
    ] {
        let (store, mount, folder) = base.case();
        mount.announce(&folder.display().to_string());
        sh(act, &[("D", &folder)]).ok();
        assert_errno!(fs::read_dir(mount.point.join("0")), EIO, "{act}");
        drop(mount);
        store.run("store check").ok();
        assert!(holds(store, 1, &[1]), "{act}");
    }
    // "ends the daemon by a signal (SIGBUS)", unless it is noticed first.
    let (store, mut mount, folder) = base.case();
    mount.announce(&folder.display().to_string());
    let blob = fs::read(mount.point.join("0/2")).unwrap();
    fs::write(store.path("usb/7"), &blob).unwrap();
    let script = r#": > "$D/store.db-shm"; ! mv "$USB/7" "$M/1/""#;
    let paths = [
        ("D", &*folder),
        ("USB", &*store.path("usb")),
        ("M", &*mount.point),
    ];
    sh(script, &paths).ok();
    assert_eq!(fs::read(store.path("usb/7")).unwrap(), blob);
    mount.crash();
    store.run("store check").ok();
    assert!(holds(store, 1, &[1]));
    // Removed altogether: "can be copied from /proc/PID/fd until then".
    let (store, mount, folder) = base.case();
    mount.announce(&folder.display().to_string());
    let rescue = format!(
        r#"cd "$D"; mkdir saved; rm store.db*
        for fd in /proc/{}/fd/*; do
            case $(readlink "$fd") in
                "$D/store.db (deleted)") cp "$fd" saved/store.db;;
                "$D/store.db-wal (deleted)") cp "$fd" saved/store.db-wal;;
            esac
        done
        mv saved/* ."#,
        mount.pid()
    );
    sh(&rescue, &[("D", &folder)]).ok();
    drop(mount);
    store.run("store check").ok();
    assert!(holds(store, 0, &[1, 2]) && holds(store, 1, &[1]));
}

/// A mount in the background says that its store was removed, and `slotfs umount` works.
#[test]
fn the_log_tells_of_a_removed_store() {
    let mut store = Store::empty();
    store.use_file("data/store.db");
    store.slot(0, "red");
    let point = store.path("mnt");
    let _mount = crate::logs::Cleared::at(&store);
    let shown = point.display();
    store
        .run(&format!("mount {shown} --login 0 --password-file 0=pw-0"))
        .ok();
    sh(r#"rm "$D"/store.db*"#, &[("D", &store.path("data"))]).ok();
    assert_eq!(
        crate::fixture::names(&store.path("data")),
        Vec::<String>::new()
    );
    let log = store.log_file();
    let said = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("store.db was removed").then_some(())
    };
    let said = wait_for(said);
    // Not from what the kernel remembers of the root.
    let root = wait_for(|| {
        let seen = fs::metadata(&point).unwrap();
        let listed = fs::read_dir(&point);
        (seen.is_dir() && listed.is_err()).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(1100));
    store.run(&format!("umount {shown}")).ok();
    assert!(said.is_some() && root.is_some());
    let mode = fs::metadata(&log).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

/// A command that has the store open says so too, and a shell does not log in again.
#[test]
fn commands_and_the_shell() {
    let mut store = Store::empty();
    store.use_file("data/store.db");
    store.slot(0, "red");
    store.aes(0, 1);
    let said = store.path("said");
    let mut command = store.command(&["--keep-going"]);
    command
        .stdin(Stdio::piped())
        .stdout(File::create(&said).unwrap())
        .stderr(File::create(store.path("errors")).unwrap());
    let mut shell = command.spawn().unwrap();
    let mut input = shell.stdin.take().unwrap();
    let results = || {
        let text = fs::read_to_string(&said).unwrap();
        text.matches("Command Result").count()
    };
    let mut tell = |line: &str| {
        let before = results();
        input.write_all(line.as_bytes()).unwrap();
        input.write_all(b"\n").unwrap();
        assert!(
            wait_for(|| (results() > before).then_some(())).is_some(),
            "{line}"
        );
        fs::read_to_string(&said).unwrap()
    };
    tell("role login -slot 0 -name co -password 'correct horse 0'");
    assert!(tell("object generate -slot 0 -type aes -bits 256 -label one").contains("Handle 2"));
    sh(r#"cd "$D"; rm store.db*"#, &[("D", &store.path("data"))]).ok();
    assert!(!tell("object generate -slot 0 -type aes -bits 256 -label two").contains("Handle 3"));
    tell("role login -slot 0 -name co -password 'correct horse 0'");
    let out = tell("partition contents -slot 0");
    assert_eq!(out.matches("CKR_DEVICE_ERROR").count(), 3, "{out}");
    drop(input);
    assert_eq!(shell.wait().unwrap().code(), Some(STORE));
    let errors = fs::read_to_string(store.path("errors")).unwrap();
    assert!(errors.contains("store.db was removed"), "{errors}");
    assert!(errors.contains("restore a backup"), "{errors}");
}

/// One command in the middle of its work.
#[test]
fn a_command_under_way() {
    let mut store = Store::empty();
    store.use_file("data/store.db");
    store.slot(0, "red");
    let said = store.path("said");
    let mut command = store.command(&[
        "object",
        "generate",
        "-type",
        "aes",
        "-bits",
        "256",
        "-label",
        "many",
        "-count",
        "200000",
        "-slot",
        "0",
        "--password-file",
        "0=pw-0",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(File::create(&said).unwrap())
        .stderr(File::create(store.path("errors")).unwrap());
    let mut running = command.spawn().unwrap();
    let begun = || {
        fs::read_to_string(&said)
            .unwrap()
            .contains("Handle 2")
            .then_some(())
    };
    assert!(wait_for(begun).is_some());
    sh(r#"cd "$D"; rm store.db*"#, &[("D", &store.path("data"))]).ok();
    let status = wait_for(|| running.try_wait().unwrap());
    assert_eq!(status.and_then(|it| it.code()), Some(STORE));
    let errors = fs::read_to_string(store.path("errors")).unwrap();
    assert!(errors.contains("store.db was removed"), "{errors}");
    assert!(!store.path("data/store.db-wal").exists());
}

/// Commands beside a mount, checkpoints, backups, checks, VACUUM: none of it is taken for a loss. The mount fails this
/// test on any warning.
#[test]
fn what_is_lawful() {
    let mut store = Store::empty();
    store.use_file("data/store.db");
    store.slot(0, "red");
    store.slot(1, "red");
    store.slot(2, "red");
    store.aes(0, 20);
    let hsm = store.mount(&[0, 1, 2]);
    let store = &hsm.store;
    let ok = |out: Out| {
        out.ok();
    };
    std::thread::scope(|scope| {
        for slot in [0, 1] {
            scope.spawn(move || {
                for _ in 0..3 {
                    ok(store.run_in(
                        slot,
                        "object generate -type aes -bits 256 -label x -count 300",
                    ));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2 {
                ok(store.run(
                    "partition clone -active-slot 0 -objects 1,2,3,4,5 -slot 1 -force --password-file 0=pw-0 --password-file 1=pw-1",
                ));
                ok(store.run("store check"));
                ok(store.run("store backup -force copy.db"));
            }
        });
        scope.spawn(|| {
            let open = || rusqlite::Connection::open(store.path("data/store.db")).unwrap();
            for round in 0..60 {
                let connection = open();
                connection.busy_timeout(crate::fixture::DEADLINE).unwrap();
                for how in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
                    let done =
                        connection
                            .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
                    done.unwrap();
                }
                if round % 20 == 0 {
                    connection.execute_batch("VACUUM").unwrap();
                }
            }
        });
        for round in 0..40 {
            for handle in 1..=20 {
                hsm.copy((0, handle), (2, handle));
                fs::remove_file(hsm.file(2, handle)).unwrap();
            }
            if round % 10 == 0 {
                fs::read_dir(hsm.slot(1)).unwrap().for_each(drop);
            }
        }
    });
    assert_eq!(hsm.list(2), Vec::<String>::new());
    // An idle mount beside one that ends.
    ok(store.run("store check"));
    hsm.copy((0, 1), (2, 1));
}
