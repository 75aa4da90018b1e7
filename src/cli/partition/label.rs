//! `partition changelabel`

use clap::Args;

use crate::cli::{Answer, Console, SlotArg, confirm};
use crate::error::Result;
use crate::object::partition::Role;
use crate::object::show;

/// `partition changelabel`
#[derive(Args)]
pub(crate) struct ChangeLabel {
    /// The partition's new label, 1 to 32 characters
    #[arg(short, long)]
    label: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    slot: SlotArg,
}

impl ChangeLabel {
    /// Runs the command. Applications find a token by its label, so it asks first.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[])?;
        // Mistakes are found before a password is asked for.
        crate::hsm::check_label(slot, &self.label)?;
        console.login(&hsm, slot, &[Role::Po])?;
        let before = hsm.partition(slot).row()?.label;
        if before != self.label {
            if !self.force {
                confirm(&format!(
                    "partition '{}' on slot {slot} would be called '{}', and applications that look for the old label would not find it",
                    show::escape(&before),
                    show::escape(&self.label)
                ))?;
            }
            hsm.partition(slot).set_label(&self.label)?;
        }
        Ok(Answer::of_slot(slot)
            .line(format_args!(
                "The label of the partition on slot {slot} is '{}'.",
                show::escape(&self.label)
            ))
            .fact("label", self.label)
            .fact("earlier_label", before))
    }
}
