//! One process of a soak: threads that do operations until the standard input closes. Each line of its output is a fact for
//! the coordinator: `did THREAD COUNT`, `lost CALL RV`, `wrong TEXT`.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Trouble;
use super::operations::{ALL, Context};
use crate::sys::*;
use crate::{Module, Session};

static ENDED: AtomicBool = AtomicBool::new(false);

/// A generator that needs to be neither good nor shared.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// Runs `threads` of them as process number `process`.
pub fn run(module: Module, label: &str, pin: &str, process: u8, threads: u8) -> Result<(), String> {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        ENDED.store(true, Ordering::Relaxed);
    });
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(module, label, pin, process, thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .collect()
    });
    results.into_iter().collect()
}

/// A session that is logged in: the first C_OpenSession after a loss must work, unless there is another loss.
fn open(module: Module, label: &str, pin: &str) -> Result<(CK_SLOT_ID, Session), Trouble> {
    let slot = module
        .slot(label)
        .map_err(|_| Trouble::Lost("slot list", 0))?;
    let session = module.open(slot).map_err(|rv| Trouble::Lost("open", rv))?;
    match session.login(pin) {
        Ok(()) | Err(CKR_USER_ALREADY_LOGGED_IN) => Ok((slot, session)),
        Err(rv) => Err(Trouble::Lost("login", rv)),
    }
}

fn work(module: Module, label: &str, pin: &str, process: u8, thread: u8) -> Result<(), String> {
    let id = vec![0xf0, process, thread];
    let mut numbers = Numbers(u64::from(std::process::id()) << 8 | u64::from(thread));
    let mut session: Option<(CK_SLOT_ID, Session)> = None;
    let (mut did, mut told) = (BTreeMap::<&str, u64>::new(), Instant::now());
    while !ENDED.load(Ordering::Relaxed) {
        let result = match session.take() {
            None => open(module, label, pin).and_then(|(slot, opened)| {
                // What an earlier process of this number left when it was killed.
                let left = vec![(CKA_ID, id.clone()), (CKA_TOKEN, vec![1])];
                let left = opened
                    .find(&left, 1000)
                    .map_err(|rv| Trouble::Lost("find", rv))?;
                for object in left {
                    opened
                        .destroy(object)
                        .map_err(|rv| Trouble::Lost("destroy", rv))?;
                }
                session = Some((slot, opened));
                Ok(())
            }),
            Some((slot, opened)) => {
                let at = Context {
                    module,
                    slot,
                    session: &opened,
                    id: id.clone(),
                    data: (0..200 + numbers.next() % 3000)
                        .map(|_| numbers.next() as u8)
                        .collect(),
                };
                let (name, operation) = ALL[numbers.next() as usize % ALL.len()];
                let result = operation(&at);
                if result.is_ok() {
                    *did.entry(name).or_default() += 1;
                    session = Some((slot, opened));
                } else {
                    // Of a server that is still there: an application closes what it cannot use.
                    let _ = opened.close();
                }
                result.map_err(|trouble| match trouble {
                    Trouble::Wrong(what) => Trouble::Wrong(format!("{name}: {what}")),
                    lost => lost,
                })
            }
        };
        match result {
            Ok(()) => {}
            Err(Trouble::Lost(what, rv)) => {
                println!("lost {what} {rv:#x}");
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(Trouble::Wrong(what)) => println!("wrong {what}"),
        }
        if told.elapsed() > Duration::from_secs(1) {
            println!("did {thread} {}", did.values().sum::<u64>());
            told = Instant::now();
        }
    }
    for (name, count) in &did {
        println!("total {count} {name}");
    }
    if let Some((_, session)) = session {
        session.close().map_err(|rv| format!("close: {rv:#x}"))?;
    }
    Ok(())
}
