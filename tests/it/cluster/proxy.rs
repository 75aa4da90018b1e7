//! Something between slotfs and the members that loses answers, delays requests and brings late copies of them.
//!
//! It reads the frames of HTTP/2 (RFC 9113, section 4.1) as far as it must to tell a transaction that writes from everything
//! else, and never changes one that it passes on. What it cannot do: lose one answer and keep the connection, because the
//! headers of later answers build on it. A lost answer costs the connection, or all further answers of it.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod copy;
mod frame;
pub mod transaction;

use frame::Frame;

/// What becomes of one transaction that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// It does not arrive; the connection ends.
    LoseRequest,
    /// It arrives and is answered; the connection ends before the answer.
    LoseAnswer,
    /// It arrives, and neither its answer nor any later one comes. The connection stays.
    Silence,
    /// It arrives later, and all after it on that connection.
    Delay(Duration),
    /// It arrives, and after that time once more, by another connection.
    Copy(Duration),
}

/// Decides the fate of each transaction that writes; `n` counts them from 0.
pub type Decide = Box<dyn FnMut(usize, &[u8]) -> Fate + Send>;

/// A proxy before each member, and what they share.
pub struct Proxies {
    shared: Arc<Shared>,
    addresses: Vec<String>,
}

struct Shared {
    decide: Mutex<(usize, Decide)>,
    /// Called when an answer that is lost has come: the transaction is committed, or refused.
    on_lost: Mutex<Option<Box<dyn FnMut() + Send>>>,
    is_closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    /// The members' version, and another in its place.
    version: Mutex<Option<[String; 2]>>,
    copies: Mutex<Vec<std::thread::JoinHandle<io::Result<()>>>>,
}

impl Proxies {
    /// One before each of these addresses.
    pub fn before(members: &[String]) -> Self {
        let shared = Arc::new(Shared {
            decide: Mutex::new((0, Box::new(|_, _| Fate::Pass))),
            on_lost: Mutex::new(None),
            is_closed: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
            version: Mutex::new(None),
            copies: Mutex::new(Vec::new()),
        });
        let addresses = members
            .iter()
            .map(|member| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap().to_string();
                let (shared, member) = (Arc::clone(&shared), member.parse().unwrap());
                std::thread::spawn(move || listen(&listener, member, &shared));
                address
            })
            .collect();
        Self { shared, addresses }
    }

    /// What slotfs is given instead of the members' addresses.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// From now on this decides, and counts from 0.
    pub fn decide(&self, decide: impl FnMut(usize, &[u8]) -> Fate + Send + 'static) {
        *self.shared.decide.lock().unwrap() = (0, Box::new(decide));
    }

    /// Everything passes again. Connections whose answers do not come end.
    pub fn pass(&self) {
        self.decide(|_, _| Fate::Pass);
        self.disconnect();
    }

    pub fn on_lost(&self, act: impl FnMut() + Send + 'static) {
        *self.shared.on_lost.lock().unwrap() = Some(Box::new(act));
    }

    /// How many transactions that write there were since the last [`Self::decide`].
    pub fn count(&self) -> usize {
        self.shared.decide.lock().unwrap().0
    }

    /// Members, which are of version `real`, say from now on that they are of another.
    pub fn pretend_version(&self, real: &str, other: &str) {
        *self.shared.version.lock().unwrap() = Some([real, other].map(str::to_owned));
    }

    /// Ends every connection.
    pub fn disconnect(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Waits for every late copy; gives how many there were. All must have arrived.
    #[track_caller]
    pub fn copies_arrived(&self) -> usize {
        let copies: Vec<_> = self.shared.copies.lock().unwrap().drain(..).collect();
        let count = copies.len();
        for copy in copies {
            copy.join().unwrap().unwrap();
        }
        count
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.disconnect();
        for address in &self.addresses {
            // Wakes the listener, which then ends.
            let _ = TcpStream::connect(address);
        }
    }
}

fn listen(listener: &TcpListener, member: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_closed.load(Ordering::Relaxed) {
            return;
        }
        // A member that is down refuses, and so does its proxy.
        if let (Ok(client), Ok(server)) = (client, TcpStream::connect(member)) {
            let _ = connect(client, server, member, shared);
        }
    }
}

/// One connection's streams whose answers are lost.
#[derive(Default)]
struct Lost {
    answers: HashSet<u32>,
    silent: bool,
}

fn connect(
    client: TcpStream,
    server: TcpStream,
    member: SocketAddr,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut all = shared.connections.lock().unwrap();
    all.extend([client.try_clone()?, server.try_clone()?]);
    drop(all);
    let lost = Arc::new(Mutex::new(Lost::default()));
    let (of_client, of_server) = (client.try_clone()?, server.try_clone()?);
    let (mine, theirs) = (Arc::clone(shared), Arc::clone(&lost));
    std::thread::spawn(move || {
        let _ = requests(&of_client, &of_server, member, &mine, &theirs);
        end(&of_client, &of_server);
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let _ = answers(&server, &client, &shared, &lost);
        end(&client, &server);
    });
    Ok(())
}

fn end(one: &TcpStream, other: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

fn requests(
    mut from: &TcpStream,
    mut to: &TcpStream,
    member: SocketAddr,
    shared: &Arc<Shared>,
    lost: &Mutex<Lost>,
) -> io::Result<()> {
    let mut preface = [0; frame::PREFACE.len()];
    from.read_exact(&mut preface)?;
    to.write_all(&preface)?;
    let mut messages: HashMap<u32, Vec<u8>> = HashMap::new();
    loop {
        let frame = Frame::read(&mut from)?;
        if let Some(data) = frame.data() {
            let sent = messages.entry(frame.stream).or_default();
            sent.extend(data);
            // A member carries a request out once it has the message, before the stream ends.
            while let Some(message) = frame::take_message(sent) {
                if !transaction::writes(&message) {
                    continue;
                }
                match shared.fate(&message) {
                    Fate::Pass => {}
                    Fate::LoseRequest => return Ok(()),
                    Fate::LoseAnswer => {
                        lost.lock().unwrap().answers.insert(frame.stream);
                    }
                    Fate::Silence => lost.lock().unwrap().silent = true,
                    Fate::Delay(time) => std::thread::sleep(time),
                    Fate::Copy(time) => {
                        let copy = std::thread::spawn(move || {
                            std::thread::sleep(time);
                            copy::send(member, &message)
                        });
                        shared.copies.lock().unwrap().push(copy);
                    }
                }
            }
            if frame.ends_stream() {
                messages.remove(&frame.stream);
            }
        }
        frame.write(&mut to)?;
    }
}

fn answers(
    mut from: &TcpStream,
    mut to: &TcpStream,
    shared: &Shared,
    lost: &Mutex<Lost>,
) -> io::Result<()> {
    loop {
        let mut frame = Frame::read(&mut from)?;
        let (is_lost, is_silent) = {
            let lost = lost.lock().unwrap();
            (lost.answers.contains(&frame.stream), lost.silent)
        };
        if is_lost && frame.data().is_some() {
            if let Some(act) = shared.on_lost.lock().unwrap().as_mut() {
                act();
            }
            return Ok(());
        }
        if is_lost || is_silent {
            continue;
        }
        if let Some([real, other]) = &*shared.version.lock().unwrap() {
            frame.pretend_version(real, other);
        }
        frame.write(&mut to)?;
    }
}

impl Shared {
    fn fate(&self, message: &[u8]) -> Fate {
        let mut decide = self.decide.lock().unwrap();
        let (number, decide) = &mut *decide;
        let fate = decide(*number, message);
        *number += 1;
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::Cluster;
    use super::*;
    use crate::fixture::{Out, run_with_input, wait_for};

    /// `etcdctl txn` through the proxies, with one put.
    fn put(proxies: &Proxies, key: &str) -> Out {
        let mut command = std::process::Command::new("etcdctl");
        command
            .args(["--endpoints", &proxies.addresses().join(",")])
            .args(["--command-timeout", "5s", "txn"])
            .env("ETCDCTL_API", "3");
        run_with_input(&mut command, format!("\nput {key} value\n\n\n").as_bytes())
    }

    fn version(cluster: &Cluster, key: &str) -> u64 {
        let there = cluster.ctl(&["get", key, "-w", "json"]).json();
        there["kvs"][0]["version"].as_u64().unwrap_or(0)
    }

    #[test]
    fn each_fate_is_what_it_says() {
        let cluster = Cluster::start();
        let proxies = Proxies::before(&cluster.clients());
        put(&proxies, "passed").ok();
        assert_eq!((proxies.count(), version(&cluster, "passed")), (1, 1));
        proxies.decide(|_, _| Fate::LoseRequest);
        put(&proxies, "unsent").code_is_not(0);
        assert_eq!(version(&cluster, "unsent"), 0);
        let (told, tell) = std::sync::mpsc::channel();
        proxies.on_lost(move || told.send(()).unwrap());
        proxies.decide(|_, _| Fate::LoseAnswer);
        put(&proxies, "unanswered").code_is_not(0);
        tell.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(version(&cluster, "unanswered") >= 1);
        proxies.decide(|_, _| Fate::Silence);
        put(&proxies, "silent").code_is_not(0);
        assert!(version(&cluster, "silent") >= 1);
        proxies.pass();
        proxies.decide(|_, _| Fate::Copy(Duration::from_millis(300)));
        put(&proxies, "twice").ok();
        assert_eq!(version(&cluster, "twice"), 1);
        assert_eq!(proxies.copies_arrived(), 1);
        assert!(wait_for(|| (version(&cluster, "twice") == 2).then_some(())).is_some());
    }
}
