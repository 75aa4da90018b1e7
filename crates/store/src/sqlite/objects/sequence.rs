//! AUTOINCREMENT's counter of row ids, which keeps an id from being used twice.

use crate::sqlite::Result;
use crate::sqlite::cells::{self, ROW_IDS};
use crate::sqlite::committer::Tx;
use slotfs_object::shown;

/// The id of the next row.
pub(super) struct NextRow {
    pub(super) id: i64,
    /// Whether SQLite would choose another one, because of a row whose id is out of range.
    pub(super) state_it: bool,
}

/// The id of the next row. A counter that is missing, or lower than the id of a row, would give an id twice, or one that
/// SQLite does not follow. Such a counter is corrected first, with a warning; that loses nothing.
pub(super) fn next_row(tx: &mut Tx<'_>) -> Result<NextRow> {
    let (counter, there, known) = tx.with(|connection| {
        let mut query = connection.prepare_cached(
            "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'objects') AS seq,
                coalesce((SELECT max(id) FROM objects), 0),
                coalesce((SELECT max(id) FROM trash), 0),
                (SELECT count(*) FROM sqlite_sequence WHERE name = 'objects')",
        )?;
        query.query_row([], |row| {
            let highest = i64::max(row.get(1)?, row.get(2)?);
            let counter: Option<i64> = cells::within(row, 0, 0..=*ROW_IDS.end() - 1).ok();
            let known: i64 = row.get(3)?;
            Ok((counter, highest, known))
        })
    })?;
    // A damaged id is not followed.
    let highest = match there {
        there if there < *ROW_IDS.end() => there.max(0),
        _ => tx.value(
            "SELECT max(coalesce((SELECT max(id) FROM objects WHERE id BETWEEN 0 AND ?1), 0),
                    coalesce((SELECT max(id) FROM trash WHERE id BETWEEN 0 AND ?1), 0))",
            [*ROW_IDS.end() - 1],
        )?,
    };
    let last = match counter {
        Some(counter) if counter >= highest && known == 1 => counter,
        // SQLite has no counter until the first object.
        None if known == 0 && highest == 0 => set(tx, 0)?,
        _ => {
            log::warn!(
                "{}: the counter of row ids was damaged; it continues from {highest}, the highest row id",
                shown::path(tx.path)
            );
            set(tx, highest)?
        }
    };
    Ok(NextRow {
        id: last + 1,
        state_it: there >= *ROW_IDS.end(),
    })
}

fn set(tx: &Tx<'_>, last: i64) -> Result<i64> {
    tx.execute("DELETE FROM sqlite_sequence WHERE name = 'objects'", [])?;
    let text = "INSERT INTO sqlite_sequence (name, seq) VALUES ('objects', ?1)";
    tx.execute(text, [last])?;
    Ok(last)
}
