//! `partition clone`: objects of the active slot to another, its session as lunacm's reads (docs/commands.md, "partition clone on a terminal").

use std::panic::resume_unwind;
use std::str::FromStr;
use std::thread;

use clap::Args;

use super::super::password::{ask, confirm, target_password_missing};
use super::super::{Console, Ended, output};
use super::clone_report::Report;
use crate::credential::Secret;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, Selection, SlotError};
use crate::interrupt::Interrupt;
use crate::object::partition::{Role, SlotKind};
use crate::object::{Handle, SlotId};
use crate::secret::SecretBytes;

/// `partition clone`
#[derive(Args)]
pub struct Clone {
    /// One handle, a list with commas, or 0 or all for every object of the active slot
    #[arg(short, long, value_name = "HANDLES")]
    objects: Objects,
    /// The target's password, its crypto officer's; visible to whoever lists processes [default: a password file, or asked for]
    #[arg(short, long)]
    password: Option<String>,
    /// The target slot
    #[arg(short, long, value_name = "SLOT_NUMBER")]
    slot: SlotId,
    /// Do not ask when some objects cannot be cloned or already exist
    #[arg(short, long)]
    force: bool,
}

/// `-objects`
#[derive(Clone, Debug, PartialEq, Eq)]
struct Objects(Selection);

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

impl Clone {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        let hsm = console.open()?;
        let to = self.slot;
        let from = source(console, &hsm, to)?;
        let source = console.secret_for(&hsm, from, &[Role::Co, Role::Cu])?;
        let secret = target_secret(console, &hsm, to, self.password.as_deref())?;

        let mut report = Report::new(console.json(), from, to);
        // Each login is a tenth of a second of Argon2: the target's runs beside the source's login. It is counted and
        // checked when the report says that it logs in.
        let (source, stretched) = thread::scope(|scope| {
            let stretched = scope.spawn(|| hsm.partition(to).stretch(Role::Co, &secret));
            let source = match source {
                Some((role, secret)) => hsm
                    .partition(from)
                    .login(role, &secret)
                    .map_err(Error::from),
                None => Ok(()),
            };
            let stretched = stretched
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic));
            (source, stretched)
        });
        let log_in = || match Target::log_in(&hsm, to, &stretched) {
            // It has another password since: with that, from the beginning.
            Err(error) if error.is_changed() => Target::log_in(&hsm, to, &secret),
            logged_in => logged_in,
        };
        let outcome = source.and_then(|()| self.clone(&hsm, from, log_in, &mut report));
        report.close(outcome)
    }

    fn clone<'a>(
        &self,
        hsm: &Hsm,
        from: SlotId,
        log_in: impl FnOnce() -> Result<Target<'a>>,
        report: &mut Report,
    ) -> Result<()> {
        let (can, cannot) = self.verify(hsm, from, report)?;
        match (can, cannot) {
            (0, 0) => return Ok(()),
            (0, _) => {
                return Err(Error::CloneNotAttempted {
                    slot: from,
                    hints: report.hints(),
                });
            }
            _ => {}
        }
        report.logging_in();
        let _target = log_in()?;
        self.clone_verified(hsm, from, (can, cannot), report)
    }

    /// How many objects can be cloned, and how many cannot.
    fn verify(&self, hsm: &Hsm, from: SlotId, report: &mut Report) -> Result<(u64, u64)> {
        report.verifying();
        let (can, cannot) =
            hsm.partition(from)
                .check_cloneable(self.slot, &self.objects.0, |handle, why| {
                    report.cannot_be_cloned(handle, why);
                })?;
        report.verified(can, cannot);
        Ok((can, cannot))
    }

    fn clone_verified(
        &self,
        hsm: &Hsm,
        from: SlotId,
        (can, cannot): (u64, u64),
        report: &mut Report,
    ) -> Result<()> {
        let (to, which) = (self.slot, &self.objects.0);
        report.checking_existing();
        let mut existing = 0;
        hsm.partition(from)
            .check_existing(to, which, |handle, there| {
                existing += 1;
                report.exists(handle, there);
            })?;
        if cannot + existing > 0 && !self.force {
            report.asking();
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
        // No handle names these; the list cannot show them either.
        if matches!(which, Selection::All) && !interrupt.pressed() {
            for row in hsm.partition(from).without_handle()? {
                report.without_handle(&row);
            }
        }
        let tally = report.tally();
        outcome?;
        if interrupt.pressed() && tally.total() < total {
            return Err(Error::Interrupted(format!(
                "{} of {total} objects are on slot {to}, {} failed, the others were not attempted; the same command goes on with them",
                tally.cloned + tally.already,
                tally.failed
            )));
        }
        // Of a list, one that nothing was heard of has failed; of all there may be fewer by now.
        let of = match which {
            Selection::These(_) => total,
            Selection::All => tally.total(),
        };
        match of - (tally.cloned + tally.already) {
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

/// The slot to clone from to `to`: the active one, and another.
pub(super) fn source(console: &Console<'_>, hsm: &Hsm, to: SlotId) -> Result<SlotId> {
    let from = console.slot(hsm, None)?;
    if from == to {
        return Err(Error::Usage(format!(
            "slot {to} is the active slot: give another one as target, or another --active-slot as source"
        )));
    }
    hsm.partition(to).row()?;
    Ok(from)
}

/// `-password`, a password file, or the prompt of the original; in a quorum slot its key shares, and none of these.
pub(super) fn target_secret(
    console: &Console<'_>,
    hsm: &Hsm,
    slot: SlotId,
    given: Option<&str>,
) -> Result<Secret> {
    let kind = hsm.partition(slot).login_kind(Role::Co)?;
    match (given, kind) {
        (Some(given), SlotKind::Password) => {
            return Ok(SecretBytes::from(given.as_bytes()).into());
        }
        (Some(_), SlotKind::Quorum) => {
            return Err(SlotError::OtherAuthentication(kind).at(slot).into());
        }
        (None, SlotKind::Quorum) => return console.secret(hsm, slot, Role::Co),
        (None, SlotKind::Password) => {}
    }
    if let Some(on_file) = console.secret_on_file(hsm, slot, Role::Co)? {
        return Ok(on_file);
    }
    target_password_missing(slot, console.json())?;
    let password = ask("        Enter the password for the target slot: ")?;
    if !console.json() {
        output::print("\n");
    }
    Ok(SecretBytes::from(password.as_bytes()).into())
}

/// The target's login: it ends with the command, unless the shell had it before.
pub(super) struct Target<'a> {
    hsm: &'a Hsm,
    slot: SlotId,
    keep: bool,
}

impl<'a> Target<'a> {
    pub(super) fn log_in(hsm: &'a Hsm, slot: SlotId, secret: &Secret) -> Result<Self> {
        let before = hsm
            .partition(slot)
            .session()
            .ok()
            .map(|session| session.role());
        if let Some(role) = before
            && role != Role::Co
        {
            return Err(SlotError::RoleNeeded {
                role,
                needed: Role::Co,
            }
            .at(slot)
            .into());
        }
        hsm.partition(slot).login(Role::Co, secret)?;
        Ok(Self {
            hsm,
            slot,
            keep: before.is_some(),
        })
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if !self.keep {
            self.hsm.partition(self.slot).logout();
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
