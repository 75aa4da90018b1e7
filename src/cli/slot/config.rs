//! `slot configshow` and `slot configset`

use clap::Args;
use serde_json::json;

use super::configuration;
use crate::cli::partition::Retention;
use crate::cli::{Answer, Console, Rows, SlotArg};
use crate::error::{Error, Result};
use crate::object::{SlotId, show};

/// `slot configset`
#[derive(Args)]
pub(crate) struct ConfigSet {
    /// The slot
    #[arg(short, long, value_name = "N")]
    slot: Option<SlotId>,
    /// The configuration item
    #[arg(short, long, value_name = "NAME")]
    parameter: Option<String>,
    /// Its value
    #[arg(short, long)]
    value: Option<String>,
}

impl ConfigSet {
    /// Refuses, and says what does the work here. Settings of a slot are the partition officer's to change, and each has
    /// a command that checks its own rules.
    pub(super) fn run(self) -> Result<Answer> {
        let Self {
            slot,
            parameter,
            value: _,
        } = self;
        let what = match parameter {
            Some(name) => format!("'{}' is no configuration item here", show::escape(&name)),
            None => "there are no configuration items here".to_owned(),
        };
        let slot = slot.map_or("N".to_owned(), |slot| slot.to_string());
        Err(Error::Usage(format!(
            "{what}; 'slot configshow -slot {slot}' lists what is set and the command that changes it: 'partition set', 'partition changepolicy' or 'partition changelabel'"
        )))
    }
}

/// `slot configshow`
pub(super) fn show(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[])?;
    let row = hsm.partition(slot).row()?;
    let domains = hsm.partition(slot).domain_labels()?;
    let escaped: Vec<String> = domains.iter().map(|label| show::escape(label)).collect();
    let retention = Retention(row.retention_secs).to_string();
    let owner = |id: Option<u32>, else_: &str| id.map_or(else_.to_owned(), |id| id.to_string());
    let (label, configuration) = (show::escape(&row.label), configuration(&row));
    let attempts = row.policies.failed_logins;
    let mut rows = Rows::new(&["Setting", "Value", "Changed By"]);
    rows.cells(&[&"Label", &label, &"partition changelabel"]);
    rows.cells(&[&"Configuration", &configuration, &"partition changepolicy"]);
    rows.cells(&[&"Authentication", &row.kind, &"partition init"]);
    rows.cells(&[&"Partition Version", &row.version, &"partition upgrade"]);
    rows.cells(&[
        &"Failed Logins Allowed",
        &attempts,
        &"partition changepolicy",
    ]);
    rows.cells(&[&"Domains", &escaped.join(", "), &"partition domainadd"]);
    rows.cells(&[&"Capacity", &row.capacity_objects, &"partition init"]);
    rows.cells(&[&"Retention", &retention, &"partition set"]);
    rows.cells(&[
        &"Owner On Mounts",
        &owner(row.uid, "the mounting user"),
        &"partition set",
    ]);
    rows.cells(&[
        &"Group On Mounts",
        &owner(row.gid, "the mounting user's group"),
        &"partition set",
    ]);
    Ok(Answer::new(json!({
        "slot": slot.0, "label": row.label, "configuration": configuration,
        "kind": row.kind.to_string(), "version": row.version as u8,
        "failed_logins_allowed": attempts, "domains": domains,
        "capacity_objects": row.capacity_objects, "retention_secs": row.retention_secs,
        "uid": row.uid, "gid": row.gid,
    }))
    .text(rows.table()))
}
