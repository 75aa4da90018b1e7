//! Environment variables that name no place: none of them may come to mean the current folder.

use std::process::Stdio;

use super::{LOGIN, STORE, USAGE, one_slot};
use crate::fixture::{Store, names, run};

const INIT: [&str; 9] = [
    "partition",
    "init",
    "-slot",
    "0",
    "-label",
    "x",
    "-domainkey",
    "red.pem",
    "--password-file=0=pw-0",
];

/// An empty or relative home is none: nothing is made where the command happens to run.
#[test]
fn a_home_that_is_none() {
    let store = Store::empty();
    store.domain("red");
    store.password_file(0);
    let before = names(&store.path("."));
    for (home, xdg) in [
        ("", None),
        ("", Some("")),
        ("", Some("relative")),
        ("relative", None),
        (".", Some("")),
        ("./home", Some(".")),
    ] {
        for line in [
            &INIT[..],
            &["slot", "list"],
            &["mount", "mnt"],
            &["store", "check"],
        ] {
            let mut command = store.bare(line);
            command.env("HOME", home).stdin(Stdio::null());
            if let Some(xdg) = xdg {
                command.env("XDG_DATA_HOME", xdg);
            }
            let out = run(&mut command).fails(USAGE);
            assert!(
                out.stderr.contains("give --store PATH"),
                "HOME={home:?} XDG_DATA_HOME={xdg:?} {line:?}: {out:?}"
            );
        }
    }
    for (variable, name) in [
        ("SLOTFS_STORE", "--store"),
        ("SLOTFS_ACTIVE_SLOT", "--active-slot"),
    ] {
        let mut list = store.bare(&["slot", "list"]);
        let out = run(list.env(variable, "").stdin(Stdio::null())).fails(USAGE);
        assert!(out.stderr.contains(variable), "{out:?}");
        assert!(!out.stderr.contains(name), "{out:?}");
        // Given on the command line, it is the option that is wrong.
        let mut list = store.bare(&["slot", "list", &format!("{name}=")]);
        let out = run(list.env(variable, "0").stdin(Stdio::null())).fails(USAGE);
        assert!(!out.stderr.contains(variable), "{out:?}");
        assert!(out.stderr.contains(name), "{out:?}");
    }
    assert_eq!(names(&store.path(".")), before);
    // An absolute one of the two is enough.
    for (home, xdg) in [("", store.path("xdg")), ("relative", store.path("xdg2"))] {
        run(store
            .bare(&INIT)
            .env("HOME", home)
            .env("XDG_DATA_HOME", &xdg)
            .stdin(Stdio::null()))
        .ok();
        assert!(xdg.join("slotfs/store.db").exists());
    }
}

/// An empty $CREDENTIALS_DIRECTORY holds no passwords, and the current folder is not taken for it.
#[test]
fn a_credentials_directory_that_is_none() {
    let store = one_slot();
    std::fs::copy(store.path("pw-0"), store.path("slot-0.password")).unwrap();
    let line = ["partition", "contents"];
    let out = run(store
        .command(&line)
        .env("CREDENTIALS_DIRECTORY", "")
        .stdin(Stdio::null()));
    assert!([LOGIN, USAGE].contains(&out.code), "{out:?}");
    assert_ne!(out.code, STORE, "{out:?}");
}

/// The shell's history is not kept in the current folder either.
#[test]
fn a_history_of_nobody() {
    let store = one_slot();
    let before = names(&store.path("."));
    for home in ["", "relative"] {
        let mut command = store.command(&[]);
        command
            .env("HOME", home)
            .env("XDG_STATE_HOME", "")
            .env_remove("SLOTFS_HISTORY");
        let mut terminal = crate::terminal::Terminal::spawn(command);
        terminal.expect("slotfs:>");
        terminal.send_line("slot list");
        terminal.expect("Command Result : No Error");
        terminal.send_line("exit");
        assert_eq!(terminal.wait().0, 0);
    }
    assert_eq!(names(&store.path(".")), before);
}

/// A daemon that root started and that dropped to another user still has root's HOME, which it cannot enter: there is no
/// configuration of its own then. A file that it cannot read is another matter.
#[test]
fn a_home_that_cannot_be_entered_has_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let set_mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    set_mode(folder.path(), 0o755);
    std::fs::copy(env!("CARGO_BIN_EXE_slotfs"), path("slotfs")).unwrap();
    set_mode(&path("slotfs"), 0o755);
    let config = path("home/.config/slotfs");
    std::fs::create_dir_all(&config).unwrap();
    crate::fixture::write_private(&config.join("config.toml"), "linger = 5\n");
    let show = || {
        run(std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(path("slotfs"))
            .args(["config", "show", "--json"])
            .env("HOME", path("home"))
            .env_remove("XDG_CONFIG_HOME"))
    };
    set_mode(&path("home"), 0o700);
    show().ok();
    for name in ["home", "home/.config", "home/.config/slotfs"] {
        set_mode(&path(name), 0o755);
    }
    let refused = show().fails(2);
    assert!(refused.stderr.contains("config.toml"), "{refused:?}");
}
