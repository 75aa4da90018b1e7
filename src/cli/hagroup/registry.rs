//! The file of the groups, `hagroups.json` in the state folder: read by everybody who may, changed under a lock, and
//! replaced as a whole. It holds no secret.

use std::collections::HashSet;
use std::fs::File;
use std::hash::Hash;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::label::Label;
use super::member::{Member, text};
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{StateFolder, code};

const NAME: &str = "hagroups.json";
const LOCK: &str = "hagroups.lock";
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
    folder: StateFolder,
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
        let folder = StateFolder::at(folder);
        Ok(Self { folder })
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Every group, in the order in which they were made.
    ///
    /// # Errors
    /// [`Error::Group`] when the file cannot be read or trusted.
    pub(super) fn groups(&self) -> Result<Vec<Group>> {
        let path = self.path();
        // Whoever can write the folder can put another file in the place of this one.
        if let Err(error) = self.folder.check() {
            return Err(self.unusable(self.folder.path(), &error.to_string()));
        }
        match StateFolder::read(&path, MOST_BYTES) {
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
        let cannot = |error: io::Error| self.unusable(self.folder.path(), &error.to_string());
        self.folder.prepare().map_err(cannot)?;
        let locked = self.folder.lock(LOCK, LOCK_FOR).map_err(cannot)?;
        let taken = || io::Error::other(format!("another process holds its lock, {LOCK}"));
        let _locked = locked.ok_or_else(taken).map_err(cannot)?;
        let before = self.groups()?;
        let mut groups = before.clone();
        let outcome = act(&mut groups)?;
        if groups != before {
            let groups: Vec<Value> = groups.iter().map(Group::to_json).collect();
            let document = json!({ "version": VERSION, "groups": groups });
            let text = format!("{document:#}\n");
            let replaced = self.folder.replace(NAME, text.as_bytes());
            replaced.map_err(cannot)?;
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
        let cannot = |error: io::Error| self.unusable(self.folder.path(), &error.to_string());
        self.folder.prepare().map_err(cannot)?;
        // The label may hold what a file's name cannot.
        let id = slotfs_config::place::id(Path::new(label.text()));
        let name = format!("hagroup-{id}.lock");
        match self.folder.lock(&name, Duration::ZERO).map_err(cannot)? {
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
    let groups: Vec<Group> = groups
        .iter()
        .map(Group::of_json)
        .collect::<Result<_, _>>()?;
    let labels = groups.iter().map(|it| it.label.text());
    if let Some(twice) = first_twice(labels) {
        return Err(format!("two groups are called '{twice}'"));
    }
    for group in &groups {
        check_members(group)?;
    }
    Ok(groups)
}

/// A member that is there twice would count as two copies of one object.
fn check_members(group: &Group) -> Result<(), String> {
    let (label, members) = (&group.label, &group.members);
    if let Some(serial) = first_twice(members.iter().map(|it| it.serial)) {
        return Err(format!("group '{label}' has serial number {serial} twice"));
    }
    match first_twice(members.iter().map(|it| it.place.to_string())) {
        Some(place) => Err(format!("group '{label}' has {place} twice")),
        None => Ok(()),
    }
}

/// The first that was there before.
fn first_twice<T: Eq + Hash + Clone>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    all.find(|it| !seen.insert(it.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(groups: &Value) -> Result<Vec<Group>, String> {
        let document = json!({ "version": VERSION, "groups": groups });
        parse(document.to_string().as_bytes())
    }

    #[test]
    fn nothing_is_there_twice() {
        let member =
            |slot: u32, serial: u64| json!({ "store": "/a.db", "slot": slot, "serial": serial });
        let group = |label: &str, members: &[Value]| json!({ "label": label, "members": members });
        let two = [member(0, 1), member(1, 2)];
        assert_eq!(
            parsed(&json!([group("a", &two), group("b", &two)]))
                .unwrap()
                .len(),
            2
        );
        for (groups, why) in [
            (
                json!([group("a", &two), group("a", &two)]),
                "two groups are called 'a'",
            ),
            (
                json!([group("a", &[member(0, 1), member(1, 1)])]),
                "serial number 1 twice",
            ),
            (
                json!([group("a", &[member(0, 1), member(0, 2)])]),
                "slot 0 of /a.db twice",
            ),
        ] {
            let error = parsed(&groups).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
