//! A daemon that is stopped for longer than its lease, and goes on under writes.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::fixture::{LONG, Site};
use super::members::pass;
use super::writers::Writers;

/// A lease lasts 15 seconds.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(20);

#[test]
fn a_daemon_that_outlived_its_lease_loses_nothing() {
    let site = Site::new(400);
    let blobs = site.blobs();
    let all = blobs.names();
    let (mine, theirs) = all.split_at(300);
    let host = site.host(&[LONG]);
    let mount = host.start(&[1, 2]);
    mount.announce("");
    let mut cp = Writers::cp_of(&host, 8, &blobs, mine, &mount.point.join("1"));
    cp.wait_for_acks(60);
    mount.signal(Signal::SIGSTOP);
    // Another host writes to the same slot and removes what was copied.
    let other = site.host(&[LONG]);
    let beside = other.start(&[1]);
    beside.announce("");
    let mut more = Writers::cp_of(&other, 4, &blobs, theirs, &beside.point.join("1"));
    more.finish();
    assert_eq!(more.said(), [""; 0]);
    let removed = cp.acknowledged()[..20].to_vec();
    for name in &removed {
        std::fs::remove_file(beside.point.join("1").join(name)).unwrap();
    }
    pass(LONGER_THAN_A_LEASE);
    mount.signal(Signal::SIGCONT);
    cp.finish();
    assert_eq!(cp.said(), [""; 0]);
    let expected: Vec<String> = all
        .iter()
        .filter(|name| !removed.contains(name))
        .cloned()
        .collect();
    let (_host, fresh) = site.fresh_mount();
    for slot in [fresh.point.join("1"), mount.point.join("1")] {
        blobs.assert_hold(&slot, &expected);
        assert_eq!(crate::fixture::names(&slot).len(), expected.len());
    }
    site.check();
}
