//! Records the work of every statement of this process, for the test of query plans.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::types::Null;
use rusqlite::{Connection, StatementStatus, params_from_iter};

/// The work of one statement, over all its runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Did {
    /// Rows stepped over without an index.
    pub scanned: i64,
    /// Times that it was compiled again.
    pub prepared_again: i64,
}

static STATEMENTS: Mutex<BTreeMap<String, Did>> = Mutex::new(BTreeMap::new());

/// One statement.
pub struct Traced {
    /// Its text.
    pub sql: String,
    /// What it did.
    pub did: Did,
    /// What EXPLAIN QUERY PLAN says of it.
    pub plan: Vec<String>,
}

/// Every statement so far, as the store at `path` plans it. Statements on tables that only another connection has are left
/// out.
pub fn statements(path: &Path) -> Vec<Traced> {
    let store = Connection::open(path).unwrap();
    let all = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let planned = all.iter().filter_map(|(sql, did)| {
        let mut explain = store.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).ok()?;
        let unbound = vec![Null; explain.parameter_count()];
        let steps = explain.query_map(params_from_iter(unbound), |row| row.get(3));
        Some(Traced {
            sql: sql.clone(),
            did: *did,
            plan: steps.unwrap().collect::<Result<_, _>>().unwrap(),
        })
    });
    planned.collect()
}

/// Records the statements of this connection.
pub(super) fn traced(mut connection: Connection) -> Connection {
    let note = |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event {
            let mut all = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner);
            let did = all.entry(statement.sql().into_owned()).or_default();
            let status = |what| i64::from(statement.get_status(what));
            // SQLite counts since it compiled the statement, so the numbers of one statement only grow.
            did.scanned = did.scanned.max(status(StatementStatus::FullscanStep));
            did.prepared_again = did.prepared_again.max(status(StatementStatus::RePrepare));
        }
    };
    connection
        .trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(note))
        .unwrap();
    connection
}
