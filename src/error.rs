//! The one error type, and what it becomes for each who meets it: an errno for the kernel, a result code and
//! an exit status for commands, a log level for the log, a hint for people (DESIGN.md 3).

use std::io;
use std::path::PathBuf;

use log::Level;
use thiserror::Error;

use crate::blob::Fault;
use crate::credential::{Role, ShareFault, SlotKind};
use crate::hsm::{DomainFault, PolicyFault, SmkFault};
use crate::object::attributes::AttributeError;
use crate::object::export::ExportError;
use crate::object::{Handle, Ouid, SlotId};
use crate::store::DamagedRow;

/// What went wrong. Names slot and object; never holds a secret, nor the content of an object.
#[derive(Debug, Error)]
pub enum Error {
    /// A blob that the slot's domains do not verify.
    #[error("slot {slot}: the blob was not accepted: {why}")]
    Unverified {
        /// The slot that was to take it.
        slot: SlotId,
        /// What did not hold.
        why: Fault,
    },
    /// An authentic payload from a later version.
    #[error("slot {slot}: the object's payload has version {version}, this build knows 1")]
    PayloadVersion {
        /// The slot that was to take it.
        slot: SlotId,
        /// The version it has.
        version: u8,
    },
    /// Nobody is logged in.
    #[error("slot {slot}: nobody is logged in")]
    NotLoggedIn {
        /// The slot.
        slot: SlotId,
    },
    /// The password is not the role's.
    #[error("slot {slot}: wrong password for {role}, {left} attempts left")]
    PasswordWrong {
        /// The slot.
        slot: SlotId,
        /// The role that was tried.
        role: Role,
        /// Attempts before the role locks.
        left: u32,
    },
    /// A key share that is not one of the role's.
    #[error("slot {slot}: {share} was refused as a key share of {role}: {why}")]
    ShareRefused {
        /// The slot.
        slot: SlotId,
        /// The role that was tried.
        role: Role,
        /// What it was called.
        share: String,
        /// What is wrong with it.
        why: ShareFault,
    },
    /// Fewer key shares than it takes.
    #[error("slot {slot}: {have} of {need} key shares of {role} were given")]
    SharesMissing {
        /// The slot.
        slot: SlotId,
        /// The role that was tried.
        role: Role,
        /// How many there are.
        have: usize,
        /// How many it takes.
        need: usize,
    },
    /// A password where key shares are asked for, or the reverse.
    #[error("slot {slot} is a {kind} slot: {}", what_it_takes(*kind))]
    OtherAuthentication {
        /// The slot.
        slot: SlotId,
        /// What it is.
        kind: SlotKind,
    },
    /// Objects of a V1 slot, which a V0 slot cannot open.
    #[error(
        "slot {slot} is V1 and seals under its storage master key, which slot {target} as V0 cannot hold"
    )]
    NotForV0 {
        /// The source.
        slot: SlotId,
        /// The target.
        target: SlotId,
    },
    /// The storage master keys of a slot stay as they are.
    #[error("slot {slot}: {why}")]
    Smk {
        /// The slot.
        slot: SlotId,
        /// Why.
        why: SmkFault,
    },
    /// A policy stays as it is.
    #[error("slot {slot}: policy {policy}: {why}")]
    Policy {
        /// The slot.
        slot: SlotId,
        /// lunacm's number of it.
        policy: u32,
        /// Why.
        why: PolicyFault,
    },
    /// Too many wrong passwords.
    #[error("slot {slot}: {role} is locked after too many wrong passwords")]
    RoleLocked {
        /// The slot.
        slot: SlotId,
        /// The locked role.
        role: Role,
    },
    /// The slot has no such role.
    #[error("slot {slot}: {role} is not initialized")]
    RoleMissing {
        /// The slot.
        slot: SlotId,
        /// The role that was tried.
        role: Role,
    },
    /// Somebody is logged in already.
    #[error("slot {slot}: {role} is logged in already")]
    AlreadyLoggedIn {
        /// The slot.
        slot: SlotId,
        /// Who is.
        role: Role,
        /// Who wants to be.
        wanted: Role,
    },
    /// Another role is logged in than the one that may do this.
    #[error("slot {slot}: this needs {needed}, and {role} is logged in")]
    RoleNeeded {
        /// The slot.
        slot: SlotId,
        /// The role that is logged in.
        role: Role,
        /// The role that may.
        needed: Role,
    },
    /// The slot's policy says no.
    #[error("slot {slot}: policy forbids cloning a {class}")]
    PolicyForbids {
        /// The slot.
        slot: SlotId,
        /// The object's class, in words.
        class: String,
    },
    /// The target's policy says no. A refusal of its own: EPERM at a verdict would make tools retry
    /// another way instead of reporting it.
    #[error("slot {slot}: policy forbids taking in a {class}")]
    PolicyRefuses {
        /// The slot that was to take it.
        slot: SlotId,
        /// The object's class, in words.
        class: String,
    },
    /// A thing slots do not do.
    #[error("{what}: a slot cannot do that")]
    NotSupported {
        /// The operation.
        what: &'static str,
    },
    /// Another object claims an identity that the slot holds.
    #[error("slot {slot}: another object claims the identity {ouid} of handle {handle}")]
    IdentityClash {
        /// The slot.
        slot: SlotId,
        /// The contested identity.
        ouid: Ouid,
        /// Who has it.
        handle: Handle,
    },
    /// A handle that is in use.
    #[error("slot {slot}: handle {handle} is taken")]
    HandleTaken {
        /// The slot.
        slot: SlotId,
        /// The handle.
        handle: Handle,
    },
    /// A store whose tables, triggers or views somebody changed.
    #[error(
        "store {}: {why}, so nothing is written to it",
        crate::shown::path(path)
    )]
    ForeignSchema {
        /// The store's path.
        path: PathBuf,
        /// What is not ours.
        why: String,
    },
    /// A staging name that is in use.
    #[error("slot {slot}: the name is taken")]
    NameTaken {
        /// The slot.
        slot: SlotId,
    },
    /// A staging folder that is in use.
    #[error("slot {slot}: the staging folder is not empty")]
    NotEmpty {
        /// The slot.
        slot: SlotId,
    },
    /// A file name no slot can hold.
    #[error("slot {slot}: {name} is not a name a slot can hold")]
    BadName {
        /// The slot.
        slot: SlotId,
        /// The name, quoted and escaped.
        name: String,
    },
    /// A blob written under the identity of another object than the one in it.
    #[error("slot {slot}: the blob holds object {ouid}, not {named} as its name says")]
    OtherIdentity {
        /// The slot that was to take it.
        slot: SlotId,
        /// The object in the blob.
        ouid: Ouid,
        /// The object that its name says.
        named: Ouid,
    },
    /// No more can be unlinked before something is destroyed.
    #[error("slot {slot}: the trash is full")]
    TrashFull {
        /// The slot.
        slot: SlotId,
    },
    /// Not, or not any more, in the trash.
    #[error("slot {slot}: there is no {name} in the trash")]
    NotInTrash {
        /// The slot.
        slot: SlotId,
        /// The name it would have there.
        name: String,
    },
    /// Larger than any blob.
    #[error("slot {slot}: larger than any blob")]
    BlobTooLarge {
        /// The slot.
        slot: SlotId,
    },
    /// An object larger than a payload can be, or otherwise not one that can be stored.
    #[error("the object cannot be stored: {why}")]
    ObjectRefused {
        /// Why.
        why: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Attributes that an object cannot be given.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// An object that does not leave its slot in the clear.
    #[error("slot {slot}: handle {handle} was not exported: {why}")]
    NotExportable {
        /// The slot.
        slot: SlotId,
        /// The object.
        handle: Handle,
        /// Why.
        why: ExportError,
    },
    /// No room for another object.
    #[error("slot {slot}: the slot is full")]
    SlotFull {
        /// The slot.
        slot: SlotId,
    },
    /// No room for another unfinished file.
    #[error("slot {slot}: too many unfinished files; finish or remove some, then retry")]
    StagingFull {
        /// The slot.
        slot: SlotId,
    },
    /// The disk under the store is full.
    #[error("the disk of store {} is full", crate::shown::path(path))]
    DiskFull {
        /// The store.
        path: PathBuf,
    },
    /// The role or the mount may not write.
    #[error("slot {slot}: {why}")]
    ReadOnly {
        /// The slot.
        slot: SlotId,
        /// What makes it read-only.
        why: &'static str,
    },
    /// No such slot.
    #[error("there is no slot {slot}")]
    NoSuchSlot {
        /// The number asked for.
        slot: SlotId,
    },
    /// The slot is in use.
    #[error("slot {slot} already holds a partition")]
    SlotExists {
        /// The slot.
        slot: SlotId,
    },
    /// No such object.
    #[error("slot {slot}: there is no object {handle}")]
    NoSuchObject {
        /// The slot.
        slot: SlotId,
        /// The handle asked for.
        handle: Handle,
    },
    /// No file of that name.
    #[error("no such file")]
    NoSuchFile,
    /// The inode's object was destroyed.
    #[error("the object is gone")]
    Gone,
    /// Something in the store does not hold.
    #[error("store damaged: {what}")]
    Damaged {
        /// The row and what is wrong with it.
        what: String,
    },
    /// The store could not be opened or used.
    #[error("store {}: {why}", crate::shown::path(path))]
    Store {
        /// The store.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// The store cannot be written.
    #[error("store {} cannot be written", crate::shown::path(path))]
    StoreReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// Another process changed the slot while this was under way.
    #[error("slot {slot}: another process changed it meanwhile")]
    SlotChanged {
        /// The slot.
        slot: SlotId,
    },
    /// A file the user named could not be used.
    #[error("{}: {source}", crate::shown::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// What the user gave is not usable.
    #[error("{0}")]
    Usage(String),
    /// The user said no, or nobody could be asked.
    #[error("{0}")]
    NotConfirmed(String),
    /// A role that has a password already.
    #[error("slot {slot}: {role} is initialized already")]
    RoleExists {
        /// The slot.
        slot: SlotId,
        /// The role.
        role: Role,
    },
    /// The domains of a slot stay as they are.
    #[error("slot {slot}: domain '{label}': {why}")]
    Domain {
        /// The slot.
        slot: SlotId,
        /// The label that was given, escaped.
        label: String,
        /// Why.
        why: DomainFault,
    },
    /// Some objects of a list were not cloned.
    #[error("{failed} of {of} objects of slot {from} were not cloned to slot {to}")]
    CloneFailed {
        /// The source.
        from: SlotId,
        /// The target.
        to: SlotId,
        /// How many were not.
        failed: u64,
        /// Of how many.
        of: u64,
        /// What to do about it: a hint for each kind of reason.
        hints: Vec<String>,
    },
    /// No object of a list can be cloned.
    #[error("slot {slot}: none of the objects can be cloned, and nothing was done")]
    CloneNotAttempted {
        /// The source.
        slot: SlotId,
        /// What to do about it: a hint for each kind of reason.
        hints: Vec<String>,
    },
    /// Stopped by Ctrl-C.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// The mount could not be made or unmade.
    #[error("{what}")]
    Mount {
        /// What failed.
        what: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// The daemon that `mount` started failed and has said why.
    #[error("the daemon did not start")]
    Daemon {
        /// Its exit status.
        status: u8,
        /// What it wrote to standard output: a JSON document with its error.
        said: String,
    },
    /// The system has no random numbers to give.
    #[error("the system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The files at the store's path are no longer those that were opened.
    #[error(
        "store {}: {why}; nothing more is read from it or written to it",
        crate::shown::path(path)
    )]
    StoreLost {
        /// The store.
        path: PathBuf,
        /// Which file, and what became of it.
        why: String,
    },
    /// A file with a secret that everybody can change.
    #[error(
        "{}: everybody can write this file, so nothing in it is trusted",
        crate::shown::path(path)
    )]
    ExposedFile {
        /// The file.
        path: PathBuf,
    },
    /// Some new objects are stored, and the others are not, or not all was told.
    #[error("{why}; {made} of {of} were made and are on slot {slot}")]
    MadeSome {
        /// The slot they are in.
        slot: SlotId,
        /// How many.
        made: u64,
        /// Of how many.
        of: u64,
        /// What happened then.
        why: Box<Error>,
    },
    /// A file that was not imported, or not all of it.
    #[error("{what}")]
    Import {
        /// The file, and what became of it.
        what: String,
        /// What to do next: a command for this file, where there is one.
        hint: Option<String>,
    },
    /// A slot whose rows hold a value that slotfs does not write.
    #[error("store damaged: slot {slot}: {what}")]
    SlotDamaged {
        /// The slot.
        slot: SlotId,
        /// The column and what is wrong with it.
        what: String,
    },
    /// The same of an object.
    #[error("store damaged: {0}")]
    ObjectDamaged(DamagedRow),
    /// A row that was named because it is damaged, and is not.
    #[error("slot {slot}: row {row} is not damaged, it is object {handle}")]
    NotDamaged {
        /// The slot.
        slot: SlotId,
        /// The object.
        handle: Handle,
        /// Its row.
        row: i64,
    },
    /// Argon2id did not get its memory; the attempt was not counted.
    #[error("slot {slot}: not enough memory to log in ({kib} KiB); the attempt was not counted")]
    NoMemory {
        /// The slot.
        slot: SlotId,
        /// What its credential asks for.
        kib: u32,
    },
}

/// A result code as commands print it: a number and its PKCS#11 or vendor name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCode(pub u32, pub &'static str);

impl std::fmt::Display for ResultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:x} ({})", self.0, self.1)
    }
}

/// Exit statuses of every command. Numbers are never reused.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Some or all of the objects failed, or the operation was refused.
    pub const FAILED: u8 = 1;
    /// The command line is not usable.
    pub const USAGE: u8 = 2;
    /// Login failed, or is needed.
    pub const LOGIN: u8 = 3;
    /// The store could not be used.
    pub const STORE: u8 = 4;
    /// The mount could not be made or unmade.
    pub const MOUNT: u8 = 5;
    /// Stopped by Ctrl-C: what shells say of SIGINT.
    pub const INTERRUPTED: u8 = 130;
}

impl Error {
    /// The errno that the kernel hands to whoever asked (DESIGN.md 3).
    pub fn errno(&self) -> i32 {
        match self {
            Self::Unverified { .. }
            | Self::OtherIdentity { .. }
            | Self::PolicyRefuses { .. }
            | Self::RoleNeeded { .. } => libc::EACCES,
            Self::AlreadyLoggedIn { .. } => libc::EBUSY,
            Self::PayloadVersion { .. } => libc::EPROTONOSUPPORT,
            Self::NotLoggedIn { .. } => libc::ENOKEY,
            Self::ShareRefused {
                why: ShareFault::Repeated,
                ..
            } => libc::EALREADY,
            Self::PasswordWrong { .. }
            | Self::ShareRefused { .. }
            | Self::SharesMissing { .. }
            | Self::OtherAuthentication { .. }
            | Self::RoleMissing { .. } => libc::EKEYREJECTED,
            Self::Smk {
                why: SmkFault::Full,
                ..
            } => libc::ENOSPC,
            Self::NotForV0 { .. } => libc::EACCES,
            Self::Policy {
                why: PolicyFault::NotASwitch | PolicyFault::OutOfRange,
                ..
            } => libc::EINVAL,
            Self::Smk { .. } | Self::Policy { .. } => libc::EPERM,
            Self::RoleLocked { .. } => libc::EKEYREVOKED,
            Self::PolicyForbids { .. }
            | Self::NotSupported { .. }
            | Self::NotExportable { .. }
            | Self::NotConfirmed(_) => libc::EPERM,
            Self::IdentityClash { .. }
            | Self::HandleTaken { .. }
            | Self::NameTaken { .. }
            | Self::SlotExists { .. } => libc::EEXIST,
            Self::Interrupted(_) => libc::EINTR,
            Self::RoleExists { .. } => libc::EEXIST,
            Self::Domain { .. } => libc::EINVAL,
            Self::CloneFailed { .. } | Self::CloneNotAttempted { .. } => libc::EACCES,
            Self::BadName { .. }
            | Self::Usage(_)
            | Self::ObjectRefused { .. }
            | Self::Attribute(_)
            | Self::Import { .. } => libc::EINVAL,
            Self::NotEmpty { .. } => libc::ENOTEMPTY,
            Self::BlobTooLarge { .. } => libc::EFBIG,
            Self::SlotFull { .. }
            | Self::StagingFull { .. }
            | Self::TrashFull { .. }
            | Self::DiskFull { .. } => libc::ENOSPC,
            Self::ReadOnly { .. } | Self::StoreReadOnly { .. } => libc::EROFS,
            Self::SlotChanged { .. } => libc::EBUSY,
            Self::NoSuchSlot { .. }
            | Self::NoSuchObject { .. }
            | Self::NotInTrash { .. }
            | Self::NoSuchFile => libc::ENOENT,
            Self::Gone => libc::ESTALE,
            Self::Damaged { .. }
            | Self::Store { .. }
            | Self::ForeignSchema { .. }
            | Self::Random(_)
            | Self::Mount { .. }
            | Self::Daemon { .. } => libc::EIO,
            Self::StoreLost { .. } => libc::EIO,
            Self::SlotDamaged { .. } | Self::ObjectDamaged(_) => libc::EIO,
            Self::NotDamaged { .. } => libc::EINVAL,
            Self::File { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
            Self::ExposedFile { .. } => libc::EACCES,
            Self::MadeSome { why, .. } => why.errno(),
            Self::NoMemory { .. } => libc::ENOMEM,
        }
    }

    /// What a command prints after `Command Result : `.
    pub fn result_code(&self) -> ResultCode {
        match self {
            Self::Unverified {
                why: Fault::NoSmk, ..
            } => ResultCode(0x8000_0099, "CKR_SMK_ID_NOT_FOUND"),
            Self::Unverified { .. } | Self::OtherIdentity { .. } | Self::CloneFailed { .. } => {
                ResultCode(0x8000_0106, "CKR_FAILED_TO_CLONE_AN_OBJECT")
            }
            Self::RoleExists { .. } => ResultCode(0x8000_0030, "CKR_OPERATION_NOT_ALLOWED"),
            Self::Domain { why, .. } => domain_code(*why),
            Self::CloneNotAttempted { .. } => ResultCode(0x8000_0107, "CKR_CLONE_NOT_ATTEMPTED"),
            Self::PayloadVersion { .. } => ResultCode(0x8000_0112, "CKR_OBJECT_TYPE_INVALID"),
            Self::NotLoggedIn { .. } | Self::RoleNeeded { .. } => {
                ResultCode(0x101, "CKR_USER_NOT_LOGGED_IN")
            }
            Self::AlreadyLoggedIn { role, wanted, .. } if role == wanted => {
                ResultCode(0x100, "CKR_USER_ALREADY_LOGGED_IN")
            }
            Self::AlreadyLoggedIn { .. } => ResultCode(0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"),
            Self::PasswordWrong { .. }
            | Self::ShareRefused { .. }
            | Self::OtherAuthentication { .. } => ResultCode(0xa0, "CKR_PIN_INCORRECT"),
            Self::SharesMissing { .. } => ResultCode(0x101, "CKR_USER_NOT_LOGGED_IN"),
            Self::NotForV0 { .. } => ResultCode(0x8000_0018, "CKR_SIM_VERSION_UNSUPPORTED"),
            Self::Smk { why, .. } => match why {
                SmkFault::Full => ResultCode(0x8000_002c, "CKR_CONTAINER_OBJECT_STORAGE_FULL"),
                SmkFault::NoSuchKey => ResultCode(0x8000_0099, "CKR_SMK_ID_NOT_FOUND"),
                SmkFault::None | SmkFault::V1Already | SmkFault::Active => {
                    ResultCode(0x8000_0030, "CKR_OPERATION_NOT_ALLOWED")
                }
            },
            Self::Policy { why, .. } => match why {
                PolicyFault::Dependency => ResultCode(0x8000_007d, "CKR_CONFIG_FAILS_DEPENDENCIES"),
                PolicyFault::Incapable => ResultCode(0x8000_0030, "CKR_OPERATION_NOT_ALLOWED"),
                PolicyFault::NotASwitch | PolicyFault::OutOfRange => {
                    ResultCode(0x7, "CKR_ARGUMENTS_BAD")
                }
            },
            Self::RoleLocked { .. } => ResultCode(0x8000_0007, "CKR_USER_LOCKED_OUT"),
            Self::RoleMissing { .. } => ResultCode(0x102, "CKR_USER_PIN_NOT_INITIALIZED"),
            Self::PolicyForbids { .. } | Self::PolicyRefuses { .. } | Self::NotSupported { .. } => {
                ResultCode(0x8000_0030, "CKR_OPERATION_NOT_ALLOWED")
            }
            Self::IdentityClash { .. } | Self::HandleTaken { .. } | Self::NameTaken { .. } => {
                ResultCode(0x8000_006f, "CKR_OBJECT_ALREADY_EXISTS")
            }
            Self::SlotExists { .. }
            | Self::NotEmpty { .. }
            | Self::NotConfirmed(_)
            | Self::Interrupted(_) => ResultCode(0x50, "CKR_FUNCTION_CANCELED"),
            Self::BadName { .. } | Self::Usage(_) => ResultCode(0x7, "CKR_ARGUMENTS_BAD"),
            Self::ObjectRefused { .. } => ResultCode(0xd1, "CKR_TEMPLATE_INCONSISTENT"),
            Self::Attribute(why) => match why {
                AttributeError::Form(_) => ResultCode(0x7, "CKR_ARGUMENTS_BAD"),
                AttributeError::ReadOnly(..) => ResultCode(0x10, "CKR_ATTRIBUTE_READ_ONLY"),
                AttributeError::Unknown(_) | AttributeError::NotOfClass(..) => {
                    ResultCode(0x12, "CKR_ATTRIBUTE_TYPE_INVALID")
                }
                AttributeError::Value(..) => ResultCode(0x13, "CKR_ATTRIBUTE_VALUE_INVALID"),
                AttributeError::Twice(_)
                | AttributeError::Incapable(..)
                | AttributeError::Dates
                | AttributeError::TooLarge => ResultCode(0xd1, "CKR_TEMPLATE_INCONSISTENT"),
            },
            Self::NotExportable { .. } => ResultCode(0x6a, "CKR_KEY_UNEXTRACTABLE"),
            Self::BlobTooLarge { .. } => ResultCode(0x21, "CKR_DATA_LEN_RANGE"),
            Self::SlotFull { .. } | Self::StagingFull { .. } | Self::TrashFull { .. } => {
                ResultCode(0x8000_002c, "CKR_CONTAINER_OBJECT_STORAGE_FULL")
            }
            Self::DiskFull { .. } => ResultCode(0x8000_002a, "CKR_HSM_STORAGE_FULL"),
            Self::ReadOnly { .. } | Self::StoreReadOnly { .. } => {
                ResultCode(0xe2, "CKR_TOKEN_WRITE_PROTECTED")
            }
            Self::SlotChanged { .. } => ResultCode(0x6, "CKR_FUNCTION_FAILED"),
            Self::NoSuchSlot { .. } => ResultCode(0x3, "CKR_SLOT_ID_INVALID"),
            Self::NoSuchObject { .. } | Self::NotInTrash { .. } | Self::NoSuchFile | Self::Gone => {
                ResultCode(0x82, "CKR_OBJECT_HANDLE_INVALID")
            }
            Self::Damaged { .. } => ResultCode(0x30, "CKR_DEVICE_ERROR"),
            Self::Store { .. } | Self::ForeignSchema { .. } => ResultCode(0x30, "CKR_DEVICE_ERROR"),
            Self::File { .. } | Self::Mount { .. } | Self::Daemon { .. } => {
                ResultCode(0x6, "CKR_FUNCTION_FAILED")
            }
            Self::Random(_) => ResultCode(0x121, "CKR_RANDOM_NO_RNG"),
            Self::StoreLost { .. } => ResultCode(0x30, "CKR_DEVICE_ERROR"),
            Self::ExposedFile { .. } => ResultCode(0x6, "CKR_FUNCTION_FAILED"),
            Self::MadeSome { why, .. } => why.result_code(),
            Self::Import { .. } => ResultCode(0xd1, "CKR_TEMPLATE_INCONSISTENT"),
            Self::SlotDamaged { .. } | Self::ObjectDamaged(_) => {
                ResultCode(0x30, "CKR_DEVICE_ERROR")
            }
            Self::NotDamaged { .. } => ResultCode(0x82, "CKR_OBJECT_HANDLE_INVALID"),
            Self::NoMemory { .. } => ResultCode(0x2, "CKR_HOST_MEMORY"),
        }
    }

    /// The process's exit status when a command ends with this.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::BadName { .. }
            | Self::Attribute(AttributeError::Form(_))
            | Self::Policy {
                why: PolicyFault::NotASwitch | PolicyFault::OutOfRange,
                ..
            } => exit::USAGE,
            Self::NotLoggedIn { .. }
            | Self::RoleNeeded { .. }
            | Self::AlreadyLoggedIn { .. }
            | Self::PasswordWrong { .. }
            | Self::ShareRefused { .. }
            | Self::SharesMissing { .. }
            | Self::OtherAuthentication { .. }
            | Self::RoleLocked { .. }
            | Self::RoleMissing { .. }
            | Self::NoMemory { .. } => exit::LOGIN,
            Self::Damaged { .. }
            | Self::Store { .. }
            | Self::ForeignSchema { .. }
            | Self::StoreReadOnly { .. }
            | Self::DiskFull { .. } => exit::STORE,
            Self::Mount { .. } => exit::MOUNT,
            Self::Interrupted(_) => exit::INTERRUPTED,
            Self::Daemon { status, .. } => *status,
            Self::Unverified { .. }
            | Self::OtherIdentity { .. }
            | Self::PayloadVersion { .. }
            | Self::PolicyForbids { .. }
            | Self::PolicyRefuses { .. }
            | Self::NotSupported { .. }
            | Self::IdentityClash { .. }
            | Self::HandleTaken { .. }
            | Self::NameTaken { .. }
            | Self::NotEmpty { .. }
            | Self::BlobTooLarge { .. }
            | Self::ObjectRefused { .. }
            | Self::Attribute(_)
            | Self::NotExportable { .. }
            | Self::SlotFull { .. }
            | Self::StagingFull { .. }
            | Self::TrashFull { .. }
            | Self::ReadOnly { .. }
            | Self::SlotChanged { .. }
            | Self::NoSuchSlot { .. }
            | Self::SlotExists { .. }
            | Self::NoSuchObject { .. }
            | Self::NotInTrash { .. }
            | Self::NoSuchFile
            | Self::Gone
            | Self::File { .. }
            | Self::RoleExists { .. }
            | Self::Domain { .. }
            | Self::Smk { .. }
            | Self::NotForV0 { .. }
            | Self::Policy { .. }
            | Self::CloneFailed { .. }
            | Self::CloneNotAttempted { .. }
            | Self::NotConfirmed(_)
            | Self::Random(_)
            | Self::Import { .. } => exit::FAILED,
            Self::StoreLost { .. } => exit::STORE,
            Self::ExposedFile { .. } => exit::FAILED,
            Self::MadeSome { why, .. } => why.exit_status(),
            Self::SlotDamaged { .. } | Self::ObjectDamaged(_) => exit::STORE,
            Self::NotDamaged { .. } => exit::FAILED,
        }
    }

    /// How loudly the log should say it: a lookup that finds nothing is no warning.
    pub fn level(&self) -> Level {
        match self {
            Self::NoSuchFile
            | Self::NoSuchSlot { .. }
            | Self::NoSuchObject { .. }
            | Self::NotInTrash { .. }
            | Self::Gone
            | Self::NotLoggedIn { .. }
            | Self::NotSupported { .. }
            | Self::HandleTaken { .. }
            | Self::NameTaken { .. }
            | Self::NotEmpty { .. } => Level::Debug,
            Self::Unverified { .. }
            | Self::OtherIdentity { .. }
            | Self::PayloadVersion { .. }
            | Self::PasswordWrong { .. }
            | Self::ShareRefused { .. }
            | Self::SharesMissing { .. }
            | Self::OtherAuthentication { .. }
            | Self::NotForV0 { .. }
            | Self::Smk { .. }
            | Self::Policy { .. }
            | Self::RoleLocked { .. }
            | Self::RoleMissing { .. }
            | Self::RoleNeeded { .. }
            | Self::AlreadyLoggedIn { .. }
            | Self::PolicyForbids { .. }
            | Self::PolicyRefuses { .. }
            | Self::IdentityClash { .. }
            | Self::BadName { .. }
            | Self::BlobTooLarge { .. }
            | Self::ObjectRefused { .. }
            | Self::Attribute(_)
            | Self::NotExportable { .. }
            | Self::SlotFull { .. }
            | Self::StagingFull { .. }
            | Self::TrashFull { .. }
            | Self::ReadOnly { .. }
            | Self::SlotChanged { .. }
            | Self::StoreReadOnly { .. }
            | Self::SlotExists { .. }
            | Self::Usage(_)
            | Self::NotConfirmed(_)
            | Self::Interrupted(_)
            | Self::RoleExists { .. }
            | Self::Domain { .. }
            | Self::CloneFailed { .. }
            | Self::CloneNotAttempted { .. }
            | Self::File { .. }
            | Self::Import { .. } => Level::Warn,
            Self::DiskFull { .. }
            | Self::Damaged { .. }
            | Self::Store { .. }
            | Self::ForeignSchema { .. }
            | Self::Mount { .. }
            | Self::Daemon { .. }
            | Self::Random(_)
            | Self::NoMemory { .. } => Level::Error,
            // Said once, loudly, when it is found out; then every request fails with it.
            Self::StoreLost { .. } => Level::Debug,
            Self::ExposedFile { .. } => Level::Warn,
            Self::MadeSome { why, .. } => why.level(),
            Self::SlotDamaged { .. } | Self::ObjectDamaged(_) => Level::Error,
            Self::NotDamaged { .. } => Level::Warn,
        }
    }

    /// Whether it is about one blob: the journal writes those down, whoever gives them.
    pub fn is_verdict(&self) -> bool {
        self.is_for_ever() || matches!(self, Self::SlotFull { .. })
    }

    /// Whether the same bytes would fail again: what was staged of them is of no use.
    pub fn is_for_ever(&self) -> bool {
        matches!(
            self,
            Self::Unverified { .. }
                | Self::OtherIdentity { .. }
                | Self::PayloadVersion { .. }
                | Self::PolicyRefuses { .. }
                | Self::IdentityClash { .. }
                | Self::BlobTooLarge { .. }
        )
    }

    /// The same once more: one failure that fails many, such as a transaction around many writes.
    pub fn again(&self) -> Self {
        match self {
            Self::DiskFull { path } => Self::DiskFull { path: path.clone() },
            Self::StoreReadOnly { path } => Self::StoreReadOnly { path: path.clone() },
            Self::Store { path, why } => Self::Store {
                path: path.clone(),
                why: why.clone(),
            },
            Self::NotLoggedIn { slot } => Self::NotLoggedIn { slot: *slot },
            Self::SlotChanged { slot } => Self::SlotChanged { slot: *slot },
            Self::ReadOnly { slot, why } => Self::ReadOnly { slot: *slot, why },
            Self::RoleNeeded { slot, role, needed } => Self::RoleNeeded {
                slot: *slot,
                role: *role,
                needed: *needed,
            },
            Self::Damaged { what } => Self::Damaged { what: what.clone() },
            Self::Random(error) => Self::Random(*error),
            Self::StoreLost { path, why } => Self::StoreLost {
                path: path.clone(),
                why: why.clone(),
            },
            Self::SlotDamaged { slot, what } => Self::SlotDamaged {
                slot: *slot,
                what: what.clone(),
            },
            Self::ObjectDamaged(row) => Self::ObjectDamaged(row.clone()),
            other => Self::Damaged {
                what: other.to_string(),
            },
        }
    }

    /// Whether a part of the store is to blame that slotfs did not leave so.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::SlotDamaged { .. } | Self::ObjectDamaged(_)
        )
    }

    /// What to do next, where that is not obvious from what happened.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unverified { why, .. } if *why == Fault::NoDomain => {
                "a slot accepts only what was sealed under one of its own domains; 'slotfs partition domainlist' on both slots shows whether they share one".into()
            }
            Self::Unverified { why: Fault::NoSmk, .. } => {
                "a V1 slot's objects open where its storage master key is: 'slotfs partition smkclone', or copy its .slotfs/smk first".into()
            }
            Self::Unverified { why: Fault::NotForV0(_), .. } | Self::NotForV0 { .. } => {
                "clone to a V1 slot that holds the storage master key, or make this one V1: 'slotfs partition upgrade'".into()
            }
            Self::ShareRefused { .. } | Self::SharesMissing { .. } => {
                "give other shares of the set: --share-file SLOT:ROLE=FILE, once for each".into()
            }
            Self::OtherAuthentication { slot, kind: SlotKind::Quorum } => {
                format!("give --share-file {slot}:ROLE=FILE, once for each key share")
            }
            Self::OtherAuthentication { slot, kind: SlotKind::Password } => {
                format!("give --password-file {slot}:ROLE=FILE")
            }
            Self::Smk { why, .. } => match why {
                SmkFault::None => "'slotfs partition upgrade' makes it V1".into(),
                SmkFault::Full => "'slotfs partition smkdelete' takes one away".into(),
                SmkFault::NoSuchKey => "'slotfs partition smklist' shows them".into(),
                SmkFault::Active => "'slotfs partition smknew' makes another one active".into(),
                SmkFault::V1Already => return None,
            },
            Self::NotLoggedIn { slot } => {
                format!(
                    "'role login -name co' in the shell; on a mount, write the password to {slot}/.slotfs/login"
                )
            }
            Self::AlreadyLoggedIn { .. } => "'role logout' logs out".into(),
            Self::RoleNeeded { needed, .. } => {
                format!("'role logout', then 'role login -name {needed}'")
            }
            Self::IdentityClash { .. } => {
                "an object with this identity but other content is in the slot; compare the two before you remove either".into()
            }
            Self::RoleExists { role: Role::Po, .. } => "'role changepw' changes its password".into(),
            Self::RoleExists { .. } => {
                "'role changepw' changes its password; po can reset it with 'role resetpw'".into()
            }
            Self::RoleMissing { role, .. } => {
                format!("'role init -name {role}' gives it a password")
            }
            Self::RoleLocked { role: Role::Po, .. } => {
                "nobody can reset po; clone the objects out by co, and make the partition anew".into()
            }
            Self::RoleLocked { role: Role::Co, .. } => {
                "po can reset it: 'role resetpw -name co'; cu loses its password with it".into()
            }
            Self::RoleLocked { role: Role::Cu, .. } => {
                "po can reset it: 'role resetpw -name cu'; co loses its password with it".into()
            }
            Self::Domain { why, .. } => domain_hint(*why)?.into(),
            Self::CloneFailed { hints, .. } | Self::CloneNotAttempted { hints, .. } => {
                match hints.is_empty() {
                    true => "each line says why".into(),
                    false => format!("each line says why; {}", hints.join("; ")),
                }
            }
            Self::NoSuchSlot { .. } => "'slotfs slot list' shows the slots of this store".into(),
            Self::SlotExists { .. } => {
                "-force destroys everything in it and makes a new partition".into()
            }
            Self::TrashFull { slot } => {
                format!(
                    "destroy what is in {slot}/.slotfs/trash and not needed, or have 'partition set -retention' end its time sooner"
                )
            }
            Self::ForeignSchema { .. } => {
                "somebody changed it who can write the file; 'slotfs store check' says more, and a backup from before is whole".into()
            }
            Self::NotInTrash { .. } => "'slotfs object trash' lists what is there".into(),
            Self::NoSuchObject { .. } => "'slotfs partition contents' lists the handles".into(),
            Self::Damaged { .. } => {
                "restore the store from a backup; the objects that still open can be copied out first".into()
            }
            Self::SlotChanged { .. } => "what is not told as done was not done; try again with that".into(),
            Self::StoreReadOnly { .. } => {
                "give the store's file and its folder to the user that runs slotfs, or mount with -o ro".into()
            }
            Self::DiskFull { .. } => "nothing was lost; free some space, or raise the limit of file sizes (ulimit -f), and try again".into(),
            Self::Mount { hint, .. } | Self::Import { hint, .. } => hint.clone()?,
            Self::ObjectRefused { hint, .. } => (*hint)?.to_owned(),
            Self::Attribute(why) => why.hint()?.to_owned(),
            Self::NotExportable {
                why: ExportError::Unextractable(_),
                ..
            } => "clone it instead: copy its file from the mount to another slot or a backup".into(),
            Self::StoreLost { path, .. } => {
                format!(
                    "only what was reported as done before is done; unmount and end what uses the store, put its file back or restore a backup after removing {0}-wal and {0}-shm, then try again",
                    crate::shown::path(path)
                )
            }
            Self::Unverified { .. }
            | Self::OtherIdentity { .. }
            | Self::PayloadVersion { .. }
            | Self::PasswordWrong { .. }
            | Self::Policy { .. }
            | Self::PolicyForbids { .. }
            | Self::PolicyRefuses { .. }
            | Self::NotSupported { .. }
            | Self::HandleTaken { .. }
            | Self::NameTaken { .. }
            | Self::NotEmpty { .. }
            | Self::BadName { .. }
            | Self::BlobTooLarge { .. }
            | Self::NotExportable { .. }
            | Self::SlotFull { .. }
            | Self::StagingFull { .. }
            | Self::ReadOnly { .. }
            | Self::NoSuchFile
            | Self::Gone
            | Self::Store { .. }
            | Self::File { .. }
            | Self::Usage(_)
            | Self::NotConfirmed(_)
            | Self::Interrupted(_)
            | Self::Daemon { .. }
            | Self::Random(_) => return None,
            Self::ExposedFile { .. } => {
                "make sure that its content is yours, then 'chmod 600' it".into()
            }
            Self::MadeSome { why, .. } => why
                .hint()
                .unwrap_or_else(|| "'slotfs partition contents' lists them".into()),
            Self::SlotDamaged { slot, .. } => format!(
                "the other slots are not affected; restore a backup, or destroy this one: 'slotfs partition delete -slot {slot}'"
            ),
            Self::ObjectDamaged(row) => damaged_object_hint(row),
            Self::NotDamaged { handle, .. } => format!("'slotfs object delete -handle {handle}' removes it"),
            Self::NoMemory { .. } => {
                "raise the limit of address space (ulimit -v), or end other programs".into()
            }
        })
    }
}

/// What everything that can fail returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn damaged_object_hint(row: &DamagedRow) -> String {
    let whose = match row.slot {
        Some(slot) => format!(" -slot {slot}"),
        None => String::new(),
    };
    format!(
        "the other objects are not affected; restore a backup, or destroy this one: 'slotfs object delete -row {}{whose}'",
        row.id
    )
}

fn what_it_takes(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Password => "it takes a password, and key shares do not apply",
        SlotKind::Quorum => "it takes key shares, and -password does not apply",
    }
}

fn domain_code(why: DomainFault) -> ResultCode {
    match why {
        DomainFault::Full => ResultCode(0x8000_011f, "CKR_DOMAIN_MAX_REACHED"),
        DomainFault::NoSuchLabel => ResultCode(0x8000_0009, "CKR_CLONING_PARAMETER_MISSING"),
        DomainFault::LabelTaken => ResultCode(0x8000_011e, "CKR_DOMAIN_LABEL_ALREADY_EXISTS"),
        DomainFault::BadLabel => ResultCode(0x8000_011d, "CKR_DOMAIN_LABEL_INVALID"),
        DomainFault::Duplicate => ResultCode(0x8000_0008, "CKR_CLONING_PARAMETER_ALREADY_EXISTS"),
        DomainFault::Last => ResultCode(0x8000_011c, "CKR_DOMAIN_MANAGEMENT_NOT_ALLOWED"),
        DomainFault::Primary => ResultCode(0x8000_0120, "CKR_DOMAIN_NO_PRIMARY"),
    }
}

fn domain_hint(why: DomainFault) -> Option<&'static str> {
    match why {
        DomainFault::Full => Some("'partition domaindelete' makes room"),
        DomainFault::NoSuchLabel => Some("'partition domainlist' shows the labels"),
        DomainFault::Primary => Some(
            "make another one primary first: 'partition domainchangelabel -domainlabel OTHER -primary'",
        ),
        DomainFault::Last => Some("add another one first: 'partition domainadd'"),
        DomainFault::LabelTaken | DomainFault::BadLabel | DomainFault::Duplicate => None,
    }
}
