//! What can be done with roles.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::password::{ask_new, confirm, read_password};
use super::shares::Issued;
use super::{Console, Ended, output};
use crate::credential::{QuorumSecret, Secret};
use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, SlotError};
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::object::sealed::Quorum;
use crate::secret::SecretBytes;

/// What can be done with roles.
#[derive(Subcommand)]
pub enum Verb {
    /// Show the roles of a slot: whether each is initialized, locked, logged in
    #[command(after_help = "Example:\n  slotfs role list -slot 0")]
    List {
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
    /// Log in to the active slot; outside the shell it only tells whether the password is right
    #[command(after_help = "Example:\n  slotfs role login -name co")]
    Login {
        #[command(flatten)]
        whose: Whose,
        /// Its password; visible to whoever lists processes [default: a password file, or asked for]
        #[arg(short, long)]
        password: Option<String>,
    },
    /// Give a role that has none its password: co is made by po, cu by co or po
    #[command(after_help = "Example:\n  slotfs role init -name cu -slot 0")]
    Init {
        #[command(flatten)]
        whose: Whose,
        /// Its password; visible to whoever lists processes [default: asked for]
        #[arg(short, long)]
        password: Option<String>,
        /// File with its password
        #[arg(long, value_name = "PATH", conflicts_with = "password")]
        newpasswordfile: Option<PathBuf>,
        #[command(flatten)]
        shares: NewShares,
    },
    /// Change a role's password, or issue its key shares again
    #[command(
        after_help = "Example:\n  slotfs role changepw -name co -slot 0\n  slotfs role changepw -name po --password-file 0:po=old -newpasswordfile new\n  slotfs role changepw -name co --share-file 0=shares/share-1-of-3 --share-file 0=shares/share-3-of-3 -shares new"
    )]
    Changepw {
        #[command(flatten)]
        whose: Whose,
        /// The password it has; visible to whoever lists processes [default: a password file, or asked for]
        #[arg(short, long, value_name = "PASSWORD")]
        oldpw: Option<String>,
        #[command(flatten)]
        new: New,
        /// Leave behind objects that do not open, where new key shares have everything sealed anew
        #[arg(short, long)]
        force: bool,
    },
    /// Give co or cu another password, locked or not (po)
    #[command(
        after_help = "Example:\n  slotfs role resetpw -name co -slot 0\n\nThe slot gets a new key, and everything in it is sealed anew: the old password opens nothing any more.\nAnother role than po and this one has to be initialized again."
    )]
    Resetpw {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        new: New,
        /// Do not ask before another role is lost, and leave behind objects that do not open
        #[arg(short, long)]
        force: bool,
    },
    /// Log out of the active slot
    #[command(after_help = "Example, in the shell:\n  role logout")]
    Logout {
        /// The slot [default: the active one]
        #[arg(short, long)]
        slot: Option<SlotId>,
    },
}

/// A role of a slot.
#[derive(clap::Args)]
pub struct Whose {
    /// po (partition officer), co (crypto officer) or cu (crypto user)
    #[arg(short, long, value_name = "ROLE")]
    name: Role,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

/// A password to be.
#[derive(clap::Args)]
pub struct New {
    /// The password it is to have; visible to whoever lists processes [default: asked for]
    #[arg(long, value_name = "PASSWORD", conflicts_with = "newpasswordfile")]
    newpw: Option<String>,
    /// File with the password it is to have
    #[arg(long, value_name = "PATH")]
    newpasswordfile: Option<PathBuf>,
    #[command(flatten)]
    shares: NewShares,
}

/// Key shares to be.
#[derive(clap::Args)]
pub struct NewShares {
    /// In a quorum slot, the folder that the new key shares are written to, made if need be
    #[arg(long, value_name = "DIR")]
    shares: Option<PathBuf>,
    /// How many it takes, of how many there are [default: as before, or as po's]
    #[arg(long, value_name = "M/N", requires = "shares")]
    quorum: Option<Quorum>,
}

/// A password, or key shares with their files.
struct Given {
    secret: Secret,
    issued: Option<Issued>,
}

impl New {
    fn read(self, hsm: &Hsm, slot: SlotId, role: Role) -> Result<Given> {
        let row = hsm.partition(slot).row()?;
        let kind = row.kind;
        let password = match (kind, self.newpw, self.newpasswordfile, self.shares.shares) {
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
                return Ok(Given {
                    secret: Secret::Quorum(secret),
                    issued: Some(Issued::write(&folder, &shares)?),
                });
            }
            (SlotKind::Quorum, None, None, None) => {
                return Err(Error::Usage(format!(
                    "slot {slot} is a quorum slot: give -shares DIR, where the new key shares of {role} are written to"
                )));
            }
            (SlotKind::Quorum, ..) | (SlotKind::Password, _, _, Some(_)) => {
                return Err(SlotError::OtherAuthentication(kind).at(slot).into());
            }
            (SlotKind::Password, Some(password), ..) => SecretBytes::new(password.into_bytes()),
            (SlotKind::Password, None, Some(path), None) => read_password(&path)?,
            (SlotKind::Password, None, None, None) => ask_new(slot, role, "-newpasswordfile PATH")?,
        };
        Ok(Given {
            secret: Secret::Password(password),
            issued: None,
        })
    }
}

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::List { slot } => list(console, slot),
            Self::Login { whose, password } => login(console, &whose, password),
            Self::Init {
                whose,
                password,
                newpasswordfile,
                shares,
            } => init(
                console,
                &whose,
                New {
                    newpw: password,
                    newpasswordfile,
                    shares,
                },
            ),
            Self::Changepw {
                whose,
                oldpw,
                new,
                force,
            } => changepw(console, &whose, oldpw, new, force),
            Self::Resetpw { whose, new, force } => resetpw(console, &whose, new, force),
            Self::Logout { slot } => logout(console, slot),
        }
    }
}

fn list(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    let logged_in = hsm
        .partition(slot)
        .session()
        .ok()
        .map(|session| session.role());
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for state in hsm.partition(slot).roles()? {
        let role = state.role;
        rows.push(vec![
            role.to_string(),
            match (state.initialized, state.locked) {
                (false, _) => "not initialized",
                (true, true) => "locked",
                (true, false) => "initialized",
            }
            .to_owned(),
            state.failures.to_string(),
            if logged_in == Some(role) { "yes" } else { "no" }.to_owned(),
        ]);
        documents.push(json!({
            "role": role.to_string(),
            "initialized": state.initialized,
            "locked": state.locked,
            "failed_logins": state.failures,
            "logged_in": logged_in == Some(role),
        }));
    }
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "roles": documents }));
    } else {
        let heading = ["Role", "State", "Failed Logins", "Logged In"];
        output::print(&output::table(&heading, &rows));
    }
    Ok(Ended::WithResult)
}

fn login(console: &Console<'_>, whose: &Whose, password: Option<String>) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, whose.slot)?;
    let role = whose.name;
    hsm.partition(slot).row()?;
    if let Ok(session) = hsm.partition(slot).session() {
        let already = SlotError::AlreadyLoggedIn {
            role: session.role(),
            wanted: role,
        };
        return Err(already.at(slot).into());
    }
    let secret = match password {
        Some(password) => SecretBytes::new(password.into_bytes()).into(),
        None => console.secret(&hsm, slot, role)?,
    };
    hsm.partition(slot).login(role, &secret)?;
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "role": role.to_string() }));
    }
    Ok(Ended::WithResult)
}

fn logout(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, slot)?;
    if !hsm.partition(slot).logout() {
        return Err(SlotError::NotLoggedIn.at(slot).into());
    }
    if console.json() {
        output::print_json(&json!({ "slot": slot.0 }));
    }
    Ok(Ended::WithResult)
}

fn init(console: &Console<'_>, whose: &Whose, new: New) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, whose.slot)?;
    let role = whose.name;
    console.login(&hsm, slot, hsm::makers(role))?;
    if hsm
        .partition(slot)
        .roles()?
        .iter()
        .any(|it| it.role == role && it.initialized)
    {
        return Err(SlotError::RoleExists(role).at(slot).into());
    }
    let mut new = new.read(&hsm, slot, role)?;
    let made = hsm.partition(slot).init_role(role, &new.secret);
    Issued::settle(&mut new.issued, made)?;
    done(console, slot, role, new.issued);
    Ok(Ended::WithResult)
}

fn changepw(
    console: &Console<'_>,
    whose: &Whose,
    old: Option<String>,
    new: New,
    force: bool,
) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, whose.slot)?;
    let role = whose.name;
    let kind = hsm.partition(slot).login_kind(role)?;
    let old = match (old, kind) {
        (Some(_), SlotKind::Quorum) => {
            return Err(SlotError::OtherAuthentication(kind).at(slot).into());
        }
        (Some(old), SlotKind::Password) => SecretBytes::new(old.into_bytes()).into(),
        (None, _) => console.secret(&hsm, slot, role)?,
    };
    let mut new = new.read(&hsm, slot, role)?;
    let changed = hsm
        .partition(slot)
        .change_secret(role, &old, &new.secret, force);
    let reissued = Issued::settle(&mut new.issued, changed)?;
    done(console, slot, role, new.issued);
    if kind == SlotKind::Quorum && !console.json() {
        let roles: Vec<String> = reissued.roles.iter().map(Role::to_string).collect();
        let roles = roles.join(" and ");
        output::print(&match reissued.rekeyed {
            true => format!(
                "        The key shares of {roles} were issued again, and the slot has a new key.\n"
            ),
            false => format!(
                "        The key shares of {roles} were issued again. Another role has others, so the slot's key is as it was; 'role resetpw' by po makes a new one.\n"
            ),
        });
        tell_damaged(slot, reissued.damaged);
    }
    Ok(Ended::WithResult)
}

fn resetpw(console: &Console<'_>, whose: &Whose, new: New, force: bool) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, whose.slot)?;
    let role = whose.name;
    hsm::check_resettable(slot, role)?;
    let there: Vec<Role> = hsm
        .partition(slot)
        .roles()?
        .iter()
        .filter(|it| it.initialized)
        .map(|it| it.role)
        .collect();
    if !there.contains(&role) {
        return Err(SlotError::RoleMissing(role).at(slot).into());
    }
    let lost = hsm::lost_by_reset(there.into_iter(), role);
    let po = console.secret(&hsm, slot, Role::Po)?;
    if let Some(other) = lost.first()
        && !force
    {
        confirm(&format!(
            "the slot's key is made anew, which takes {other}'s {} away: it has to be initialized again",
            secrets(&po)
        ))?;
    }
    let mut new = new.read(&hsm, slot, role)?;
    let reset = hsm
        .partition(slot)
        .reset_secret(role, &new.secret, &po, force);
    let reset = Issued::settle(&mut new.issued, reset)?;
    let files = new.issued.map(|issued| issued.keep(console.json()));
    if console.json() {
        let lost: Vec<String> = reset.lost.iter().map(Role::to_string).collect();
        let mut document = json!({
            "slot": slot.0,
            "role": role.to_string(),
            "lost": lost,
            "damaged": reset.damaged,
        });
        if let Some(files) = files {
            document["shares"] = files.into();
        }
        output::print_json(&document);
    } else {
        for other in &reset.lost {
            output::print(&format!(
                "        {other} of slot {slot} has no {} any more: 'role init -name {other}' gives it one.\n",
                secrets(&po)
            ));
        }
        tell_damaged(slot, reset.damaged);
    }
    Ok(Ended::WithResult)
}

fn secrets(of: &Secret) -> &'static str {
    match of.kind() {
        SlotKind::Password => "password",
        SlotKind::Quorum => "set of key shares",
    }
}

fn tell_damaged(slot: SlotId, damaged: u64) {
    if damaged > 0 {
        output::print(&format!(
            "        {damaged} objects on slot {slot} did not open, and never will.\n"
        ));
    }
}

fn done(console: &Console<'_>, slot: SlotId, role: Role, issued: Option<Issued>) {
    let files = issued.map(|issued| issued.keep(console.json()));
    if console.json() {
        let mut document = json!({ "slot": slot.0, "role": role.to_string() });
        if let Some(files) = files {
            document["shares"] = files.into();
        }
        output::print_json(&document);
    }
}
