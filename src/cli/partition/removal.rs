//! `partition clear` and `partition delete`

use serde_json::Value;

use crate::cli::{Answer, Console, ForceAndSlot, confirm};
use crate::error::{Error, Result};
use crate::hsm::{self, Hsm};
use crate::object::partition::Role;
use crate::object::{SlotId, show};

/// How many objects will be destroyed, including those in the trash. A count that is damaged does not keep anybody from
/// destroying them.
pub(super) fn objects(hsm: &Hsm, slot: SlotId) -> Result<String> {
    let unless_damaged = |count: hsm::Result<u64>| match count {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    };
    let objects = unless_damaged(hsm.partition(slot).usage().map(|(objects, _)| objects))?;
    let objects = objects.map_or("an unknown number of".to_owned(), |count| count.to_string());
    Ok(match unless_damaged(hsm.partition(slot).trash_count())? {
        Some(0) => format!("{objects} objects"),
        Some(trashed) => format!("{objects} objects, and {trashed} in the trash,"),
        None => format!("{objects} objects, and those in the trash,"),
    })
}

/// `partition clear`
pub(crate) fn clear(console: &Console<'_>, args: ForceAndSlot) -> Result<Answer> {
    let (hsm, slot) = console.partition(args.slot, &[Role::Co])?;
    if !args.force {
        confirm(&format!(
            "all {} on slot {slot} would be destroyed",
            objects(&hsm, slot)?
        ))?;
    }
    let destroyed = hsm.partition(slot).clear()?;
    Ok(destroyed_objects(slot, destroyed))
}

/// What is said of objects that a change of their partition destroyed.
pub(super) fn destroyed_objects(slot: SlotId, destroyed: u64) -> Answer {
    Answer::of_slot(slot)
        .fact("destroyed", destroyed)
        .line(format_args!(
            "{destroyed} objects on slot {slot} were destroyed."
        ))
}

/// `partition delete`
pub(crate) fn delete(console: &Console<'_>, args: ForceAndSlot) -> Result<Answer> {
    let (hsm, slot) = console.partition(args.slot, &[])?;
    // Before the login: the partition that the question is about is the one that is destroyed.
    let marked = hsm.partition(slot).mark()?;
    let login = hsm
        .partition(slot)
        .inspect()
        .map_err(Error::from)
        .and_then(|()| console.login(&hsm, slot, &[Role::Po]));
    // Nobody can log in to a damaged partition, and 'partition init -force' needs no login either.
    let damaged = match (login, marked) {
        (Ok(()), _) => None,
        (Err(damage), Some(mark)) if damage.is_damage() => Some((damage, mark)),
        (Err(error), _) => return Err(error),
    };
    if !args.force {
        confirm(&match &damaged {
            None => format!(
                "partition '{}' on slot {slot} would be destroyed, with all its {}",
                show::escape(&hsm.partition(slot).row()?.label),
                objects(&hsm, slot)?
            ),
            Some((damage, _)) => format!(
                "{damage}\nslot {slot}: its damaged partition would be destroyed, with all its objects"
            ),
        })?;
    }
    let destroyed: Value = match damaged {
        None => hsm.partition(slot).delete()?.into(),
        Some((_, mark)) => {
            hsm.partition(slot).delete_damaged(mark)?;
            Value::Null
        }
    };
    Ok(Answer::of_slot(slot)
        .fact("destroyed", destroyed)
        .line(format_args!("Slot {slot} no longer has a partition.")))
}
