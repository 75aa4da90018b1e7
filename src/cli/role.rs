//! `role list`, `role login` and `role logout`

use clap::Subcommand;
use serde_json::json;

use super::{Console, Ended, output};
use crate::credential::Role;
use crate::error::{Error, Result};
use crate::object::SlotId;
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

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::List { slot } => list(console, slot),
            Self::Login { whose, password } => login(console, &whose, password),
            Self::Logout { slot } => logout(console, slot),
        }
    }
}

fn list(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open_to_look()?;
    let slot = console.slot(&hsm, slot)?;
    let logged_in = hsm.session(slot).ok().map(|session| session.role());
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for state in hsm.roles(slot)? {
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
    hsm.slot(slot)?;
    if let Ok(session) = hsm.session(slot) {
        return Err(Error::AlreadyLoggedIn {
            slot,
            role: session.role(),
            wanted: role,
        });
    }
    let password = match password {
        Some(password) => SecretBytes::new(password.into_bytes()),
        None => console.password(slot, role)?,
    };
    hsm.login(slot, role, &password)?;
    if console.json() {
        output::print_json(&json!({ "slot": slot.0, "role": role.to_string() }));
    }
    Ok(Ended::WithResult)
}

fn logout(console: &Console<'_>, slot: Option<SlotId>) -> Result<Ended> {
    let hsm = console.open()?;
    let slot = console.slot(&hsm, slot)?;
    if !hsm.logout(slot) {
        return Err(Error::NotLoggedIn { slot });
    }
    if console.json() {
        output::print_json(&json!({ "slot": slot.0 }));
    }
    Ok(Ended::WithResult)
}
