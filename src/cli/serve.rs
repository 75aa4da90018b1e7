//! `serve`, `login` and `logout`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use slotfs_wire::rv::{CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_USER_PIN_NOT_INITIALIZED};
use slotfs_wire::{Reply, Request, Secret as Told};

use crate::cli::args::{SlotArg, log_place};
use crate::cli::{Answer, Console, file_error, password};
use crate::daemon::Inherited;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, SlotError};
use crate::logging::Where;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::secret::SecretBytes;
use crate::serve::{self, Client};

/// `serve`
#[derive(Args)]
#[command(after_help = "Example:\n  slotfs serve --background")]
pub(crate) struct Serve {
    /// Return when the server listens, and leave it running
    #[arg(long)]
    background: bool,
    /// How long a slot stays open after its last login, for commands in a loop [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    linger: Option<u64>,
    /// How long the server waits for a connection before it ends [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    idle: Option<u64>,
    /// Where to listen [default: where applications look]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where the server logs: auto, stderr, journal, syslog or a path [default: auto: the journal under systemd, else
    /// standard error in the foreground and a file in the log folder in the background]
    #[arg(long, visible_alias = "log-file", value_name = "WHERE", value_parser = log_place())]
    log: Option<Where>,
    /// Set by 'slotfs serve --background' on the server that it starts: readiness goes to standard output
    #[arg(long, hide = true)]
    handed_over: bool,
}

/// `login`
#[derive(Args)]
#[command(
    after_help = "Example:\n  slotfs login -slot 0 -role co --share-file 0=one --share-file 0=two"
)]
pub(crate) struct Login {
    #[command(flatten)]
    slot: SlotArg,
    /// po (partition officer), co (crypto officer) or cu (crypto user)
    #[arg(short, long, value_name = "ROLE", default_value = "co")]
    role: Role,
}

/// `logout`
#[derive(Args)]
#[command(after_help = "Example:\n  slotfs logout -slot 0 -role co")]
pub(crate) struct Logout {
    #[command(flatten)]
    slot: SlotArg,
    /// po (partition officer), co (crypto officer) or cu (crypto user)
    #[arg(short, long, value_name = "ROLE", default_value = "co")]
    role: Role,
}

fn log_option(log: &Where) -> OsString {
    let mut option = OsString::from("--log=");
    option.push(log.spelled());
    option
}

/// The CKU number of a role.
fn user(role: Role) -> u64 {
    match role {
        Role::Po => 0,
        Role::Co => 1,
        Role::Cu => 0x8000_0001,
    }
}

impl Serve {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        if console.kept().is_some() && !self.background {
            return Err(Error::Usage(
                "the shell can start a server in the background; use --background, or run 'slotfs serve' outside the shell".into(),
            ));
        }
        let store = console.store()?;
        let store = slotfs_config::store::absolute(&store).map_err(file_error(&store))?;
        let mut config = console.config_of(&store)?;
        config.linger_secs = self.linger.unwrap_or(config.linger_secs);
        let log = console.log_place(self.log.as_ref())?;
        if let Some(socket) = &self.socket {
            config.socket = Some(std::path::absolute(socket).map_err(file_error(socket))?);
        }
        if self.background {
            crate::logging::for_command();
            let log = log.of_background(&store)?;
            serve::start_in_background(&store, &self.options(&log)?)?;
            let store = crate::shown::path(&store).to_string();
            let facts = json!({ "store": store, "log": log.shown() });
            return Ok(Answer::new(facts).line("The token server is running."));
        }
        let log = match self.handed_over {
            true => log.of_background(&store)?,
            false => log.of_foreground(),
        };
        let plan = serve::Plan {
            store,
            config,
            given: serve::Given {
                linger_secs: self.linger,
                idle_secs: self.idle,
            },
            log,
            handed_over: self.handed_over,
            inherited: Inherited::take(),
        };
        serve::run(plan)?;
        Ok(Answer::printed(Ok(())).bare())
    }

    /// What the server in the background is told.
    fn options(&self, log: &Where) -> Result<Vec<OsString>> {
        let mut options: Vec<OsString> = vec![log_option(log)];
        options.extend(self.idle.map(|it| format!("--idle={it}").into()));
        options.extend(self.linger.map(|it| format!("--linger={it}").into()));
        if let Some(path) = &self.socket {
            let path = std::path::absolute(path).map_err(file_error(path))?;
            let mut option = OsString::from("--socket=");
            option.push(path);
            options.push(option);
        }
        Ok(options)
    }
}

impl Login {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[])?;
        let role = self.role;
        let secrets = match hsm.partition(slot).login_kind(role)? {
            SlotKind::Quorum => console.shares(&hsm, slot, role)?.texts,
            SlotKind::Password => vec![match console.password_on_file(slot, role)? {
                Some(password) => password,
                None => password::ask_password(slot, role)?,
            }],
        };
        // As it was given: a location is shown without its options, and so without its certificates.
        let store = console.store()?;
        let store = slotfs_config::store::absolute(&store).map_err(file_error(&store))?;
        let config = console.config_of(&store)?;
        let mut client = match Client::connect(&config, &store)? {
            Some(client) => client,
            None => {
                let log = console.log_place(None)?.of_background(&store)?;
                serve::start_in_background(&store, &[log_option(&log)])?;
                let none = || Error::Serve {
                    what: "the token server that was started does not listen".into(),
                    hint: None,
                };
                Client::connect(&config, &store)?.ok_or_else(none)?
            }
        };
        let mut missing = 0;
        for secret in secrets {
            missing = open(&mut client, &hsm, slot, role, &secret)?;
        }
        if missing > 0 {
            let what = format!("slot {slot}: {missing} more key shares of {role} are needed");
            return Err(Error::Serve { what, hint: None });
        }
        let answer = json!({ "slot": slot.0, "role": role.to_string() });
        Ok(Answer::new(answer).line(format_args!(
            "{role} is logged in to slot {slot} until 'slotfs logout'."
        )))
    }
}

/// Tells the server one secret; how many key shares are still missing.
fn open(
    client: &mut Client,
    hsm: &Hsm,
    slot: SlotId,
    role: Role,
    secret: &SecretBytes,
) -> Result<u64> {
    let request = Request::OpenSlot {
        slot: slot.0.into(),
        user: user(role),
        secret: Told::from(secret.bytes()),
    };
    match client.ask(&request)? {
        Reply::Number(missing) => Ok(missing),
        Reply::Failed(CKR_PIN_LOCKED) => Err(SlotError::RoleLocked(role).at(slot).into()),
        Reply::Failed(CKR_USER_PIN_NOT_INITIALIZED) => {
            Err(SlotError::RoleMissing(role).at(slot).into())
        }
        Reply::Failed(CKR_PIN_INCORRECT) => {
            let row = hsm.partition(slot).row()?;
            let state = hsm.partition(slot).roles()?;
            let state = state.into_iter().find(|state| state.role == role);
            let failures = state.map_or(0, |state| state.failures);
            let left = row.policies.failed_logins.saturating_sub(failures);
            Err(match row.kind {
                SlotKind::Password => SlotError::PasswordWrong { role, left }.at(slot),
                kind @ SlotKind::Quorum => SlotError::OtherAuthentication(kind).at(slot),
            }
            .into())
        }
        Reply::Failed(number) => {
            let what =
                format!("slot {slot}: the token server did not log {role} in (0x{number:x})");
            let hint = Some("the server's log says why".into());
            Err(Error::Serve { what, hint })
        }
        _ => Err(Error::Serve {
            what: "the token server gave an answer that makes no sense".into(),
            hint: None,
        }),
    }
}

impl Logout {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (hsm, slot) = console.partition(self.slot, &[])?;
        let role = self.role;
        let store = hsm.path().to_owned();
        drop(hsm);
        let was = match Client::connect(&console.config_of(&store)?, &store)? {
            None => false,
            Some(mut client) => {
                let request = Request::CloseSlot {
                    slot: slot.0.into(),
                    user: user(role),
                };
                matches!(client.ask(&request)?, Reply::Number(1))
            }
        };
        let answer = json!({ "slot": slot.0, "role": role.to_string(), "was_logged_in": was });
        Ok(Answer::new(answer).line(match was {
            true => format!("{role} is logged out of slot {slot}."),
            false => format!("{role} was not logged in to slot {slot}."),
        }))
    }
}
