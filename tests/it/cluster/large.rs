//! The limits: what one request may hold, and what the members' database may.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::{LONG, NAME, Site};
use super::members::{Cluster, MEMBERS, Plan, location};
use super::proxy::{Fate, Proxies};
use super::writers::Writers;
use crate::fixture::{Store, contents, handles, run_with_input};

/// "at most 512 objects and 1 MiB encoded request"; etcd refuses more than 1.5 MiB.
const REQUEST_BYTES: usize = 1 << 20;

/// Data objects of that many bytes in slot 0, each with a label of its own.
fn import(host: &Store, count: usize, bytes: usize) {
    fs::write(host.path("large"), vec![0x5a; bytes]).unwrap();
    let script: String = (0..count)
        .map(|i| format!("object import -type data -file large -label l{i} -slot 0\n"))
        .collect();
    let out = run_with_input(
        &mut host.command(&["--password-file", "0=pw-0"]),
        format!("role login -name co -slot 0\n{script}").as_bytes(),
    );
    assert_eq!(handles(&out.ok().stdout).len(), count);
}

const CLONE: &str =
    "--active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1";

/// Payloads of the largest size, and more objects than one transaction takes: all arrive, by requests of 1 MiB at most.
#[test]
fn no_request_is_larger_than_a_mebibyte() {
    let site = Site::new(1_200);
    import(&site.first, 40, 65_000);
    let proxies = Proxies::before(&site.cluster.clients());
    let host = site.host_at(location(proxies.addresses(), NAME, None, &[LONG]));
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    proxies.decide(move |_, message| {
        seen.fetch_max(message.len(), Ordering::Relaxed);
        Fate::Pass
    });
    host.run(CLONE).ok();
    // Ten processes write the large ones at once: a batch of what they send is larger than a request may be.
    let mount = host.start(&[0, 2]);
    let blobs = site.blobs();
    let large: Vec<String> = blobs
        .blobs
        .iter()
        .filter(|(_, blob)| blob.len() > 60_000)
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(large.len(), 40);
    let mut cp = Writers::cp_of(&host, 10, &blobs, &large, &mount.point.join("2"));
    cp.finish();
    assert_eq!(cp.said(), [""; 0]);
    let (_other, fresh) = site.fresh_mount();
    let zero = contents(&fresh.point.join("0"));
    assert_eq!(zero.len(), 1_240);
    assert!(zero == contents(&fresh.point.join("1")));
    blobs.assert_hold(&fresh.point.join("2"), &large);
    let largest = largest.load(Ordering::Relaxed);
    assert!(largest > REQUEST_BYTES / 2, "only {largest} bytes");
    // gRPC's own five bytes are no part of it.
    assert!(largest <= REQUEST_BYTES + 5, "{largest} bytes");
}

/// The members' database is full: ENOSPC, "as in doubt", and nothing acknowledged is lost. The operator makes room; then it
/// goes on.
#[test]
fn a_full_database_is_enospc_and_loses_nothing() {
    let quota = |bytes: u64| vec!["--quota-backend-bytes".to_owned(), bytes.to_string()];
    let cluster = Cluster::of(Plan {
        arguments: quota(4 << 20),
        ..Plan::default()
    });
    let mut site = Site::over(cluster, 2);
    import(&site.first, 30, 65_000);
    let blobs = site.blobs();
    let host = site.host(&[LONG]);
    let mount = host.start(&[1, 2]);
    mount.announce("");
    let mut writers: Vec<Writers> = ["1", "2"]
        .into_iter()
        .map(|slot| Writers::cp(&host, 4, &blobs, &mount.point.join(slot)))
        .collect();
    for cp in &mut writers {
        cp.finish();
    }
    let failures: Vec<_> = writers.iter().flat_map(Writers::failures).collect();
    assert!(!failures.is_empty(), "the database is not full");
    assert!(
        failures
            .iter()
            .all(|it| it.words.contains("No space left on device")),
        "{failures:?}"
    );
    assert!(mount.log().contains("quota"), "{}", mount.log());
    // What is there can be read all the while.
    for (slot, cp) in ["1", "2"].into_iter().zip(&writers) {
        blobs.assert_hold(&mount.point.join(slot), &cp.acknowledged());
    }
    site.cluster.set_arguments(&quota(1 << 30));
    for member in 0..MEMBERS {
        site.cluster.restart(member);
        site.cluster.wait_until_up();
    }
    site.cluster.ctl(&["alarm", "disarm"]);
    site.cluster.wait_until_healthy();
    for slot in ["1", "2"] {
        let mut again = Writers::cp(&host, 1, &blobs, &mount.point.join(slot));
        again.finish();
        assert_eq!(again.said(), [""; 0]);
    }
    let (_other, fresh) = site.fresh_mount();
    for slot in ["1", "2"] {
        blobs.assert_hold(&fresh.point.join(slot), &blobs.names());
    }
    site.check();
}
