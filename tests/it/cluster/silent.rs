//! A mount whose cluster says nothing, or whose store is gone from it.

use std::fs;

use nix::sys::signal::Signal;

use super::fixture::{ALL, NAME, SHORT, Site};
use crate::fixture::{Store, is_mounted, names, sh, wait_for};

/// Longer than these tests wait for anything.
const FOR_EVER: &str = "engine-timeout=300";

/// A mount, and its cluster, which does not answer any more.
fn silent(site: &Site) -> (Store, crate::fixture::Mount) {
    let host = site.host(&[FOR_EVER]);
    let mount = host.start(&[0, 1]);
    mount.announce("");
    (0..3).for_each(|member| site.cluster.stop(member));
    (host, mount)
}

fn goes_on(site: &Site) {
    (0..3).for_each(|member| site.cluster.cont(member));
    site.cluster.wait_until_healthy();
}

/// The thread that handles signals asks the cluster now and then, and has other things to do than to wait for it.
#[test]
fn signals_are_heard_while_the_cluster_is_silent() {
    let site = Site::new(1);
    let (_host, mut mount) = silent(&site);
    // It has begun to ask by then.
    std::thread::sleep(std::time::Duration::from_secs(5));
    mount.signal(Signal::SIGTERM);
    assert!(wait_for(|| (!is_mounted(&mount.point)).then_some(())).is_some());
    mount.wait();
    goes_on(&site);
    site.check();
}

/// What the mount says of itself is in memory.
#[test]
fn a_mount_says_how_it_is_while_the_cluster_is_silent() {
    let site = Site::new(1);
    let (host, mut mount) = silent(&site);
    let own = mount.point.join(".slotfs");
    assert_eq!(names(&own), ["clones", "metrics", "stats"]);
    let stats = fs::read_to_string(own.join("stats")).unwrap();
    assert!(stats.contains(&format!("pid {}\n", mount.pid())), "{stats}");
    fs::read_to_string(own.join("clones")).unwrap();
    let metrics = fs::read_to_string(own.join("metrics")).unwrap();
    assert!(metrics.contains("slotfs_requests_total"), "{metrics}");
    assert!(metrics.contains(r#"errno="ETIMEDOUT""#), "{metrics}");
    assert!(!metrics.contains("slotfs_slot_state{"), "{metrics}");
    // And it is found.
    let out = site.host(&[SHORT]).run("status").fails(4);
    assert!(
        out.stdout.contains(&*mount.point.to_string_lossy()),
        "{out:?}"
    );
    assert!(
        out.stderr.contains("its cluster does not answer"),
        "{out:?}"
    );
    // Neither is another store kept waiting.
    let file = Store::of_file();
    file.slot(0, "red");
    let out = file.run("status").ok();
    assert!(
        !out.text().contains(&*mount.point.to_string_lossy()),
        "{out:?}"
    );
    // The daemon is found, and ends.
    host.run(&format!("umount {}", mount.point.display())).ok();
    mount.wait();
    goes_on(&site);
    site.check();
}

/// A store whose keys were deleted is no empty store.
#[test]
fn a_store_that_is_gone_is_not_empty() {
    let site = Site::new(3);
    let mount = site.first.start(&ALL);
    mount.announce("");
    let mirror = site.first.path("mirror");
    let sync = || {
        sh(
            r#"rsync -a --delete "$M/" "$T/""#,
            &[("M", &mount.point), ("T", &mirror)],
        )
    };
    sync().ok();
    assert_eq!(names(&mirror.join("0")), ["1", "2", "3"]);
    let prefix = format!("/slotfs/{NAME}/");
    site.cluster.ctl(&["del", "--prefix", &prefix]);
    // The kernel remembers names for a second.
    let failed = wait_for(|| fs::read_dir(&mount.point).err()).unwrap();
    assert_eq!(failed.raw_os_error(), Some(libc::EIO), "{failed}");
    sync().code_is_not(0);
    assert_eq!(names(&mirror.join("0")), ["1", "2", "3"]);
    mount.logged("its keys were removed from the cluster");
    // A store that is made there now is another one.
    site.first
        .run("partition init -slot 0 -label new -domainkey red.pem --password-file 0=pw-0 -force")
        .ok();
    sync().code_is_not(0);
    assert!(fs::read(mount.point.join("0/1")).is_err());
    assert!(
        mount.log().matches("its keys were removed").count() < 5,
        "{}",
        mount.log()
    );
    drop(mount);
    assert_eq!(names(&mirror.join("0")), ["1", "2", "3"]);
}
