//! `slotfs status`.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixture::{Store, run, sh, two_slots, wait_for};

fn mount_at<'a>(status: &'a Value, point: &std::path::Path) -> Option<&'a Value> {
    let mounts = status["mounts"].as_array().unwrap();
    mounts
        .iter()
        .find(|it| it["mountpoint"].as_str() == point.to_str())
}

#[test]
fn a_store_that_is_mounted() {
    let hsm = two_slots(2);
    let socket = hsm.store.socket();
    // The mount is there before its server.
    let served = || {
        let status = hsm.store.run("status --json").ok().json();
        (!status["server"]["connections"].is_null()).then_some(status)
    };
    let status = wait_for(served).unwrap();
    let mount = mount_at(&status, &hsm.mount.point).unwrap();
    assert_eq!(mount["state"], "answers");
    assert_eq!(mount["pid"], hsm.mount.pid().as_raw());
    assert_eq!(mount["version"], env!("CARGO_PKG_VERSION"));
    let logins = json!([{"slot": 0, "role": "co"}, {"slot": 1, "role": "co"}]);
    assert_eq!(mount["logged_in"], logins);
    assert_eq!(status["server"]["socket"].as_str(), socket.to_str());
    assert_eq!(status["server"]["pid"], hsm.mount.pid().as_raw());
    assert_eq!(status["server"]["connections"], 0);
    // A cluster's keys have versions of their own.
    let schema = if hsm.store.location().is_file() { 4 } else { 1 };
    assert_eq!(status["store"]["schema"], schema);
    let slots = status["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 2);
    assert_eq!(
        (&slots[0]["objects"], &slots[0]["damage"]),
        (&json!(2), &Value::Null)
    );
    let roles = slots[0]["roles"].as_array().unwrap();
    assert_eq!(roles.len(), 3);
    assert_eq!(roles[2]["initialized"], false);

    let text = hsm.store.run("status").ok().stdout;
    for words in [
        hsm.mount.point.to_str().unwrap(),
        socket.to_str().unwrap(),
        "0:co 1:co",
        "not initialized",
        "Command Result : No Error",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let one = hsm.store.run("status -slot 1 --json").ok().json();
    assert_eq!(one["slots"].as_array().unwrap().len(), 1);
    let missing = hsm.store.run("status -slot 9").fails(1);
    assert!(missing.stderr.contains("slot 9"), "{missing:?}");
}

/// The mount of another store is not this one's, and a store that nobody uses says so.
#[test]
fn a_store_that_is_not_mounted() {
    let hsm = two_slots(1);
    let other = Store::empty();
    other.slot(3, "red");
    let status = other.run("status --json").ok().json();
    assert!(mount_at(&status, &hsm.mount.point).is_none());
    assert_eq!(status["server"], Value::Null);
    let text = other.run("status").ok().stdout;
    assert!(text.contains("The store is not mounted."), "{text}");
    assert!(text.contains("No token server listens."), "{text}");
}

/// A server without a mount.
#[test]
fn a_store_that_is_served() {
    let store = Store::empty();
    store.slot(0, "red");
    store.run("serve --background --idle 3600").ok();
    let status = store.run("status --json").ok().json();
    let server = &status["server"];
    assert_eq!(server["socket"].as_str(), store.socket().to_str());
    assert_eq!(server["connections"], Value::Null);
    let pid = i32::try_from(server["pid"].as_i64().unwrap()).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let gone = || {
        store.run("status --json").ok().json()["server"]
            .is_null()
            .then_some(())
    };
    assert!(wait_for(gone).is_some());
}

/// A daemon that is stopped or dead keeps nobody waiting for ever.
#[test]
fn daemons_that_do_not_answer() {
    let hsm = two_slots(1);
    hsm.mount.signal(Signal::SIGSTOP);
    let stopped = hsm.store.run("status --json");
    hsm.mount.signal(Signal::SIGCONT);
    let stopped = stopped.ok().json();
    assert_eq!(
        mount_at(&stopped, &hsm.mount.point).unwrap()["state"],
        "silent"
    );
    let mut hsm = hsm;
    hsm.mount.crash();
    let dead = hsm.store.run("status --json").ok().json();
    let dead = mount_at(&dead, &hsm.mount.point).unwrap();
    assert_eq!(
        (&dead["state"], &dead["pid"]),
        (&json!("dead"), &Value::Null)
    );
    let text = hsm.store.run("status").ok().stdout;
    assert!(text.contains("its daemon was killed"), "{text}");
}

/// What is damaged is shown, the others too, and the exit status says it.
#[test]
fn damage_is_an_exit_status() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    let database = rusqlite::Connection::open(store.path("store.db")).unwrap();
    database
        .execute_batch("DELETE FROM domains WHERE slot = 0; UPDATE credentials SET failures = 10 WHERE slot = 1 AND role = 2")
        .unwrap();
    drop(database);
    let out = store.run("status --json").fails(4);
    let status = out.json();
    assert!(status["slots"][0]["damage"].is_string(), "{status:#}");
    assert_eq!(status["slots"][1]["damage"], Value::Null);
    assert_eq!(status["slots"][1]["roles"][1]["locked"], true);
    assert!(
        status["error"]["message"]
            .as_str()
            .unwrap()
            .contains("slot 0")
    );
    let text = store.run("status").fails(4);
    assert!(
        text.stdout.contains("damaged") && text.stderr.contains("slot 0"),
        "{text:?}"
    );
    store.run("status -slot 1").ok();
    // A mount says the same to Prometheus.
    let mount = store.start(&[]);
    mount.announce("slot 0");
    let page = fs::read_to_string(mount.point.join(".slotfs/metrics")).unwrap();
    let page = super::exposition::Page::read(&page);
    for (slot, damaged) in [("0", 1.0), ("1", 0.0)] {
        let labels = [("slot", slot), ("state", "damaged")];
        assert_eq!(page.value("slotfs_slot_state", &labels), damaged);
    }
    let co = [("slot", "1"), ("role", "co")];
    assert_eq!(page.value("slotfs_slot_role_locked", &co), 1.0);
    assert_eq!(page.value("slotfs_slot_failed_logins", &co), 10.0);
}

/// Without a store, and with one that this user may not read, the error says so.
#[test]
fn there_is_no_store() {
    let store = Store::empty();
    let out = store.run("status").fails(4);
    assert!(out.stderr.contains("there is no store"), "{out:?}");
    let out = store.run("status --json").fails(4);
    assert!(out.json()["error"]["message"].is_string(), "{out:?}");
    fs::write(store.path("text.db"), "no store").unwrap();
    let out = run(&mut store.bare(&["--store", "text.db", "status"])).fails(4);
    assert!(out.stderr.contains("text.db"), "{out:?}");
    let refused = store.run("status --password-file 0=pw-0").fails(2);
    assert!(refused.stderr.contains("does nothing for"), "{refused:?}");
}

/// "forbidden": another user's mount.
#[test]
fn a_mount_of_another_user() {
    let hsm = two_slots(1);
    let script =
        r#"setpriv --reuid 65534 --regid 65534 --clear-groups "$S" --store "$D" status --json"#;
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(folder.path(), 0o777);
    let (program, database) = (folder.path().join("slotfs"), hsm.store.path("store.db"));
    fs::copy(env!("CARGO_BIN_EXE_slotfs"), &program).unwrap();
    open(&program, 0o755);
    // The store is that user's, and the mount is root's.
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        std::os::unix::fs::chown(hsm.store.path(name), Some(65534), Some(65534)).unwrap();
    }
    // The way to the mountpoint is open, as that to /mnt is.
    open(&hsm.store.path(""), 0o755);
    let status = sh(
        script,
        &[("S", &program), ("D", &database), ("HOME", folder.path())],
    );
    let status = status.ok().json();
    let mount = mount_at(&status, &hsm.mount.point).unwrap();
    assert_eq!(mount["state"], "forbidden");
    assert_eq!(mount["logged_in"], Value::Null);
}
