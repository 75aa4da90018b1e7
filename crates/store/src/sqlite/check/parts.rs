//! A slot's row with its credentials and keys, and what is wrong with their parts in clear.

use rusqlite::{Connection, Row};

use super::seen;
use crate::rows::{Part, SlotParts};
use crate::sqlite::cells::{self, Seen};
use crate::sqlite::slots::{SELECT_SLOT, slot_row};
use crate::sqlite::{Result, Store, query};
use slotfs_object::SlotId;
use slotfs_object::partition::{DomainKind, Role};
use slotfs_object::sealed::{
    COMMITMENT_BYTES, ENCAPSULATED_KEY_BYTES, ENCAPSULATION_BYTES, KdfParams, PUBLIC_KEY_BYTES,
    PartId, SALT_BYTES, SealedRow, WRAPPED_BYTES, WRAPPED_PAIR_BYTES,
};
use slotfs_object::secret::KEY_BYTES;

const SEALED_KEY_BYTES: usize = KEY_BYTES + SealedRow::OVERHEAD_BYTES;

impl Store {
    pub fn look_slot(&self, slot: SlotId) -> Result<Option<SlotParts>> {
        self.snapshot(|snapshot| {
            let text = format!("{SELECT_SLOT} WHERE slot = ?1");
            let row = seen(query::row(snapshot, &text, [slot.0], slot_row))?;
            let Some(row) = row.transpose() else {
                return Ok(None);
            };
            Ok(Some(SlotParts {
                row: row.flatten(),
                credentials: seen(credentials(snapshot, slot))?,
                domains: seen(domains(snapshot, slot))?,
                smks: seen(smks(snapshot, slot))?,
            }))
        })
    }
}

fn part(row: &Row<'_>, faults: Vec<String>) -> Part {
    let id = cells::id(row);
    Part {
        id: PartId(id),
        faults,
    }
}

fn credentials(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<Part>> {
    let text = "SELECT id, role, memory_kib, passes, lanes, salt, commitment, credentials.wrapped, failures,
                quorums.credential IS NOT NULL, pairs.credential IS NOT NULL,
                generation, public_key, encapsulation, pairs.wrapped, authentication
             FROM credentials LEFT JOIN quorums ON quorums.credential = credentials.id
                 LEFT JOIN pairs ON pairs.credential = credentials.id
             WHERE credentials.slot = ?1 ORDER BY role";
    query::rows(connection, text, [slot.0], |row| {
        let mut faults = Vec::new();
        let number = noted(&mut faults, "a credential", cells::number::<i64>(row, 1));
        let role = number
            .and_then(|number| u8::try_from(number).ok())
            .and_then(Role::from_number);
        let name = match (role, number) {
            (Some(role), _) => format!("the credential of {role}"),
            (None, Some(number)) => {
                faults.push(format!("a credential has the unknown role {number}"));
                "that credential".to_owned()
            }
            (None, None) => "that credential".to_owned(),
        };
        let mut cost = |column| noted(&mut faults, &name, cells::number::<i64>(row, column));
        let cost = (cost(2), cost(3), cost(4));
        let quorum: bool = row.get(9)?;
        if let (Some(memory), Some(passes), Some(lanes)) = cost {
            if quorum && (memory, passes, lanes) != (0, 0, 0) {
                faults.push(format!("{name} asks for key shares and for an Argon2 cost"));
            } else if !quorum && !is_sane((memory, passes, lanes)) {
                let cost = format!("{memory} KiB, {passes} passes, {lanes} lanes");
                faults.push(format!(
                    "{name} asks for an Argon2 cost that is not accepted: {cost}"
                ));
            }
        }
        let pair: bool = row.get(10)?;
        let wrapped = if pair {
            WRAPPED_PAIR_BYTES
        } else {
            WRAPPED_BYTES
        };
        for (column, what, bytes) in [
            (5, "salt", SALT_BYTES),
            (6, "commitment", COMMITMENT_BYTES),
            (7, "wrapped key", wrapped),
        ] {
            sized(&mut faults, &name, what, cells::bytes(row, column), bytes);
        }
        if pair {
            noted(&mut faults, &name, cells::number::<u64>(row, 11));
            for (column, what, bytes) in [
                (12, "public key", PUBLIC_KEY_BYTES),
                (13, "encapsulation", ENCAPSULATION_BYTES),
                (15, "sealed authentication key", SEALED_KEY_BYTES),
            ] {
                sized(&mut faults, &name, what, cells::bytes(row, column), bytes);
            }
            // After a renewal of the authentication key it is there twice.
            let slot_key = cells::bytes(row, 14);
            let twice = matches!(slot_key, Ok(it) if it.len() == 2 * ENCAPSULATED_KEY_BYTES);
            if !twice {
                let what = "wrapped slot key";
                sized(&mut faults, &name, what, slot_key, ENCAPSULATED_KEY_BYTES);
            }
        }
        let failures = noted(&mut faults, &name, cells::number::<i64>(row, 8));
        if let Some(failures) = failures.filter(|it| u32::try_from(*it).is_err()) {
            faults.push(format!("{name} has {failures} failed logins"));
        }
        Ok(part(row, faults))
    })
    .flatten()
}

fn is_sane((memory_kib, passes, lanes): (i64, i64, i64)) -> bool {
    match (memory_kib.try_into(), passes.try_into(), lanes.try_into()) {
        (Ok(memory_kib), Ok(passes), Ok(lanes)) => KdfParams {
            memory_kib,
            passes,
            lanes,
        }
        .is_sane(),
        _ => false,
    }
}

fn domains(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<Part>> {
    let text = "SELECT id, kind, label, sealed FROM domains WHERE slot = ?1 ORDER BY id";
    query::rows(connection, text, [slot.0], |row| {
        let mut faults = Vec::new();
        let kind = noted(&mut faults, "a domain", cells::number::<i64>(row, 1));
        let known = [DomainKind::String, DomainKind::KeyFile].map(|kind| kind as i64);
        if let Some(kind) = kind.filter(|kind| !known.contains(kind)) {
            faults.push(format!("a domain has the unknown kind {kind}"));
        }
        let label = noted(&mut faults, "a domain", cells::text(row, 2));
        if label.is_some_and(|label| label.is_empty()) {
            faults.push("a domain has no label".to_owned());
        }
        let sealed = cells::bytes(row, 3);
        sized(
            &mut faults,
            "a domain",
            "sealed key",
            sealed,
            SEALED_KEY_BYTES,
        );
        part(row, faults)
    })
}

fn smks(connection: &Connection, slot: SlotId) -> rusqlite::Result<Vec<Part>> {
    let text = "SELECT id, sealed FROM smks WHERE slot = ?1 ORDER BY id";
    query::rows(connection, text, [slot.0], |row| {
        let mut faults = Vec::new();
        let (whose, sealed) = ("a storage master key", cells::bytes(row, 1));
        sized(&mut faults, whose, "sealed key", sealed, SEALED_KEY_BYTES);
        part(row, faults)
    })
}

/// The value, or `None` and one more fault.
fn noted<T>(faults: &mut Vec<String>, whose: &str, value: Seen<T>) -> Option<T> {
    value
        .map_err(|what| faults.push(format!("{whose}: {what}")))
        .ok()
}

fn sized(faults: &mut Vec<String>, whose: &str, what: &str, have: Seen<&[u8]>, want: usize) {
    if let Some(have) = noted(faults, whose, have)
        && have.len() != want
    {
        faults.push(format!(
            "{whose} has a {what} of {} bytes, it should have {want}",
            have.len()
        ));
    }
}
