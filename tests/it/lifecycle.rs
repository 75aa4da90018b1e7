//! Mounting, unmounting, signals, crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::{
    Out, Store, assert_errno, contents, daemons_of, is_mounted, names, run, run_with_input, sh,
    store_excl, unmount, wait_for,
};

/// A mount in the background; ends it whatever happens.
struct Background<'a> {
    store: &'a Store,
    point: PathBuf,
}

impl<'a> Background<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            point: store.path("mnt"),
        }
    }

    fn mount(&self, more: &str) -> Out {
        self.store
            .run(&format!("mount {} {more}", self.point.display()))
    }

    fn daemon(&self) -> Option<Pid> {
        daemons_of(&self.point).first().copied()
    }

    fn umount(&self) -> Out {
        self.store.run(&format!("umount {}", self.point.display()))
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        let mounted = is_mounted(&self.point);
        if mounted {
            unmount(&self.point, "-uz");
        }
        let ended = wait_for(|| self.daemon().is_none().then_some(()));
        if let Some(pid) = self.daemon() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if !std::thread::panicking() {
            assert!(ended.is_some(), "a daemon was left over");
            assert!(!mounted, "a mount was left over");
        }
    }
}

fn store_with_two_keys() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 2);
    store
}

const LOGIN: &str = "--login 0 --password-file 0=pw-0";

/// "`mount` returns when the mount is ready".
#[test]
fn mount_returns_when_ready() {
    let store = store_with_two_keys();
    let mount = Background::new(&store);
    mount.mount(LOGIN).ok();
    // At once, without a wait.
    assert!(is_mounted(&mount.point));
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    assert!(mount.daemon().is_some());
    assert!(store.logged().contains("is mounted at"));
    mount.umount().ok();
    assert!(!is_mounted(&mount.point));
    let ended = wait_for(|| mount.daemon().is_none().then_some(()));
    assert!(ended.is_some());
    assert!(names(&mount.point).is_empty());
    // And again.
    mount.mount(LOGIN).ok();
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    mount.umount().ok();
}

/// A mount without any login: the slots are there and locked.
#[test]
fn mount_without_a_login() {
    let store = store_with_two_keys();
    let mount = Background::new(&store);
    mount.mount("").ok();
    assert_errno!(fs::read_dir(mount.point.join("0")), ENOKEY);
    sh(
        r#"cat "$P" > "$M/0/.slotfs/login""#,
        &[("P", &store.path("pw-0")), ("M", &mount.point)],
    )
    .ok();
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    mount.umount().ok();
}

/// A relative mountpoint means the caller's directory, also for the daemon.
#[test]
fn relative_paths() {
    let store = store_with_two_keys();
    let mount = Background::new(&store);
    store
        .run("mount mnt --log-file here.log --login 0 --password-file 0=pw-0")
        .ok();
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    assert!(store.path("here.log").exists());
    store.run("umount mnt").ok();
    assert!(!is_mounted(&mount.point));
}

/// The log is written where it was asked for.
#[test]
fn log_file() {
    let store = store_with_two_keys();
    let mount = Background::new(&store);
    let log = store.path("daemon.log");
    mount
        .mount(&format!("{LOGIN} --log-file {}", log.display()))
        .ok();
    fs::write(mount.point.join("0/.x"), b"foreign").unwrap();
    assert_errno!(
        fs::rename(mount.point.join("0/.x"), mount.point.join("0/9")),
        EACCES
    );
    fs::remove_file(mount.point.join("0/.x")).unwrap();
    let told = wait_for(|| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("was not cloned").then_some(())
    });
    assert!(told.is_some());
    mount.umount().ok();
}

fn refused(store: &Store, line: &str, code: i32, words: &[&str]) {
    for line in [line.to_owned(), format!("{line} --foreground")] {
        let out = store.run_without_terminal(&line);
        assert_eq!(out.code, code, "{line}: {out:?}");
        assert!(out.stderr.starts_with("slotfs: "), "{line}: {out:?}");
        let text = out.stderr.to_lowercase();
        assert!(
            words.iter().all(|word| text.contains(word)),
            "{line}: {out:?} does not say {words:?}"
        );
        assert!(!is_mounted(&store.path("mnt")), "{line}");
        assert!(daemons_of(&store.path("mnt")).is_empty(), "{line}");
    }
}

/// "or fails with the reason": a mountpoint that is not there, or is no directory.
#[test]
fn mount_fails_for_a_bad_mountpoint() {
    let store = store_with_two_keys();
    let missing = store.path("missing");
    refused(
        &store,
        &format!("mount {} {LOGIN}", missing.display()),
        5,
        &["missing"],
    );
    fs::write(store.path("file"), b"").unwrap();
    let file = store.path("file");
    refused(
        &store,
        &format!("mount {} {LOGIN}", file.display()),
        5,
        &["file"],
    );
}

/// A wrong password: exit 3, and nothing is mounted.
#[test]
fn mount_fails_for_a_wrong_password() {
    let store = store_with_two_keys();
    crate::fixture::write_private(&store.path("pw-0"), "not the password");
    let point = store.path("mnt");
    refused(
        &store,
        &format!("mount {} {LOGIN}", point.display()),
        3,
        &["password", "slot 0"],
    );
}

/// A login that cannot be made: no such slot, no password and no terminal.
#[test]
fn mount_fails_for_a_login_that_cannot_be() {
    let store = store_with_two_keys();
    let point = store.path("mnt");
    let out = store.run_without_terminal(&format!(
        "mount {} --login 7 --password-file 7=pw-0",
        point.display()
    ));
    assert_ne!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains('7'), "{out:?}");
    let out = store.run_without_terminal(&format!("mount {} --login 0", point.display()));
    assert_ne!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("password"), "{out:?}");
    assert!(!is_mounted(&point));
}

/// A file that is not a store, one that is not there, one that is damaged: exit 4.
#[test]
fn mount_fails_without_a_store() {
    let store = Store::empty();
    let point = store.path("mnt");
    let line = format!("mount {}", point.display());
    refused(&store, &line, 4, &["store.db"]);
    assert!(!store.path("store.db").exists(), "mount made a store");
    fs::write(store.path("store.db"), b"this is text, not SQLite").unwrap();
    refused(&store, &line, 4, &["store.db"]);
    fs::write(store.path("store.db"), vec![0x5a; 100_000]).unwrap();
    refused(&store, &line, 4, &["store.db"]);
    assert_eq!(
        fs::read(store.path("store.db")).unwrap(),
        vec![0x5a; 100_000]
    );
}

/// Another program's SQLite file is not taken for a store.
#[test]
fn mount_fails_for_another_programs_database() {
    let store = Store::empty();
    let file = store.path("store.db");
    run(Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('create table t(a)'); c.commit()",
        ])
        .arg(&file))
    .ok();
    let before = fs::read(&file).unwrap();
    refused(
        &store,
        &format!("mount {}", store.path("mnt").display()),
        4,
        &["store.db"],
    );
    assert_eq!(fs::read(&file).unwrap(), before);
}

/// Mounting twice at the same place says so.
#[test]
fn mount_fails_where_it_is_mounted() {
    let store = store_with_two_keys();
    let mount = Background::new(&store);
    mount.mount(LOGIN).ok();
    let first = mount.daemon();
    let out = mount.mount(LOGIN).fails(5);
    assert!(out.stderr.contains("mounted"), "{out:?}");
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    assert_eq!(mount.daemon(), first);
    mount.umount().ok();
    assert!(!is_mounted(&mount.point));
}

/// `umount` of what is not mounted fails; of what is in use says so.
#[test]
fn umount_fails_with_the_reason() {
    let store = store_with_two_keys();
    let mount = Background::new(&store);
    mount.umount().fails(5);
    mount.mount(LOGIN).ok();
    let open = fs::File::open(mount.point.join("0/1")).unwrap();
    let out = mount.umount();
    assert_eq!(out.code, 5, "{out:?}");
    assert!(
        out.stderr.contains("busy") || out.stderr.contains("use"),
        "{out:?}"
    );
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    drop(open);
    mount.umount().ok();
    assert!(!is_mounted(&mount.point));
}

/// "SIGINT and SIGTERM unmount and wipe the keys". SIGHUP: logs.rs.
#[test]
fn signals_unmount() {
    let store = store_with_two_keys();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut mount = store.start(&[0]);
        assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
        mount.signal(signal);
        let status = mount.wait();
        assert!(status.success(), "{signal}: {status}");
        assert!(!is_mounted(&mount.point), "{signal}");
    }
    let mount = Background::new(&store);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        mount.mount(LOGIN).ok();
        kill(mount.daemon().unwrap(), signal).unwrap();
        let ended = wait_for(|| mount.daemon().is_none().then_some(()));
        assert!(ended.is_some(), "{signal}");
        assert!(!is_mounted(&mount.point), "{signal}");
    }
}

/// A signal while a file is open: the mount goes away all the same, and what was not complete is not there.
#[test]
fn a_signal_while_a_file_is_open() {
    let store = store_with_two_keys();
    let mut mount = store.start(&[0]);
    let blob = fs::read(mount.point.join("0/1")).unwrap();
    let reading = fs::File::open(mount.point.join("0/1")).unwrap();
    let writing = crate::fixture::open_excl(&mount.point.join("0/9")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&writing, &blob[..50], 0).unwrap();
    mount.announce("");
    mount.signal(Signal::SIGTERM);
    mount.wait();
    assert!(!is_mounted(&mount.point));
    drop((reading, writing));
    drop(mount);
    let mount = store.start(&[0]);
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
}

/// Unmounted by another's `fusermount3 -u` the daemon ends too, with success.
#[test]
fn unmounted_by_others() {
    let store = store_with_two_keys();
    let mut mount = store.start(&[0]);
    assert!(unmount(&mount.point, "-u"));
    assert!(mount.wait().success());
    let log = mount.log();
    assert!(!log.contains("WARN"), "an ordinary end warns: {log}");
}

/// `slotfs umount` ends a foreground daemon as well.
#[test]
fn umount_of_a_foreground_mount() {
    let store = store_with_two_keys();
    let mut mount = store.start(&[0]);
    store.run(&format!("umount {}", mount.point.display())).ok();
    assert!(mount.wait().success());
    assert!(!is_mounted(&mount.point));
}

/// "a stale mountpoint of a killed daemon is recognised and the message says what to do"; `umount` clears it.
#[test]
fn a_stale_mountpoint() {
    let store = store_with_two_keys();
    let mut crashed = store.start(&[0]);
    crashed.crash();
    let mount = Background::new(&store);
    assert!(is_mounted(&mount.point));
    assert_errno!(fs::read_dir(&mount.point), ENOTCONN);
    let out = mount.mount(LOGIN).fails(5);
    assert!(
        out.stderr.contains("was left behind") && out.stderr.contains("slotfs umount"),
        "what happened and what to do: {out:?}"
    );
    assert!(out.stderr.contains("hint:"), "{out:?}");
    mount.umount().ok();
    assert!(!is_mounted(&mount.point));
    mount.mount(LOGIN).ok();
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    mount.umount().ok();
}

/// "kill -9 and restart: what was acknowledged is there; what was not is wholly there or absent; nothing is
/// half." Killed at several moments of a running loop of cp.
#[test]
fn killed_under_a_running_copy() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.slot(2, "red");
    store.aes(0, 10);
    store.data(0, 50_000);
    for (round, pause) in [40, 90, 160, 250].into_iter().enumerate() {
        let mut mount = store.start(&[0, 1]);
        mount.announce("");
        let all = contents(&mount.point.join("0"));
        for name in names(&mount.point.join("1")) {
            fs::remove_file(mount.point.join("1").join(name)).unwrap();
        }
        // Says a handle only after cp has said that it is there.
        let said = store.path(format!("said-{round}"));
        let mut copies = Command::new("sh")
            .args([
                "-c",
                r#"while [ -e "$M"/0/1 ]; do
                     for f in "$M"/0/*; do
                       cp "$f" "$M"/1/ && echo "${f##*/}" >> "$A" || exit
                     done
                     rm "$M"/1/3 && echo -3 >> "$A" || exit
                   done"#,
            ])
            .env("M", &mount.point)
            .env("A", &said)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = wait_for(|| {
            let lines = fs::read_to_string(&said)
                .unwrap_or_default()
                .lines()
                .count();
            (lines > round * 3).then_some(())
        });
        assert!(started.is_some());
        std::thread::sleep(Duration::from_millis(pause));
        mount.crash();
        assert!(wait_for(|| copies.try_wait().unwrap()).is_some());
        drop(mount);

        let mut acknowledged: BTreeMap<String, bool> = BTreeMap::new();
        for line in fs::read_to_string(&said).unwrap().lines() {
            match line.strip_prefix('-') {
                Some(name) => acknowledged.insert(name.to_owned(), false),
                None => acknowledged.insert(line.to_owned(), true),
            };
        }
        let mount = store.start(&[0, 1, 2]);
        assert_eq!(contents(&mount.point.join("0")), all);
        let arrived = contents(&mount.point.join("1"));
        for (name, bytes) in &arrived {
            assert_eq!(Some(bytes), all.get(name), "{name} is not whole");
        }
        for (name, there) in acknowledged {
            // Handle 3 comes and goes: the loop's next step may have been done and not said.
            if there && name != "3" {
                assert!(arrived.contains_key(&name), "{name} was acknowledged");
            }
        }
        // Every one verifies in a slot that has not seen it.
        for (name, bytes) in &arrived {
            let there = mount.point.join("2").join(name);
            if !there.exists() {
                store_excl(&there, bytes).unwrap();
            }
        }
        for name in names(&mount.point.join("2")) {
            fs::remove_file(mount.point.join("2").join(name)).unwrap();
        }
    }
}

/// The smallest case of it: one write acknowledged, killed at once.
#[test]
fn killed_after_an_acknowledged_write() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 3);
    let mut mount = store.start(&[0, 1]);
    let all = contents(&mount.point.join("0"));
    let mut open = Vec::new();
    for (name, bytes) in &all {
        let file = crate::fixture::open_excl(&mount.point.join("1").join(name)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
        open.push(file);
    }
    fs::rename(mount.point.join("0/1"), mount.point.join("0/70")).unwrap();
    fs::remove_file(mount.point.join("0/2")).unwrap();
    mount.crash();
    drop(open);
    drop(mount);
    let mount = store.start(&[0, 1]);
    assert_eq!(contents(&mount.point.join("1")), all);
    assert_eq!(names(&mount.point.join("0")), ["3", "70"]);
}

/// A move across slots under kill -9 is "both or neither": each object is in exactly one of the two slots.
#[test]
fn killed_under_a_running_move() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 8);
    let mut all: Option<BTreeMap<_, _>> = None;
    for pause in [30, 80, 140] {
        let mut mount = store.start(&[0, 1]);
        mount.announce("");
        let (zero, one) = (mount.point.join("0"), mount.point.join("1"));
        let mut here = contents(&zero);
        here.extend(contents(&one));
        assert_eq!(all.get_or_insert_with(|| here.clone()), &here);
        let mut moves = Command::new("sh")
            .args([
                "-c",
                r#"while :; do
                     for h in 1 2 3 4 5 6 7 8; do
                       if [ -e "$Z"/$h ]; then mv "$Z"/$h "$O"/$h; else mv "$O"/$h "$Z"/$h; fi || exit
                     done
                   done"#,
            ])
            .envs([("Z", &zero), ("O", &one)])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        mount.crash();
        assert!(wait_for(|| moves.try_wait().unwrap()).is_some());
        drop(mount);
        let mount = store.start(&[0, 1]);
        let (zero, one) = (contents(&zero), contents(&one));
        assert_eq!(
            zero.len() + one.len(),
            8,
            "{:?} {:?}",
            zero.keys(),
            one.keys()
        );
        let mut here = zero;
        here.extend(one);
        assert_eq!(Some(here), all);
        drop(mount);
    }
}

/// Keys and passwords are in neither the log nor the process's command line.
#[test]
fn nothing_secret_is_told() {
    let store = store_with_two_keys();
    let mount = store.start(&[0]);
    let line = fs::read(format!("/proc/{}/cmdline", mount.pid())).unwrap();
    let line = String::from_utf8_lossy(&line).into_owned();
    assert!(!line.contains("horse"), "{line}");
    let environment = fs::read(format!("/proc/{}/environ", mount.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("horse"));
    assert!(!mount.log().contains("horse"), "{}", mount.log());
}

/// The store file is its owner's alone.
#[test]
fn the_store_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let store = store_with_two_keys();
    let mount = store.start(&[0]);
    for entry in fs::read_dir(store.path("")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("store.db") {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
        }
    }
    drop(mount);
}

/// A password by standard input is not what is promised; but a closed one is no reason to hang.
#[test]
fn mount_does_not_hang_without_input() {
    let store = store_with_two_keys();
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_slotfs"))
        .arg("--store")
        .arg(store.path("store.db"))
        .arg("mount")
        .arg(store.path("mnt"))
        .args(["--login", "0"]);
    let out = run_with_input(&mut command, b"");
    assert_ne!(out.code, 0, "{out:?}");
    assert!(!is_mounted(&store.path("mnt")));
}
