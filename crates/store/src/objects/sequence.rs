//! The counter of row ids, AUTOINCREMENT's own: it keeps an id from being used twice.

use rusqlite::params;

use super::write::query;
use crate::Result;
use crate::cells::{self, ROW_IDS};
use crate::committer::Tx;

/// The id of the next row.
pub(super) struct NextRow {
    pub id: i64,
    /// Whether SQLite would give another one, because of a row whose id is out of range.
    pub say_it: bool,
}

/// The id of the next row. A counter that is missing, or below a row that is there, would give an id twice, or one that
/// SQLite does not follow: it is put right first, which loses nothing, and said.
pub(super) fn next_row(tx: &mut Tx<'_>) -> Result<NextRow> {
    let (counter, there, known) = query(
        tx,
        "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'objects') AS seq,
                coalesce((SELECT max(id) FROM objects), 0),
                coalesce((SELECT max(id) FROM trash), 0),
                (SELECT count(*) FROM sqlite_sequence WHERE name = 'objects')",
        |q| {
            q.query_row([], |row| {
                let highest = i64::max(row.get(1)?, row.get(2)?);
                let counter: Option<i64> = cells::within(row, 0, 0..=*ROW_IDS.end() - 1).ok();
                let known: i64 = row.get(3)?;
                Ok((counter, highest, known))
            })
        },
    )?;
    // A row's own damaged id is not followed.
    let highest = match there {
        there if there < *ROW_IDS.end() => there.max(0),
        _ => highest_in_range(tx)?,
    };
    let last = match counter {
        Some(counter) if counter >= highest && known == 1 => counter,
        // As SQLite leaves it until the first object.
        None if known == 0 && highest == 0 => set(tx, 0)?,
        _ => {
            log::warn!(
                "{}: the counter of row ids was damaged; it goes on at {highest}, the highest row there is",
                slotfs_object::shown::path(tx.path)
            );
            set(tx, highest)?
        }
    };
    Ok(NextRow {
        id: last + 1,
        say_it: there >= *ROW_IDS.end(),
    })
}

fn highest_in_range(tx: &Tx<'_>) -> Result<i64> {
    query(
        tx,
        "SELECT max(coalesce((SELECT max(id) FROM objects WHERE id BETWEEN 0 AND ?1), 0),
                    coalesce((SELECT max(id) FROM trash WHERE id BETWEEN 0 AND ?1), 0))",
        |q| q.query_row([*ROW_IDS.end() - 1], |row| row.get(0)),
    )
}

fn set(tx: &Tx<'_>, last: i64) -> Result<i64> {
    query(
        tx,
        "DELETE FROM sqlite_sequence WHERE name = 'objects'",
        |q| q.execute([]),
    )?;
    query(
        tx,
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('objects', ?1)",
        |q| q.execute(params![last]),
    )?;
    Ok(last)
}
