//! `config show` and `config check`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use slotfs_config::{Config, Origin, SYSTEM_FILE, Setting, Shown, place, user_file};

use crate::cli::console::no_misspelt_location;
use crate::cli::{Answer, Console, NONE, Rows, mount, secret_files};
use crate::daemon::MountOptions;
use crate::environment;
use crate::error::{Error, Result};
use crate::logging::Where;
use crate::{logging, serve, shown};

/// What can be done with the configuration.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show each setting, its value, and where it came from
    ///
    /// The values are those that a command here and now would have. None of them is a secret: of passwords and key
    /// shares, only the paths of their files are shown.
    #[command(
        after_help = "Example:\n  slotfs config show\n\nJSON:\n  {\"settings\":[{\"name\":\"linger\",\"value\":30,\"origin\":\"file\",\"from\":\"/etc/slotfs.toml\"}],\n   \"files\":[{\"path\":\"/etc/slotfs.toml\",\"exists\":true}],\n   \"store\":\"...\",\"sockets\":[\"...\"],\"state_folder\":\"...\",\"log\":\"...\"}\n  origin is default, file, environment or option; from is the file, the variable or the option, or null; value is null\n  when there is none; log is where a daemon in the background logs"
    )]
    Show,
    /// Check a configuration file, and report its first error
    #[command(after_help = "Example:\n  slotfs config check /etc/slotfs.toml")]
    Check {
        /// The file [default: every file that is read]
        file: Option<PathBuf>,
    },
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Show => show(console),
            Self::Check { file } => check(file),
        }
    }
}

fn show(console: &Console<'_>) -> Result<Answer> {
    let mut config = console.config()?.clone();
    let globals = console.globals();
    // The command line has the variable's value where no option is given.
    let is_variable = |name| matches!(config.origin(name), Origin::Variable(_));
    let (store_is_variable, slot_is_variable) = (is_variable("store"), is_variable("active_slot"));
    if let Some(store) = &globals.store
        && !(store_is_variable && config.store.as_ref() == Some(store))
    {
        config.use_store(store.clone());
        config.came_from("store", Origin::Option("--store"));
    }
    let active = globals.active_slot.or_else(|| console.kept()?.active());
    if let Some(slot) = active.map(|slot| slot.0)
        && !(slot_is_variable && config.active_slot == Some(slot))
    {
        config.active_slot = Some(slot);
        config.came_from("active_slot", Origin::Option("--active-slot"));
    }
    let mut table = Rows::new(&["Setting", "Value", "From"]);
    for setting in config.settings() {
        let setting = with_default(setting, &config);
        let value = &setting.value;
        table.add(
            &[&setting.name, &text(value), &setting.origin.to_string()],
            json!({
                "name": setting.name, "value": facts(value),
                "origin": kind(&setting.origin), "from": from(&setting.origin),
            }),
        );
    }
    let mut files = Rows::new(&["File", "Is There"]);
    let users = user_file().map(|(path, _)| path);
    for path in [Some(PathBuf::from(SYSTEM_FILE)), users]
        .into_iter()
        .flatten()
    {
        let (exists, path) = (path.exists(), shown::path(&path).to_string());
        let is_there = if exists { "yes" } else { "no" };
        files.add(
            &[&path, &is_there],
            json!({ "path": path, "exists": exists }),
        );
    }
    Ok(derived(
        Answer::new(json!({}))
            .rows("settings", table)
            .text("\n")
            .rows("files", files)
            .text("\n"),
        &config,
    ))
}

/// What follows from the settings.
fn derived(answer: Answer, config: &Config) -> Answer {
    let shown_path = |path: &Path| shown::path(path).to_string();
    let store = config.store_path(true);
    let store = store.map(|path| slotfs_config::store::absolute(&path).unwrap_or(path));
    // Sockets are named by the path that the store really has.
    let canonical = store
        .as_ref()
        .map(|path| slotfs_config::store::canonical(path).unwrap_or_else(|_| path.clone()));
    let sockets = canonical.map_or_else(Vec::new, |path| place::sockets(config, &path, true));
    let sockets: Vec<String> = sockets.iter().map(|it| shown_path(it)).collect();
    let state = environment::state_folder().ok();
    let log = Where::parse(config.log.as_ref()).ok();
    let log = log.zip(store.as_ref());
    let log = log.map(|(log, store)| log.expected(store).shown());
    let or_none = |path: &Option<PathBuf>| path.as_deref().map(shown_path);
    let (store, state) = (or_none(&store), or_none(&state));
    let cell = |value: &Option<String>| value.clone().unwrap_or_else(|| NONE.to_owned());
    let mut pairs = vec![("Store", cell(&store))];
    pairs.extend(sockets.iter().map(|it| ("Socket", it.clone())));
    pairs.push(("State folder", cell(&state)));
    pairs.push(("Log in the background", cell(&log)));
    answer
        .pairs(pairs)
        .fact("store", store)
        .fact("sockets", sockets)
        .fact("state_folder", state)
        .fact("log", log)
}

/// Values that the program has where nothing is set.
fn with_default(setting: Setting, config: &Config) -> Setting {
    let store = || config.store_path(true);
    match (setting.name, &setting.value) {
        ("store", Shown::Unset) => Setting {
            value: store().map_or(Shown::Unset, |it| Shown::Text(shown::path(&it).to_string())),
            ..setting
        },
        ("log_filter", Shown::Unset) => Setting {
            value: Shown::Text(logging::OF_DAEMON.into()),
            ..setting
        },
        ("idle", Shown::Unset) => Setting {
            value: Shown::Number(serve::IDLE_SECS),
            ..setting
        },
        _ => setting,
    }
}

fn text(value: &Shown) -> String {
    match value {
        Shown::Unset => NONE.to_owned(),
        Shown::Text(text) => text.clone(),
        Shown::List(texts) => texts.join(" "),
        Shown::Number(number) => number.to_string(),
        Shown::Switch(is_on) => is_on.to_string(),
    }
}

fn facts(value: &Shown) -> Value {
    match value {
        Shown::Unset => Value::Null,
        Shown::Text(text) => json!(text),
        Shown::List(texts) => json!(texts),
        Shown::Number(number) => json!(number),
        Shown::Switch(is_on) => json!(is_on),
    }
}

fn kind(origin: &Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::File(_) => "file",
        Origin::Variable(_) => "environment",
        Origin::Parameter | Origin::Option(_) => "option",
    }
}

fn from(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Default => None,
        Origin::Variable(name) => Some((*name).to_owned()),
        origin => Some(origin.to_string()),
    }
}

fn check(file: Option<PathBuf>) -> Result<Answer> {
    let files = match file {
        Some(file) => vec![(file, true)],
        None => {
            let system = (PathBuf::from(SYSTEM_FILE), false);
            [Some(system), user_file()].into_iter().flatten().collect()
        }
    };
    let (mut checked, mut text) = (Vec::new(), String::new());
    for (path, is_needed) in files {
        let name = shown::path(&path).to_string();
        if !is_needed && !path.exists() {
            text += &format!("        {name} is not there.\n");
            continue;
        }
        let config = Config::of_file(&path).map_err(Error::Usage)?;
        secret_files::of_config(&config, "password_file", &config.password_file)?;
        secret_files::of_config(&config, "share_file", &config.share_file)?;
        mount::logins_of(&config)?;
        let options: Vec<String> = config.options.clone().into_iter().collect();
        MountOptions::parse(&options)
            .map_err(|why| Error::Usage(format!("{name}: options: {why}")))?;
        if let Some(store) = &config.store {
            no_misspelt_location(store.clone())?;
        }
        text += &format!("        {name} can be used.\n");
        checked.push(name);
    }
    Ok(Answer::new(json!({ "files": checked })).text(text))
}
