#![allow(clippy::unwrap_used)]
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const USERS: &str = "/home/user/config.toml";

fn taken(text: &str, file: &str) -> Result<Config, String> {
    let mut config = Config::default();
    config.take(text, Path::new(file)).map(|()| config)
}

/// Every setting with a value that is not its default.
const EVERYTHING: &str = r#"
    store = "/srv/keys.db"
    socket = "/run/keys.sock"
    active_slot = 3
    login = ["0", "1:cu"]
    password_file = ["0=/etc/pw", "1:cu=/etc/pw-cu"]
    share_file = ["2=/a", "2=/b"]
    options = "allow_other,umask=077"
    log = "syslog"
    log_filter = "warn,slotfs=debug"
    linger = 30
    idle = 600
    archive = "/srv/archive"
    user = "cu"
    owner = 998
    spawn = false
    program = "/opt/slotfs"
    uninitialized_slot = false
"#;

#[test]
fn a_file_sets_what_it_names() {
    let config = taken(EVERYTHING, SYSTEM_FILE).unwrap();
    let expected = Config {
        store: Some("/srv/keys.db".into()),
        socket: Some("/run/keys.sock".into()),
        active_slot: Some(3),
        login: vec!["0".into(), "1:cu".into()],
        password_file: vec!["0=/etc/pw".into(), "1:cu=/etc/pw-cu".into()],
        share_file: vec!["2=/a".into(), "2=/b".into()],
        options: Some("allow_other,umask=077".into()),
        log: "syslog".into(),
        log_filter: Some("warn,slotfs=debug".into()),
        linger_secs: 30,
        idle_secs: Some(600),
        archive: Some("/srv/archive".into()),
        user_is_cu: true,
        owner: Some(998),
        spawn: Some(false),
        program: "/opt/slotfs".into(),
        uninitialized_slot: false,
        origins: config.origins.clone(),
    };
    assert_eq!(config, expected);
    let unset = Config::default().settings();
    for (setting, unset) in config.settings().iter().zip(unset) {
        assert_eq!(
            setting.origin,
            Origin::File(SYSTEM_FILE.into()),
            "{setting:?}"
        );
        assert_ne!(setting.value, unset.value, "{setting:?}");
        assert_eq!(unset.origin, Origin::Default);
    }
}

#[test]
fn what_is_no_setting_is_named() {
    for (text, says) in [
        ("sotre = \"/x\"", "line 1: there is no setting 'sotre'"),
        (
            "\n[mount]\nlog = \"x\"",
            "line 2: there is no setting 'mount'",
        ),
        ("store = \"x\"", "line 1: store takes an absolute path"),
        ("store = 1", "line 1: store takes an absolute path"),
        ("# it\nuser = \"po\"", "line 2: user takes \"co\" or \"cu\""),
        (
            "owner = -1",
            "line 1: owner takes a number up to 4294967295",
        ),
        ("spawn = \"yes\"", "line 1: spawn takes true or false"),
        (
            "linger = 1000000",
            "line 1: linger takes a number up to 86400",
        ),
        ("idle = 0", "line 1: idle takes a number from 1 to 31536000"),
        (
            "active_slot = \"1\"",
            "line 1: active_slot takes a number up to 4294967295",
        ),
        (
            "login = \"0\"",
            "line 1: login takes a list such as [\"0\", \"1:cu\"]",
        ),
        (
            "password_file = [\"0=pw\"]",
            "line 1: password_file takes a list such as [\"0=/path\", \"1:cu=/path\"], with absolute paths",
        ),
        (
            "log = \"here\"",
            "line 1: log takes \"auto\", \"stderr\", \"journal\", \"syslog\" or an absolute path",
        ),
        (
            "log_filter = \"slotfs=loud\"",
            "line 1: log_filter takes levels such as \"info\" or \"warn,slotfs=debug\"",
        ),
    ] {
        assert_eq!(taken(text, SYSTEM_FILE).unwrap_err(), says);
    }
    let says = taken("program = \"/x\"", USERS).unwrap_err();
    assert_eq!(says, "line 1: program can only be set in /etc/slotfs.toml");
    let says = taken("user = \"co\"\nstore = ", SYSTEM_FILE).unwrap_err();
    assert!(says.starts_with("line 2: "), "{says}");
    let says = taken("linger = 1\nlinger = 2", SYSTEM_FILE).unwrap_err();
    assert!(says.starts_with("line 2: "), "{says}");
}

#[test]
fn the_environment_is_above_files() {
    let mut config = taken("store = \"/a\"\nspawn = true\nactive_slot = 1", USERS).unwrap();
    let environment = |name: &str| match name {
        "SLOTFS_STORE" => Some(OsString::from("/b")),
        "SLOTFS_SPAWN" => Some(OsString::from("0")),
        "SLOTFS_LOG" => Some(OsString::from("debug")),
        "SLOTFS_ACTIVE_SLOT" => Some(OsString::from("x")),
        _ => None,
    };
    config.take_environment(environment).unwrap();
    assert_eq!(config.store, Some("/b".into()));
    assert_eq!(config.spawn, Some(false));
    assert_eq!(config.log_filter.as_deref(), Some("debug"));
    assert_eq!(config.origin("store"), Origin::Variable("SLOTFS_STORE"));
    assert_eq!(config.origin("log_filter"), Origin::Variable("SLOTFS_LOG"));
    // The command line reports it.
    assert_eq!(config.active_slot, Some(1));
    assert_eq!(config.origin("active_slot"), Origin::File(USERS.into()));
    let wrong = |name: &str| (name == "SLOTFS_SPAWN").then(|| OsString::from("yes"));
    assert!(Config::default().take_environment(wrong).is_err());
}

#[test]
fn a_socket_is_that_of_its_store() {
    let file = "store = \"/a\"\nsocket = \"/a.sock\"";
    let mut config = taken(file, USERS).unwrap();
    config.use_store("/a".into());
    assert_eq!(config.socket, Some("/a.sock".into()));
    config.take_parameters("socket=/b.sock store=/b").unwrap();
    assert_eq!(config.socket, Some("/b.sock".into()));
    assert_eq!(config.origin("socket"), Origin::Parameter);
    config.take_parameters("store=/a").unwrap();
    assert_eq!(config.socket, None);
    assert_eq!(config.origin("socket"), Origin::Default);
    config.use_store("a".into());
    config.socket = Some("/a.sock".into());
    config.use_store("/somewhere/a".into());
    assert_eq!(config.socket, Some("/a.sock".into()));
    config.take(file, Path::new(USERS)).unwrap();
    let other = |name: &str| (name == "SLOTFS_STORE").then(|| OsString::from("/c"));
    config.take_environment(other).unwrap();
    assert_eq!(config.socket, None);
}

#[test]
fn parameters_of_c_initialize() {
    let mut config = Config::default();
    let text = "configdir='sql:/etc/pki' store=\"/srv/my keys.db\" user=cu flags=";
    config.take_parameters(text).unwrap();
    assert_eq!(config.store, Some("/srv/my keys.db".into()));
    assert!(config.user_is_cu);
    config.take_parameters("  ").unwrap();
    for wrong in ["store", "user=po", "store=\"/x"] {
        assert!(config.take_parameters(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    assert!(
        Config::of_file(&path)
            .unwrap_err()
            .ends_with("there is no such file")
    );
    std::fs::write(&path, "linger = 3").unwrap();
    let chmod = |mode| fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    for mode in [0o600, 0o640, 0o644, 0o444] {
        chmod(mode);
        assert_eq!(Config::of_file(&path).unwrap().linger_secs, 3, "{mode:o}");
    }
    for mode in [0o620, 0o602, 0o666] {
        chmod(mode);
        let says = Config::of_file(&path).unwrap_err();
        let shown = path.to_string_lossy();
        assert!(says.starts_with(&*shown), "{says}");
        assert!(says.ends_with(&format!("'chmod go-w {shown}'")), "{says}");
    }
    assert_eq!(
        Config::of_file(Path::new("/dev/null")),
        Ok(Config::default())
    );
}

/// packaging/slotfs.toml sets nothing as it is; every setting stands in it, commented out, and is right.
#[test]
fn the_example_is_a_configuration() {
    let text = include_str!("../../../packaging/slotfs.toml");
    assert_eq!(taken(text, SYSTEM_FILE).unwrap(), Config::default());
    let mut uncommented = String::new();
    for line in text.lines() {
        let setting = line
            .strip_prefix('#')
            .filter(|it| it.starts_with(|c: char| c.is_ascii_lowercase()));
        uncommented += setting.unwrap_or_default();
        uncommented.push('\n');
    }
    let config = taken(&uncommented, SYSTEM_FILE).unwrap();
    for setting in config.settings() {
        assert_ne!(
            setting.origin,
            Origin::Default,
            "{} is missing",
            setting.name
        );
    }
}

/// docs/configuration.md has a row for each setting.
#[test]
fn every_setting_is_documented() {
    let page = include_str!("../../../docs/configuration.md");
    for setting in Config::default().settings() {
        let row = format!("\n| `{}` |", setting.name);
        assert!(page.contains(&row), "{} is missing", setting.name);
    }
}
