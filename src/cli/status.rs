//! `status`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use slotfs_config::place;

use crate::cli::{Answer, Console, Failures, NONE, Rows, file_error, or_none};
use crate::daemon::{self, MountDaemon as Daemon, Mounted, Said};
use crate::error::{Error, Result};
use crate::hsm::{Hsm, ListedSlot, RoleState, SlotError, SlotFault, StoreFault};
use crate::object::{SlotId, show};
use crate::serve::{self, Running};
use crate::shown;

/// `status`
#[derive(Args)]
#[command(
    after_help = "Example:\n  slotfs status\n\nJSON:\n  {\"store\":{\"path\":\"...\",\"id\":\"...\",\"schema\":4,\"bytes\":81920,\"wal_bytes\":0,\"version\":\"0.1.0\"},\n   \"slots\":[{\"slot\":0,\"label\":\"alpha\",\"serial\":1,\"kind\":\"password\",\"version\":0,\"damage\":null,\n     \"objects\":3,\"bytes\":900,\"capacity_objects\":4000000,\"capacity_bytes\":1,\"trash\":0,\n     \"roles\":[{\"role\":\"po\",\"initialized\":true,\"locked\":false,\"failed_logins\":0}]}],\n   \"mounts\":[{\"mountpoint\":\"/mnt\",\"state\":\"answers\",\"pid\":7,\"version\":\"0.1.0\",\"logged_in\":[{\"slot\":0,\"role\":\"co\"}]}],\n   \"server\":{\"socket\":\"...\",\"pid\":7,\"connections\":0},\"error\":null}\n  state is answers, dead, silent, forbidden or unknown; in the last four cases pid, version and logged_in are null;\n  server is null when none listens; its pid and connections are null when they cannot be told;\n  slots is empty, and schema null, when the store's cluster does not answer"
)]
pub(crate) struct Status {
    /// Only this slot
    #[arg(short, long)]
    slot: Option<SlotId>,
}

impl Status {
    /// Runs the command. It needs no login.
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let looked = console
            .open_to_read()
            .and_then(|hsm| Ok((slots(&hsm, self.slot)?, hsm)));
        let (slots, hsm) = match looked {
            Err(Error::Hsm(why))
                if matches!(why.store_fault(), Some(StoreFault::Unreachable(_))) =>
            {
                return of_silent(console, why.into());
            }
            looked => looked?,
        };
        let path = slotfs_config::store::canonical(hsm.path()).map_err(file_error(hsm.path()))?;
        let mounts = mounts_of(&path)?;
        let config = console.config_of(&path)?;
        let mut failures = Failures::none();
        let mut answer = Answer::new(json!({}));
        answer = store(answer, &hsm, &path)?;
        answer = answer.text("\n").rows("slots", slot_rows(&slots)?);
        answer = answer.text("\n").text(role_rows(&slots).table());
        answer = mount_rows(answer, &mounts);
        answer = server(answer, serve::running(&config, &path), &mounts);
        for slot in slots {
            if let Some(damage) = slot.damage {
                failures.add(damage);
            }
        }
        Ok(answer.ending(failures.outcome()))
    }
}

/// What can be told where the store's cluster does not answer.
fn of_silent(console: &Console<'_>, why: Error) -> Result<Answer> {
    let store = console.store()?;
    let path = slotfs_config::store::canonical(&store).map_err(file_error(&store))?;
    let mounts = mounts_of(&path)?;
    let config = console.config_of(&path)?;
    let version = env!("CARGO_PKG_VERSION");
    let (id, shown) = (place::id(&path), shown::path(&path).to_string());
    let facts = json!({
        "path": shown, "id": id, "schema": null, "bytes": null, "wal_bytes": null, "version": version,
    });
    let answer = Answer::new(json!({ "store": facts, "slots": [] }));
    let answer = answer.pairs([("Store", shown), ("Id", id), ("slotfs", version.to_owned())]);
    let answer = mount_rows(answer, &mounts);
    Ok(server(answer, serve::running(&config, &path), &mounts).ending(Err(why)))
}

/// A slot as can be seen without a login.
struct Slot {
    listed: ListedSlot,
    usage: Option<(u64, u64)>,
    trash: Option<u64>,
    roles: Vec<RoleState>,
    /// The first damage that was found.
    damage: Option<Error>,
}

fn slots(hsm: &Hsm, only: Option<SlotId>) -> Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for listed in hsm.slots()? {
        if only.is_none() || listed.slot == only {
            slots.push(Slot::look(hsm, listed)?);
        }
    }
    match only {
        Some(slot) if slots.is_empty() => {
            Err(SlotError::Stored(SlotFault::Missing).at(slot).into())
        }
        _ => Ok(slots),
    }
}

impl Slot {
    fn look(hsm: &Hsm, mut listed: ListedSlot) -> Result<Self> {
        let mut damage = None;
        let mut note = |error: crate::hsm::Error| match error.is_damage() {
            true => {
                damage.get_or_insert(Error::from(error));
                Ok(())
            }
            // Deleted since it was listed.
            false if error.is_no_such_slot() => Ok(()),
            false => Err(Error::from(error)),
        };
        let Some(slot) = listed.slot else {
            if let Err(error) = std::mem::replace(&mut listed.row, Err(crate::hsm::Error::Gone)) {
                note(error)?;
            }
            return Ok(Self {
                listed,
                usage: None,
                trash: None,
                roles: Vec::new(),
                damage,
            });
        };
        let partition = hsm.partition(slot);
        if let Err(error) = partition.inspect() {
            note(error)?;
        }
        let usage = partition.usage().map_err(&mut note);
        let usage = flat(usage)?;
        let trash = flat(partition.trash_count().map_err(&mut note))?;
        let roles = flat(partition.roles().map_err(&mut note))?;
        Ok(Self {
            listed,
            usage,
            trash,
            roles: roles.unwrap_or_default(),
            damage,
        })
    }

    fn number(&self) -> String {
        or_none(self.listed.slot)
    }
}

/// What was read; `None` if the error was noted.
fn flat<T>(read: Result<T, Result<()>>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(noted) => noted.map(|()| None),
    }
}

fn store(answer: Answer, hsm: &Hsm, path: &Path) -> Result<Answer> {
    let (bytes, wal_bytes) = match slotfs_config::store::is_in_cluster(path) {
        // Its members know how large their database is, and it holds more than this store.
        true => (None, None),
        false => {
            let bytes = fs::metadata(path).map_err(file_error(path))?.len();
            let mut wal = path.as_os_str().to_owned();
            wal.push("-wal");
            let wal = fs::metadata(PathBuf::from(wal)).map_or(0, |wal| wal.len());
            (Some(bytes), Some(wal))
        }
    };
    let schema = hsm.schema_version()?;
    let version = env!("CARGO_PKG_VERSION");
    let (id, path) = (place::id(path), shown::path(path).to_string());
    let facts = json!({
        "path": path, "id": id, "schema": schema, "bytes": bytes, "wal_bytes": wal_bytes, "version": version,
    });
    Ok(answer.fact("store", facts).pairs([
        ("Store", path),
        ("Id", id),
        ("Schema", schema.to_string()),
        (
            "Bytes",
            match (bytes, wal_bytes) {
                (Some(bytes), Some(wal)) => format!("{bytes} and {wal} in its log"),
                _ => "in its cluster".to_owned(),
            },
        ),
        ("slotfs", version.to_owned()),
    ]))
}

fn slot_rows(slots: &[Slot]) -> Result<Rows> {
    let mut rows = Rows::new(&[
        "Slot Id", "Label", "Kind", "State", "Objects", "Capacity", "Trash",
    ]);
    for slot in slots {
        let row = slot.listed.row.as_ref().ok();
        let label = row.map(|row| show::escape(&row.label));
        let kind = row.map(|row| format!("{} {}", row.kind, row.version));
        let state = if slot.damage.is_some() {
            "damaged"
        } else {
            "ok"
        };
        let objects = slot.usage.map(|(objects, _)| objects);
        let roles: Vec<Value> = slot.roles.iter().map(role_facts).collect();
        rows.add(
            &[
                &slot.number(),
                &or_none(label),
                &or_none(kind),
                &state,
                &or_none(objects),
                &or_none(row.map(|row| row.capacity_objects)),
                &or_none(slot.trash),
            ],
            json!({
                "slot": slot.listed.slot.map(|slot| slot.0), "label": row.map(|row| &row.label),
                "serial": row.map(|row| row.serial), "kind": row.map(|row| row.kind.to_string()),
                "version": row.map(|row| row.version as u8),
                "damage": slot.damage.as_ref().map(ToString::to_string),
                "objects": objects, "bytes": slot.usage.map(|(_, bytes)| bytes),
                "capacity_objects": row.map(|row| row.capacity_objects),
                "capacity_bytes": row.map(|row| row.capacity_bytes), "trash": slot.trash, "roles": roles,
            }),
        );
    }
    Ok(rows)
}

fn role_facts(it: &RoleState) -> Value {
    json!({
        "role": it.role.to_string(), "initialized": it.initialized, "locked": it.locked,
        "failed_logins": it.failures,
    })
}

fn role_rows(slots: &[Slot]) -> Rows {
    let mut rows = Rows::new(&["Slot Id", "Role", "State", "Failed Logins"]);
    for slot in slots {
        for it in &slot.roles {
            let state = match (it.initialized, it.locked) {
                (false, _) => "not initialized",
                (true, true) => "locked",
                (true, false) => "initialized",
            };
            rows.cells(&[&slot.number(), &it.role, &state, &it.failures]);
        }
    }
    rows
}

/// The mounts of the store, and those whose store cannot be told.
fn mounts_of(store: &Path) -> Result<Vec<Mounted>> {
    let (_, id) = slotfs_config::store::identify(store).map_err(file_error(store))?;
    let file = (id.device, id.inode);
    let table = Path::new("/proc/self/mountinfo");
    let mut mounts = daemon::mounts_of(store).map_err(file_error(table))?;
    mounts.retain(|it| match &it.daemon {
        Daemon::Answers(said) => said.store == file,
        Daemon::Dead | Daemon::Silent | Daemon::Forbidden | Daemon::Unknown => true,
    });
    Ok(mounts)
}

fn mount_rows(answer: Answer, mounts: &[Mounted]) -> Answer {
    let mut rows = Rows::new(&["Mountpoint", "Process", "slotfs", "Logged In"]);
    let mut others = Rows::new(&["Mountpoint, store unknown", "State"]);
    let mut facts = Vec::new();
    for it in mounts {
        let point = shown::path(&it.point).to_string();
        let (state, said, what) = match &it.daemon {
            Daemon::Answers(said) => ("answers", Some(said), ""),
            Daemon::Dead => ("dead", None, "its daemon was killed"),
            Daemon::Silent => ("silent", None, "its daemon does not answer"),
            Daemon::Forbidden => ("forbidden", None, "this user may not look into it"),
            Daemon::Unknown => ("unknown", None, "its daemon does not name the store"),
        };
        match said {
            Some(said) => rows.cells(&[&point, &said.pid, &said.version, &logins(said)]),
            None => others.cells(&[&point, &what]),
        }
        let logged_in = said.map(|said| {
            let logins = said.logged_in.iter();
            let logins = logins.map(|(slot, role)| json!({ "slot": slot, "role": role }));
            logins.collect::<Vec<_>>()
        });
        facts.push(json!({
            "mountpoint": point, "state": state, "pid": said.map(|it| it.pid),
            "version": said.map(|it| &it.version), "logged_in": logged_in,
        }));
    }
    let mut answer = answer.fact("mounts", facts);
    answer = match rows.is_empty() {
        true => answer.text("\nThe store is not mounted.\n"),
        false => answer.text("\n").text(rows.table()),
    };
    match others.is_empty() {
        true => answer,
        false => answer.text("\n").text(others.table()),
    }
}

fn logins(said: &Said) -> String {
    let logins = said.logged_in.iter();
    let logins: Vec<String> = logins
        .map(|(slot, role)| format!("{slot}:{role}"))
        .collect();
    match logins.is_empty() {
        true => NONE.to_owned(),
        false => logins.join(" "),
    }
}

fn server(answer: Answer, running: Option<Running>, mounts: &[Mounted]) -> Answer {
    let Some(Running { socket, pid }) = running else {
        return answer
            .fact("server", Value::Null)
            .text("\nNo token server listens.\n");
    };
    let said = mounts.iter().find_map(|it| match &it.daemon {
        Daemon::Answers(said) if Some(said.pid) == pid => said.connections,
        _ => None,
    });
    let socket = shown::path(&socket).to_string();
    let facts = json!({ "socket": socket, "pid": pid, "connections": said });
    answer.fact("server", facts).text("\n").pairs([
        ("Token server", socket),
        ("Process", or_none(pid)),
        ("Connections", or_none(said)),
    ])
}
