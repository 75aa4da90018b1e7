//! Where the password of a member comes from.

use std::path::PathBuf;

use super::member::Member;
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
    /// `-password`, for every member.
    pub(super) given: Option<&'a str>,
    /// Whether a password that is in no file is asked for.
    pub(super) ask: bool,
    /// Whether a password file that was wrong is tried again.
    pub(super) retry: bool,
}

/// A secret, and whether it came from a file, which a timer would read again and again.
pub(super) struct Found {
    pub(super) secret: Secret,
    pub(super) from_file: bool,
}

/// The secret of co of a member in a store.
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
    let of = |secret, from_file| Found { secret, from_file };
    match (logins.given, kind) {
        (Some(given), SlotKind::Password) => {
            let password = SecretBytes::from(given.as_bytes());
            return Ok(of(password.into(), false));
        }
        // Its key shares do not depend on the passwords of others.
        (Some(_), SlotKind::Quorum) | (None, _) => {}
    }
    if let (Some(secs), false) = (member.refused_secs, logins.retry) {
        return Err(Error::Group {
            what: format!(
                "{member}: its password was wrong on {}, and is not tried again",
                iso_8601(secs)
            ),
            hint: Some("correct the password file, then run 'slotfs hagroup recover'; ten wrong passwords lock the role".into()),
            code: code::PIN_INCORRECT,
        });
    }
    if let Some(secret) = on_file(console, member, (hsm, slot), kind)? {
        return Ok(of(secret, true));
    }
    if logins.ask {
        return match kind {
            SlotKind::Password => Ok(of(ask_member_password(member)?.into(), false)),
            SlotKind::Quorum => Ok(of(console.secret(hsm, slot, Role::Co)?, false)),
        };
    }
    Err(SlotError::NotLoggedIn.at(slot).into())
}

/// Options that name the slot, the file that is kept with the member, the credential with its serial number, and last what
/// other commands would read for the slot. The number of a slot says nothing about a slot of another store.
fn on_file(
    console: &Console<'_>,
    member: &Member,
    (hsm, slot): (&Hsm, SlotId),
    kind: SlotKind,
) -> Result<Option<Secret>> {
    let is_own = match &member.place {
        Place::Store { store, .. } => console.store().is_ok_and(|own| is_same(&own, store)),
        Place::Folder(_) => false,
    };
    if kind == SlotKind::Quorum {
        return console.secret_on_file(hsm, slot, Role::Co);
    }
    if is_own && console.has_option_file(slot, Role::Co) {
        return console.secret_on_file(hsm, slot, Role::Co);
    }
    if let Some(path) = &member.password_file {
        return Ok(Some(read_password(path)?.into()));
    }
    if let Some(path) = credential(member) {
        let password = read_guarded(&path, MOST_BYTES, Keeper::ServiceManager)?;
        return Ok(Some(password.without_newline().into()));
    }
    match is_own {
        true => console.secret_on_file(hsm, slot, Role::Co),
        false => Ok(None),
    }
}

/// The credential that a service manager passed for the member: `serial-N.password`.
fn credential(member: &Member) -> Option<PathBuf> {
    let folder = environment::folder("CREDENTIALS_DIRECTORY")?;
    let path = folder.join(format!("serial-{}.password", member.serial));
    path.exists().then_some(path)
}
