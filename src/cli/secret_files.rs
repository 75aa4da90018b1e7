//! Files with passwords and key shares: those of options, of a service manager, and of the configuration.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use slotfs_config::Config;

use super::guarded::Keeper;
use super::password::parse_login;
use crate::environment;
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::object::partition::Role;

/// `--password-file N[:ROLE]=PATH`, and `--share-file` likewise
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswordFile {
    pub(super) slot: SlotId,
    pub(super) role: Role,
    pub(super) path: PathBuf,
}

impl PasswordFile {
    pub(super) fn path_for(&self, slot: SlotId, role: Role) -> Option<&Path> {
        (self.slot == slot && self.role == role).then_some(&self.path)
    }

    /// As it is written on a command line, for [`crate::fuzzing`].
    #[cfg(feature = "fuzzing")]
    pub(super) fn spelled(&self) -> String {
        format!(
            "{}:{}={}",
            self.slot,
            self.role,
            crate::shown::path(&self.path)
        )
    }
}

impl FromStr for PasswordFile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (place, path) = text
            .split_once('=')
            .filter(|(_, path)| !path.is_empty())
            .ok_or("it has the form N[:ROLE]=PATH")?;
        let (slot, role) = parse_login(place)?;
        Ok(Self {
            slot,
            role,
            path: path.into(),
        })
    }
}

/// Files with secrets of one role in one slot, and who protects each from other users.
#[derive(Default)]
pub(super) struct SecretFiles {
    pub(super) password: Option<(PathBuf, Keeper)>,
    pub(super) shares: Vec<(PathBuf, Keeper)>,
}

impl SecretFiles {
    /// Those of the role among all that are given.
    pub(super) fn among(
        (passwords, shares): (&[PasswordFile], &[PasswordFile]),
        (slot, role): (SlotId, Role),
    ) -> Self {
        let path = |file: &PasswordFile| {
            let path = file.path_for(slot, role)?;
            Some((path.to_owned(), Keeper::Owner))
        };
        Self {
            password: passwords.iter().find_map(path),
            shares: shares.iter().filter_map(path).collect(),
        }
    }

    /// Those that a service manager passed (systemd.exec(5), "CREDENTIALS"): `slot-N.ROLE.password`, for co also
    /// `slot-N.password`, and `slot-N.ROLE.share-X` in the order of their names.
    pub(super) fn of_credentials(slot: SlotId, role: Role) -> Self {
        let Some(folder) = environment::folder("CREDENTIALS_DIRECTORY") else {
            return Self::default();
        };
        let mut names = vec![format!("slot-{slot}.{role}.password")];
        if role == Role::Co {
            names.push(format!("slot-{slot}.password"));
        }
        let mut passwords = names.into_iter().map(|name| folder.join(name));
        let prefix = format!("slot-{slot}.{role}.share-");
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut shares: Vec<_> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| (entry.path(), Keeper::ServiceManager))
            .collect();
        shares.sort_by(|one, other| one.0.cmp(&other.0));
        Self {
            password: passwords
                .find(|path| path.exists())
                .map(|path| (path, Keeper::ServiceManager)),
            shares,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.password.is_none() && self.shares.is_empty()
    }
}

/// The files that the setting `name` of the configuration lists.
///
/// # Errors
/// [`Error::Usage`]
pub(super) fn of_config(
    config: &Config,
    name: &str,
    files: &[String],
) -> Result<Vec<PasswordFile>> {
    let files = files.iter().map(|file| file.parse());
    files
        .collect::<Result<_, String>>()
        .map_err(|why| Error::Usage(format!("{}: {name}: {why}", config.origin(name))))
}
