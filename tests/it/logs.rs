//! docs/configuration.md, "Logs": where daemons log, what SIGHUP does, and how many refusals are written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::{
    DEADLINE, Store, assert_errno, daemons_of, is_mounted, names, open_trunc, run, unmount,
    wait_for,
};
use crate::terminal::Terminal;

const LOGIN: &str = "--login 0 --password-file 0=pw-0";

fn store() -> (Store, Cleared) {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    let mount = Cleared::at(&store);
    (store, mount)
}

/// Unmounts what a test that failed left in the background. It goes before the store.
pub struct Cleared(PathBuf);

impl Cleared {
    pub fn at(store: &Store) -> Self {
        Self(store.path("mnt"))
    }
}

impl Drop for Cleared {
    fn drop(&mut self) {
        if is_mounted(&self.0) {
            unmount(&self.0, "-uz");
        }
    }
}

#[track_caller]
fn daemon(store: &Store) -> Pid {
    *daemons_of(&store.path("mnt")).first().unwrap()
}

/// Mounts in the background with these words more.
#[track_caller]
fn mount(store: &Store, more: &str) {
    let point = store.path("mnt");
    store
        .run(&format!("mount {} {LOGIN} {more}", point.display()))
        .ok();
}

/// Unmounts, and waits until the daemon has ended and written its last line.
#[track_caller]
fn umount(store: &Store) {
    store.run("umount mnt").ok();
    let point = store.path("mnt");
    assert!(wait_for(|| daemons_of(&point).is_empty().then_some(())).is_some());
    assert!(!is_mounted(&point));
}

#[track_caller]
fn says(log: &Path, words: &str) {
    let text = || fs::read_to_string(log).unwrap_or_default();
    let said = wait_for(|| text().contains(words).then_some(()));
    assert!(said.is_some(), "no {words:?} in {}", text());
}

/// A refusal, which is logged.
#[track_caller]
fn be_refused(store: &Store) {
    let file = open_trunc(&store.path("mnt/0/9")).unwrap();
    assert_errno!(std::io::Write::write_all(&mut &file, &[0x5a; 300]), EACCES);
}

/// "Nothing is logged beside the store": the log of the background is private, and named by the store.
#[test]
fn in_the_background_to_the_log_folder() {
    let (mut store, _mount) = store();
    let before = names(&store.path(""));
    mount(&store, "");
    let log = store.log_file();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&log), 0o600);
    assert_eq!(mode(log.parent().unwrap()), 0o700);
    umount(&store);
    assert_eq!(names(&store.path("")), before);
    says(&log, "is unmounted");
    // Where it is can be had from both commands.
    let shown = store.run("config show --json").ok().json();
    assert_eq!(shown["log"].as_str(), log.to_str());
    let point = store.path("mnt");
    let mounted = store.run(&format!("mount {} --json", point.display()));
    let mounted = mounted.ok().json();
    assert_eq!(mounted["log"].as_str(), log.to_str());
    umount(&store);
    // Another store of that name has another log.
    fs::create_dir(store.path("other")).unwrap();
    fs::copy(store.path("store.db"), store.path("other/store.db")).unwrap();
    store.use_file("other/store.db");
    store.run(&format!("mount {}", point.display())).ok();
    umount(&store);
    assert_eq!(names(log.parent().unwrap()).len(), 2);
}

/// Without a folder for logs the mount works, and one warning says that there is no log.
#[test]
fn without_a_log_folder() {
    let (store, _mount) = store();
    let point = store.path("mnt");
    let point = point.to_str().unwrap();
    fs::create_dir_all(store.path(".local/state/slotfs")).unwrap();
    fs::write(store.path(".local/state/slotfs/log"), "").unwrap();
    let out = store.run(&format!("mount {point} {LOGIN}")).ok();
    let where_to = [
        "the daemon runs without a log, because ",
        "the log goes to syslog, because ",
    ];
    assert!(where_to.iter().any(|it| out.stderr.contains(it)), "{out:?}");
    umount(&store);
    // A folder that others can write is not used.
    fs::remove_file(store.path(".local/state/slotfs/log")).unwrap();
    fs::create_dir(store.path(".local/state/slotfs/log")).unwrap();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(store.path(".local/state/slotfs/log"), open).unwrap();
    let out = store.run(&format!("mount {point} {LOGIN}")).ok();
    assert!(where_to.iter().any(|it| out.stderr.contains(it)), "{out:?}");
    umount(&store);
    assert!(names(&store.path(".local/state/slotfs/log")).is_empty());
}

/// "`auto`: the journal, if standard error is the journal": the device and the inode of the descriptor decide, also in the
/// background.
#[test]
fn the_journal_gets_priorities_and_no_times() {
    let (store, _mount) = store();
    for (more, stream, is_journal) in [
        ("--foreground", "$(stat -L -c %d:%i /proc/self/fd/2)", true),
        ("", "$(stat -L -c %d:%i /proc/self/fd/2)", true),
        ("--foreground --log journal", "", true),
        ("--foreground", "8:1", false),
    ] {
        let err = store.path("err");
        let script = format!(
            "exec 2>err; export JOURNAL_STREAM={stream}; exec \"$S\" --store \"$STORE\" mount \"$M\" {LOGIN} {more}"
        );
        let mut child = Command::new("sh");
        let bare = store.bare(&["x"]);
        for (name, value) in bare.get_envs() {
            match value {
                Some(value) => child.env(name, value),
                None => child.env_remove(name),
            };
        }
        let mut child = child
            .args(["-c", &script])
            .current_dir(store.path(""))
            .env("S", env!("CARGO_BIN_EXE_slotfs"))
            .env("M", store.path("mnt"))
            .env("STORE", store.location())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        says(&err, "is mounted at");
        be_refused(&store);
        says(&err, "was not cloned");
        store.run("umount mnt").ok();
        says(&err, "is unmounted");
        assert!(wait_for(|| child.try_wait().unwrap()).unwrap().success());
        let log = fs::read_to_string(&err).unwrap();
        assert_eq!(log.contains("\n<6>store "), is_journal, "{more} {log}");
        assert_eq!(
            log.contains("\n<4>A blob written as 9 was not cloned"),
            is_journal,
            "{log}"
        );
        assert_eq!(log.contains("Z INFO"), !is_journal, "{more} {log}");
        fs::remove_file(&err).unwrap();
        assert!(wait_for(|| daemons_of(&store.path("mnt")).is_empty().then_some(())).is_some());
    }
}

/// The next message at a socket.
#[track_caller]
fn message(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = [0; 16_384];
    let count = socket.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// Messages until one has these words.
#[track_caller]
fn message_with(socket: &UnixDatagram, words: &str) -> String {
    loop {
        let text = message(socket);
        if text.contains(words) {
            return text;
        }
    }
}

/// "`syslog`: facility daemon, program `slotfs`"; a daemon that starts again gets what follows, and how much it missed.
#[test]
fn syslog() {
    let (store, _mount) = store();
    let path = store.path("syslog.sock");
    let place = format!("--log syslog:{}", path.display());
    let out = store.run(&format!("mount mnt {LOGIN} {place}"));
    assert!(
        out.code != 0 && out.stderr.contains("no syslog daemon listens"),
        "{out:?}"
    );
    let socket = UnixDatagram::bind(&path).unwrap();
    mount(&store, &place);
    let pid = daemon(&store);
    let text = message_with(&socket, "is mounted at");
    assert!(text.starts_with("<30>"), "{text}");
    assert!(text.contains(&format!(" slotfs[{pid}]: store ")), "{text}");
    be_refused(&store);
    assert!(message_with(&socket, "was not cloned").starts_with("<28>"));
    drop(socket);
    fs::remove_file(&path).unwrap();
    be_refused(&store);
    be_refused(&store);
    let socket = UnixDatagram::bind(&path).unwrap();
    be_refused(&store);
    assert!(message(&socket).contains("2 log lines were lost"));
    assert!(message(&socket).contains("was not cloned"));
    umount(&store);
    message_with(&socket, "is unmounted");
}

/// "SIGHUP makes a daemon open its log again": as logrotate has it. The mount stays, and stays logged in.
#[test]
fn a_rotated_log_is_opened_again() {
    let (store, _mount) = store();
    mount(&store, "--log daemon.log");
    let (log, old) = (store.path("daemon.log"), store.path("daemon.log.1"));
    fs::rename(&log, &old).unwrap();
    kill(daemon(&store), Signal::SIGHUP).unwrap();
    says(&log, "the log was opened again");
    be_refused(&store);
    says(&log, "was not cloned");
    assert_eq!(names(&store.path("mnt/0")), ["1"]);
    umount(&store);
    let old = fs::read_to_string(old).unwrap();
    assert!(old.contains("is mounted at"), "{old}");
    assert!(
        !old.contains("was not cloned") && !old.contains("unmounted"),
        "{old}"
    );
}

/// A log that cannot be opened again goes on where it was.
#[test]
fn a_log_that_cannot_be_opened_again() {
    let (store, _mount) = store();
    mount(&store, "--log daemon.log");
    let (log, old) = (store.path("daemon.log"), store.path("daemon.log.1"));
    fs::rename(&log, &old).unwrap();
    std::os::unix::fs::symlink(store.path("pw-0"), &log).unwrap();
    kill(daemon(&store), Signal::SIGHUP).unwrap();
    says(&old, "cannot open the log again");
    umount(&store);
    says(&old, "is unmounted");
}

/// "SIGHUP reads the configuration again": the filter changes; what is wrong is an error and changes nothing.
#[test]
fn sighup_reads_the_configuration_again() {
    let (store, _mount) = store();
    let config = store.path("config.toml");
    fs::write(&config, "log_filter = \"error\"\n").unwrap();
    let mut command = store.command(&[
        "mount",
        store.path("mnt").to_str().unwrap(),
        "--log",
        "daemon.log",
    ]);
    command.args(LOGIN.split(' ')).env("SLOTFS_CONFIG", &config);
    run(&mut command).ok();
    let log = store.path("daemon.log");
    be_refused(&store);
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    fs::write(&config, "log_filter = \"warn,slotfs=info\"\n").unwrap();
    kill(daemon(&store), Signal::SIGHUP).unwrap();
    says(&log, "the configuration was read again");
    fs::write(&config, "\nlog_filter = 5\n").unwrap();
    kill(daemon(&store), Signal::SIGHUP).unwrap();
    says(
        &log,
        "SIGHUP: the new configuration is refused, the old one stays in effect: ",
    );
    says(&log, "config.toml: line 2: log_filter takes levels");
    be_refused(&store);
    says(&log, "was not cloned");
    umount(&store);
}

/// A token server keeps serving at SIGHUP, and takes over how long a slot stays open.
#[test]
fn sighup_to_a_token_server() {
    let (store, _mount) = store();
    store
        .run("serve --background --idle 3600 --log serve.log")
        .ok();
    let mut lock = store.socket().into_os_string();
    lock.push(".lock");
    let server = fs::read_to_string(lock).unwrap();
    let server = Pid::from_raw(server.trim().parse().unwrap());
    let (log, old) = (store.path("serve.log"), store.path("serve.log.1"));
    fs::rename(&log, &old).unwrap();
    kill(server, Signal::SIGHUP).unwrap();
    says(&log, "the configuration was read again");
    let out = store.run("serve").fails(1);
    assert!(out.stderr.contains("is served by process"), "{out:?}");
    kill(server, Signal::SIGTERM).unwrap();
    says(&log, "is not served any more");
}

/// "A daemon in the foreground on a terminal takes SIGHUP for the end of that terminal"; away from one it goes on.
#[test]
fn sighup_in_the_foreground() {
    let (store, _mount) = store();
    let point = store.path("mnt");
    let foreground = |command: &mut Command| {
        command.args(["--foreground"]).args(LOGIN.split(' '));
    };
    let mut command = store.command(&["mount", point.to_str().unwrap()]);
    foreground(&mut command);
    let mut terminal = Terminal::spawn(command);
    terminal.expect("is mounted at");
    kill(daemon(&store), Signal::SIGHUP).unwrap();
    let (status, shown) = terminal.wait();
    assert_eq!(status, 0, "{shown}");
    assert!(!is_mounted(&point));

    // In a session of its own, and with a terminal but told to ignore the signal, as nohup has it.
    let slotfs = store.command(&["mount", point.to_str().unwrap(), "--log", "away.log"]);
    for how in ["setsid --wait", "trap '' HUP; exec"] {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{how} \"$0\" \"$@\"")])
            .arg(slotfs.get_program())
            .args(slotfs.get_args())
            .current_dir(store.path(""));
        for (name, value) in slotfs.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        foreground(&mut command);
        let terminal = Terminal::spawn(command);
        let log = store.path("away.log");
        says(&log, "is mounted at");
        kill(daemon(&store), Signal::SIGHUP).unwrap();
        says(&log, "the log was opened again");
        assert_eq!(names(&point.join("0")), ["1"]);
        store.run("umount mnt").ok();
        assert_eq!(terminal.wait().0, 0);
        fs::remove_file(log).unwrap();
    }
}

/// "A user who is refused again and again cannot fill a disk": ten thousand refusals are a short log that says how many,
/// and another user's refusal is in it.
#[test]
fn many_refusals_are_summed_up() {
    let (store, _mount) = store();
    store.slot(1, "red");
    store
        .run("partition set -slot 1 -uid 65534 -gid 65534 --password-file 1:po=pw-1")
        .ok();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(store.path(""), open).unwrap();
    let mount = store.start_at("mnt", &[0, 1], &["-o", "allow_other"]);
    mount.announce_rejections();
    const REFUSED: usize = 10_000;
    for _ in 0..REFUSED {
        be_refused(&store);
    }
    let script = r#"head -c 300 /dev/zero > "$M/1/77""#;
    let out = run(Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["sh", "-c", script])
        .env("M", &mount.point));
    assert_ne!(out.code, 0, "{out:?}");
    let clones = fs::read_to_string(mount.point.join("0/.slotfs/clones")).unwrap();
    assert!(clones.lines().count() > 9_000);
    store.run("umount mnt").ok();
    assert!(wait_for(|| mount.log().contains("is unmounted").then_some(())).is_some());
    let summed = || {
        let log = mount.log();
        let sums = log.lines().filter_map(|line| {
            let (count, _) = line.split_once("user 0: ")?.1.split_once(" more refusal")?;
            count.replace(',', "").parse::<usize>().ok()
        });
        let whole = log.matches("written as 9 was not cloned to slot 0").count();
        (sums.sum::<usize>() + whole == REFUSED).then_some(())
    };
    assert!(wait_for(summed).is_some(), "{}", mount.log());
    let log = mount.log();
    assert!(
        log.contains("written as 77 was not cloned to slot 1"),
        "{log}"
    );
    assert!(log.len() < 60_000, "{} bytes", log.len());
}
