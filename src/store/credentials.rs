//! Credentials of a slot's roles: rows in, rows out, and how many logins failed.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use super::fault::sql;
use super::slots::out_of_range;
use crate::credential::{Credential, HASH_BYTES, KdfParams, Method, Quorum, Role, ShareSet};
use crate::error::Result;
use crate::object::SlotId;

/// A credential and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Random, one per credential ever made.
    pub id: i64,
    /// Whose it is.
    pub role: Role,
    /// The wrapped slot key.
    pub credential: Credential,
    /// Failed logins since the last good one.
    pub failures: u32,
}

impl Store {
    /// The credentials of a slot's roles.
    ///
    /// # Errors
    /// When the store cannot be read, or a row is not a credential.
    pub fn credentials(&self, slot: SlotId) -> Result<Vec<CredentialRow>> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, role, memory_kib, passes, lanes, salt, commitment, wrapped, failures,
                        m, n, share_set, shares
                     FROM credentials LEFT JOIN quorums ON quorums.credential = credentials.id
                     WHERE credentials.slot = ?1 ORDER BY role",
                )?
                .query_map([slot.0], |row| {
                    let role = Role::from_number(row.get(1)?)
                        .ok_or_else(|| out_of_range(1, row.get_unwrap(1)))?;
                    Ok(CredentialRow {
                        id: row.get(0)?,
                        role,
                        credential: Credential {
                            method: match share_set(row, 9)? {
                                Some(set) => Method::Quorum(set),
                                None => Method::Password(KdfParams {
                                    memory_kib: row.get(2)?,
                                    passes: row.get(3)?,
                                    lanes: row.get(4)?,
                                }),
                            },
                            salt: row.get(5)?,
                            commitment: row.get(6)?,
                            wrapped: row.get(7)?,
                        },
                        failures: row.get(8)?,
                    })
                })?
                .collect()
        })
    }

    /// Counts a failed login of `credential` before it is known to be one; the failures now, or `None`
    /// when there were `most` already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn count_failure(&self, credential: i64, most: u32) -> Result<Option<u32>> {
        self.write_now(move |tx| {
            tx.connection
                .prepare_cached(
                    "UPDATE credentials SET failures = failures + 1
                     WHERE id = ?1 AND failures < ?2 RETURNING failures",
                )
                .and_then(|mut update| {
                    update
                        .query_row(params![credential, most], |row| row.get(0))
                        .optional()
                })
                .map_err(sql(tx.path))
        })
    }

    /// Takes back one failed login of `credential` that never came to be checked.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn uncount_failure(&self, credential: i64) -> Result<()> {
        self.write_now(move |tx| {
            tx.connection
                .execute(
                    "UPDATE credentials SET failures = failures - 1 WHERE id = ?1 AND failures > 0",
                    [credential],
                )
                .map(drop)
                .map_err(sql(tx.path))
        })
    }

    /// Forgets the failed logins of `credential` after a good one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn clear_failures(&self, credential: i64) -> Result<()> {
        self.write_now(move |tx| {
            tx.connection
                .execute(
                    "UPDATE credentials SET failures = 0 WHERE id = ?1",
                    [credential],
                )
                .map(drop)
                .map_err(sql(tx.path))
        })
    }
}

/// The set of shares of a credential, from four columns that are all NULL where it has none.
fn share_set(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<ShareSet>> {
    let Some(m) = row.get::<_, Option<u8>>(first)? else {
        return Ok(None);
    };
    let n: u8 = row.get(first + 1)?;
    let quorum = Quorum::new(m, n).ok_or_else(|| out_of_range(first, m.into()))?;
    let hashes: Vec<u8> = row.get(first + 3)?;
    let (hashes, rest) = hashes.as_chunks::<HASH_BYTES>();
    if hashes.len() != usize::from(n) || !rest.is_empty() {
        return Err(out_of_range(first + 3, n.into()));
    }
    Ok(Some(ShareSet {
        quorum,
        id: row.get(first + 2)?,
        hashes: hashes.to_vec(),
    }))
}

/// One that is there already stays as it is: its failed logins are counted meanwhile.
pub(super) fn insert_credential(
    connection: &Connection,
    slot: SlotId,
    row: &CredentialRow,
) -> rusqlite::Result<()> {
    let c = &row.credential;
    let (params, set) = match &c.method {
        Method::Password(params) => (*params, None),
        Method::Quorum(set) => (KdfParams::NONE, Some(set)),
    };
    connection.execute(
        "INSERT INTO credentials (id, slot, role, memory_kib, passes, lanes, salt, commitment, wrapped)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
        params![
            row.id,
            slot.0,
            row.role as u8,
            params.memory_kib,
            params.passes,
            params.lanes,
            c.salt,
            c.commitment,
            c.wrapped,
        ],
    )?;
    if let Some(set) = set {
        connection.execute(
            "INSERT INTO quorums (credential, slot, m, n, share_set, shares)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (credential) DO NOTHING",
            params![
                row.id,
                slot.0,
                set.quorum.m(),
                set.quorum.n(),
                set.id,
                set.hashes.concat(),
            ],
        )?;
    }
    Ok(())
}
