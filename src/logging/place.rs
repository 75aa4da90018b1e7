//! Where a daemon logs: `--log`, `log` in the configuration, or what fits how it was started.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use slotfs_config::place::id;

use super::{file, syslog};
use crate::environment;
use crate::error::{Error, Result};
use crate::shown;

/// The socket of the syslog daemon.
const DEV_LOG: &str = "/dev/log";
/// What discards a log.
const DEV_NULL: &str = "/dev/null";
/// Digits of a store's id in the name of its log.
const ID_DIGITS: usize = 12;
/// Bytes of a store's name in the name of its log.
const MOST_NAME_BYTES: usize = 64;

/// A place for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// The journal if it reads standard error; else standard error in the foreground, and a file in the background.
    Auto,
    Stderr,
    /// Standard error, with priorities for the journal.
    Journal,
    /// The syslog daemon at this socket.
    Syslog(PathBuf),
    /// This absolute path.
    File(PathBuf),
}

impl Where {
    /// `auto`, `stderr` (or `-`), `journal`, `syslog`, `syslog:/PATH`, or the path of a file.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        Ok(match text.as_bytes() {
            b"" => return Err("it takes auto, stderr, journal, syslog or a path".into()),
            b"auto" => Self::Auto,
            b"stderr" | b"-" => Self::Stderr,
            b"journal" => Self::Journal,
            b"syslog" => Self::Syslog(DEV_LOG.into()),
            other => match other.strip_prefix(b"syslog:") {
                Some(path) => match Path::new(OsStr::from_bytes(path)) {
                    path if path.is_absolute() => Self::Syslog(path.to_owned()),
                    _ => return Err("syslog: takes the absolute path of a socket".into()),
                },
                // A daemon works in another folder than its caller.
                None => Self::File(std::path::absolute(text).map_err(|why| why.to_string())?),
            },
        })
    }

    /// As [`Self::parse`] reads it.
    pub(crate) fn spelled(&self) -> OsString {
        match self {
            Self::Auto => "auto".into(),
            Self::Stderr => "stderr".into(),
            Self::Journal => "journal".into(),
            Self::Syslog(path) if path == Path::new(DEV_LOG) => "syslog".into(),
            Self::Syslog(path) => {
                let mut text = OsString::from("syslog:");
                text.push(path);
                text
            }
            Self::File(path) => path.clone().into(),
        }
    }

    /// For people and JSON.
    pub(crate) fn shown(&self) -> String {
        shown::path(Path::new(&self.spelled())).to_string()
    }

    /// The place for a daemon in the foreground.
    pub(crate) fn of_foreground(&self) -> Self {
        match self {
            Self::Auto if is_journal() => Self::Journal,
            Self::Auto => Self::Stderr,
            place => place.clone(),
        }
    }

    /// The place for a daemon of `store` in the background. The caller resolves it, before it starts the daemon: what it
    /// warns of is seen on the caller's terminal.
    ///
    /// # Errors
    /// [`Error::File`] if the file of the log cannot be one, such as a symbolic link.
    pub(crate) fn of_background(&self, store: &Path) -> Result<Self> {
        match self {
            Self::Auto if is_journal() => return Ok(Self::Journal),
            Self::Auto => {}
            place => return Ok(place.clone()),
        }
        if !store.exists() && !slotfs_config::store::is_in_cluster(store) {
            // The daemon reports the missing store, and a log of it would stay behind.
            return Ok(Self::File(DEV_NULL.into()));
        }
        let why = match usual_file(store) {
            Ok(path) => match prepare(&path) {
                Ok(()) => return Ok(Self::File(path)),
                Err(Unusable::Folder(why)) => why,
                Err(Unusable::File(why)) if is_refusal_of_the_system(&why) => {
                    format!("{}: {why}", shown::path(&path))
                }
                Err(Unusable::File(source)) => return Err(Error::Log { path, source }),
            },
            Err(why) => why,
        };
        let socket = PathBuf::from(DEV_LOG);
        match syslog::Syslog::connect(&socket) {
            Ok(_) => {
                log::warn!("the log goes to syslog, because the log folder cannot be used: {why}");
                Ok(Self::Syslog(socket))
            }
            Err(_) => {
                log::warn!(
                    "the daemon runs without a log, because the log folder cannot be used: {why}; choose a place with --log"
                );
                Ok(Self::File(DEV_NULL.into()))
            }
        }
    }

    /// Where a daemon of `store` in the background would log. Nothing is made or tried.
    pub(crate) fn expected(&self, store: &Path) -> Self {
        match self {
            Self::Auto => usual_file(store).map_or(Self::Auto, Self::File),
            place => place.clone(),
        }
    }
}

/// Whether the journal reads standard error: `$JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stderr| named == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// The usual file for the log of a store. Its name has the store's name, for people, and a part of its id, so that no two
/// stores share a log.
fn usual_file(store: &Path) -> Result<PathBuf, String> {
    let canonical = slotfs_config::store::canonical(store);
    let canonical = canonical.or_else(|_| std::path::absolute(store));
    let canonical = canonical.unwrap_or_else(|_| store.to_owned());
    let stem = canonical.file_stem().unwrap_or_default().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = stem
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(MOST_NAME_BYTES)
        .collect();
    let id: String = id(&canonical).chars().take(ID_DIGITS).collect();
    Ok(environment::log_folder()?.join(format!("{name}-{id}.log")))
}

/// Makes the folder of a log, for this user alone, and tries to open the log.
fn prepare(path: &Path) -> Result<(), Unusable> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let there = fs::metadata(folder)?;
        let (uid, mode) = (there.uid(), there.mode() & 0o7777);
        let shown = shown::path(folder);
        if uid != nix::unistd::geteuid().as_raw() {
            return Err(Unusable::Folder(format!(
                "{shown} belongs to user {uid}; it must belong to you"
            )));
        }
        if mode & 0o022 != 0 {
            return Err(Unusable::Folder(format!(
                "others than its owner can write {shown} (mode {mode:04o}): 'chmod go-w {shown}'"
            )));
        }
    }
    file::open(path).map(drop).map_err(Unusable::File)
}

/// Why the usual file is not used.
enum Unusable {
    /// Its folder is not this user's alone: the log goes elsewhere.
    Folder(String),
    File(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(why: io::Error) -> Self {
        Self::File(why)
    }
}

/// Whether the system refused to open the log, for example in a read-only folder or on a full disk. The daemon can log
/// elsewhere then.
fn is_refusal_of_the_system(why: &io::Error) -> bool {
    why.raw_os_error()
        .is_some_and(|errno| errno != libc::EISDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_spelled() {
        for text in [
            "auto",
            "stderr",
            "journal",
            "syslog",
            "syslog:/run/x",
            "/a/b",
        ] {
            let place = Where::parse(OsStr::new(text)).unwrap();
            assert_eq!(place.spelled(), OsStr::new(text));
        }
        assert_eq!(Where::parse(OsStr::new("-")), Ok(Where::Stderr));
        let relative = Where::parse(OsStr::new("./auto")).unwrap();
        assert!(matches!(relative, Where::File(path) if path.is_absolute()));
        for bad in ["", "syslog:", "syslog:x"] {
            assert!(Where::parse(OsStr::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_log_is_named_by_its_store() {
        let name = |store: &str| {
            let file = usual_file(Path::new(store)).unwrap();
            file.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let one = name("/nowhere/one/store.db");
        assert!(one.starts_with("store-") && one.ends_with(".log"), "{one}");
        assert_ne!(one, name("/nowhere/two/store.db"));
        assert!(name("/nowhere/.a b\n.db").starts_with("_a_b_-"));
    }
}
