//! `hagroup creategroup`, `addmember`, `removemember` and `deletegroup`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::facts::{Facts, Misfit, fit};
use super::folder::Mount;
use super::label::Label;
use super::login::Logins;
use super::member::Member;
use super::open::{Found, Link, Opener};
use super::place::{Place, absolute, own_store};
use super::registry::{Group, Registry};
use super::{GroupArg, PlaceArgs};
use crate::cli::{Answer, Console, confirm, plural};
use crate::error::{Error, Result};
use crate::hsm::{ResultCode, code};
use crate::object::SlotId;

/// `hagroup creategroup`
#[derive(Args)]
pub(crate) struct Create {
    /// The label of the new group
    #[arg(short, long)]
    label: Label,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    secrets: SecretArgs,
}

/// `hagroup addmember`
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    group: GroupArg,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    secrets: SecretArgs,
}

/// How the commands log in to a new member, now and later.
#[derive(Args)]
struct SecretArgs {
    /// The password of co of the new member; visible to anybody who lists processes [default: files, or asked for]
    #[arg(short, long)]
    password: Option<String>,
    /// File with the password of the member's co; its path is kept, so that later commands read it
    #[arg(long, value_name = "PATH", conflicts_with = "folder")]
    memberpasswordfile: Option<PathBuf>,
}

/// `hagroup removemember`
#[derive(Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    group: GroupArg,
    #[command(flatten)]
    place: PlaceArgs,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

/// `hagroup deletegroup`
#[derive(Args)]
pub(crate) struct Delete {
    /// The label of the group
    #[arg(short, long)]
    label: Label,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Create {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let label = self.label;
        if registry.groups()?.iter().any(|it| it.label == label) {
            return Err(label_taken(&label));
        }
        let mut opener = Opener::new(console, self.secrets.logins());
        let found = enter(&mut opener, console, &self.place, &self.secrets)?;
        let member = found.member;
        registry.update(|groups| {
            if groups.iter().any(|it| it.label == label) {
                return Err(label_taken(&label));
            }
            groups.push(Group::new(label.clone(), member.clone()));
            Ok(())
        })?;
        let facts = json!({ "group": label.text(), "member": member.to_json() });
        Ok(Answer::new(facts).line(format_args!(
            "Group '{label}' was made; its first member is {member}, serial number {}.",
            member.serial
        )))
    }
}

impl Add {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let label = self.group.group;
        let group = registry.group(&label)?;
        let mut opener = Opener::new(console, self.secrets.logins());
        let new = enter(&mut opener, console, &self.place, &self.secrets)?;
        check_new(&group, &new.member)?;
        let link = opened(&label, &new)?;
        let facts = link.facts()?;
        let compared = check_fit(&mut opener, &registry, &group, (&new.member, &facts))?;
        let member = new.member;
        registry.update_group(&label, |group| {
            check_new(group, &member)?;
            group.members.push(member.clone());
            // The new member has nothing yet.
            group.in_sync_secs = None;
            Ok(())
        })?;
        let facts = json!({
            "group": label.text(), "member": member.to_json(), "compared": compared.len(),
        });
        Ok(Answer::new(facts)
            .line(format_args!(
                "{member}, serial number {}, is a member of group '{label}'.",
                member.serial
            ))
            .line(format_args!(
                "'slotfs hagroup synchronize -group {}' gives it the objects of the others.",
                quoted(&label)
            )))
    }
}

/// The label as a word of a command line.
fn quoted(label: &Label) -> String {
    shell_words::quote(label.text()).into_owned()
}

/// Compares the new member with every member that can be reached; at least one must be.
fn check_fit(
    opener: &mut Opener<'_>,
    registry: &Registry,
    group: &Group,
    (member, facts): (&Member, &Facts),
) -> Result<Vec<u64>> {
    let label = &group.label;
    let mut compared = Vec::new();
    let mut first_away = None;
    // It is the new member's. On others it would be a wrong one, and ten of these lock a role.
    opener.forget_given();
    let there = opener.all(registry, group)?;
    for found in &there {
        let link = match &found.link {
            Ok(link) => link,
            Err(away) => {
                first_away.get_or_insert_with(|| (found.member.to_string(), away));
                continue;
            }
        };
        let others = link.facts()?;
        fit((member, facts), (&found.member, &others)).map_err(|Misfit { what, hint }| {
            refused(label, &what, hint, code::CLONE_NOT_ATTEMPTED)
        })?;
        compared.push(found.member.serial);
    }
    match (compared.is_empty(), first_away) {
        (true, Some((name, away))) => Err(Error::Group {
            what: format!(
                "group '{label}': {member} was not added: no member could be asked whether it fits; {name}: {}",
                away.why.reason()
            ),
            hint: away.why.hint(),
            code: away.why.outcome().code,
        }),
        _ => Ok(compared),
    }
}

impl SecretArgs {
    fn logins(&self) -> Logins<'_> {
        Logins {
            given: self.password.as_deref(),
            given_was_wrong: false,
            ask: true,
            retry: false,
        }
    }
}

/// Finds the partition that options name, and logs in to it.
///
/// # Errors
/// [`Error::Group`], and whatever keeps it from being opened.
fn enter(
    opener: &mut Opener<'_>,
    console: &Console<'_>,
    place: &PlaceArgs,
    secrets: &SecretArgs,
) -> Result<Found> {
    let (place, serial) = look_up(opener, console, place)?;
    let password_file = secrets.memberpasswordfile.as_deref().map(absolute);
    let member = Member {
        place,
        serial,
        password_file: password_file.transpose()?,
        refused: None,
    };
    let (found, _) = opener.one(&member)?;
    match found.link {
        Ok(_) => Ok(found),
        Err(away) => Err(away.why),
    }
}

fn look_up(
    opener: &mut Opener<'_>,
    console: &Console<'_>,
    place: &PlaceArgs,
) -> Result<(Place, u64)> {
    if let Some(folder) = &place.folder {
        let folder = absolute(folder)?;
        let (_, status) = Mount::open(&folder).map_err(|source| Error::Group {
            what: format!(
                "{}: no slot of a mount is there: {source}",
                crate::shown::path(&folder)
            ),
            hint: Some("give a slot's folder on a mount, such as /mnt/hsm/0".into()),
            code: code::SLOT_ID_INVALID,
        })?;
        return Ok((Place::Folder(folder), status.facts.serial));
    }
    let store = own_store(console)?;
    let hsm = opener.store(&store)?;
    let (slot, serial) = match (place.slot, place.serial) {
        (Some(slot), _) => (slot, hsm.partition(slot).row()?.serial),
        (None, serial) => by_serial(&hsm, &store, serial.unwrap_or_default())?,
    };
    Ok((Place::Store { store, slot }, serial))
}

fn by_serial(hsm: &crate::hsm::Hsm, store: &Path, serial: u64) -> Result<(SlotId, u64)> {
    for listed in hsm.slots()? {
        if let Ok(row) = listed.row
            && row.serial == serial
        {
            return Ok((row.slot, serial));
        }
    }
    Err(Error::Group {
        what: format!(
            "store {} has no partition with serial number {serial}",
            crate::shown::path(store)
        ),
        hint: Some(
            "'slotfs slot list' shows the serial numbers; --store names another store".into(),
        ),
        code: code::SLOT_ID_INVALID,
    })
}

/// Whether no member is the new one already.
fn check_new(group: &Group, new: &Member) -> Result<()> {
    let label = &group.label;
    for member in &group.members {
        if member.place.is(&new.place) && member.serial != new.serial {
            return Err(refused(
                label,
                &format!(
                    "{new} is a member, with serial number {}, and was initialized again since",
                    member.serial
                ),
                "'slotfs hagroup recover' takes the new partition as the member",
                code::ARGUMENTS_BAD,
            ));
        }
        if member.serial == new.serial {
            return Err(refused(
                label,
                &format!(
                    "{new} has serial number {}, and so has the member {member}",
                    new.serial
                ),
                "a slot is a member once; a copy of a store holds the same partitions, so initialize one of its own there",
                code::ARGUMENTS_BAD,
            ));
        }
    }
    Ok(())
}

fn refused(label: &Label, what: &str, hint: &str, code: ResultCode) -> Error {
    Error::Group {
        what: format!("group '{label}': not added: {what}"),
        hint: Some(hint.into()),
        code,
    }
}

fn label_taken(label: &Label) -> Error {
    Error::Group {
        what: format!("group '{label}': there is a group of that label already"),
        hint: Some("'slotfs hagroup addmember' adds members to it; 'slotfs hagroup listgroups' lists all groups".into()),
        code: code::ARGUMENTS_BAD,
    }
}

fn opened<'a>(label: &Label, found: &'a Found) -> Result<&'a Link> {
    found.link.as_ref().map_err(|away| Error::Group {
        what: format!("group '{label}': {}", away.why.reason()),
        hint: away.why.hint(),
        code: away.why.outcome().code,
    })
}

impl Remove {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let label = self.group.group;
        let group = registry.group(&label)?;
        let member = named(&group, console, &self.place)?;
        if !self.force {
            confirm(&format!(
                "{member} would no longer be a member of group '{label}'; its objects stay where they are"
            ))?;
        }
        let left = registry.update_group(&label, |group| {
            group.members.retain(|it| it.serial != member.serial);
            Ok(group.members.len())
        })?;
        let left = plural(left as u64, "member");
        Ok(
            Answer::new(json!({ "group": label.text(), "removed": member.to_json() })).line(
                format_args!(
                    "{member} is no longer a member of group '{label}', which has {left} left."
                ),
            ),
        )
    }
}

/// The member that options name. It need not be there any more.
///
/// # Errors
/// [`Error::Group`] when none is meant.
pub(super) fn named(group: &Group, console: &Console<'_>, place: &PlaceArgs) -> Result<Member> {
    let found = match (place.serial, &place.folder, place.slot) {
        (Some(serial), ..) => group.members.iter().find(|it| it.serial == serial),
        (_, Some(folder), _) => {
            let folder = Place::Folder(absolute(folder)?);
            group.members.iter().find(|it| it.place.is(&folder))
        }
        (_, _, slot) => {
            let place = Place::Store {
                store: own_store(console)?,
                slot: slot.unwrap_or(SlotId(0)),
            };
            group.members.iter().find(|it| it.place.is(&place))
        }
    };
    found.cloned().ok_or_else(|| Error::Group {
        what: format!("group '{}' has no such member", group.label),
        hint: Some("'slotfs hagroup listgroups' lists the members; -slot means a slot of the store that --store names, and -serial means any member".into()),
        code: code::ARGUMENTS_BAD,
    })
}

impl Delete {
    pub(super) fn run(self, _console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let label = self.label;
        let group = registry.group(&label)?;
        if !self.force {
            let members = plural(group.members.len() as u64, "member");
            confirm(&format!(
                "group '{label}' with {members} would be deleted; their objects stay where they are"
            ))?;
        }
        registry.update(|groups| {
            groups.retain(|it| it.label != label);
            Ok(())
        })?;
        Ok(
            Answer::new(json!({ "deleted": label.text() })).line(format_args!(
                "Group '{label}' was deleted; the objects of its members stay where they are."
            )),
        )
    }
}
