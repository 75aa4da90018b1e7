//! Answers are lost, requests come late or twice. Each tool is told the truth, no object is stored twice, and what is gone
//! stays gone.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::fixture::{ALL, LONG, NAME, SHORT, Site};
use super::members::location;
use super::proxy::{Fate, Proxies, transaction};
use super::writers::Writers;
use crate::fixture::{Store, contents, names, sh, wait_for};

fn proxied(site: &Site, options: &[&str]) -> (Proxies, Store) {
    let proxies = Proxies::before(&site.cluster.clients());
    let location = location(proxies.addresses(), NAME, None, options);
    let host = site.host_at(location);
    (proxies, host)
}

/// Every third answer is lost and every seventh request, while another host writes to the same slot.
#[test]
fn lost_answers_fail_nothing_and_store_nothing_twice() {
    let site = Site::new(120);
    let blobs = site.blobs();
    let (proxies, host) = proxied(&site, &[LONG]);
    let mount = host.start(&[1]);
    mount.announce("");
    let other = site.host(&[LONG]);
    let beside = other.start(&[1]);
    beside.announce("");
    proxies.decide(|n, _| match n {
        n if n % 3 == 1 => Fate::LoseAnswer,
        n if n % 7 == 3 => Fate::LoseRequest,
        _ => Fate::Pass,
    });
    let all = blobs.names();
    let (mine, theirs) = all.split_at(80);
    let mut cp = Writers::cp_of(&host, 4, &blobs, mine, &mount.point.join("1"));
    let mut more = Writers::cp_of(&other, 2, &blobs, theirs, &beside.point.join("1"));
    cp.finish();
    more.finish();
    assert_eq!(cp.said(), [""; 0]);
    assert_eq!(more.said(), [""; 0]);
    assert!(proxies.count() > 10, "only {} writes", proxies.count());
    let (_host, fresh) = site.fresh_mount();
    // Under its own name each: nothing was there twice to take another's.
    blobs.assert_hold(&fresh.point.join("1"), &all);
    site.check();
}

/// Every request comes once more, up to two seconds late, while another host removes, destroys, restores, moves and
/// renumbers the same objects.
#[test]
fn late_copies_bring_nothing_back() {
    let site = Site::new(60);
    let blobs = site.blobs();
    let (proxies, host) = proxied(&site, &[LONG]);
    let mount = host.start(&[1]);
    mount.announce("");
    let other = site.host(&[LONG]);
    let beside = other.start(&ALL);
    beside.announce("");
    proxies.decide(|n, _| {
        let millis = u64::try_from(n * 37 % 20).unwrap() * 100;
        Fate::Copy(Duration::from_millis(millis))
    });
    let mut expected: [BTreeMap<String, Vec<u8>>; 2] = Default::default();
    for (number, (name, blob)) in blobs.blobs.iter().enumerate() {
        fs::write(mount.point.join("1").join(name), blob).unwrap();
        let [one, two] = &mut expected;
        let away = format!("{}", 1000 + number);
        let act = match number % 5 {
            0 => "rm $M/1/$N && rm $M/1/.slotfs/trash/$N",
            1 => "rm $M/1/$N && mv $M/1/.slotfs/trash/$N $M/1/$N",
            2 => "mv $M/1/$N $M/2/$N",
            3 => "mv $M/1/$N $M/1/$AWAY",
            _ => "cmp $M/1/$N $B/$N",
        };
        match number % 5 {
            0 => None,
            1 | 4 => one.insert(name.clone(), blob.clone()),
            2 => two.insert(name.clone(), blob.clone()),
            _ => one.insert(away.clone(), blob.clone()),
        };
        let env = [
            ("M", beside.point.as_path()),
            ("B", blobs.folder.as_path()),
            ("N", name.as_ref()),
            ("AWAY", away.as_ref()),
        ];
        sh(act, &env).ok();
    }
    assert!(proxies.copies_arrived() >= blobs.blobs.len());
    let (_host, fresh) = site.fresh_mount();
    for (slot, expected) in ["1", "2"].into_iter().zip(&expected) {
        let there = contents(&fresh.point.join(slot));
        let (there_names, expected_names): (Vec<_>, Vec<_>) =
            (there.keys().collect(), expected.keys().collect());
        assert_eq!(there_names, expected_names, "slot {slot}");
        assert!(there == *expected, "slot {slot} has another content");
        let trash = names(&fresh.point.join(slot).join(".slotfs/trash"));
        assert_eq!(trash, [""; 0], "slot {slot}");
    }
    site.check();
}

/// Neither an answer nor the end of the connection comes, from no member. `cp` is told ETIMEDOUT, and the log that it is in
/// doubt. Once members answer again, the object is there or is not; the same `cp` again has it there once.
#[test]
fn silence_is_told_as_doubt() {
    let site = Site::new(6);
    let blobs = site.blobs();
    let (proxies, host) = proxied(&site, &[SHORT]);
    let mount = host.start(&[1]);
    mount.announce("");
    proxies.decide(|_, message| match transaction::changes_a_slot(message) {
        true => Fate::Silence,
        // A process makes itself known first.
        false => Fate::Pass,
    });
    let mut cp = Writers::cp_of(
        &host,
        1,
        &blobs,
        &blobs.names()[..2],
        &mount.point.join("1"),
    );
    cp.finish();
    let failures = cp.failures();
    assert_eq!(failures.len(), 2, "{:?}", cp.said());
    assert!(failures.iter().all(|it| it.is_timeout()), "{failures:?}");
    assert!(mount.log().contains("in doubt"), "{}", mount.log());
    proxies.pass();
    let target = mount.point.join("1");
    assert!(wait_for(|| fs::read_dir(&target).ok()).is_some());
    let mut again = Writers::cp(&host, 1, &blobs, &target);
    again.finish();
    assert_eq!(again.said(), [""; 0]);
    let (_host, fresh) = site.fresh_mount();
    blobs.assert_hold(&fresh.point.join("1"), &blobs.names());
    blobs.assert_hold(&target, &blobs.names());
    site.check();
}

/// Requests come after `cp` was told that they failed. What it was told stays true: an object that another host removed
/// meanwhile does not come back, and what was copied again is there once.
#[test]
fn requests_later_than_the_deadline_change_nothing_that_was_settled() {
    let site = Site::new(6);
    let blobs = site.blobs();
    let (proxies, host) = proxied(&site, &[SHORT]);
    let mount = host.start(&[1]);
    mount.announce("");
    proxies.decide(|_, _| Fate::Delay(Duration::from_secs(8)));
    let target = mount.point.join("1");
    let mut cp = Writers::cp_of(&host, 1, &blobs, &blobs.names()[..1], &target);
    cp.finish();
    proxies.decide(|_, _| Fate::Pass);
    let (_other, fresh) = site.fresh_mount();
    if cp.acknowledged().is_empty() {
        assert!(
            cp.failures().iter().all(|it| it.is_timeout()),
            "{:?}",
            cp.said()
        );
        // Another host settles it: whatever comes later was planned on what is no more.
        let mut again = Writers::cp(&host, 1, &blobs, &fresh.point.join("1"));
        again.finish();
        assert_eq!(again.said(), [""; 0]);
    }
    fs::remove_file(fresh.point.join("1/1")).unwrap();
    fs::remove_file(fresh.point.join("1/.slotfs/trash/1")).unwrap();
    super::members::pass(Duration::from_secs(10));
    let there = contents(&fresh.point.join("1"));
    assert!(!there.contains_key("1"), "{:?}", there.keys());
    let trash = names(&fresh.point.join("1/.slotfs/trash"));
    assert_eq!(trash, [""; 0]);
    site.check();
}

/// What makes a process known before its first write comes once more after that write, whose answer was lost: the write has
/// happened nevertheless.
#[test]
fn a_late_announcement_changes_no_verdict() {
    let site = Site::new(3);
    let (proxies, host) = proxied(&site, &[LONG]);
    let mount = host.start(&[0, 1]);
    let mut changes = 0;
    proxies.decide(move |_, message| {
        let changes_a_slot = transaction::changes_a_slot(message);
        changes += usize::from(changes_a_slot);
        match changes {
            0 => Fate::Copy(Duration::from_millis(400)),
            1 if changes_a_slot => Fate::LoseAnswer,
            // It is sent again, and arrives after that copy.
            2 if changes_a_slot => Fate::Delay(Duration::from_millis(1200)),
            _ => Fate::Pass,
        }
    });
    sh("mv $M/0/1 $M/1/1", &[("M", &mount.point)]).ok();
    proxies.pass();
    assert!(
        proxies.copies_arrived() >= 2,
        "{}",
        proxies.copies_arrived()
    );
    let (_host, fresh) = site.fresh_mount();
    let held = ["0", "1"].map(|slot| contents(&fresh.point.join(slot)).len());
    assert_eq!(held, [2, 1]);
    site.check();
}
