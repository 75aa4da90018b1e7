//! What hostile and broken clients send harms nobody.

use std::io::Write;
use std::net::Shutdown;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slotfs_wire::rv::CKR_DEVICE_ERROR;
use slotfs_wire::{Preamble, Reply, Request, StoreId, frame};

use super::client::{self, Client};
use super::{Served, open_store, store};
use crate::fixture::wait_for;

/// The preamble, then these bytes.
fn after_preamble(bytes: &[u8]) -> Vec<u8> {
    [&Preamble::OURS.to_bytes(), bytes].concat()
}

/// The lengths of a frame.
fn lengths(header: u32, data: u32) -> Vec<u8> {
    [header.to_le_bytes(), data.to_le_bytes()].concat()
}

#[test]
fn nonsense_ends_its_connection_alone() {
    let store = store();
    let served = Served::start(&store, &[]);
    let mut honest = served.enter();
    let ping = frame::encode(&Request::Ping, 0).unwrap();
    let nonsense = [
        ("nothing", Vec::new()),
        ("half a preamble", b"slotf".to_vec()),
        ("HTTP", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("no hello", after_preamble(&ping)),
        ("lengths of 8 GiB", after_preamble(&lengths(!0, !0))),
        (
            "a header of 1 MiB + 1",
            after_preamble(&lengths((1 << 20) + 1, 0)),
        ),
        (
            "data of 1 MiB + 1",
            after_preamble(&lengths(1, (1 << 20) + 1)),
        ),
        ("no header", after_preamble(&lengths(0, 0))),
        ("half a frame", after_preamble(&lengths(1 << 20, 1 << 20))),
        (
            "a header of ones",
            after_preamble(&[lengths(64, 0), vec![0xff; 64]].concat()),
        ),
    ];
    for (what, bytes) in &nonsense {
        for after_hello in [false, true] {
            let mut client = match after_hello {
                true => served.enter(),
                false => Client::connect(&served.socket).unwrap(),
            };
            // The server may have closed before it has all.
            let bytes = match after_hello {
                true => bytes.get(12..).unwrap_or_default(),
                false => bytes,
            };
            let _ = client.stream.write_all(bytes);
            let _ = client.stream.shutdown(Shutdown::Write);
            client.rest();
            assert!(honest.is_alive(), "{what}");
        }
    }
    served.answers();
    let log = served.log();
    assert!(!log.contains("panicked"), "{log}");
    let warnings = log.matches("WARN").count();
    // Of those without a hello: two are no preamble, three say something else first.
    assert_eq!(warnings, 5, "{log}");
}

/// Whoever sends nonsense again and again cannot fill the log: it has as many lines as docs/configuration.md says, and one
/// that counts the others.
#[test]
fn nonsense_does_not_flood_the_log() {
    let store = store();
    let mut served = Served::start(&store, &[]);
    for _ in 0..150 {
        let mut client = Client::connect(&served.socket).unwrap();
        let _ = client.stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        let _ = client.stream.shutdown(Shutdown::Write);
        client.rest();
    }
    served.answers();
    served.signal(nix::sys::signal::Signal::SIGTERM);
    let log = served.log();
    let (sums, whole): (Vec<&str>, Vec<&str>) = log
        .lines()
        .filter(|line| line.contains("WARN"))
        .partition(|line| line.contains(" more refusal"));
    let summed: usize = sums
        .iter()
        .map(|line| {
            let before = line.split(" more refusal").next().unwrap();
            before.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
        })
        .sum();
    assert!(whole.len() < 150, "{log}");
    assert_eq!(whole.len() + summed, 150, "{log}");
}

/// "Versions differ: answer our preamble, then close, with a line in the log."
#[test]
fn another_version_is_told_ours() {
    let store = store();
    let served = Served::start(&store, &[]);
    let mut client = Client::connect(&served.socket).unwrap();
    let other = Preamble { version: 77 }.to_bytes();
    client.stream.write_all(&other).unwrap();
    assert_eq!(client.rest(), Preamble::OURS.to_bytes());
    served.logged("speaks version 77 of the messages");
}

/// "The hello compares the store's device and inode."
#[test]
fn another_store_is_refused() {
    let store = store();
    let served = Served::start(&store, &[]);
    let StoreId { device, inode } = served.store;
    let others = [(device + 1, inode), (device, inode + 1)];
    for (device, inode) in others {
        let other = StoreId { device, inode };
        let (mut client, reply) = Client::hello(&served.socket, other, None).unwrap();
        assert_eq!(reply, Reply::Failed(CKR_DEVICE_ERROR));
        assert!(client.rest().is_empty());
    }
    served.logged("it means another store");
}

/// A frame that is not finished ends its connection after some time, also if a byte comes now and then; others are served
/// meanwhile.
#[test]
fn an_unfinished_frame_does_not_stay() {
    let store = store();
    let served = Served::start(&store, &[]);
    let (mut still, mut trickling) = (served.enter(), served.enter());
    let begin = lengths(1 << 20, 1 << 20);
    still.stream.write_all(&begin).unwrap();
    trickling.stream.write_all(&begin).unwrap();
    let mut honest = served.enter();
    let ended = wait_for(|| {
        assert!(honest.is_alive());
        std::thread::sleep(Duration::from_millis(50));
        trickling.stream.write_all(&[0]).err()
    });
    assert!(ended.is_some());
    still.rest();
}

/// Replies that nobody fetches do not keep the server from others.
#[test]
fn replies_that_nobody_fetches_keep_nobody_waiting() {
    let store = store();
    let served = Served::start(&store, &[]);
    let session = |client: &mut Client| {
        // CKF_SERIAL_SESSION
        match client.ask(&Request::OpenSession { slot: 0, flags: 4 }) {
            Ok(Reply::Handle(session)) => session,
            other => panic!("{other:?}"),
        }
    };
    let mut deaf: Vec<Client> = (0..32).map(|_| served.enter()).collect();
    for client in &mut deaf {
        let session = session(client);
        let bytes = slotfs_wire::MAX_DATA_BYTES as u64;
        let random = frame::encode(&Request::Random { session, bytes }, 0).unwrap();
        for _ in 0..8 {
            client.stream.write_all(&random).unwrap();
        }
    }
    let mut honest = served.enter();
    for _ in 0..8 {
        let session = session(&mut honest);
        let bytes = slotfs_wire::MAX_DATA_BYTES as u64;
        let reply = honest.ask(&Request::Random { session, bytes }).unwrap();
        assert_eq!(reply, Reply::Output { bytes });
    }
}

/// One user cannot take every connection.
#[test]
fn a_crowd_of_another_user_leaves_room() {
    let store = open_store();
    // (200 - 128) / 3 connections, an eighth of them for one other user.
    let mut command = std::process::Command::new("sh");
    let slotfs = store.command(&["serve", "--idle", "3600"]);
    command
        .args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\""])
        .arg(slotfs.get_program())
        .args(slotfs.get_args())
        .current_dir(store.path(""));
    for (name, value) in slotfs.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let served = Served::start_with(&store, &mut command);
    let store_file = store.location();
    let mut crowd = client::process("crowd", &served.socket, &store_file, 65534, Stdio::null());
    assert_eq!(client::says(&mut crowd), "3");
    served.answers();
    served.logged("there are too many connections");
    crowd.kill().unwrap();
    crowd.wait().unwrap();
}

/// "A dead peer's application ends at once even when a forked child keeps the sockets open."
#[test]
fn a_killed_client_ends_though_its_child_holds_the_socket() {
    let store = store();
    let mut command = store.command(&["serve", "--idle", "1"]);
    let mut served = Served::start_with(&store, &mut command);
    let held = served.enter();
    let store_file = store.location();
    let mut holder = client::process("hold", &served.socket, &store_file, 0, Stdio::null());
    let child: i32 = client::says(&mut holder).parse().unwrap();
    drop(held);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(served.ends().success());
    served.logged("nobody is connected");
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
}
