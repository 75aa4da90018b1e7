//! Options of every command that do nothing for some: their help does not list them. Where nothing of a slot is read
//! at all they are refused as well; elsewhere a script may keep them for all its commands.

use clap::Command;

const STORE: &str = "store";
const ACTIVE_SLOT: &str = "active_slot";
const PASSWORD_FILE: &str = "password_file";
const SHARE_FILE: &str = "share_file";

/// The commands, as noun and verb, and what does nothing for them.
const NEEDLESS: &[(&[&str], &[&str])] = &[
    (
        &["umount"],
        &[STORE, ACTIVE_SLOT, PASSWORD_FILE, SHARE_FILE],
    ),
    (
        &["domain"],
        &[STORE, ACTIVE_SLOT, PASSWORD_FILE, SHARE_FILE],
    ),
    (
        &["exit"],
        &[STORE, ACTIVE_SLOT, PASSWORD_FILE, SHARE_FILE, "json"],
    ),
    (&["mount"], &[ACTIVE_SLOT]),
    (&["slot"], &[ACTIVE_SLOT, PASSWORD_FILE, SHARE_FILE]),
    (
        &["store", "backup"],
        &[ACTIVE_SLOT, PASSWORD_FILE, SHARE_FILE],
    ),
    (&["store", "check"], &[ACTIVE_SLOT]),
    (&["partition", "showinfo"], &[PASSWORD_FILE, SHARE_FILE]),
    (&["partition", "showpolicies"], &[PASSWORD_FILE, SHARE_FILE]),
    (&["role", "list"], &[PASSWORD_FILE, SHARE_FILE]),
    (&["role", "logout"], &[PASSWORD_FILE, SHARE_FILE]),
];

/// Commands that know no slot.
const WITHOUT_SLOTS: &[&str] = &["umount", "domain"];

/// Whether the option called `id` does nothing for the command at the end of `path`, which begins at the root.
pub fn does_nothing(path: &[&Command], id: &str) -> bool {
    let names = path.iter().skip(1).map(|command| command.get_name());
    NEEDLESS.iter().any(|(command, ids)| {
        let this = names
            .clone()
            .take(command.len())
            .eq(command.iter().copied());
        this && ids.contains(&id)
    })
}

/// Whether it is refused there as well. `--store` and `--active-slot` never are: they have variables too.
pub fn is_refused(path: &[&Command], id: &str) -> bool {
    let noun = path.get(1).map_or("", |command| command.get_name());
    WITHOUT_SLOTS.contains(&noun) && [PASSWORD_FILE, SHARE_FILE].contains(&id)
}
