//! Environment variables that name folders. One that is empty is as good as unset: joined with a file's name it would be
//! the folder that the command happens to run in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The folder that `name` names, where it is an absolute path. The XDG specification has relative ones ignored, and a
/// relative HOME would be another folder for each command.
fn absolute(name: &str) -> Option<PathBuf> {
    folder(name).filter(|path| path.is_absolute())
}

/// The folder that `name` names.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The folder that the XDG variable `name` names, else `beside` in the user's home.
pub(crate) fn xdg(name: &str, beside: impl AsRef<Path>) -> Option<PathBuf> {
    absolute(name).or_else(|| absolute("HOME").map(|home| home.join(beside)))
}

/// Whether `name` is set to what [`xdg`] cannot use.
pub(crate) fn is_unusable(name: impl AsRef<OsStr>) -> bool {
    std::env::var_os(name).is_some_and(|value| !Path::new(&value).is_absolute())
}
