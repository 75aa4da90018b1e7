//! The history file: one line for each line of a shell, shared by all shells of a user.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::environment;

/// The most lines that are offered at the prompt.
pub(crate) const MOST_LINES: usize = 1000;
/// A file of more bytes is cut down to its last lines.
const MOST_BYTES: u64 = 1024 * 1024;

/// The file, if there is one.
pub(crate) struct History {
    path: Option<PathBuf>,
}

impl History {
    /// `$SLOTFS_HISTORY`, no file when that is empty; else `$XDG_STATE_HOME/slotfs/history`.
    pub(crate) fn of_user() -> Self {
        let path = match std::env::var_os("SLOTFS_HISTORY") {
            Some(path) => (!path.is_empty()).then(|| path.into()),
            None => environment::xdg("XDG_STATE_HOME", ".local/state")
                .map(|state| state.join("slotfs/history")),
        };
        Self { path }
    }

    /// The last lines. When the file cannot be used, this is told and the shell works without it.
    pub(crate) fn load(&mut self) -> Vec<String> {
        let Some(path) = &self.path else {
            return Vec::new();
        };
        match load(path) {
            Ok(lines) => lines,
            Err(why) => {
                self.give_up(&why);
                Vec::new()
            }
        }
    }

    /// Adds a line.
    pub(crate) fn append(&mut self, line: &str) {
        let Some(path) = &self.path else { return };
        if let Err(why) = append(path, line) {
            self.give_up(&why);
        }
    }

    fn give_up(&mut self, why: &io::Error) {
        if let Some(path) = self.path.take() {
            log::warn!(
                "{}: no history is kept: {why}; SLOTFS_HISTORY names another file, or none when it is empty",
                crate::shown::path(&path)
            );
        }
    }
}

fn load(path: &Path) -> io::Result<Vec<String>> {
    let mut file = open(path)?;
    file.lock()?;
    let mut text = Vec::new();
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MOST_BYTES)))?;
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.split_off(lines.len().saturating_sub(MOST_LINES));
    if size > MOST_BYTES {
        file.set_len(0)?;
        file.write_all((last.join("\n") + "\n").as_bytes())?;
    }
    Ok(last.into_iter().map(str::to_owned).collect())
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    // The lock waits for another shell that is cutting the file down.
    let mut file = open(path)?;
    file.lock()?;
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes())
}

/// Opens the file, or creates it for its user alone.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    // Before opening: the open of a pipe would wait for its other end.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("it is not a file"));
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grew_too_large_keeps_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/history");
        append(&path, "first").unwrap();
        assert_eq!(load(&path).unwrap(), ["first"]);
        let long: String = (0..20_000).map(|n| format!("{n:060}\n")).collect();
        std::fs::write(&path, long).unwrap();
        let lines = load(&path).unwrap();
        assert_eq!(lines.len(), MOST_LINES);
        assert_eq!(lines[MOST_LINES - 1], format!("{:060}", 19_999));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 61 * 1000);
        append(&path, "two\nlines").unwrap();
        assert_eq!(load(&path).unwrap().last().unwrap(), "two lines");
    }

    #[test]
    fn it_is_for_its_user_alone_and_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/history");
        append(&path, "slot list").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        append(&path, "slot list").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(append(folder.path(), "slot list").is_err());
        assert!(append(Path::new("/dev/null"), "slot list").is_err());
    }
}
