//! The network is cut: between members, between a host and the members, in one direction. Nothing acknowledged is lost;
//! who cannot reach a majority is told ETIMEDOUT within the deadline, and everything ends within it.

use std::process::Command;

use nix::sys::signal::Signal;

use super::certificates::Certificates;
use super::fixture::{Blobs, LONG, SLACK, Site, assert_within, timed};
use super::members::{Cluster, MEMBERS, Plan};
use super::network::Network;
use super::writers::{Failure, Writers};
use crate::fixture::{Mount, Store, sh, unmount, wait_for};

const KEYS: u32 = 300;
const COPIES: usize = 4;

/// The host of the store's daemon, after those of the members; and one that nothing is cut from.
const HOST: usize = MEMBERS;
const OTHER: usize = MEMBERS + 1;

const SHORT_SECS: u64 = 4;
const SHORT: &str = "engine-timeout=4";

struct Run {
    cp: Writers,
    mount: Mount,
    host: Store,
    blobs: Blobs,
    site: Site,
}

fn under_way(option: &str) -> Run {
    let network = Network::of(MEMBERS + 2);
    let addresses: Vec<String> = (0..MEMBERS).map(|it| network.address(it)).collect();
    let cluster = Cluster::of(Plan {
        certificates: Some(Certificates::new(&addresses)),
        network: Some(network),
        ..Plan::default()
    });
    let site = Site::made_on(cluster, OTHER, KEYS, &[]);
    let blobs = site.blobs();
    let host = site.host_on(HOST, &[option]);
    let mount = host.start(&[1, 2]);
    mount.announce("");
    let cp = Writers::cp(&host, COPIES, &blobs, &mount.point.join("1"));
    cp.wait_for_acks(40);
    Run {
        cp,
        mount,
        host,
        blobs,
        site,
    }
}

impl Run {
    fn network(&self) -> &Network {
        self.site.cluster.network()
    }

    /// Cuts the daemon's host off from every member.
    fn cut_host(&self) {
        for member in 0..MEMBERS {
            self.network().cut(HOST, member);
        }
    }

    /// Everything passes again and every object is copied.
    #[track_caller]
    fn heal_and_compare(mut self) {
        self.network().heal();
        self.site.cluster.wait_until_healthy();
        self.cp.finish();
        let failures = self.cp.failures();
        assert!(failures.iter().all(Failure::is_timeout), "{failures:?}");
        // What failed, and what was not tried.
        let acknowledged = self.cp.acknowledged();
        let mut names = self.blobs.names();
        names.retain(|name| !acknowledged.contains(name));
        let target = self.mount.point.join("1");
        assert!(wait_for(|| std::fs::read_dir(&target).ok()).is_some());
        let mut again = Writers::cp_of(&self.host, 1, &self.blobs, &names, &target);
        again.finish();
        assert_eq!(again.said(), [""; 0]);
        let other = self.site.host_on(OTHER, &[]);
        let fresh = other.start(&[1]);
        for slot in [fresh.point.join("1"), target] {
            self.blobs.assert_hold(&slot, &self.blobs.names());
        }
    }

    /// No tool may have failed.
    #[track_caller]
    fn assert_undisturbed(&mut self) {
        self.cp.finish();
        assert_eq!(self.cp.said(), [""; 0]);
    }

    /// What a tool says, and that it says so within the deadline.
    #[track_caller]
    fn is_told_in_time(&mut self, script: &str) {
        // Others that wait at the same time are a test of their own (killed.rs).
        self.cp.stop();
        self.cp.finish();
        let (out, taken) = timed(|| {
            sh(
                script,
                &[("M", &self.mount.point), ("BLOBS", &self.blobs.folder)],
            )
        });
        // A listing may still be known; what is said otherwise is this alone.
        assert!(
            out.code == 0 || out.stderr.contains("Connection timed out"),
            "{out:?}"
        );
        // A tool makes several requests. After the first that failed each takes a second.
        assert_within(taken, 2 * SHORT_SECS, script);
    }
}

#[test]
fn a_leader_that_is_alone_disturbs_nobody() {
    let mut run = under_way(LONG);
    run.network().isolate(run.site.cluster.leader());
    run.assert_undisturbed();
    run.heal_and_compare();
}

/// It still believes that it leads, and the daemon still reaches it.
#[test]
fn a_leader_without_followers_disturbs_nobody() {
    let mut run = under_way(LONG);
    let leader = run.site.cluster.leader();
    for member in (0..MEMBERS).filter(|it| *it != leader) {
        run.network().cut(leader, member);
    }
    run.assert_undisturbed();
    run.heal_and_compare();
}

/// What it sends arrives, and it hears of nobody.
#[test]
fn a_deaf_leader_disturbs_nobody() {
    let mut run = under_way(LONG);
    let leader = run.site.cluster.leader();
    for member in (0..MEMBERS).filter(|it| *it != leader) {
        run.network().cut_one_way(member, leader);
    }
    run.assert_undisturbed();
    run.heal_and_compare();
}

#[test]
fn a_host_that_is_alone_is_told_so_in_time() {
    let mut run = under_way(SHORT);
    run.cut_host();
    run.cp.wait_for_failures(COPIES);
    for script in [
        "ls $M/1",
        "cp $BLOBS/1 $M/2/1",
        "rm $M/1/1",
        "mv $M/1/2 $M/2/2",
        "cat $M/2/.slotfs/status",
    ] {
        run.is_told_in_time(script);
    }
    let most = SHORT_SECS * 2000 + u64::try_from(SLACK.as_millis()).unwrap();
    for failure in run.cp.failures() {
        assert!(failure.is_timeout() && failure.millis < most, "{failure:?}");
    }
    // `rm` and `mv` may have been done or not; the copies put both back.
    run.network().heal();
    run.site.cluster.wait_until_healthy();
    // What was sent while the host was cut off may still be waited for.
    let slot = run.mount.point.join("1");
    assert!(wait_for(|| std::fs::read_dir(&slot).ok()).is_some());
    let back = r#"for name in 1 2; do cp "$BLOBS/$name" "$M/1/$name" || exit 1; done"#;
    sh(
        back,
        &[("M", &run.mount.point), ("BLOBS", &run.blobs.folder)],
    )
    .ok();
    run.heal_and_compare();
}

#[test]
fn a_host_that_is_alone_unmounts_in_time() {
    let mut run = under_way(SHORT);
    run.cut_host();
    run.cp.wait_for_failures(1);
    run.cp.stop();
    run.cp.finish();
    let (gone, taken) = timed(|| unmount(&run.mount.point, "-u"));
    assert!(gone);
    assert_within(taken, SHORT_SECS, "umount");
    let (status, taken) = timed(|| run.mount.wait());
    assert!(status.success(), "{status}: {}", run.mount.log());
    assert_within(taken, SHORT_SECS, "the daemon's end");
}

#[test]
fn a_host_that_is_alone_ends_by_sigterm_in_time() {
    let mut run = under_way(SHORT);
    run.cut_host();
    run.cp.wait_for_failures(1);
    run.cp.stop();
    run.cp.finish();
    run.mount.signal(Signal::SIGTERM);
    let (status, taken) = timed(|| run.mount.wait());
    assert!(status.success(), "{status}: {}", run.mount.log());
    assert_within(taken, SHORT_SECS, "the daemon's end");
}

/// A tool in the midst of a request dies when that is answered.
#[test]
fn a_killed_tool_waits_for_one_deadline_at_most() {
    let run = under_way(SHORT);
    run.cut_host();
    let mut cat = Command::new("cp")
        .arg(run.blobs.folder.join("1"))
        .arg(run.mount.point.join("2/1"))
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let ((), taken) = timed(|| {
        cat.kill().unwrap();
        cat.wait().unwrap();
    });
    assert_within(taken, SHORT_SECS, "kill -9 of cp");
    run.heal_and_compare();
}

/// The member that the daemon reaches answers, and has no majority.
#[test]
fn a_minority_with_the_daemon_acknowledges_nothing() {
    let mut run = under_way(SHORT);
    let leader = run.site.cluster.leader();
    for member in (0..MEMBERS).filter(|it| *it != leader) {
        run.network().cut(leader, member);
        run.network().cut(HOST, member);
    }
    run.cp.wait_for_failures(COPIES);
    // The others go on without it.
    let other = run.site.host_on(OTHER, &[LONG]);
    let mount = other.start(&[2]);
    mount.announce("");
    let mut more = Writers::cp_of(
        &other,
        1,
        &run.blobs,
        &run.blobs.names()[..20],
        &mount.point.join("2"),
    );
    more.finish();
    assert_eq!(more.said(), [""; 0]);
    let acknowledged = more.acknowledged();
    // It shows no old state as the present one: it says that it does not know.
    run.is_told_in_time("cat $M/2/1 > /dev/null");
    run.network().heal();
    run.site.cluster.wait_until_healthy();
    run.blobs
        .assert_hold(&run.mount.point.join("2"), &acknowledged);
    run.heal_and_compare();
}

/// Requests arrive and are carried out; no answer comes back.
#[test]
fn a_deaf_host_is_told_so_in_time() {
    let mut run = under_way(SHORT);
    for member in 0..MEMBERS {
        run.network().cut_one_way(member, HOST);
    }
    run.cp.wait_for_failures(COPIES);
    run.is_told_in_time("ls $M/1");
    run.heal_and_compare();
}
