//! `partition domainlist`, `domainadd`, `domaindelete` and `domainchangelabel`

use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::init::Domain;
use crate::cli::{Answer, Console, ForceAndSlot, Rows, SlotArg, confirm, yes_or_no};
use crate::error::Result;
use crate::object::partition::Role;
use crate::object::show;

/// `partition domainadd`
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    domain: Domain,
    /// The domain's label, 1 to 32 characters; not secret
    #[arg(long, visible_alias = "label", value_name = "LABEL")]
    domainlabel: String,
    /// Make it the primary domain
    #[arg(long)]
    primary: bool,
    /// Accept a domain string that is easy to guess
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    slot: SlotArg,
}

/// `partition domaindelete`
#[derive(Args)]
pub(crate) struct Delete {
    /// The domain's label
    #[arg(long, visible_alias = "label", value_name = "LABEL")]
    domainlabel: String,
    #[command(flatten)]
    args: ForceAndSlot,
}

/// `partition domainchangelabel`
#[derive(Args)]
pub(crate) struct ChangeLabel {
    /// The domain's label
    #[arg(long, visible_alias = "label", value_name = "LABEL")]
    domainlabel: String,
    /// The new label
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
    #[command(flatten)]
    slot: SlotArg,
}

/// `partition domainlist`
pub(crate) fn list(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[Role::Co, Role::Po, Role::Cu])?;
    let mut rows = Rows::new(&["Domain Label", "Kind", "Primary", "Fingerprint"]);
    for (index, domain) in hsm.partition(slot).session()?.domains().iter().enumerate() {
        let kind = domain.key.kind().to_string();
        let fingerprint = HEXLOWER.encode(&domain.fingerprint());
        let primary = index == 0;
        rows.add(
            &[
                &show::escape(&domain.label),
                &kind,
                &yes_or_no(primary),
                &fingerprint,
            ],
            json!({
                "label": domain.label, "kind": kind, "primary": primary, "fingerprint": fingerprint,
            }),
        );
    }
    Ok(Answer::of_slot(slot).rows("domains", rows))
}

impl Add {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[Role::Po])?;
        let kind = hsm.partition(slot).row()?.kind;
        let key = self.domain.key(slot, &self.domainlabel, kind, self.force)?;
        hsm.partition(slot)
            .add_domain(&key, &self.domainlabel, self.primary)?;
        Ok(Answer::of_slot(slot).fact("label", self.domainlabel))
    }
}

impl Delete {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.args.slot, &[Role::Po])?;
        if !self.args.force {
            confirm(&format!(
                "slot {slot} will no longer accept blobs sealed under domain '{0}' alone, and its objects will no longer clone to slots that share only domain '{0}' with it",
                show::escape(&self.domainlabel)
            ))?;
        }
        hsm.partition(slot).delete_domain(&self.domainlabel)?;
        Ok(Answer::of_slot(slot).fact("label", self.domainlabel))
    }
}

impl ChangeLabel {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[Role::Po])?;
        let new = self.newlabel.as_deref();
        hsm.partition(slot)
            .change_domain(&self.domainlabel, new, self.primary)?;
        Ok(Answer::of_slot(slot).fact("label", new.unwrap_or(&self.domainlabel)))
    }
}
