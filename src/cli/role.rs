//! What can be done with roles.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::password::{ask_new, ask_password, read_password};
use crate::cli::progress::Progress;
use crate::cli::shares::Issued;
use crate::cli::{Answer, Console, Rows, SlotArg, plural, yes_or_no};
use crate::credential::{QuorumSecret, Secret};
use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, Reissued, Rekey, SlotError};
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::object::sealed::Quorum;
use crate::secret::SecretBytes;

/// What can be done with roles.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show the roles of a slot: whether each is initialized, locked, logged in
    #[command(after_help = "Example:\n  slotfs role list -slot 0")]
    List(SlotArg),
    /// Log in to a slot; outside the shell this only checks the password
    #[command(after_help = "Example:\n  slotfs role login -name co")]
    Login(Login),
    /// Initialize a role, with a password or key shares: po initializes co, co or po initializes cu
    #[command(after_help = "Example:\n  slotfs role init -name cu -slot 0")]
    Init(Init),
    /// Change a role's password, or issue its key shares again
    #[command(
        after_help = "Example:\n  slotfs role changepw -name co -slot 0\n  slotfs role changepw -name po --password-file 0:po=old -newpasswordfile new\n  slotfs role changepw -name co --share-file 0=shares/share-1-of-3 --share-file 0=shares/share-3-of-3 -shares new"
    )]
    Changepw(Change),
    /// Replace the password of co or cu, also of a locked one (po)
    #[command(
        after_help = "Example:\n  slotfs role resetpw -name co -slot 0\n\nThe slot gets a new key, and all its objects are sealed again, so the old password opens nothing.\nThe other roles keep their passwords."
    )]
    Resetpw(Reset),
    /// Log out of the active slot
    #[command(after_help = "Example, in the shell:\n  role logout")]
    Logout(SlotArg),
}

/// `role login`
#[derive(Args)]
pub(crate) struct Login {
    #[command(flatten)]
    whose: Whose,
    /// The role's password; visible to anybody who lists processes [default: a password file, or asked for]
    #[arg(short, long)]
    password: Option<String>,
}

/// `role init`
#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    whose: Whose,
    /// The role's password; visible to anybody who lists processes [default: asked for]
    #[arg(short, long)]
    password: Option<String>,
    /// File with the role's password
    #[arg(long, value_name = "PATH", conflicts_with = "password")]
    newpasswordfile: Option<PathBuf>,
    #[command(flatten)]
    shares: NewShares,
    /// Accepted for scripts that give it everywhere: nothing is asked for confirmation here
    #[arg(short, long)]
    force: bool,
}

/// `role changepw`
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    whose: Whose,
    /// The current password; visible to anybody who lists processes [default: a password file, or asked for]
    #[arg(short, long, value_name = "PASSWORD")]
    oldpw: Option<String>,
    #[command(flatten)]
    new: New,
    /// Go on even if objects cannot be opened; those objects are lost
    #[arg(short, long)]
    force: bool,
}

/// `role resetpw`
#[derive(Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    new: New,
    /// Go on even if objects cannot be opened; those objects are lost
    #[arg(short, long)]
    force: bool,
}

/// A role of a slot.
#[derive(Args)]
pub(crate) struct Whose {
    /// po (partition officer), co (crypto officer) or cu (crypto user)
    #[arg(short, long, value_name = "ROLE")]
    name: Role,
    #[command(flatten)]
    slot: SlotArg,
}

impl Whose {
    /// The role, the store and the slot, without a login.
    fn enter(&self, console: &Console<'_>) -> Result<(Role, Arc<Hsm>, SlotId)> {
        let (hsm, slot) = console.partition(self.slot, &[])?;
        Ok((self.name, hsm, slot))
    }
}

/// A new password.
#[derive(Args)]
pub(crate) struct New {
    /// The new password; visible to anybody who lists processes [default: asked for]
    #[arg(long, value_name = "PASSWORD", conflicts_with = "newpasswordfile")]
    newpw: Option<String>,
    /// File with the new password
    #[arg(long, value_name = "PATH")]
    newpasswordfile: Option<PathBuf>,
    #[command(flatten)]
    shares: NewShares,
}

/// New key shares.
#[derive(Args)]
pub(crate) struct NewShares {
    /// In a quorum slot, the folder that the new key shares are written to; it is created if necessary
    #[arg(long, value_name = "DIR")]
    shares: Option<PathBuf>,
    /// How many shares are needed to log in, of how many [default: as before, or as po's]
    #[arg(long, value_name = "M/N", requires = "shares")]
    quorum: Option<Quorum>,
}

/// A new secret, with the files of its key shares.
struct NewSecret {
    secret: Secret,
    issued: Option<Issued>,
}

impl New {
    fn read(self, hsm: &Hsm, slot: SlotId, role: Role) -> Result<NewSecret> {
        let row = hsm.partition(slot).row()?;
        let kind = row.kind;
        let password = match (kind, self.newpw, self.newpasswordfile, &self.shares.shares) {
            (SlotKind::Quorum, None, None, Some(folder)) => {
                let roles = hsm.partition(slot).roles()?;
                let before = |whose| roles.iter().find(|it| it.role == whose)?.quorum;
                let quorum = self
                    .shares
                    .quorum
                    .or_else(|| before(role))
                    .or_else(|| before(Role::Po))
                    .ok_or_else(|| Error::Usage(format!("slot {slot}: give -quorum M/N")))?;
                let (secret, shares) = QuorumSecret::random(quorum, row.serial)?;
                return Ok(NewSecret {
                    secret: Secret::Quorum(secret),
                    issued: Some(Issued::write(folder, &shares)?),
                });
            }
            (SlotKind::Quorum, None, None, None) => {
                return Err(Error::Usage(format!(
                    "slot {slot} is a quorum slot: give -shares DIR, the folder for the new key shares of {role}"
                )));
            }
            (SlotKind::Quorum, ..) | (SlotKind::Password, _, _, Some(_)) => {
                return Err(SlotError::OtherAuthentication(kind).at(slot).into());
            }
            (SlotKind::Password, Some(password), ..) => SecretBytes::new(password.into_bytes()),
            (SlotKind::Password, None, Some(path), None) => read_password(&path)?,
            (SlotKind::Password, None, None, None) => ask_new(slot, role, "-newpasswordfile PATH")?,
        };
        Ok(NewSecret {
            secret: Secret::Password(password),
            issued: None,
        })
    }
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::List(slot) => list(console, slot),
            Self::Login(args) => args.run(console),
            Self::Init(args) => args.run(console),
            Self::Changepw(args) => args.run(console),
            Self::Resetpw(args) => args.run(console),
            Self::Logout(slot) => logout(console, slot),
        }
    }
}

/// Facts about a role.
fn of_role(slot: SlotId, role: Role) -> Answer {
    Answer::of_slot(slot).fact("role", role.to_string())
}

fn list(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition_to_read(slot, &[])?;
    let logged_in = hsm.partition(slot).role();
    let mut rows = Rows::new(&["Role", "State", "Failed Logins", "Logged In"]);
    for state in hsm.partition(slot).roles()? {
        let role = state.role.to_string();
        let logged_in = logged_in == Some(state.role);
        let named = match (state.initialized, state.locked) {
            (false, _) => "not initialized",
            (true, true) => "locked",
            (true, false) => "initialized",
        };
        rows.add(
            &[&role, &named, &state.failures, &yes_or_no(logged_in)],
            json!({
                "role": role, "initialized": state.initialized, "locked": state.locked,
                "failed_logins": state.failures, "logged_in": logged_in,
            }),
        );
    }
    Ok(Answer::of_slot(slot).rows("roles", rows))
}

impl Login {
    fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (role, hsm, slot) = self.whose.enter(console)?;
        hsm.partition(slot).row()?;
        if let Ok(session) = hsm.partition(slot).session() {
            let already = SlotError::AlreadyLoggedIn {
                role: session.role(),
                wanted: role,
            };
            return Err(already.at(slot).into());
        }
        let secret = console.secret_or(self.password, &hsm, slot, role)?;
        hsm.partition(slot).login(role, &secret)?;
        Ok(of_role(slot, role))
    }
}

fn logout(console: &Console<'_>, slot: SlotArg) -> Result<Answer> {
    let (hsm, slot) = console.partition(slot, &[])?;
    match hsm.partition(slot).logout() {
        true => Ok(Answer::of_slot(slot)),
        false => Err(SlotError::NotLoggedIn.at(slot).into()),
    }
}

impl Init {
    fn run(self, console: &Console<'_>) -> Result<Answer> {
        let role = self.whose.name;
        let (hsm, slot) = console.partition(self.whose.slot, hsm::makers(role))?;
        if initialized(&hsm, slot)?.contains(&role) {
            return Err(SlotError::RoleExists(role).at(slot).into());
        }
        let new = New {
            newpw: self.password,
            newpasswordfile: self.newpasswordfile,
            shares: self.shares,
        };
        let mut new = new.read(&hsm, slot, role)?;
        let made = hsm.partition(slot).init_role(role, &new.secret);
        Issued::settle(&mut new.issued, made)?;
        Ok(of_role(slot, role).shares(new.issued))
    }
}

/// The roles of a slot that have a secret.
fn initialized(hsm: &Hsm, slot: SlotId) -> Result<Vec<Role>> {
    let roles = hsm.partition(slot).roles()?;
    let initialized = roles.iter().filter(|it| it.initialized);
    Ok(initialized.map(|it| it.role).collect())
}

impl Change {
    fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (role, hsm, slot) = self.whose.enter(console)?;
        let kind = hsm.partition(slot).login_kind(role)?;
        let ask = || ask_password(slot, role);
        let old = console.secret_in(self.oldpw, &hsm, slot, role, kind, ask)?;
        let mut new = self.new.read(&hsm, slot, role)?;
        let rekey = rekey(&hsm, slot, self.force);
        let changed = hsm
            .partition(slot)
            .change_secret(role, &old, &new.secret, rekey);
        let reissued = Issued::settle(&mut new.issued, changed)?;
        Ok(replaced(slot, role, kind, &reissued).shares(new.issued))
    }
}

impl Reset {
    fn run(self, console: &Console<'_>) -> Result<Answer> {
        let (role, hsm, slot) = self.whose.enter(console)?;
        hsm::check_resettable(slot, role)?;
        if !initialized(&hsm, slot)?.contains(&role) {
            return Err(SlotError::RoleMissing(role).at(slot).into());
        }
        let po = console.secret(&hsm, slot, Role::Po)?;
        let mut new = self.new.read(&hsm, slot, role)?;
        let rekey = rekey(&hsm, slot, self.force);
        let reset = hsm
            .partition(slot)
            .reset_secret(role, &new.secret, &po, rekey);
        let reset = Issued::settle(&mut new.issued, reset)?;
        Ok(replaced(slot, role, po.kind(), &reset).shares(new.issued))
    }
}

/// How the objects of a slot are sealed again, with a progress bar where there are many.
fn rekey(hsm: &Hsm, slot: SlotId, leave_damaged: bool) -> Rekey {
    // A wrong count only spoils the bar.
    let (objects, _) = hsm.partition(slot).usage().unwrap_or_default();
    let trash = hsm.partition(slot).trash_count().unwrap_or_default();
    let mut progress = Progress::begin(objects + trash);
    Rekey {
        leave_damaged,
        progress: Box::new(move |done| progress.show(done)),
    }
}

/// What a changed secret did, and what it could not do.
fn replaced(slot: SlotId, role: Role, kind: SlotKind, it: &Reissued) -> Answer {
    let mut answer = of_role(slot, role);
    let names = |roles: &[Role]| roles.iter().map(Role::to_string).collect::<Vec<_>>();
    let roles = names(&it.roles).join(" and ");
    if kind == SlotKind::Quorum {
        answer = answer.line(format_args!("New key shares of {roles} were issued."));
    }
    // Otherwise a warning says it.
    if it.waiting.is_empty() {
        answer = answer.line(format_args!(
            "Slot {slot} has a new key: the old {} does not open it, even together with an old copy of the store.",
            match kind {
                SlotKind::Password => "password",
                SlotKind::Quorum => "set of key shares",
            }
        ));
    }
    if it.damaged > 0 {
        answer = answer.line(format_args!(
            "Lost on slot {slot}, since they could not be opened: {}.",
            plural(it.damaged, "object")
        ));
    }
    answer
        .fact("rekeyed", it.waiting.is_empty())
        .fact("waiting", names(&it.waiting))
        .fact("damaged", it.damaged)
}
