//! The settings of the program and the PKCS#11 module, and the places of token servers' sockets.
//!
//! The module runs inside any application, so nothing here changes the process, starts a thread or asks the name service.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

mod origin;
pub mod place;
mod settings;
mod source;
pub mod store;

pub use origin::Origin;
pub use settings::{Setting, Shown};
pub use source::{SYSTEM_FILE, VARIABLE as FILE_VARIABLE, user_file};

use origin::Origins;
use settings::is_cu;

/// The program that the module starts, unless the system's file says otherwise; set at build time.
const PROGRAM: &str = match option_env!("SLOTFS_PROGRAM") {
    Some(program) => program,
    None => "/usr/bin/slotfs",
};

/// Settings: those of [`SYSTEM_FILE`], above them those of the user's file, above those the environment
/// (docs/configuration.md). The module reads some of them only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `store = "PATH"`, `$SLOTFS_STORE`: the store's file.
    pub store: Option<PathBuf>,
    /// `socket = "PATH"`, `$SLOTFS_SOCKET`: the socket of the server, if it is not where it would be looked for.
    pub socket: Option<PathBuf>,
    /// `active_slot = N`, `$SLOTFS_ACTIVE_SLOT`: the slot that commands work on.
    pub active_slot: Option<u32>,
    /// `login = ["N[:ROLE]", ...]`: the roles that a mount logs in.
    pub login: Vec<String>,
    /// `password_file = ["N[:ROLE]=PATH", ...]`
    pub password_file: Vec<String>,
    /// `share_file = ["N[:ROLE]=PATH", ...]`
    pub share_file: Vec<String>,
    /// `options = "OPTIONS"`: mount options, before those of the command line.
    pub options: Option<String>,
    /// `log = "auto" | "stderr" | "journal" | "syslog" | "PATH"`: where daemons log.
    pub log: String,
    /// `log_filter = "LEVELS"`, `$SLOTFS_LOG`: what daemons log.
    pub log_filter: Option<String>,
    /// `linger = SECONDS`: how long a slot stays open after its last login.
    pub linger_secs: u64,
    /// `idle = SECONDS`: how long `slotfs serve` waits for a connection.
    pub idle_secs: Option<u64>,
    /// `archive = "PATH"`: the folder for archives of partitions.
    pub archive: Option<PathBuf>,
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
    origins: Origins,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: None,
            socket: None,
            active_slot: None,
            login: Vec::new(),
            password_file: Vec::new(),
            share_file: Vec::new(),
            options: None,
            log: "auto".into(),
            log_filter: None,
            linger_secs: 0,
            idle_secs: None,
            archive: None,
            user_is_cu: false,
            owner: None,
            spawn: None,
            program: PathBuf::from(PROGRAM),
            uninitialized_slot: true,
            origins: Origins::default(),
        }
    }
}

impl Config {
    /// Reads the settings. Without `trust_environment`, as in a program that runs with another user's rights, only the
    /// system's file counts.
    ///
    /// # Errors
    /// A file that cannot be read, that others can write, or that holds something else: names the file and the line.
    pub fn load(trust_environment: bool) -> Result<Self, String> {
        let mut config = Self::default();
        config.take_file(Path::new(SYSTEM_FILE))?;
        if !trust_environment {
            return Ok(config);
        }
        if let Some((path, is_needed)) = user_file() {
            // A daemon reads it again, in another folder.
            if !path.is_absolute() {
                return Err(format!("{FILE_VARIABLE} takes an absolute path"));
            }
            if !config.take_file(&path)? && is_needed {
                let path = path.to_string_lossy();
                return Err(format!(
                    "{path}: there is no such file, and ${FILE_VARIABLE} names it"
                ));
            }
        }
        config.take_environment(variable)?;
        Ok(config)
    }

    /// Reads one file alone.
    ///
    /// # Errors
    /// As [`Self::load`], and if the file is not there.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let mut config = Self::default();
        match config.take_file(path)? {
            true => Ok(config),
            false => Err(format!("{}: there is no such file", path.to_string_lossy())),
        }
    }

    /// Where the setting of that name came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.of(name)
    }

    /// Notes that an option of a command gave the setting its value.
    pub fn came_from(&mut self, name: &str, origin: Origin) {
        self.origins.set(name, origin);
    }

    /// The store that is meant: the one that is set, else `$XDG_DATA_HOME/slotfs/store.db`. It need not exist.
    pub fn store_path(&self, trust_environment: bool) -> Option<PathBuf> {
        let default = || {
            let data = trust_environment.then(|| xdg("XDG_DATA_HOME", ".local/share"))??;
            Some(data.join("slotfs/store.db"))
        };
        self.store.clone().or_else(default)
    }

    /// Takes a file's settings; whether the file is there.
    fn take_file(&mut self, path: &Path) -> Result<bool, String> {
        let Some(text) = source::read(path)? else {
            return Ok(false);
        };
        self.take(&text, path)
            .map_err(|why| format!("{}: {why}", path.to_string_lossy()))?;
        Ok(true)
    }

    fn take_environment(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), String> {
        let path = |name| variable(name).map(PathBuf::from);
        let mut seen: Vec<(&str, &'static str)> = Vec::new();
        if let Some(store) = path("SLOTFS_STORE") {
            self.use_store(store);
            seen.push(("store", "SLOTFS_STORE"));
        }
        if let Some(socket) = path("SLOTFS_SOCKET") {
            self.socket = Some(socket);
            seen.push(("socket", "SLOTFS_SOCKET"));
        }
        // The program's command line reports one that is no number; the module does not read it.
        let slot = variable("SLOTFS_ACTIVE_SLOT");
        if let Some(slot) = slot.and_then(|it| it.to_str()?.parse().ok()) {
            self.active_slot = Some(slot);
            seen.push(("active_slot", "SLOTFS_ACTIVE_SLOT"));
        }
        if let Some(filter) = variable("SLOTFS_LOG").and_then(|it| it.into_string().ok()) {
            self.log_filter = Some(filter);
            seen.push(("log_filter", "SLOTFS_LOG"));
        }
        if let Some(program) = path("SLOTFS_PROGRAM") {
            if !program.is_absolute() {
                return Err("SLOTFS_PROGRAM takes an absolute path".into());
            }
            self.program = program;
            seen.push(("program", "SLOTFS_PROGRAM"));
        }
        if let Some(value) = variable("SLOTFS_SPAWN") {
            self.spawn = match value.to_str() {
                Some("1") => Some(true),
                Some("0") => Some(false),
                _ => return Err("SLOTFS_SPAWN takes 0 or 1".into()),
            };
            seen.push(("spawn", "SLOTFS_SPAWN"));
        }
        for (name, variable) in seen {
            self.origins.set(name, Origin::Variable(variable));
        }
        Ok(())
    }

    /// Means this store. A socket that was set with another store is not its socket.
    pub fn use_store(&mut self, store: PathBuf) {
        let is_other = |before: &PathBuf| {
            let same_file =
                || Some(store::canonical(before).ok()? == store::canonical(&store).ok()?);
            // A relative path may be meant from another folder: then it is taken for the same.
            *before != store && !same_file().unwrap_or(before.is_relative())
        };
        if self.store.as_ref().is_some_and(is_other) {
            self.socket = None;
            self.origins.forget("socket");
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
            self.origins.set("store", Origin::Parameter);
        }
        for (name, value) in all {
            match name {
                "socket" => {
                    self.socket = Some(PathBuf::from(value));
                    self.origins.set("socket", Origin::Parameter);
                }
                "user" => {
                    self.user_is_cu = is_cu(value).ok_or("user takes co or cu")?;
                    self.origins.set("user", Origin::Parameter);
                }
                // NSS passes settings of its own to every module.
                _ => {}
            }
        }
        Ok(())
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
mod tests;
