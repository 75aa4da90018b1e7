//! `mount` and `umount`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::{Answer, Console, file_error, password};
use crate::daemon::{self, Inherited, MountOptions, Plan};
use crate::error::{Error, Result};
use crate::hsm::SlotError;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::secret::SecretBytes;

/// `mount`
#[derive(Args)]
#[command(
    after_help = "Example:\n  slotfs mount /mnt/hsm --login 0 --password-file 0=pw\n\nOptions of -o: allow_other, ro, rw, uid=N, gid=N, umask=OCTAL, share_timeout=SECONDS,\nno_socket (the daemon is no token server)"
)]
pub(crate) struct Mount {
    /// The folder to mount at
    mountpoint: PathBuf,
    /// Log in to a slot before the mount is ready, as co by default; repeatable
    #[arg(long, value_name = "SLOT[:ROLE]", value_parser = login)]
    login: Vec<(SlotId, Role)>,
    /// Mount options, with commas; repeatable
    #[arg(short = 'o', long = "options", value_name = "OPTIONS")]
    options: Vec<String>,
    /// Stay in the foreground, log to standard error
    #[arg(long)]
    foreground: bool,
    /// Where the daemon logs [default: the store's path with .log added]
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// Set by 'slotfs mount' on the daemon it starts: passwords come on standard input, readiness goes to
    /// standard output
    #[arg(long, hide = true)]
    handed_over: bool,
}

/// `umount`
#[derive(Args)]
#[command(after_help = "Example:\n  slotfs umount /mnt/hsm")]
pub(crate) struct Umount {
    /// The folder that 'slotfs mount' mounted at
    mountpoint: PathBuf,
}

fn login(text: &str) -> Result<(SlotId, Role), String> {
    let (slot, role) = password::parse_login(text)?;
    match role {
        Role::Po => Err("po cannot log in on a mount".into()),
        Role::Co | Role::Cu => Ok((slot, role)),
    }
}

/// The secrets that the daemon logs in with: a password, or key shares that were checked to be the role's. A password on
/// file is not checked: the daemon does that, and the store need not be opened here.
fn secrets(console: &Console<'_>, slot: SlotId, role: Role) -> Result<Vec<SecretBytes>> {
    if console.share_files(slot, role).next().is_none()
        && let Some(password) = console.password_on_file(slot, role)?
    {
        return Ok(vec![password]);
    }
    let hsm = console.open_to_read()?;
    match hsm.partition(slot).login_kind(role)? {
        SlotKind::Quorum => Ok(console.shares(&hsm, slot, role)?.texts),
        kind @ SlotKind::Password if console.share_files(slot, role).next().is_some() => {
            Err(SlotError::OtherAuthentication(kind).at(slot).into())
        }
        SlotKind::Password => Ok(vec![password::ask_password(slot, role)?]),
    }
}

impl Mount {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        if console.kept().is_some() && (self.foreground || self.handed_over) {
            return Err(Error::Usage(
                "the shell mounts in the background; omit --foreground, or run 'slotfs mount' outside the shell".into(),
            ));
        }
        let store = console.store()?;
        let store = std::path::absolute(&store).map_err(file_error(&store))?;
        let options = MountOptions::parse(&self.options)?;
        let mut plan = Plan {
            store,
            mountpoint: self.mountpoint,
            options,
            options_text: self.options.join(","),
            log_file: self.log_file,
            logins: Vec::new(),
            inherited: Inherited::take(),
        };
        if self.handed_over {
            plan.logins = daemon::receive_logins()?;
            daemon::serve(plan, daemon::Mode::Background)?;
            return Ok(Answer::printed(Ok(())).bare());
        }
        if !self.foreground {
            crate::logging::for_command();
        }
        daemon::check_mountpoint(&plan.mountpoint)?;
        if self.login.is_empty() {
            console.refuse_files_without_login()?;
        }
        for (slot, role) in self.login {
            let secrets = secrets(console, slot, role)?;
            let logins = secrets.into_iter().map(|secret| (slot, role, secret));
            plan.logins.extend(logins);
        }
        let answer = Answer::new(json!({
            "mountpoint": crate::shown::path(&plan.mountpoint).to_string(),
            "store": crate::shown::path(&plan.store).to_string(),
        }));
        if self.foreground {
            daemon::serve(plan, daemon::Mode::Foreground)?;
            // Its output is a service's log.
            return Ok(answer.bare());
        }
        daemon::start(&plan)?;
        Ok(answer)
    }
}

impl Umount {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<Answer> {
        daemon::umount(&self.mountpoint)?;
        let mountpoint = crate::shown::path(&self.mountpoint).to_string();
        Ok(Answer::new(json!({ "mountpoint": mountpoint })))
    }
}
