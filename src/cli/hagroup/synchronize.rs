//! `hagroup synchronize`

use clap::Args;

use super::login::Logins;
use super::open::Opener;
use super::registry::{Group, Registry};
use super::report::Report;
use super::run::{Run, Wanted};
use super::{GroupArg, PasswordArg};
use crate::cli::{Answer, Console, plural};
use crate::error::{Error, Result};
use crate::object::now_secs;

/// `hagroup synchronize`
#[derive(Args)]
pub(crate) struct Synchronize {
    #[command(flatten)]
    group: GroupArg,
    #[command(flatten)]
    password: PasswordArg,
    /// Also remove from the other members what was removed from the first one and is still in its trash
    #[arg(long)]
    delete: bool,
    /// Fail unless so many members hold each object, which is read back from them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    require: Option<u32>,
    /// Do not ask before objects are removed
    #[arg(short, long, requires = "delete")]
    force: bool,
    /// Report only what was changed and what failed
    #[arg(short, long)]
    quiet: bool,
}

impl Synchronize {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let label = self.group.group;
        let _running = registry.run(&label)?;
        let group = registry.group(&label)?;
        let members = group.members.len();
        let serials =
            |group: &Group| -> Vec<u64> { group.members.iter().map(|it| it.serial).collect() };
        let require = self.require.map(|least| least as usize);
        if let Some(least) = require.filter(|least| *least > members) {
            return Err(Error::Usage(format!(
                "group '{label}' has {}, and -require asks for {least}",
                plural(members as u64, "member")
            )));
        }
        let logins = Logins {
            given: self.password.password.as_deref(),
            given_was_wrong: false,
            ask: true,
            retry: false,
        };
        // Before the first listing: what is made after it may be missed.
        let begun = now_secs();
        let found = Opener::new(console, logins).all(&registry, &group)?;
        let mut report = Report::begin(console.json(), self.quiet, &label, &found);
        // Who requires copies is to see what keeps an object from having them.
        report.show_kept = require.is_some();
        let wanted = Wanted {
            changes: vec![true; members],
            delete: self.delete,
            force: self.force,
            require,
        };
        let outcome = Run::new(&label, &found, wanted)?.run(&mut report);
        let in_sync_secs = match outcome.in_sync {
            true => Some(begun),
            false => group.in_sync_secs,
        };
        let kept = match outcome.in_sync {
            true => registry.update_group(&label, |it| {
                // A member that was added meanwhile was not looked at, nor what took the place of one.
                if serials(it) == serials(&group) {
                    it.in_sync_secs = in_sync_secs;
                }
                Ok(())
            }),
            false => Ok(()),
        };
        let result = outcome.result.and(kept);
        Ok(report.close((in_sync_secs, now_secs()), result))
    }
}
