//! Every setting with its value and its origin, and how they are read from a file.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::source::SYSTEM_FILE;
use crate::{Config, Origin};

/// The longest that a slot stays open after its last login.
const MOST_LINGER_SECS: u64 = 24 * 3600;
/// The longest that a server waits for a connection.
const MOST_IDLE_SECS: u64 = 31_536_000;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in a file.
    pub name: &'static str,
    /// Its value.
    pub value: Shown,
    /// Where it came from.
    pub origin: Origin,
}

/// A value as it is shown. No setting holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// There is none.
    Unset,
    /// A text or a path.
    Text(String),
    /// Several texts.
    List(Vec<String>),
    /// A number.
    Number(u64),
    /// true or false.
    Switch(bool),
}

impl Config {
    /// Every setting, in the order of docs/configuration.md.
    pub fn settings(&self) -> Vec<Setting> {
        let path = |path: &Option<PathBuf>| match path {
            Some(path) => Shown::Text(path.to_string_lossy().into_owned()),
            None => Shown::Unset,
        };
        let text = |text: &Option<String>| text.clone().map_or(Shown::Unset, Shown::Text);
        let list = |list: &Vec<String>| match list.is_empty() {
            true => Shown::Unset,
            false => Shown::List(list.clone()),
        };
        let user = if self.user_is_cu { "cu" } else { "co" };
        let owner = self.owner.map(u64::from);
        [
            ("store", path(&self.store)),
            ("socket", path(&self.socket)),
            (
                "active_slot",
                self.active_slot
                    .map_or(Shown::Unset, |it| Shown::Number(it.into())),
            ),
            ("login", list(&self.login)),
            ("password_file", list(&self.password_file)),
            ("share_file", list(&self.share_file)),
            ("options", text(&self.options)),
            ("log", Shown::Text(self.log.clone())),
            ("log_filter", text(&self.log_filter)),
            ("linger", Shown::Number(self.linger_secs)),
            ("idle", self.idle_secs.map_or(Shown::Unset, Shown::Number)),
            ("archive", path(&self.archive)),
            ("user", Shown::Text(user.into())),
            ("owner", owner.map_or(Shown::Unset, Shown::Number)),
            ("spawn", self.spawn.map_or(Shown::Unset, Shown::Switch)),
            ("program", path(&Some(self.program.clone()))),
            ("uninitialized_slot", Shown::Switch(self.uninitialized_slot)),
        ]
        .map(|(name, value)| Setting {
            name,
            value,
            origin: self.origin(name),
        })
        .into()
    }

    /// Takes the settings of a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub(crate) fn take(&mut self, text: &str, file: &Path) -> Result<(), String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            format!("line {line}: {what}")
        })?;
        let origin = Origin::File(file.to_owned());
        // Before the socket: another store's socket is not its own.
        if let Some(store) = table.get("store").and_then(Value::as_str) {
            self.use_store(PathBuf::from(store));
        }
        for (key, value) in &table {
            self.take_one(key, value, file == Path::new(SYSTEM_FILE))
                .map_err(|why| format!("line {}: {why}", line_of(text, key)))?;
            self.origins.set(key, origin.clone());
        }
        Ok(())
    }

    fn take_one(&mut self, key: &str, value: &Value, is_system: bool) -> Result<(), String> {
        let wrong = |takes: &str| format!("{key} takes {takes}");
        let path = || {
            let path = value.as_str().map(PathBuf::from);
            path.filter(|path| path.is_absolute())
                .ok_or_else(|| wrong("an absolute path"))
        };
        let switch = || value.as_bool().ok_or_else(|| wrong("true or false"));
        let number_between = |least: u64, most: u64| {
            let number = value.as_integer().and_then(|it| u64::try_from(it).ok());
            number
                .filter(|it| (least..=most).contains(it))
                .ok_or_else(|| match least {
                    0 => wrong(&format!("a number up to {most}")),
                    _ => wrong(&format!("a number from {least} to {most}")),
                })
        };
        let number = |most| number_between(0, most);
        let number_32 = || {
            let number = number(u32::MAX.into())?;
            u32::try_from(number).map_err(|_| wrong("a number of 32 bits"))
        };
        let text = |takes: &str| {
            let text = value.as_str().filter(|it| !it.is_empty());
            text.map(str::to_owned).ok_or_else(|| wrong(takes))
        };
        let list = |takes: &str, is_right: fn(&str) -> bool| {
            let list = value.as_array().ok_or_else(|| wrong(takes))?;
            let texts = list.iter().map(|it| it.as_str().filter(|it| is_right(it)));
            let texts: Option<Vec<String>> = texts.map(|it| it.map(str::to_owned)).collect();
            texts.ok_or_else(|| wrong(takes))
        };
        const FILES: &str = "a list such as [\"0=/path\", \"1:cu=/path\"], with absolute paths";
        match key {
            "store" => {
                let location = value.as_str().map(PathBuf::from);
                let location = location.filter(|it| crate::store::is_in_cluster(it));
                if location
                    .as_ref()
                    .is_some_and(|it| crate::store::has_relative_files(it))
                {
                    return Err(wrong("a location whose files are absolute paths"));
                }
                self.store = Some(location.map_or_else(path, Ok)?);
            }
            "socket" => {
                self.socket = Some(path()?);
            }
            "active_slot" => {
                self.active_slot = Some(number_32()?);
            }
            "login" => {
                self.login = list("a list such as [\"0\", \"1:cu\"]", |it| !it.is_empty())?;
            }
            "password_file" => {
                self.password_file = list(FILES, names_a_file)?;
            }
            "share_file" => {
                self.share_file = list(FILES, names_a_file)?;
            }
            "options" => {
                self.options = Some(text("mount options, such as \"allow_other,umask=077\"")?);
            }
            "log" => {
                let takes = "\"auto\", \"stderr\", \"journal\", \"syslog\" or an absolute path";
                self.log = text(takes)
                    .ok()
                    .filter(|it| is_log(it))
                    .ok_or_else(|| wrong(takes))?;
            }
            "log_filter" => {
                let takes = "levels such as \"info\" or \"warn,slotfs=debug\"";
                self.log_filter = Some(
                    text(takes)
                        .ok()
                        .filter(|it| is_filter(it))
                        .ok_or_else(|| wrong(takes))?,
                );
            }
            "linger" => {
                self.linger_secs = number(MOST_LINGER_SECS)?;
            }
            "idle" => {
                self.idle_secs = Some(number_between(1, MOST_IDLE_SECS)?);
            }
            "archive" => {
                self.archive = Some(path()?);
            }
            "user" => {
                let is_cu = value.as_str().and_then(is_cu);
                self.user_is_cu = is_cu.ok_or_else(|| wrong("\"co\" or \"cu\""))?;
            }
            "owner" => {
                self.owner = Some(number_32()?);
            }
            "spawn" => {
                self.spawn = Some(switch()?);
            }
            "program" if is_system => {
                self.program = path()?;
            }
            "program" => return Err(format!("program can only be set in {SYSTEM_FILE}")),
            "uninitialized_slot" => {
                self.uninitialized_slot = switch()?;
            }
            _ => return Err(format!("there is no setting '{key}'")),
        }
        Ok(())
    }
}

pub(crate) fn is_cu(role: &str) -> Option<bool> {
    match role {
        "co" => Some(false),
        "cu" => Some(true),
        _ => None,
    }
}

/// `N[:ROLE]=PATH`, with an absolute path: a daemon works in another folder. What stands before it is the program's to read.
fn names_a_file(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(place, path)| !place.is_empty() && path.starts_with('/'))
}

fn is_log(text: &str) -> bool {
    let path = text.strip_prefix("syslog:").unwrap_or(text);
    ["auto", "stderr", "journal", "syslog"].contains(&text) || path.starts_with('/')
}

/// Whether every level in a filter of env_logger is one. A name without a level is a part of the program.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let (levels, _pattern) = text.split_once('/').unwrap_or((text, ""));
    levels.split(',').all(|it| match it.trim().split_once('=') {
        Some((_, level)) => LEVELS.contains(&level.trim().to_ascii_lowercase().as_str()),
        None => !it.trim().contains(char::is_whitespace),
    })
}

/// The number of the line that holds a byte.
fn line_at(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The number of the line that sets `key`, or opens a table of that name.
fn line_of(text: &str, key: &str) -> usize {
    let sets_it = |line: &str| {
        let line = line.trim_start_matches([' ', '\t', '[', '"', '\'']);
        line.strip_prefix(key).is_some_and(|rest| {
            let rest = rest.trim_start_matches(['"', '\'', ' ', '\t']);
            rest.starts_with(['=', ']', '.'])
        })
    };
    text.lines().position(sets_it).unwrap_or(0) + 1
}
