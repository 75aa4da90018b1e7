//! Why the HSM refused or failed, and what that becomes for the kernel, for commands and for the log.

use std::fmt::{self, Display};

use thiserror::Error as ThisError;

use super::{
    DamagedRow, DomainFault, Handle, Ouid, PolicyFault, Role, SlotId, SlotKind, SmkFault, store,
};
use slotfs_object::revision::{MOST_REVISIONS, ReviseError};
use slotfs_object::show::iso_8601;
use slotfs_object::usable::UseFault;
use slotfs_seal::blob::Fault;
use slotfs_seal::credential::ShareFault;
use slotfs_store::{SlotFault, StoreFault};

mod outcome;

pub use outcome::{Outcome, ResultCode, code, exit, of_attribute};

/// What went wrong. Names slot and object; never holds a secret, nor the content of an object.
#[derive(Clone, Debug, ThisError)]
pub enum Error {
    /// One slot, or an object in it.
    #[error(fmt = in_slot)]
    Slot {
        /// The slot.
        slot: SlotId,
        /// What is wrong.
        why: SlotError,
    },
    /// One object's row cannot be used.
    #[error("store damaged: {0}")]
    ObjectDamaged(DamagedRow),
    /// The store is damaged outside of any single slot.
    #[error("store damaged: {0}")]
    Damaged(String),
    /// The object was destroyed, or its partition was.
    #[error("the object is gone")]
    Gone,
    /// The store as a whole, or a backup of it.
    #[error(transparent)]
    Store(store::Error),
    /// The folder that remembers what was seen of stores.
    #[error("{0}")]
    State(String),
    /// The system has no random numbers to give.
    #[error("the system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The object is larger than a payload can be.
    #[error("the object cannot be stored: {0}")]
    ObjectRefused(String),
}

/// Damage is told of the store first, as everywhere else.
fn in_slot(slot: &SlotId, why: &SlotError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match why {
        SlotError::Stored(fault) => fault.clone().at(*slot).fmt(f),
        SlotError::Miscounted(what) => write!(f, "store damaged: slot {slot}: {what}"),
        why => write!(f, "slot {slot}: {why}"),
    }
}

/// What is wrong with one slot, or with an object in it or on its way to it.
#[derive(Clone, Debug, ThisError)]
pub enum SlotError {
    /// What the store says of it.
    #[error(transparent)]
    Stored(SlotFault),
    /// A count of objects that is kept beside them is wrong. Says how to correct it.
    #[error("store damaged: {0}")]
    Miscounted(String),
    /// Nobody is logged in.
    #[error("nobody is logged in")]
    NotLoggedIn,
    /// Somebody is logged in already.
    #[error("{role} is logged in already")]
    AlreadyLoggedIn {
        /// Who is.
        role: Role,
        /// Who wants to be.
        wanted: Role,
    },
    /// Another role is logged in than the one that may do this.
    #[error("this needs {needed}, and {role} is logged in")]
    RoleNeeded {
        /// The role that is logged in.
        role: Role,
        /// The role that may.
        needed: Role,
    },
    /// The password is not the role's.
    #[error("wrong password for {role}, {left} attempts left")]
    PasswordWrong {
        /// The role that was tried.
        role: Role,
        /// Attempts before the role locks.
        left: u32,
    },
    /// A key share that is not one of the role's.
    #[error("{share} was refused as a key share of {role}: {why}")]
    ShareRefused {
        /// The role that was tried.
        role: Role,
        /// What the user called it.
        share: String,
        /// What is wrong with it.
        why: ShareFault,
    },
    /// Fewer key shares than it takes.
    #[error("{have} of {need} key shares of {role} were given")]
    SharesMissing {
        /// The role that was tried.
        role: Role,
        /// How many there are.
        have: usize,
        /// How many it takes.
        need: usize,
    },
    /// A password where the slot asks for key shares, or the reverse.
    #[error("{}", what_it_takes(*.0))]
    OtherAuthentication(SlotKind),
    /// Too many wrong passwords.
    #[error("{0} is locked after too many wrong passwords")]
    RoleLocked(Role),
    /// The partition has a lower generation than one that was seen at this path: an old copy is in its place.
    #[error(
        "the store is older than the one seen here on {}; if you restored a backup, run 'slotfs store accept'",
        iso_8601(*.seen_secs)
    )]
    Older {
        /// When the higher one was first seen, seconds since 1970.
        seen_secs: u64,
    },
    /// The slot has no such role.
    #[error("{0} is not initialized")]
    RoleMissing(Role),
    /// The role has a password already.
    #[error("{0} is initialized already")]
    RoleExists(Role),
    /// Argon2id did not get its memory for a login; the attempt was not counted.
    #[error("not enough memory to log in ({kib} KiB); the attempt was not counted")]
    NoMemory {
        /// What the credential asks for.
        kib: u32,
    },
    /// Argon2id did not get its memory for a new password.
    #[error("not enough memory to derive a key from the new password ({kib} KiB)")]
    NoMemoryForPassword {
        /// What a new credential takes.
        kib: u32,
    },
    /// A password, a label or the like has a form that slots do not take.
    #[error("{0}")]
    Malformed(&'static str),
    /// The role or the mount may not write.
    #[error("{0}")]
    ReadOnly(&'static str),
    /// A policy stays as it is.
    #[error("policy {policy}: {why}")]
    Policy {
        /// lunacm's number of it.
        policy: u32,
        /// Why.
        why: PolicyFault,
    },
    /// The domains stay as they are.
    #[error("domain '{label}': {why}")]
    Domain {
        /// The label that was given, escaped.
        label: String,
        /// Why.
        why: DomainFault,
    },
    /// The storage master keys stay as they are.
    #[error("{0}")]
    Smk(SmkFault),
    /// A policy of the source forbids it.
    #[error("policy forbids cloning a {0}")]
    PolicyForbids(String),
    /// A crypto user uses private and secret objects and does not take them out (policy 1000). Names the object.
    #[error("a crypto user may use {0}, but not take it out")]
    NotForUsers(String),
    /// A policy of the target forbids it. Its errno is not EPERM: after that, tools try another way and do not report
    /// the refusal.
    #[error("policy forbids taking in a {0}")]
    PolicyRefuses(String),
    /// Objects of a V1 slot, which a V0 slot cannot open.
    #[error(
        "it is V1 and seals under its storage master key, which slot {target} as V0 cannot hold"
    )]
    NotForV0 {
        /// The slot that was to take them.
        target: SlotId,
    },
    /// A blob that the slot's domains do not verify.
    #[error("the blob was not accepted: {0}")]
    Unverified(Fault),
    /// An authentic payload from a later version, and the versions that are known.
    #[error("the payload has version {0}, this build knows {1}")]
    PayloadVersion(u8, &'static str),
    /// An authentic payload of a revision that no slot makes.
    #[error("the object's revision is {0}, and the last one there is {MOST_REVISIONS}")]
    RevisionTooHigh(u32),
    /// An object's attributes stay as they are.
    #[error("object {handle}: {why}")]
    NotDescribed {
        /// The object.
        handle: Handle,
        /// Why.
        why: ReviseError,
    },
    /// A key's attributes do not let it be used so.
    #[error("object {handle}: {why}")]
    NotUsable {
        /// The key.
        handle: Handle,
        /// Why.
        why: UseFault,
    },
    /// The slot trusts as many keys as it can.
    #[error("it trusts {0} keys, and no more can be trusted")]
    TooManyTrusted(usize),
    /// A blob written under the identity of another object than the one in it.
    #[error("the blob holds object {ouid}, not {named} as its name says")]
    OtherIdentity {
        /// The object in the blob.
        ouid: Ouid,
        /// The object that its name says.
        named: Ouid,
    },
    /// No such object.
    #[error("there is no object {0}")]
    NoSuchObject(Handle),
    /// No object of that identity.
    #[error("there is no object with identity {0}")]
    NoSuchIdentity(Ouid),
    /// Not, or not any more, in the trash.
    #[error("there is no {0} in the trash")]
    NotInTrash(String),
}

impl SlotError {
    /// The error that says this of `slot`.
    pub fn at(self, slot: SlotId) -> Error {
        Error::Slot { slot, why: self }
    }
}

impl From<SlotFault> for SlotError {
    fn from(why: SlotFault) -> Self {
        match why {
            // The login was to the partition that was replaced.
            SlotFault::Replaced => Self::NotLoggedIn,
            why => Self::Stored(why),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Slot { slot, why } => SlotError::from(why).at(slot),
            store::Error::Object(row) => Self::ObjectDamaged(row),
            store::Error::Damaged(what) => Self::Damaged(what),
            store::Error::Gone => Self::Gone,
            store::Error::Random(error) => Self::Random(error),
            error => Self::Store(error),
        }
    }
}

impl Error {
    /// `what` is wrong with the rows of `slot`.
    pub(super) fn slot_damaged(slot: SlotId, what: impl Into<String>) -> Self {
        SlotFault::Damaged(what.into()).at(slot).into()
    }

    /// What is wrong with a slot, where this is about one.
    pub fn slot_error(&self) -> Option<&SlotError> {
        let Self::Slot { why, .. } = self else {
            return None;
        };
        Some(why)
    }

    /// What the store says is wrong with a slot.
    pub fn slot_fault(&self) -> Option<&SlotFault> {
        let SlotError::Stored(fault) = self.slot_error()? else {
            return None;
        };
        Some(fault)
    }

    /// What is wrong with the store as a whole.
    pub fn store_fault(&self) -> Option<&StoreFault> {
        match self {
            Self::Store(store::Error::Store { why, .. }) => Some(why),
            _ => None,
        }
    }

    /// Whether another process changed the slot while this was under way.
    pub fn is_changed(&self) -> bool {
        self.slot_fault() == Some(&SlotFault::Changed)
    }

    /// Whether no partition is in the slot.
    pub fn is_no_such_slot(&self) -> bool {
        self.slot_fault() == Some(&SlotFault::Missing)
    }

    /// Whether the handle that an object was to get is another's.
    pub fn is_handle_taken(&self) -> bool {
        matches!(self.slot_fault(), Some(SlotFault::HandleTaken(_)))
    }

    /// Whether no object has the handle.
    pub fn is_no_such_object(&self) -> bool {
        matches!(self.slot_error(), Some(SlotError::NoSuchObject(_)))
    }

    /// Whether the store cannot be written.
    pub fn is_read_only_store(&self) -> bool {
        self.store_fault() == Some(&StoreFault::ReadOnly)
    }

    /// Whether the store's files were found to be others than those that were opened.
    pub fn is_store_lost(&self) -> bool {
        matches!(self.store_fault(), Some(StoreFault::Lost(_)))
    }

    /// Whether the rows of one slot are damaged.
    pub fn is_slot_damaged(&self) -> bool {
        matches!(self.slot_fault(), Some(SlotFault::Damaged(_)))
    }

    /// Whether an object's row can be read, but not what is sealed in it.
    pub fn is_unreadable(&self) -> bool {
        matches!(self.slot_fault(), Some(SlotFault::Unreadable { .. }))
    }

    /// Whether a part of the store is damaged.
    pub fn is_damage(&self) -> bool {
        let miscounted = matches!(self.slot_error(), Some(SlotError::Miscounted(_)));
        matches!(self, Self::Damaged(_) | Self::ObjectDamaged(_))
            || self.is_slot_damaged()
            || self.is_unreadable()
            || miscounted
    }

    /// Whether it is a verdict on one blob, which the journal records.
    pub fn is_verdict(&self) -> bool {
        self.is_final() || self.slot_fault() == Some(&SlotFault::Full)
    }

    /// Whether the same bytes would fail again, so that staged bytes are of no use.
    pub fn is_final(&self) -> bool {
        match self.slot_error() {
            Some(SlotError::Stored(fault)) => matches!(fault, SlotFault::IdentityClash { .. }),
            Some(
                SlotError::Unverified(_)
                | SlotError::OtherIdentity { .. }
                | SlotError::PayloadVersion(..)
                | SlotError::RevisionTooHigh(_)
                | SlotError::PolicyRefuses(_),
            ) => true,
            _ => false,
        }
    }
}

fn what_it_takes(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Password => "a password slot takes a password; key shares do not apply",
        SlotKind::Quorum => "a quorum slot takes key shares; -password does not apply",
    }
}

/// What everything that can fail returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
