//! Stores, mounts and tools for the tests.
//!
//! Everything lives in one temporary directory per [`Store`], so tests run side by side. A [`Mount`]
//! that goes out of scope unmounts, also when its test panics, and fails its test on what must not be
//! left: a mount, a daemon, a warning in the log that the test did not announce.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

mod shared;

/// How long anything that must come to an end may take. Generous: two cores, Argon2, other tests.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// The largest blob there can be: 16 + 3 * 64 + 32 + 65536 + 16 (docs/format.md, "The sealed blob").
pub const MAX_BLOB_BYTES: usize = 16 + 3 * 64 + 32 + 65536 + 16;

/// Where commands of a store keep their state, below its folder: as without XDG_STATE_HOME for a user who is not root.
pub const STATE: &str = ".local/state";

/// Where the token server of a store listens, below its folder.
const RUN: &str = ".run";

/// What a command left behind.
#[derive(Debug)]
pub struct Out {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Out {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "should have succeeded: {self:#?}");
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "should have ended with {code}: {self:#?}");
        self
    }

    #[track_caller]
    pub fn code_is_not(self, code: i32) -> Self {
        assert_ne!(self.code, code, "should have ended otherwise: {self:#?}");
        self
    }

    /// Standard error, but for what is said of the members of a cluster: those of the tests are older than is recommended.
    pub fn complaints(&self) -> String {
        let lines = self.stderr.lines();
        let ours =
            lines.filter(|line| !(line.starts_with("warning: ") && line.contains(" runs etcd ")));
        ours.map(|line| format!("{line}\n")).collect()
    }

    /// Both streams, for looking for words wherever they were printed.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {self:#?}"))
    }
}

/// Runs a command to its end. One that hangs is killed and fails the test.
#[track_caller]
pub fn run(command: &mut Command) -> Out {
    run_with_input(command, b"")
}

/// The same, with bytes on its standard input.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Out {
    let state = std::ffi::OsStr::new("XDG_STATE_HOME");
    if command.get_envs().all(|(name, _)| name != state) {
        // What slotfs sees of stores is kept below, and never in the state folder of the machine.
        let folder = command.get_current_dir().map_or_else(
            || Path::new(env!("CARGO_TARGET_TMPDIR")).join("state"),
            |folder| folder.join(STATE),
        );
        command.env(state, folder);
    }
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(input).unwrap();
    stdin.rewind().unwrap();
    let mut stdout = tempfile::tempfile().unwrap();
    let mut stderr = tempfile::tempfile().unwrap();
    let mut child = command
        .stdin(stdin)
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let status = wait_for(|| child.try_wait().unwrap());
    let text = |file: &mut File| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
    let Some(status) = status else {
        let _ = child.kill();
        panic!("{command:?} did not end; it printed {stdout:?} and {stderr:?}");
    };
    let code = status.code().unwrap_or(-1);
    Out {
        code,
        stdout,
        stderr,
    }
}

/// Runs a shell script with `$NAME` set to each path.
#[track_caller]
pub fn sh(script: &str, env: &[(&str, &Path)]) -> Out {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("LC_ALL", "C")
        .envs(env.iter().copied());
    run(&mut command)
}

/// Asks until there is an answer or the deadline has passed.
pub fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > DEADLINE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The errno of what must have failed.
#[track_caller]
pub fn errno<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("succeeded, but should have failed"),
        Err(e) => e
            .raw_os_error()
            .unwrap_or_else(|| panic!("no errno in {e}")),
    }
}

/// Asserts that a request fails, and how.
macro_rules! assert_errno {
    ($result:expr, $errno:ident) => {
        assert_errno!($result, $errno, "{}", stringify!($result))
    };
    ($result:expr, $errno:ident, $($what:tt)+) => {{
        match $result {
            Ok(_) => panic!(
                "{} succeeded, but should fail with {}",
                format_args!($($what)+),
                stringify!($errno)
            ),
            Err(e) => {
                let e = ::std::io::Error::from(e);
                assert_eq!(
                    e.raw_os_error(),
                    Some(libc::$errno),
                    "{}: {e}, but should be {}",
                    format_args!($($what)+),
                    stringify!($errno)
                );
            }
        }
    }};
}
pub(crate) use assert_errno;

// How a file is opened decides where its verdict comes (docs/mount.md, "Where the verdict is given").

/// One of the three ways.
pub type Open = fn(&Path) -> io::Result<File>;

/// As cp does for a new name: `O_EXCL`.
pub fn open_excl(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// As `>` does: `O_TRUNC`.
pub fn open_trunc(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

/// As `rsync --inplace` and cpio do: neither.
pub fn open_plain(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// For an existing name only, with more flags.
pub fn open_flags(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// What `close` answers; dropping a `File` would lose it.
pub fn close(file: File) -> io::Result<()> {
    nix::unistd::close(file).map_err(io::Error::from)
}

/// FLUSH without giving the file up: closes a duplicate, as shells and dd do first.
pub fn flush(file: &File) -> io::Result<()> {
    close(file.try_clone()?)
}

/// Creates a file, writes all of it at once and closes it: the error of whichever of these failed.
pub fn store_excl(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = open_excl(path)?;
    file.write_all_at(bytes, 0)?;
    close(file)
}

/// The same by `O_TRUNC`, so that an existing name is no error.
pub fn store_trunc(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = open_trunc(path)?;
    file.write_all_at(bytes, 0)?;
    close(file)
}

/// `bytes` with one bit changed.
pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// A blob that is bad in one bit in the middle of its ciphertext.
pub fn spoiled(blob: &[u8]) -> Vec<u8> {
    flipped(blob, (blob.len() - 20) * 8 + 3)
}

/// The names in a directory, sorted as text; `.` and `..` aside, all of them.
#[track_caller]
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every file of a directory with its content.
#[track_caller]
pub fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    names(dir)
        .into_iter()
        .map(|name| {
            let bytes = fs::read(dir.join(&name))
                .unwrap_or_else(|e| panic!("cannot read {name} in {}: {e}", dir.display()));
            (name, bytes)
        })
        .collect()
}

/// Puts files into a new ordinary directory.
pub fn write_dir(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir(dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Writes a file with a secret, for its owner alone.
pub fn write_private(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The password of a slot made by [`Store::slot`].
pub fn password(slot: u32) -> String {
    format!("correct horse {slot}")
}

/// Whether anything is under that location.
#[track_caller]
fn has_keys(location: &str) -> bool {
    let (members, name) = location
        .strip_prefix("etcd://")
        .and_then(|rest| rest.split_once('/'))
        .expect("etcd://H:P,H:P,H:P/NAME");
    let prefix = format!("/slotfs/{name}/");
    let out = run(Command::new("etcdctl").env("ETCDCTL_API", "3").args([
        "--endpoints",
        members,
        "get",
        "--prefix",
        "--keys-only",
        &prefix,
    ]))
    .ok();
    !out.stdout.trim().is_empty()
}

/// A directory with a store, its domain keys and its password files.
pub struct Store {
    dir: TempDir,
    /// A file of the directory, or a location in a cluster (docs/cluster.md).
    file: PathBuf,
    /// What each command of the store begins with, such as `nsenter` for those of another host.
    prefix: Vec<String>,
}

impl Store {
    /// No store yet: `partition init` makes it. It is a file, or with `$SLOTFS_TEST_STORE=etcd` a name of its own in the
    /// cluster of this run (scripts/cluster).
    pub fn empty() -> Self {
        let mut store = Self::of_file();
        if let Some(location) = shared::location() {
            store.file = location.into();
            // A test that opens the file all the same would test another store than it says.
            fs::create_dir(store.path("store.db")).unwrap();
        }
        store
    }

    /// A store that is a file, whatever the other stores of this run are.
    pub fn of_file() -> Self {
        assert!(
            File::open("/dev/fuse").is_ok(),
            "these tests mount: /dev/fuse must be there and readable"
        );
        let dir = tempfile::Builder::new()
            .prefix("slotfs-it-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        fs::create_dir(dir.path().join(RUN)).unwrap();
        Self {
            dir,
            file: "store.db".into(),
            prefix: Vec::new(),
        }
    }

    /// Has commands and mounts use another file of the store's directory as the store, or that location.
    pub fn use_file(&mut self, file: impl Into<PathBuf>) {
        self.file = file.into();
    }

    /// Has all commands begin with these words.
    #[cfg(feature = "etcd")]
    pub fn use_prefix(&mut self, prefix: Vec<String>) {
        self.prefix = prefix;
    }

    /// What commands are given as the store in its folder.
    pub fn relative(&self) -> &Path {
        &self.file
    }

    /// What commands are given as the store, whatever folder they run in.
    pub fn location(&self) -> PathBuf {
        if self.is_in_cluster() {
            return self.file.clone();
        }
        self.path(&self.file)
    }

    /// Whether it is a name in the cluster of this run.
    pub fn is_in_cluster(&self) -> bool {
        self.file.as_os_str().as_bytes().starts_with(b"etcd://")
    }

    /// Whether anything was made in the store's place.
    #[track_caller]
    pub fn is_made(&self) -> bool {
        match self.file.to_str() {
            Some(location) if self.is_in_cluster() => has_keys(location),
            _ => self.path(&self.file).exists(),
        }
    }

    /// A path in the store's directory. Commands run there, so they may use the bare name as well.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The socket of the store's token server.
    pub fn socket(&self) -> PathBuf {
        self.path(RUN).join("token.sock")
    }

    /// The log of a daemon in the background, which is named by its store.
    #[track_caller]
    pub fn log_file(&self) -> PathBuf {
        let folder = self.path(STATE).join("slotfs/log");
        let logs = names(&folder);
        let [log] = logs.as_slice() else {
            panic!("one log should be in {}: {logs:?}", folder.display());
        };
        folder.join(log)
    }

    /// What that log says.
    #[track_caller]
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// The slotfs command, away from the caller's environment, without an input.
    pub fn bare(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let program = env!("CARGO_BIN_EXE_slotfs");
        let mut command = match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, more)) => {
                let mut command = Command::new(first);
                command.args(more).arg(program);
                command
            }
        };
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join(STATE))
            .env("SLOTFS_SOCKET", self.socket())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("SLOTFS_CONFIG")
            .env_remove("JOURNAL_STREAM")
            .env_remove("CREDENTIALS_DIRECTORY")
            .env_remove("SLOTFS_STORE")
            .env_remove("SLOTFS_ACTIVE_SLOT")
            .env_remove("SLOTFS_LOG");
        command
    }

    /// The slotfs command on this store.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare(&["--store"]);
        command.arg(&self.file).args(args);
        command
    }

    /// Runs slotfs on this store.
    #[track_caller]
    pub fn args(&self, args: &[&str]) -> Out {
        run(self.command(args).stdin(Stdio::null()))
    }

    /// Runs slotfs on this store with the words of `line`.
    #[track_caller]
    pub fn run(&self, line: &str) -> Out {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same without a terminal that could be asked: in a session of its own.
    #[track_caller]
    pub fn run_without_terminal(&self, line: &str) -> Out {
        let slotfs = self.command(&[]);
        let mut command = Command::new("setsid");
        command
            .arg("--wait")
            .arg(slotfs.get_program())
            .args(slotfs.get_args())
            .args(line.split_whitespace())
            .current_dir(self.dir.path());
        for (name, value) in slotfs.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        run(&mut command)
    }

    /// Makes the domain key file `<name>.pem` unless it is there.
    pub fn domain(&self, name: &str) {
        if !self.path(format!("{name}.pem")).exists() {
            self.run(&format!("domain newkey {name}.pem")).ok();
        }
    }

    /// The password file `pw-N`, with a line feed as editors leave it.
    pub fn password_file(&self, slot: u32) -> String {
        let name = format!("pw-{slot}");
        write_private(&self.path(&name), &(password(slot) + "\n"));
        name
    }

    /// Initialises a slot under the domain of that name.
    #[track_caller]
    pub fn slot(&self, slot: u32, domain: &str) {
        self.domain(domain);
        let file = self.password_file(slot);
        self.run(&format!(
            "partition init -slot {slot} -label slot{slot} -domainkey {domain}.pem --password-file {slot}={file}"
        ))
        .ok();
    }

    /// Runs a command that needs the slot's password.
    #[track_caller]
    pub fn run_in(&self, slot: u32, line: &str) -> Out {
        self.run(&format!(
            "{line} -slot {slot} --password-file {slot}=pw-{slot}"
        ))
    }

    /// Generates AES keys and gives their handles.
    #[track_caller]
    pub fn aes(&self, slot: u32, count: u32) -> Vec<u32> {
        let out = self.run_in(
            slot,
            &format!("object generate -type aes -bits 256 -label key -count {count}"),
        );
        let handles = handles(&out.ok().stdout);
        assert_eq!(handles.len(), usize::try_from(count).unwrap());
        handles
    }

    /// Imports a data object of that many bytes: for blobs that take tools more than one write.
    #[track_caller]
    pub fn data(&self, slot: u32, size: usize) -> u32 {
        let name = format!("data-{size}");
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        fs::write(self.path(&name), bytes).unwrap();
        let out = self.run_in(
            slot,
            &format!("object import -type data -file {name} -label data"),
        );
        handles(&out.ok().stdout)[0]
    }

    /// Mounts the store at its own mountpoint, logged in to these slots.
    #[track_caller]
    pub fn start(&self, logins: &[u32]) -> Mount {
        self.start_at("mnt", logins, &[])
    }

    /// The same with everything in the log.
    #[track_caller]
    pub fn start_traced(&self, logins: &[u32]) -> Mount {
        self.start_with("mnt", logins, &[], "trace")
    }

    /// The same at another mountpoint of the store's directory and with more arguments.
    #[track_caller]
    pub fn start_at(&self, point: &str, logins: &[u32], more: &[&str]) -> Mount {
        self.start_with(point, logins, more, "info")
    }

    #[track_caller]
    fn start_with(&self, point: &str, logins: &[u32], more: &[&str], log_level: &str) -> Mount {
        // One log per mount: what an earlier one was told is no concern of the next.
        let log = (1..)
            .map(|i| self.path(format!("{point}-{i}.log")))
            .find(|log| !log.exists())
            .unwrap();
        let point = self.path(point);
        let _ = fs::create_dir(&point);
        let mut command = self.bare(&["--store"]);
        command
            .arg(self.location())
            .arg("mount")
            .arg(&point)
            .arg("--foreground")
            .args(more);
        for slot in logins {
            command
                .args(["--login", &slot.to_string()])
                .arg("--password-file")
                .arg(format!(
                    "{slot}={}",
                    self.path(format!("pw-{slot}")).display()
                ));
        }
        command.env("SLOTFS_LOG", log_level);
        Mount::start(&mut command, point, log)
    }

    /// Mounts the store and keeps both.
    #[track_caller]
    pub fn mount(self, logins: &[u32]) -> Hsm {
        Hsm {
            mount: self.start(logins),
            store: self,
        }
    }
}

/// The handles in lines `Handle H`.
pub fn handles(stdout: &str) -> Vec<u32> {
    stdout
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Handle ")?.trim().parse().ok())
        .collect()
}

/// A running `slotfs mount --foreground`.
pub struct Mount {
    pub point: PathBuf,
    log: PathBuf,
    child: Child,
    announced: RefCell<Vec<String>>,
    ended: bool,
    crashed: bool,
    watchdog: Option<mpsc::Sender<()>>,
}

impl Mount {
    #[track_caller]
    fn start(command: &mut Command, point: PathBuf, log: PathBuf) -> Self {
        let to_log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(to_log.try_clone().unwrap())
            .stderr(to_log)
            .spawn()
            .unwrap();
        let mut mount = Self {
            point,
            log,
            child,
            // Tests mount copies of a store that they have logged in to before.
            // Many refusals are announced one by one, and summed up.
            announced: RefCell::new(vec![
                "one of the two stores is a copy".into(),
                "more refusals in the last".into(),
                // Debian's etcd is an older one, and slotfs says so.
                "a member that was paused may serve old data".into(),
            ]),
            ended: false,
            crashed: false,
            watchdog: None,
        };
        let ready = wait_for(|| {
            if let Some(status) = mount.child.try_wait().unwrap() {
                mount.ended = true;
                return Some(Err(status));
            }
            // The daemon looks for its mount in the table first; a test must not unmount it before that.
            let is_ready = is_mounted(&mount.point) && mount.log().contains(" is mounted at ");
            is_ready.then_some(Ok(()))
        });
        match ready {
            Some(Ok(())) => {}
            Some(Err(status)) => panic!("mount ended with {status}: {}", mount.log()),
            None => panic!("mount was not ready in time: {}", mount.log()),
        }
        mount.watchdog = Some(watch(mount.pid()));
        mount
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// For a test that goes on for minutes on purpose.
    pub fn without_watchdog(&mut self) {
        self.watchdog = None;
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Says that warnings with these words are what the test is after.
    pub fn announce(&self, words: &str) {
        self.announced.borrow_mut().push(words.to_owned());
    }

    /// Says that blobs will be rejected.
    pub fn announce_rejections(&self) {
        self.announce("was not cloned to slot");
        self.announce("the blob was not accepted");
        self.announce("larger than any blob");
    }

    /// Says that names will be tried that no slot can hold.
    pub fn announce_names(&self) {
        self.announce("is not a file name that a slot can hold");
    }

    /// Waits until the log says these words; announces them too.
    #[track_caller]
    pub fn logged(&self, words: &str) {
        self.announce(words);
        // What a request does is logged before its answer; what the daemon does by itself, soon after.
        assert!(
            wait_for(|| self.log().contains(words).then_some(())).is_some(),
            "no {words:?} in the log: {}",
            self.log()
        );
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for the daemon to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let status = wait_for(|| self.child.try_wait().unwrap());
        self.ended = status.is_some();
        self.watchdog = None;
        status.unwrap_or_else(|| panic!("the daemon does not end: {}", self.log()))
    }

    /// Kills the daemon as a crash would and leaves the mountpoint stale.
    pub fn crash(&mut self) {
        self.watchdog = None;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.ended = true;
        self.crashed = true;
    }

    /// Ends the mount and tells everything that is wrong about how it ended.
    fn end(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        // Before the daemon is reaped: its number may be another process's afterwards.
        self.watchdog = None;
        let before = self.log().len();
        if is_mounted(&self.point) && !self.ended {
            // What a tool left open for a moment makes this fail once or twice.
            let gone = (0..50).any(|_| {
                let done = unmount(&self.point, "-u");
                if !done {
                    std::thread::sleep(Duration::from_millis(100));
                }
                done
            });
            if !gone {
                wrong.push("the mount was still in use".to_owned());
                unmount(&self.point, "-uz");
            }
        }
        if !self.ended {
            match wait_for(|| self.child.try_wait().unwrap()) {
                Some(status) if status.success() => {}
                Some(status) => wrong.push(format!("the daemon ended with {status}")),
                None => {
                    wrong.push("the daemon did not end after the unmount".to_owned());
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                }
            }
        }
        if is_mounted(&self.point) {
            if !self.crashed {
                wrong.push("a mount is left over".to_owned());
            }
            unmount(&self.point, "-uz");
        }
        for pid in daemons_of(&self.point) {
            wrong.push(format!("daemon {pid} is left over"));
            let _ = kill(pid, Signal::SIGKILL);
        }
        let announced = self.announced.borrow();
        let log = self.log();
        let (before, unmounting) = log.split_at(before.min(log.len()));
        // The kernel drops what is in flight at the end: nobody waits for that answer.
        let unmounting = unmounting
            .lines()
            .filter(|line| !line.contains("Failed to send FUSE reply: No such file or directory"));
        for line in before.lines().chain(unmounting) {
            let warns = line.contains("WARN") || line.contains("ERROR");
            let known = announced.iter().any(|words| line.contains(words.as_str()));
            if line.contains("panicked") || (warns && !known) {
                wrong.push(format!("the daemon logged {line}"));
            }
        }
        wrong
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let wrong = self.end();
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        } else {
            assert!(
                wrong.is_empty(),
                "{}\nlog of the daemon:\n{}",
                wrong.join("\n"),
                self.log()
            );
        }
    }
}

/// Kills a daemon that no longer answers, so that a request of the test itself ends with an error
/// instead of hanging. Dropping what this returns calls it off.
fn watch(pid: Pid) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        if receiver.recv_timeout(2 * DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    sender
}

/// Whether a mountpoint is in the kernel's table; asks nothing of the daemon.
pub fn is_mounted(point: &Path) -> bool {
    // Bytes: anybody may have mounted anything on this machine.
    let table = fs::read("/proc/self/mounts").unwrap();
    let point = point.to_str().unwrap().as_bytes();
    table
        .split(|byte| *byte == b'\n')
        .any(|line| line.split(|byte| *byte == b' ').nth(1) == Some(point))
}

/// `fusermount3` with `-u` or `-uz`.
pub fn unmount(point: &Path, how: &str) -> bool {
    Command::new("fusermount3")
        .arg(how)
        .arg(point)
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// The slotfs processes that were started for a mountpoint of ours.
pub fn daemons_of(point: &Path) -> Vec<Pid> {
    let point = point.to_str().unwrap().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A process that ends meanwhile has no command line.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        if program.ends_with(b"slotfs") && words.any(|word| word == point) {
            found.push(Pid::from_raw(pid));
        }
    }
    found
}

/// A mounted store. The mount goes first.
pub struct Hsm {
    pub mount: Mount,
    pub store: Store,
}

impl Hsm {
    /// The directory of a slot.
    pub fn slot(&self, slot: u32) -> PathBuf {
        self.mount.point.join(slot.to_string())
    }

    /// A name in a slot's directory.
    pub fn file(&self, slot: u32, name: impl ToString) -> PathBuf {
        self.slot(slot).join(name.to_string())
    }

    /// A name in a slot's `.slotfs`.
    pub fn control(&self, slot: u32, name: &str) -> PathBuf {
        self.slot(slot).join(".slotfs").join(name)
    }

    /// What a slot lists.
    #[track_caller]
    pub fn list(&self, slot: u32) -> Vec<String> {
        names(&self.slot(slot))
    }

    /// Every object of a slot.
    #[track_caller]
    pub fn blobs(&self, slot: u32) -> BTreeMap<String, Vec<u8>> {
        contents(&self.slot(slot))
    }

    #[track_caller]
    pub fn blob(&self, slot: u32, handle: u32) -> Vec<u8> {
        fs::read(self.file(slot, handle)).unwrap()
    }

    /// The verdicts with a slot as target.
    #[track_caller]
    pub fn clones(&self, slot: u32) -> String {
        fs::read_to_string(self.control(slot, "clones")).unwrap()
    }

    /// Copies one object by its bytes, as a writer that knows nothing of the source.
    #[track_caller]
    pub fn copy(&self, from: (u32, u32), to: (u32, u32)) {
        let blob = self.blob(from.0, from.1);
        store_trunc(&self.file(to.0, to.1), &blob).unwrap();
    }

    /// One value of `.slotfs/status`.
    #[track_caller]
    pub fn status(&self, slot: u32, key: &str) -> Option<String> {
        fs::read_to_string(self.control(slot, "status"))
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    }
}

/// Slots 0 and 1 share a domain, 2 does not. Slot 0 holds `keys` AES keys and then a data object of
/// 50 kB; the others are empty.
pub fn three_slots(keys: u32) -> Hsm {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.slot(2, "blue");
    store.aes(0, keys);
    store.data(0, 50_000);
    store.mount(&[0, 1, 2])
}

/// Slots 0 and 1 share a domain; slot 0 holds `keys` AES keys, slot 1 nothing.
pub fn two_slots(keys: u32) -> Hsm {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, keys);
    store.mount(&[0, 1])
}
