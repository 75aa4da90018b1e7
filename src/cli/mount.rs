//! `mount` and `umount`

use std::path::PathBuf;

use clap::Args;

use super::{Console, Ended, password};
use crate::credential::Role;
use crate::daemon::{self, MountOptions, Plan};
use crate::error::{Error, Result};
use crate::object::SlotId;

/// `mount`
#[derive(Args)]
#[command(
    after_help = "Example:\n  slotfs mount /mnt/hsm --login 0 --password-file 0=pw\n\nOptions of -o: allow_other, ro, rw, uid=N, gid=N, umask=OCTAL"
)]
pub struct Mount {
    /// The folder to mount at
    mountpoint: PathBuf,
    /// Log in to a slot before it is ready (co unless said); repeatable
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
pub struct Umount {
    /// The folder that 'slotfs mount' mounted at
    mountpoint: PathBuf,
}

fn login(text: &str) -> Result<(SlotId, Role), String> {
    let (slot, role) = password::parse_login(text)?;
    match role {
        Role::Po => Err("po never logs in on a mount".into()),
        Role::Co | Role::Cu => Ok((slot, role)),
    }
}

impl Mount {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        if console.kept().is_some() && (self.foreground || self.handed_over) {
            return Err(Error::Usage(
                "the shell mounts in the background; leave --foreground out, or run 'slotfs mount' outside the shell".into(),
            ));
        }
        let store = console.store()?;
        let store = std::path::absolute(&store).map_err(|source| Error::File {
            path: store,
            source,
        })?;
        let options = MountOptions::parse(&self.options)?;
        let mut plan = Plan {
            store,
            mountpoint: self.mountpoint,
            options,
            options_text: self.options.join(","),
            log_file: self.log_file,
            logins: Vec::new(),
        };
        if self.handed_over {
            plan.logins = daemon::receive_logins()?;
            daemon::serve(plan, daemon::Ground::Back)?;
            return Ok(Ended::Bare);
        }
        if !self.foreground {
            crate::logging::for_command();
        }
        daemon::check_mountpoint(&plan.mountpoint)?;
        for (slot, role) in self.login {
            plan.logins
                .push((slot, role, console.password(slot, role)?));
        }
        if self.foreground {
            daemon::serve(plan, daemon::Ground::Fore)?;
        } else {
            daemon::start(&plan)?;
        }
        Ok(Ended::Bare)
    }
}

impl Umount {
    /// Runs the command.
    pub fn run(self) -> Result<Ended> {
        daemon::umount(&self.mountpoint)?;
        Ok(Ended::Bare)
    }
}
