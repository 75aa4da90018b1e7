//! `partition showpolicies` and `partition changepolicy`

use std::fmt::Display;

use clap::Args;
use serde_json::json;

use super::removal::{destroyed_objects, objects};
use crate::cli::{Answer, Console, Rows, SlotArg, confirm};
use crate::error::{Error, Result};
use crate::hsm::Policy;
use crate::object::partition::{Role, SlotKind};

/// `partition changepolicy`
#[derive(Args)]
pub(crate) struct Change {
    /// The policy's number, as 'partition showpolicies' shows it, or several with commas
    #[arg(short, long, value_parser = policy, value_delimiter = ',')]
    policy: Vec<Policy>,
    /// Its value: 0 (off) or 1 (on), or a number; one for each policy
    #[arg(short, long, value_delimiter = ',')]
    value: Vec<u32>,
    /// Do not ask before objects are destroyed
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    slot: SlotArg,
}

fn policy(text: &str) -> Result<Policy, String> {
    text.parse()
        .ok()
        .and_then(Policy::from_number)
        .ok_or_else(|| {
            let numbers: Vec<String> = Policy::all(SlotKind::Password)
                .iter()
                .map(|policy| policy.number().to_string())
                .collect();
            format!("the policies are {}", numbers.join(", "))
        })
}

/// `partition showpolicies`. Policies are stored in the clear, so nobody needs to be logged in.
pub(crate) fn list(console: &Console<'_>, slot: SlotArg, verbose: bool) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[])?;
    let row = hsm.partition(slot).row()?;
    let columns = if verbose { 4 } else { 3 };
    let mut capabilities = Rows::new(&["Capability", "Description", "Value"]);
    let mut rows = Rows::new(&["Policy", "Description", "Value", "Destructive"][..columns]);
    for policy in Policy::all(row.kind).iter().copied() {
        let (number, name) = (policy.number(), policy.name());
        let (value, capability) = (policy.value(row.policies), policy.capability().value());
        let destructive = policy.is_destructive_on();
        capabilities.add(
            &[&number, &policy.capability_name(), &capability],
            json!({
                "policy": number, "description": name, "capability": capability, "value": value,
                "destructive_off_to_on": destructive,
            }),
        );
        // Like lunacm, the table leaves out a policy without its capability: it cannot be changed.
        if capability > 0 {
            let destructive = if destructive { "off to on" } else { "no" };
            let cells: [&dyn Display; 4] = [&number, &name, &value, &destructive];
            rows.cells(&cells[..columns]);
        }
    }
    Ok(Answer::of_slot(slot)
        .rows("policies", capabilities)
        .text("\n")
        .text(rows.table()))
}

impl Change {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        if self.policy.len() != self.value.len() {
            return Err(Error::Usage(format!(
                "{} policies and {} values were given: give one value for each policy",
                self.policy.len(),
                self.value.len()
            )));
        }
        let changes: Vec<(Policy, u32)> = self.policy.into_iter().zip(self.value).collect();
        let (hsm, slot) = console.partition(self.slot, &[Role::Po])?;
        hsm.partition(slot).check_policies(&changes)?;
        let before = hsm.partition(slot).session()?.policies();
        let destructive: Vec<String> = changes
            .iter()
            .filter(|(policy, value)| policy.is_destructive(before, *value))
            .map(|(policy, _)| policy.number().to_string())
            .collect();
        if !destructive.is_empty() && !self.force {
            confirm(&format!(
                "turning on policy {} of slot {slot} would destroy all {} because they were promised not to leave it",
                destructive.join(" and "),
                objects(&hsm, slot)?
            ))?;
        }
        let answer = match hsm.partition(slot).change_policies(&changes)? {
            0 => Answer::of_slot(slot).fact("destroyed", 0),
            destroyed => destroyed_objects(slot, destroyed),
        };
        Ok(match changes.as_slice() {
            [(policy, value)] => answer.fact("policy", policy.number()).fact("value", *value),
            several => {
                let of = |(policy, value): &(Policy, u32)| json!({ "policy": policy.number(), "value": value });
                answer.fact("policies", several.iter().map(of).collect::<Vec<_>>())
            }
        })
    }
}
