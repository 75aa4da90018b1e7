//! `mount` and `umount`

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use slotfs_config::Config;

use crate::cli::args::log_place;
use crate::cli::{Answer, Console, file_error, password};
use crate::daemon::{self, Inherited, MountOptions, Plan};
use crate::error::{Error, Result};
use crate::hsm::SlotError;
use crate::logging::Where;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::secret::SecretBytes;

/// `mount`
#[derive(Args)]
#[command(
    after_help = "Example:\n  slotfs mount /mnt/hsm --login 0 --password-file 0=pw\n\nOptions of -o:\n  allow_other, allow_root           other users, or root, may use the mount\n  ro, rw                            read-only or not\n  uid=N, gid=N, umask=OCTAL         the owner and the modes of its files\n  login=SLOT[:ROLE]                 as --login\n  passfile=[SLOT[:ROLE]=]PATH       as --password-file; without a slot, for every login\n  sharefile=SLOT[:ROLE]=PATH        as --share-file\n  log=WHERE                         as --log\n  share_timeout=SECONDS             forget key shares while others are missing\n  no_socket                         the daemon is no token server\n  engine-timeout=SECONDS            how long a request of a store in a cluster may take\n  fresh=MILLISECONDS                how old what it reads there may be; 0 asks each time\n  auto_unmount                      unmount also when the daemon is killed\n  fsname=NAME                       the source in the mount table [default: the store]\n  suid, dev, exec, atime, sync, ... as mount(8) has them; a mount is nosuid,nodev,noexec,noatime\nA comma in a value is written \\,"
)]
pub(crate) struct Mount {
    /// The folder to mount at, or /dev/fd/N: descriptor N, with which another process has mounted
    mountpoint: PathBuf,
    /// Log in to a slot before the mount is ready, as co by default; repeatable
    #[arg(long, value_name = "SLOT[:ROLE]", value_parser = login)]
    login: Vec<(SlotId, Role)>,
    /// Mount options, with commas; repeatable
    #[arg(short = 'o', long = "options", value_name = "OPTIONS")]
    options: Vec<String>,
    /// Stay in the foreground
    #[arg(long)]
    foreground: bool,
    /// Where the daemon logs: auto, stderr, journal, syslog or a path [default: auto: the journal under systemd, else
    /// standard error in the foreground and a file in the log folder in the background]
    #[arg(long, visible_alias = "log-file", value_name = "WHERE", value_parser = log_place())]
    log: Option<Where>,
    /// Set by 'slotfs mount' on the daemon it starts: passwords come on standard input, readiness goes to
    /// standard output
    #[arg(long, hide = true)]
    handed_over: bool,
    /// What mount(8) asks for beside the options.
    #[arg(skip)]
    by_mount: ByMount,
}

/// How mount(8) has a filesystem mounted (mount(8), "EXTERNAL HELPERS").
#[derive(Clone, Copy, Default)]
pub(super) struct ByMount {
    /// `-f`: all but the mount itself.
    pub(super) fake: bool,
    /// `-s`: options that are not known are no error.
    pub(super) sloppy: bool,
}

/// `umount`
#[derive(Args)]
#[command(after_help = "Example:\n  slotfs umount /mnt/hsm")]
pub(crate) struct Umount {
    /// The folder that 'slotfs mount' mounted at
    mountpoint: PathBuf,
}

/// `N[:ROLE]` of a role that may log in on a mount.
pub(crate) fn login(text: &str) -> Result<(SlotId, Role), String> {
    let (slot, role) = password::parse_login(text)?;
    match role {
        Role::Po => Err("po cannot log in on a mount".into()),
        Role::Co | Role::Cu => Ok((slot, role)),
    }
}

/// The logins of the configuration.
pub(super) fn logins_of(config: &Config) -> Result<Vec<(SlotId, Role)>> {
    let logins = config.login.iter().map(|text| login(text));
    logins
        .collect::<Result<_, String>>()
        .map_err(|why| Error::Usage(format!("{}: login: {why}", config.origin("login"))))
}

/// The secrets that the daemon logs in with: a password, or key shares that were checked to be the role's. A password on
/// file is not checked: the daemon does that, and the store need not be opened here.
fn secrets(console: &Console<'_>, slot: SlotId, role: Role) -> Result<Vec<SecretBytes>> {
    let has_shares = !console.files(slot, role)?.shares.is_empty();
    if !has_shares && let Some(password) = console.password_on_file(slot, role)? {
        return Ok(vec![password]);
    }
    let hsm = console.open_to_read()?;
    match hsm.partition(slot).login_kind(role)? {
        SlotKind::Quorum => Ok(console.shares(&hsm, slot, role)?.texts),
        kind @ SlotKind::Password if has_shares => {
            Err(SlotError::OtherAuthentication(kind).at(slot).into())
        }
        SlotKind::Password => Ok(vec![password::ask_password(slot, role)?]),
    }
}

impl Mount {
    /// The same mount, as mount(8) asks for it.
    pub(super) fn by(self, by_mount: ByMount) -> Self {
        Self { by_mount, ..self }
    }

    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        if console.kept().is_some() && (self.foreground || self.handed_over) {
            return Err(Error::Usage(
                "the shell mounts in the background; omit --foreground, or run 'slotfs mount' outside the shell".into(),
            ));
        }
        let store = console.store()?;
        let store = slotfs_config::store::absolute(&store).map_err(file_error(&store))?;
        let config = console.config()?;
        // The daemon in the background is told all of them by the command that starts it.
        let of_config = match self.handed_over {
            true => None,
            false => config.options.clone(),
        };
        let mut lists: Vec<String> = of_config.into_iter().chain(self.options).collect();
        if self.by_mount.sloppy {
            lists = vec![MountOptions::known(&lists)?];
        }
        let options = MountOptions::parse(&lists)?;
        // As it was given: fstab knows the mount by it.
        let source = store.clone();
        let store = in_cluster(store, &options)?;
        let mut logins = self.login;
        logins.extend(&options.logins);
        if logins.is_empty() && !self.handed_over {
            logins = logins_of(config)?;
        }
        let log = match (&self.log, &options.log) {
            (None, Some(place)) => Where::parse(OsStr::new(place))
                .map_err(|why| Error::Usage(format!("-o log: {why}")))?,
            (given, _) => console.log_place(given.as_ref())?,
        };
        let mut plan = Plan {
            store,
            source,
            mountpoint: self.mountpoint,
            options,
            options_text: lists.join(","),
            log: log.of_foreground(),
            log_filter: config.log_filter.clone(),
            logins: Vec::new(),
            inherited: Inherited::take(),
        };
        if self.handed_over {
            plan.logins = daemon::receive_logins()?;
            plan.log = log;
            daemon::serve(plan, daemon::Mode::Background)?;
            return Ok(Answer::printed(Ok(())).bare());
        }
        // The daemon in the background got the secrets themselves.
        let console = &console.with_mount_files(&plan.options, &logins)?;
        if !self.foreground {
            crate::logging::for_command();
        }
        daemon::check_mountpoint(&plan.mountpoint)?;
        if logins.is_empty() {
            console.refuse_files_without_login()?;
        }
        if self.by_mount.fake {
            return Ok(Answer::printed(Ok(())).bare());
        }
        if !self.foreground {
            plan.log = log.of_background(&plan.store)?;
        }
        for (slot, role) in logins {
            let secrets = secrets(console, slot, role)?;
            let logins = secrets.into_iter().map(|secret| (slot, role, secret));
            plan.logins.extend(logins);
        }
        let answer = Answer::new(json!({
            "mountpoint": crate::shown::path(&plan.mountpoint).to_string(),
            "store": crate::shown::path(&plan.store).to_string(),
            "log": plan.log.shown(),
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

/// The store with what the mount options say of its cluster.
fn in_cluster(mut store: PathBuf, options: &MountOptions) -> Result<PathBuf> {
    use slotfs_config::store::{is_in_cluster, with_option};
    for (name, value) in &options.of_cluster {
        if !is_in_cluster(&store) {
            return Err(Error::Usage(format!(
                "-o {name} is for a store in a cluster, and {} is a file",
                crate::shown::path(&store)
            )));
        }
        store = with_option(&store, name, &value.to_string());
    }
    Ok(store)
}

impl Umount {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<Answer> {
        daemon::umount(&self.mountpoint)?;
        let mountpoint = crate::shown::path(&self.mountpoint).to_string();
        Ok(Answer::new(json!({ "mountpoint": mountpoint })))
    }
}
