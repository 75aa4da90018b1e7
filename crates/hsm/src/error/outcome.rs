//! What each error becomes for the kernel, for commands, for scripts and for the log: one row for each error, so that
//! none of the four is forgotten.

use libc::{
    EACCES, EALREADY, EBUSY, EEXIST, EINTR, EINVAL, EIO, EKEYEXPIRED, EKEYREJECTED, EKEYREVOKED,
    ENOENT,
};
use libc::{ENOKEY, ENOMEM, ENOSPC, EPERM, EPROTONOSUPPORT, EROFS, ESTALE, ETIMEDOUT};
use log::Level;

use super::{Error, SlotError};
use crate::{DomainFault, PolicyFault, SmkFault};
use slotfs_object::attributes::AttributeError;
use slotfs_object::revision::ReviseError;
use slotfs_seal::blob::Fault;
use slotfs_seal::credential::ShareFault;
use slotfs_store::{self as store, SlotFault, StoreFault};

/// A result code as commands print it: a number and its PKCS#11 or vendor name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCode(pub u32, pub &'static str);

impl std::fmt::Display for ResultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:x} ({})", self.0, self.1)
    }
}

/// Result codes: PKCS#11 3.1, and the vendor's from 0x80000000.
pub mod code {
    use super::ResultCode;

    macro_rules! codes {
        ($($name:ident = $number:literal),* $(,)?) => {$(
            #[doc = concat!("CKR_", stringify!($name))]
            pub const $name: ResultCode = ResultCode($number, concat!("CKR_", stringify!($name)));
        )*};
    }

    codes! {
        HOST_MEMORY = 0x2,
        SLOT_ID_INVALID = 0x3,
        FUNCTION_FAILED = 0x6,
        ARGUMENTS_BAD = 0x7,
        ATTRIBUTE_READ_ONLY = 0x10,
        ATTRIBUTE_TYPE_INVALID = 0x12,
        ATTRIBUTE_VALUE_INVALID = 0x13,
        ACTION_PROHIBITED = 0x1b,
        DATA_LEN_RANGE = 0x21,
        DEVICE_ERROR = 0x30,
        FUNCTION_CANCELED = 0x50,
        KEY_UNEXTRACTABLE = 0x6a,
        OBJECT_HANDLE_INVALID = 0x82,
        PIN_INCORRECT = 0xa0,
        TEMPLATE_INCONSISTENT = 0xd1,
        TOKEN_WRITE_PROTECTED = 0xe2,
        USER_ALREADY_LOGGED_IN = 0x100,
        USER_NOT_LOGGED_IN = 0x101,
        USER_PIN_NOT_INITIALIZED = 0x102,
        USER_ANOTHER_ALREADY_LOGGED_IN = 0x104,
        RANDOM_NO_RNG = 0x121,
        USER_LOCKED_OUT = 0x8000_0007,
        CLONING_PARAMETER_ALREADY_EXISTS = 0x8000_0008,
        CLONING_PARAMETER_MISSING = 0x8000_0009,
        SIM_VERSION_UNSUPPORTED = 0x8000_0018,
        HSM_STORAGE_FULL = 0x8000_002a,
        CONTAINER_OBJECT_STORAGE_FULL = 0x8000_002c,
        OPERATION_NOT_ALLOWED = 0x8000_0030,
        OBJECT_ALREADY_EXISTS = 0x8000_006f,
        CONFIG_FAILS_DEPENDENCIES = 0x8000_007d,
        SMK_ID_NOT_FOUND = 0x8000_0099,
        FAILED_TO_CLONE_AN_OBJECT = 0x8000_0106,
        CLONE_NOT_ATTEMPTED = 0x8000_0107,
        OBJECT_TYPE_INVALID = 0x8000_0112,
        DOMAIN_MANAGEMENT_NOT_ALLOWED = 0x8000_011c,
        DOMAIN_LABEL_INVALID = 0x8000_011d,
        DOMAIN_LABEL_ALREADY_EXISTS = 0x8000_011e,
        DOMAIN_MAX_REACHED = 0x8000_011f,
        DOMAIN_NO_PRIMARY = 0x8000_0120,
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

/// What an error becomes for each reader of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For the kernel, which hands it to the program that asked.
    pub errno: i32,
    /// What a command prints after `Command Result : `.
    pub code: ResultCode,
    /// The exit status of a command that ends with it.
    pub exit: u8,
    /// How loudly the log says it: a lookup that finds nothing is no warning.
    pub level: Level,
}

impl Outcome {
    /// Refused, and worth a warning in the log.
    pub const fn refused(errno: i32, code: ResultCode) -> Self {
        Self {
            errno,
            code,
            exit: exit::FAILED,
            level: Level::Warn,
        }
    }

    /// The everyday answer to a request: a warning for each would hide the others.
    pub const fn quiet(errno: i32, code: ResultCode) -> Self {
        Self::refused(errno, code).at(Level::Debug)
    }

    /// The login failed, or there is none.
    const fn login(errno: i32, code: ResultCode) -> Self {
        Self::refused(errno, code).exits(exit::LOGIN)
    }

    const fn exits(self, exit: u8) -> Self {
        Self { exit, ..self }
    }

    const fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// What the user gave has a form that is not taken.
    pub const USAGE: Self = Self::refused(EINVAL, code::ARGUMENTS_BAD).exits(exit::USAGE);

    /// The store cannot be used, or not all of it.
    const STORE: Self = Self::refused(EIO, code::DEVICE_ERROR)
        .exits(exit::STORE)
        .at(Level::Error);

    const GONE: Self = Self::quiet(ESTALE, code::OBJECT_HANDLE_INVALID);
    const NO_RANDOM: Self = Self::refused(EIO, code::RANDOM_NO_RNG).at(Level::Error);
    const NOT_ALLOWED: Self = Self::refused(EPERM, code::OPERATION_NOT_ALLOWED);
    const FULL: Self = Self::refused(ENOSPC, code::CONTAINER_OBJECT_STORAGE_FULL);
}

impl Error {
    /// What it becomes for each reader of it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Slot { why, .. } => why.outcome(),
            Self::ObjectDamaged(_) | Self::Damaged(_) => Outcome::STORE,
            Self::Gone => Outcome::GONE,
            Self::Store(error) => of_store(error),
            Self::State(_) => Outcome::refused(EIO, code::FUNCTION_FAILED),
            Self::Random(_) => Outcome::NO_RANDOM,
            Self::ObjectRefused(_) => Outcome::refused(EINVAL, code::TEMPLATE_INCONSISTENT),
        }
    }
}

impl SlotError {
    fn outcome(&self) -> Outcome {
        use PolicyFault::{Dependency, Incapable, NotASwitch, OutOfRange};
        let (refused, login) = (Outcome::refused, Outcome::login);
        match self {
            Self::Stored(fault) => of_slot(fault),
            Self::NotLoggedIn => login(ENOKEY, code::USER_NOT_LOGGED_IN).at(Level::Debug),
            Self::AlreadyLoggedIn { role, wanted } => match role == wanted {
                true => login(EBUSY, code::USER_ALREADY_LOGGED_IN),
                false => login(EBUSY, code::USER_ANOTHER_ALREADY_LOGGED_IN),
            },
            Self::RoleNeeded { .. } => login(EACCES, code::USER_NOT_LOGGED_IN),
            Self::ShareRefused { why, .. } if *why == ShareFault::Repeated => {
                login(EALREADY, code::PIN_INCORRECT)
            }
            Self::PasswordWrong { .. }
            | Self::ShareRefused { .. }
            | Self::OtherAuthentication(_) => login(EKEYREJECTED, code::PIN_INCORRECT),
            Self::SharesMissing { .. } => login(EKEYREJECTED, code::USER_NOT_LOGGED_IN),
            Self::RoleLocked(_) => login(EKEYREVOKED, code::USER_LOCKED_OUT),
            Self::RoleMissing(_) => login(EKEYREJECTED, code::USER_PIN_NOT_INITIALIZED),
            Self::Older { .. } => login(EKEYEXPIRED, code::OPERATION_NOT_ALLOWED).at(Level::Error),
            Self::RoleExists(_) => refused(EEXIST, code::OPERATION_NOT_ALLOWED),
            Self::Miscounted(_) => Outcome::STORE,
            Self::NoMemory { .. } => login(ENOMEM, code::HOST_MEMORY).at(Level::Error),
            Self::NoMemoryForPassword { .. } => refused(ENOMEM, code::HOST_MEMORY).at(Level::Error),
            Self::Malformed(_) => Outcome::USAGE,
            Self::ReadOnly(_) => refused(EROFS, code::TOKEN_WRITE_PROTECTED),
            Self::Policy { why, .. } => match why {
                Dependency => refused(EPERM, code::CONFIG_FAILS_DEPENDENCIES),
                Incapable => Outcome::NOT_ALLOWED,
                NotASwitch | OutOfRange => Outcome::USAGE,
            },
            Self::Domain { why, .. } => refused(EINVAL, of_domain(*why)),
            Self::Smk(SmkFault::Full) => Outcome::FULL,
            Self::Smk(SmkFault::NoSuchKey) => refused(EPERM, code::SMK_ID_NOT_FOUND),
            Self::Smk(SmkFault::None | SmkFault::V1Already | SmkFault::Active)
            | Self::PolicyForbids(_)
            | Self::NotForUsers(_) => Outcome::NOT_ALLOWED,
            Self::PolicyRefuses(_) | Self::Smk(SmkFault::Deleted) => {
                refused(EACCES, code::OPERATION_NOT_ALLOWED)
            }
            Self::Smk(SmkFault::Constant) => refused(EACCES, code::FAILED_TO_CLONE_AN_OBJECT),
            Self::NotForV0 { .. } => refused(EACCES, code::SIM_VERSION_UNSUPPORTED),
            Self::Unverified(Fault::NoSmk) => refused(EACCES, code::SMK_ID_NOT_FOUND),
            Self::Unverified(_) | Self::OtherIdentity { .. } | Self::RevisionTooHigh(_) => {
                refused(EACCES, code::FAILED_TO_CLONE_AN_OBJECT)
            }
            Self::PayloadVersion(..) => refused(EPROTONOSUPPORT, code::OBJECT_TYPE_INVALID),
            Self::NotDescribed { why, .. } => of_revision(why),
            Self::TooManyTrusted(_) => Outcome::FULL,
            Self::NotUsable { .. } => refused(EPERM, code::ACTION_PROHIBITED),
            Self::NoSuchObject(_) | Self::NoSuchIdentity(_) | Self::NotInTrash(_) => {
                Outcome::quiet(ENOENT, code::OBJECT_HANDLE_INVALID)
            }
        }
    }
}

fn of_revision(why: &ReviseError) -> Outcome {
    let refused = Outcome::refused;
    match why {
        ReviseError::Unmodifiable | ReviseError::Exhausted => {
            refused(EPERM, code::ACTION_PROHIBITED)
        }
        ReviseError::Fixed(_) | ReviseError::OneWay(..) => {
            refused(EPERM, code::ATTRIBUTE_READ_ONLY)
        }
        ReviseError::NotOfClass(..) => refused(EINVAL, code::ATTRIBUTE_TYPE_INVALID),
        ReviseError::Type(_) => refused(EINVAL, code::ATTRIBUTE_VALUE_INVALID),
        ReviseError::Attribute(why) => of_attribute(why),
    }
}

/// An attribute that was given, of a new object or a stored one.
pub fn of_attribute(why: &AttributeError) -> Outcome {
    let refused = Outcome::refused;
    match why {
        AttributeError::Form(_) => Outcome::USAGE,
        AttributeError::Unknown(_) | AttributeError::NotOfClass(..) => {
            refused(EINVAL, code::ATTRIBUTE_TYPE_INVALID)
        }
        AttributeError::ReadOnly(..) => refused(EINVAL, code::ATTRIBUTE_READ_ONLY),
        AttributeError::Value(..) => refused(EINVAL, code::ATTRIBUTE_VALUE_INVALID),
        AttributeError::Twice(_)
        | AttributeError::Incapable(..)
        | AttributeError::Dates
        | AttributeError::TooLarge => refused(EINVAL, code::TEMPLATE_INCONSISTENT),
    }
}

fn of_domain(why: DomainFault) -> ResultCode {
    match why {
        DomainFault::Full => code::DOMAIN_MAX_REACHED,
        DomainFault::NoSuchLabel => code::CLONING_PARAMETER_MISSING,
        DomainFault::LabelTaken => code::DOMAIN_LABEL_ALREADY_EXISTS,
        DomainFault::BadLabel => code::DOMAIN_LABEL_INVALID,
        DomainFault::Duplicate => code::CLONING_PARAMETER_ALREADY_EXISTS,
        DomainFault::Last => code::DOMAIN_MANAGEMENT_NOT_ALLOWED,
        DomainFault::Primary => code::DOMAIN_NO_PRIMARY,
    }
}

fn of_slot(fault: &SlotFault) -> Outcome {
    let (refused, quiet) = (Outcome::refused, Outcome::quiet);
    match fault {
        SlotFault::Missing => quiet(ENOENT, code::SLOT_ID_INVALID),
        SlotFault::Exists => refused(EEXIST, code::FUNCTION_CANCELED),
        // Above the store this is NotLoggedIn.
        SlotFault::Replaced => Outcome::login(ENOKEY, code::USER_NOT_LOGGED_IN),
        SlotFault::Changed | SlotFault::Resealing => refused(EBUSY, code::FUNCTION_FAILED),
        SlotFault::Full | SlotFault::TrashFull => Outcome::FULL,
        SlotFault::HandleTaken(_) | SlotFault::Outdated(_) => {
            quiet(EEXIST, code::OBJECT_ALREADY_EXISTS)
        }
        SlotFault::IdentityClash { .. } => refused(EEXIST, code::OBJECT_ALREADY_EXISTS),
        SlotFault::Removed(_) => quiet(EEXIST, code::FUNCTION_CANCELED),
        SlotFault::NotDamaged { .. } => refused(EINVAL, code::OBJECT_HANDLE_INVALID),
        SlotFault::Damaged(_) | SlotFault::Unreadable { .. } | SlotFault::WouldLose(_) => {
            Outcome::STORE
        }
    }
}

fn of_store(error: &store::Error) -> Outcome {
    let refused = Outcome::refused;
    match error {
        store::Error::Store { why, .. } => match why {
            StoreFault::DiskFull => refused(ENOSPC, code::HSM_STORAGE_FULL)
                .exits(exit::STORE)
                .at(Level::Error),
            StoreFault::ReadOnly => refused(EROFS, code::TOKEN_WRITE_PROTECTED).exits(exit::STORE),
            // Told once, loudly, when it is found out; then every request fails with it.
            StoreFault::Lost(_) => Outcome::STORE.at(Level::Debug),
            // Never EIO, which says damage, and never what makes tools try again without end.
            StoreFault::Unreachable(_) | StoreFault::InDoubt => {
                refused(ETIMEDOUT, code::DEVICE_ERROR).exits(exit::STORE)
            }
            StoreFault::WentBack(_) => refused(ESTALE, code::DEVICE_ERROR).exits(exit::STORE),
            StoreFault::QuotaFull => refused(ENOSPC, code::HSM_STORAGE_FULL)
                .exits(exit::STORE)
                .at(Level::Error),
            StoreFault::Missing | StoreFault::ForeignSchema(_) | StoreFault::Failed(_) => {
                Outcome::STORE
            }
        },
        store::Error::File { source, .. } => {
            refused(source.raw_os_error().unwrap_or(EIO), code::FUNCTION_FAILED)
        }
        store::Error::Target { .. } => Outcome::USAGE,
        store::Error::TargetExists(_) => refused(EPERM, code::FUNCTION_CANCELED),
        store::Error::Stopped(_) => {
            refused(EINTR, code::FUNCTION_CANCELED).exits(exit::INTERRUPTED)
        }
        store::Error::Slot { why, .. } => of_slot(why),
        store::Error::Object(_) | store::Error::Damaged(_) => Outcome::STORE,
        store::Error::Gone => Outcome::GONE,
        store::Error::Random(_) => Outcome::NO_RANDOM,
    }
}
