//! The token server: who gets in, who serves, and what hostile clients cannot do (docs/architecture.md, "The token server").

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slotfs_wire::StoreId;

mod admission;
mod client;
mod hostile;
mod lifecycle;
mod mount;

use crate::fixture::{Store, wait_for};
use client::{Client, store_id};

/// A store with slots 0 and 1 of one domain.
fn store() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store
}

/// The same in a folder that everybody may pass through.
fn open_store() -> Store {
    let store = store();
    let open = |path: PathBuf| fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    open(store.path(""));
    open(store.socket().parent().unwrap().to_owned());
    store
}

/// A running `slotfs serve`. When it goes out of scope it must end cleanly.
struct Served {
    child: Child,
    log: PathBuf,
    socket: PathBuf,
    store: StoreId,
    ended: bool,
}

impl Served {
    #[track_caller]
    fn start(store: &Store, more: &[&str]) -> Self {
        let mut line = vec!["serve", "--idle", "3600"];
        line.extend(more);
        Self::start_with(store, &mut store.command(&line))
    }

    #[track_caller]
    fn start_with(store: &Store, command: &mut Command) -> Self {
        let log = store.path("serve.log");
        let to_log = OpenOptions::new().create(true).append(true).open(&log);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(to_log.unwrap())
            .spawn()
            .unwrap();
        let mut served = Self {
            child,
            log,
            socket: store.socket(),
            store: store_id(&store.location()),
            ended: false,
        };
        let ready = wait_for(|| {
            if let Some(status) = served.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", served.log());
            }
            Client::connect(&served.socket).ok()
        });
        assert!(ready.is_some(), "no server: {}", served.log());
        served
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    #[track_caller]
    fn logged(&self, words: &str) {
        let found = wait_for(|| self.log().contains(words).then_some(()));
        assert!(found.is_some(), "{words:?} is not in {}", self.log());
    }

    /// A new application.
    #[track_caller]
    fn enter(&self) -> Client {
        Client::enter(&self.socket, self.store).0
    }

    /// Whether a new application gets in and is answered.
    #[track_caller]
    fn answers(&self) {
        assert!(self.enter().is_alive(), "{}", self.log());
    }

    /// Waits until it ends by itself.
    #[track_caller]
    fn ends(&mut self) -> ExitStatus {
        let status = wait_for(|| self.child.try_wait().unwrap());
        let status = status.unwrap_or_else(|| panic!("it does not end: {}", self.log()));
        self.ended = true;
        status
    }

    #[track_caller]
    fn signal(&mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).unwrap();
        self.ends()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        } else if !self.ended {
            let status = self.signal(Signal::SIGTERM);
            assert!(status.success(), "{status}: {}", self.log());
        }
    }
}

/// A file that holds bytes.
fn file(store: &Store, name: &str, bytes: &[u8]) -> File {
    let path = store.path(name);
    fs::write(&path, bytes).unwrap();
    File::open(path).unwrap()
}
