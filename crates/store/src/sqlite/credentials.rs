//! The credentials of a slot's roles, and how many logins failed.

use rusqlite::{Connection, Params, Row, params};

use super::cells::{self, Seen};
use super::slots::signed;
use super::{Store, query};
use crate::rows::{CredentialRow, PartRow, all_credentials, credential_of};
use crate::sqlite::{Error, Result};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::sealed::{
    Credential, ENCAPSULATED_KEY_BYTES, ENCAPSULATION_BYTES, HASH_BYTES, KdfParams, Method,
    PUBLIC_KEY_BYTES, Pair, PartId, Quorum, ShareSet,
};

impl Store {
    pub fn credentials(&self, slot: SlotId) -> Result<Vec<CredentialRow>> {
        all_credentials(slot, self.readable(slot)?)
    }

    pub fn credential(&self, slot: SlotId, role: Role) -> Result<Option<CredentialRow>> {
        credential_of(slot, role, self.readable(slot)?)
    }

    fn readable(&self, slot: SlotId) -> Result<Vec<PartRow<CredentialRow>>> {
        self.read(|connection| credential_rows(connection, slot))
    }

    pub fn count_failure(
        &self,
        _slot: SlotId,
        credential: PartId,
        most: u32,
    ) -> Result<Option<u32>> {
        self.write_now(move |tx| {
            let text = "UPDATE credentials SET failures = failures + 1
                     WHERE id = ?1 AND failures < ?2 RETURNING failures";
            let counted = tx.row(text, (credential.0, most), |row| cells::number(row, 0));
            let unread =
                |what| Error::Damaged(format!("a credential (row {}): {what}", credential.0));
            counted?.transpose().map_err(unread)
        })
    }

    pub fn uncount_failure(&self, _slot: SlotId, credential: PartId) -> Result<()> {
        let text = "UPDATE credentials SET failures = failures - 1 WHERE id = ?1 AND failures > 0";
        self.execute(text, [credential.0])
    }

    pub fn clear_failures(&self, _slot: SlotId, credential: PartId) -> Result<()> {
        let text = "UPDATE credentials SET failures = 0 WHERE id = ?1";
        self.execute(text, [credential.0])
    }

    fn execute(&self, text: &'static str, params: impl Params + Send + 'static) -> Result<()> {
        self.write_now(move |tx| tx.execute(text, params).map(drop))
    }
}

pub(super) fn credential_rows(
    connection: &Connection,
    slot: SlotId,
) -> rusqlite::Result<Vec<PartRow<CredentialRow>>> {
    query::rows(
        connection,
        "SELECT id, role, memory_kib, passes, lanes, salt, commitment, credentials.wrapped, failures,
                m, n, share_set, shares, quorums.credential,
                generation, public_key, encapsulation, pairs.wrapped, authentication, pairs.credential
             FROM credentials LEFT JOIN quorums ON quorums.credential = credentials.id
                 LEFT JOIN pairs ON pairs.credential = credentials.id
             WHERE credentials.slot = ?1 ORDER BY role",
        [slot.0],
        |row| {
            let id = PartId(cells::id(row));
            let named = |what| format!("a credential (row {} of credentials): {what}", id.0);
            credential_row(row).map_err(|what| (id, named(what)))
        },
    )
}

fn credential_row(row: &Row<'_>) -> Seen<CredentialRow> {
    let number: u8 = cells::number(row, 1)?;
    let role =
        Role::from_number(number).ok_or_else(|| cells::out_of_range(row, 1, number.into()))?;
    let method = match share_set(row, 9)? {
        Some(set) => Method::Quorum(set),
        None => Method::Password(KdfParams {
            memory_kib: cells::number(row, 2)?,
            passes: cells::number(row, 3)?,
            lanes: cells::number(row, 4)?,
        }),
    };
    Ok(CredentialRow {
        id: PartId(cells::number(row, 0)?),
        role,
        credential: Credential {
            method,
            salt: cells::bytes(row, 5)?.to_vec(),
            commitment: cells::bytes(row, 6)?.to_vec(),
            wrapped: cells::bytes(row, 7)?.to_vec(),
        },
        pair: pair(row, 14)?,
        failures: cells::number(row, 8)?,
    })
}

/// The pair of a credential, from `generation, public_key, encapsulation, wrapped, authentication, credential`. All are NULL
/// when it has none.
fn pair(row: &Row<'_>, first: usize) -> Seen<Option<Pair>> {
    if cells::optional_number::<i64>(row, first + 5)?.is_none() {
        return Ok(None);
    }
    let sized = |column, lengths: &[usize]| match cells::bytes(row, column)? {
        bytes if lengths.contains(&bytes.len()) => Ok(bytes.to_vec()),
        bytes => Err(format!(
            "its {} has {} bytes",
            cells::name(row, column),
            bytes.len()
        )),
    };
    Ok(Some(Pair {
        generation: cells::number(row, first)?,
        public_key: sized(first + 1, &[PUBLIC_KEY_BYTES])?,
        encapsulation: sized(first + 2, &[ENCAPSULATION_BYTES])?,
        wrapped: sized(
            first + 3,
            &[ENCAPSULATED_KEY_BYTES, 2 * ENCAPSULATED_KEY_BYTES],
        )?,
        authentication: cells::sealed(row, first + 4)?,
    }))
}

/// The set of shares of a credential, from `m, n, share_set, shares, credential`. All are NULL when it has none.
fn share_set(row: &Row<'_>, first: usize) -> Seen<Option<ShareSet>> {
    if cells::optional_number::<i64>(row, first + 4)?.is_none() {
        return Ok(None);
    }
    let m: u8 = cells::number(row, first)?;
    let n: u8 = cells::number(row, first + 1)?;
    let quorum = Quorum::new(m, n).ok_or_else(|| cells::out_of_range(row, first, m.into()))?;
    let (hashes, rest) = cells::bytes(row, first + 3)?.as_chunks::<HASH_BYTES>();
    if hashes.len() != usize::from(n) || !rest.is_empty() {
        return Err(format!("its shares are not {n} of {HASH_BYTES} bytes"));
    }
    Ok(Some(ShareSet {
        quorum,
        id: cells::array(row, first + 2)?,
        hashes: hashes.to_vec(),
    }))
}

/// Inserts a credential. One that is stored already stays as it is: its failed logins may have been counted meanwhile. Its
/// pair is replaced: a new slot key is encapsulated to it.
pub(super) fn insert_credential(
    connection: &Connection,
    slot: SlotId,
    row: &CredentialRow,
) -> rusqlite::Result<()> {
    let c = &row.credential;
    let (cost, set) = match &c.method {
        Method::Password(cost) => (*cost, None),
        Method::Quorum(set) => (KdfParams::NONE, Some(set)),
    };
    let (memory_kib, passes, lanes) = (cost.memory_kib, cost.passes, cost.lanes);
    let role = row.role as u8;
    query::execute(
        connection,
        "INSERT INTO credentials (id, slot, role, memory_kib, passes, lanes, salt, commitment, wrapped)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
        params![row.id.0, slot.0, role, memory_kib, passes, lanes, c.salt, c.commitment, c.wrapped],
    )?;
    if let Some(pair) = &row.pair {
        query::execute(
            connection,
            "INSERT OR REPLACE INTO pairs
                 (credential, slot, generation, public_key, encapsulation, wrapped, authentication)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                row.id.0,
                slot.0,
                signed(pair.generation),
                pair.public_key,
                pair.encapsulation,
                pair.wrapped,
                pair.authentication.bytes()
            ],
        )?;
    }
    let Some(set) = set else { return Ok(()) };
    let (m, n) = (set.quorum.m(), set.quorum.n());
    query::execute(
        connection,
        "INSERT INTO quorums (credential, slot, m, n, share_set, shares)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (credential) DO NOTHING",
        params![row.id.0, slot.0, m, n, set.id, set.hashes.concat()],
    )
    .map(drop)
}
