//! The two slots of a clone: its source, which is the active slot, and its target.

use clap::Args;

use crate::cli::Console;
use crate::cli::password::ask_target_password;
use crate::credential::Secret;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, SlotError};
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};

/// The target as options give it.
#[derive(Args)]
pub(crate) struct TargetArgs {
    /// The password of the target's crypto officer; visible to anybody who lists processes [default: a password file, or asked for]
    #[arg(short, long)]
    pub(crate) password: Option<String>,
    /// The target slot
    #[arg(short, long, value_name = "SLOT_NUMBER")]
    slot: SlotId,
}

/// The slots of a clone.
#[derive(Clone, Copy)]
pub(crate) struct Slots {
    pub(crate) from: SlotId,
    pub(crate) to: SlotId,
    /// What the target asks for at a login.
    kind: SlotKind,
}

impl TargetArgs {
    /// # Errors
    /// [`Error::Usage`] when the target is the active slot; [`Error::NoSuchSlot`].
    pub(crate) fn slots(&self, console: &Console<'_>, hsm: &Hsm) -> Result<Slots> {
        let (from, to) = (console.slot(hsm, None)?, self.slot);
        if from == to {
            return Err(Error::Usage(format!(
                "slot {to} is the active slot: give another slot as target, or another --active-slot as source"
            )));
        }
        let kind = hsm.partition(to).login_kind(Role::Co)?;
        Ok(Slots { from, to, kind })
    }
}

impl Slots {
    /// The secret for the target: the `given` password, a password file, or lunacm's prompt; key shares in a quorum slot.
    ///
    /// # Errors
    /// [`Error::OtherAuthentication`] for a password given to a quorum slot, else as [`Console::secret`].
    pub(crate) fn target_secret(
        self,
        console: &Console<'_>,
        hsm: &Hsm,
        given: Option<String>,
    ) -> Result<Secret> {
        let (to, kind) = (self.to, self.kind);
        let ask = || ask_target_password(console, to);
        console.secret_in(given, hsm, to, Role::Co, kind, ask)
    }
}

/// The target's login. It ends with the command unless the shell had it before.
pub(crate) struct Target<'a> {
    hsm: &'a Hsm,
    slot: SlotId,
    keep: bool,
}

impl<'a> Target<'a> {
    /// # Errors
    /// [`Error::RoleNeeded`] when another role than co is logged in, else as [`Hsm::login`].
    pub(crate) fn log_in(hsm: &'a Hsm, slot: SlotId, secret: &Secret) -> Result<Self> {
        let before = hsm.partition(slot).role();
        if let Some(role) = before
            && role != Role::Co
        {
            let needed = Role::Co;
            return Err(SlotError::RoleNeeded { role, needed }.at(slot).into());
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
