//! `partition showpolicies` and `partition changepolicy`

use clap::Args;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use crate::error::{Error, Result};
use crate::hsm::Policy;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};

/// `partition changepolicy`
#[derive(Args)]
pub struct Change {
    /// The policy's number, as 'partition showpolicies' shows it, or several with commas
    #[arg(short, long, value_parser = policy, value_delimiter = ',')]
    policy: Vec<Policy>,
    /// Its value: 0 (off) or 1 (on), or a number; one for each policy
    #[arg(short, long, value_delimiter = ',')]
    value: Vec<u32>,
    /// Do not ask before objects are destroyed
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
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

/// `partition showpolicies`: in clear, so nobody needs to be logged in.
pub fn list(console: &Console<'_>, slot: Option<SlotId>, verbose: bool) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    let row = hsm.partition(slot).row()?;
    let (policies, kind) = (row.policies, row.kind);
    let mut capabilities = Vec::new();
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for policy in Policy::all(kind).iter().copied() {
        let (value, capability) = (policy.value(policies), policy.capability().value());
        capabilities.push(vec![
            policy.number().to_string(),
            policy.capability_name().to_owned(),
            capability.to_string(),
        ]);
        // As lunacm: a policy without its capability cannot be changed, and is left out.
        if capability > 0 {
            let mut row = vec![
                policy.number().to_string(),
                policy.name().to_owned(),
                value.to_string(),
            ];
            if verbose {
                let destructive = match policy.is_destructive_on() {
                    true => "off to on",
                    false => "no",
                };
                row.push(destructive.to_owned());
            }
            rows.push(row);
        }
        documents.push(json!({
            "policy": policy.number(),
            "description": policy.name(),
            "capability": capability,
            "value": value,
            "destructive_off_to_on": policy.is_destructive_on(),
        }));
    }
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "policies": documents }));
    } else {
        let heading = ["Capability", "Description", "Value"];
        output::print(&output::table(&heading, &capabilities));
        let heading = ["Policy", "Description", "Value", "Destructive"];
        let heading = if verbose { &heading[..] } else { &heading[..3] };
        output::print("\n");
        output::print(&output::table(heading, &rows));
    }
    Ok(Ended::WithResult)
}

impl Change {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        if self.policy.len() != self.value.len() {
            return Err(Error::Usage(format!(
                "{} policies and {} values were given: give one value for each policy",
                self.policy.len(),
                self.value.len()
            )));
        }
        let changes: Vec<(Policy, u32)> = self.policy.into_iter().zip(self.value).collect();
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Po])?;
        let before = hsm.partition(slot).session()?.policies();
        let destructive: Vec<String> = changes
            .iter()
            .filter(|(policy, value)| policy.is_destructive(before, *value))
            .map(|(policy, _)| policy.number().to_string())
            .collect();
        if !destructive.is_empty() && !self.force {
            confirm(&format!(
                "policy {} of slot {slot} goes from off to on, and its objects were promised not to leave: all {} would be destroyed",
                destructive.join(" and "),
                super::removal::objects(&hsm, slot)?
            ))?;
        }
        let destroyed = hsm.partition(slot).change_policies(&changes)?;
        if console.json() {
            let mut document = json!({ "slot": slot.0, "destroyed": destroyed });
            match changes.as_slice() {
                [(policy, value)] => {
                    document["policy"] = policy.number().into();
                    document["value"] = (*value).into();
                }
                several => {
                    document["policies"] = several
                        .iter()
                        .map(|(policy, value)| json!({ "policy": policy.number(), "value": value }))
                        .collect();
                }
            }
            output::print_json(&document);
        } else if destroyed > 0 {
            output::print(&format!(
                "        {destroyed} objects on slot {slot} were destroyed.\n"
            ));
        }
        Ok(Ended::WithResult)
    }
}
