//! What the tables of a store say of each other that cannot all be true: for `store check`.

use rusqlite::{Connection, Row};

use super::cells::{self, ROW_IDS};
use super::{Store, query};
use crate::rows::Contradiction;
use crate::sqlite::Result;
use slotfs_object::SlotId;

type Found = Vec<Contradiction>;

impl Store {
    pub fn contradictions(&self) -> Result<Vec<Contradiction>> {
        type Look = fn(&Connection) -> rusqlite::Result<Found>;
        let mut found = Vec::new();
        for (look, what) in [
            (sequence as Look, "the counter of row ids"),
            (store_row, "the table store"),
            (in_both, "the trash"),
            (quorums, "the key shares"),
            (pairs, "the role key pairs"),
        ] {
            match self.look(look)? {
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

/// Compares AUTOINCREMENT's counter with the rows: if it is lower, an id could be given twice.
fn sequence(connection: &Connection) -> rusqlite::Result<Found> {
    // A store of an earlier version that is read only has no trash.
    let (highest, known): (i64, i64) = connection.query_row(
        "SELECT max(coalesce((SELECT max(id) FROM objects), 0), coalesce((SELECT max(id) FROM trash), 0)),
                (SELECT count(*) FROM sqlite_sequence WHERE name = 'objects')",
        [],
        |row| row.try_into(),
    )?;
    let text = "SELECT seq FROM sqlite_sequence WHERE name = 'objects'";
    let counter = query::row(connection, text, [], |row| {
        cells::within(row, 0, 0..=*ROW_IDS.end())
    })?;
    let counter_of = "the counter of row ids (sqlite_sequence)";
    let what = match counter {
        None if highest > 0 => {
            format!("{counter_of} is missing, and there are rows up to {highest}")
        }
        Some(Err(what)) => format!("{counter_of} is damaged: {what}"),
        Some(Ok(counter)) if counter < highest => {
            format!("{counter_of} is {counter}, and there are rows up to {highest}")
        }
        _ if known > 1 => format!("there are {known} counters of row ids (sqlite_sequence)"),
        _ => return Ok(Vec::new()),
    };
    let what = format!("{what}; the next write corrects it");
    Ok(vec![of_store(what)])
}

fn store_row(connection: &Connection) -> rusqlite::Result<Found> {
    let rows: i64 = query::value(connection, "SELECT count(*) FROM store", [])?;
    if rows != 1 {
        let what = format!("the table store has {rows} rows, it should have one");
        return Ok(vec![of_store(what)]);
    }
    connection.query_row("SELECT id, created_secs FROM store", [], |row| {
        let faults = [
            cells::within(row, 0, 1..=1).err(),
            cells::number::<u64>(row, 1).err(),
        ];
        let faults = faults.into_iter().flatten();
        Ok(faults
            .map(|what| of_store(format!("the table store: {what}; folders show 1970 for it")))
            .collect())
    })
}

/// Rows that are both in a slot and in a trash.
fn in_both(connection: &Connection) -> rusqlite::Result<Found> {
    let what = "it is both in the slot and in the trash; 'slotfs object destroy -trash' removes it from there";
    let text = "SELECT trash.id, objects.slot FROM trash NOT INDEXED CROSS JOIN objects ON objects.id = trash.id";
    query::rows(connection, text, [], |row| of_row(row, [1, 0], what))
}

/// Compares key shares with the kind of their slot, and with their credential.
fn quorums(connection: &Connection) -> rusqlite::Result<Found> {
    let mut found: Found = query::rows(
        connection,
        "SELECT slots.slot, credentials.id, quorums.credential IS NULL
             FROM slots CROSS JOIN credentials ON credentials.slot = slots.slot
                 LEFT JOIN quorums ON quorums.credential = credentials.id
             WHERE (slots.kind = 2) <> (quorums.credential IS NOT NULL)
                 OR (quorums.credential IS NOT NULL AND quorums.slot IS NOT slots.slot)",
        [],
        |row| {
            let what = match row.get(2)? {
                true => "the credential takes a password, and the slot takes key shares",
                false => "the credential takes key shares that are not of this slot, or the slot takes a password",
            };
            Ok(of_row(row, [0, 1], what))
        },
    )
    .flatten()?;
    let lost: Found = query::rows(
        connection,
        "SELECT slots.slot, quorums.credential FROM slots CROSS JOIN quorums ON quorums.slot = slots.slot
             WHERE NOT EXISTS (SELECT 1 FROM credentials WHERE credentials.id = quorums.credential)",
        [],
        |row| of_row(row, [0, 1], "key shares belong to no credential"),
    )?;
    found.extend(lost);
    Ok(found)
}

/// Pairs without a credential, or of another slot than it.
fn pairs(connection: &Connection) -> rusqlite::Result<Found> {
    query::rows(
        connection,
        "SELECT slots.slot, pairs.credential FROM slots CROSS JOIN pairs ON pairs.slot = slots.slot
             WHERE NOT EXISTS (SELECT 1 FROM credentials
                 WHERE credentials.id = pairs.credential AND credentials.slot = pairs.slot)",
        [],
        |row| {
            of_row(
                row,
                [0, 1],
                "a role key pair belongs to no credential of its slot",
            )
        },
    )
}

/// What does not hold for the row whose slot and id are in these columns.
fn of_row(row: &Row<'_>, [slot, id]: [usize; 2], what: &str) -> Contradiction {
    Contradiction {
        slot: cells::number(row, slot).ok().map(SlotId),
        row: row.get(id).ok(),
        what: what.to_owned(),
    }
}
