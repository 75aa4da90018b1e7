//! Failed logins are counted in the cluster before the password is compared: on all hosts together, no more than ten are.

use std::process::Child;

use super::fixture::Site;
use crate::fixture::{Out, Store, write_private};

const GUESSES: usize = 40;
/// How many passwords of a role are compared before it is locked (policy 20).
const MOST: usize = 10;
const LOGIN: i32 = 3;

/// `role login` of slot 0 with a wrong password, all at once, on each of the hosts.
fn guess(hosts: &[Store], count: usize) -> Vec<Out> {
    let mut running: Vec<(Child, std::path::PathBuf)> = Vec::new();
    for number in 0..count {
        let host = &hosts[number % hosts.len()];
        write_private(&host.path("wrong"), "not the password\n");
        let said = host.path(format!("said-{number}"));
        let file = std::fs::File::create(&said).unwrap();
        let child = host
            .command(&[
                "role",
                "login",
                "-name",
                "co",
                "-slot",
                "0",
                "--password-file",
                "0=wrong",
            ])
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        running.push((child, said));
    }
    running
        .into_iter()
        .map(|(mut child, said)| Out {
            code: child.wait().unwrap().code().unwrap_or(-1),
            stdout: String::new(),
            stderr: std::fs::read_to_string(said).unwrap(),
        })
        .collect()
}

#[test]
fn two_hosts_compare_ten_passwords_together() {
    let site = Site::new(1);
    let hosts = [site.host(&[]), site.host(&[])];
    let outs = guess(&hosts, GUESSES);
    assert!(outs.iter().all(|out| out.code == LOGIN), "{outs:#?}");
    // Each that was compared says how many attempts are left; the last says that it locked the role.
    let mut left: Vec<usize> = outs
        .iter()
        .filter_map(|out| attempts_left(&out.stderr))
        .collect();
    left.sort_unstable();
    let expected: Vec<usize> = (1..MOST).collect();
    assert_eq!(left, expected, "{outs:#?}");
    for host in &hosts {
        let out = host.run_in(0, "role login -name co").fails(LOGIN);
        assert!(out.stderr.contains("locked"), "{out:?}");
    }
    // po resets it, on one host for both.
    write_private(&hosts[0].path("new"), "another password\n");
    write_private(&hosts[1].path("new"), "another password\n");
    hosts[0]
        .run("role resetpw -name co -newpasswordfile new -force -slot 0 --password-file 0:po=pw-0")
        .ok();
    hosts[1]
        .run("role login -name co -slot 0 --password-file 0=new")
        .ok();
}

/// The number before "attempts left".
fn attempts_left(said: &str) -> Option<usize> {
    let (before, _) = said
        .split_once(" attempts left")
        .or_else(|| said.split_once(" attempt left"))?;
    before.rsplit([' ', '(']).next()?.parse().ok()
}

/// A right password between wrong ones forgets them on every host.
#[test]
fn a_right_password_on_one_host_forgets_the_wrong_ones_of_all() {
    let site = Site::new(1);
    let hosts = [site.host(&[]), site.host(&[])];
    for _ in 0..3 {
        let outs = guess(&hosts, MOST - 2);
        assert!(outs.iter().all(|out| out.code == LOGIN), "{outs:#?}");
        hosts[0].run_in(0, "role login -name co").ok();
    }
    hosts[1].run_in(0, "role login -name co").ok();
}
