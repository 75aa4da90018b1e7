//! A secret is changed, which seals every object of the slot anew: killed at every transaction, raced by writers, taken over.

use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fixture::{LONG, NAME, SHORT, Site};
use super::members::{Cluster, location};
use super::proxy::{Fate, Proxies, transaction};
use super::writers::Writers;
use crate::fixture::{DEADLINE, Store, assert_errno, contents, names, wait_for, write_private};

/// More than one transaction stages.
const KEYS: u32 = 1_200;
const LOGIN: i32 = 3;

/// po gives co another password.
fn reset(host: &Store, file: &str) -> Child {
    host.command(&[
        "role",
        "resetpw",
        "-name",
        "co",
        "-newpasswordfile",
        file,
        "-force",
        "-slot",
        "0",
        "--password-file",
        "0:po=pw-0",
    ])
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(std::fs::File::create(host.path("reset.err")).unwrap())
    .spawn()
    .unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[track_caller]
fn finish(mut child: Child) -> bool {
    let Some(status) = wait_for(|| child.try_wait().unwrap()) else {
        let _ = child.kill();
        panic!("resetpw hangs");
    };
    status.success()
}

/// How many rows the cluster has sealed, under any key.
fn rows(cluster: &Cluster) -> usize {
    let all = cluster.ctl(&[
        "get",
        "--prefix",
        "/slotfs/keys/o/",
        "--keys-only",
        "-w",
        "json",
    ]);
    all.json()["kvs"].as_array().map_or(0, Vec::len)
}

/// Exactly one of two secrets opens slot 0; gives whether it is the new one.
#[track_caller]
fn opens(site: &Site, old: &str, new: &str) -> bool {
    let host = site.host(&[]);
    let try_file = |file: &str| {
        host.run(&format!(
            "role login -name co -slot 0 --password-file 0={file}"
        ))
        .code
    };
    match (try_file(old), try_file(new)) {
        (0, LOGIN) => false,
        (LOGIN, 0) => true,
        other => panic!("exactly one of {old} and {new} should open slot 0: {other:?}"),
    }
}

/// Every object opens, and none is sealed twice once the garbage is gone.
#[track_caller]
fn assert_whole(site: &Site, secret: &str) {
    let host = site.host(&[]);
    host.run(&format!("store check --slot 0 --password-file 0={secret}"))
        .ok();
    let left = wait_for(|| (rows(&site.cluster) == KEYS as usize).then_some(()));
    assert!(
        left.is_some(),
        "{} rows for {KEYS} objects: those under the old key must go",
        rows(&site.cluster)
    );
}

fn killed(dies_before: bool) {
    let site = Site::new(KEYS);
    let (proxies, host) = proxied(&site);
    for name in ["even", "odd"] {
        write_private(&host.path(name), &format!("the {name} password\n"));
        write_private(&site.first.path(name), &format!("the {name} password\n"));
    }
    // A process that stays, which removes garbage that the dead leave.
    let stays = site.host(&[LONG]);
    let upkeep = stays.start(&[]);
    upkeep.announce("");
    // Undisturbed, to count its transactions.
    proxies.decide(|_, _| Fate::Pass);
    assert!(finish(reset(&host, "even")));
    let count = proxies.count();
    assert!(count >= 4, "only {count} transactions");
    assert_whole(&site, "even");
    let mut secret = "even";
    for step in 0..count {
        let new = if secret == "even" { "odd" } else { "even" };
        let victim: Arc<Mutex<Option<Pid>>> = Arc::default();
        let (of_request, of_answer) = (Arc::clone(&victim), Arc::clone(&victim));
        let kill_it = move |victim: &Mutex<Option<Pid>>| {
            if let Some(pid) = victim.lock().unwrap().take() {
                kill(pid, Signal::SIGKILL).unwrap();
            }
        };
        proxies.on_lost(move || kill_it(&of_answer));
        // Nothing is sent before the victim is known.
        let mut known = victim.lock().unwrap();
        proxies.decide(move |n, _| match (n == step, dies_before) {
            (false, _) => Fate::Pass,
            (true, false) => Fate::LoseAnswer,
            (true, true) => {
                kill_it(&of_request);
                Fate::LoseRequest
            }
        });
        let present = site.cluster.present(NAME);
        let child = reset(&host, new);
        *known = Some(pid(&child));
        drop(known);
        let ended = finish(child);
        site.cluster.end_leases(NAME, &present);
        proxies.decide(|_, _| Fate::Pass);
        let is_new = opens(&site, secret, new);
        assert!(is_new || !ended, "step {step}: acknowledged and undone");
        if is_new {
            secret = new;
        }
        // The next one takes over what is left, and ends.
        let new = if secret == "even" { "odd" } else { "even" };
        assert!(
            finish(reset(&host, new)),
            "after step {step} of {count}: {}",
            std::fs::read_to_string(host.path("reset.err")).unwrap()
        );
        assert!(opens(&site, secret, new));
        secret = new;
        assert_whole(&site, secret);
    }
}

fn proxied(site: &Site) -> (Proxies, Store) {
    let proxies = Proxies::before(&site.cluster.clients());
    let host = site.host_at(location(proxies.addresses(), NAME, None, &[LONG]));
    (proxies, host)
}

#[test]
fn killed_before_each_transaction_loses_nothing() {
    killed(true);
}

#[test]
fn killed_after_each_transaction_loses_nothing() {
    killed(false);
}

/// Writers of other hosts wait while a slot is sealed anew; whatever they were told is true afterwards.
#[test]
fn writers_of_other_hosts_lose_nothing() {
    let site = Site::new(KEYS);
    let blobs = site.blobs();
    let host = site.host(&[LONG]);
    write_private(&host.path("new"), "the new password\n");
    write_private(&site.first.path("new"), "the new password\n");
    let other = site.host(&[LONG]);
    // Slot 1 has the objects, and slot 0 is emptied so that it can take them in again.
    let mount = other.start(&[0, 1]);
    mount.announce("");
    let mut cp = Writers::cp(&other, 4, &blobs, &mount.point.join("1"));
    cp.finish();
    assert_eq!(cp.said(), [""; 0]);
    let remove: Vec<String> = blobs.names().into_iter().step_by(2).collect();
    for name in &remove {
        std::fs::remove_file(mount.point.join("0").join(name)).unwrap();
    }
    let mut back = Writers::cp_of(&other, 4, &blobs, &remove, &mount.point.join("0"));
    back.wait_for_acks(20);
    assert!(finish(reset(&host, "new")));
    back.finish();
    // Who wrote before the switch and was told nothing of it needs the new secret now: a slot closed to it is no loss.
    let acknowledged = back.acknowledged();
    drop(mount);
    let fresh = site.host(&[]);
    std::fs::copy(fresh.path("new"), fresh.path("pw-0")).unwrap();
    let mount = fresh.start(&[0, 1]);
    blobs.assert_hold(&mount.point.join("0"), &acknowledged);
    fresh.run("store check --slot 0 --password-file 0=new").ok();
}

/// The resealer is stopped in the midst. Others write only once its lease has ended, and are told EBUSY until then; when it
/// goes on, it must not switch to what it staged.
#[test]
fn one_that_lost_its_lease_switches_nothing() {
    let site = Site::new(KEYS);
    let blobs = site.blobs();
    let (proxies, host) = proxied(&site);
    write_private(&host.path("new"), "the new password\n");
    write_private(&site.first.path("new"), "the new password\n");
    let other = site.host(&[SHORT]);
    let mount = other.start(&[0]);
    mount.announce("");
    std::fs::remove_file(mount.point.join("0/1")).unwrap();
    let victim: Arc<Mutex<Option<Pid>>> = Arc::default();
    let of_request = Arc::clone(&victim);
    let mut known = victim.lock().unwrap();
    let mut changes = 0;
    let (staged, stages) = std::sync::mpsc::channel();
    proxies.decide(move |_, message| {
        changes += usize::from(transaction::changes_a_slot(message));
        // The first took the lock, and the second staged something.
        if changes == 3
            && let Some(pid) = *of_request.lock().unwrap()
        {
            kill(pid, Signal::SIGSTOP).unwrap();
            let _ = staged.send(());
        }
        Fate::Pass
    });
    let present = site.cluster.present(NAME);
    let child = reset(&host, "new");
    let stopped = pid(&child);
    *known = Some(stopped);
    drop(known);
    stages.recv_timeout(DEADLINE).unwrap();
    let back = |name: &str| {
        let file = crate::fixture::open_trunc(&mount.point.join("0").join(name))?;
        std::io::Write::write_all(&mut &file, &blobs.blobs[name])?;
        crate::fixture::close(file)
    };
    assert_errno!(back("1"), EBUSY);
    site.cluster.end_leases(NAME, &present);
    let stored = wait_for(|| back("1").ok());
    assert!(stored.is_some(), "nobody took over: {}", mount.log());
    kill(stopped, Signal::SIGCONT).unwrap();
    assert!(!finish(child), "it switched to rows that miss an object");
    assert!(!opens(&site, "pw-0", "new"));
    assert!(contents(&mount.point.join("0")).contains_key("1"));
    assert_eq!(names(&mount.point.join("0")).len(), KEYS as usize);
    drop(mount);
    let checked = site.host(&[]);
    checked
        .run("store check --slot 0 --password-file 0=pw-0")
        .ok();
}
