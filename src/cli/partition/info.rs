//! `partition showinfo`: what there is to know of a partition without logging in.

use serde_json::json;

use super::super::{Console, Ended, output};
use super::set::Retention;
use crate::error::Result;
use crate::hsm::{RoleState, SlotRow};
use crate::object::partition::{Role, SlotKind};
use crate::object::{SlotId, show};

/// `partition showinfo`
pub fn run(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    let row = hsm.partition(slot).row()?;
    let (objects, bytes) = hsm.partition(slot).usage()?;
    let trashed = hsm.partition(slot).trash_count()?;
    let domains = hsm.partition(slot).domain_labels()?;
    let roles = hsm.partition(slot).roles()?;
    let logged_in = hsm
        .partition(slot)
        .session()
        .ok()
        .map(|session| session.role());
    if console.json() {
        output::print_json(&json!({
            "slot": slot.0,
            "label": row.label,
            "serial": row.serial,
            "kind": row.kind.to_string(),
            "version": row.version as u8,
            "created": show::iso_8601(row.created_secs),
            "logged_in": logged_in.map(|role| role.to_string()),
            "roles": roles.iter().map(|role| json!({
                "role": role.role.to_string(),
                "initialized": role.initialized,
                "locked": role.locked,
            })).collect::<Vec<_>>(),
            "domains": domains,
            "objects": objects,
            "bytes": bytes,
            "capacity_objects": row.capacity_objects,
            "capacity_bytes": row.capacity_bytes,
            "trash": trashed,
            "retention_secs": row.retention_secs,
            "uid": row.uid,
            "gid": row.gid,
        }));
        return Ok(Ended::WithResult);
    }
    let domains: Vec<String> = domains.iter().map(|label| show::escape(label)).collect();
    let mut rows = vec![
        ("Slot Id", slot.to_string()),
        ("Partition Label", show::escape(&row.label)),
        ("Partition Serial Number", row.serial.to_string()),
        ("Authentication", authentication(&row, &roles)),
        ("Version", row.version.to_string()),
        ("Configuration", configuration(&row)),
        ("Initialized", show::iso_8601(row.created_secs)),
    ];
    rows.extend(roles.iter().map(|role| (title(role), state(role))));
    rows.extend([
        (
            "Logged In",
            logged_in.map_or("nobody".to_owned(), |role| role.to_string()),
        ),
        ("Domains", domains.join(", ")),
        ("Objects", format!("{objects} of {}", row.capacity_objects)),
        (
            "Storage",
            format!("{bytes} of {} bytes", row.capacity_bytes),
        ),
        (
            "Trash",
            format!(
                "{trashed} objects, kept for {}",
                Retention(row.retention_secs)
            ),
        ),
    ]);
    if let Some(uid) = row.uid {
        rows.push(("Owner On Mounts", uid.to_string()));
    }
    if let Some(gid) = row.gid {
        rows.push(("Group On Mounts", gid.to_string()));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let text: String = rows
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect();
    output::print(&text);
    Ok(Ended::WithResult)
}

/// Such as "quorum, 2 of 3 key shares": of co, whose they are at first for po too.
fn authentication(row: &SlotRow, roles: &[RoleState]) -> String {
    let quorum = roles
        .iter()
        .filter(|state| state.role != Role::Po)
        .chain(roles)
        .find_map(|state| state.quorum);
    match quorum {
        Some(quorum) => format!("quorum, {} of {} key shares", quorum.m(), quorum.n()),
        None => row.kind.to_string(),
    }
}

/// lunacm's words for it, as far as they apply.
fn configuration(row: &SlotRow) -> String {
    let kind = match row.kind {
        SlotKind::Quorum => "Multifactor Quorum",
        SlotKind::Password => "PW",
    };
    let sks = if row.is_v1() {
        " Scalable Key Storage"
    } else {
        ""
    };
    let mode = row.policies.mode();
    format!("User Partition With SO ({kind}){sks} {mode}")
}

fn title(state: &RoleState) -> &'static str {
    match state.role {
        Role::Po => "Partition Officer (po)",
        Role::Co => "Crypto Officer (co)",
        Role::Cu => "Crypto User (cu)",
    }
}

fn state(state: &RoleState) -> String {
    match (state.initialized, state.locked, state.failures) {
        (false, ..) => "not initialized".to_owned(),
        (true, true, _) => "locked".to_owned(),
        (true, false, 0) => "initialized".to_owned(),
        (true, false, failures) => format!("initialized, {failures} failed logins"),
    }
}
