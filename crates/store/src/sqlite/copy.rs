//! A whole store out of a file, and into a new one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, params};

use super::backup::{Partial, refuse_target};
use super::cells;
use super::credentials::credential_rows;
use super::objects::{SEALED_COLUMNS, sealed_entry, trashed_entry};
use super::slots::{
    SELECT_SLOT, domain_rows, insert_parts, insert_slot, signed, slot_row, smk_rows,
};
use super::{Store, fault, query, schema};
use crate::error::{Error, Result};
use crate::rows::{About, Piece, Read, SlotRows};
use crate::sqlite::fault::sql;
use slotfs_object::{RowId, SlotId};

/// Rows that are read together.
const AT_ONCE: i64 = 256;

impl Store {
    /// Passes the whole store to `to`, as it is at one time.
    ///
    /// # Errors
    /// [`Error::Damaged`] and the like when a row cannot be read: a copy would lose it. Those of `to`.
    pub fn dump(&self, to: &mut dyn FnMut(Piece) -> Result<()>) -> Result<About> {
        let connection = self.open_another()?;
        connection
            .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
            .map_err(sql(&self.path))?;
        let slots: Vec<_> = query::rows(
            &connection,
            &format!("{SELECT_SLOT} ORDER BY slot"),
            [],
            slot_row,
        )
        .map_err(sql(&self.path))?;
        for row in slots {
            let row = row.map_err(Error::Damaged)?;
            let slot = row.slot;
            let parts = self.parts_of(&connection, slot)?;
            to(Piece::Slot(row, parts))?;
            self.objects_of(&connection, slot, to)?;
            self.trash_of(&connection, slot, to)?;
        }
        let next_row: i64 = query::value(
            &connection,
            "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'objects'), 0),
                coalesce((SELECT max(id) FROM objects), 0), coalesce((SELECT max(id) FROM trash), 0)) + 1",
            [],
        )
        .map_err(sql(&self.path))?;
        Ok(About {
            created_secs: self.created_secs,
            next_row,
        })
    }

    fn parts_of(&self, connection: &Connection, slot: SlotId) -> Result<SlotRows> {
        let unread = |(_, why): (_, String)| crate::SlotFault::Damaged(why).at(slot);
        let credentials = credential_rows(connection, slot).map_err(sql(&self.path))?;
        let domains = domain_rows(connection, slot).map_err(sql(&self.path))?;
        let smks = smk_rows(connection, slot).map_err(sql(&self.path))?;
        Ok(SlotRows {
            credentials: credentials
                .into_iter()
                .collect::<Result<_, _>>()
                .map_err(unread)?,
            domains: domains
                .into_iter()
                .collect::<Result<_, _>>()
                .map_err(unread)?,
            smks: smks.into_iter().collect::<Result<_, _>>().map_err(unread)?,
            unreadable: Vec::new(),
        })
    }

    fn objects_of(
        &self,
        connection: &Connection,
        slot: SlotId,
        to: &mut dyn FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let text = format!(
            "SELECT {SEALED_COLUMNS}, stored_secs FROM objects NOT INDEXED WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        );
        self.pages(connection, slot, &text, to, |row| {
            let stored = cells::number(row, 8).unwrap_or(0);
            let (entry, sealed) = sealed_entry(row)?;
            Ok((entry.id, Piece::Object(entry, stored, sealed)))
        })
    }

    fn trash_of(
        &self,
        connection: &Connection,
        slot: SlotId,
        to: &mut dyn FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let text =
            "SELECT id, slot, handle, ouid, payload_bytes, created_secs, changed_secs, nth, trashed_secs, stored_secs, sealed
             FROM trash NOT INDEXED WHERE slot = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        self.pages(connection, slot, text, to, |row| {
            let stored = cells::number(row, 9).unwrap_or(0);
            let (found, sealed) = trashed_entry(row, cells::sealed(row, 10))?;
            Ok((found.entry.id, Piece::Trashed(found, stored, sealed)))
        })
    }

    /// Passes on the rows of a slot, a page at a time. A row that cannot be read ends it: a copy would lose it.
    fn pages(
        &self,
        connection: &Connection,
        slot: SlotId,
        text: &str,
        to: &mut dyn FnMut(Piece) -> Result<()>,
        read: impl Fn(&Row<'_>) -> Read<(RowId, Piece)>,
    ) -> Result<()> {
        let mut after = RowId(i64::MIN);
        loop {
            let page = (slot.0, after.0, AT_ONCE);
            let rows: Vec<Read<_>> =
                query::rows(connection, text, page, &read).map_err(sql(&self.path))?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let (id, piece) = row.map_err(Error::Object)?;
                after = id;
                to(piece)?;
            }
        }
    }
}

/// Makes the store `file` of the pieces that `fill` passes on; its size in bytes. It is complete, or it does not exist.
///
/// # Errors
/// [`Error::Target`] and [`Error::TargetExists`] when `file` must not be written, [`Error::File`] when writing it fails;
/// those of `fill`.
pub(crate) fn load(
    file: &Path,
    replace: bool,
    fill: impl FnOnce(&mut dyn FnMut(Piece) -> Result<()>) -> Result<About>,
) -> Result<u64> {
    refuse_target(file, replace)?;
    let copy = Partial::beside(file)?;
    let connection = fault::open(&copy.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::prepare(&copy.path, &connection, true)?;
    // A copy that fails is removed, and one sync at the end is enough.
    connection
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; BEGIN IMMEDIATE;")
        .map_err(sql(file))?;
    let about = fill(&mut |piece| put(&connection, piece).map_err(sql(file)))?;
    let end = || -> rusqlite::Result<()> {
        connection.execute(
            "UPDATE store SET created_secs = ?1",
            [signed(about.created_secs)],
        )?;
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'objects'", [])?;
        connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('objects', ?1)",
            [about.next_row - 1],
        )?;
        // As every store is left by the one who closes it last.
        connection.execute_batch("COMMIT; PRAGMA journal_mode = WAL;")
    };
    end().map_err(sql(file))?;
    connection.close().map_err(|(_, error)| sql(file)(error))?;
    copy.finish(replace)
}

fn put(connection: &Connection, piece: Piece) -> rusqlite::Result<()> {
    match piece {
        Piece::Slot(row, parts) => {
            insert_slot(connection, &row)?;
            insert_parts(connection, row.slot, &parts)?;
            for it in &parts.credentials {
                connection.execute(
                    "UPDATE credentials SET failures = ?2 WHERE id = ?1",
                    (it.id.0, it.failures),
                )?;
            }
            Ok(())
        }
        Piece::Object(it, stored_secs, sealed) => connection
            .prepare_cached(
                "INSERT INTO objects (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed, changed_secs)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                it.id.0,
                it.slot.0,
                it.handle.get(),
                it.ouid.0,
                it.payload_bytes,
                signed(it.created_secs),
                signed(stored_secs),
                sealed.bytes(),
                it.changed_secs.map(signed),
            ])
            .map(drop),
        Piece::Trashed(found, stored_secs, sealed) => {
            let it = found.entry;
            connection
                .prepare_cached(
                    "INSERT INTO trash (id, slot, handle, ouid, payload_bytes, created_secs, stored_secs, sealed,
                        changed_secs, trashed_secs, nth)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    it.id.0,
                    it.slot.0,
                    it.handle.get(),
                    it.ouid.0,
                    it.payload_bytes,
                    signed(it.created_secs),
                    signed(stored_secs),
                    sealed.bytes(),
                    it.changed_secs.map(signed),
                    signed(found.trashed_secs),
                    found.nth,
                ])
                .map(drop)
        }
    }
}
