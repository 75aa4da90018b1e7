//! The units of packaging/systemd that synchronize a group.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::fixture::sh;

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/systemd")
        .join(name)
}

/// systemd takes the units.
#[test]
fn the_units_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["slotfs-hagroup@.service", "slotfs-hagroup@.timer"] {
        let text = fs::read_to_string(unit(name)).unwrap();
        let text = text.replace("/usr/bin/slotfs", env!("CARGO_BIN_EXE_slotfs"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    let verify = r#"systemd-analyze verify --man=no "$U"/slotfs-hagroup@pay.service "$U"/slotfs-hagroup@pay.timer"#;
    let out = sh(verify, &[("U", folder.path())]).ok();
    let ours = out.stderr.lines().filter(|line| line.contains("slotfs"));
    assert_eq!(ours.count(), 0, "{out:?}");
    let score = r#"systemd-analyze security --offline=true --no-pager --threshold=50 "$U"/slotfs-hagroup@.service"#;
    sh(score, &[("U", folder.path())]).ok();
}

/// What the service runs is a command, and a password is one of its credentials.
#[test]
fn the_service_synchronizes_a_group_with_credentials() {
    let sites = Sites::new(&[A, C]);
    let folder = sites.0.path("credentials");
    fs::create_dir(&folder).unwrap();
    let with = |store: &str, line: &str| {
        let mut command = sites.command(store, line);
        run(command.env("CREDENTIALS_DIRECTORY", &folder))
    };
    for place in [A, C] {
        let slots = sites.on(place.0, "slot list --json").ok().json();
        let serial = slots["slots"][0]["serial"].as_u64().unwrap();
        let to = folder.join(format!("serial-{serial}.password"));
        fs::copy(sites.0.path(file(place)), to).unwrap();
    }
    with("store.db", "hagroup creategroup -label pay -slot 0").ok();
    with("other.db", "hagroup addmember -group pay -slot 0").ok();
    sites.keys(A, &["key"]);
    let service = fs::read_to_string(unit("slotfs-hagroup@.service")).unwrap();
    let line = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/slotfs "))
        .unwrap();
    // The store of other commands is not there, and is not needed.
    with("none.db", &line.replace("%I", "pay")).ok();
    assert_eq!(sites.labels(C), ["key"]);
}
