//! `hagroup recover`

use clap::Args;

use super::edit::named;
use super::facts::{Misfit, fit};
use super::folder::Mount;
use super::label::Label;
use super::login::Logins;
use super::member::Member;
use super::open::{Found, Opener};
use super::place::Place;
use super::registry::{Group, Registry};
use super::report::Report;
use super::run::{Run, Wanted};
use super::{GroupArg, PasswordArg, PlaceArgs};
use crate::cli::{Answer, Console, confirm};
use crate::error::{Error, Result};
use crate::hsm::code;
use crate::object::now_secs;

/// `hagroup recover`
#[derive(Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    group: GroupArg,
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    password: PasswordArg,
    /// Do not ask before another partition is taken as a member
    #[arg(short, long)]
    force: bool,
    /// Report only what was changed and what failed
    #[arg(short, long)]
    quiet: bool,
}

/// The member that is meant, or all but the first.
#[derive(Args)]
#[group(id = "member", required = false, multiple = false)]
struct MemberArgs {
    /// A slot of the command's store [default: every member but the first]
    #[arg(short, long, value_name = "SLOT_NUMBER")]
    slot: Option<crate::object::SlotId>,
    /// The member with this serial number
    #[arg(long, visible_alias = "serialnumber", value_name = "SERIAL_NUMBER")]
    serial: Option<u64>,
    /// A slot's folder on a mount
    #[arg(long, value_name = "PATH")]
    folder: Option<std::path::PathBuf>,
}

impl MemberArgs {
    fn place(self) -> Option<PlaceArgs> {
        let is_given = self.slot.is_some() || self.serial.is_some() || self.folder.is_some();
        is_given.then_some(PlaceArgs {
            slot: self.slot,
            serial: self.serial,
            folder: self.folder,
        })
    }
}

impl Recover {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let label = self.group.group;
        let _running = registry.run(&label)?;
        let group = registry.group(&label)?;
        let meant = match self.member.place() {
            Some(place) => vec![named(&group, console, &place)?.serial],
            None => {
                let others = group.members.iter().skip(1);
                others.map(|it| it.serial).collect()
            }
        };
        let first = group.members.first().map(|it| it.serial);
        if first.is_some_and(|first| meant.contains(&first)) {
            return Err(first_is_meant(&label));
        }
        let logins = Logins {
            given: self.password.password.as_deref(),
            given_was_wrong: false,
            ask: true,
            retry: true,
        };
        let mut opener = Opener::new(console, logins);
        let group = readmit(&mut opener, &registry, (&label, &group), &meant, self.force)?;
        let found = opener.all(&registry, &group)?;
        let mut report = Report::begin(console.json(), self.quiet, &label, &found);
        let wanted = Wanted {
            // The first one is what the others are recovered from.
            changes: (0..found.len()).map(|at| at > 0).collect(),
            delete: false,
            force: false,
            require: None,
        };
        check_fit(&label, &found)?;
        let outcome = Run::new(&label, &found, wanted)?.run(&mut report);
        // The first member, and those that were not meant, may lack what the others have.
        Ok(report.close((group.in_sync_secs, now_secs()), outcome.result))
    }
}

fn first_is_meant(label: &Label) -> Error {
    Error::Group {
        what: format!("group '{label}': the first member is what the others are recovered from"),
        hint: Some("'slotfs hagroup synchronize' gives it what the others have; if its slot was initialized again, remove it from the group and add it, which makes it the last".into()),
        code: code::ARGUMENTS_BAD,
    }
}

/// Takes the partitions that are now in the slots of re-initialized members as the members; the group with its first member
/// and those that are meant.
fn readmit(
    opener: &mut Opener<'_>,
    registry: &Registry,
    (label, group): (&Label, &Group),
    meant: &[u64],
    force: bool,
) -> Result<Group> {
    let mut replaced = Vec::new();
    for member in group.members.iter().filter(|it| meant.contains(&it.serial)) {
        // What cannot be reached is told with the others.
        let Ok(serial) = serial_now(opener, member) else {
            continue;
        };
        if serial == member.serial {
            continue;
        }
        if group.members.iter().any(|it| it.serial == serial) {
            return Err(Error::Group {
                what: format!("group '{label}': {member} has serial number {serial} now, which another member has"),
                hint: Some("a slot is a member once: remove one of the two with 'slotfs hagroup removemember'".into()),
                code: code::ARGUMENTS_BAD,
            });
        }
        if !force {
            confirm(&format!(
                "{member} was initialized again: the partition with serial number {serial} would take the place of {} in group '{label}', and get the objects of the first member",
                member.serial
            ))?;
        }
        replaced.push((member.serial, serial));
    }
    let renumbered = |serial: u64| {
        let new = replaced.iter().find(|(old, _)| *old == serial);
        new.map_or(serial, |(_, new)| *new)
    };
    let mut group = registry.update_group(label, |group| {
        for member in &mut group.members {
            let serial = renumbered(member.serial);
            if serial != member.serial {
                (member.serial, member.refused) = (serial, None);
                // The new partition has nothing yet.
                group.in_sync_secs = None;
            }
        }
        Ok(group.clone())
    })?;
    let meant: Vec<u64> = meant.iter().map(|serial| renumbered(*serial)).collect();
    let first = group.members.first().map(|it| it.serial);
    group
        .members
        .retain(|it| Some(it.serial) == first || meant.contains(&it.serial));
    Ok(group)
}

fn serial_now(opener: &mut Opener<'_>, member: &Member) -> Result<u64> {
    match &member.place {
        Place::Store { store, slot } => Ok(opener.store(store)?.partition(*slot).row()?.serial),
        Place::Folder(folder) => {
            let (_, status) = Mount::open(folder).map_err(crate::cli::file_error(folder))?;
            Ok(status.facts.serial)
        }
    }
}

/// A partition that was initialized again may have another domain.
fn check_fit(label: &Label, found: &[Found]) -> Result<()> {
    let Some((first, others)) = found.split_first() else {
        return Ok(());
    };
    let Ok(first_link) = &first.link else {
        return Ok(());
    };
    let facts = first_link.facts()?;
    for it in others {
        if let Ok(link) = &it.link {
            let theirs = link.facts()?;
            fit((&it.member, &theirs), (&first.member, &facts)).map_err(
                |Misfit { what, hint }| Error::Group {
                    what: format!("group '{label}': {what}"),
                    hint: Some(hint.into()),
                    code: code::CLONE_NOT_ATTEMPTED,
                },
            )?;
        }
    }
    Ok(())
}
