//! What a command or a request ends with when it fails, and what that becomes for each who meets it.

use std::io;
use std::path::PathBuf;

use log::Level;
use thiserror::Error as ThisError;

pub(crate) use crate::hsm::exit;
use crate::hsm::{self, Outcome, code};
use crate::keyfile::export::ExportError;
use crate::object::attributes::AttributeError;
use crate::object::{Handle, SlotId};
use crate::shown;

mod hint;

/// What went wrong. Names slot and object; never holds a secret, nor the content of an object.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    /// The HSM did not do it.
    #[error(transparent)]
    Hsm(hsm::Error),
    /// A file that is on its way into a slot.
    #[error("slot {slot}: {why}")]
    Incoming {
        /// The slot.
        slot: SlotId,
        /// What is wrong with it.
        why: IncomingError,
    },
    /// A thing slots do not do.
    #[error("{what}: a slot cannot do that")]
    NotSupported {
        /// The operation.
        what: &'static str,
    },
    /// No file of that name.
    #[error("no such file")]
    NoSuchFile,
    /// The inode's object was destroyed.
    #[error("the object is gone")]
    Gone,
    /// An object that cannot be made.
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
    /// A file the user named could not be used.
    #[error("{}: {source}", shown::path(path))]
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
    /// A file with a secret that everybody can change.
    #[error(
        "{}: everybody can write this file, so nothing in it is trusted",
        shown::path(path)
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
}

/// What is wrong with a file that is on its way into a slot.
#[derive(Debug, ThisError)]
pub(crate) enum IncomingError {
    /// The name is in use.
    #[error("the name is taken")]
    NameTaken,
    /// A folder of unfinished files is in use.
    #[error("the staging folder is not empty")]
    NotEmpty,
    /// A file name no slot can hold, quoted and escaped.
    #[error("{0} is not a name a slot can hold")]
    BadName(String),
    /// Larger than any blob.
    #[error("larger than any blob")]
    TooLarge,
    /// No room for another unfinished file.
    #[error("too many unfinished files; finish or remove some, then retry")]
    StagingFull,
}

impl IncomingError {
    /// The error that says this of `slot`.
    pub(crate) fn at(self, slot: SlotId) -> Error {
        Error::Incoming { slot, why: self }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::NameTaken => Outcome::quiet(libc::EEXIST, code::OBJECT_ALREADY_EXISTS),
            Self::NotEmpty => Outcome::quiet(libc::ENOTEMPTY, code::FUNCTION_CANCELED),
            Self::BadName(_) => Outcome::USAGE,
            Self::TooLarge => Outcome::refused(libc::EFBIG, code::DATA_LEN_RANGE),
            Self::StagingFull => {
                Outcome::refused(libc::ENOSPC, code::CONTAINER_OBJECT_STORAGE_FULL)
            }
        }
    }
}

impl From<hsm::Error> for Error {
    fn from(error: hsm::Error) -> Self {
        match error {
            hsm::Error::Gone => Self::Gone,
            error => Self::Hsm(error),
        }
    }
}

impl From<getrandom::Error> for Error {
    fn from(error: getrandom::Error) -> Self {
        Self::Hsm(error.into())
    }
}

impl Error {
    /// What it becomes for each who meets it.
    pub(crate) fn outcome(&self) -> Outcome {
        let refused = Outcome::refused;
        match self {
            Self::Hsm(error) => error.outcome(),
            Self::Incoming { why, .. } => why.outcome(),
            Self::NotSupported { .. } => Outcome::quiet(libc::EPERM, code::OPERATION_NOT_ALLOWED),
            Self::NoSuchFile => Outcome::quiet(libc::ENOENT, code::OBJECT_HANDLE_INVALID),
            Self::Gone => Outcome::quiet(libc::ESTALE, code::OBJECT_HANDLE_INVALID),
            Self::ObjectRefused { .. } | Self::Import { .. } => {
                refused(libc::EINVAL, code::TEMPLATE_INCONSISTENT)
            }
            Self::Attribute(why) => of_attribute(why),
            Self::NotExportable { .. } => refused(libc::EPERM, code::KEY_UNEXTRACTABLE),
            Self::File { source, .. } => refused(
                source.raw_os_error().unwrap_or(libc::EIO),
                code::FUNCTION_FAILED,
            ),
            Self::Usage(_) => Outcome::USAGE,
            Self::NotConfirmed(_) => refused(libc::EPERM, code::FUNCTION_CANCELED),
            Self::CloneFailed { .. } => refused(libc::EACCES, code::FAILED_TO_CLONE_AN_OBJECT),
            Self::CloneNotAttempted { .. } => refused(libc::EACCES, code::CLONE_NOT_ATTEMPTED),
            Self::Interrupted(_) => Outcome {
                exit: exit::INTERRUPTED,
                ..refused(libc::EINTR, code::FUNCTION_CANCELED)
            },
            Self::Mount { .. } => Outcome {
                exit: exit::MOUNT,
                level: Level::Error,
                ..refused(libc::EIO, code::FUNCTION_FAILED)
            },
            Self::Daemon { status, .. } => Outcome {
                exit: *status,
                level: Level::Error,
                ..refused(libc::EIO, code::FUNCTION_FAILED)
            },
            Self::ExposedFile { .. } => refused(libc::EACCES, code::FUNCTION_FAILED),
            Self::MadeSome { why, .. } => why.outcome(),
        }
    }

    /// The errno that the kernel hands to the program that asked.
    pub(crate) fn errno(&self) -> i32 {
        self.outcome().errno
    }

    /// The error without the slot it starts with, for a line that names the slot already.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Hsm(error) => hsm::reason(error),
            Self::Incoming { why, .. } => why.to_string(),
            error => error.to_string(),
        }
    }

    /// Whether it is about one blob: the journal writes those down, whoever gives them.
    pub(crate) fn is_verdict(&self) -> bool {
        match self {
            Self::Hsm(error) => error.is_verdict(),
            Self::Incoming { why, .. } => matches!(why, IncomingError::TooLarge),
            _ => false,
        }
    }

    /// Whether an object was to get a handle that another one has.
    pub(crate) fn is_handle_taken(&self) -> bool {
        self.hsm().is_some_and(hsm::Error::is_handle_taken)
    }

    /// Whether another process changed the slot while this was under way.
    pub(crate) fn is_changed(&self) -> bool {
        self.hsm().is_some_and(hsm::Error::is_changed)
    }

    /// Whether a part of the store is to blame that slotfs did not leave so.
    pub(crate) fn is_damage(&self) -> bool {
        self.hsm().is_some_and(hsm::Error::is_damage)
    }

    /// What the HSM said, where it was the HSM.
    pub(crate) fn hsm(&self) -> Option<&hsm::Error> {
        match self {
            Self::Hsm(error) => Some(error),
            _ => None,
        }
    }
}

fn of_attribute(why: &AttributeError) -> Outcome {
    let code = match why {
        AttributeError::Form(_) => return Outcome::USAGE,
        AttributeError::ReadOnly(..) => code::ATTRIBUTE_READ_ONLY,
        AttributeError::Unknown(_) | AttributeError::NotOfClass(..) => code::ATTRIBUTE_TYPE_INVALID,
        AttributeError::Value(..) => code::ATTRIBUTE_VALUE_INVALID,
        AttributeError::Twice(_)
        | AttributeError::Incapable(..)
        | AttributeError::Dates
        | AttributeError::TooLarge => code::TEMPLATE_INCONSISTENT,
    };
    Outcome::refused(libc::EINVAL, code)
}

/// What everything that can fail returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
