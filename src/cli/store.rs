//! `store check`, `store backup`, `store copy` and `store accept`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::console::no_misspelt_location;
use crate::cli::{Answer, Console, output, plural};
use crate::error::{Error, Result};
use crate::hsm::{self, CheckedSlot, Finding, Hsm, SlotError, SlotFault, StoreFault};
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::{SlotId, show};

/// The roles that can open a slot's objects.
const ROLES: [Role; 2] = [Role::Co, Role::Cu];

/// How often a login is tried when other processes change the slot.
const LOGINS: usize = 5;

/// What can be done with the store as a whole.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Read every row and report damage; repairs nothing, except wrong counts with -repair
    ///
    /// The objects of a slot are opened too when its password is given. A mounted store can be checked.
    #[command(
        after_help = "Example:\n  slotfs store check --password-file 0=pw-0 --password-file 1=pw-1\n\nJSON:\n  {\"slots\":[{\"slot\":0,\"objects\":12,\"opened\":12,\"findings\":[{\"handle\":5,\"row\":9,\"what\":\"...\"}]}],\n   \"store\":[{\"row\":null,\"what\":\"...\"}],\"clean\":false,\"error\":{...}}\n  opened is null when nobody is logged in; handle and row are null when a finding is not about an object"
    )]
    Check {
        /// Only this slot, and ask for its password; repeatable [default: every slot]
        #[arg(short, long)]
        slot: Vec<SlotId>,
        /// First correct the counts of each slot's objects, if nothing but the count is wrong
        #[arg(long)]
        repair: bool,
    },
    /// Copy the store to a file, also while it is mounted and in use
    ///
    /// The file is itself a store: to open a slot in it, only the slot's password is needed.
    /// To restore it, stop all users of the store, remove the old store with its -wal and -shm, and put the file there.
    #[command(after_help = "Example:\n  slotfs store backup /backup/store-monday.db")]
    Backup {
        /// The file to write
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(short, long)]
        force: bool,
    },
    /// Copy a store into a cluster, or out of one into a file
    ///
    /// Every row is copied as it is, unopened: passwords, domains, handles and identities stay the same, and no password
    /// is needed. The copy is complete, or it is no store. Afterwards there are two stores that know nothing of each
    /// other, so stop using the one that you left.
    #[command(
        after_help = "Example:\n  slotfs store copy /srv/store.db etcd://localhost:2379/keys\n\nJSON:\n  {\"from\":\"...\",\"to\":\"...\",\"error\":null}"
    )]
    Copy {
        /// The store to copy: a file, or etcd://HOST:PORT,.../NAME
        from: PathBuf,
        /// Where the copy is made; nothing of that name may be there
        to: PathBuf,
    },
    /// Accept the store as it is, after a backup was restored
    ///
    /// slotfs remembers the generation of each slot, which grows when its passwords, domains or policies change. A slot
    /// that is older than it was seen here opens to nobody until it is accepted: somebody may have put an old copy in
    /// the store's place. Accept only what you restored yourself.
    #[command(
        after_help = "Example:\n  slotfs store accept\n\nJSON:\n  {\"cluster\":null,\n   \"slots\":[{\"slot\":0,\"generation\":5,\"accepted\":true,\"seen_generation\":6,\"seen\":\"2026-01-02T03:04:05Z\"}],\n   \"error\":null}\n  accepted is false, and seen_generation and seen are null, when there was nothing to accept; generation is null when the slot is damaged.\n  cluster is null for a file, else {\"accepted\":true,\"reason\":\"its cluster went back to …\"}"
    )]
    Accept {
        /// Only this slot; repeatable [default: every slot]
        #[arg(short, long)]
        slot: Vec<SlotId>,
    },
}

impl Verb {
    /// Runs the command.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Check { slot, repair } => check(console, slot, repair),
            Self::Backup { file, force } => backup(console, &file, force),
            Self::Copy { from, to } => {
                let (from, to) = (no_misspelt_location(from)?, no_misspelt_location(to)?);
                copy(console, &from, &to)
            }
            Self::Accept { slot } => accept(console, &slot),
        }
    }
}

fn check(console: &Console<'_>, given: Vec<SlotId>, repair: bool) -> Result<Answer> {
    let hsm = match repair {
        true => console.open()?,
        false => console.open_to_check()?,
    };
    let there = hsm.slot_numbers()?;
    if let Some(&slot) = given.iter().find(|slot| !there.contains(slot)) {
        return Err(SlotError::Stored(SlotFault::Missing).at(slot).into());
    }
    let mut report = Report::new(console);
    let ask = !given.is_empty() && console.kept().is_none() && io::stdin().is_terminal();
    let mut slots = if given.is_empty() { there } else { given };
    slots.sort_unstable();
    slots.dedup();
    if repair {
        for &slot in &slots {
            match hsm.partition(slot).recount() {
                // The check reports what else is wrong.
                Ok(_) => {}
                Err(error) if error.is_damage() => output::tell_error(&error.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    // All logins come first: a wrong password is reported before the check, which may take long.
    for &slot in &slots {
        match login(console, &hsm, slot, ask) {
            Err(error) if error.is_damage() => {
                let what = error.reason();
                report.add(Finding {
                    slot: Some(slot),
                    handle: None,
                    row: None,
                    what: format!("nobody can log in to it: {what}"),
                });
            }
            outcome => outcome?,
        }
    }
    let checked = hsm.check(&slots, &mut |finding| report.add(finding))?;
    let outcome = match report.count {
        0 => Ok(()),
        count => {
            let (path, findings) = (crate::shown::path(hsm.path()), plural(count, "finding"));
            Err(hsm::Error::Damaged(format!("{path} has {findings}")).into())
        }
    };
    let answer = Answer::new(report.facts(&checked)).text(report.text(&checked));
    Ok(answer.ending(outcome))
}

/// Logs in if a password is on file, or the user can be asked.
fn login(console: &Console<'_>, hsm: &Hsm, slot: SlotId, ask: bool) -> Result<()> {
    if hsm.partition(slot).session().is_ok() {
        return Ok(());
    }
    let mut on_file = false;
    for role in ROLES {
        on_file |= console.secret_on_file(hsm, slot, role)?.is_some();
    }
    if !on_file && !ask {
        return Ok(());
    }
    for _ in 1..LOGINS {
        match console.login(hsm, slot, &ROLES) {
            Err(error) if error.is_changed() => {}
            outcome => return outcome,
        }
    }
    console.login(hsm, slot, &ROLES)
}

/// What was found. For people each finding is printed at once and not kept: there may be one for each object. JSON has
/// them sorted by slot.
struct Report<'a> {
    console: &'a Console<'a>,
    count: u64,
    by_slot: BTreeMap<SlotId, u64>,
    kept: Vec<Finding>,
}

impl<'a> Report<'a> {
    fn new(console: &'a Console<'a>) -> Self {
        Self {
            console,
            count: 0,
            by_slot: BTreeMap::new(),
            kept: Vec::new(),
        }
    }

    fn add(&mut self, finding: Finding) {
        self.count += 1;
        if let Some(slot) = finding.slot {
            *self.by_slot.entry(slot).or_default() += 1;
        }
        // What SQLite says may quote what an attacker wrote.
        let text = format!("{}\n", show::escape(&finding.to_string()));
        self.console.say(&text);
        if self.console.json() {
            self.kept.push(finding);
        }
    }

    fn text(&self, checked: &[CheckedSlot]) -> String {
        let mut text = String::new();
        if self.count > 0 {
            text.push('\n');
        }
        for it in checked {
            let CheckedSlot { slot, objects, .. } = it;
            let found = plural(self.by_slot.get(slot).copied().unwrap_or(0), "finding");
            let read = plural(*objects, "row");
            text += &match it.opened {
                Some(opened) => format!("slot {slot}: {read} read, {opened} opened, {found}\n"),
                None => format!(
                    "slot {slot}: not logged in, its {read} {} read but not opened, {found}\n",
                    if *objects == 1 { "was" } else { "were" },
                ),
            };
        }
        text + &match self.count {
            0 => "The store is clean.\n".to_owned(),
            count => format!("{} in all.\n", plural(count, "finding")),
        }
    }

    fn facts(&self, checked: &[CheckedSlot]) -> Value {
        let of = |slot: Option<SlotId>| self.kept.iter().filter(move |it| it.slot == slot);
        let facts = |slot: SlotId, objects: Option<u64>, opened: Option<u64>| {
            let finding =
                |it: &Finding| json!({ "handle": it.handle, "row": it.row, "what": it.what });
            json!({
                "slot": slot.0, "objects": objects, "opened": opened,
                "findings": of(Some(slot)).map(finding).collect::<Vec<_>>(),
            })
        };
        // Slots that were not asked for, and have findings.
        let others = self
            .by_slot
            .keys()
            .filter(|slot| !checked.iter().any(|it| it.slot == **slot));
        let slots: Vec<Value> = checked
            .iter()
            .map(|it| facts(it.slot, Some(it.objects), it.opened))
            .chain(others.map(|slot| facts(*slot, None, None)))
            .collect();
        let store: Vec<Value> = of(None)
            .map(|it| json!({ "row": it.row, "what": it.what }))
            .collect();
        json!({ "slots": slots, "store": store, "clean": self.count == 0 })
    }
}

fn backup(console: &Console<'_>, file: &Path, force: bool) -> Result<Answer> {
    if file.as_os_str() == "-" {
        // Nothing else goes to standard output: its reader may take it for the store.
        output::data_on_stdout(!console.json());
        return Err(Error::Usage(
            "a store cannot be copied to standard output; name a file (./- for one that is called -)".into(),
        ));
    }
    if slotfs_config::store::is_in_cluster(file) {
        return Err(Error::Usage(
            "a backup is a file; 'slotfs store copy' makes a store in a cluster".into(),
        ));
    }
    let hsm = console.open_to_read()?;
    let interrupt = Interrupt::watch();
    let bytes = hsm.backup(file, force, &|| interrupt.pressed())?;
    let store = crate::shown::path(hsm.path()).to_string();
    let file = crate::shown::path(file).to_string();
    let text = format!("Store {store} was copied to {file}, {bytes} bytes.\n");
    Ok(Answer::new(json!({ "store": store, "file": file, "bytes": bytes })).text(text))
}

fn copy(console: &Console<'_>, from: &Path, to: &Path) -> Result<Answer> {
    let hsm = console.open_another(from)?;
    let interrupt = Interrupt::watch();
    hsm.copy_to(to, &|| interrupt.pressed())?;
    let (from, to) = (crate::shown::path(from), crate::shown::path(to));
    let text = format!("Store {from} was copied to {to}; stop using one of the two.\n");
    let facts = json!({ "from": from.to_string(), "to": to.to_string() });
    Ok(Answer::new(facts).text(text))
}

fn accept(console: &Console<'_>, slots: &[SlotId]) -> Result<Answer> {
    let hsm = console.open_to_read()?;
    let (mut text, mut facts, mut outcome) = (String::new(), Vec::new(), Ok(()));
    let cluster = hsm.check_cluster().err();
    if let Some(why) = &cluster {
        // Without the advice to run this command.
        let what = match why.store_fault() {
            Some(StoreFault::WentBack(what)) => what.clone(),
            _ => hsm::reason(why).to_string(),
        };
        text += &format!("cluster: accepted; {what}\n");
    }
    for (slot, accepted) in hsm.accept(slots)? {
        let generation = accepted.as_ref().ok().map(|it| it.generation);
        let seen = accepted.as_ref().ok().and_then(|it| it.seen);
        let when = seen.map(|(_, secs)| show::iso_8601(secs));
        text += &match (&accepted, seen, &when) {
            (Ok(it), Some((seen, _)), Some(when)) => format!(
                "slot {slot}: generation {} was accepted; generation {seen} was seen on {when}\n",
                it.generation
            ),
            (Ok(_), ..) => {
                format!("slot {slot}: nothing to accept, it is not older than it was seen here\n")
            }
            (Err(_), ..) => format!("slot {slot}: not accepted, it is damaged\n"),
        };
        facts.push(json!({
            "slot": slot.0, "generation": generation, "accepted": seen.is_some(),
            "seen_generation": seen.map(|(generation, _)| generation), "seen": when,
        }));
        outcome = outcome.and(accepted.map(drop).map_err(Error::from));
    }
    if facts.is_empty() {
        text += "The store has no partition.\n";
    }
    let cluster = slotfs_config::store::is_in_cluster(hsm.path())
        .then(|| json!({ "accepted": cluster.is_some(), "reason": cluster.map(|why| hsm::reason(&why).to_string()) }));
    Ok(Answer::new(json!({ "cluster": cluster, "slots": facts }))
        .text(text)
        .ending(outcome))
}
