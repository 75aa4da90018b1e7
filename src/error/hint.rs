//! The hint of an error: what the user can do next, usually as a command of slotfs.

use super::Error;
use crate::blob::Fault;
use crate::hsm::{
    self, DamagedRow, DomainFault, SlotError, SlotFault, SmkFault, StoreError, StoreFault,
};
use crate::keyfile::export::ExportError;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::object::revision::ReviseError;
use crate::shown;

impl Error {
    /// What to do next, if the message does not make it obvious.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Hsm(error) => return hsm_hint(error),
            Self::Archive { hint, .. } => (*hint)?.into(),
            Self::CloneFailed { hints, .. }
            | Self::CloneNotAttempted { hints, .. }
            | Self::ArchiveFailed { hints, .. } => {
                match hints.is_empty() {
                    true => "each line says why".into(),
                    false => format!("each line says why; {}", hints.join("; ")),
                }
            }
            Self::Mount { hint, .. }
            | Self::Serve { hint, .. }
            | Self::Import { hint, .. }
            | Self::Group { hint, .. } => hint.clone()?,
            Self::ObjectRefused { hint, .. } => (*hint)?.into(),
            Self::Attribute(why) => why.hint()?.into(),
            Self::NotExportable {
                why: ExportError::Unextractable(_),
                ..
            } => {
                "clone it instead: copy its file from the mount to another slot or a backup".into()
            }
            Self::Log { .. } => "choose another place with --log".into(),
            Self::ExposedFile { .. } => "check its content, then run 'chmod 600' on it".into(),
            Self::WeakDomain { .. } => {
                "'slotfs domain newstring' prints a strong one; -force accepts this one all the same".into()
            }
            Self::MadeSome { why, .. } => why
                .hint()
                .unwrap_or_else(|| "'slotfs partition contents' lists them".into()),
            Self::Incoming { .. }
            | Self::NotExportable { .. }
            | Self::OtherOwner { .. }
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

fn hsm_hint(error: &hsm::Error) -> Option<String> {
    Some(match error {
        hsm::Error::Slot { slot, why } => return slot_hint(*slot, why),
        hsm::Error::ObjectDamaged(row) => damaged_object_hint(row),
        hsm::Error::Damaged(_) => {
            "restore the store from a backup; you can first copy out the objects that still open"
                .into()
        }
        hsm::Error::Store(error) => return store_hint(error),
        hsm::Error::State(_) => {
            "set XDG_STATE_HOME to a folder that only this user can write; without it, only a process that keeps running notices an older store".into()
        }
        hsm::Error::Gone | hsm::Error::Random(_) => return None,
        hsm::Error::ObjectRefused(_) => {
            "encrypt large data, keep it elsewhere, and store only its key in the slot".into()
        }
    })
}

fn store_hint(error: &StoreError) -> Option<String> {
    let StoreError::Store { path, why } = error else {
        return None;
    };
    Some(match why {
        StoreFault::DiskFull => {
            "nothing was lost; free some space, or raise the file size limit (ulimit -f), and retry"
                .into()
        }
        StoreFault::ReadOnly => {
            "let this user write the store's file and its folder, or mount with -o ro".into()
        }
        StoreFault::Lost(_) => format!(
            "only the results reported before took effect; unmount, and end every program that uses the store; put its file back, or remove {0}-wal and {0}-shm and restore a backup; then retry",
            shown::path(path)
        ),
        StoreFault::ForeignSchema(_) => {
            "the file's schema was altered; run 'slotfs store check', or restore an earlier backup"
                .into()
        }
        StoreFault::Unreachable(_) => {
            "retry when its members answer again: 'etcdctl endpoint health'; see docs/cluster.md"
                .into()
        }
        StoreFault::InDoubt
        | StoreFault::WentBack(_)
        | StoreFault::QuotaFull
        | StoreFault::Missing
        | StoreFault::Failed(_) => return None,
    })
}

fn slot_hint(slot: SlotId, why: &SlotError) -> Option<String> {
    Some(match why {
        SlotError::Stored(fault) => return fault_hint(slot, fault),
        SlotError::Unverified(Fault::NoDomain) => {
            "a slot accepts only blobs sealed under one of its own domains; 'slotfs partition domainlist' on both slots shows whether they share one".into()
        }
        SlotError::Unverified(Fault::NoSmk) => {
            "this slot lacks the storage master key of the object's slot; clone it first with 'slotfs partition smkclone', or copy its .slotfs/smk".into()
        }
        SlotError::Unverified(Fault::NotAsSealed) => {
            "a program that holds the slot's domains or storage master key made it; copy the object from its slot again".into()
        }
        SlotError::Unverified(Fault::NotForV0(_)) | SlotError::NotForV0 { .. } => {
            "clone to a V1 slot that holds the storage master key, or make this slot V1 with 'slotfs partition upgrade'".into()
        }
        SlotError::ShareRefused { .. } | SlotError::SharesMissing { .. } => {
            "give other shares of the set, each with --share-file SLOT:ROLE=FILE".into()
        }
        SlotError::OtherAuthentication(SlotKind::Quorum) => {
            format!("give each key share with --share-file {slot}:ROLE=FILE")
        }
        SlotError::OtherAuthentication(SlotKind::Password) => {
            format!("give --password-file {slot}:ROLE=FILE")
        }
        SlotError::Smk(why) => match why {
            SmkFault::None => "'slotfs partition upgrade' makes the slot V1".into(),
            SmkFault::Full => "'slotfs partition smkdelete' removes one".into(),
            SmkFault::NoSuchKey => "'slotfs partition smklist' lists the storage master keys".into(),
            SmkFault::Deleted => "to accept it anyway, use 'slotfs partition smkclone -force'".into(),
            SmkFault::Constant => return None,
            SmkFault::Active => "'slotfs partition smkactivate' or 'smknew' makes another one active".into(),
            SmkFault::V1Already => return None,
        },
        SlotError::NotLoggedIn => format!(
            "'role login -name co' in the shell; on a mount, write the password to {slot}/.slotfs/login"
        ),
        SlotError::Older { .. } => {
            "if you did not restore a backup, somebody put an old copy in the store's place; restore the latest backup instead".into()
        }
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
            "po can reset it with 'role resetpw -name co'".into()
        }
        SlotError::RoleLocked(Role::Cu) => {
            "po can reset it with 'role resetpw -name cu'".into()
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
        SlotError::NotForUsers(_) => format!(
            "co may; or po allows it with 'slotfs partition changepolicy -policy 1000 -value 1 -slot {slot}'"
        ),
        SlotError::NotDescribed { why, .. } => match why {
            ReviseError::Unmodifiable => "import or generate the object again".into(),
            ReviseError::Attribute(why) => why.hint()?.into(),
            ReviseError::Fixed(_) | ReviseError::NotOfClass(..) => {
                "docs/objects.md lists the attributes that can be changed".into()
            }
            ReviseError::OneWay(..) | ReviseError::Type(_) | ReviseError::Exhausted => return None,
        },
        // It says what to do.
        SlotError::Miscounted(_) => return None,
        SlotError::NotInTrash(_) => "'slotfs object trash' lists what is there".into(),
        SlotError::NoSuchObject(_) => "'slotfs partition contents' lists the handles".into(),
        SlotError::NoMemory { .. } | SlotError::NoMemoryForPassword { .. } => {
            "raise the address space limit (ulimit -v), or end other programs".into()
        }
        SlotError::Unverified(_)
        | SlotError::OtherIdentity { .. }
        | SlotError::PayloadVersion(..)
        | SlotError::RevisionTooHigh(_)
        | SlotError::PasswordWrong { .. }
        | SlotError::Policy { .. }
        | SlotError::PolicyForbids(_)
        | SlotError::PolicyRefuses(_)
        | SlotError::ReadOnly(_)
        | SlotError::Malformed(_)
        | SlotError::NoSuchIdentity(_)
        | SlotError::NotUsable { .. }
        | SlotError::TooManyTrusted(_) => return None,
    })
}

fn fault_hint(slot: SlotId, fault: &SlotFault) -> Option<String> {
    Some(match fault {
        SlotFault::Missing => "'slotfs slot list' shows the slots of this store".into(),
        SlotFault::Exists => {
            "-force destroys the partition with everything in it and creates a new one".into()
        }
        SlotFault::Resealing => return None,
        SlotFault::Changed => "only the results reported above took effect; retry the rest".into(),
        SlotFault::TrashFull => format!(
            "remove objects you no longer need from {slot}/.slotfs/trash, or shorten the retention with 'partition set -retention'"
        ),
        SlotFault::IdentityClash {
            differs, handle, ..
        } => match differs.can_be_described {
            true => format!(
                "both were changed, in {differs}; 'slotfs object set' on one of them (here 'slotfs object set -handle {handle} -slot {slot}') makes a revision that wins"
            ),
            false => format!(
                "the slot holds an object with this identity but other content, in {differs}; compare the two before you remove either"
            ),
        },
        SlotFault::Outdated(handle) => format!(
            "it stays in the trash; 'slotfs object set -handle {handle} -slot {slot}' describes the object as you want it"
        ),
        SlotFault::Removed(_) => format!(
            "it was removed there; 'slotfs object trash -slot {slot}' lists it, and 'slotfs object restore' brings it back"
        ),
        SlotFault::NotDamaged { handle, .. } => {
            format!("'slotfs object delete -handle {handle}' removes it")
        }
        SlotFault::Unreadable { handle, .. } => format!(
            "the other objects are not affected; restore a backup, or remove this object with 'slotfs object delete -handle {handle} -slot {slot}'"
        ),
        SlotFault::WouldLose(_) => format!(
            "'slotfs store check -slot {slot}' names them; remove them, or give -force to lose them"
        ),
        SlotFault::Damaged(_) => format!(
            "the other slots are not affected; restore a backup, or destroy this slot with 'slotfs partition delete -slot {slot}'"
        ),
        SlotFault::Replaced | SlotFault::Full | SlotFault::HandleTaken(_) => return None,
    })
}

fn damaged_object_hint(row: &DamagedRow) -> String {
    let slot_option = match row.slot {
        Some(slot) => format!(" -slot {slot}"),
        None => String::new(),
    };
    format!(
        "the other objects are not affected; restore a backup, or destroy this object with 'slotfs object delete -row {}{slot_option}'",
        row.id
    )
}
