//! A member as the file of the groups has it.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::place::Place;
use crate::object::SlotId;

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) place: Place,
    /// The serial number of its partition when it was added.
    pub(super) serial: u64,
    /// The file with the password of its co. The path alone is kept.
    pub(super) password_file: Option<PathBuf>,
    /// What was found to be wrong with the password on file. It is not tried again, since wrong passwords lock the role, and a
    /// timer would.
    pub(super) refused: Option<Refused>,
}

/// A password on file that was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// When it was tried, seconds since 1970.
    pub(super) at_secs: u64,
    /// When the file had been changed last, nanoseconds since 1970: a file that was changed since is tried again. `None` where
    /// that tells nothing: a credential is a new file each time. It waits for 'recover'.
    pub(super) changed_nanos: Option<u64>,
}

impl Member {
    pub(super) fn to_json(&self) -> Value {
        let mut facts = match &self.place {
            Place::Store { store, slot } => json!({ "store": store, "slot": slot.0 }),
            Place::Folder(folder) => json!({ "folder": folder }),
        };
        facts["serial"] = self.serial.into();
        if let Some(file) = &self.password_file {
            facts["password_file"] = json!(file);
        }
        if let Some(refused) = self.refused {
            facts["refused"] = refused.at_secs.into();
            if let Some(nanos) = refused.changed_nanos {
                facts["refused_file_changed"] = nanos.into();
            }
        }
        facts
    }

    /// # Errors
    /// What is wrong.
    pub(super) fn of_json(value: &Value) -> Result<Self, String> {
        let number = |name: &str| value[name].as_u64();
        let place = match value["folder"].as_str() {
            Some(folder) => Place::Folder(folder.into()),
            None => {
                let slot = number("slot").and_then(|slot| u32::try_from(slot).ok());
                Place::Store {
                    store: text(value, "store")?.into(),
                    slot: SlotId(slot.ok_or("a member has no 'slot'")?),
                }
            }
        };
        Ok(Self {
            place,
            serial: number("serial").ok_or("a member has no 'serial'")?,
            password_file: value["password_file"].as_str().map(PathBuf::from),
            refused: number("refused").map(|at_secs| Refused {
                at_secs,
                changed_nanos: number("refused_file_changed"),
            }),
        })
    }
}

/// The text called `name`.
///
/// # Errors
/// If there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    let found = value[name].as_str();
    found.ok_or_else(|| format!("a text called '{name}' is missing"))
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}
