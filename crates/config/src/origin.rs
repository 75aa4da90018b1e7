//! Where a setting came from, for `slotfs config show`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where the value of a setting came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    #[default]
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// `pReserved` of `C_Initialize`.
    Parameter,
    /// An option of the command.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(&path.to_string_lossy()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Parameter => f.write_str("pReserved"),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// The origin of each setting that was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(crate) fn of(&self, name: &str) -> Origin {
        self.0.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, name: &str, origin: Origin) {
        self.0.insert(name.to_owned(), origin);
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}
