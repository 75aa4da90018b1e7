//! What the user can do next, in commands of slotfs, where the message alone does not say it.

use super::{Error, IncomingError};
use crate::blob::Fault;
use crate::hsm::{
    self, DamagedRow, DomainFault, SlotError, SlotFault, SmkFault, StoreError, StoreFault,
};
use crate::keyfile::export::ExportError;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::shown;

impl Error {
    /// What to do next, where that is not obvious from what happened.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Hsm(error) => return of_hsm(error),
            Self::CloneFailed { hints, .. } | Self::CloneNotAttempted { hints, .. } => {
                match hints.is_empty() {
                    true => "each line says why".into(),
                    false => format!("each line says why; {}", hints.join("; ")),
                }
            }
            Self::Mount { hint, .. } | Self::Import { hint, .. } => hint.clone()?,
            Self::ObjectRefused { hint, .. } => (*hint)?.into(),
            Self::Attribute(why) => why.hint()?.into(),
            Self::NotExportable {
                why: ExportError::Unextractable(_),
                ..
            } => {
                "clone it instead: copy its file from the mount to another slot or a backup".into()
            }
            Self::ExposedFile { .. } => {
                "check that its content is yours, then 'chmod 600' it".into()
            }
            Self::MadeSome { why, .. } => why
                .hint()
                .unwrap_or_else(|| "'slotfs partition contents' lists them".into()),
            Self::Incoming {
                why:
                    IncomingError::NameTaken
                    | IncomingError::NotEmpty
                    | IncomingError::BadName(_)
                    | IncomingError::TooLarge
                    | IncomingError::StagingFull,
                ..
            }
            | Self::NotExportable { .. }
            | Self::NotSupported { .. }
            | Self::NoSuchFile
            | Self::Gone
            | Self::File { .. }
            | Self::Usage(_)
            | Self::NotConfirmed(_)
            | Self::Interrupted(_)
            | Self::Daemon { .. } => return None,
        };
        Some(hint)
    }
}

fn of_hsm(error: &hsm::Error) -> Option<String> {
    Some(match error {
        hsm::Error::Slot { slot, why } => return of_slot(*slot, why),
        hsm::Error::ObjectDamaged(row) => of_damaged_object(row),
        hsm::Error::Damaged(_) => {
            "restore the store from a backup; you can first copy out the objects that still open"
                .into()
        }
        hsm::Error::Store(error) => return of_store(error),
        hsm::Error::Gone | hsm::Error::Random(_) => return None,
        hsm::Error::ObjectRefused(_) => {
            "store large data encrypted elsewhere and its key here".into()
        }
    })
}

fn of_store(error: &StoreError) -> Option<String> {
    let StoreError::Store { path, why } = error else {
        return None;
    };
    Some(match why {
        StoreFault::DiskFull => {
            "nothing was lost; free some space, or raise the limit of file sizes (ulimit -f), and retry".into()
        }
        StoreFault::ReadOnly => {
            "give the store's file and its folder to the user that runs slotfs, or mount with -o ro".into()
        }
        StoreFault::Lost(_) => format!(
            "only the results reported before took effect; unmount and end what uses the store, put its file back or restore a backup after removing {0}-wal and {0}-shm, then retry",
            shown::path(path)
        ),
        StoreFault::ForeignSchema(_) => {
            "the file's schema was altered; run 'slotfs store check', or restore an earlier backup".into()
        }
        StoreFault::Failed(_) => return None,
    })
}

fn of_slot(slot: SlotId, why: &SlotError) -> Option<String> {
    Some(match why {
        SlotError::Stored(fault) => return of_fault(slot, fault),
        SlotError::Unverified(Fault::NoDomain) => {
            "a slot accepts only blobs sealed under one of its own domains; 'slotfs partition domainlist' on both slots shows whether they share one".into()
        }
        SlotError::Unverified(Fault::NoSmk) => {
            "the objects of a V1 slot open where its storage master key is: 'slotfs partition smkclone', or copy its .slotfs/smk first".into()
        }
        SlotError::Unverified(Fault::NotForV0(_)) | SlotError::NotForV0 { .. } => {
            "clone to a V1 slot that holds the storage master key, or make this one V1: 'slotfs partition upgrade'".into()
        }
        SlotError::ShareRefused { .. } | SlotError::SharesMissing { .. } => {
            "give other shares of the set: --share-file SLOT:ROLE=FILE, once for each".into()
        }
        SlotError::OtherAuthentication(SlotKind::Quorum) => {
            format!("give --share-file {slot}:ROLE=FILE, once for each key share")
        }
        SlotError::OtherAuthentication(SlotKind::Password) => {
            format!("give --password-file {slot}:ROLE=FILE")
        }
        SlotError::Smk(why) => match why {
            SmkFault::None => "'slotfs partition upgrade' makes it V1".into(),
            SmkFault::Full => "'slotfs partition smkdelete' removes one".into(),
            SmkFault::NoSuchKey => "'slotfs partition smklist' shows them".into(),
            SmkFault::Active => "'slotfs partition smknew' makes another one active".into(),
            SmkFault::V1Already => return None,
        },
        SlotError::NotLoggedIn => format!(
            "'role login -name co' in the shell; on a mount, write the password to {slot}/.slotfs/login"
        ),
        SlotError::AlreadyLoggedIn { .. } => "'role logout' logs out".into(),
        SlotError::RoleNeeded { needed, .. } => {
            format!("'role logout', then 'role login -name {needed}'")
        }
        SlotError::RoleExists(Role::Po) => "'role changepw' changes its password".into(),
        SlotError::RoleExists(_) => {
            "'role changepw' changes its password; po can reset it with 'role resetpw'".into()
        }
        SlotError::RoleMissing(role) => format!("'role init -name {role}' gives it a password"),
        SlotError::RoleLocked(Role::Po) => {
            "a locked po cannot be reset; clone the objects out as co, then re-initialise the partition".into()
        }
        SlotError::RoleLocked(Role::Co) => {
            "po can reset it: 'role resetpw -name co'; cu loses its password with it".into()
        }
        SlotError::RoleLocked(Role::Cu) => {
            "po can reset it: 'role resetpw -name cu'; co loses its password with it".into()
        }
        SlotError::Domain { why, .. } => match why {
            DomainFault::Full => "'partition domaindelete' makes room".into(),
            DomainFault::NoSuchLabel => "'partition domainlist' shows the labels".into(),
            DomainFault::Primary => {
                "make another one primary first: 'partition domainchangelabel -domainlabel OTHER -primary'".into()
            }
            DomainFault::Last => "add another one first: 'partition domainadd'".into(),
            DomainFault::LabelTaken | DomainFault::BadLabel | DomainFault::Duplicate => return None,
        },
        SlotError::NotInTrash(_) => "'slotfs object trash' lists what is there".into(),
        SlotError::NoSuchObject(_) => "'slotfs partition contents' lists the handles".into(),
        SlotError::NoMemory { .. } => {
            "raise the limit of address space (ulimit -v), or end other programs".into()
        }
        SlotError::Unverified(_)
        | SlotError::OtherIdentity { .. }
        | SlotError::PayloadVersion(_)
        | SlotError::PasswordWrong { .. }
        | SlotError::Policy { .. }
        | SlotError::PolicyForbids(_)
        | SlotError::PolicyRefuses(_)
        | SlotError::ReadOnly(_)
        | SlotError::Malformed(_)
        | SlotError::NoSuchIdentity(_) => return None,
    })
}

fn of_fault(slot: SlotId, fault: &SlotFault) -> Option<String> {
    Some(match fault {
        SlotFault::Missing => "'slotfs slot list' shows the slots of this store".into(),
        SlotFault::Exists => "-force destroys everything in it and makes a new partition".into(),
        SlotFault::Changed => "only the results reported above took effect; retry the rest".into(),
        SlotFault::TrashFull => format!(
            "remove objects you no longer need from {slot}/.slotfs/trash, or shorten the retention with 'partition set -retention'"
        ),
        SlotFault::IdentityClash { .. } => {
            "the slot holds an object with this identity but other content; compare the two before you remove either".into()
        }
        SlotFault::NotDamaged { handle, .. } => {
            format!("'slotfs object delete -handle {handle}' removes it")
        }
        SlotFault::Damaged(_) => format!(
            "the other slots are not affected; restore a backup, or destroy this one: 'slotfs partition delete -slot {slot}'"
        ),
        SlotFault::Replaced | SlotFault::Full | SlotFault::HandleTaken(_) => return None,
    })
}

fn of_damaged_object(row: &DamagedRow) -> String {
    let whose = match row.slot {
        Some(slot) => format!(" -slot {slot}"),
        None => String::new(),
    };
    format!(
        "the other objects are not affected; restore a backup, or destroy this one: 'slotfs object delete -row {}{whose}'",
        row.id
    )
}
