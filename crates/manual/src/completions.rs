//! Completions for bash, zsh and fish. They offer long options with two dashes; with one dash they mean the same.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};

use crate::Result;

/// Writes them below `out`, each under the name that its shell looks for.
///
/// # Errors
/// What cannot be written.
pub(crate) fn write(command: Command, out: &Path) -> Result<()> {
    let command = for_users(&command);
    for (shell, folder, file) in [
        (Shell::Bash, "bash", "slotfs"),
        (Shell::Zsh, "zsh", "_slotfs"),
        (Shell::Fish, "fish", "slotfs.fish"),
    ] {
        let mut script = Vec::new();
        generate(shell, &mut command.clone(), "slotfs", &mut script);
        let folder = out.join(folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(file), script)?;
    }
    Ok(())
}

/// `command` without the options that only slotfs gives itself; clap_complete would offer them.
fn for_users(command: &Command) -> Command {
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut shown = Command::new(command.get_name().to_owned())
        .args(args.cloned())
        .subcommands(command.get_subcommands().map(for_users));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}
