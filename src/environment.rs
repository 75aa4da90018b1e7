//! Reads environment variables that name folders. An empty variable counts as unset: joined with a file's name, it would
//! mean the current folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The folder that the variable `name` names, if its path is absolute. The XDG specification ignores relative paths, and
/// a relative HOME would depend on the current folder.
fn absolute(name: &str) -> Option<PathBuf> {
    folder(name).filter(|path| path.is_absolute())
}

/// The folder that the variable `name` names.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The folder that the XDG variable `name` names, or else `default` in the user's home.
pub(crate) fn xdg(name: &str, default: impl AsRef<Path>) -> Option<PathBuf> {
    absolute(name).or_else(|| absolute("HOME").map(|home| home.join(default)))
}

/// The folder in which slotfs remembers what it saw of stores: `$XDG_STATE_HOME/slotfs`, else for root
/// `/var/lib/slotfs-root`, which services have too, else `~/.local/state/slotfs`. `/var/lib/slotfs` belongs to the user slotfs,
/// who could have root's logins refused there.
///
/// # Errors
/// Why there is none.
pub(crate) fn state_folder() -> Result<PathBuf, String> {
    let of_root = || {
        let root = slotfs_config::place::is_system_root();
        root.then(|| PathBuf::from("/var/lib/slotfs-root"))
    };
    let below_home = || absolute("HOME").map(|home| home.join(".local/state/slotfs"));
    absolute("XDG_STATE_HOME")
        .map(|state| state.join("slotfs"))
        .or_else(of_root)
        .or_else(below_home)
        .ok_or_else(|| "no state folder: neither XDG_STATE_HOME nor HOME names one".into())
}

/// The folder for the logs of daemons in the background: `$XDG_STATE_HOME/slotfs/log`, else for root `/var/log/slotfs`, else
/// `~/.local/state/slotfs/log`.
///
/// # Errors
/// Why there is none.
pub(crate) fn log_folder() -> Result<PathBuf, String> {
    if absolute("XDG_STATE_HOME").is_none() && slotfs_config::place::is_system_root() {
        return Ok(PathBuf::from("/var/log/slotfs"));
    }
    state_folder().map(|state| state.join("log"))
}

/// Whether `name` is set to a value that [`xdg`] ignores.
pub(crate) fn is_unusable(name: impl AsRef<OsStr>) -> bool {
    std::env::var_os(name).is_some_and(|value| !Path::new(&value).is_absolute())
}
