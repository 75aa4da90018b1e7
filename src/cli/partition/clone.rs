//! `partition clone`: clones objects of the active slot to another, and reports it as lunacm does.

use std::panic::resume_unwind;
use std::str::FromStr;
use std::thread;

use clap::Args;

use super::clone_report::Report;
use super::target::{Slots, Target, TargetArgs};
use crate::cli::{Answer, Console, confirm};
use crate::credential::Secret;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, Selection};
use crate::interrupt::Interrupt;
use crate::object::Handle;
use crate::object::partition::Role;

/// `partition clone`
#[derive(Args)]
pub(crate) struct CloneObjects {
    /// One handle, a list with commas, or 0 or all for every object of the active slot
    #[arg(short, long, value_name = "HANDLES")]
    objects: Objects,
    #[command(flatten)]
    target: TargetArgs,
    /// Do not ask when some objects cannot be cloned or already exist
    #[arg(short, long)]
    force: bool,
    /// Report only the objects that fail, and one line with the numbers
    #[arg(short, long)]
    quiet: bool,
}

/// `-objects`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objects(pub(super) Selection);

impl FromStr for Objects {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" || text.eq_ignore_ascii_case("all") {
            return Ok(Self(Selection::All));
        }
        let mut handles: Vec<Handle> = Vec::new();
        for handle in text.split(',') {
            let handle = handle.trim().parse()?;
            if !handles.contains(&handle) {
                handles.push(handle);
            }
        }
        Ok(Self(Selection::These(handles)))
    }
}

impl CloneObjects {
    /// Runs the command.
    pub(crate) fn run(mut self, console: &Console<'_>) -> Result<Answer> {
        let hsm = console.open()?;
        let slots = self.target.slots(console, &hsm)?;
        let source = console.secret_for(&hsm, slots.from, &[Role::Co, Role::Cu])?;
        let secret = slots.target_secret(console, &hsm, self.target.password.take())?;
        let mut report = Report::new(console.json(), self.quiet, slots.from, slots.to);
        let outcome = self.verify_and_clone(&hsm, slots, source, &secret, &mut report);
        Ok(report.close(outcome))
    }

    /// Each login takes a tenth of a second of Argon2. The target's runs beside the source's login and the check of the
    /// objects; its result is checked and counted after the report has said "Logging in".
    fn verify_and_clone(
        &self,
        hsm: &Hsm,
        slots: Slots,
        source: Option<(Role, Secret)>,
        secret: &Secret,
        report: &mut Report,
    ) -> Result<()> {
        let Slots { from, to, .. } = slots;
        thread::scope(|scope| {
            let stretching = scope.spawn(|| hsm.partition(to).stretch(Role::Co, secret));
            if let Some((role, secret)) = source {
                hsm.partition(from).login(role, &secret)?;
            }
            report.step("Verifying that the specified objects can be cloned.");
            let (can, cannot) =
                hsm.partition(from)
                    .check_cloneable(to, &self.objects.0, |handle, why| {
                        report.cannot_be_cloned(handle, why);
                    })?;
            report.step(&match (can, cannot) {
                (0, 0) => format!("There are no objects on slot {from}."),
                (_, 0) => "All objects can be cloned.".to_owned(),
                (0, _) => "None of the objects can be cloned.".to_owned(),
                _ => format!("{can} of {} objects can be cloned.", can + cannot),
            });
            if can == 0 {
                let hints = report.hints();
                return match cannot {
                    0 => Ok(()),
                    _ => Err(Error::CloneNotAttempted { slot: from, hints }),
                };
            }
            report.step(&format!("Logging in to target slot {to}"));
            let stretched = stretching
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic));
            let _target = match Target::log_in(hsm, to, &stretched) {
                // The password was changed after it was stretched for the earlier one.
                Err(error) if error.is_changed() => Target::log_in(hsm, to, secret),
                logged_in => logged_in,
            }?;
            self.clone_verified(hsm, slots, (can, cannot), report)
        })
    }

    fn clone_verified(
        &self,
        hsm: &Hsm,
        Slots { from, to, .. }: Slots,
        (can, cannot): (u64, u64),
        report: &mut Report,
    ) -> Result<()> {
        let which = &self.objects.0;
        report.step(&format!(
            "Checking if objects already exist on target slot {to}."
        ));
        let mut existing = 0;
        hsm.partition(from)
            .check_existing(to, which, |handle, there| {
                existing += 1;
                report.exists(handle, there);
            })?;
        if cannot + existing > 0 && !self.force {
            report.blank();
            confirm(&match (cannot, existing) {
                (0, _) => format!("{existing} of the objects already exist on slot {to}"),
                (_, 0) => format!("{cannot} of the objects cannot be cloned"),
                _ => format!(
                    "{cannot} of the objects cannot be cloned, {existing} already exist on slot {to}"
                ),
            })?;
        }

        let total = can + cannot;
        report.cloning(total);
        let interrupt = Interrupt::watch();
        let outcome = hsm.partition(from).clone_list(
            to,
            which,
            || interrupt.pressed(),
            |some| report.cloned(some),
        );
        // A selection by handles does not include objects without one.
        if matches!(which, Selection::All) && !interrupt.pressed() {
            for row in hsm.partition(from).without_handle()? {
                report.without_handle(&row);
            }
        }
        outcome?;
        let there = report.cloned + report.already;
        if interrupt.pressed() && report.total() < total {
            return Err(Error::Interrupted(format!(
                "{there} of {total} objects are on slot {to}, {} failed, the others were not attempted; the same command continues with them",
                report.failed
            )));
        }
        // An object of a list that was not reported has failed; with "all" it was removed meanwhile.
        let of = match which {
            Selection::These(_) => total,
            Selection::All => report.total(),
        };
        match of - there {
            0 => Ok(()),
            failed => Err(Error::CloneFailed {
                from,
                to,
                failed,
                of,
                hints: report.hints(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_handles_with_commas_or_all() {
        let these = |handles: &[u32]| {
            let handles = handles.iter().filter_map(|&handle| Handle::new(handle));
            Ok(Objects(Selection::These(handles.collect())))
        };
        assert_eq!("0".parse(), Ok(Objects(Selection::All)));
        assert_eq!("all".parse(), Ok(Objects(Selection::All)));
        assert_eq!("124".parse::<Objects>(), these(&[124]));
        assert_eq!("140,124, 140".parse::<Objects>(), these(&[140, 124]));
        for bad in ["", ",", "1,", "0,1", "1,all", "1-3", "x"] {
            assert!(bad.parse::<Objects>().is_err(), "{bad:?}");
        }
    }
}
