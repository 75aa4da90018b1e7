//! The file of the groups, `hagroups.json` in the state folder: read by everybody who may, changed under a lock, and
//! replaced as a whole. It holds no secret.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::label::Label;
use super::member::{Member, text};
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::code;

const NAME: &str = "hagroups.json";
/// The format of the file.
const VERSION: u64 = 1;
/// More than a file of any sensible number of groups.
const MOST_BYTES: u64 = 4 << 20;
/// How long the lock is waited for. A process holds it for one read and one write of a small file.
const LOCK_FOR: Duration = Duration::from_secs(5);

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) label: Label,
    /// The first one is what 'recover' and -delete take from.
    pub(super) members: Vec<Member>,
    /// When the latest run began after which nothing was left to do, seconds since 1970.
    pub(super) in_sync_secs: Option<u64>,
}

impl Group {
    pub(super) fn new(label: Label, first: Member) -> Self {
        Self {
            label,
            members: vec![first],
            in_sync_secs: None,
        }
    }

    fn to_json(&self) -> Value {
        let members: Vec<Value> = self.members.iter().map(Member::to_json).collect();
        json!({ "label": self.label.text(), "in_sync": self.in_sync_secs, "members": members })
    }

    /// # Errors
    /// What is wrong.
    fn of_json(value: &Value) -> Result<Self, String> {
        let members = value["members"].as_array();
        let members = members.ok_or("a group has no members")?;
        let in_sync_secs = match &value["in_sync"] {
            Value::Null => None,
            secs => Some(secs.as_u64().ok_or("'in_sync' is no number")?),
        };
        Ok(Self {
            label: text(value, "label")?.parse()?,
            members: members
                .iter()
                .map(Member::of_json)
                .collect::<Result<_, _>>()?,
            in_sync_secs,
        })
    }
}

/// The folder of the file.
pub(super) struct Registry {
    folder: PathBuf,
}

/// The lock of one group: while it is held, no other command of this user synchronizes the group.
pub(super) struct Running {
    _locked: File,
}

impl Registry {
    /// # Errors
    /// [`Error::Group`] when there is no state folder.
    pub(super) fn find() -> Result<Self> {
        let folder = environment::state_folder().map_err(|why| Error::Group {
            what: format!("HA groups are kept in the state folder, and there is {why}"),
            hint: Some("set XDG_STATE_HOME to a folder that only this user can write".into()),
            code: code::FUNCTION_FAILED,
        })?;
        Ok(Self { folder })
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Every group, in the order in which they were made.
    ///
    /// # Errors
    /// [`Error::Group`] when the file cannot be read or trusted.
    pub(super) fn groups(&self) -> Result<Vec<Group>> {
        let path = self.path();
        match read(&path) {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(text)) => parse(&text).map_err(|why| self.unusable(&path, &why)),
            Err(error) => Err(self.unusable(&path, &error.to_string())),
        }
    }

    /// The group called `label`.
    ///
    /// # Errors
    /// [`Error::Group`] when there is none.
    pub(super) fn group(&self, label: &Label) -> Result<Group> {
        let groups = self.groups()?.into_iter();
        let mut found = groups.filter(|group| group.label == *label);
        found.next().ok_or_else(|| no_such_group(label))
    }

    /// Lets `act` change the groups, and writes them back if it did, all under the lock.
    ///
    /// # Errors
    /// What `act` says, and [`Error::Group`] when the file cannot be written; then it is as before.
    pub(super) fn update<T>(&self, act: impl FnOnce(&mut Vec<Group>) -> Result<T>) -> Result<T> {
        let cannot = |error: io::Error| self.unusable(&self.folder, &error.to_string());
        self.prepare().map_err(cannot)?;
        let _locked = self
            .lock("hagroups.lock", LOCK_FOR)
            .and_then(|locked| {
                locked.ok_or_else(|| {
                    io::Error::other("another process holds its lock, hagroups.lock")
                })
            })
            .map_err(cannot)?;
        let before = self.groups()?;
        let mut groups = before.clone();
        let outcome = act(&mut groups)?;
        if groups != before {
            self.write(&groups).map_err(cannot)?;
        }
        Ok(outcome)
    }

    /// The same for one group.
    ///
    /// # Errors
    /// As [`Self::update`], and when there is no such group.
    pub(super) fn update_group<T>(
        &self,
        label: &Label,
        act: impl FnOnce(&mut Group) -> Result<T>,
    ) -> Result<T> {
        self.update(
            |groups| match groups.iter_mut().find(|group| group.label == *label) {
                Some(group) => act(group),
                None => Err(no_such_group(label)),
            },
        )
    }

    /// Takes the lock under which a group is synchronized. The system drops it when the process ends in whatever way.
    ///
    /// # Errors
    /// [`Error::Group`] when another command has it.
    pub(super) fn run(&self, label: &Label) -> Result<Running> {
        let cannot = |error: io::Error| self.unusable(&self.folder, &error.to_string());
        self.prepare().map_err(cannot)?;
        // The label may hold what a file's name cannot.
        let id = slotfs_config::place::id(Path::new(label.text()));
        let name = format!("hagroup-{id}.lock");
        match self.lock(&name, Duration::ZERO).map_err(cannot)? {
            Some(locked) => Ok(Running { _locked: locked }),
            None => Err(Error::Group {
                what: format!("group '{label}': another command is synchronizing it"),
                hint: Some("wait until it has ended, then run this command again".into()),
                code: code::FUNCTION_FAILED,
            }),
        }
    }

    fn unusable(&self, path: &Path, why: &str) -> Error {
        Error::Group {
            what: format!("HA groups: {}: {why}", crate::shown::path(path)),
            hint: Some("the file and its folder must belong to this user, and no other may write them; docs/hagroup.md has the form of the file".into()),
            code: code::FUNCTION_FAILED,
        }
    }

    fn prepare(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        check_owner(&fs::metadata(&self.folder)?)
    }

    /// `None` if it is taken for as long.
    fn lock(&self, name: &str, wait: Duration) -> io::Result<Option<File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.folder.join(name))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if start.elapsed() >= wait => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Written beside the file, synced and renamed, so that it is whole or as before.
    fn write(&self, groups: &[Group]) -> io::Result<()> {
        let groups: Vec<Value> = groups.iter().map(Group::to_json).collect();
        let document = json!({ "version": VERSION, "groups": groups });
        // Nobody else writes there: the lock is held.
        let new = self.folder.join(format!("{NAME}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&new)?;
        file.write_all(format!("{document:#}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        File::open(&self.folder)?.sync_all()
    }
}

/// The error of a label that no group has.
pub(super) fn no_such_group(label: &Label) -> Error {
    Error::Group {
        what: format!("there is no group '{label}'"),
        hint: Some("'slotfs hagroup listgroups' lists the groups of this user".into()),
        code: code::ARGUMENTS_BAD,
    }
}

fn parse(text: &[u8]) -> Result<Vec<Group>, String> {
    let document: Value = serde_json::from_slice(text).map_err(|why| why.to_string())?;
    match document["version"].as_u64() {
        Some(VERSION) => {}
        Some(_) => return Err("a later version of slotfs wrote it".into()),
        None => return Err("it has no 'version'".into()),
    }
    let groups = document["groups"].as_array().ok_or("it has no 'groups'")?;
    groups.iter().map(Group::of_json).collect()
}

/// Whoever else could write here could choose the stores and the password files of this user's commands.
fn check_owner(there: &fs::Metadata) -> io::Result<()> {
    let why = match there {
        _ if there.uid() != nix::unistd::geteuid().as_raw() => "it belongs to another user",
        _ if there.mode() & 0o022 != 0 => "others can write it",
        _ => return Ok(()),
    };
    Err(io::Error::other(why))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let there = file.metadata()?;
    if !there.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    check_owner(&there)?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(Some(text))
}
