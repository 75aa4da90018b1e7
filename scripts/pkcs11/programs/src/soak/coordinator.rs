//! Starts the processes, kills them and the server, and judges what they say.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::{AES, ED25519, HMAC, P256, P256_PARAMETERS, RSA};
use crate::sys::*;
use crate::{Mechanism, Module, Session, Template, ck, flag};

const PROCESSES: u8 = 4;
const THREADS: u8 = 2;
/// How long after a kill a call may fail, and how long an operation may take.
const UNSETTLED: Duration = Duration::from_secs(15);
const HANGS: Duration = Duration::from_secs(90);
/// What the server may keep: 64 MiB for each login that is stretched at once, and itself.
const SERVER_MIB: u64 = 600;

/// The keys of all processes.
pub fn make_keys(session: &Session) -> Result<(), CK_RV> {
    let token = |class: Option<u64>, id: u8, more: Template| {
        let mut template = vec![(CKA_TOKEN, flag(true)), (CKA_ID, vec![id])];
        template.extend(class.map(|class| (CKA_CLASS, ck(class))));
        template.extend(more);
        template
    };
    let private = |id: u8, uses: &[CK_ATTRIBUTE_TYPE]| {
        let mut more = vec![(CKA_PRIVATE, flag(true)), (CKA_SENSITIVE, flag(true))];
        more.extend(uses.iter().map(|usage| (*usage, flag(true))));
        token(None, id, more)
    };
    session.generate_pair(
        &Mechanism::plain(CKM_RSA_PKCS_KEY_PAIR_GEN),
        &token(
            None,
            RSA,
            vec![
                (CKA_MODULUS_BITS, ck(2048)),
                (CKA_PUBLIC_EXPONENT, vec![1, 0, 1]),
                (CKA_ENCRYPT, flag(true)),
                (CKA_VERIFY, flag(true)),
            ],
        ),
        &private(RSA, &[CKA_SIGN, CKA_DECRYPT]),
    )?;
    for (id, number, parameters) in [
        (P256, CKM_EC_KEY_PAIR_GEN, P256_PARAMETERS),
        (
            ED25519,
            CKM_EC_EDWARDS_KEY_PAIR_GEN,
            b"\x13\x0cedwards25519",
        ),
    ] {
        let public = token(
            None,
            id,
            vec![
                (CKA_EC_PARAMS, parameters.to_vec()),
                (CKA_VERIFY, flag(true)),
            ],
        );
        let made = session.generate_pair(
            &Mechanism::plain(number),
            &public,
            &private(id, &[CKA_SIGN]),
        );
        if made != Err(CKR_MECHANISM_INVALID) {
            made?;
        }
    }
    let secret = |id: u8, kind: u64, uses: &[CK_ATTRIBUTE_TYPE]| {
        let mut more = vec![
            (CKA_KEY_TYPE, ck(kind)),
            (CKA_PRIVATE, flag(true)),
            (CKA_VALUE, vec![id; 32]),
        ];
        more.extend(uses.iter().map(|usage| (*usage, flag(true))));
        session.create(&token(Some(CKO_SECRET_KEY), id, more))
    };
    secret(
        AES,
        CKK_AES,
        &[CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY],
    )?;
    secret(HMAC, CKK_GENERIC_SECRET, &[CKA_SIGN])?;
    Ok(())
}

/// A process and when each of its threads was last heard of.
struct Worker {
    child: Child,
    heard: BTreeMap<String, (Instant, u64)>,
}

/// Servers of the store of the environment.
fn servers() -> Vec<u32> {
    let path = |name: &str| std::fs::canonicalize(std::env::var_os(name)?).ok();
    let (Some(program), Some(store)) = (path("SLOTFS_PROGRAM"), path("SLOTFS_STORE")) else {
        return Vec::new();
    };
    let points = |link: PathBuf, to: &PathBuf| std::fs::read_link(link).is_ok_and(|it| it == *to);
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|process| {
            points(process.path().join("exe"), &program)
                && std::fs::read_dir(process.path().join("fd"))
                    .is_ok_and(|mut fds| fds.any(|fd| fd.is_ok_and(|fd| points(fd.path(), &store))))
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// Resident memory in MiB.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    pages * 4 / 1024
}

fn kill(pid: u32) {
    let _ = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status();
}

fn start(number: u8, to: &Sender<(u8, u32, String)>) -> std::io::Result<Worker> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--worker", &number.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (to, pid) = (to.clone(), child.id());
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let _ = to.send((number, pid, line));
        }
    });
    let heard = (0..THREADS)
        .map(|thread| (thread.to_string(), (Instant::now(), 0)))
        .collect();
    Ok(Worker { child, heard })
}

/// What is wrong, told once each, and what was seen.
#[derive(Default)]
struct Verdict {
    wrong: BTreeMap<String, u64>,
    allowed: BTreeMap<String, u64>,
    did: BTreeMap<String, u64>,
    most_mib: u64,
    clients_killed: u32,
    servers_killed: u32,
}

impl Verdict {
    fn hear(&mut self, line: &str, settled: bool) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "lost" if !settled => *self.allowed.entry(rest.to_owned()).or_default() += 1,
            "lost" | "wrong" => *self.wrong.entry(line.to_owned()).or_default() += 1,
            "total" => {
                let (count, name) = rest.split_once(' ').unwrap_or(("0", rest));
                *self.did.entry(name.to_owned()).or_default() += count.parse().unwrap_or(0);
            }
            _ => {}
        }
    }
}

/// Runs for so long and says whether all was well.
pub fn run(module: Module, label: &str, pin: &str, time: Duration) -> Result<bool, String> {
    let failed = |what: &'static str| move |rv: CK_RV| format!("{what}: {rv:#x}");
    let slot = module.slot(label)?;
    let session = module.open(slot).map_err(failed("C_OpenSession"))?;
    session.login(pin).map_err(failed("C_Login"))?;
    make_keys(&session).map_err(failed("the keys of all"))?;
    module.finalize().map_err(failed("C_Finalize"))?;

    let (to, from): (_, Receiver<(u8, u32, String)>) = channel();
    let mut workers: Vec<Worker> = (0..PROCESSES)
        .map(|number| start(number, &to))
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    let mut verdict = Verdict::default();
    let begin = Instant::now();
    let mut killed: Option<Instant> = None;
    let (mut next_client, mut next_server, mut next_look) = (7, 11, 1);
    while begin.elapsed() < time {
        let now = begin.elapsed().as_secs();
        if let Ok((number, pid, line)) = from.recv_timeout(Duration::from_millis(200)) {
            let worker = &mut workers[usize::from(number)];
            if let ("did", Some((thread, count))) = (
                line.split(' ').next().unwrap_or_default(),
                line.trim_start_matches("did ").split_once(' '),
            ) && pid == worker.child.id()
            {
                worker.heard.insert(
                    thread.to_owned(),
                    (Instant::now(), count.parse().unwrap_or(0)),
                );
            }
            verdict.hear(&line, killed.is_none_or(|at| at.elapsed() > UNSETTLED));
        }
        for (number, worker) in workers.iter_mut().enumerate() {
            if let Ok(Some(status)) = worker.child.try_wait() {
                *verdict
                    .wrong
                    .entry(format!("process {number} ended with {status}"))
                    .or_default() += 1;
                *worker = start(number as u8, &to).map_err(|e| e.to_string())?;
            }
            for (thread, (heard, _)) in &mut worker.heard {
                if heard.elapsed() > HANGS {
                    let line = format!("thread {thread} of process {number} hangs");
                    *verdict.wrong.entry(line).or_default() += 1;
                    *heard = Instant::now();
                }
            }
        }
        if now >= next_look {
            next_look = now + 1;
            let memory = servers().into_iter().map(resident).max().unwrap_or(0);
            verdict.most_mib = verdict.most_mib.max(memory);
        }
        if now >= next_client {
            next_client = now + 13;
            let number = (now % u64::from(PROCESSES)) as u8;
            let worker = &mut workers[usize::from(number)];
            let _ = worker.child.kill();
            let _ = worker.child.wait();
            *worker = start(number, &to).map_err(|e| e.to_string())?;
            verdict.clients_killed += 1;
        }
        if now >= next_server {
            next_server = now + 37;
            for server in servers() {
                killed = Some(Instant::now());
                kill(server);
                verdict.servers_killed += 1;
            }
        }
    }
    // Nothing may be left undone: each ends by itself.
    for (number, worker) in workers.iter_mut().enumerate() {
        drop(worker.child.stdin.take());
        let ending = Instant::now();
        let status = loop {
            match worker.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                _ if ending.elapsed() > HANGS => break None,
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        if !status.is_some_and(|status| status.success()) {
            let _ = worker.child.kill();
            *verdict
                .wrong
                .entry(format!("process {number} ended with {status:?}"))
                .or_default() += 1;
        }
    }
    drop(to);
    while let Ok((_, _, line)) = from.recv_timeout(Duration::from_secs(2)) {
        verdict.hear(&line, killed.is_none_or(|at| at.elapsed() > UNSETTLED));
    }
    Ok(tell(&verdict))
}

fn tell(verdict: &Verdict) -> bool {
    for (name, count) in &verdict.did {
        println!("{count:>9} {name}");
    }
    println!(
        "{} clients and {} servers killed; {:?} failed soon after; the server had at most {} MiB",
        verdict.clients_killed, verdict.servers_killed, verdict.allowed, verdict.most_mib
    );
    for (line, count) in &verdict.wrong {
        println!("WRONG {count} times: {line}");
    }
    if verdict.most_mib > SERVER_MIB {
        println!("WRONG: more than {SERVER_MIB} MiB");
    }
    verdict.wrong.is_empty() && verdict.most_mib <= SERVER_MIB && !verdict.did.is_empty()
}

/// Threads of each process.
pub const fn threads() -> u8 {
    THREADS
}
