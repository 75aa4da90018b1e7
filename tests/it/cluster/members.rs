//! Three etcd members, each a process that a test may kill, stop and start again.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::certificates::Certificates;
use super::network::Network;
use crate::fixture::{Out, run, wait_for};

pub const MEMBERS: usize = 3;

/// The ports of a member that has an address of its own.
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// How often the members are started anew when somebody else took one of their ports.
const STARTS: usize = 5;

/// What a cluster is to be.
#[derive(Default)]
pub struct Plan {
    pub certificates: Option<Certificates>,
    /// A host for each member; the members are then at its addresses.
    pub network: Option<Network>,
    /// More arguments of each member.
    pub arguments: Vec<String>,
}

/// Running members. They end with the thread that started them, whatever ends it, and their data goes with this.
pub struct Cluster {
    dir: TempDir,
    addresses: Vec<Address>,
    members: Vec<Member>,
    certificates: Option<Certificates>,
    network: Option<Network>,
}

struct Address {
    host: String,
    client: u16,
    peer: u16,
}

impl Address {
    fn peer_url(&self) -> String {
        format!("http://{}:{}", self.host, self.peer)
    }
}

struct Member {
    client: String,
    command: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Cluster {
    /// On loopback, in clear.
    #[track_caller]
    pub fn start() -> Self {
        Self::of(Plan::default())
    }

    #[track_caller]
    pub fn of(plan: Plan) -> Self {
        let mut cluster = Self {
            dir: tempfile::Builder::new()
                .prefix("slotfs-etcd-")
                .tempdir()
                .unwrap(),
            addresses: Vec::new(),
            members: Vec::new(),
            certificates: plan.certificates,
            network: plan.network,
        };
        for _ in 0..STARTS {
            let addresses = cluster.addresses();
            cluster.members = (0..MEMBERS)
                .map(|member| Member {
                    client: format!("{}:{}", addresses[member].host, addresses[member].client),
                    command: cluster.command(member, &addresses, &plan.arguments),
                    log: cluster.dir.path().join(format!("m{member}.log")),
                    child: None,
                })
                .collect();
            cluster.addresses = addresses;
            for member in 0..MEMBERS {
                cluster.spawn(member);
            }
            if cluster.is_up_or_ended() {
                return cluster;
            }
            for member in 0..MEMBERS {
                cluster.kill(member);
            }
            for member in 0..MEMBERS {
                let _ = fs::remove_dir_all(cluster.data(member));
            }
        }
        panic!("no cluster: {}", cluster.logs());
    }

    fn addresses(&self) -> Vec<Address> {
        match &self.network {
            None => loopback_ports(),
            Some(network) => {
                assert!(self.certificates.is_some(), "http is for loopback alone");
                let at = |host| Address {
                    host: network.address(host),
                    client: CLIENT_PORT,
                    peer: PEER_PORT,
                };
                (0..MEMBERS).map(at).collect()
            }
        }
    }

    fn command(&self, member: usize, addresses: &[Address], more: &[String]) -> Vec<String> {
        let at = &addresses[member];
        let scheme = match &self.certificates {
            None => "http",
            Some(_) => "https",
        };
        let client = format!("{scheme}://{}:{}", at.host, at.client);
        let peers: Vec<String> = addresses
            .iter()
            .enumerate()
            .map(|(member, at)| format!("m{member}={}", at.peer_url()))
            .collect();
        let mut command = match &self.network {
            Some(network) => network.prefix(member),
            None => Vec::new(),
        };
        // The members must not outlive a test that is killed.
        command.extend(["setpriv", "--pdeathsig", "KILL", "etcd"].map(str::to_owned));
        for (option, value) in [
            ("--name", format!("m{member}").as_str()),
            ("--data-dir", self.data(member).to_str().unwrap()),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &at.peer_url()),
            ("--initial-advertise-peer-urls", &at.peer_url()),
            ("--initial-cluster", &peers.join(",")),
            ("--initial-cluster-token", self.dir.path().to_str().unwrap()),
            ("--snapshot-count", "1000"),
            // Two cores, and other tests on them.
            ("--heartbeat-interval", "100"),
            ("--election-timeout", "1000"),
            ("--logger", "zap"),
            ("--log-outputs", "stderr"),
            ("--log-level", "warn"),
        ] {
            command.extend([option.to_owned(), value.to_owned()]);
        }
        if let Some(certificates) = &self.certificates {
            command.extend(certificates.of_a_member());
        }
        command.extend(more.iter().cloned());
        command
    }

    fn data(&self, member: usize) -> PathBuf {
        self.dir.path().join(format!("m{member}"))
    }

    fn spawn(&mut self, member: usize) {
        let member = &mut self.members[member];
        assert!(member.child.is_none(), "the member runs");
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&member.log)
            .unwrap();
        let child = Command::new(&member.command[0])
            .args(&member.command[1..])
            // Its options may also come from the environment.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run etcd (package etcd-server): {e}"));
        member.child = Some(child);
    }

    /// False when a member ended by itself, as it does when its port is taken.
    fn is_up_or_ended(&mut self) -> bool {
        let up = wait_for(|| {
            for member in &mut self.members {
                let child = member.child.as_mut().unwrap();
                if child.try_wait().unwrap().is_some() {
                    return Some(false);
                }
            }
            self.is_healthy().then_some(true)
        });
        up == Some(true)
    }

    fn is_healthy(&self) -> bool {
        let all = self.clients().join(",");
        self.try_ctl(&["endpoint", "health"], &all).code == 0
    }

    /// Waits until every member answers and they agree on a leader.
    #[track_caller]
    pub fn wait_until_healthy(&self) {
        let healthy = wait_for(|| (self.is_healthy() && self.try_leader().is_some()).then_some(()));
        assert!(healthy.is_some(), "not healthy: {}", self.logs());
    }

    /// Waits until every member runs and they agree on a leader, which they do in spite of an alarm.
    #[track_caller]
    pub fn wait_until_up(&self) {
        let is_up = |member| {
            let status = self.try_ctl_of(member, &["endpoint", "status"]);
            status.code == 0
        };
        let up =
            wait_for(|| ((0..MEMBERS).all(is_up) && self.try_leader().is_some()).then_some(()));
        assert!(up.is_some(), "not up: {}", self.logs());
    }

    /// The addresses for clients, `HOST:PORT`.
    pub fn clients(&self) -> Vec<String> {
        self.members.iter().map(|it| it.client.clone()).collect()
    }

    /// What `--store` takes for a store of that name. `options` are more of its options, `NAME=VALUE`.
    pub fn location(&self, name: &str, options: &[&str]) -> String {
        location(
            &self.clients(),
            name,
            self.certificates.as_ref().map(Certificates::of_a_client),
            options,
        )
    }

    /// Kills a member as a crash would.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Starts a killed member again, with the data that it has.
    pub fn restart(&mut self, member: usize) {
        self.kill(member);
        self.spawn(member);
    }

    /// More arguments of each member from its next start on, in place of those of the plan.
    pub fn set_arguments(&mut self, more: &[String]) {
        for member in 0..MEMBERS {
            self.members[member].command = self.command(member, &self.addresses, more);
        }
    }

    /// SIGSTOP: it holds its connections and answers nothing.
    pub fn stop(&self, member: usize) {
        self.signal(member, Signal::SIGSTOP);
    }

    pub fn cont(&self, member: usize) {
        self.signal(member, Signal::SIGCONT);
    }

    fn signal(&self, member: usize, signal: Signal) {
        let child = self.members[member].child.as_ref().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// The member that leads.
    #[track_caller]
    pub fn leader(&self) -> usize {
        wait_for(|| self.try_leader()).unwrap_or_else(|| panic!("no leader: {}", self.logs()))
    }

    /// A member that does not lead.
    #[track_caller]
    pub fn follower(&self) -> usize {
        (self.leader() + 1) % MEMBERS
    }

    /// Asked of the member itself: one that is cut off may still believe that it leads, so the latest term counts.
    fn try_leader(&self) -> Option<usize> {
        let led = (0..MEMBERS).filter_map(|member| {
            let status = self.try_ctl_of(member, &["endpoint", "status", "-w", "json"]);
            let status: serde_json::Value = serde_json::from_str(&status.stdout).ok()?;
            let status = &status[0]["Status"];
            let leads =
                status["leader"] == status["header"]["member_id"] && status["leader"] != 0u64;
            leads.then(|| (status["raftTerm"].as_u64(), member))
        });
        led.max().map(|(_, member)| member)
    }

    /// `etcdctl` with all members.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> Out {
        self.try_ctl(arguments, &self.clients().join(",")).ok()
    }

    /// `etcdctl` with one member, which may be down.
    pub fn try_ctl_of(&self, member: usize, arguments: &[&str]) -> Out {
        if self.members[member].child.is_none() {
            return Out {
                code: 1,
                stdout: String::new(),
                stderr: "the member does not run".into(),
            };
        }
        let mut command = match &self.network {
            Some(network) => prefixed(&network.prefix(member)),
            None => prefixed(&[]),
        };
        self.ask(&mut command, arguments, &self.members[member].client)
    }

    fn try_ctl(&self, arguments: &[&str], endpoints: &str) -> Out {
        let mut command = match &self.network {
            // From a host that no test cuts off.
            Some(network) => prefixed(&network.switch_prefix()),
            None => prefixed(&[]),
        };
        self.ask(&mut command, arguments, endpoints)
    }

    fn ask(&self, command: &mut Command, arguments: &[&str], endpoints: &str) -> Out {
        command
            .args(["--endpoints", endpoints, "--dial-timeout", "2s"])
            .args(["--command-timeout", "5s"]);
        if let Some(certificates) = &self.certificates {
            command.args(certificates.of_etcdctl());
        }
        command.args(arguments).env("ETCDCTL_API", "3");
        run(command)
    }

    /// Writes a snapshot of the members' state, as an operator does for a backup.
    #[track_caller]
    pub fn save(&self, file: &Path) {
        let member = self.clients().swap_remove(0);
        let save = ["snapshot", "save", file.to_str().unwrap()];
        self.try_ctl(&save, &member).ok();
    }

    /// Sets all members back to that snapshot, at the addresses that they have. With another token they are another cluster.
    #[track_caller]
    pub fn set_back(&mut self, snapshot: &Path, token: &str) {
        let peers: Vec<String> = self.addresses.iter().map(Address::peer_url).collect();
        let all: Vec<String> = (0..MEMBERS)
            .map(|member| format!("m{member}={}", peers[member]))
            .collect();
        for (member, peer) in peers.iter().enumerate() {
            self.kill(member);
            fs::remove_dir_all(self.data(member)).unwrap();
            let mut command = prefixed(&[]);
            command
                .args(["snapshot", "restore", snapshot.to_str().unwrap()])
                .args(["--name", &format!("m{member}")])
                .args(["--initial-cluster", &all.join(",")])
                .args(["--initial-cluster-token", token])
                .args(["--initial-advertise-peer-urls", peer])
                .args(["--data-dir", self.data(member).to_str().unwrap()])
                .env("ETCDCTL_API", "3");
            run(&mut command).ok();
        }
        for member in 0..MEMBERS {
            self.restart(member);
        }
        self.wait_until_healthy();
    }

    /// What this cluster's members were started with.
    pub fn token(&self) -> String {
        self.dir.path().to_str().unwrap().to_owned()
    }

    /// The members' version.
    #[track_caller]
    pub fn version(&self) -> String {
        let status = self.ctl(&["endpoint", "status", "-w", "json"]).json();
        status[0]["Status"]["version"].as_str().unwrap().to_owned()
    }

    /// The processes that are present in a store: each one's key, and its lease.
    #[track_caller]
    pub fn present(&self, store: &str) -> Vec<(String, u64)> {
        let prefix = format!("/slotfs/{store}/c/");
        let there = self.ctl(&["get", "--prefix", &prefix, "-w", "json"]).json();
        let there = there["kvs"].as_array().cloned().unwrap_or_default();
        there
            .iter()
            .filter_map(|it| Some((it["key"].as_str()?.to_owned(), it["lease"].as_u64()?)))
            .collect()
    }

    /// The leases end now of all processes in a store that were not `known`, as they do some seconds after a process died.
    #[track_caller]
    pub fn end_leases(&self, store: &str, known: &[(String, u64)]) {
        for it in self.present(store).iter().filter(|it| !known.contains(it)) {
            self.ctl(&["lease", "revoke", &format!("{:x}", it.1)]);
        }
    }

    /// A member's database.
    pub fn database(&self, member: usize) -> PathBuf {
        self.data(member).join("member/snap/db")
    }

    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().unwrap()
    }

    pub fn network(&self) -> &Network {
        self.network.as_ref().unwrap()
    }

    fn logs(&self) -> String {
        let log = |member: &Member| fs::read_to_string(&member.log).unwrap_or_default();
        self.members.iter().map(log).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
        if std::thread::panicking() {
            eprintln!("logs of the members:\n{}", self.logs());
        }
    }
}

/// What `--store` takes.
pub fn location(
    endpoints: &[String],
    name: &str,
    certificates: Option<[(&str, PathBuf); 3]>,
    options: &[&str],
) -> String {
    let mut all: Vec<String> = options.iter().map(|it| (*it).to_owned()).collect();
    for (option, file) in certificates.into_iter().flatten() {
        all.push(format!("{option}={}", file.display()));
    }
    let options = if all.is_empty() {
        String::new()
    } else {
        format!("?{}", all.join("&"))
    };
    format!("etcd://{}/{name}{options}", endpoints.join(","))
}

fn prefixed(prefix: &[String]) -> Command {
    match prefix {
        [] => Command::new("etcdctl"),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg("etcdctl");
            command
        }
    }
}

/// Ports that were free a moment ago.
fn loopback_ports() -> Vec<Address> {
    let taken: Vec<TcpListener> = (0..2 * MEMBERS)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |at: usize| taken[at].local_addr().unwrap().port();
    (0..MEMBERS)
        .map(|member| Address {
            host: "127.0.0.1".to_owned(),
            client: port(2 * member),
            peer: port(2 * member + 1),
        })
        .collect()
}

/// How many times `needle` is in a file.
pub fn occurrences(file: &Path, needle: &[u8]) -> usize {
    let bytes = fs::read(file).unwrap();
    bytes
        .windows(needle.len())
        .filter(|it| *it == needle)
        .count()
}

/// Removes a key, whose bytes are no text: as somebody with a certificate could.
#[track_caller]
pub fn delete(cluster: &Cluster, key: &[u8]) {
    change(cluster, &format!("del {}", escaped(key)));
    assert!(!is_there(cluster, key), "etcdctl has not deleted it");
}

/// Puts a key, whose bytes are no text.
#[track_caller]
pub fn put(cluster: &Cluster, key: &[u8], value: &[u8]) {
    change(cluster, &format!("put {} {}", escaped(key), escaped(value)));
    assert!(is_there(cluster, key), "etcdctl has not put it");
}

/// etcdctl takes escapes in what it reads as a transaction.
fn escaped(bytes: &[u8]) -> String {
    let bytes = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
    format!("\"{}\"", bytes.collect::<String>())
}

#[track_caller]
fn change(cluster: &Cluster, what: &str) {
    let mut command = prefixed(&[]);
    command
        .args(["--endpoints", &cluster.clients().join(","), "txn"])
        .env("ETCDCTL_API", "3");
    // Compares, what to do if they hold, what to do otherwise.
    let lines = format!("\n{what}\n\n\n");
    crate::fixture::run_with_input(&mut command, lines.as_bytes()).ok();
}

fn is_there(cluster: &Cluster, key: &[u8]) -> bool {
    let there = cluster.ctl(&["get", "--prefix", "/slotfs/", "-w", "json", "--keys-only"]);
    let key = data_encoding::BASE64.encode(key);
    there.stdout.contains(&format!("\"{key}\""))
}

/// Lets time pass that the test is about, such as a lease.
pub fn pass(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn members_are_killed_stopped_and_started_again() {
    let mut cluster = Cluster::start();
    cluster.ctl(&["put", "key", "one"]);
    let leader = cluster.leader();
    cluster.kill(leader);
    let next = cluster.leader();
    assert_ne!(leader, next);
    cluster.restart(leader);
    cluster.wait_until_healthy();
    cluster.stop(next);
    let other = wait_for(|| cluster.try_leader().filter(|it| *it != next));
    assert!(other.is_some());
    cluster.cont(next);
    cluster.wait_until_healthy();
    for member in 0..MEMBERS {
        cluster.kill(member);
    }
    for member in 0..MEMBERS {
        cluster.restart(member);
    }
    cluster.wait_until_healthy();
    assert!(cluster.ctl(&["get", "key"]).stdout.contains("one"));
}
