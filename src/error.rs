//! The error of a command or a request, and the errno, result code, exit status and log level that it leads to.

use std::io;
use std::path::PathBuf;

use log::Level;
use thiserror::Error as ThisError;

use crate::domain;
pub(crate) use crate::hsm::exit;
use crate::hsm::{self, Outcome, code};
use crate::keyfile::export::ExportError;
use crate::object::attributes::AttributeError;
use crate::object::{Handle, SlotId};
use crate::shown;

mod hint;

/// An error of the program. It names the slot and the object. It never contains a secret or the content of an object.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    /// The HSM refused or failed.
    #[error(transparent)]
    Hsm(hsm::Error),
    /// A file that is being written into a slot.
    #[error("slot {slot}: {why}")]
    Incoming { slot: SlotId, why: IncomingError },
    /// Where the kernel checks no permissions, slotfs does.
    #[error("slot {slot}: the slot belongs to another user")]
    OtherOwner { slot: SlotId },
    /// An operation that files of a slot do not support.
    #[error("{what}: a slot cannot do that")]
    NotSupported { what: &'static str },
    #[error("no such file")]
    NoSuchFile,
    /// The object of the inode was destroyed.
    #[error("the object is gone")]
    Gone,
    #[error("the object cannot be stored: {why}")]
    ObjectRefused {
        why: String,
        hint: Option<&'static str>,
    },
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// An object that cannot leave its slot in the clear.
    #[error("slot {slot}: handle {handle} was not exported: {why}")]
    NotExportable {
        slot: SlotId,
        handle: Handle,
        why: ExportError,
    },
    /// A file that the user named could not be used.
    #[error("{}: {source}", shown::path(path))]
    File { path: PathBuf, source: io::Error },
    /// A place for the log of a daemon that could not be used.
    #[error("cannot open the log {}: {source}", shown::path(path))]
    Log { path: PathBuf, source: io::Error },
    /// The user gave something that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The user answered no, or there was no terminal to ask.
    #[error("{0}")]
    NotConfirmed(String),
    /// Some objects of a list were not cloned.
    #[error("{failed} of {of} objects of slot {from} were not cloned to slot {to}")]
    CloneFailed {
        from: SlotId,
        to: SlotId,
        failed: u64,
        of: u64,
        /// A hint for each kind of reason.
        hints: Vec<String>,
    },
    /// No object of a list can be cloned, so none was tried.
    #[error("slot {slot}: none of the objects can be cloned; nothing was changed")]
    CloneNotAttempted {
        slot: SlotId,
        /// A hint for each kind of reason.
        hints: Vec<String>,
    },
    /// A folder of backups, or one backup in it, cannot be used as the user wants.
    #[error("{}: {what}", shown::path(path))]
    Archive {
        path: PathBuf,
        what: String,
        hint: Option<&'static str>,
        code: hsm::ResultCode,
    },
    /// Some objects of a list were not backed up or not restored, or a backup is not whole.
    #[error("{what}")]
    ArchiveFailed {
        what: String,
        /// A hint for each kind of reason.
        hints: Vec<String>,
    },
    /// An HA group, or a member of it, is not as a command needs it.
    #[error("{what}")]
    Group {
        /// Names the group, and the member if it is about one.
        what: String,
        hint: Option<String>,
        code: hsm::ResultCode,
    },
    /// Ctrl-C stopped the command.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// The mount could not be made or unmade.
    #[error("{what}")]
    Mount { what: String, hint: Option<String> },
    /// The token server cannot listen, or cannot be talked to.
    #[error("{what}")]
    Serve { what: String, hint: Option<String> },
    /// The daemon that `mount` started failed and reported the reason itself.
    #[error("the daemon did not start")]
    Daemon {
        /// The daemon's exit status.
        status: u8,
        /// The daemon's standard output: a JSON document with its error.
        said: String,
    },
    /// A file with a secret that every user can change.
    #[error(
        "{}: everybody can write this file, so slotfs does not trust its content",
        shown::path(path)
    )]
    ExposedFile { path: PathBuf },
    /// A domain string that can be guessed.
    #[error(
        "slot {slot}: the domain string is too easy to guess: about {bits} bits by estimate, and {least} are needed",
        least = domain::STRONG_BITS
    )]
    WeakDomain { slot: SlotId, bits: u32 },
    /// Some new objects are stored and the others are not, or the command could not report all of them.
    #[error("{why}; {made} of {of} were made and are on slot {slot}")]
    MadeSome {
        slot: SlotId,
        made: u64,
        of: u64,
        why: Box<Error>,
    },
    /// A file that was not imported, or only in part.
    #[error("{what}")]
    Import {
        /// The file and the reason.
        what: String,
        /// What to do next, with a command for this file if there is one.
        hint: Option<String>,
    },
}

/// Why a file cannot be written into a slot.
#[derive(Debug, ThisError)]
pub(crate) enum IncomingError {
    #[error("the name is taken")]
    NameTaken,
    #[error("the staging folder is not empty")]
    NotEmpty,
    /// The file name, quoted and escaped.
    #[error("{0} is not a file name that a slot can hold")]
    BadName(String),
    #[error("larger than any blob")]
    TooLarge,
    #[error("too many unfinished files; finish or remove some, then retry")]
    StagingFull,
}

impl IncomingError {
    /// The error about `slot`.
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
    /// The errno, result code, exit status and log level.
    pub(crate) fn outcome(&self) -> Outcome {
        let refused = Outcome::refused;
        let no_mount = |exit| Outcome {
            exit,
            level: Level::Error,
            ..refused(libc::EIO, code::FUNCTION_FAILED)
        };
        match self {
            Self::Hsm(error) => error.outcome(),
            Self::Incoming { why, .. } => why.outcome(),
            Self::OtherOwner { .. } => Outcome::quiet(libc::EACCES, code::OPERATION_NOT_ALLOWED),
            Self::NotSupported { .. } => Outcome::quiet(libc::EPERM, code::OPERATION_NOT_ALLOWED),
            Self::NoSuchFile => Outcome::quiet(libc::ENOENT, code::OBJECT_HANDLE_INVALID),
            Self::Gone => Outcome::quiet(libc::ESTALE, code::OBJECT_HANDLE_INVALID),
            Self::ObjectRefused { .. } | Self::Import { .. } => {
                refused(libc::EINVAL, code::TEMPLATE_INCONSISTENT)
            }
            Self::Attribute(why) => hsm::of_attribute(why),
            Self::NotExportable { .. } => refused(libc::EPERM, code::KEY_UNEXTRACTABLE),
            Self::File { source, .. } | Self::Log { source, .. } => refused(
                source.raw_os_error().unwrap_or(libc::EIO),
                code::FUNCTION_FAILED,
            ),
            Self::Usage(_) | Self::WeakDomain { .. } => Outcome::USAGE,
            Self::NotConfirmed(_) => refused(libc::EPERM, code::FUNCTION_CANCELED),
            Self::CloneFailed { .. } | Self::ArchiveFailed { .. } => {
                refused(libc::EACCES, code::FAILED_TO_CLONE_AN_OBJECT)
            }
            Self::Archive { code, .. } | Self::Group { code, .. } => refused(libc::EINVAL, *code),
            Self::CloneNotAttempted { .. } => refused(libc::EACCES, code::CLONE_NOT_ATTEMPTED),
            Self::Interrupted(_) => Outcome {
                exit: exit::INTERRUPTED,
                ..refused(libc::EINTR, code::FUNCTION_CANCELED)
            },
            Self::Mount { .. } => no_mount(exit::MOUNT),
            Self::Serve { .. } => refused(libc::EIO, code::FUNCTION_FAILED),
            Self::Daemon { status, .. } => no_mount(*status),
            Self::ExposedFile { .. } => refused(libc::EACCES, code::FUNCTION_FAILED),
            Self::MadeSome { why, .. } => why.outcome(),
        }
    }

    /// The errno that the kernel returns to the program.
    pub(crate) fn errno(&self) -> i32 {
        self.outcome().errno
    }

    /// The message without the slot at its beginning, for a line that already names the slot.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Hsm(error) => hsm::reason(error),
            Self::Incoming { why, .. } => why.to_string(),
            error => error.to_string(),
        }
    }

    /// Whether it is a verdict on one blob. The journal records every verdict.
    pub(crate) fn is_verdict(&self) -> bool {
        match self {
            Self::Hsm(error) => error.is_verdict(),
            Self::Incoming { why, .. } => matches!(why, IncomingError::TooLarge),
            _ => false,
        }
    }

    /// Whether another object already has the requested handle.
    pub(crate) fn is_handle_taken(&self) -> bool {
        self.hsm().is_some_and(hsm::Error::is_handle_taken)
    }

    /// Whether another process changed the slot during the operation.
    pub(crate) fn is_changed(&self) -> bool {
        self.hsm().is_some_and(hsm::Error::is_changed)
    }

    /// Whether a part of the store is damaged.
    pub(crate) fn is_damage(&self) -> bool {
        self.hsm().is_some_and(hsm::Error::is_damage)
    }

    /// The error of the HSM, if it came from there.
    pub(crate) fn hsm(&self) -> Option<&hsm::Error> {
        match self {
            Self::Hsm(error) => Some(error),
            _ => None,
        }
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
