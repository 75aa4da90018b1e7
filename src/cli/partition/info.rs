//! `partition showinfo`: what a partition tells without a login.

use serde_json::json;

use super::set::Retention;
use crate::cli::slot::configuration;
use crate::cli::{Answer, Console, SlotArg};
use crate::error::Result;
use crate::hsm::{RoleState, SlotRow};
use crate::object::partition::Role;
use crate::object::show;

/// `partition showinfo`
pub(crate) fn show(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[])?;
    let row = hsm.partition(slot).row()?;
    let (objects, bytes) = hsm.partition(slot).usage()?;
    let trashed = hsm.partition(slot).trash_count()?;
    let domains = hsm.partition(slot).domain_labels()?;
    let roles = hsm.partition(slot).roles()?;
    let logged_in = hsm.partition(slot).role().map(|role| role.to_string());
    let escaped: Vec<String> = domains.iter().map(|label| show::escape(label)).collect();
    let retention = Retention(row.retention_secs);
    let before = [
        ("Slot Id", slot.to_string()),
        ("Partition Label", show::escape(&row.label)),
        ("Partition Serial Number", row.serial.to_string()),
        ("Authentication", authentication(&row, &roles)),
        ("Version", row.version.to_string()),
        ("Configuration", configuration(&row)),
        ("Initialized", show::iso_8601(row.created_secs)),
    ];
    let after = [
        (
            "Logged In",
            logged_in.clone().unwrap_or("nobody".to_owned()),
        ),
        ("Domains", escaped.join(", ")),
        ("Objects", format!("{objects} of {}", row.capacity_objects)),
        (
            "Storage",
            format!("{bytes} of {} bytes", row.capacity_bytes),
        ),
        ("Trash", format!("{trashed} objects, kept for {retention}")),
    ];
    let owners = [("Owner On Mounts", row.uid), ("Group On Mounts", row.gid)];
    let owners = owners
        .into_iter()
        .filter_map(|(name, id)| Some((name, id?.to_string())));
    let states = roles.iter().map(|role| (title(role), state(role)));
    let facts: Vec<_> = roles
        .iter()
        .map(|it| json!({ "role": it.role.to_string(), "initialized": it.initialized, "locked": it.locked }))
        .collect();
    Ok(Answer::new(json!({
        "slot": slot.0, "label": row.label, "serial": row.serial, "kind": row.kind.to_string(),
        "version": row.version as u8, "created": show::iso_8601(row.created_secs), "logged_in": logged_in,
        "roles": facts, "domains": domains, "objects": objects, "bytes": bytes,
        "capacity_objects": row.capacity_objects, "capacity_bytes": row.capacity_bytes,
        "trash": trashed, "retention_secs": row.retention_secs, "uid": row.uid, "gid": row.gid,
    }))
    .pairs(before.into_iter().chain(states).chain(after).chain(owners)))
}

/// Such as "quorum, 2 of 3 key shares". These are co's, which po shares with co at first.
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
