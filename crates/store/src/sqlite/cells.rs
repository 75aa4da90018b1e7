//! The store's edge: each column of a row becomes a typed value, or a text that says what is wrong with it.
//!
//! A query never fails because of the value in one row. With an edited schema, SQLite stores any value in any column; a
//! conversion by rusqlite would then end the whole query with an error that does not name the row.

use std::ops::RangeInclusive;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};

pub(super) use crate::rows::{ROW_IDS, Seen};
use slotfs_object::sealed::SealedRow;

/// A whole number that `T` can hold.
pub(super) fn number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Seen<T> {
    match value(row, column)? {
        ValueRef::Integer(number) => {
            T::try_from(number).map_err(|_| out_of_range(row, column, number))
        }
        other => Err(wrong_type(row, column, other, "a number")),
    }
}

/// A whole number, or NULL.
pub(super) fn optional_number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Seen<Option<T>> {
    match value(row, column)? {
        ValueRef::Null => Ok(None),
        _ => number(row, column).map(Some),
    }
}

/// A whole number within `range`.
pub(super) fn within(row: &Row<'_>, column: usize, range: RangeInclusive<i64>) -> Seen<i64> {
    let number = number(row, column)?;
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(out_of_range(row, column, number))
    }
}

/// Text.
pub(super) fn text(row: &Row<'_>, column: usize) -> Seen<String> {
    match value(row, column)? {
        ValueRef::Text(text) => String::from_utf8(text.to_vec())
            .map_err(|_| format!("its {} is not UTF-8", name(row, column))),
        other => Err(wrong_type(row, column, other, "text")),
    }
}

/// Bytes.
pub(super) fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Seen<&'a [u8]> {
    match value(row, column)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        other => Err(wrong_type(row, column, other, "a blob")),
    }
}

/// A sealed row.
pub(super) fn sealed(row: &Row<'_>, column: usize) -> Seen<SealedRow> {
    bytes(row, column).map(|bytes| SealedRow::stored(bytes.to_vec()))
}

/// The row's id, in its first column, to name a row that may be damaged: `i64::MIN` stands for an id that cannot be
/// read.
pub(super) fn id(row: &Row<'_>) -> i64 {
    number(row, 0).unwrap_or(i64::MIN)
}

/// A number that stands for a value that this build knows.
pub(super) fn known<T>(row: &Row<'_>, column: usize, from: impl Fn(u8) -> Option<T>) -> Seen<T> {
    let number: u8 = number(row, column)?;
    from(number).ok_or_else(|| {
        let name = name(row, column);
        format!("its {name} {number} is not known to this build")
    })
}

/// Exactly `N` bytes.
pub(super) fn array<const N: usize>(row: &Row<'_>, column: usize) -> Seen<[u8; N]> {
    let bytes = bytes(row, column)?;
    bytes.try_into().map_err(|_| {
        format!(
            "its {} has {} bytes, it should have {N}",
            name(row, column),
            bytes.len()
        )
    })
}

/// Says what a value is that should be `wanted`. Text is not repeated: it may come from an attacker.
fn wrong_type(row: &Row<'_>, column: usize, value: ValueRef<'_>, wanted: &str) -> String {
    let is = match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => format!("the number {number}"),
        ValueRef::Real(number) => format!("the real number {number}"),
        ValueRef::Text(text) => format!("a text of {} bytes", text.len()),
        ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    };
    format!("its {} is {is}, it should be {wanted}", name(row, column))
}

pub(super) fn out_of_range(row: &Row<'_>, column: usize, number: i64) -> String {
    format!(
        "its {} is {number}, which is out of range",
        name(row, column)
    )
}

/// The name of a column, as an error has it.
pub(super) fn name<'a>(row: &'a Row<'_>, column: usize) -> &'a str {
    let statement: &Statement<'_> = row.as_ref();
    statement.column_name(column).unwrap_or("value")
}

fn value<'a>(row: &'a Row<'_>, column: usize) -> Seen<ValueRef<'a>> {
    row.get_ref(column).map_err(|error| error.to_string())
}
