//! The daemon dies between a request and its answer: a moved object is in exactly one slot, a copied one in both or in one.

use nix::sys::signal::{Signal, kill};

use super::fixture::{NAME, Site};
use super::members::location;
use super::proxy::{Fate, Proxies, transaction};
use crate::fixture::{contents, sh};

/// Which side of the commit it dies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    Before,
    After,
}

/// Runs `tool` on object 1 of slot 0 while the daemon dies; gives what slots 0 and 1 hold.
fn killed_in(tool: &str, dies: Dies) -> [Vec<String>; 2] {
    let site = Site::new(3);
    let blobs = site.blobs();
    let proxies = Proxies::before(&site.cluster.clients());
    let host = site.host_at(location(proxies.addresses(), NAME, None, &[]));
    let mut mount = host.start(&[0, 1]);
    mount.announce("");
    let pid = mount.pid();
    proxies.on_lost(move || kill(pid, Signal::SIGKILL).unwrap());
    proxies.decide(move |_, message| match dies {
        // A process makes itself known first.
        _ if !transaction::changes_a_slot(message) => Fate::Pass,
        Dies::Before => {
            kill(pid, Signal::SIGKILL).unwrap();
            Fate::LoseRequest
        }
        Dies::After => Fate::LoseAnswer,
    });
    let out = sh(tool, &[("M", &mount.point)]);
    assert_ne!(out.code, 0, "{tool}: it was acknowledged by nobody");
    mount.crash();
    // What the daemon sent before it died must not pass now.
    proxies.disconnect();
    let (_host, fresh) = site.fresh_mount();
    let held = ["0", "1"].map(|slot| {
        let there = contents(&fresh.point.join(slot));
        for (name, blob) in &there {
            assert_eq!(blob, &blobs.blobs[name]);
        }
        there.into_keys().collect::<Vec<_>>()
    });
    site.check();
    held
}

#[test]
fn a_move_whose_request_was_lost_has_not_happened() {
    let [zero, one] = killed_in("mv $M/0/1 $M/1/1", Dies::Before);
    assert_eq!((zero.len(), one.len()), (3, 0), "{zero:?} {one:?}");
}

#[test]
fn a_move_whose_answer_was_lost_has_happened() {
    let [zero, one] = killed_in("mv $M/0/1 $M/1/1", Dies::After);
    assert_eq!((zero.len(), one.len()), (2, 1), "{zero:?} {one:?}");
}

#[test]
fn a_copy_whose_answer_was_lost_has_happened() {
    let [zero, one] = killed_in("cp $M/0/1 $M/1/1", Dies::After);
    assert_eq!((zero.len(), one.len()), (3, 1), "{zero:?} {one:?}");
}

#[test]
fn a_removal_whose_answer_was_lost_has_happened() {
    let [zero, one] = killed_in("rm $M/0/1", Dies::After);
    assert_eq!((zero.len(), one.len()), (2, 0), "{zero:?} {one:?}");
}
