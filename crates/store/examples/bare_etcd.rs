//! What etcd does by itself with the keys of a store (docs/format.md, "In a cluster"), for `scripts/bench --only cluster`:
//! the same transactions, one after another, and nothing around them. Each command prints the seconds that it took.
//!
//!     bare_etcd HOST:PORT write OBJECTS PER-TRANSACTION SEALED-BYTES
//!     bare_etcd HOST:PORT read OBJECTS SEALED-BYTES      one question for each object: `w`, `h` and `o`
//!     bare_etcd HOST:PORT list NAME PAGE                 all `h` of this store, so many in one question
//!     bare_etcd HOST:PORT sealed NAME                    no time, but how many bytes a sealed row of this store has

use std::error::Error;
use std::time::Instant;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, GetOptions, KvClient, Txn, TxnOp, TxnOpResponse,
};

/// As in the engine.
const MOST_OPERATIONS: usize = 96;
const WIDTH: usize = 40;
const MOST_ANSWER_BYTES: usize = 64 << 20;
// The sizes of the values.
const WRITES: usize = 61;
const OBJECT: usize = 45;
const IDENTITY: usize = 12;
const ROW: usize = 17;
const SLOT: [u8; 4] = [0; 4];
const EPOCH: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 7];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&words))
}

async fn run(words: &[&str]) -> Outcome<()> {
    let usage = "see the head of examples/bare_etcd.rs";
    let [endpoint, what, rest @ ..] = words else {
        return Err(usage.into());
    };
    let options = ConnectOptions::new().with_require_leader(true);
    let client = Client::connect([format!("http://{endpoint}")], Some(options)).await?;
    let kv = client
        .kv_client()
        .max_decoding_message_size(MOST_ANSWER_BYTES);
    // Every run has keys of its own: to delete 400,000 takes etcd longer than it waits.
    let prefix = format!("/slotfs/{:010}/", std::process::id()).into_bytes();
    let mut bare = Bare {
        kv,
        prefix,
        revision: 0,
    };
    let start = match (*what, rest) {
        ("sealed", [name]) => {
            println!("{}", bare.sealed(name).await?);
            return Ok(());
        }
        ("write", [objects, each, sealed]) => {
            let start = Instant::now();
            let (objects, each) = (objects.parse()?, each.parse()?);
            bare.write(objects, each, sealed.parse()?).await?;
            start
        }
        ("read", [objects, sealed]) => {
            bare.write(objects.parse()?, 512, sealed.parse()?).await?;
            let start = Instant::now();
            bare.read(objects.parse()?).await?;
            start
        }
        ("list", [name, page]) => {
            let start = Instant::now();
            bare.list(name, page.parse()?).await?;
            start
        }
        _ => return Err(usage.into()),
    };
    println!("{:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

struct Bare {
    kv: KvClient,
    /// As long as that of a store with a short name.
    prefix: Vec<u8>,
    /// Of `w`; 0 before it is there.
    revision: i64,
}

impl Bare {
    /// Keys as long as those of a store.
    fn key(&self, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = self.prefix.clone();
        key.extend([kind, b'/']);
        for part in parts {
            key.extend_from_slice(part);
        }
        key
    }

    fn by_handle(&self, nth: u32) -> Vec<u8> {
        self.key(b'h', &[&SLOT, &EPOCH, &nth.to_be_bytes()])
    }

    fn sealed_row(&self, nth: u32) -> Vec<u8> {
        let row = u64::from(nth).to_be_bytes();
        self.key(b'o', &[&SLOT, &EPOCH, &EPOCH, &row])
    }

    fn writes(&self) -> Vec<u8> {
        self.key(b'w', &[&SLOT])
    }

    async fn sealed(&mut self, name: &str) -> Outcome<usize> {
        let rows = format!("/slotfs/{name}/o/");
        let one = GetOptions::new().with_prefix().with_limit(1);
        let found = self.kv.get(rows, Some(one)).await?;
        let row = found.kvs().first().ok_or("the store has no object")?;
        Ok(row.value().len())
    }

    async fn write(&mut self, objects: u32, each: u32, sealed: usize) -> Outcome<()> {
        let mut next = 1;
        while next <= objects {
            let end = objects.min(next + each - 1);
            let mut operations = Vec::new();
            for nth in next..=end {
                let mut identity = [0xab; 16];
                identity[..4].copy_from_slice(&nth.to_be_bytes());
                let row = u64::from(nth).to_be_bytes();
                for (key, bytes) in [
                    (self.by_handle(nth), OBJECT),
                    (self.key(b'i', &[&SLOT, &EPOCH, &identity]), IDENTITY),
                    (self.sealed_row(nth), sealed),
                    (self.key(b'r', &[&row]), ROW),
                ] {
                    operations.push(TxnOp::put(key, vec![0xcd; bytes], None));
                }
            }
            let mut operations = nested(operations);
            operations.push(TxnOp::put(self.writes(), vec![0xcd; WRITES], None));
            let done = self.key(b'd', &[&SLOT, &[1; 16]]);
            operations.push(TxnOp::put(done, vec![0; 8], None));
            let same = Compare::mod_revision(self.writes(), CompareOp::Equal, self.revision);
            let txn = Txn::new().when([same]).and_then(operations);
            let answer = self.kv.txn(txn).await?;
            if !answer.succeeded() {
                return Err("another one writes there".into());
            }
            self.revision = answer.header().ok_or("no header")?.revision();
            next = end + 1;
        }
        Ok(())
    }

    async fn read(&mut self, objects: u32) -> Outcome<()> {
        for nth in 1..=objects {
            let keys = [self.writes(), self.by_handle(nth), self.sealed_row(nth)];
            let gets: Vec<TxnOp> = keys.map(|key| TxnOp::get(key, None)).into();
            self.kv.txn(Txn::new().and_then(gets)).await?;
        }
        Ok(())
    }

    async fn list(&mut self, name: &str, page: i64) -> Outcome<()> {
        let prefix = format!("/slotfs/{name}/");
        let writes = format!("{prefix}w/");
        let (mut from, end) = (
            format!("{prefix}h/").into_bytes(),
            format!("{prefix}h0").into_bytes(),
        );
        loop {
            let range = GetOptions::new().with_range(end.clone()).with_limit(page);
            let gets = [
                TxnOp::get(writes.clone(), Some(GetOptions::new().with_prefix())),
                TxnOp::get(from, Some(range)),
            ];
            let answer = self.kv.txn(Txn::new().and_then(gets)).await?;
            let answers = answer.op_responses();
            let Some(TxnOpResponse::Get(got)) = answers.last() else {
                return Err("no answer that fits".into());
            };
            match got.kvs().last() {
                Some(last) if got.more() => from = [last.key(), b"\0"].concat(),
                _ => return Ok(()),
            }
        }
    }
}

/// Operations as etcd takes them, nested as by the engine.
fn nested(mut operations: Vec<TxnOp>) -> Vec<TxnOp> {
    if operations.len() <= MOST_OPERATIONS {
        return operations;
    }
    while operations.len() > WIDTH {
        let mut inside = operations.into_iter().peekable();
        let mut outside = Vec::new();
        while inside.peek().is_some() {
            let some: Vec<TxnOp> = inside.by_ref().take(WIDTH).collect();
            outside.push(TxnOp::txn(Txn::new().and_then(some)));
        }
        operations = outside;
    }
    operations
}
