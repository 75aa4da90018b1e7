//! The units, and what the program does for systemd. Without systemd as the first process, its tools say what they can say.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::fixture::{DEADLINE, STATE, Store, is_mounted, run, unmount, wait_for};

const UNITS: [&str; 5] = [
    "slotfs.service",
    "slotfs.socket",
    "slotfs-mount@.service",
    "user/slotfs.service",
    "user/slotfs.socket",
];

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/systemd")
        .join(name)
}

fn read_unit(name: &str) -> String {
    fs::read_to_string(unit(name)).unwrap()
}

/// A unit's assignments, without comments.
fn assignments(name: &str) -> Vec<String> {
    let text = read_unit(name);
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '[']))
        .map(str::to_owned)
        .collect()
}

/// "`systemd-analyze verify`"
#[test]
fn units_are_sound() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("user")).unwrap();
    // The programs that units start are those of this build.
    for name in UNITS {
        let text = read_unit(name).replace("/usr/bin/slotfs", env!("CARGO_BIN_EXE_slotfs"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    for (place, whose, name) in [
        ("", "--system", "slotfs.service"),
        ("", "--system", "slotfs.socket"),
        ("", "--system", "slotfs-mount@mnt-hsm.service"),
        ("user", "--user", "slotfs.service"),
        ("user", "--user", "slotfs.socket"),
    ] {
        let units = folder.path().join(place);
        let out = run(Command::new("systemd-analyze")
            .args(["verify", whose, "--man=no", "--recursive-errors=no", name])
            .current_dir(&units)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display())));
        assert_eq!(out.stderr.trim(), "", "{place} {name}");
        out.ok();
    }
}

/// "a sandbox that `systemd-analyze security` calls OK or better for `serve`; the mount's unit ... states its score"
#[test]
fn the_server_is_in_a_sandbox_and_the_mount_says_what_it_is_not_in() {
    let score = |name: &str, threshold: &str| {
        run(Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", threshold])
            .arg(unit(name)))
    };
    score("slotfs.service", "--threshold=20").ok();
    let out = score("slotfs-mount@.service", "--threshold=100").ok();
    let said = out
        .stdout
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap();
    let said = said.split(": ").nth(1).unwrap();
    let (number, word) = said.split_once(' ').unwrap();
    let word = word.split(' ').next().unwrap();
    let comment = format!("gives this unit {number}, {word}.");
    assert!(
        read_unit("slotfs-mount@.service").contains(&comment),
        "{comment}"
    );
}

/// "the mount's unit must not have what makes a mount namespace ... nor NoNewPrivileges"
#[test]
fn the_unit_of_a_mount_makes_no_namespace() {
    const WRONG: [&str; 33] = [
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "ExtensionImages",
        "InaccessiblePaths",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "MountAPIVFS",
        "MountFlags",
        "NoExecPaths",
        "NoNewPrivileges",
        "PrivateDevices",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateTmp",
        "PrivateUsers",
        "ProtectClock",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RootDirectory",
        "SystemCallFilter",
        "TemporaryFileSystem",
    ];
    for line in assignments("slotfs-mount@.service") {
        let name = line.split('=').next().unwrap();
        assert!(!WRONG.contains(&name), "{line}");
    }
}

/// "systemd-fstab-generator on a test fstab"
#[test]
fn the_generator_makes_units_of_a_line_of_fstab() {
    let folder = TempDir::new().unwrap();
    let fstab = folder.path().join("fstab");
    let line = "/var/lib/slotfs/store.db /mnt/hsm fuse.slotfs login=0,passfile=/etc/slotfs/0.pw,nofail,_netdev,x-systemd.automount 0 0\n";
    fs::write(&fstab, line).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    run(
        Command::new("/usr/lib/systemd/system-generators/systemd-fstab-generator")
            .args([&out, &out, &out])
            .env("SYSTEMD_FSTAB", &fstab)
            .env("SYSTEMD_LOG_LEVEL", "warning"),
    )
    .ok();
    let mount = fs::read_to_string(out.join("mnt-hsm.mount")).unwrap();
    for expected in [
        "What=/var/lib/slotfs/store.db",
        "Where=/mnt/hsm",
        "Type=fuse.slotfs",
        "passfile=/etc/slotfs/0.pw",
    ] {
        assert!(mount.contains(expected), "{expected}: {mount}");
    }
    assert!(out.join("mnt-hsm.automount").exists());
}

/// What stands for the service manager: a socket.
struct Manager {
    socket: UnixDatagram,
    name: String,
    /// Holds the socket's file.
    _folder: TempDir,
}

impl Manager {
    fn new(is_abstract: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let (socket, name) = match is_abstract {
            false => (UnixDatagram::bind(&path), path.to_str().unwrap().to_owned()),
            true => {
                let name = path.to_str().unwrap().replace('/', "-");
                let address = SocketAddr::from_abstract_name(&name).unwrap();
                (UnixDatagram::bind_addr(&address), format!("@{name}"))
            }
        };
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            socket,
            name,
            _folder: folder,
        }
    }

    /// Reads messages until one has the line.
    #[track_caller]
    fn hears(&self, line: &str) -> String {
        let mut heard = Vec::new();
        loop {
            let mut text = [0; 4096];
            let length = self.socket.recv(&mut text).unwrap_or_else(|why| {
                assert_eq!(why.kind(), ErrorKind::WouldBlock);
                panic!("no message with {line}: {heard:?}")
            });
            let text = String::from_utf8_lossy(&text[..length]).into_owned();
            if text.lines().any(|it| it == line) {
                return text;
            }
            heard.push(text);
        }
    }

    fn is_silent(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let is_silent = self.socket.recv(&mut [0; 64]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        is_silent
    }
}

fn store() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    fs::create_dir_all(store.path("mnt")).unwrap();
    store
}

/// Unmounts what a test that fails has left.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        if is_mounted(&self.0) {
            unmount(&self.0, "-uz");
        }
    }
}

/// Ends a daemon, also when its test fails.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    #[track_caller]
    fn ends_well(&mut self) {
        let status = wait_for(|| self.0.try_wait().unwrap()).unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// "`Type=notify` (`sd_notify` ready, status, stopping)", for a mount
#[test]
fn a_mount_tells_the_service_manager_how_it_is() {
    for is_abstract in [false, true] {
        let store = store();
        let _unmount = Unmount(store.path("mnt"));
        let point = store.path("mnt");
        let manager = Manager::new(is_abstract);
        let line = [
            "mount",
            "mnt",
            "--foreground",
            "--log-file",
            "log",
            "--login",
            "0",
            "--password-file",
            "0=pw-0",
        ];
        let mut daemon = Daemon::start(store.command(&line).env("NOTIFY_SOCKET", &manager.name));
        let said = manager.hears("READY=1");
        assert!(
            said.contains(&format!(
                "STATUS=mounted at {}; 1 of 1 slots are open",
                point.display()
            )),
            "{said}"
        );
        assert!(is_mounted(&point));
        fs::write(point.join("0/.slotfs/logout"), "x").unwrap();
        manager.hears(&format!(
            "STATUS=mounted at {}; 0 of 1 slots are open",
            point.display()
        ));
        daemon.signal(Signal::SIGTERM);
        manager.hears("STOPPING=1");
        daemon.ends_well();
        assert!(!is_mounted(&point));
    }
}

/// The same for the token server.
#[test]
fn a_server_tells_the_service_manager_how_it_is() {
    let store = store();
    let manager = Manager::new(false);
    let mut daemon = Daemon::start(
        store
            .command(&["serve"])
            .env("NOTIFY_SOCKET", &manager.name),
    );
    let said = manager.hears("READY=1");
    let path = store.path("store.db").canonicalize().unwrap();
    assert!(
        said.contains(&format!("STATUS=serving {}; 0 connections", path.display())),
        "{said}"
    );
    daemon.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1");
    daemon.ends_well();
}

/// What is started in the background is not the process that systemd waits for.
#[test]
fn a_daemon_in_the_background_tells_nothing() {
    let store = store();
    let _unmount = Unmount(store.path("mnt"));
    let manager = Manager::new(false);
    run(store
        .command(&["mount", "mnt", "--log-file", "log"])
        .env("NOTIFY_SOCKET", &manager.name))
    .ok();
    store.run("umount mnt").ok();
    assert!(manager.is_silent());
    assert!(!unmount(&store.path("mnt"), "-u"));
}

/// "`LoadCredential` and `LoadCredentialEncrypted` walks ... `systemd-creds` with `$CREDENTIALS_DIRECTORY`"
#[test]
fn credentials_log_in() {
    let store = store();
    let _unmount = Unmount(store.path("mnt"));
    store
        .run("role init -slot 0 -name cu -newpasswordfile pw-0 --password-file 0=pw-0")
        .ok();
    let folder = store.path("credentials");
    fs::create_dir(&folder).unwrap();
    for (name, login) in [
        ("slot-0.password", "0"),
        ("slot-0.co.password", "0:co"),
        ("slot-0.cu.password", "0:cu"),
    ] {
        let given = folder.join(name);
        // What systemd-creds prints is what the service gets.
        let sealed = store.path("sealed");
        let creds = |args: &[&str], from: &Path, to: &Path| {
            run(Command::new("systemd-creds").args(args).arg(from).arg(to)).ok();
        };
        let named = format!("--name={name}");
        creds(
            &["encrypt", "--with-key=auto-initrd", &named],
            &store.path("pw-0"),
            &sealed,
        );
        creds(&["decrypt", &named], &sealed, &given);
        let out = run(store
            .command(&["mount", "mnt", "--log-file", "log", "--login", login])
            .env("CREDENTIALS_DIRECTORY", &folder));
        out.ok();
        let role = login.split(':').nth(1).unwrap_or("co");
        let status = fs::read_to_string(store.path("mnt/0/.slotfs/status")).unwrap();
        assert!(
            status.contains(&format!("state: logged in as {role}")),
            "{status}"
        );
        store.run("umount mnt").ok();
        fs::remove_file(&given).unwrap();
    }
}

/// "systemd-socket-activate"
#[test]
fn a_socket_of_systemd_starts_the_server() {
    let store = store();
    let socket = store.path("s.sock");
    let serve = store.command(&["serve", "--idle", "1"]);
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(&socket);
    for name in ["HOME", "XDG_STATE_HOME"] {
        command.args(["-E", name]);
    }
    command
        .arg(serve.get_program())
        .args(serve.get_args())
        .current_dir(store.path(""))
        .env("HOME", store.path(""))
        .env("XDG_STATE_HOME", store.path(STATE));
    let mut daemon = Daemon::start(&mut command);
    wait_for(|| socket.exists().then_some(())).unwrap();
    for line in ["login -slot 0 --password-file 0=pw-0", "logout -slot 0"] {
        let words: Vec<&str> = line.split(' ').collect();
        run(store.command(&words).env("SLOTFS_SOCKET", &socket)).ok();
    }
    daemon.ends_well();
    // The socket is systemd's.
    assert!(socket.exists());
}

/// The same for a quorum slot, which takes key shares.
#[test]
fn credentials_are_key_shares() {
    let store = Store::empty();
    let _unmount = Unmount(store.path("mnt"));
    store.domain("red");
    store
        .run("partition init -slot 0 -label quorum -domainkey red.pem -quorum 2/3 -shares shares")
        .ok();
    let folder = store.path("credentials");
    fs::create_dir(&folder).unwrap();
    let mount = || {
        run(store
            .command(&["mount", "mnt", "--log-file", "log", "--login", "0"])
            .env("CREDENTIALS_DIRECTORY", &folder))
    };
    fs::create_dir_all(store.path("mnt")).unwrap();
    for number in [3, 1] {
        assert_eq!(mount().code, 3);
        let share = store.path(format!("shares/share-{number}-of-3"));
        fs::copy(share, folder.join(format!("slot-0.co.share-{number}"))).unwrap();
    }
    mount().ok();
    let status = fs::read_to_string(store.path("mnt/0/.slotfs/status")).unwrap();
    assert!(status.contains("state: logged in as co"), "{status}");
    store.run("umount mnt").ok();
}

/// "`systemd-sysusers --root`, `systemd-tmpfiles --root`"
#[test]
fn the_user_and_the_folders_are_made() {
    let root = TempDir::new().unwrap();
    let in_root = |name: &str| root.path().join(name.trim_start_matches('/'));
    for folder in ["etc", "run", "var/lib"] {
        fs::create_dir_all(in_root(folder)).unwrap();
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let root_option = format!("--root={}", root.path().display());
    run(Command::new("systemd-sysusers")
        .arg(&root_option)
        .arg(packaging.join("sysusers.conf")))
    .ok();
    let line = |file: &str| {
        let text = fs::read_to_string(in_root(file)).unwrap();
        let line = text.lines().find(|line| line.starts_with("slotfs:"));
        line.unwrap()
            .split(':')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (user, group) = (line("etc/passwd"), line("etc/group"));
    assert_eq!(user[3], group[2]);
    assert_eq!(
        (&*user[5], &*user[6]),
        ("/var/lib/slotfs", "/usr/sbin/nologin")
    );
    run(Command::new("systemd-tmpfiles")
        .args(["--create", &root_option])
        .arg(packaging.join("tmpfiles.conf")))
    .ok();
    let state = |name: &str| {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = fs::metadata(in_root(name)).unwrap();
        (
            folder.permissions().mode() & 0o7777,
            folder.uid().to_string(),
        )
    };
    assert_eq!(state("run/slotfs"), (0o755, "0".into()));
    assert_eq!(state("var/lib/slotfs"), (0o711, user[2].clone()));
}
