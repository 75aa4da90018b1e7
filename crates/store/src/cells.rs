//! The store's edge: each column of a row becomes a typed value, or what is wrong with it.
//!
//! A query never fails because of what one row holds. SQLite keeps any value in any column once somebody edits the
//! schema for a moment, and what rusqlite converts by itself ends the whole query, without a name.

use std::ops::RangeInclusive;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};

/// What was read, or in what way it is damaged.
pub type Seen<T> = std::result::Result<T, String>;

/// Row ids of objects: an inode number has 48 bits for one.
pub(super) const ROW_IDS: RangeInclusive<i64> = 1..=(1 << 47);

/// A whole number that `T` can hold.
pub(super) fn number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Seen<T> {
    match value(row, column)? {
        ValueRef::Integer(number) => {
            T::try_from(number).map_err(|_| out_of_range(row, column, number))
        }
        other => Err(wrong_type(row, column, other, "a number")),
    }
}

/// The same, or NULL.
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

/// Exactly so many bytes.
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

/// What a value is that should be `wanted`. Text is not repeated: somebody else wrote it.
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

pub(super) fn unknown(row: &Row<'_>, column: usize, number: u8) -> String {
    let name = name(row, column);
    format!("its {name} is {number}, which this build does not know")
}

fn name<'a>(row: &'a Row<'_>, column: usize) -> &'a str {
    let statement: &Statement<'_> = row.as_ref();
    statement.column_name(column).unwrap_or("value")
}

fn value<'a>(row: &'a Row<'_>, column: usize) -> Seen<ValueRef<'a>> {
    row.get_ref(column).map_err(|error| error.to_string())
}
