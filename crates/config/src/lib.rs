//! Settings of slotfs that the program and the PKCS#11 module share, and where the sockets of token servers are.
//!
//! The module runs inside any application, so nothing here changes the process, starts a thread or asks the name service.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

pub mod place;

/// The file of the system.
pub const SYSTEM_FILE: &str = "/etc/slotfs.toml";

/// The program that the module starts, unless the system's file says otherwise; set at build time.
const PROGRAM: &str = match option_env!("SLOTFS_PROGRAM") {
    Some(program) => program,
    None => "/usr/bin/slotfs",
};

/// Settings: those of [`SYSTEM_FILE`], above them those of `$XDG_CONFIG_HOME/slotfs/config.toml`, above those the
/// environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `store = "PATH"`, `$SLOTFS_STORE`: the store's file.
    pub store: Option<PathBuf>,
    /// `socket = "PATH"`, `$SLOTFS_SOCKET`: the socket of the server, if it is not where it would be looked for.
    pub socket: Option<PathBuf>,
    /// `user = "co" | "cu"`: who logs in as `CKU_USER`.
    pub user_is_cu: bool,
    /// `owner = UID`: who may own a server, beside root and oneself.
    pub owner: Option<u32>,
    /// `spawn = true | false`, `$SLOTFS_SPAWN` 1 or 0: whether the module starts a server.
    pub spawn: Option<bool>,
    /// `program = "PATH"`, of the system's file alone; `$SLOTFS_PROGRAM`: what the module starts.
    pub program: PathBuf,
    /// `uninitialized_slot = true | false`: whether a free slot number shows as a token that can be initialised.
    pub uninitialized_slot: bool,
    /// `linger = SECONDS`: how long a slot stays open after its last login.
    pub linger_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: None,
            socket: None,
            user_is_cu: false,
            owner: None,
            spawn: None,
            program: PathBuf::from(PROGRAM),
            uninitialized_slot: true,
            linger_secs: 0,
        }
    }
}

impl Config {
    /// Reads the settings. Without `trust_environment`, as in a program that runs with another user's rights, only the
    /// system's file counts.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else: names the file and the key.
    pub fn load(trust_environment: bool) -> Result<Self, String> {
        let mut config = Self::default();
        config.take_file(Path::new(SYSTEM_FILE), true)?;
        if !trust_environment {
            return Ok(config);
        }
        if let Some(folder) = xdg("XDG_CONFIG_HOME", ".config") {
            config.take_file(&folder.join("slotfs/config.toml"), false)?;
        }
        config.take_environment(variable)?;
        Ok(config)
    }

    /// The store that is meant: the one that is set, else `$XDG_DATA_HOME/slotfs/store.db`. It need not exist.
    pub fn store_path(&self, trust_environment: bool) -> Option<PathBuf> {
        let default = || {
            let data = trust_environment.then(|| xdg("XDG_DATA_HOME", ".local/share"))??;
            Some(data.join("slotfs/store.db"))
        };
        self.store.clone().or_else(default)
    }

    fn take_file(&mut self, path: &Path, is_system: bool) -> Result<(), String> {
        match fs::read_to_string(path) {
            Ok(text) => self
                .take(&text, is_system)
                .map_err(|why| format!("{}: {why}", path.to_string_lossy())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("{}: {error}", path.to_string_lossy())),
        }
    }

    fn take(&mut self, text: &str, is_system: bool) -> Result<(), String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // Its first line names the line and the column.
            let error = error.to_string();
            error.lines().next().unwrap_or("not TOML").to_owned()
        })?;
        if let Some(store) = table.get("store").and_then(Value::as_str) {
            self.use_store(PathBuf::from(store));
        }
        for (key, value) in &table {
            let wrong = |takes: &str| format!("{key} takes {takes}");
            let path = || {
                let path = value.as_str().map(PathBuf::from);
                path.filter(|path| path.is_absolute())
                    .ok_or_else(|| wrong("an absolute path"))
            };
            let switch = || value.as_bool().ok_or_else(|| wrong("true or false"));
            let number = |most: u64| {
                let number = value.as_integer().and_then(|it| u64::try_from(it).ok());
                number
                    .filter(|it| *it <= most)
                    .ok_or_else(|| wrong(&format!("a number up to {most}")))
            };
            match key.as_str() {
                "store" => self.store = Some(path()?),
                "socket" => self.socket = Some(path()?),
                "user" => {
                    self.user_is_cu = is_cu(value).ok_or_else(|| wrong("\"co\" or \"cu\""))?
                }
                "owner" => self.owner = u32::try_from(number(u32::MAX.into())?).ok(),
                "spawn" => self.spawn = Some(switch()?),
                "program" if is_system => self.program = path()?,
                "program" => return Err(format!("program can only be set in {SYSTEM_FILE}")),
                "uninitialized_slot" => self.uninitialized_slot = switch()?,
                "linger" => self.linger_secs = number(24 * 3600)?,
                _ => return Err(format!("there is no setting '{key}'")),
            }
        }
        Ok(())
    }

    fn take_environment(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), String> {
        let path = |name| variable(name).map(PathBuf::from);
        if let Some(store) = path("SLOTFS_STORE") {
            self.use_store(store);
        }
        self.socket = path("SLOTFS_SOCKET").or(self.socket.take());
        if let Some(program) = path("SLOTFS_PROGRAM") {
            if !program.is_absolute() {
                return Err("SLOTFS_PROGRAM takes an absolute path".into());
            }
            self.program = program;
        }
        if let Some(value) = variable("SLOTFS_SPAWN") {
            self.spawn = match value.to_str() {
                Some("1") => Some(true),
                Some("0") => Some(false),
                _ => return Err("SLOTFS_SPAWN takes 0 or 1".into()),
            };
        }
        Ok(())
    }

    /// Means this store. A socket that was set with another store is not its socket.
    pub fn use_store(&mut self, store: PathBuf) {
        let is_other = |before: &PathBuf| {
            let same_file =
                || Some(fs::canonicalize(before).ok()? == fs::canonicalize(&store).ok()?);
            // A relative path may be meant from another folder: then it is taken for the same.
            *before != store && !same_file().unwrap_or(before.is_relative())
        };
        if self.store.as_ref().is_some_and(is_other) {
            self.socket = None;
        }
        self.store = Some(store);
    }

    /// Takes settings in the form `store=PATH user=cu`, which NSS and Java pass to a module (`pReserved` of
    /// `C_Initialize`). A path with blanks stands in double quotes.
    ///
    /// # Errors
    /// What is no setting.
    pub fn take_parameters(&mut self, text: &str) -> Result<(), String> {
        let all = parameters(text)?;
        if let Some((_, store)) = all.iter().rfind(|(name, _)| *name == "store") {
            self.use_store(PathBuf::from(store));
        }
        for (name, value) in all {
            match name {
                "socket" => self.socket = Some(PathBuf::from(value)),
                "user" => {
                    let value = Value::String(value.to_owned());
                    self.user_is_cu = is_cu(&value).ok_or("user takes co or cu")?;
                }
                // NSS passes settings of its own to every module.
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_cu(value: &Value) -> Option<bool> {
    match value.as_str()? {
        "co" => Some(false),
        "cu" => Some(true),
        _ => None,
    }
}

/// The `NAME=VALUE` of a text, one after the other.
fn parameters(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or_else(|| "a parameter is not of the form NAME=VALUE".to_owned())?;
        let (value, after) = match after.strip_prefix(['"', '\'']) {
            Some(quoted) => {
                let quote = after.chars().next().unwrap_or('"');
                let end = quoted.split_once(quote);
                end.ok_or_else(|| format!("the value of {name} does not end"))?
            }
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        all.push((name.trim(), value));
        rest = after.trim_start();
    }
    Ok(all)
}

/// An environment variable that is not empty.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder that the XDG variable `name` names, or else `default` in the user's home.
pub(crate) fn xdg(name: &str, default: &str) -> Option<PathBuf> {
    let absolute = |name| {
        let path = variable(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute(name).or_else(|| absolute("HOME").map(|home| home.join(default)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_sets_what_it_names() {
        let mut config = Config::default();
        let text = r#"
            store = "/srv/keys.db"
            socket = "/run/keys.sock"
            user = "cu"
            owner = 998
            spawn = false
            program = "/opt/slotfs"
            uninitialized_slot = false
            linger = 30
        "#;
        config.take(text, true).unwrap();
        let expected = Config {
            store: Some("/srv/keys.db".into()),
            socket: Some("/run/keys.sock".into()),
            user_is_cu: true,
            owner: Some(998),
            spawn: Some(false),
            program: "/opt/slotfs".into(),
            uninitialized_slot: false,
            linger_secs: 30,
        };
        assert_eq!(config, expected);
    }

    /// The file that packages install has every setting, commented out, and nothing that is none.
    #[test]
    fn the_installed_file_has_every_setting() {
        let file = include_str!("../../../packaging/slotfs.toml");
        let is_setting = |line: &&str| {
            line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ")
        };
        let lines = file.lines().filter_map(|line| line.strip_prefix('#'));
        let settings: Vec<&str> = lines.filter(is_setting).collect();
        let mut config = Config::default();
        config.take(&settings.join("\n"), true).unwrap();
        let names = settings.iter().filter_map(|it| it.split_once(" = "));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        let all = [
            "store",
            "socket",
            "owner",
            "user",
            "spawn",
            "program",
            "uninitialized_slot",
            "linger",
        ];
        assert_eq!(names, all);
        // As it is installed, it sets nothing.
        let mut config = Config::default();
        config.take(file, true).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn what_is_no_setting_is_named() {
        let refused = |text: &str, is_system| {
            let taken = Config::default().take(text, is_system);
            taken.unwrap_err()
        };
        for (text, says) in [
            ("sotre = \"/x\"", "there is no setting 'sotre'"),
            ("store = \"x\"", "store takes an absolute path"),
            ("store = 1", "store takes an absolute path"),
            ("user = \"po\"", "user takes \"co\" or \"cu\""),
            ("owner = -1", "owner takes a number up to 4294967295"),
            ("spawn = \"yes\"", "spawn takes true or false"),
            ("linger = 1000000", "linger takes a number up to 86400"),
        ] {
            assert_eq!(refused(text, true), says);
        }
        let says = refused("program = \"/x\"", false);
        assert_eq!(says, "program can only be set in /etc/slotfs.toml");
        assert!(refused("store = ", true).contains("line 1"));
    }

    #[test]
    fn the_environment_is_above_files() {
        let mut config = Config::default();
        config.take("store = \"/a\"\nspawn = true", true).unwrap();
        let environment = |name: &str| match name {
            "SLOTFS_STORE" => Some(OsString::from("/b")),
            "SLOTFS_SPAWN" => Some(OsString::from("0")),
            _ => None,
        };
        config.take_environment(environment).unwrap();
        assert_eq!(config.store, Some("/b".into()));
        assert_eq!(config.spawn, Some(false));
        let wrong = |name: &str| (name == "SLOTFS_SPAWN").then(|| OsString::from("yes"));
        assert!(Config::default().take_environment(wrong).is_err());
    }

    #[test]
    fn a_socket_is_that_of_its_store() {
        let mut config = Config::default();
        let file = "store = \"/a\"\nsocket = \"/a.sock\"";
        config.take(file, true).unwrap();
        config.use_store("/a".into());
        assert_eq!(config.socket, Some("/a.sock".into()));
        config.take_parameters("socket=/b.sock store=/b").unwrap();
        assert_eq!(config.socket, Some("/b.sock".into()));
        config.take_parameters("store=/a").unwrap();
        assert_eq!(config.socket, None);
        config.use_store("a".into());
        config.socket = Some("/a.sock".into());
        config.use_store("/somewhere/a".into());
        assert_eq!(config.socket, Some("/a.sock".into()));
        config.take(file, false).unwrap();
        let other = |name: &str| (name == "SLOTFS_STORE").then(|| OsString::from("/c"));
        config.take_environment(other).unwrap();
        assert_eq!(config.socket, None);
    }

    #[test]
    fn parameters_of_c_initialize() {
        let mut config = Config::default();
        let text = "configdir='sql:/etc/pki' store=\"/srv/my keys.db\" user=cu flags=";
        config.take_parameters(text).unwrap();
        assert_eq!(config.store, Some("/srv/my keys.db".into()));
        assert!(config.user_is_cu);
        config.take_parameters("  ").unwrap();
        for wrong in ["store", "user=po", "store=\"/x"] {
            assert!(config.take_parameters(wrong).is_err(), "{wrong}");
        }
    }
}
