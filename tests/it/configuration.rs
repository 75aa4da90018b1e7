//! docs/configuration.md: the files, what goes before what, and `slotfs config`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Out, Store, daemons_of, is_mounted, names, run, wait_for};
use crate::logs::Cleared;
use crate::namespace;

/// A store with two slots, and commands that find its file with the settings `text`.
struct Configured {
    _mount: Cleared,
    store: Store,
}

impl Configured {
    fn new(text: &str) -> Self {
        let store = Store::empty();
        store.slot(0, "red");
        store.slot(1, "red");
        store.aes(1, 1);
        let it = Self {
            _mount: Cleared::at(&store),
            store,
        };
        it.set(text);
        it
    }

    /// `$D` in the text is the store's folder, and `$D/store.db` the store, whatever it is.
    fn set(&self, text: &str) {
        let folder = self.store.path(".config/slotfs");
        fs::create_dir_all(&folder).unwrap();
        let text = text
            .replace("$D/store.db", self.store.location().to_str().unwrap())
            .replace(
                "$D",
                self.store.path("").to_str().unwrap().trim_end_matches('/'),
            );
        fs::write(folder.join("config.toml"), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.store.bare(&words)
    }

    #[track_caller]
    fn run(&self, line: &str) -> Out {
        run(&mut self.command(line))
    }

    /// The setting of that name in `config show`: its value and where it came from.
    #[track_caller]
    fn shown(&self, command: &mut Command, name: &str) -> (Value, String) {
        let shown = run(command).ok().json();
        let settings = shown["settings"].as_array().unwrap();
        let found = settings.iter().find(|it| it["name"] == name).unwrap();
        let from = match found["from"].as_str() {
            Some(from) => format!("{} {from}", found["origin"].as_str().unwrap()),
            None => found["origin"].as_str().unwrap().to_owned(),
        };
        (found["value"].clone(), from)
    }
}

/// "An option, an environment variable, the user's file, the default", for settings that have all of them.
#[test]
fn what_goes_before_what() {
    let it = Configured::new("");
    let show = "config show --json";
    let slot = |command: &mut Command| it.shown(command, "active_slot");
    assert_eq!(slot(&mut it.command(show)), (Value::Null, "default".into()));
    it.set("active_slot = 1\nstore = \"$D/store.db\"");
    let file = it.store.path(".config/slotfs/config.toml");
    let of_file = format!("file {}", file.display());
    assert_eq!(slot(&mut it.command(show)), (1.into(), of_file.clone()));
    let mut command = it.command(show);
    command.env("SLOTFS_ACTIVE_SLOT", "2");
    assert_eq!(
        slot(&mut command),
        (2.into(), "environment SLOTFS_ACTIVE_SLOT".into())
    );
    let mut command = it.command("--active-slot 3 config show --json");
    command.env("SLOTFS_ACTIVE_SLOT", "2");
    assert_eq!(
        slot(&mut command),
        (3.into(), "option --active-slot".into())
    );
    // And they mean what they say: only slot 1 has an object.
    let objects = |command: &mut Command| {
        command.args(["--password-file", "0=pw-0", "--password-file", "1=pw-1"]);
        let out = run(command).ok();
        out.stdout.contains(" key")
    };
    assert!(objects(&mut it.command("partition contents")));
    assert!(!objects(
        &mut it.command("--active-slot 0 partition contents")
    ));
    let mut command = it.command("partition contents");
    command.env("SLOTFS_ACTIVE_SLOT", "0");
    assert!(!objects(&mut command));
    // $SLOTFS_CONFIG is in place of the user's file.
    let other = it.store.path("other.toml");
    fs::write(&other, "linger = 7").unwrap();
    let mut command = it.command(show);
    command.env("SLOTFS_CONFIG", &other);
    let from = format!("file {}", other.display());
    assert_eq!(it.shown(&mut command, "linger"), (7.into(), from));
    assert_eq!(slot(&mut command), (Value::Null, "default".into()));
    command.env("SLOTFS_CONFIG", "/dev/null");
    assert_eq!(
        it.shown(&mut command, "linger"),
        (0.into(), "default".into())
    );
    command.env("SLOTFS_CONFIG", it.store.path("missing.toml"));
    let out = run(&mut command).fails(2);
    assert!(out.stderr.contains("missing.toml"), "{out:?}");
    command.env("SLOTFS_CONFIG", "other.toml");
    let out = run(&mut command).fails(2);
    assert!(out.stderr.contains("takes an absolute path"), "{out:?}");
}

/// "With it, `slotfs mount` needs no option": store, logins, files and options.
#[test]
fn a_mount_from_the_configuration() {
    let it = Configured::new(
        r#"
        store = "$D/store.db"
        login = ["0", "1:co"]
        password_file = ["0=$D/pw-0", "1=$D/pw-1"]
        options = "umask=027"
        log = "$D/mine.log"
        "#,
    );
    let point = it.store.path("mnt");
    let ended = || wait_for(|| daemons_of(&point).is_empty().then_some(())).unwrap();
    it.run("mount mnt").ok();
    let mode = |name: &str| fs::metadata(point.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(names(&point.join("1")), ["1"]);
    assert_eq!(mode("0"), 0o750);
    assert!(it.store.path("mine.log").exists());
    it.run("umount mnt").ok();
    ended();
    // Options of the command line count.
    it.run("mount mnt --login 1 -o umask=077 --log other.log")
        .ok();
    assert_eq!(names(&point.join("1")), ["1"]);
    assert!(fs::read_dir(point.join("0")).is_err());
    assert_eq!(mode("1"), 0o700);
    assert!(it.store.path("other.log").exists());
    it.run("umount mnt").ok();
    ended();
    // So does a file of the command line.
    crate::fixture::write_private(&it.store.path("wrong"), "wrong\n");
    let out = it
        .run("mount mnt --login 1 --password-file 1=wrong")
        .fails(3);
    assert!(out.stderr.contains("slot 1"), "{out:?}");
    it.run("partition contents -slot 1").ok();
    for (text, says) in [
        ("login = [\"1:po\"]", "po cannot log in on a mount"),
        ("login = [\"x\"]", "login: "),
        ("options = \"umsk=1\"", "is not a mount option"),
    ] {
        it.set(&format!("store = \"$D/store.db\"\n{text}"));
        let out = it.run("mount mnt").fails(2);
        assert!(out.stderr.contains(says), "{text}: {out:?}");
        let out = it.run("config check").fails(2);
        assert!(out.stderr.contains(says), "{text}: {out:?}");
    }
    assert!(!is_mounted(&point));
}

/// "A file that its group or others can write, or that another user owns, is refused."
#[test]
fn a_file_that_others_can_change_is_refused() {
    let it = Configured::new("linger = 3");
    let file = it.store.path(".config/slotfs/config.toml");
    let chmod = |mode| fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    for mode in [0o666, 0o620] {
        chmod(mode);
        for line in ["config show", "slot list", "config check", "serve"] {
            let out = it.run(line).fails(2);
            let says = format!("chmod go-w {}", file.display());
            assert!(out.stderr.contains(&says), "{out:?}");
        }
    }
    chmod(0o644);
    it.run("config show").ok();
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let out = it.run("config show").fails(2);
    assert!(out.stderr.contains("user 65534 owns this file"), "{out:?}");
    // Commands that need no setting go on.
    it.run("domain newkey other.pem").ok();
}

/// In a container without privileges, files of the host's root belong to nobody who is known there.
#[test]
fn the_systems_file_in_a_user_namespace() {
    let it = Configured::new("");
    let script = r#"
        mount --bind "$D/etc" /etc
        setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Ur sh -c '
            [ "$(stat -c %u /etc/slotfs.toml)" != 0 ] || exit 9
            exec "$S" config show'
    "#;
    let folder = it.store.path("etc");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("slotfs.toml"), "linger = 11").unwrap();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    open(&it.store.path(""), 0o755);
    open(&folder, 0o755);
    open(&folder.join("slotfs.toml"), 0o644);
    // The build may lie where only its owner comes.
    let program = it.store.path("slotfs");
    fs::copy(env!("CARGO_BIN_EXE_slotfs"), &program).unwrap();
    open(&program, 0o755);
    let inside = || {
        let mut command = namespace::script(&it.store, "", script);
        command
            .env("HOME", it.store.path("home"))
            .env("XDG_STATE_HOME", it.store.path("home"))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("SLOTFS_CONFIG")
            .env("D", it.store.path(""))
            .env("S", &program);
        run(&mut command)
    };
    let out = inside().ok();
    assert!(out.stdout.contains("/etc/slotfs.toml"), "{out:?}");
    open(&folder.join("slotfs.toml"), 0o666);
    let out = inside().fails(2);
    assert!(
        out.stderr.contains("others than its owner can write"),
        "{out:?}"
    );
}

/// `config check` says the first error with its line; `config show` tells no secret.
#[test]
fn check_and_show() {
    let it = Configured::new("password_file = [\"0=$D/pw-0\"]\n");
    it.run("config check").ok();
    let out = it.run("config show").ok();
    assert!(out.stdout.contains("/pw-0"), "{out:?}");
    assert!(!out.text().contains("horse"), "{out:?}");
    for title in [
        "Store ",
        "Socket ",
        "State folder ",
        "Log in the background ",
    ] {
        assert!(out.stdout.contains(title), "{title}: {out:?}");
    }
    let json = it.run("config show --json").ok().json();
    let files = json["files"].as_array().unwrap();
    assert_eq!(files[0]["path"], "/etc/slotfs.toml");
    assert_eq!(files[1]["exists"], true);
    fs::write(it.store.path("bad.toml"), "linger = 1\n\nsotre = \"/x\"\n").unwrap();
    let out = it.run("config check bad.toml").fails(2);
    assert!(
        out.stderr
            .contains("bad.toml: line 3: there is no setting 'sotre'"),
        "{out:?}"
    );
    let example = format!("{}/packaging/slotfs.toml", env!("CARGO_MANIFEST_DIR"));
    it.run(&format!("config check {example}")).ok();
    it.run("config check nothing.toml").fails(2);
}
