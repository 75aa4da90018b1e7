//! Where the password of a member comes from.

use std::path::{Path, PathBuf};

use super::member::{Member, Refused};
use super::place::Place;
use crate::cli::Console;
use crate::cli::console::is_same;
use crate::cli::guarded::{Keeper, read_guarded};
use crate::cli::password::{ask_member_password, read_password};
use crate::credential::Secret;
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, SlotError, code};
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::object::show::iso_8601;
use crate::secret::SecretBytes;

/// More than any password, with its line ending.
const MOST_BYTES: u64 = 4096;

/// How a command logs in to members.
#[derive(Clone, Copy)]
pub(super) struct Logins<'a> {
    /// `-password`.
    pub(super) given: Option<&'a str>,
    /// Whether a member has refused it. It is not tried on others.
    pub(super) given_was_wrong: bool,
    /// Whether a password that is in no file is asked for.
    pub(super) ask: bool,
    /// Whether a password on file that was wrong is tried again.
    pub(super) retry: bool,
}

/// Where a secret came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What later commands read again. If it is a file, when that was changed last, nanoseconds since 1970.
    Kept(Option<u64>),
    /// What was given to this command alone: a file of an option, or the answer to a question.
    Command,
    /// `-password`.
    Given,
}

/// A secret, and where it came from.
pub(super) struct Found {
    pub(super) secret: Secret,
    pub(super) source: Source,
}

/// The secret of co of a member in a store. What is the member's own comes first: a password for several members is wrong for
/// those that have another one, and ten wrong ones lock the role.
///
/// # Errors
/// [`Error::Group`] when there is none, or the one on file was refused before; and as [`Console::secret`].
pub(super) fn secret(
    console: &Console<'_>,
    member: &Member,
    (hsm, slot): (&Hsm, SlotId),
    logins: Logins<'_>,
) -> Result<Found> {
    let kind = hsm.partition(slot).login_kind(Role::Co)?;
    let of = |secret, source| Found { secret, source };
    let is_own = match &member.place {
        Place::Store { store, .. } => console.store().is_ok_and(|own| is_same(&own, store)),
        Place::Folder(_) => false,
    };
    // Shares are found by the slot alone.
    if (is_own || kind == SlotKind::Quorum)
        && console.has_option_file(slot, Role::Co)
        && let Some(secret) = console.secret_on_file(hsm, slot, Role::Co)?
    {
        return Ok(of(secret, Source::Command));
    }
    let kept = kept(console, member, (hsm, slot), (kind, is_own));
    let mut refused = None;
    if let Some(kept) = kept {
        match member
            .refused
            .filter(|it| it.still_holds(kept.changed_nanos()))
        {
            Some(before) if !logins.retry => refused = Some(before),
            _ => {
                let source = Source::Kept(kept.changed_nanos());
                let is_given = logins.given.is_some() && kind == SlotKind::Password;
                match kept.read(console, (hsm, slot)) {
                    Ok(Some(secret)) => return Ok(of(secret, source)),
                    Err(why) if !is_given => return Err(why),
                    Ok(None) | Err(_) => {}
                }
            }
        }
    }
    // Key shares do not depend on the passwords of others.
    if let (Some(given), SlotKind::Password) = (logins.given, kind) {
        if logins.given_was_wrong {
            return Err(Error::Group {
                what: format!("{member}: -password was wrong for another member, and is not tried on this one"),
                hint: Some("members with passwords of their own need a -memberpasswordfile; ten wrong passwords lock the role".into()),
                code: code::PIN_INCORRECT,
            });
        }
        let password = SecretBytes::from(given.as_bytes());
        return Ok(of(password.into(), Source::Given));
    }
    if let Some(refused) = refused {
        return Err(Error::Group {
            what: format!(
                "{member}: its password was wrong on {}, and is not tried again",
                iso_8601(refused.at_secs)
            ),
            hint: Some("correct the password file, which is then tried again, or run 'slotfs hagroup recover'; ten wrong passwords lock the role".into()),
            code: code::PIN_INCORRECT,
        });
    }
    if logins.ask {
        let secret = match kind {
            SlotKind::Password => ask_member_password(member)?.into(),
            SlotKind::Quorum => console.secret(hsm, slot, Role::Co)?,
        };
        return Ok(of(secret, Source::Command));
    }
    Err(SlotError::NotLoggedIn.at(slot).into())
}

impl Refused {
    /// Whether what was refused is what is there now.
    fn still_holds(self, changed_nanos: Option<u64>) -> bool {
        self.changed_nanos.is_none() || self.changed_nanos == changed_nanos
    }
}

/// What is kept for the member.
enum Kept<'a> {
    /// The file that was named when it was added.
    File(&'a Path),
    /// A credential with its serial number.
    Credential(PathBuf),
    /// What other commands would read for the slot.
    Slot,
}

/// The number of a slot says nothing about a slot of another store.
fn kept<'a>(
    console: &Console<'_>,
    member: &'a Member,
    (hsm, slot): (&Hsm, SlotId),
    (kind, is_own): (SlotKind, bool),
) -> Option<Kept<'a>> {
    // Shares are found by the slot alone.
    if kind == SlotKind::Quorum {
        return Some(Kept::Slot);
    }
    if let Some(path) = &member.password_file {
        return Some(Kept::File(path));
    }
    if let Some(path) = credential(member) {
        return Some(Kept::Credential(path));
    }
    let has_own = || {
        let found = console.secret_on_file(hsm, slot, Role::Co);
        !matches!(found, Ok(None))
    };
    (is_own && has_own()).then_some(Kept::Slot)
}

impl Kept<'_> {
    /// When it was changed last, where that tells whether it is another one.
    fn changed_nanos(&self) -> Option<u64> {
        let Self::File(path) = self else { return None };
        let changed = std::fs::metadata(path).ok()?.modified().ok()?;
        let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok()
    }

    fn read(&self, console: &Console<'_>, (hsm, slot): (&Hsm, SlotId)) -> Result<Option<Secret>> {
        match self {
            Self::File(path) => Ok(Some(read_password(path)?.into())),
            Self::Credential(path) => {
                let password = read_guarded(path, MOST_BYTES, Keeper::ServiceManager)?;
                Ok(Some(password.without_newline().into()))
            }
            Self::Slot => console.secret_on_file(hsm, slot, Role::Co),
        }
    }
}

/// The credential that a service manager passed for the member: `serial-N.password`.
fn credential(member: &Member) -> Option<PathBuf> {
    let folder = environment::folder("CREDENTIALS_DIRECTORY")?;
    let path = folder.join(format!("serial-{}.password", member.serial));
    path.exists().then_some(path)
}
