//! Members are killed under 16 `cp` and one `rsync`: every acknowledged object is there and whole, and no tool fails before
//! the deadline.

use super::fixture::{Blobs, LONG, SLACK, Site};
use super::members::MEMBERS;
use super::writers::{Failure, Writers};
use crate::fixture::{Mount, Store, sh};

const COPIES: usize = 16;
const KEYS: u32 = 800;

/// Short enough to pass while all members are down.
const SHORT_SECS: u64 = 4;

struct Run {
    cp: Writers,
    rsync: Writers,
    mount: Mount,
    host: Store,
    blobs: Blobs,
    site: Site,
}

/// Tools that copy slot 0's objects to slots 1 and 2 through a mount of another host.
fn under_way(option: &str) -> Run {
    let site = Site::new(KEYS);
    let blobs = site.blobs();
    let host = site.host(&[option]);
    let mount = host.start(&[1, 2]);
    mount.announce("");
    let cp = Writers::cp(&host, COPIES, &blobs, &mount.point.join("1"));
    let rsync = Writers::rsync(&host, &blobs, &mount.point.join("2"));
    cp.wait_for_acks(100);
    Run {
        cp,
        rsync,
        mount,
        host,
        blobs,
        site,
    }
}

impl Run {
    fn members_are_up(&self) {
        self.site.cluster.wait_until_healthy();
    }

    /// Lets the tools end, which must all have succeeded.
    #[track_caller]
    fn finish(mut self) {
        assert!(self.cp.run(), "it came too late to disturb anything");
        self.cp.finish();
        self.rsync.finish();
        assert!(
            self.cp.said().is_empty() && self.rsync.said().is_empty(),
            "failed before the deadline: {:?} {:?}",
            self.cp.said(),
            self.rsync.said()
        );
        self.compare();
    }

    /// What was acknowledged is there: on the mount that it went through, and on one of another host.
    #[track_caller]
    fn compare(self) {
        self.members_are_up();
        let (_other, fresh) = self.site.fresh_mount();
        for point in [&fresh.point, &self.mount.point] {
            for (slot, writers) in [("1", &self.cp), ("2", &self.rsync)] {
                self.blobs
                    .assert_hold(&point.join(slot), &writers.acknowledged());
            }
        }
        self.site.check();
    }
}

#[test]
fn of_the_leader_loses_nothing_and_fails_nothing() {
    let mut run = under_way(LONG);
    let leader = run.site.cluster.leader();
    run.site.cluster.kill(leader);
    run.cp.wait_for_acks(250);
    run.site.cluster.restart(leader);
    run.finish();
}

#[test]
fn of_a_follower_loses_nothing_and_fails_nothing() {
    let mut run = under_way(LONG);
    let follower = run.site.cluster.follower();
    run.site.cluster.kill(follower);
    run.cp.wait_for_acks(250);
    run.site.cluster.restart(follower);
    run.finish();
}

#[test]
fn one_member_after_another_loses_nothing_and_fails_nothing() {
    let mut run = under_way(LONG);
    for round in 0..MEMBERS {
        let leader = run.site.cluster.leader();
        run.site.cluster.kill(leader);
        run.cp.wait_for_acks(150 + 100 * round);
        run.site.cluster.restart(leader);
        run.members_are_up();
    }
    run.finish();
}

/// A member that is stopped holds its connections: nothing tells slotfs that it answers no more.
#[test]
fn a_stopped_leader_loses_nothing_and_fails_nothing() {
    let run = under_way(LONG);
    let leader = run.site.cluster.leader();
    run.site.cluster.stop(leader);
    run.cp.wait_for_acks(250);
    run.site.cluster.cont(leader);
    run.finish();
}

#[test]
fn of_all_three_loses_nothing() {
    let mut run = under_way(LONG);
    for member in 0..MEMBERS {
        run.site.cluster.kill(member);
    }
    for member in 0..MEMBERS {
        run.site.cluster.restart(member);
    }
    run.finish();
}

/// All members stay down for longer than the deadline. Tools fail with ETIMEDOUT, within the deadline each; when the members
/// are back, the same copies succeed.
#[test]
fn of_all_three_for_long_fails_with_etimedout_and_loses_nothing() {
    let mut run = under_way(&format!("engine-timeout={SHORT_SECS}"));
    for member in 0..MEMBERS {
        run.site.cluster.kill(member);
    }
    run.cp.wait_for_failures(2 * COPIES);
    for member in 0..MEMBERS {
        run.site.cluster.restart(member);
    }
    run.members_are_up();
    run.cp.finish();
    run.rsync.finish();
    // One `cp` asks several times: to look a name up, to open, to write.
    let most = 3 * (SHORT_SECS * 1000) + u64::try_from(SLACK.as_millis()).unwrap();
    let failures = run.cp.failures();
    let wrong: Vec<&Failure> = failures
        .iter()
        .filter(|it| !it.is_timeout() || it.millis > most)
        .collect();
    assert!(
        wrong.is_empty(),
        "not ETIMEDOUT within {most} ms: {wrong:?}"
    );
    // What failed may be stored or not. Once more, it is.
    let names: Vec<String> = failures.iter().map(|it| it.name.clone()).collect();
    let target = run.mount.point.join("1");
    let mut again = Writers::cp_of(&run.host, 1, &run.blobs, &names, &target);
    again.finish();
    assert_eq!(again.said(), [""; 0]);
    assert_eq!(again.acknowledged().len(), names.len());
    let rsync = r#"rsync -a "$BLOBS/" "$TARGET/" && diff -r "$BLOBS" "$TARGET""#;
    let target = run.mount.point.join("2");
    sh(rsync, &[("BLOBS", &run.blobs.folder), ("TARGET", &target)]).ok();
    run.compare();
}
