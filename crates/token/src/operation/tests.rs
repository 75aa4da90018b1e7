#![allow(clippy::unwrap_used)]

mod ciphers;
mod messages;
mod rules;
mod signatures;

use slotfs_object::usable::UsableKey;
use slotfs_wire::Mechanism;
use slotfs_wire::Operation as Kind;

use super::{Operation, Output, Room};
use crate::error::Result;

const MUCH: Room = Room(Some(1 << 20));

fn start(kind: Kind, mechanism: &Mechanism, key: &UsableKey) -> Operation {
    Operation::start(kind, mechanism, Some(key)).unwrap()
}

fn refusal(kind: Kind, mechanism: &Mechanism, key: &UsableKey) -> u64 {
    match Operation::start(kind, mechanism, Some(key)) {
        Ok(_) => panic!("started"),
        Err(rv) => rv.0,
    }
}

fn bytes(output: Output) -> Vec<u8> {
    match output {
        Output::Bytes(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// All of `data` at once.
fn whole(kind: Kind, mechanism: &Mechanism, key: &UsableKey, data: &[u8]) -> Result<Vec<u8>> {
    let mut running = Operation::start(kind, mechanism, Some(key))?;
    let out = running.whole(data, MUCH);
    assert!(running.is_over());
    out.map(bytes)
}

/// `data` in parts.
fn parts(
    kind: Kind,
    mechanism: &Mechanism,
    key: &UsableKey,
    data: &[u8],
    cuts: &[usize],
) -> Result<Vec<u8>> {
    let mut running = Operation::start(kind, mechanism, Some(key))?;
    let mut out = Vec::new();
    for part in cut(data, cuts) {
        let length = running.update(part, Room(None))?;
        let made = bytes(running.update(part, MUCH)?);
        if let Output::Length(length) = length {
            assert_eq!(length, made.len() as u64);
            out.extend(made);
        } else {
            // The operation has no output here: both calls took the part.
            panic!("{length:?}");
        }
    }
    out.extend(bytes(running.finish(MUCH)?));
    assert!(running.is_over());
    Ok(out)
}

fn cut<'a>(data: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    for at in cuts {
        let (part, after) = rest.split_at(at % (rest.len() + 1));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

fn verify(mechanism: &Mechanism, key: &UsableKey, data: &[u8], signature: &[u8]) -> Result<()> {
    let mut running = Operation::start(Kind::Verify, mechanism, Some(key))?;
    let verdict = running.verify(data, signature);
    assert!(running.is_over());
    verdict
}
