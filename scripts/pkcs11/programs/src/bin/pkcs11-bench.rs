//! `pkcs11-bench`: what operations of the token of the environment (MODULE, TOKEN, PIN) cost, as one JSON document: for each
//! the microseconds of wall clock and of processor time per operation. The processor time of a token server is counted with
//! that of this process, if SLOTFS_PROGRAM and SLOTFS_STORE say which process that is.
//!
//!     --seconds S    for each operation [default: 1]
//!     --keys N       token keys to be there when one is searched for [default: 10]
//!     --fill S       seconds after which no more of them are made [default: 120]
//!     --only nothing the call that does nothing alone; --only find the searches alone

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pkcs11_programs::sys::*;
use pkcs11_programs::{Mechanism, Module, Pair, Param, Session, Template, ck, flag};
use serde_json::{Value, json};

const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// Ids of the keys that are searched for begin here.
const FIRST_ID: u32 = 0x0100_0000;

struct Bench {
    module: Module,
    slot: CK_SLOT_ID,
    time: Duration,
    server: Option<PathBuf>,
    took: BTreeMap<String, Value>,
}

/// Processor time of a process so far, in seconds.
fn processor(stat: &Path) -> f64 {
    // Fields 14 and 15, counted behind the name, which ends with the last parenthesis; in hundredths.
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let behind = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// The `stat` of the server that has the store open.
fn server() -> Option<PathBuf> {
    let program = std::env::var_os("SLOTFS_PROGRAM")?;
    let program = std::fs::canonicalize(program).ok()?;
    let store = std::fs::canonicalize(std::env::var_os("SLOTFS_STORE")?).ok()?;
    std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .find(|process| {
            let is = |path: PathBuf, what: &Path| std::fs::read_link(path).is_ok_and(|p| p == what);
            is(process.path().join("exe"), &program)
                && std::fs::read_dir(process.path().join("fd"))
                    .is_ok_and(|mut fds| fds.any(|fd| fd.is_ok_and(|fd| is(fd.path(), &store))))
        })
        .map(|process| process.path().join("stat"))
}

impl Bench {
    fn processor(&self) -> f64 {
        processor(Path::new("/proc/self/stat")) + self.server.as_deref().map_or(0.0, processor)
    }

    /// Times `threads` sessions that repeat an operation.
    fn repeat(
        &mut self,
        name: &str,
        threads: usize,
        operation: impl Fn(&Session) -> Result<(), CK_RV> + Sync,
    ) -> Result<(), String> {
        let (module, slot, time) = (self.module, self.slot, self.time);
        let (start, before) = (Instant::now(), self.processor());
        let counts: Result<Vec<u64>, CK_RV> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let session = module.open(slot)?;
                        let mut count = 0_u64;
                        while start.elapsed() < time {
                            operation(&session)?;
                            count += 1;
                        }
                        session.close().map(|()| count)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a thread"))
                .collect()
        });
        let count: u64 = counts
            .map_err(|rv| format!("{name}: {rv:#x}"))?
            .iter()
            .sum();
        self.keep(name, count, start.elapsed(), before);
        Ok(())
    }

    fn keep(&mut self, name: &str, count: u64, took: Duration, before: f64) {
        let each = |seconds: f64| seconds * 1e6 / count.max(1) as f64;
        let processor = self.processor() - before;
        self.took.insert(
            name.to_owned(),
            json!({ "us": each(took.as_secs_f64()), "cpu_us": each(processor), "count": count }),
        );
    }
}

fn pair(session: &Session, on_token: bool, id: u32) -> Result<Pair, CK_RV> {
    let id = (CKA_ID, id.to_be_bytes().to_vec());
    session.generate_pair(
        &Mechanism::plain(CKM_EC_KEY_PAIR_GEN),
        &vec![
            (CKA_TOKEN, flag(on_token)),
            (CKA_EC_PARAMS, P256.to_vec()),
            (CKA_VERIFY, flag(true)),
            id.clone(),
        ],
        &vec![
            (CKA_TOKEN, flag(on_token)),
            (CKA_PRIVATE, flag(true)),
            (CKA_SENSITIVE, flag(true)),
            (CKA_SIGN, flag(true)),
            id,
        ],
    )
}

fn searched(id: u32) -> Template {
    vec![
        (CKA_CLASS, ck(CKO_SECRET_KEY)),
        (CKA_ID, id.to_be_bytes().to_vec()),
    ]
}

/// Token keys until there are `keys` of them or the time is over; how many there are.
fn fill(session: &Session, keys: u32, time: Duration) -> Result<u32, CK_RV> {
    let start = Instant::now();
    for made in 0..keys {
        if start.elapsed() > time {
            return Ok(made);
        }
        session.create(&vec![
            (CKA_CLASS, ck(CKO_SECRET_KEY)),
            (CKA_KEY_TYPE, ck(CKK_AES)),
            (CKA_TOKEN, flag(true)),
            (CKA_PRIVATE, flag(true)),
            (CKA_ENCRYPT, flag(true)),
            (CKA_ID, (FIRST_ID + made).to_be_bytes().to_vec()),
            (CKA_VALUE, vec![made as u8; 32]),
        ])?;
    }
    Ok(keys)
}

/// What a call that failed is told as.
fn said(what: &'static str) -> impl Fn(CK_RV) -> String {
    move |rv| format!("{what}: {rv:#x}")
}

/// Everything but the searches.
fn operations(bench: &mut Bench, session: &Session, pin: &str) -> Result<(), String> {
    let (module, slot) = (bench.module, bench.slot);
    // Another session keeps the slot open, as a running application does.
    let (start, before) = (Instant::now(), bench.processor());
    let mut logins = 0;
    while start.elapsed() < bench.time {
        session.logout().map_err(said("C_Logout"))?;
        session.login(pin).map_err(said("C_Login"))?;
        logins += 1;
    }
    bench.keep("C_Logout and C_Login", logins, start.elapsed(), before);

    let (public, private) = pair(session, true, 1).map_err(said("C_GenerateKeyPair"))?;
    let digest = [7; 32];
    let ecdsa = Mechanism::plain(CKM_ECDSA);
    let sign = |session: &Session| session.sign(&ecdsa, private, &digest).map(drop);
    bench.repeat("ECDSA P-256 sign", 1, sign)?;
    bench.repeat("ECDSA P-256 sign, 2 threads", 2, sign)?;
    for key in [public, private] {
        session.destroy(key).map_err(said("C_DestroyObject"))?;
    }

    let (_, rsa_key) = session
        .generate_pair(
            &Mechanism::plain(CKM_RSA_PKCS_KEY_PAIR_GEN),
            &vec![
                (CKA_TOKEN, flag(false)),
                (CKA_MODULUS_BITS, ck(2048)),
                (CKA_PUBLIC_EXPONENT, vec![1, 0, 1]),
            ],
            &vec![(CKA_TOKEN, flag(false)), (CKA_SIGN, flag(true))],
        )
        .map_err(said("C_GenerateKeyPair"))?;
    let rsa = Mechanism::plain(CKM_RSA_PKCS);
    let sign = |session: &Session| session.sign(&rsa, rsa_key, &[7; 51]).map(drop);
    bench.repeat("RSA-2048 sign", 1, sign)?;
    bench.repeat("RSA-2048 sign, 2 threads", 2, sign)?;

    let aes = session
        .generate(
            &Mechanism::plain(CKM_AES_KEY_GEN),
            &vec![
                (CKA_TOKEN, flag(false)),
                (CKA_VALUE_LEN, ck(32)),
                (CKA_ENCRYPT, flag(true)),
            ],
        )
        .map_err(said("C_GenerateKey"))?;
    let gcm = Mechanism::new(
        CKM_AES_GCM,
        Param::Gcm {
            iv: vec![0; 12],
            aad: Vec::new(),
            tag_bits: 128,
        },
    );
    for (name, size) in [
        ("AES-256-GCM, 1 KiB", 1024),
        ("AES-256-GCM, 1 MiB", 1 << 20),
    ] {
        let data = vec![0; size];
        let into = std::sync::Mutex::new(vec![0; size + 64]);
        bench.repeat(name, 1, |session| {
            let mut into = into.lock().expect("one thread");
            session.encrypt_into(&gcm, aes, &data, &mut into).map(drop)
        })?;
    }
    let sha256 = Mechanism::plain(CKM_SHA256);
    bench.repeat("SHA-256, 1 KiB", 1, |session| {
        session.digest(&sha256, &[0; 1024]).map(drop)
    })?;
    bench.repeat("32 random bytes", 1, |session| session.random(&mut [0; 32]))?;
    bench.repeat("C_OpenSession and C_CloseSession", 1, |_| {
        module.open(slot)?.close()
    })?;
    bench.repeat("P-256 session pair", 1, |session| {
        let (public, private) = pair(session, false, 2)?;
        session.destroy(public)?;
        session.destroy(private)
    })?;
    bench.repeat("P-256 token pair", 1, |session| {
        pair(session, true, 3).map(drop)
    })?;

    Ok(())
}

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().collect();
    let option = |name: &str, otherwise: f64| {
        words
            .iter()
            .position(|word| word == name)
            .and_then(|at| words.get(at + 1)?.parse().ok())
            .unwrap_or(otherwise)
    };
    let only = |what: &str| words.windows(2).any(|two| two == ["--only", what]);
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let module = Module::load(&variable("MODULE")?)?;
    let slot = module.slot(&variable("TOKEN")?)?;
    let pin = variable("PIN")?;
    let session = module.open(slot).map_err(said("C_OpenSession"))?;
    let mut bench = Bench {
        module,
        slot,
        time: Duration::from_secs_f64(option("--seconds", 1.0)),
        server: server(),
        took: BTreeMap::new(),
    };

    let (start, before) = (Instant::now(), bench.processor());
    session.login(&pin).map_err(said("C_Login"))?;
    bench.keep("first C_Login", 1, start.elapsed(), before);
    bench.repeat("nothing", 1, Session::nothing)?;
    bench.repeat("nothing, 2 threads", 2, Session::nothing)?;
    if only("nothing") {
        println!("{}", json!(bench.took));
        return Ok(());
    }
    if !only("find") {
        operations(&mut bench, &session, &pin)?;
    }
    let keys = fill(
        &session,
        option("--keys", 10.0) as u32,
        Duration::from_secs_f64(option("--fill", 120.0)),
    )
    .map_err(said("C_CreateObject"))?;
    let next = std::sync::atomic::AtomicU32::new(0);
    bench.repeat("find by CKA_ID", 1, |session| {
        // A stride that meets all of them.
        let number = next.fetch_add(7919, std::sync::atomic::Ordering::Relaxed) % keys.max(1);
        match session.find(&searched(FIRST_ID + number), 4)?.len() {
            1 => Ok(()),
            _ => Err(CKR_GENERAL_ERROR),
        }
    })?;
    bench.repeat("find by CKA_ID, absent", 1, |session| {
        session.find(&searched(1), 4).map(drop)
    })?;
    bench.took.insert("keys".to_owned(), json!(keys));
    println!("{}", json!(bench.took));
    module.finalize().map_err(said("C_Finalize"))
}
