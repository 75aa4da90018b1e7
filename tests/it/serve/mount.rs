//! The daemon of a mount is a token server for its store.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::client::{Client, store_id};
use super::{Served, store};
use crate::fixture::{Store, wait_for};

fn is_served(store: &Store) -> bool {
    let id = store_id(&store.location());
    Client::hello(&store.socket(), id, None).is_ok()
}

#[track_caller]
fn becomes_served(store: &Store) {
    assert!(wait_for(|| is_served(store).then_some(())).is_some());
}

/// "After `umount` old handles fail, and the next C_OpenSession finds or starts a server."
#[test]
fn a_mount_serves_its_store() {
    let store = store();
    store.aes(0, 1);
    let mount = store.start(&[0]);
    becomes_served(&store);
    let id = store_id(&store.location());
    let (mut client, _) = Client::enter(&store.socket(), id);
    assert_eq!(client.slots(), [0, 1, 2]);
    let out = store.run("serve").fails(1);
    let who = format!("is served by process {} already", mount.pid());
    assert!(out.stderr.contains(&who), "{out:#?}");
    store
        .run("login -slot 1 -role co --password-file 1=pw-1")
        .ok();
    drop(mount);
    assert!(client.rest().is_empty());
    assert!(!is_served(&store));
    Served::start(&store, &[]).answers();
}

/// "A later mount runs without the socket and takes it over when the server ends."
#[test]
fn a_mount_takes_over() {
    let store = store();
    let served = Served::start(&store, &[]);
    let mount = store.start(&[0]);
    served.answers();
    mount.logged(&format!(
        "process {} serves the store already",
        served.pid()
    ));
    drop(served);
    becomes_served(&store);
    // The socket that somebody removes is made again.
    std::fs::remove_file(store.socket()).unwrap();
    becomes_served(&store);
    mount.logged("was removed or replaced");
}

/// `-o no_socket`, and a mount that is read-only, leave the keys to others.
#[test]
fn a_mount_that_does_not_serve() {
    let store = store();
    for option in ["no_socket", "ro"] {
        let mount = store.start_at("mnt", &[0], &["-o", option]);
        assert!(!is_served(&store), "{option}");
        let served = Served::start(&store, &[]);
        served.answers();
        drop((served, mount));
    }
}

/// The last one to close a store makes it one file, so no thread of a server that has ended may hold it: whoever is
/// connected, and whatever they have said so far.
#[test]
fn the_store_is_one_file_when_its_server_has_ended() {
    let store = store();
    store.aes(0, 1);
    let connect = || {
        let (entered, _) = Client::enter(&store.socket(), store_id(&store.location()));
        let silent = UnixStream::connect(store.socket()).unwrap();
        let mut cut = UnixStream::connect(store.socket()).unwrap();
        cut.write_all(&slotfs_wire::Preamble::OURS.to_bytes()[..3])
            .unwrap();
        (entered, silent, cut)
    };
    let is_one_file = || {
        ["store.db-wal", "store.db-shm"]
            .iter()
            .all(|it| !store.path(it).exists())
    };
    let mount = store.start(&[0]);
    becomes_served(&store);
    let clients = connect();
    std::fs::remove_file(mount.point.join("0/1")).unwrap();
    drop(mount);
    assert!(is_one_file(), "after a mount");
    drop(clients);
    let served = Served::start(&store, &[]);
    let clients = connect();
    drop(served);
    assert!(is_one_file(), "after serve");
    drop(clients);
}
