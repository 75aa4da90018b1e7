//! Which server serves, and when it ends.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slotfs_wire::Reply;

use super::client::{Client, store_id};
use super::{Served, store};
use crate::fixture::{Store, wait_for};

/// The process that the lock's file names.
fn holder(store: &Store) -> Pid {
    let mut lock = store.socket().into_os_string();
    lock.push(".lock");
    Pid::from_raw(fs::read_to_string(lock).unwrap().trim().parse().unwrap())
}

fn is_gone(store: &Store) -> bool {
    fs::symlink_metadata(store.socket()).is_err()
}

/// "One flock chooses the server of a store; a later `serve` says who holds it."
#[test]
fn a_second_server_names_the_first() {
    let store = store();
    let served = Served::start(&store, &[]);
    let out = store.run("serve").fails(1);
    let who = format!("is served by process {} already", served.pid());
    assert!(out.stderr.contains(&who), "{out:#?}");
    store.run("serve --background").ok();
    assert_eq!(holder(&store), served.pid());
    served.answers();
}

/// "Ready before the call returns", for each of many callers at once, and all of them get the same server.
#[test]
fn many_starters_get_one_server() {
    let store = store();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                store.run("serve --background --idle 3600").ok();
                Client::enter(&store.socket(), store_id(&store.location()));
            });
        }
    });
    let server = holder(&store);
    let log = store.logged();
    assert_eq!(log.matches("is served at").count(), 1, "{log}");
    kill(server, Signal::SIGTERM).unwrap();
    assert!(wait_for(|| is_gone(&store).then_some(())).is_some());
}

/// "The server must not inherit its starter's world."
#[test]
fn a_server_in_the_background_leaves_its_starter() {
    let store = store();
    // The server is in another folder than the relative path is meant from.
    let mut command = store.bare(&["serve", "--background", "--idle", "3600"]);
    command
        .env("SLOTFS_STORE", store.relative())
        .env("LD_LIBRARY_PATH", "/nowhere")
        .env("MALLOC_CHECK_", "3");
    crate::fixture::run(&mut command).ok();
    let pid = holder(&store);
    let proc = format!("/proc/{pid}");
    let environment = fs::read(format!("{proc}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    for other in ["LD_", "MALLOC_", "CARGO"] {
        assert!(!environment.contains(other), "{environment}");
    }
    assert!(environment.contains("SLOTFS_SOCKET="), "{environment}");
    let folder = fs::read_link(format!("{proc}/cwd")).unwrap();
    assert_eq!(folder.to_str(), Some("/"));
    let stat = fs::read_to_string(format!("{proc}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split(' ').nth(4).unwrap();
    assert_eq!(session, pid.to_string());
    for number in 0..2 {
        let file = fs::read_link(format!("{proc}/fd/{number}")).unwrap();
        assert_eq!(file.to_str(), Some("/dev/null"), "{number}");
    }
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(wait_for(|| is_gone(&store).then_some(())).is_some());
}

/// "A started server never creates a store."
#[test]
fn a_server_makes_no_store() {
    let store = Store::empty();
    for line in ["serve", "serve --background"] {
        let out = store.run(line).fails(4);
        assert!(out.text().contains("there is no store"), "{out:#?}");
    }
    assert!(!store.is_made());
}

/// A socket that a killed server left is replaced; what is no socket is left alone.
#[test]
fn what_is_left_of_a_server_is_replaced() {
    let store = store();
    let mut first = Served::start(&store, &[]);
    first.signal(Signal::SIGKILL);
    let left = fs::symlink_metadata(store.socket()).unwrap();
    assert!(left.file_type().is_socket());
    Served::start(&store, &[]).answers();
    assert!(is_gone(&store), "a server that ends removes its socket");

    fs::write(store.socket(), "mine").unwrap();
    let out = store.run("serve").fails(1);
    assert!(out.stderr.contains("is no socket"), "{out:#?}");
    assert_eq!(fs::read_to_string(store.socket()).unwrap(), "mine");
}

/// The socket of another program is not taken away from it, though nobody holds the lock.
#[test]
fn a_socket_that_somebody_listens_at_is_left_alone() {
    let store = store();
    let other = UnixListener::bind(store.socket()).unwrap();
    let out = store.run("serve").fails(1);
    assert!(
        out.stderr.contains("is served by another process"),
        "{out:#?}"
    );
    let connected = UnixStream::connect(store.socket());
    assert!(connected.is_ok() && other.accept().is_ok());
}

/// "It ends after a minute without connections": a second here.
#[test]
fn a_server_ends_when_nobody_needs_it() {
    let store = store();
    let mut served = Served::start_with(&store, &mut store.command(&["serve", "--idle", "1"]));
    let connected = served.enter();
    store
        .run("login -slot 0 -role co --password-file 0=pw-0")
        .ok();
    drop(connected);
    // Too short a wait would pass as well.
    std::thread::sleep(std::time::Duration::from_secs(3));
    served.answers();
    let out = store.run("logout -slot 0 -role co").ok();
    assert!(
        out.stdout.contains("co is logged out of slot 0."),
        "{out:#?}"
    );
    assert!(served.ends().success());
    served.logged("nobody is connected");
    assert!(is_gone(&store));
    let out = store.run("logout -slot 0 -role co").ok();
    assert!(out.stdout.contains("co was not logged in"), "{out:#?}");
}

/// "And when its socket or store is no longer at its path."
#[test]
fn a_server_ends_with_its_socket_or_its_store() {
    let store = store();
    let mut served = Served::start(&store, &[]);
    fs::remove_file(store.socket()).unwrap();
    assert!(served.ends().success());
    served.logged("not at its path any more");

    let mut served = Served::start(&store, &[]);
    let _connected = served.enter();
    fs::rename(store.path("store.db"), store.path("elsewhere.db")).unwrap();
    served.ends();
}

/// Every one of these signals ends it cleanly, with applications connected.
#[test]
fn signals_end_a_server() {
    let store = store();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut served = Served::start(&store, &[]);
        let mut connected = served.enter();
        assert!(served.signal(signal).success(), "{signal}");
        assert!(!connected.is_alive());
        assert!(is_gone(&store), "{signal}");
    }
}

/// Socket activation: the server takes the socket that it is given, and leaves it open and in place when it ends.
#[test]
fn a_given_socket_is_served_and_left() {
    let store = store();
    let listener = UnixListener::bind(store.socket()).unwrap();
    let activate = || {
        let slotfs = store.command(&["serve", "--idle", "1"]);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"")
            .arg(slotfs.get_program())
            .args(slotfs.get_args())
            .current_dir(store.path(""))
            .env("HOME", store.path(""))
            .env("XDG_STATE_HOME", store.path(".local/state"))
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        command.spawn().unwrap()
    };
    let id = store_id(&store.location());
    for _ in 0..2 {
        // The connection waits in the socket's queue until a server is there, as systemd has it.
        let mut client = Client::connect(&store.socket()).unwrap();
        let mut server = activate();
        assert!(matches!(
            client.introduce(id, None).unwrap(),
            Reply::Welcome(_)
        ));
        assert!(client.is_alive());
        drop(client);
        let status = wait_for(|| server.try_wait().unwrap()).unwrap();
        assert!(status.success());
        assert!(!is_gone(&store));
    }
    // Another server leaves it alone.
    store.run("serve").fails(1);
    assert!(!is_gone(&store));
}
