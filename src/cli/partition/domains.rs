//! `partition domainlist`, `domainadd`, `domaindelete` and `domainchangelabel`

use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::super::password::confirm;
use super::super::{Console, Ended, output};
use super::init::Domain;
use crate::error::Result;
use crate::object::partition::Role;
use crate::object::{SlotId, show};

/// `partition domainadd`
#[derive(Args)]
pub struct Add {
    #[command(flatten)]
    domain: Domain,
    /// What it is called, 1 to 32 characters; not secret
    #[arg(long, visible_alias = "label", value_name = "LABEL")]
    domainlabel: String,
    /// Make it the primary domain
    #[arg(long)]
    primary: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// `partition domaindelete`
#[derive(Args)]
pub struct Delete {
    /// Its label
    #[arg(long, visible_alias = "label", value_name = "LABEL")]
    domainlabel: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// `partition domainchangelabel`
#[derive(Args)]
pub struct ChangeLabel {
    /// Its label
    #[arg(long, visible_alias = "label", value_name = "LABEL")]
    domainlabel: String,
    /// What it is to be called
    #[arg(
        long,
        visible_alias = "newdomainlabel",
        value_name = "LABEL",
        required_unless_present = "primary"
    )]
    newlabel: Option<String>,
    /// Make it the primary domain
    #[arg(long)]
    primary: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// `partition domainlist`
pub fn list(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    console.login(&hsm, slot, &[Role::Co, Role::Po, Role::Cu])?;
    let session = hsm.partition(slot).session()?;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for (index, domain) in session.domains().iter().enumerate() {
        let kind = domain.key.kind().to_string();
        let fingerprint = HEXLOWER.encode(&domain.fingerprint());
        rows.push(vec![
            show::escape(&domain.label),
            kind.clone(),
            if index == 0 { "yes" } else { "no" }.to_owned(),
            fingerprint.clone(),
        ]);
        documents.push(json!({
            "label": domain.label,
            "kind": kind,
            "primary": index == 0,
            "fingerprint": fingerprint,
        }));
    }
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "domains": documents }));
    } else {
        let heading = ["Domain Label", "Kind", "Primary", "Fingerprint"];
        output::print(&output::table(&heading, &rows));
    }
    Ok(Ended::WithResult)
}

impl Add {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Po])?;
        let key = {
            let kind = hsm.partition(slot).row()?.kind;
            self.domain.key(slot, &self.domainlabel, kind)?
        };
        hsm.partition(slot)
            .add_domain(&key, &self.domainlabel, self.primary)?;
        changed(console, slot, &self.domainlabel);
        Ok(Ended::WithResult)
    }
}

impl Delete {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Po])?;
        if !self.force {
            confirm(&format!(
                "slot {slot} will no longer take in what was sealed without its other domains, and objects that only share domain '{}' with another slot will no longer clone there",
                show::escape(&self.domainlabel)
            ))?;
        }
        hsm.partition(slot).delete_domain(&self.domainlabel)?;
        changed(console, slot, &self.domainlabel);
        Ok(Ended::WithResult)
    }
}

impl ChangeLabel {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Po])?;
        hsm.partition(slot).change_domain(
            &self.domainlabel,
            self.newlabel.as_deref(),
            self.primary,
        )?;
        changed(
            console,
            slot,
            self.newlabel.as_deref().unwrap_or(&self.domainlabel),
        );
        Ok(Ended::WithResult)
    }
}

fn changed(console: &Console<'_>, slot: SlotId, label: &str) {
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "label": label }));
    }
}
