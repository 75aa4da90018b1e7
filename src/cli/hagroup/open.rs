//! Members as a command reaches them: each is open, or there is a reason why it takes no part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::facts::Facts;
use super::folder::{FolderMember, LOGGED_IN, Mount, Status};
use super::login::{self, Logins, Source};
use super::member::{Member, Refused};
use super::place::Place;
use super::registry::{Group, Registry};
use super::store::StoreMember;
use super::survey::Survey;
use crate::cli::Console;
use crate::cli::console::is_same;
use crate::error::{Error, Result};
use crate::hsm::{ContentKey, Hsm, SlotError, SlotFault, Surveyed, code};
use crate::object::partition::Role;
use crate::object::{Object, SlotId, now_secs};
use crate::shown;

/// A member that takes part.
pub(super) enum Link {
    Store(StoreMember),
    Folder(FolderMember),
}

impl Link {
    pub(super) fn facts(&self) -> Result<Facts> {
        match self {
            Self::Store(store) => store.facts(),
            Self::Folder(folder) => Ok(folder.facts()),
        }
    }

    /// Why nothing more can be done there, if that is so.
    pub(super) fn lost(&self) -> Option<String> {
        match self {
            Self::Store(store) => store.facts().err().map(|why| why.reason()),
            Self::Folder(folder) => folder.lost(),
        }
    }

    pub(super) fn survey(&self, key: &ContentKey, openers: &Openers<'_>) -> Survey {
        match self {
            Self::Store(store) => store.survey(key),
            Self::Folder(folder) => folder.survey(key, openers),
        }
    }
}

/// What a member that takes no part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// Its store or its mount cannot be reached.
    Down,
    /// co is not logged in.
    LoggedOut,
    /// Another partition is in its slot.
    Replaced,
}

impl Absence {
    /// As lists and documents name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::LoggedOut => "logged out",
            Self::Replaced => "re-initialized",
        }
    }
}

/// Why a member takes no part.
pub(super) struct Away {
    pub(super) absence: Absence,
    pub(super) why: Error,
}

impl Away {
    fn down(why: impl Into<Error>) -> Self {
        Self {
            absence: Absence::Down,
            why: why.into(),
        }
    }

    fn logged_out(why: impl Into<Error>) -> Self {
        Self {
            absence: Absence::LoggedOut,
            why: why.into(),
        }
    }

    /// What keeps a login from succeeding: a password or a role, or else a store that cannot be used.
    fn not_logged_in(why: impl Into<Error>) -> Self {
        let why = why.into();
        let is_of_store = match why.hsm() {
            Some(error) => match error.slot_error() {
                Some(SlotError::Stored(_)) | None => true,
                Some(_) => error.is_damage(),
            },
            None => false,
        };
        match is_of_store {
            true => Self::down(why),
            false => Self::logged_out(why),
        }
    }
}

/// A member, and how it was found.
pub(super) struct Found {
    pub(super) member: Member,
    /// The label of its partition, where that can be read.
    pub(super) label: Option<String>,
    pub(super) link: Result<Link, Away>,
}

/// How a member was reached.
struct Reached {
    label: Option<String>,
    link: Result<Link, Away>,
    /// What its password on file came to, if one was tried: that it was wrong.
    refused: Option<Option<Refused>>,
}

/// The members in stores, which open the blobs of the others.
pub(super) struct Openers<'a>(Vec<&'a StoreMember>);

impl<'a> Openers<'a> {
    pub(super) fn among(found: &'a [Found]) -> Self {
        let links = found.iter().filter_map(|it| it.link.as_ref().ok());
        let stores = links.filter_map(|link| match link {
            Link::Store(store) => Some(store),
            Link::Folder(_) => None,
        });
        Self(stores.collect())
    }

    /// The object in a blob, opened by the first that can.
    pub(super) fn describe(&self, key: &ContentKey, blob: &[u8]) -> Option<(Object, Surveyed)> {
        let mut opened = self.0.iter().filter_map(|it| it.describe(key, blob).ok());
        opened.next()
    }
}

/// Opens members, each store once.
pub(super) struct Opener<'a> {
    console: &'a Console<'a>,
    logins: Logins<'a>,
    stores: Vec<(PathBuf, Arc<Hsm>)>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(console: &'a Console<'a>, logins: Logins<'a>) -> Self {
        Self {
            console,
            logins,
            stores: Vec::new(),
        }
    }

    /// From here on `-password` is of no use: it was for the members before.
    pub(super) fn forget_given(&mut self) {
        self.logins.given = None;
    }

    /// Every member of a group. Password files that were wrong, or are right again, are noted in the registry.
    ///
    /// # Errors
    /// When the registry cannot be written, or Ctrl-C answered a question.
    pub(super) fn all(&mut self, registry: &Registry, group: &Group) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for member in &group.members {
            let (found, refused) = self.one(member)?;
            if let Some(refused) = refused
                && refused != member.refused
            {
                registry.update_group(&group.label, |group| {
                    let theirs = group
                        .members
                        .iter_mut()
                        .filter(|it| it.serial == member.serial);
                    theirs.for_each(|it| it.refused = refused);
                    Ok(())
                })?;
            }
            all.push(found);
        }
        Ok(all)
    }

    /// A store.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub(super) fn store(&mut self, path: &Path) -> Result<Arc<Hsm>> {
        let known = self.stores.iter().find(|it| is_same(&it.0, path));
        if let Some((_, hsm)) = known {
            return Ok(Arc::clone(hsm));
        }
        let hsm = self.console.open_at(path)?;
        self.stores.push((path.to_owned(), Arc::clone(&hsm)));
        Ok(hsm)
    }

    /// A member, and what its password on file came to, if one was tried: that it was wrong.
    ///
    /// # Errors
    /// When Ctrl-C answered a question.
    pub(super) fn one(&mut self, member: &Member) -> Result<(Found, Option<Option<Refused>>)> {
        let Reached {
            label,
            link,
            refused,
        } = match &member.place {
            Place::Store { store, slot } => self.in_store(member, (store, *slot)),
            Place::Folder(folder) => in_folder(member, folder),
        };
        if let Err(Away {
            why: Error::Interrupted(what),
            ..
        }) = link
        {
            return Err(Error::Interrupted(what));
        }
        let member = member.clone();
        let found = Found {
            member,
            label,
            link,
        };
        Ok((found, refused))
    }

    fn in_store(&mut self, member: &Member, (store, slot): (&Path, SlotId)) -> Reached {
        let opened = self.store(store).and_then(|hsm| {
            let row = hsm.partition(slot).row()?;
            Ok((hsm, row))
        });
        let (hsm, row) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                let gone = why
                    .hsm()
                    .and_then(crate::hsm::Error::slot_fault)
                    .is_some_and(|fault| *fault == SlotFault::Missing);
                let why = match gone {
                    true => slot_is_gone(member),
                    false => why,
                };
                return Reached {
                    label: None,
                    link: Err(Away::down(why)),
                    refused: None,
                };
            }
        };
        let (link, refused) = match check_serial(member, row.serial) {
            Ok(()) => self.log_in(member, hsm, slot),
            Err(away) => (Err(away), None),
        };
        Reached {
            label: Some(row.label),
            link,
            refused,
        }
    }

    fn log_in(
        &mut self,
        member: &Member,
        hsm: Arc<Hsm>,
        slot: SlotId,
    ) -> (Result<Link, Away>, Option<Option<Refused>>) {
        match hsm.partition(slot).role() {
            Some(Role::Co) => {
                return (Ok(Link::Store(StoreMember::new(hsm, slot, true))), None);
            }
            Some(role) => {
                let needed = Role::Co;
                let why = SlotError::RoleNeeded { role, needed }.at(slot);
                return (Err(Away::logged_out(why)), None);
            }
            None => {}
        }
        let found = match login::secret(self.console, member, (&hsm, slot), self.logins) {
            Ok(found) => found,
            Err(why) => return (Err(Away::not_logged_in(why)), None),
        };
        match hsm.partition(slot).login(Role::Co, &found.secret) {
            Ok(()) => {
                let link = Link::Store(StoreMember::new(hsm, slot, false));
                // Another password tells nothing about the one on file, but for 'recover', which is to make up for it.
                let is_right = matches!(found.source, Source::Kept(_)) || self.logins.retry;
                (Ok(link), is_right.then_some(None))
            }
            Err(why) => {
                let is_wrong = matches!(why.slot_error(), Some(SlotError::PasswordWrong { .. }));
                let is_locked = matches!(why.slot_error(), Some(SlotError::RoleLocked(_)));
                self.logins.given_was_wrong |= is_wrong && found.source == Source::Given;
                let refused = match found.source {
                    Source::Kept(changed_nanos) if is_wrong || is_locked => Some(Some(Refused {
                        at_secs: now_secs(),
                        changed_nanos,
                    })),
                    _ => None,
                };
                (Err(Away::not_logged_in(why)), refused)
            }
        }
    }
}

fn in_folder(member: &Member, folder: &Path) -> Reached {
    let (label, link) = match Mount::open(folder) {
        Ok((mount, status)) => (
            Some(status.facts.label.clone()),
            enter_folder(member, folder, (mount, status)),
        ),
        Err(source) => {
            let why = Error::Group {
                what: format!("{member}: no slot of a mount is there: {source}"),
                hint: Some("mount the store, and log in to the slot as co".into()),
                code: code::SLOT_ID_INVALID,
            };
            (None, Err(Away::down(why)))
        }
    };
    Reached {
        label,
        link,
        refused: None,
    }
}

fn enter_folder(
    member: &Member,
    folder: &Path,
    (mount, status): (Mount, Status),
) -> Result<Link, Away> {
    check_serial(member, status.facts.serial)?;
    if status.state != LOGGED_IN {
        return Err(Away::logged_out(Error::Group {
            what: format!(
                "{member}: co is not logged in on the mount (it is {})",
                status.state
            ),
            hint: Some(format!(
                "write the password of co to {}/.slotfs/login, or mount with --login",
                shown::path(folder)
            )),
            code: code::USER_NOT_LOGGED_IN,
        }));
    }
    let folder = FolderMember::new(folder.to_owned(), status.facts, mount);
    Ok(Link::Folder(folder))
}

fn check_serial(member: &Member, serial: u64) -> Result<(), Away> {
    if serial == member.serial {
        return Ok(());
    }
    Err(Away {
        absence: Absence::Replaced,
        why: Error::Group {
            what: format!(
                "{member}: the slot was initialized again: its partition has serial number {serial}, and {} was added to the group",
                member.serial
            ),
            hint: Some(
                "if that is meant, 'slotfs hagroup recover' takes the new partition as the member"
                    .into(),
            ),
            code: code::SLOT_ID_INVALID,
        },
    })
}

fn slot_is_gone(member: &Member) -> Error {
    Error::Group {
        what: format!("{member}: there is no partition in the slot any more"),
        hint: Some("initialize it and run 'slotfs hagroup recover', or take it out with 'slotfs hagroup removemember'".into()),
        code: code::SLOT_ID_INVALID,
    }
}
