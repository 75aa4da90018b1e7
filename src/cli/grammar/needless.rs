//! Options of every command that do nothing for some commands. Their help does not list them. Secrets are refused there:
//! a user who gives one expects a login. `--store` and `--active-slot` are not refused, because they have variables too.

use clap::Command;

const STORE: &str = "store";
const ACTIVE_SLOT: &str = "active_slot";
const SECRETS: [&str; 2] = ["password_file", "share_file"];

/// Commands that never log in.
const WITHOUT_LOGIN: &[&[&str]] = &[
    &["umount"],
    &["domain"],
    &["exit"],
    &["slot"],
    &["status"],
    &["store", "accept"],
    &["store", "backup"],
    &["store", "copy"],
    &["partition", "archive", "list"],
    &["partition", "archive", "contents"],
    &["partition", "archive", "delete"],
    &["partition", "showinfo"],
    &["partition", "showpolicies"],
    &["role", "list"],
    &["role", "logout"],
    &["serve"],
    &["logout"],
    &["config"],
];

/// The commands for which another option does nothing.
const NEEDLESS: &[(&str, &[&[&str]])] = &[
    (STORE, &[&["umount"], &["domain"], &["exit"]]),
    (
        ACTIVE_SLOT,
        &[
            &["umount"],
            &["domain"],
            &["exit"],
            &["mount"],
            &["slot"],
            &["status"],
            &["store"],
            &["serve"],
        ],
    ),
    ("json", &[&["exit"]]),
];

/// Whether the option called `id` does nothing for the command at the end of `path`, which begins at the root.
pub(crate) fn does_nothing(path: &[&Command], id: &str) -> bool {
    let listed = NEEDLESS.iter().find(|(option, _)| *option == id);
    is_refused(path, id) || listed.is_some_and(|(_, commands)| is_one_of(path, commands))
}

/// Whether it is refused there as well.
pub(crate) fn is_refused(path: &[&Command], id: &str) -> bool {
    SECRETS.contains(&id) && is_one_of(path, WITHOUT_LOGIN)
}

fn is_one_of(path: &[&Command], commands: &[&[&str]]) -> bool {
    let names = path.iter().skip(1).map(|command| command.get_name());
    commands.iter().any(|command| {
        let begin = names.clone().take(command.len());
        begin.eq(command.iter().copied())
    })
}
