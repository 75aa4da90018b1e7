//! Hosts: network namespaces with an address each, joined by a bridge in a namespace of its own. Nothing of it is in the
//! machine's own network, and all of it goes with the processes that hold the namespaces.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::fixture::{run, wait_for};

/// A network of hosts.
pub struct Network {
    switch: Namespace,
    hosts: Vec<Namespace>,
}

/// A process that does nothing in a network namespace of its own.
struct Namespace(Child);

/// The bridge's own address, from which a test asks all members.
const SWITCH: u8 = 254;

impl Network {
    #[track_caller]
    pub fn of(hosts: usize) -> Self {
        let network = Self {
            switch: Namespace::new(),
            hosts: (0..hosts).map(|_| Namespace::new()).collect(),
        };
        network.switch.sh(&format!(
            "ip link set lo up
             ip link add bridge type bridge forward_delay 0
             ip address add {}/24 dev bridge
             ip link set bridge up",
            address(SWITCH)
        ));
        for (number, host) in network.hosts.iter().enumerate() {
            network.switch.sh(&format!(
                "ip link add host{number} type veth peer name eth0 netns {}
                 ip link set host{number} master bridge up",
                host.pid()
            ));
            host.sh(&format!(
                "ip link set lo up
                 ip address add {}/24 dev eth0
                 ip link set eth0 up",
                network.address(number)
            ));
        }
        network
    }

    pub fn address(&self, host: usize) -> String {
        address(u8::try_from(host + 1).unwrap())
    }

    /// What a command begins with to run on a host.
    pub fn prefix(&self, host: usize) -> Vec<String> {
        self.hosts[host].prefix()
    }

    /// The same where nothing is ever cut.
    pub fn switch_prefix(&self) -> Vec<String> {
        self.switch.prefix()
    }

    /// From now on nothing passes between two hosts, in either direction.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// From now on nothing that `from` sends reaches `to`. What `to` sends arrives.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        let rule = format!("iptables -w -A INPUT -s {} -j DROP", self.address(from));
        self.hosts[to].sh(&rule);
    }

    /// From now on a host is alone.
    pub fn isolate(&self, host: usize) {
        self.hosts[host]
            .sh("iptables -w -A INPUT -i eth0 -j DROP; iptables -w -A OUTPUT -o eth0 -j DROP");
    }

    /// Every cut is undone.
    pub fn heal(&self) {
        for host in &self.hosts {
            host.sh("iptables -w -F");
        }
    }
}

impl Namespace {
    #[track_caller]
    fn new() -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "-n", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let namespace = Self(child);
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", namespace.pid());
        let apart = wait_for(|| (fs::read_link(&theirs).ok()? != ours).then_some(()));
        assert!(
            apart.is_some(),
            "no network namespace: these tests need root"
        );
        namespace
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn prefix(&self) -> Vec<String> {
        ["nsenter", "-n", "-t", &self.pid().to_string()]
            .map(str::to_owned)
            .to_vec()
    }

    #[track_caller]
    fn sh(&self, script: &str) {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &self.pid().to_string(), "sh", "-ec", script]);
        run(&mut command).ok();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(last: u8) -> String {
    format!("10.77.0.{last}")
}

#[test]
fn cuts_are_cuts_and_heal() {
    use super::certificates::Certificates;
    use super::members::{Cluster, MEMBERS, Plan};

    let network = Network::of(MEMBERS);
    let reaches = |network: &Network, from: usize, to: usize| {
        let mut ping = Command::new("nsenter");
        let (pid, to) = (network.hosts[from].pid().to_string(), network.address(to));
        // A connection to a port that nobody listens on is refused at once where packets pass.
        let script = format!("timeout 2 bash -c '</dev/tcp/{to}/9' 2>&1 | grep -q refused");
        ping.args(["-n", "-t", &pid, "sh", "-c", &script]);
        run(&mut ping).code == 0
    };
    assert!(reaches(&network, 0, 1) && reaches(&network, 1, 0));
    network.cut(0, 1);
    assert!(!reaches(&network, 0, 1) && !reaches(&network, 1, 0) && reaches(&network, 0, 2));
    network.heal();
    assert!(reaches(&network, 0, 1));
    network.isolate(2);
    assert!(!reaches(&network, 0, 2) && !reaches(&network, 2, 1));
    network.heal();

    let addresses: Vec<String> = (0..MEMBERS).map(|it| network.address(it)).collect();
    let cluster = Cluster::of(Plan {
        certificates: Some(Certificates::new(&addresses)),
        network: Some(network),
        ..Plan::default()
    });
    let leader = cluster.leader();
    cluster.network().isolate(leader);
    let next = wait_for(|| Some(cluster.leader()).filter(|it| *it != leader));
    assert!(next.is_some());
    cluster.ctl(&["put", "key", "one"]);
    cluster.network().heal();
    cluster.wait_until_healthy();
    let there = cluster.try_ctl_of(leader, &["get", "key"]).ok();
    assert!(there.stdout.contains("one"));
}
