//! Asking the cluster: one thread with a runtime, one client for each member, one member in use until it fails.
//!
//! etcd-client's own balancing over several members stalls for seconds when a killed member returns, so each client has one
//! member. The next one is asked after an error, or when there is no answer in [`PATIENCE`]. A request that is asked again
//! is the same request: whoever sends one that writes makes it one that may arrive twice.

use std::cell::{Cell, RefCell};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::location::Location;
use crate::brief::is_brief;
use crate::{Error, Result};
use slotfs_object::shown;

/// How long one member may take to answer before the next one is asked.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long a request may take while the cluster did not answer the last one.
const WHILE_FAILING: Duration = Duration::from_secs(1);
/// A page of 512 sealed rows of 64 KiB, with room to spare.
const MOST_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Between two rounds over all members that failed at once.
const PAUSE: Duration = Duration::from_millis(50);

/// A request on its way.
pub(super) type Asked<T> =
    Pin<Box<dyn Future<Output = std::result::Result<T, etcd_client::Error>>>>;
type Task = Box<dyn FnOnce(Rc<Members>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// None came in time.
    Unreachable(String),
    /// The cluster's database is full.
    NoSpace,
    /// The revision that was asked for is compacted.
    Compacted,
    /// A member found that the members differ.
    Corrupt(String),
    /// Another cluster answered, or an older state of this one.
    WentBack(String),
    /// TLS refused the member, or the member refused this host: nothing was asked.
    Untrusted(String),
    /// It will not be done, however often it is asked.
    Refused(String),
}

/// An answer, or why there is none.
pub(super) struct Answer<T> {
    pub(super) outcome: std::result::Result<T, Failure>,
    /// Whether the request may also have arrived before, without an answer.
    pub(super) doubtful: bool,
}

/// Asks the cluster, from any thread.
pub(super) struct Client {
    tasks: Option<mpsc::UnboundedSender<Task>>,
    thread: Option<JoinHandle<()>>,
    timeout: Duration,
    /// Whether the last request had no answer.
    failing: AtomicBool,
    /// The cluster that answers; 0 before the first answer.
    cluster: AtomicU64,
    /// The highest revision that was seen.
    revision: AtomicI64,
    /// Whether another cluster, or an older state, answered at some time.
    went_back: AtomicBool,
}

/// The members, on the thread of the runtime.
struct Members {
    urls: Vec<(String, String)>,
    options: ConnectOptions,
    clients: RefCell<Vec<Option<etcd_client::Client>>>,
    /// The one in use.
    current: Cell<usize>,
}

impl Client {
    /// Starts the thread. No member is asked yet.
    pub(super) fn start(
        location: &Location,
        identity: Option<&(PathBuf, PathBuf)>,
    ) -> Result<Self> {
        let members = location.endpoints.len();
        let urls = location.endpoints.iter();
        let urls = urls.map(|it| (it.clone(), location.url(it))).collect();
        let options = options(location, identity)?;
        let (tasks, todo) = mpsc::unbounded_channel();
        let shown = location.shown();
        let failed = move |why: std::io::Error| Error::failed(&shown, why);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(&failed)?;
        let thread = thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let members = Rc::new(Members {
                    urls,
                    options,
                    clients: RefCell::new(vec![None; members]),
                    current: Cell::new(0),
                });
                LocalSet::new().block_on(&runtime, serve(members, todo));
                // A connection that is being made must not delay the end.
                runtime.shutdown_background();
            })
            .map_err(&failed)?;
        Ok(Self {
            tasks: Some(tasks),
            thread: Some(thread),
            timeout: location.timeout,
            failing: AtomicBool::new(false),
            cluster: AtomicU64::new(0),
            revision: AtomicI64::new(0),
            went_back: AtomicBool::new(false),
        })
    }

    /// The highest revision seen so far: no later question may be answered with less.
    pub(super) fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The cluster, and the highest revision seen. Nothing once the cluster went back: what a user then accepts must not be
    /// taken back by what this process saw before.
    pub(super) fn seen(&self) -> Option<(u64, i64)> {
        let went_back = self.went_back.load(Ordering::Acquire);
        (!went_back).then(|| (self.cluster.load(Ordering::Acquire), self.revision()))
    }

    /// Takes in from which cluster an answer came, and of which revision it is.
    ///
    /// # Errors
    /// When it is another cluster than before, or when the revision is below `least`, the highest one when the question was
    /// sent: somebody put an old copy in the cluster's place.
    pub(super) fn take_in(
        &self,
        cluster: u64,
        revision: i64,
        least: i64,
    ) -> std::result::Result<(), Failure> {
        let before = self.cluster.swap(cluster, Ordering::AcqRel);
        if before != 0 && before != cluster {
            self.cluster.store(before, Ordering::Release);
            self.went_back.store(true, Ordering::Release);
            return Err(Failure::WentBack(format!(
                "another cluster answers: {cluster:x} in the place of {before:x}"
            )));
        }
        if revision < least {
            self.went_back.store(true, Ordering::Release);
            return Err(Failure::WentBack(format!(
                "its cluster went back to an older state, of revision {revision} after {least}"
            )));
        }
        self.revision.fetch_max(revision, Ordering::AcqRel);
        Ok(())
    }

    /// Until when a request that begins now may take.
    pub(super) fn deadline(&self) -> Deadline {
        let is_short = self.failing.load(Ordering::Relaxed) || is_brief();
        let limit = match is_short {
            true => WHILE_FAILING.min(self.timeout),
            false => self.timeout,
        };
        let now = Instant::now();
        Deadline {
            sending: now + limit.mul_f64(0.7),
            settling: now + limit,
        }
    }

    /// The same for work that was to end at `settling`, but not less than a second from now.
    pub(super) fn deadline_after(&self, settling: Option<Instant>) -> Deadline {
        let least = Instant::now() + WHILE_FAILING.min(self.timeout);
        let settling = settling.map_or(least, |it| it.max(least));
        let left = settling.saturating_duration_since(Instant::now());
        Deadline {
            sending: Instant::now() + left.mul_f64(0.7),
            settling,
        }
    }

    /// Asks one member after the other until one answers, and waits for that.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        until: Instant,
        ask: impl Fn(etcd_client::Client) -> Asked<T> + Send + 'static,
    ) -> Answer<T> {
        let answer = self.wait(until, move |members| {
            Box::pin(async move { members.ask(until, ask).await })
        });
        let answer = answer.unwrap_or_else(|| Answer {
            outcome: Err(Failure::Unreachable("it took too long".into())),
            doubtful: true,
        });
        let unreachable = matches!(answer.outcome, Err(Failure::Unreachable(_)));
        // A question that had a second says nothing about those that have more, such as the time of an election.
        if !(unreachable && is_brief()) {
            self.failing.store(unreachable, Ordering::Relaxed);
        }
        answer
    }

    /// Asks every member at the same time; what each said, beside its address.
    pub(super) fn ask_all<T: Send + 'static>(
        &self,
        until: Instant,
        ask: impl Fn(etcd_client::Client) -> Asked<T> + Send + 'static,
    ) -> Vec<(String, std::result::Result<T, Failure>)> {
        let all = self.wait(until, move |members| {
            Box::pin(async move {
                let ask = Rc::new(ask);
                let asked: Vec<_> = (0..members.urls.len())
                    .map(|member| {
                        let (members, ask) = (Rc::clone(&members), Rc::clone(&ask));
                        tokio::task::spawn_local(async move {
                            let left = until.saturating_duration_since(Instant::now());
                            let outcome = members.ask_one(member, left, &*ask).await;
                            (members.urls[member].0.clone(), outcome)
                        })
                    })
                    .collect();
                let mut all = Vec::new();
                for one in asked {
                    all.extend(one.await.ok());
                }
                all
            })
        });
        all.unwrap_or_default()
    }

    fn wait<T: Send + 'static>(
        &self,
        until: Instant,
        work: impl FnOnce(Rc<Members>) -> Pin<Box<dyn Future<Output = T>>> + Send + 'static,
    ) -> Option<T> {
        let (reply, answers) = blocking::sync_channel(1);
        let task: Task = Box::new(move |members| {
            let work = work(members);
            Box::pin(async move {
                // Whoever asked may have gone at the deadline.
                let _ = reply.send(work.await);
            })
        });
        self.tasks.as_ref()?.send(task).ok()?;
        // The runtime keeps the deadline itself; this is for a thread that the machine holds up.
        let left = until.saturating_duration_since(Instant::now());
        answers.recv_timeout(left + PATIENCE).ok()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the engine's thread panicked");
        }
    }
}

/// Until when a write is sent again, and until when it is found out what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) sending: Instant,
    pub(super) settling: Instant,
}

async fn serve(members: Rc<Members>, mut todo: mpsc::UnboundedReceiver<Task>) {
    while let Some(task) = todo.recv().await {
        tokio::task::spawn_local(task(Rc::clone(&members)));
    }
}

impl Members {
    async fn ask<T>(
        &self,
        until: Instant,
        ask: impl Fn(etcd_client::Client) -> Asked<T>,
    ) -> Answer<T> {
        let mut doubtful = false;
        let mut patience = PATIENCE;
        let (mut failed, mut refused) = (0, 0);
        let mut last = "no member answered".to_owned();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Answer {
                    outcome: Err(Failure::Unreachable(last)),
                    doubtful,
                };
            }
            let member = self.current.get();
            match self.ask_one(member, patience.min(left), &ask).await {
                Err(Failure::Unreachable(why)) => {
                    doubtful = true;
                    refused = 0;
                    last = why;
                }
                // Its certificate may be bad, and those of the others good.
                Err(Failure::Untrusted(why)) => {
                    refused += 1;
                    if refused == self.urls.len() {
                        let outcome = Err(Failure::Refused(why));
                        return Answer { outcome, doubtful };
                    }
                    last = why;
                }
                outcome => return Answer { outcome, doubtful },
            }
            // Another request may have moved on already.
            if self.current.get() == member {
                self.current.set((member + 1) % self.urls.len());
            }
            failed += 1;
            if failed % self.urls.len() == 0 {
                patience = (patience * 2).min(Duration::from_secs(5));
                tokio::time::sleep(PAUSE.min(left)).await;
            }
        }
    }

    async fn ask_one<T>(
        &self,
        member: usize,
        patience: Duration,
        ask: &impl Fn(etcd_client::Client) -> Asked<T>,
    ) -> std::result::Result<T, Failure> {
        let (endpoint, _) = &self.urls[member];
        let at = |why: String| format!("{endpoint}: {why}");
        let asked = async {
            let client = self.client(member).await?;
            ask(client).await.map_err(failure)
        };
        let outcome = timeout(patience, asked).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::Unreachable("no answer".into())));
        match outcome {
            Err(Failure::Unreachable(why)) => {
                // A client whose connection broke may not notice.
                self.clients.borrow_mut()[member] = None;
                Err(Failure::Unreachable(at(why)))
            }
            Err(Failure::Refused(why)) => Err(Failure::Refused(at(why))),
            Err(Failure::Untrusted(why)) => {
                self.clients.borrow_mut()[member] = None;
                Err(Failure::Untrusted(at(why)))
            }
            outcome => outcome,
        }
    }

    async fn client(&self, member: usize) -> std::result::Result<etcd_client::Client, Failure> {
        if let Some(client) = &self.clients.borrow()[member] {
            return Ok(client.clone());
        }
        let (endpoint, url) = &self.urls[member];
        // etcd-client would wait where a connection is refused.
        tokio::net::TcpStream::connect(endpoint.as_str())
            .await
            .map_err(|why| Failure::Unreachable(why.to_string()))?;
        let client = etcd_client::Client::connect([url.as_str()], Some(self.options.clone()))
            .await
            .map_err(failure)?;
        self.clients.borrow_mut()[member] = Some(client.clone());
        Ok(client)
    }
}

/// A client of key-value requests whose answers may be large.
pub(super) fn kv(client: &etcd_client::Client) -> etcd_client::KvClient {
    client
        .kv_client()
        .max_decoding_message_size(MOST_ANSWER_BYTES)
}

fn options(location: &Location, identity: Option<&(PathBuf, PathBuf)>) -> Result<ConnectOptions> {
    let options = ConnectOptions::new()
        .with_require_leader(true)
        .with_keep_alive(Duration::from_secs(5), Duration::from_secs(3))
        .with_keep_alive_while_idle(true);
    let Some(ca) = &location.ca else {
        return Ok(options);
    };
    // etcd-client says nothing of a file that holds something else.
    let read = |file: &Path, what: &str| {
        let text = fs::read(file).map_err(|source| Error::file(file, source))?;
        let mark = format!("{what}-----");
        match text.windows(mark.len()).any(|it| it == mark.as_bytes()) {
            true => Ok(text),
            false => Err(Error::failed(
                &location.shown(),
                format!("{} holds no {what} in PEM", shown::path(file)),
            )),
        }
    };
    let certificate = Certificate::from_pem(read(ca, "CERTIFICATE")?);
    let mut tls = TlsOptions::new().ca_certificate(certificate);
    if let Some((cert, key)) = identity {
        let cert = read(cert, "CERTIFICATE")?;
        tls = tls.identity(Identity::from_pem(cert, read(key, "PRIVATE KEY")?));
    }
    Ok(options.with_tls(tls))
}

/// What an error of etcd or of the connection means. The numbers are those of gRPC.
fn failure(error: etcd_client::Error) -> Failure {
    const DEADLINE_EXCEEDED: i32 = 4;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const OUT_OF_RANGE: i32 = 11;
    /// etcd's own words.
    const COMPACTED: &str = "mvcc: required revision has been compacted";
    const DATA_LOSS: i32 = 15;
    const PERMANENT: [i32; 7] = [3, 5, 7, 9, 12, 13, 16];
    let etcd_client::Error::GRpcStatus(status) = &error else {
        let why = whole(&error);
        return match error {
            etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => {
                Failure::Refused(why)
            }
            _ => Failure::Unreachable(why),
        };
    };
    let (code, why) = (i32::from(status.code()), status.message().to_owned());
    match code {
        RESOURCE_EXHAUSTED if why.contains("space exceeded") => Failure::NoSpace,
        // It has too much to do; another member may have less.
        RESOURCE_EXHAUSTED if why.contains("too many requests") => Failure::Unreachable(why),
        RESOURCE_EXHAUSTED => Failure::Refused(why),
        OUT_OF_RANGE if why.contains(COMPACTED) => Failure::Compacted,
        // An answer above MOST_ANSWER_BYTES, for one.
        OUT_OF_RANGE => Failure::Refused(why),
        DATA_LOSS => Failure::Corrupt(why),
        // What a broken connection is reported as, too.
        13 if !why.starts_with("etcdserver") => Failure::Unreachable(why),
        code if PERMANENT.contains(&code) => Failure::Refused(why),
        DEADLINE_EXCEEDED => Failure::Unreachable(why),
        // The cause of a connection that broke is below.
        _ => {
            let why = match why.is_empty() || why == "transport error" {
                true => whole(status),
                false => why,
            };
            // TLS refuses one side or the other, and would again.
            match why.contains("invalid peer certificate") || why.contains("received fatal alert") {
                true => Failure::Untrusted(why),
                false => Failure::Unreachable(why),
            }
        }
    }
}

/// An error with what caused it: the outermost alone says "transport error".
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
