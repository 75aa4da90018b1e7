//! Two at once, and a run that is killed.

use std::time::Duration;

use super::*;

/// "interrupted (kill -9) synchronize then again"
#[test]
fn a_run_that_is_killed_is_taken_up_by_the_next() {
    let sites = Sites::group(&[A, C]);
    sites
        .in_slot(A, "object generate -type aes -label many -count 600")
        .ok();
    let mut killed = 0;
    for wait in [20, 60, 120, 200, 300, 450, 600] {
        let mut command = sites.command("store.db", "hagroup synchronize -group pay -quiet");
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed > 0, "every run had ended before it was killed");
    let before = sites.objects(C);
    let all = sites.objects(A);
    assert!(before.iter().all(|it| all.contains_key(it.0)));
    let out = sites.sync("-require 2 --json").ok().json();
    let moved = out["copied"].as_u64().unwrap();
    assert_eq!(moved, 600 - before.len() as u64);
    assert_eq!(sites.objects(C), all);
    let checked = sites.on("other.db", "store check").ok();
    assert_eq!(checked.complaints(), "");
}

/// "two synchronize at the same time": of one user's the second is refused; those of two users do no harm to each other.
#[test]
fn two_runs_at_the_same_time_lose_nothing() {
    let sites = Sites::group(&[A, C]);
    sites
        .in_slot(A, "object generate -type aes -label here -count 200")
        .ok();
    sites
        .in_slot(C, "object generate -type aes -label there -count 200")
        .ok();
    // Another user's state folder, with the same group.
    let other = sites.0.path("state-of-another");
    let state = sites.0.path(crate::fixture::STATE);
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([&state, &other])
            .status()
            .unwrap()
            .success()
    );
    let spawn = |state: &std::path::Path| {
        sites
            .command("store.db", "hagroup synchronize -group pay -quiet")
            .env("XDG_STATE_HOME", state)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let runs = [spawn(&state), spawn(&other), spawn(&state)];
    let mut refused = 0;
    for run in runs {
        let out = run.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if !out.status.success() {
            assert!(
                said.contains("another command is synchronizing it"),
                "{said}"
            );
            refused += 1;
        }
    }
    assert!(refused <= 1);
    sites.sync("-require 2 -quiet").ok();
    let (here, there) = (sites.objects(A), sites.objects(C));
    assert_eq!(here.len(), 400);
    assert!(here.keys().eq(there.keys()));
}

/// Ctrl-C stops between two batches; the exit status is 130, and the next run goes on.
#[test]
fn a_run_is_stopped_by_ctrl_c() {
    let sites = Sites::group(&[A, C]);
    sites
        .in_slot(A, "object generate -type aes -label many -count 1500")
        .ok();
    let mut command = sites.command("store.db", "hagroup synchronize -group pay");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // After the first objects.
    let mut first = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command continues"), "{said}");
    let there = sites.objects(C).len();
    assert!(there < 1500, "it was not stopped");
    sites.sync("-quiet").ok();
    assert_eq!(sites.objects(C), sites.objects(A));
}
