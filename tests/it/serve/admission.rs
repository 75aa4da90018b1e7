//! Who may connect.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use data_encoding::HEXLOWER;
use slotfs_wire::{Reply, Request};

use super::client::{self, Client};
use super::{Served, open_store, store};
use crate::fixture::Store;

const NOBODY: u32 = 65534;

/// What a client in another process says.
#[track_caller]
fn seen(does: &str, served: &Served, store: &Store, uid: u32, input: Stdio) -> String {
    let mut child = client::process(does, &served.socket, &store.location(), uid, input);
    let said = client::says(&mut child);
    child.wait().unwrap();
    said
}

/// "The server's own uid, root, and a slot's uid and gid for that slot alone."
#[test]
fn another_user_sees_its_own_slot_alone() {
    let store = open_store();
    let served = Served::start(&store, &[]);
    // Slot 2 is the place for a new token.
    let look = |uid| seen("look", &served, &store, uid, Stdio::null());
    assert_eq!(look(0), "welcome [0, 1, 2]");
    assert_eq!(look(NOBODY), "Failed(48)");
    served.logged("it is neither the server's user nor root, and owns no slot");
    for owner in ["-uid 65534", "-uid none -gid 65534"] {
        let line = format!("partition set -slot 1 {owner} --password-file 1:po=pw-1");
        store.run(&line).ok();
        assert_eq!(look(NOBODY), "welcome [1]", "{owner}");
    }
}

/// "Further connections present the application's token and must come from the same process."
#[test]
fn a_token_is_of_one_process() {
    let store = store();
    let served = Served::start(&store, &[]);
    let (mut first, token) = Client::enter(&served.socket, served.store);
    let session = first.ask(&Request::OpenSession { slot: 0, flags: 4 });
    let Ok(Reply::Handle(session)) = session else {
        panic!("{session:?}");
    };
    let hello = |token| Client::hello(&served.socket, served.store, Some(token)).unwrap();
    let (mut second, reply) = hello(token);
    assert!(matches!(reply, Reply::Welcome(_)), "{reply:?}");
    let info = second.ask(&Request::SessionInfo { session }).unwrap();
    assert!(matches!(info, Reply::Session(_)), "{info:?}");

    let token_text = format!("token {}", HEXLOWER.encode(&token));
    let other = seen(&token_text, &served, &store, 0, Stdio::null());
    assert_eq!(other, "Failed(48)");
    let mut wrong = token;
    wrong[0] ^= 1;
    assert_eq!(hello(wrong).1, Reply::Failed(0x30));

    // Finalize ends every connection of the application.
    assert_eq!(first.ask(&Request::Finalize).unwrap(), Reply::Done);
    assert!(second.rest().is_empty());
    assert_eq!(hello(token).1, Reply::Failed(0x30));
}

/// "A child makes a socketpair and sends one end through the door. It may connect as its parent could."
#[test]
fn a_child_of_another_user_comes_through_the_door() {
    let store = open_store();
    let served = Served::start(&store, &[]);
    let mut parent = served.enter();
    let door = parent.door.take().expect("a door was wanted");
    let through = |door: &OwnedFd| {
        let input = Stdio::from(door.try_clone().unwrap());
        seen("door", &served, &store, NOBODY, input)
    };
    assert_eq!(through(&door), "welcome [0, 1, 2]");
    // The child is another application, and outlives its parent.
    drop(parent);
    assert_eq!(through(&door), "welcome [0, 1, 2]");

    // What is no connection does no harm.
    let odd = super::file(&store, "odd", b"no socket");
    let input = Stdio::from(OwnedFd::from(odd));
    let look = seen("look", &served, &store, NOBODY, input);
    assert_eq!(look, "Failed(48)");
    for bytes in [&b""[..], b"x", &[0; 1_000]] {
        let _ = rustix::net::send(&door, bytes, rustix::net::SendFlags::NOSIGNAL);
    }
    served.answers();
}
