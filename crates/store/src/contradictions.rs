//! What parts of the store say of each other that cannot all be true: for `store check`.

use rusqlite::{Connection, OptionalExtension};

use super::Store;
use super::cells::{self, ROW_IDS, Seen};
use super::fault::is_damage;
use crate::Result;
use slotfs_object::SlotId;

/// Something that does not hold, and where.
pub struct Contradiction {
    /// The slot, where it is one of a slot.
    pub slot: Option<SlotId>,
    /// The row that it is about.
    pub row: Option<i64>,
    /// What does not hold.
    pub what: String,
}

type Found = Vec<Contradiction>;

impl Store {
    /// Every contradiction between tables.
    ///
    /// # Errors
    /// When the store cannot be read for another reason than damage.
    pub fn contradictions(&self) -> Result<Vec<Contradiction>> {
        let mut found = Vec::new();
        for (look, what) in [
            (
                sequence as fn(&Connection) -> rusqlite::Result<Found>,
                "the counter of row ids",
            ),
            (store_row, "the table store"),
            (in_both, "the trash"),
            (quorums, "the key shares"),
        ] {
            let seen = self.read(|connection| match look(connection) {
                Err(error) if is_damage(&error) => Ok(Err(error.to_string())),
                outcome => outcome.map(Ok),
            })?;
            match seen {
                Ok(more) => found.extend(more),
                Err(why) => found.push(of_store(format!("{what} cannot be read: {why}"))),
            }
        }
        Ok(found)
    }
}

fn of_store(what: impl Into<String>) -> Contradiction {
    Contradiction {
        slot: None,
        row: None,
        what: what.into(),
    }
}

/// AUTOINCREMENT's counter against the rows that there are: below them, an id could be given twice.
fn sequence(connection: &Connection) -> rusqlite::Result<Found> {
    // A store that is read only and of an earlier version has no trash.
    let (highest, known): (i64, i64) = connection.query_row(
        "SELECT max(coalesce((SELECT max(id) FROM objects), 0), coalesce((SELECT max(id) FROM trash), 0)),
                (SELECT count(*) FROM sqlite_sequence WHERE name = 'objects')",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let counter: Option<Seen<i64>> = connection
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = 'objects'",
            [],
            |row| Ok(cells::within(row, 0, 0..=*ROW_IDS.end())),
        )
        .optional()?;
    let next = "the next write puts it right";
    Ok(match counter {
        None if highest > 0 => {
            vec![of_store(format!(
                "the counter of row ids (sqlite_sequence) is missing, and there are rows up to {highest}; {next}"
            ))]
        }
        Some(Err(what)) => vec![of_store(format!(
            "the counter of row ids (sqlite_sequence) is damaged: {what}; {next}"
        ))],
        Some(Ok(counter)) if counter < highest => vec![of_store(format!(
            "the counter of row ids (sqlite_sequence) is {counter}, and there are rows up to {highest}; {next}"
        ))],
        _ if known > 1 => vec![of_store(format!(
            "there are {known} counters of row ids (sqlite_sequence); {next}"
        ))],
        _ => Vec::new(),
    })
}

fn store_row(connection: &Connection) -> rusqlite::Result<Found> {
    let rows: i64 = connection.query_row("SELECT count(*) FROM store", [], |row| row.get(0))?;
    if rows != 1 {
        return Ok(vec![of_store(format!(
            "the table store has {rows} rows, it should have one"
        ))]);
    }
    connection.query_row("SELECT id, created_secs FROM store", [], |row| {
        let faults = [
            cells::within(row, 0, 1..=1).err(),
            cells::number::<u64>(row, 1).err(),
        ];
        Ok(faults
            .into_iter()
            .flatten()
            .map(|what| of_store(format!("the table store: {what}; folders show 1970 for it")))
            .collect())
    })
}

/// Rows that are both in a slot and in a trash.
fn in_both(connection: &Connection) -> rusqlite::Result<Found> {
    connection
        .prepare(
            "SELECT trash.id, objects.slot FROM trash NOT INDEXED CROSS JOIN objects ON objects.id = trash.id",
        )?
        .query_map([], |row| {
            Ok(Contradiction {
                slot: cells::number(row, 1).ok().map(SlotId),
                row: Some(row.get(0)?),
                what: "it is both in the slot and in the trash; 'slotfs object destroy -trash' removes it from there"
                    .to_owned(),
            })
        })?
        .collect()
}

/// Key shares against the kind of the slot, and the credential that they are of.
fn quorums(connection: &Connection) -> rusqlite::Result<Found> {
    let slot = |row: &rusqlite::Row<'_>| cells::number(row, 0).ok().map(SlotId);
    let mut found: Found = connection
        .prepare(
            "SELECT slots.slot, credentials.id, quorums.credential IS NULL
             FROM slots CROSS JOIN credentials ON credentials.slot = slots.slot
                 LEFT JOIN quorums ON quorums.credential = credentials.id
             WHERE (slots.kind = 2) <> (quorums.credential IS NOT NULL)
                 OR (quorums.credential IS NOT NULL AND quorums.slot IS NOT slots.slot)",
        )?
        .query_map([], |row| {
            Ok(Contradiction {
                slot: slot(row),
                row: row.get(1)?,
                what: match row.get(2)? {
                    true => "the credential takes a password, and the slot takes key shares",
                    false => "the credential takes key shares that are not of this slot, or the slot takes a password",
                }
                .to_owned(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let lost = connection
        .prepare(
            "SELECT slots.slot, quorums.credential FROM slots CROSS JOIN quorums ON quorums.slot = slots.slot
             WHERE NOT EXISTS (SELECT 1 FROM credentials WHERE credentials.id = quorums.credential)",
        )?
        .query_map([], |row| {
            Ok(Contradiction {
                slot: slot(row),
                row: row.get(1)?,
                what: "key shares belong to no credential".to_owned(),
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    found.extend(lost);
    Ok(found)
}
