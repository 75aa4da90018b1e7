//! Questions to the cluster that concern no single slot: what the store is, and its ids.

use std::ops::Range;
use std::path::Path;

use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use super::client::{Answer, Client, Failure, kv};
use super::keys::{Keys, end_of};
use super::values::{self, Version};
use super::{Inner, ask};
use crate::error::{Error, Result, StoreFault};
use crate::rows::ROW_IDS;
use slotfs_object::now_secs;

/// Ids reserved in one transaction. Those that are left when the store is closed stay unused.
const RESERVED_AT_ONCE: u64 = 1024;

/// What an unanswered question is for the caller.
pub(super) fn fault(failure: Failure) -> StoreFault {
    match failure {
        Failure::Unreachable(why) => StoreFault::Unreachable(why),
        Failure::NoSpace => StoreFault::QuotaFull,
        Failure::Compacted => StoreFault::Failed(
            "the state of the cluster that was being read is compacted by now; try again".into(),
        ),
        Failure::Corrupt(why) => StoreFault::Failed(format!(
            "the members of its cluster hold different data: {why}; 'slotfs store check' says more"
        )),
        Failure::WentBack(what) => StoreFault::WentBack(what),
        Failure::Refused(why) | Failure::Untrusted(why) => {
            StoreFault::Failed(format!("its cluster refused the request: {why}"))
        }
    }
}

/// Sends a transaction. It may arrive more than once.
pub(super) fn transact(
    client: &Client,
    until: std::time::Instant,
    txn: Txn,
) -> Answer<TxnResponse> {
    let least = client.revision();
    let mut answer = client.ask(until, move |client| {
        let txn = txn.clone();
        Box::pin(async move { kv(&client).txn(txn).await })
    });
    if let Ok(Some(header)) = answer.outcome.as_ref().map(TxnResponse::header) {
        let taken_in = client.take_in(header.cluster_id(), header.revision(), least);
        if let Err(why) = taken_in {
            answer.outcome = Err(why);
        }
    }
    answer
}

/// What is under the store's prefix; with `create`, a store is made where there is none.
pub(super) fn version(client: &Client, keys: &Keys, path: &Path, create: bool) -> Result<Version> {
    match (place(client, keys, path)?, create) {
        (Place::Store(value), _) => read_version(&value, path),
        (Place::Empty, true) => make(client, keys, path),
        (Place::Remains, _) => Err(remains(path)),
        (Place::Empty, false) => Err(StoreFault::Missing.at(path)),
    }
}

/// What is under a store's name.
pub(super) enum Place {
    /// Nothing.
    Empty,
    /// A store, and its `v`.
    Store(Vec<u8>),
    /// Something without `v`.
    Remains,
}

/// Looks what is under a store's name.
pub(super) fn place(client: &Client, keys: &Keys, path: &Path) -> Result<Place> {
    let is_there = Compare::version(keys.version(), CompareOp::Greater, 0);
    // Only where there is no store: etcd counts to the end of it.
    let all = keys.all();
    let first = GetOptions::new()
        .with_range(end_of(&all))
        .with_limit(1)
        .with_keys_only();
    let txn = Txn::new()
        .when([is_there])
        .and_then([TxnOp::get(keys.version(), None)])
        .or_else([TxnOp::get(all, Some(first))]);
    let answer = transact(client, client.deadline().settling, txn);
    let answer = answer.outcome.map_err(|why| ask::fault(why).at(path))?;
    let found = gets(&answer);
    let found = found.first().and_then(|it| it.kvs().first());
    Ok(match (answer.succeeded(), found) {
        (true, Some(version)) => Place::Store(version.value().to_vec()),
        (false, None) => Place::Empty,
        _ => Place::Remains,
    })
}

/// That nothing is under a store's name. etcd stops at the first one that does not hold; the last one reads all that is
/// there with its values, so the others keep it from a store and from one that is being made.
pub(super) fn nothing(keys: &Keys) -> [Compare; 3] {
    let none = |key: Vec<u8>| Compare::version(key, CompareOp::Equal, 0);
    let all = keys.all();
    let end = end_of(&all);
    [
        none(keys.version()),
        none(keys.making()),
        none(all).with_range(end),
    ]
}

/// The error of a name that is neither free nor that of a store.
pub(super) fn remains(path: &Path) -> Error {
    let why = "what is there is no store: a copy that was not completed, or that is being made; when no 'store copy' runs, remove it with 'etcdctl del --prefix', and try again";
    Error::failed(path, why)
}

/// Makes an empty store where nothing is. Another host may do so at the same time: one of them does.
fn make(client: &Client, keys: &Keys, path: &Path) -> Result<Version> {
    let new = Version {
        format: values::FORMAT,
        created_secs: now_secs(),
    };
    let txn = Txn::new().when(nothing(keys)).and_then([
        TxnOp::put(keys.version(), new.encode(), None),
        TxnOp::put(keys.next(), values::number(1), None),
    ]);
    let answer = transact(client, client.deadline().settling, txn);
    let answer = answer.outcome.map_err(|why| ask::fault(why).at(path))?;
    if answer.succeeded() {
        return Ok(new);
    }
    // Also after an earlier copy of this request.
    match place(client, keys, path)? {
        Place::Store(value) => read_version(&value, path),
        Place::Empty | Place::Remains => Err(remains(path)),
    }
}

fn read_version(value: &[u8], path: &Path) -> Result<Version> {
    let version = Version::decode(value).map_err(|why| Error::failed(path, why))?;
    match version.format {
        values::FORMAT => Ok(version),
        later => Err(Error::failed(
            path,
            format!(
                "it has format {later} of a later slotfs; this one reads format {}",
                values::FORMAT
            ),
        )),
    }
}

/// The answers to the ranges of a transaction, in their order.
pub(super) fn gets(answer: &TxnResponse) -> Vec<GetResponse> {
    let mut found = Vec::new();
    for it in answer.op_responses() {
        if let TxnOpResponse::Get(got) = it {
            found.push(got);
        }
    }
    found
}

impl Inner {
    /// Reserves ids.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn reserve(&self, until: std::time::Instant) -> Result<Range<u64>> {
        let key = self.keys.next();
        let mut known: Option<(i64, u64)> = None;
        loop {
            let read = TxnOp::get(key.clone(), None);
            let txn = match known {
                None => Txn::new().when([Compare::version(key.clone(), CompareOp::Less, 0)]),
                Some((revision, next)) => Txn::new()
                    .when([Compare::mod_revision(
                        key.clone(),
                        CompareOp::Equal,
                        revision,
                    )])
                    .and_then([TxnOp::put(
                        key.clone(),
                        values::number(next + RESERVED_AT_ONCE),
                        None,
                    )]),
            };
            let txn = txn.or_else([read]);
            let answer = transact(&self.client, until, txn);
            let answer = answer.outcome.map_err(|why| self.failed(why))?;
            if let Some((_, next)) = known
                && answer.succeeded()
            {
                return Ok(next..next + RESERVED_AT_ONCE);
            }
            // Another host was first, or this request arrived twice: ids that nobody gets do no harm.
            let found = gets(&answer);
            let value = found.first().and_then(|it| it.kvs().first());
            let value = value.ok_or_else(|| {
                Error::Damaged("the counter of row ids (key n) is missing; 'slotfs store check -repair' makes it".to_owned())
            })?;
            let next = values::to_number(value.value())
                .map_err(|why| Error::Damaged(format!("the counter of row ids (key n): {why}")))?;
            if !ROW_IDS.contains(&i64::try_from(next).unwrap_or(i64::MAX)) {
                return Err(Error::Damaged(format!(
                    "the counter of row ids (key n) is {next}, which is out of range"
                )));
            }
            known = Some((value.mod_revision(), next));
        }
    }
}
